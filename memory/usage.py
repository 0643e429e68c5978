"""What a memory takes on the disk: measured by a walk, and known between walks by what was added."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import tables, thumbnails

_A_COMMIT = 24_576
"""Bytes that a commit's own versions take, about: of every table that it touches, and of the ledger."""
PRESSING = 0.95
"""Share of the budget from which a memory forgets, compaction's own room counted."""
_COPIES = "sources"
"""Copies of sources inside a memory (`purge.COPIES`)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a memory's folder: of what the memory makes. Copies of sources are not memory, and are told apart."""

    by_table: Mapping[str, int]
    """Rows, indexes and versions of each table."""
    thumbnails: int
    rest: int
    copies: int = 0

    @property
    def tables(self) -> int:
        return sum(self.by_table.values())

    @property
    def total(self) -> int:
        """Without the copies of sources."""
        return self.tables + self.thumbnails + self.rest

    @property
    def peak(self) -> int:
        """Bytes while the tables are compacted: one after another is written anew before its old files go."""
        return self.total + max(self.by_table.values(), default=0)


def measured(root: Path, *, pictures: int | None = None) -> Usage:
    """The folder as it is, file by file; what comes or goes meanwhile may be missed.

    pictures: the bytes of thumbnails where they are known: there are thousands to look at.
    """
    by_table: Counter[str] = Counter()
    parts = {thumbnails.FOLDER: 0, _COPIES: 0, "": 0}
    for path, size in _files(root, None if pictures is None else root / thumbnails.FOLDER):
        top, *below = path[len(str(root)) + 1 :].split(os.sep, 2)
        if top == tables.FOLDER and len(below) == 2:
            by_table[below[0].removesuffix(".lance")] += size
        else:
            parts[top if top in parts else ""] += size
    shown = parts[thumbnails.FOLDER] if pictures is None else pictures
    return Usage(dict(by_table), shown, parts[""], parts[_COPIES])


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
        percepts = known.by_table.get(tables.PERCEPTS, 0) + rows + _A_COMMIT
        by_table = {**known.by_table, tables.PERCEPTS: percepts}
        self.usage = replace(known, by_table=by_table, thumbnails=known.thumbnails + pictures)

    def compacted(self) -> None:
        """The tables were written anew: a walk over all files but the thumbnails, of which there are some hundreds."""
        self.usage = measured(self._root, pictures=self.usage.thumbnails)

    def removed(self, pictures: int) -> None:
        """Thumbnails of so many bytes went."""
        self.usage = replace(self.usage, thumbnails=max(0, self.usage.thumbnails - pictures))


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
