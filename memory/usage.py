"""What a memory takes on the disk: measured by a walk, and known between walks by what was added."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import tables, thumbnails

_A_COMMIT = 24_576
"""Bytes that a commit's own versions take, about: of every table that it touches, and of the ledger."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a memory's folder."""

    tables: int
    """Rows, indexes and versions of all tables."""
    thumbnails: int
    rest: int

    @property
    def total(self) -> int:
        return self.tables + self.thumbnails + self.rest

    @property
    def peak(self) -> int:
        """Bytes while the tables are compacted: they are written anew before the old ones go."""
        return 2 * self.tables + self.thumbnails + self.rest


def measured(root: Path, *, pictures: bool = True) -> Usage:
    """The folder as it is, file by file; what comes or goes meanwhile may be missed. pictures: thumbnails too."""
    parts = {tables.FOLDER: 0, thumbnails.FOLDER: 0, "": 0}
    for path, size in _files(root, None if pictures else root / thumbnails.FOLDER):
        top = path[len(str(root)) + 1 :].split(os.sep, 1)[0]
        parts[top if top in parts else ""] += size
    return Usage(parts[tables.FOLDER], parts[thumbnails.FOLDER], parts[""])


def bytes_in(folder: Path) -> int:
    """Bytes of the files under a folder, as many as are there while it looks."""
    return sum(size for _, size in _files(folder))


class Gauge:
    """A running estimate of `Usage`: a commit adds to it, a compaction measures all but the thumbnails again.

    Not for threads.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.usage = measured(root)

    def committed(self, rows: int, pictures: int) -> None:
        """A commit of so many bytes of rows and of thumbnails."""
        known = self.usage
        self.usage = Usage(known.tables + rows + _A_COMMIT, known.thumbnails + pictures, known.rest)

    def compacted(self) -> None:
        """The tables were written anew: a walk over all files but the thumbnails, of which there are some hundreds."""
        known = measured(self._root, pictures=False)
        self.usage = Usage(known.tables, self.usage.thumbnails, known.rest)

    def removed(self, pictures: int) -> None:
        """Thumbnails of so many bytes went."""
        self.usage = Usage(self.usage.tables, max(0, self.usage.thumbnails - pictures), self.usage.rest)


def _files(folder: Path, without: Path | None = None) -> Iterator[tuple[str, int]]:
    waiting, skipped = [str(folder)], None if without is None else str(without)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting += [entry.path] if entry.path != skipped else []
                    else:
                        yield entry.path, entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
