"""Thumbnails: small JPEGs beside the tables, written before the commit that names them."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path, PurePosixPath

from ..records import Picture

FOLDER = "thumbnails"


def encode(picture: Picture, long_side: int, quality: int) -> bytes:
    """uint8[h, w, 3] RGB as a JPEG whose long side is at most `long_side` pixels."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((long_side, long_side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def store(root: Path, percept_id: str, jpeg: bytes) -> str:
    """Writes one thumbnail and returns its path inside the memory. Raises `OSError`.

    A file that is there is never changed: a committed percept may name it. Where another picture has taken the name
    (the stream is being replaced by one of the same times), the new one's carries a hash of its bytes. One that is
    there already counts as written now: no version before names it, as far as `pictures` knows.
    """
    path = Path(FOLDER) / percept_id[:2] / f"{percept_id}.jpg"
    if (root / path).exists() and (root / path).read_bytes() != jpeg:
        path = path.with_stem(f"{percept_id}-{hashlib.blake2b(jpeg, digest_size=4).hexdigest()}")
    if (root / path).exists():
        os.utime(root / path)
    else:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        beside = (root / path).with_suffix(".new")
        try:
            beside.write_bytes(jpeg)
            beside.replace(root / path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    return path.as_posix()


def percept_of(path: str) -> str:
    """The id of the percept whose thumbnail a path is."""
    return PurePosixPath(path).stem.partition("-")[0]


def sweep(root: Path) -> None:
    """Removes what writers left that died while they wrote one. Only for the holder of the lock; raises `OSError`."""
    for beside in (root / FOLDER).glob("*/*.new"):
        beside.unlink(missing_ok=True)


def stored(root: Path) -> set[str]:
    """Paths, inside the memory, of every file under its thumbnails."""
    found: set[str] = set()
    for folder in (root / FOLDER).glob("*/"):
        found |= {f"{FOLDER}/{folder.name}/{file.name}" for file in folder.iterdir()}
    return found
