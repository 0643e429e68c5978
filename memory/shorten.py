"""The ledger's older rows, shortened: what they say of streams and tables goes with the versions that they name.

Every row holds the states of all streams, so that a memory of a thousand films would grow by 66 kB a commit for ever.
A row whose versions the history has given up keeps its number, its time, its kind and its note; of an erasure also its
tables, which its digest covers. The rows keep their order, so that a number stays an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import tables
from .usage import bytes_in

_GATHERED = 64
"""Rows that are worth it, at least."""
_SHARE = 0.25
"""Share of the ledger's bytes that is worth it, at least: so that each byte is written anew a few times."""
_SHORT = 40
"""Bytes of a shortened row, about."""
_AT_ONCE = 64
"""Rows that are read together in search of one."""
_KEPT = ["commit", "committed_ns", "kind", "note"]
_TOGETHER = 512
"""Rows that are held at a time: with a thousand streams each has some 300 kB."""


def shorten(root: Path, table: Any, schema: Any, kept: Mapping[str, int], since_ns: int | None) -> bool:
    """Shortens the rows of an open ledger that is settled, where enough has gathered; whether it did.

    kept: the first version of each table that is still there. since_ns: rows of commits from then on (wall clock) stay
    as they are, as readers may still be at them. One new version of the table, all or nothing.
    """
    count = int(table.count_rows())
    if count < _GATHERED:
        return False

    def reachable(row: Mapping[str, Any]) -> bool:
        recent = since_ns is not None and row["committed_ns"] >= since_ns
        return recent or (bool(row["tables"]) and all(t["version"] >= kept.get(t["table"], 0) for t in row["tables"]))

    first = _first(table, count, reachable)
    whole = _first(table, count, _is_whole)
    live = bytes_in(root / tables.FOLDER / f"{tables.LEDGER}.lance" / "data")
    each = max(0, live - _SHORT * (whole - 1)) / (count - whole + 1)
    if first - whole < _GATHERED or (first - whole) * each < _SHARE * live:
        return False
    import pyarrow as pa

    table.add(pa.RecordBatchReader.from_batches(schema, _rows(table, schema, first)), mode="overwrite")
    return True


def _is_whole(row: Mapping[str, Any]) -> bool:
    """Whether a row was not shortened. An erasure's counts as short: it keeps its tables among those that are."""
    return bool(row["tables"]) and row["kind"] != "forget"


def _first(table: Any, count: int, holds: Callable[[Mapping[str, Any]], bool]) -> int:
    """The number of the first row from which on it holds; the last row where it holds of none.

    A search that looks at many rows at once: one takes as long to read as a hundred.
    """
    low, high = 1, count
    while low < high:
        looked_at = sorted({low + (high - low) * i // _AT_ONCE for i in range(_AT_ONCE)})
        taken = table.take_offsets([number - 1 for number in looked_at]).select(["committed_ns", "kind", "tables"])
        rows = taken.to_arrow().to_pylist()
        at = next((i for i, row in enumerate(rows) if holds(row)), len(rows))
        if at < len(rows):
            high = looked_at[at]
        if at > 0:
            low = looked_at[at - 1] + 1
    return low


def _rows(table: Any, schema: Any, first: int) -> Iterator[Any]:
    """All rows, those before `first` shortened; `ValueError` where they are read in another order: nothing is lost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    number = 0
    for batch in table.search().select([*_KEPT, "tables"]).where(f"commit < {first}").to_batches(8192):
        erasure = pc.equal(batch["kind"], "forget")
        named = batch["tables"]
        columns = {name: batch[name] for name in _KEPT} | {
            "tables": pc.if_else(erasure, named, pa.array([[]] * len(batch), named.type)),
            "streams": pa.array(["{}"] * len(batch)),
        }
        number = _follows(batch, number)
        yield pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
    for batch in table.search().where(f"commit >= {first}").to_batches(_TOGETHER):
        number = _follows(batch, number)
        yield batch.select(schema.names)


def _follows(batch: Any, number: int) -> int:
    """The number of the last row of a batch that begins after `number`."""
    last = number + len(batch)
    if batch["commit"].to_pylist() != list(range(number + 1, last + 1)):
        raise ValueError(f"the rows of the ledger after commit {number} are not in order")
    return last
