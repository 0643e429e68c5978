"""Indexes of a large memory: made in sleep, once a scan of its vectors would take too long.

The vectors of a space get an inverted file (IVF: a scan of the nearest of sqrt(n)/2 cells) of a byte a dimension,
times and ids a B-tree, lanes and streams a bitmap: filters are looked up before vectors are compared (`nearest`).
Rows that came since are scanned beside it until the next compaction takes them in (`segments`).
"""

from __future__ import annotations

from math import isqrt
from typing import Any

from . import segments, tables
from .writer import Writer

_PLAIN = {"t0_ns": "tree", "t1_ns": "tree", "id": "tree", "lane": "bitmap", "stream": "bitmap"}
INDEXED_FROM = 50_000
"""Rows from which on a column has an index."""
_SCATTERED = 64
"""Fragments from which on the vector indexes are made anew: Lance does not merge fragments of two generations."""


def index(writer: Writer, *, late: bool = False) -> tuple[str, ...]:
    """Makes the indexes that are missing, under a ledger row; which columns got one. Others wait meanwhile.

    late: others have no time to wait; only what is scattered beyond use is made, anew.
    """
    made: list[str] = []

    def make(table: Any) -> None:
        from lancedb.index import Bitmap, BTree, IvfSq

        there = {column: each.num_segments or 1 for each in table.list_indices() for column in each.columns}
        scattered = table.stats()["fragment_stats"]["num_fragments"] > _SCATTERED
        for name, kind in _PLAIN.items():
            if name not in there and not late:
                table.create_index(name, config=BTree() if kind == "tree" else Bitmap())
                made.append(name)
        for space in writer.manifest.spaces:
            column = tables.column(space.name)
            count = table.count_rows(f"{column} IS NOT NULL")
            due = scattered or (not late and there.get(column, segments.MANY + 1) > segments.MANY)
            if count >= INDEXED_FROM and due:
                # Of a number of cells Lance makes fewer and fewer at each compaction; a size of theirs it keeps.
                cells = IvfSq(distance_type="cosine", target_partition_size=2 * isqrt(count))
                table.create_index(column, config=cells, replace=True)
                made.append(column)
        many = set() if late else {i.name for i in table.list_indices() if (i.num_segments or 1) > segments.MANY}
        if many:
            segments.unite(table, many)
        if made or many:
            segments.settle(table)  # files of one segment are put together: now rather than when somebody waits

    if writer.rows(tables.PERCEPTS) >= INDEXED_FROM:
        writer.reindex(make)
    return tuple(made)
