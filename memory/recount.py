"""The places of streams that lost something, corrected over what stays; the others stand as they did.

A place lost something where percepts of it go, or where it was founded or seen last within an erased span. One in
which nothing that is remembered was perceived goes then. Of one that was founded within an erased span its looks go,
since they were seen then. A place in which no percept was stored at all (a room that looked like another) is known from
poses alone, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import tables
from .erased import Erased
from .spatial import AWAY_NS
from .unsaid import key_without, name_without
from .writer import Writer


@dataclass(slots=True)
class Recount:
    """What happens to rows of `places`."""

    gone: list[tuple[str, int]] = field(default_factory=list)
    """(id, take)"""
    rows: Any = None
    """`pyarrow.Table` of those that stand otherwise than before."""
    count: int = 0


def renamed(writer: Writer, said: str) -> dict[tuple[str, str], str]:
    """(stream, key) -> the key that takes its place, of places whose keys hold a phrase: the id, which says nothing."""
    if not said:
        return {}
    rows = writer.read(tables.PLACES, columns=["stream", "key"]).to_pylist()
    keys = {(row["stream"], row["key"]) for row in rows}
    for name in (tables.PERCEPTS, tables.EVENTS):  # more than there are places: their number is bounded
        rows = writer.read(name, "place IS NOT NULL", ["stream", "place"]).to_pylist()
        keys |= {(row["stream"], row["place"]) for row in rows}
    others = {(stream, key): key_without(said, stream, key) for stream, key in keys}
    return {known: other for known, other in others.items() if other != known[1]}


def recount(
    writer: Writer, named: Mapping[str, Sequence[Erased]], gone: Collection[str], lost: Collection[str], said: str
) -> Recount:
    """named: stream -> what is erased of it. gone: streams that go whole. lost: ids of percepts that go.

    said: a phrase that no key and no name may hold; "": none.
    """
    import pyarrow as pa

    found, rows = Recount(), []
    for name in sorted(writer.streams):
        known = writer.read(tables.PLACES, f"stream = {tables.literal(name)}").to_pylist()
        if name in gone:
            found.count += len(known)
        elif known and (name in named or said):
            was = [dict(row) for row in known]
            left = _of_stream(name, known, writer, named.get(name, ()), lost, found)
            left = [
                row | {"key": key_without(said, name, row["key"]), "name": name_without(said, row["name"])}
                for row in left
            ]
            rows += [row for row in left if row not in was]
    found.rows = pa.Table.from_pylist(rows, schema=tables.schemas(writer.manifest.spaces)[tables.PLACES])
    found.count += len(rows) + len(found.gone)
    return found


def _of_stream(
    name: str,
    known: Sequence[dict[str, Any]],
    writer: Writer,
    spans: Sequence[Erased],
    lost: Collection[str],
    found: Recount,
) -> list[dict[str, Any]]:
    """The rows of one stream that stay, as they stand now; those that go are added to `found`."""
    where = f"stream = {tables.literal(name)} AND place IS NOT NULL"
    stood = writer.read(tables.PERCEPTS, where, ["id", "take", "t0_ns", "place"]).to_pylist()
    made = []
    for take in sorted({row["take"] for row in known}):
        own = [row for row in stood if row["take"] == take]
        left = {row["place"] for row in own if row["id"] in lost}
        mine = [row for row in known if row["take"] == take]
        again = _counted(mine, sorted((r["t0_ns"], r["place"]) for r in own if r["id"] not in lost))
        for row in mine:
            if row["key"] in left or _at(row["first_ns"], spans):
                if row["key"] not in again:
                    found.gone.append((row["id"], take))
                    continue
                row = row | _corrected(row, again[row["key"]], spans, writer)
            elif _at(row["last_ns"], spans):
                latest = again[row["key"]]["last_ns"] if row["key"] in again else row["first_ns"]
                row = row | {"last_ns": latest}
            made.append(row)
    return [row | {"moves": [move for move in row["moves"] if (move["place"], row["take"]) not in found.gone]}
            for row in made]  # fmt: skip


def _corrected(
    row: Mapping[str, Any], again: Mapping[str, Any], spans: Sequence[Erased], writer: Writer
) -> dict[str, Any]:
    """What changes of a place that lost something. Times that were not erased stay."""
    if _at(row["first_ns"], spans):
        return dict(again) | {tables.column(space.name): None for space in writer.manifest.spaces}
    return dict(again) | {
        "first_ns": row["first_ns"],
        "last_ns": again["last_ns"] if _at(row["last_ns"], spans) else row["last_ns"],
    }


def _at(t_ns: int | None, spans: Sequence[Erased]) -> bool:
    """Whether a time was erased."""
    return t_ns is not None and any(span.meets(t_ns, t_ns) for span in spans)


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
