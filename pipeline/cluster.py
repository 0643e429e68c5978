"""Ray for the length of one command: started on this machine alone, ended with it, open to nobody else.

Ray's own servers listen on every interface, and whoever reaches them runs code here. So they want a token, which is
drawn at the start and lives in the environment of this process and its children, never in a file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import MissingError, MnemeError

T = TypeVar("T")

SHARED_BYTES = 512 << 20
"""Of pictures under way between the actors; Ray takes what exceeds it to the disk."""
LEAST_SHARED_BYTES = 80 << 20
LONGEST_FOLDER = 24
"""Characters of the temporary folder: a socket's path may have 107, of which Ray's part and ours take some 80."""


@contextmanager
def cluster(*, verbose: bool = False) -> Iterator[Any]:
    """Yields `ray`, started; on leaving it is shut down. Where this process runs Ray already, that one is used.

    verbose: what the actors log goes to standard error. Errors: `MissingError` where Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    folder = _folder()
    try:
        start(
            ray,
            mend="leave out --workers to watch in one process",
            num_cpus=os.cpu_count(),
            object_store_memory=_shared_bytes(),
            log_to_driver=verbose,
            _temp_dir=str(folder),
        )
        with _ended_like_ctrl_c():
            yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def import_ray() -> Any:
    """The module, with what must stand in the environment before its import; `MissingError` without it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:  # without one, Ray would write one into the home folder
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise MissingError("ray is not installed", "pip install 'mneme[serve]', or leave out --workers") from error
    return ray


def settled(reference: Any) -> Any:
    """What a call to an actor gave. Its `MnemeError` comes out as it was raised; that the actor died, as Ray's own.

    Any other error is a fault of ours: a `MnemeError` with its first line.
    """
    from ray import get
    from ray.exceptions import RayError, RayTaskError

    try:
        return get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, MnemeError | RayError):
            raise cause from None
        line = (str(cause).splitlines() or [""])[0][:200]
        raise MnemeError(
            f"an actor broke down ({type(cause).__name__}: {line})", "watch that file alone, without --workers"
        ) from error


def start(ray: Any, *, mend: str, **options: Any) -> None:
    """`ray.init` of a cluster of our own; what goes wrong is a `MnemeError` of one line with this mend."""
    with warnings.catch_warnings():
        # LanceDB warns of forks; Ray's are followed by an exec.
        warnings.filterwarnings("ignore", message="lancedb fork", category=RuntimeWarning)
        try:
            ray.init(
                address="local",
                namespace=f"mneme-{os.getpid()}",
                include_dashboard=False,
                logging_level="ERROR",
                **options,
            )
        except Exception as error:  # a node that does not come up in time is a bare Exception to Ray
            line = (str(error).splitlines() or [""])[0][:200]
            raise MnemeError(f"cannot start Ray: {line or type(error).__name__}", mend) from error


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends what runs as Ctrl-C does; Ray's own handler would end the process with the work half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _folder() -> Path:
    """A folder of our own for Ray's sockets and logs, of a short path."""
    named = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="mneme-", dir=named if len(named) <= LONGEST_FOLDER else "/tmp"))


def _shared_bytes() -> int:
    """What the shared memory of this machine has room for."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return SHARED_BYTES
    return max(LEAST_SHARED_BYTES, min(SHARED_BYTES, int(0.6 * free)))
