"""A file before it is opened as media: whether it can be read at all, and the digest that recognises its bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import SourceError
from .container import MEND


def digest_of(path: Path) -> str:
    """BLAKE2b (160 bits, hexadecimal) over the size and all bytes of a file."""
    made = hashlib.blake2b(path.stat().st_size.to_bytes(8, "big"), digest_size=20)
    with path.open("rb") as file:
        while block := file.read(2**20):
            made.update(block)
    return made.hexdigest()


def readable(path: Path) -> Path:
    """The absolute path of a file that is there, can be read and is not empty; else `SourceError`."""
    path = path.expanduser().absolute()
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a folder", "give the files in it")
        if not path.is_file():
            raise SourceError(
                f"{path} is not there" if not path.exists() else f"{path} is not a file", "check the path"
            )
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty", MEND)
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}", "check the path and your rights") from error
    except ValueError as error:  # a zero byte in the name
        raise SourceError(f"{os.fspath(path)!r} is not a path", "check the path") from error
    return path
