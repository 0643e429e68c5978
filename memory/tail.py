"""The tail of a large table: rows that came since its indexes were brought up to date, a small file for each commit.

LanceDB brings all indexes of a table up to date whenever it compacts it, and writes the word index anew for that: six
seconds over a million rows (`benchmarks.scale`), in which nobody commits. So while something is recorded the small
files are only put together, which touches no index: a log-structured merge tree (O'Neil et al., 1996) of two levels.
A search compares the tail row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import tables

LARGE = 100_000
"""Rows from which on a table has a tail. Of fewer, indexes are up to date in half a second."""
_GATHERED = 16
"""Files of rows that were put together, at most: then the indexes are brought up to date all the same."""
_LONGEST = 20_000
"""Rows of a tail, at most."""
_IDS = 1000


class Tail:
    """Which rows those are, as far as one writer added them."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._gathered = 0
        self._length = 0

    def add(self, ids: Iterable[str]) -> None:
        """Rows of a commit."""
        self._ids += ids

    def clear(self) -> None:
        """The indexes know all rows."""
        self._ids, self._gathered, self._length = [], 0, 0

    def suffices(self, rows: int) -> bool:
        """Whether a table of so many rows needs no more than `gather` now."""
        return rows >= LARGE and self._gathered < _GATHERED and self._length + len(self._ids) <= _LONGEST

    def gather(self, table: Any) -> None:
        """Puts the rows that came since the last call into one file. The table shows the same rows before and after.

        In between, it shows fewer: no commit may name those versions.
        """
        import pyarrow as pa

        some = [tables.among("id", self._ids[first : first + _IDS]) for first in range(0, len(self._ids), _IDS)]
        rows = [table.search().where(each).to_arrow() for each in some]
        for each in some:
            table.delete(each)
        if rows:
            table.add(pa.concat_tables(rows), on_bad_vectors="null")
        self._length += len(self._ids)
        self._ids, self._gathered = [], self._gathered + 1
