"""Settling a table: its small files become one and its indexes know all rows, in a time that does not grow with it.

The indexes of a large table are kept in segments, as in a log-structured merge tree (O'Neil et al., 1996). What came
since the last time goes into the newest segment, which is written anew for it; one that has grown to `FULL` rows is
closed, and `MANY` of those become one. LanceDB itself only ever merges into the newest segment, which of one segment
means all: the words of a million rows take it seven seconds. Lance's own library can begin another.
"""

from __future__ import annotations

import warnings
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
    large = _is_large(table)
    for _ in range(_ROUNDS):
        before = table.version
        if large:
            _settle_large(table)
        else:
            table.optimize(cleanup_older_than=_KEEP_ALL)
        if table.version == before:
            return


def clean(table: Any, older_than: timedelta, *, leftovers: bool = False) -> None:
    """Removes the versions of a settled table that are older, and what only they name; it is not compacted.

    leftovers: new files that no version names too. Only where nobody else writes: they might be about to be named.

    LanceDB's own would bring indexes up to date first, and split cells of one segment that have grown: segments with
    other cells cannot be merged.
    """
    if _is_large(table):
        _opened(table).cleanup_old_versions(older_than=older_than, delete_unverified=leftovers)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lancedb warns that no older version can be read: that is meant
        table.optimize(cleanup_older_than=older_than, delete_unverified=leftovers)


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


def _is_large(table: Any) -> bool:
    return table.count_rows() >= LARGE and bool(table.list_indices())


def _settle_large(table: Any) -> None:
    dataset = _opened(table)
    dataset.optimize.compact_files()
    for name, count in _behind(dataset):
        try:
            dataset.optimize.optimize_indices(index_names=[name], num_indices_to_merge=count)
        except (OSError, RuntimeError, ValueError) as error:
            if count < 2 or "centroids" not in str(error):
                raise
            # LanceDB split cells of one while the table was small: they stay apart until sleep makes the index anew.
            dataset.optimize.optimize_indices(index_names=[name], num_indices_to_merge=0)
    table.checkout_latest()


def _behind(dataset: Any) -> Iterator[tuple[str, int]]:
    """Names of the indexes that do not know all rows, and how many of their segments are written anew."""
    rows = {fragment.fragment_id: fragment.physical_rows for fragment in dataset.get_fragments()}
    for index in dataset.describe_indices():
        known = [set(segment.fragment_ids) for segment in index.segments]
        if rows.keys() - set().union(*known):
            yield index.name, anew([sum(rows.get(one, 0) for one in each) for each in known])


def _opened(table: Any) -> Any:
    """The table as Lance's own library sees it, at the version that it shows."""
    return table.to_lance(index_cache_size_bytes=_CACHED, metadata_cache_size_bytes=_CACHED)
