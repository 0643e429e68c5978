"""Files that are there whole or not at all, also after the power went."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, flushed: bool = True) -> None:
    """Writes a file in one step: beside its name, flushed to the disk, renamed. Raises `OSError`.

    flushed: durable on return. A file that is not may be there in part after the power went, though not after a crash.
    """
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        if flushed:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)
    if flushed:
        flush_names(path.parent)


def flush_names(folder: Path) -> None:
    """Makes what was renamed and removed in a folder durable. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
