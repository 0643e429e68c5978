"""Settling a table: its small files become one and its indexes know all rows, in a time that does not grow with it.

The indexes of a large table are kept in segments, as in a log-structured merge tree (O'Neil et al., 1996). What came
since the last time goes into the newest segment, which is written anew for it; one that has grown to `FULL` rows is
closed, and `MANY` of those become one. LanceDB itself only ever merges into the newest segment, which of one segment
means all: the words of a million rows take it seven seconds. Lance's own library can begin another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Any

LARGE = 100_000
"""Rows from which on the indexes of a table have segments. Those of fewer are written anew in half a second."""
FULL = 10_000
"""Rows of a segment that is closed: so many are written anew in a second. Each segment costs a search 1 to 2 ms."""
MANY = 8
"""Closed segments that are merged."""
_ROUNDS = 6
_KEEP_ALL = timedelta(days=36500)
_CACHED = 8 << 20
"""Bytes that Lance may keep of a table while it is settled."""


def settle(table: Any) -> None:
    """Compacts a table and brings its indexes up to date, until that changes nothing more; no version goes.

    Lance compacts fragments of one segment only with their like, and again once the index is whole: one call may leave
    the next one something to do, and what is pruned must already be ledgered.
    """
    for _ in range(_ROUNDS):
        before = table.version
        if table.count_rows() >= LARGE and table.list_indices():
            _settle_large(table)
        else:
            table.optimize(cleanup_older_than=_KEEP_ALL)
        if table.version == before:
            return


def unite(table: Any, names: Collection[str]) -> None:
    """Merges all segments of these indexes into one. O(rows)."""
    dataset = _opened(table)
    for index in dataset.describe_indices():
        if index.name in names:
            dataset.optimize.optimize_indices(index_names=[index.name], num_indices_to_merge=len(index.segments))
    table.checkout_latest()


def anew(rows: Sequence[int]) -> int:
    """How many of the newest segments, of which the last is the newest, are written anew for what came since.

    rows: of each. None where that begins a segment of its own.
    """
    if rows and rows[-1] < FULL:
        return 1
    closed = sum(1 for _ in takewhile(lambda each: each < MANY * FULL, reversed(rows)))
    return closed if closed >= MANY else 0


def _settle_large(table: Any) -> None:
    dataset = _opened(table)
    dataset.optimize.compact_files()
    for count, names in _behind(dataset):
        dataset.optimize.optimize_indices(index_names=names, num_indices_to_merge=count)
    table.checkout_latest()


def _behind(dataset: Any) -> Iterator[tuple[int, list[str]]]:
    """Names of the indexes that do not know all rows, by how many of their segments are written anew."""
    rows = {fragment.fragment_id: fragment.physical_rows for fragment in dataset.get_fragments()}
    names = defaultdict(list)
    for index in dataset.describe_indices():
        known = [set(segment.fragment_ids) for segment in index.segments]
        if rows.keys() - set().union(*known):
            names[anew([sum(rows.get(one, 0) for one in each) for each in known])].append(index.name)
    yield from names.items()


def _opened(table: Any) -> Any:
    """The table as Lance's own library sees it, at the version that it shows."""
    return table.to_lance(index_cache_size_bytes=_CACHED, metadata_cache_size_bytes=_CACHED)
