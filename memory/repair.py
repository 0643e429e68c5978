"""Mending a memory: what `check` finds wrong and can be put right without inventing anything.

A percept without its picture keeps its words; an event that lists what is not there, or misses what is, gets its list
from the percepts that start in it; of rows with one id and take one stays; long-term memory that cannot be read is fed
anew from the events; the word index is made anew. What a crash left is mended by opening the memory for writing alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MnemeError
from ..records import LANES
from . import tables, thumbnails, token_state
from .changes import KEYS, Changes
from .check import check
from .consolidate import rows_by_id, with_column
from .ledger import StreamState
from .store import StoredSnapshot
from .writer import Writer

_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one repair came to."""

    mended: tuple[str, ...]
    """What was wrong and is right now, a line each."""
    left: tuple[str, ...]
    """What `check` still finds."""

    @property
    def ok(self) -> bool:
        """Whether the memory is whole."""
        return not self.left


def repair(writer: Writer) -> Repaired:
    """Mends what can be mended, in ledgered commits. Raises `MnemeError` where the disk fails."""
    mended = _twice(writer)
    snapshot = StoredSnapshot(writer.root, writer.database)
    percepts = snapshot.rows(tables.PERCEPTS, ["id", "stream", "t0_ns", "t1_ns", "lane", "ordinal", "thumbnail"])
    rows = percepts.to_pylist()
    mended += _pictures(writer, snapshot, rows)
    mended += _lists(writer, snapshot, rows)
    mended += _tokens(writer)
    mended += _orphans(writer)
    writer.compact(history=False)
    return Repaired(tuple(mended), check(StoredSnapshot(writer.root, writer.database)).problems)


def _twice(writer: Writer) -> list[str]:
    """Rows that stand more than once: the first of each stays."""
    mended = []
    for name in (tables.PERCEPTS, tables.EVENTS):
        keys = writer.read(name, columns=list(KEYS[name])).to_pylist()
        counts: dict[tuple[Any, ...], int] = defaultdict(int)
        for row in keys:
            counts[tuple(row.values())] += 1
        for (id, take), count in counts.items():
            if count < 2:
                continue
            where = f"id = {tables.literal(id)} AND take = {tables.literal(take)}"
            one = writer.read(name, where).slice(0, 1)
            writer.apply("repair", Changes(drop={name: [where]}, put={name: one}, note={"twice": 1}))
            mended.append(f"{id} stood {count} times in {name}")
    return mended


def _pictures(writer: Writer, snapshot: StoredSnapshot, rows: list[dict[str, Any]]) -> list[str]:
    """Percepts whose picture is lost are without one."""
    files = thumbnails.stored(writer.root)
    lost = [row["id"] for row in rows if row["thumbnail"] is not None and row["thumbnail"] not in files]
    for first in range(0, len(lost), _TOGETHER):
        some = rows_by_id(snapshot, tables.PERCEPTS, lost[first : first + _TOGETHER])
        bare = with_column(some, "thumbnail", [None] * len(some))
        writer.apply("repair", Changes(put={tables.PERCEPTS: bare}, note={"pictures": len(some)}))
    return [f"the picture of percept {id} is lost" for id in lost]


def _lists(writer: Writer, snapshot: StoredSnapshot, rows: list[dict[str, Any]]) -> list[str]:
    """Each event lists the percepts that start in it, and no other."""
    by_stream: Mapping[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_stream[row["stream"]].append(row)
    wrong: dict[str, tuple[list[str], list[str]]] = {}
    for event in snapshot.events():
        within = [r for r in by_stream[event.stream] if event.t0_ns <= r["t0_ns"] < event.t1_ns]
        if {r["id"] for r in within} == set(event.percepts):
            continue
        known = {r["id"] for r in within}
        kept = [id for id in event.percepts if id in known]
        late = sorted((r for r in within if r["id"] not in set(kept)), key=lambda r: (r["t0_ns"], r["lane"], r["id"]))
        present = {r["lane"] for r in within}
        wrong[event.id] = ([*kept, *(r["id"] for r in late)], [lane for lane in LANES if lane in present])
    ids = list(wrong)
    for first in range(0, len(ids), _TOGETHER):
        some = rows_by_id(snapshot, tables.EVENTS, ids[first : first + _TOGETHER])
        listed = [wrong[id] for id in some["id"].to_pylist()]
        some = with_column(some, "percepts", [percepts for percepts, _ in listed])
        some = with_column(some, "lanes", [lanes for _, lanes in listed])
        writer.apply("repair", Changes(put={tables.EVENTS: some}, note={"events": len(some)}))
    return [f"event {id} did not list the percepts that start in it" for id in ids]


def _tokens(writer: Writer) -> list[str]:
    """Long-term memory that cannot be read is left out of the ledger: it is fed anew from the events."""
    mended: list[str] = []

    def sound(state: StreamState) -> StreamState:
        successor = None if state.successor is None else sound(state.successor)
        if state.tokens is not None:
            try:
                token_state.load(writer.root, state.tokens)
            except MnemeError as error:
                mended.append(f"the long-term memory of stream {state.stream.id!r} is lost: {error}")
                return replace(state, tokens=None, successor=successor)
        return replace(state, successor=successor)

    streams = {name: sound(state) for name, state in writer.streams.items()}
    if mended:
        writer.apply("repair", Changes(streams=streams, note={"tokens": len(mended)}))
    return mended


def _orphans(writer: Writer) -> list[str]:
    """Pictures that no percept names go."""
    with writer.alone():
        named = writer.read(tables.PERCEPTS, "thumbnail IS NOT NULL", ["thumbnail"])["thumbnail"].to_pylist()
        gone = sorted(thumbnails.stored(writer.root) - set(named))
        for path in gone:
            (writer.root / path).unlink(missing_ok=True)
    return [f"picture {path} belonged to nothing" for path in gone]
