"""`mneme serve`: one memory behind Ray Serve, with live sources, until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import LockedError, MissingError, MnemeError
from ..memory.lock import holder_of, is_held
from ..pipeline.cameras import parse_source
from ..pipeline.cluster import import_ray, start

NEEDED = ("ray", "fastapi", "msgpack", "prometheus_client")
OBJECT_STORE = 128 << 20
"""Bytes: observations do not pass through Ray's store."""
WAITING = 10_000
"""Requests and connections that the one replica takes at a time."""
CLOSING_S = 120.0
NOTES_S = 2.0
"""Seconds between two looks for what the replica has to tell the user."""

log = logging.getLogger(__name__)


def run(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    sources: Sequence[str] = (),
    config: Path | None = None,
    profile: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Serve the memory at `path` until SIGTERM or Ctrl-C; then what is open is stored and the lock given back.

    token: the bearer token that requests must carry. sources: live sources (`cameras.parse_source`). say: takes a line
    for the user. Runs in the main thread. Errors, before anything is served: `MissingError` without the extra,
    `LockedError`, `SourceError`, `MnemeError` of a busy port.
    """
    for name in NEEDED:
        if find_spec(name) is None:
            raise MissingError(f"{name} is not installed", "pip install 'mneme[serve]'")
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
        raise MnemeError("the token is empty or holds what a header cannot", "give printable ASCII without spaces")
    for source in sources:
        parse_source(source)
    path = path.absolute()
    if is_held(path):
        raise LockedError(f"{path} is being written by {holder_of(path)}", "wait for it or end it")
    refuse_busy(host, port)
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    from .door import Served

    served = Served(str(path), token, tuple(sources), None if config is None else str(config.absolute()), profile)
    try:
        _serve(served, host, port, stopping, say)
    except MnemeError:
        raise
    except Exception as error:  # Ray raises of every kind, bare ones too, where its parts do not come up in time
        log.debug("Ray Serve", exc_info=error)
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MnemeError(f"Ray Serve does not run: {told}", "see the logs under RAY_TMPDIR or /tmp/ray") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def refuse_busy(host: str, port: int) -> None:
    """`MnemeError` where nothing can listen at that address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise MnemeError(f"{host}:{port} cannot be listened at: {error}", "give another --port or --host") from error


def _serve(served: Any, host: str, port: int, stopping: threading.Event, say: Callable[[str], None]) -> None:
    ray = import_ray()
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    say("starting Ray Serve")
    # What concerns the user comes by `Replica.notes`; Ray's own workings do not.
    mend = "see the logs under RAY_TMPDIR or /tmp/ray; a machine that is busy may need a second try"
    start(ray, mend=mend, num_cpus=1, object_store_memory=OBJECT_STORE, log_to_driver=False)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    # Ray puts handlers of its own in their place.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        quiet = {"log_level": "ERROR", "enable_access_log": False}
        serve.start(
            proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host=host, port=port), logging_config=quiet
        )
        app = _deployment().bind(served, os.getpid())
        handle = serve.run(app, name="mneme", route_prefix="/", logging_config=quiet)
        fault = handle.fault.remote().result(timeout_s=60)
        if fault is not None:
            raise LockedError(*fault)
        guarded = "a token is asked for" if served.token is not None else "no token is asked for"
        say(f"serving {served.path} at http://{host}:{port} ({guarded}); Ctrl-C ends it")
        while not stopping.wait(NOTES_S):
            _pass_on(handle, say)
        say("stopping: storing what is open")
        handle.close.remote().result(timeout_s=CLOSING_S)
        _pass_on(handle, say)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


def _pass_on(handle: Any, say: Callable[[str], None]) -> None:
    """The warnings of the replica, for the user; while Ray restarts it there are none."""
    from ray.exceptions import RayError

    try:
        for line in handle.notes.remote().result(timeout_s=5):
            say(line)
    except (RayError, TimeoutError) as error:
        log.debug("the replica does not answer: %s", error)


def _deployment() -> Any:
    from ray import serve

    return serve.deployment(
        serve.ingress()(Replica),
        name="memory",
        num_replicas=1,  # it is the memory's one writer
        max_ongoing_requests=WAITING,
        ray_actor_options={"num_cpus": 0},
        health_check_timeout_s=120,
        graceful_shutdown_timeout_s=2,  # all is stored by then, and live streams never end by themselves
        graceful_shutdown_wait_loop_s=0.2,
    )


class Notes(logging.Handler):
    """Keeps the last warnings, a line each, until they are taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self._lines: deque[str] = deque(maxlen=200)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def take(self) -> list[str]:
        """The lines since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]


class Replica:
    """The one replica: it holds the memory's door. What it cannot open it tells by `fault`, and Ray does not retry."""

    def __init__(self, served: Any, process: int) -> None:
        """process: the one that is to be ended, which the lock of the memory names with its holder."""
        from .door import Door

        sys.argv = [f"mneme serve, ended by ending process {process}"]  # without paths: `lock` names programs
        self._notes = Notes()
        logging.getLogger(__package__.partition(".")[0]).addHandler(self._notes)
        self._token = served.token
        self._fault: tuple[str, str] | None = None
        self._door: Door | None = None
        try:
            self._door = Door(served)
        except MnemeError as error:
            self._fault = error.fault, error.mend

    def __serve_build_asgi_app__(self) -> Any:
        from .http import make_app
        from .problems import problem

        if self._door is None:
            return problem(503, "the memory could not be opened")
        return make_app(self._door, self._token)

    def fault(self) -> tuple[str, str] | None:
        """Why the memory could not be opened: what is wrong, and how to mend it."""
        return self._fault

    def notes(self) -> list[str]:
        """Warnings since the last call."""
        return self._notes.take()

    def close(self) -> None:
        """Stores what is open and gives the lock back."""
        if self._door is not None:
            self._door.close()
