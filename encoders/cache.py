"""The cache folder: where models stand that were made on this machine, and how a file gets there whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where exported models stand: $MNEME_CACHE, $XDG_CACHE_HOME/mneme or ~/.cache/mneme."""
    if environ.get("MNEME_CACHE"):
        return Path(environ["MNEME_CACHE"])
    if environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"]) / "mneme"
    return Path.home() / ".cache" / "mneme"


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write under another name and rename: a kill half way, or two processes at once, leave no half file.

    Raises OSError where the folder takes no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
