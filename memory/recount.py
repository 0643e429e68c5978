"""The places of streams that lost percepts, counted again over those that stay.

A place in which nothing that is remembered was perceived goes. Of one that was founded within an erased span its looks
go, since they were seen then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import tables
from .erased import Erased
from .spatial import AWAY_NS
from .target import phrase
from .writer import Writer


@dataclass(slots=True)
class Recount:
    """What happens to rows of `places`."""

    gone: list[tuple[str, int]] = field(default_factory=list)
    """(id, take)"""
    rows: Any = None
    """`pyarrow.Table` of those that stand otherwise than before."""
    count: int = 0


def recount(
    writer: Writer, named: Mapping[str, Sequence[Erased]], gone: Collection[str], lost: Collection[str], said: str
) -> Recount:
    """named: stream -> what is erased of it. gone: streams that go whole. lost: ids of percepts that go.

    said: a phrase that no name which a person gave may hold; "": none.
    """
    import pyarrow as pa

    found, rows = Recount(), []
    for name in sorted(writer.streams):
        known = writer.read(tables.PLACES, f"stream = {tables.literal(name)}").to_pylist()
        if name in gone:
            found.count += len(known)
        elif known and (name in named or said):
            rows += _of_stream(name, known, writer, named.get(name, ()), lost, said, found)
    found.rows = pa.Table.from_pylist(rows, schema=tables.schemas(writer.manifest.spaces)[tables.PLACES])
    found.count += len(rows) + len(found.gone)
    return found


def _of_stream(
    name: str,
    known: Sequence[dict[str, Any]],
    writer: Writer,
    spans: Sequence[Erased],
    lost: Collection[str],
    said: str,
    found: Recount,
) -> list[dict[str, Any]]:
    """The rows of one stream that stand otherwise now."""
    where = f"stream = {tables.literal(name)} AND place IS NOT NULL"
    stood = writer.read(tables.PERCEPTS, where, ["id", "take", "t0_ns", "place"]).to_pylist()
    blank = {tables.column(space.name): None for space in writer.manifest.spaces}
    made = []
    for take in sorted({row["take"] for row in known}):
        own = [row for row in stood if row["take"] == take]
        left = {row["place"] for row in own if row["id"] in lost}
        mine = [row for row in known if row["take"] == take]
        if left or any(_founded(row, spans) for row in mine):
            again = _counted(mine, sorted((r["t0_ns"], r["place"]) for r in own if r["id"] not in lost))
            for row in mine:
                if row["key"] not in again:
                    found.gone.append((row["id"], take))
                else:
                    made.append(row | again[row["key"]] | (blank if _founded(row, spans) else {}))
        else:
            made += [row for row in mine if said and said in phrase(row["name"])]
    if said:
        made = [row | {"name": ""} if said in phrase(row["name"]) else row for row in made]
    return made


def _founded(row: Mapping[str, Any], spans: Sequence[Erased]) -> bool:
    """Whether the place was founded within an erased span."""
    return any(span.meets(row["first_ns"], row["first_ns"]) for span in spans)


def _counted(known: Sequence[Mapping[str, Any]], stays: Sequence[tuple[int, str]]) -> dict[str, dict[str, Any]]:
    """Key of a place -> its visits, first and last time and moves, by (t_ns, key) in order of time."""
    ids = {row["key"]: row["id"] for row in known}
    again: dict[str, dict[str, Any]] = {}
    moves: dict[str, dict[str, int]] = {}
    before: tuple[int, str] | None = None
    for t_ns, key in stays:
        place = again.setdefault(key, {"visits": 0, "first_ns": t_ns, "last_ns": t_ns})
        moved = before is not None and before[1] != key
        if before is None or moved or t_ns - place["last_ns"] > AWAY_NS:
            place["visits"] += 1
        if before is not None and moved and before[1] in ids and key in ids:
            counts = moves.setdefault(before[1], {})
            counts[ids[key]] = counts.get(ids[key], 0) + 1
        place["last_ns"], before = t_ns, (t_ns, key)
    for key, place in again.items():
        place["moves"] = [{"place": id, "count": count} for id, count in sorted(moves.get(key, {}).items())]
    return again
