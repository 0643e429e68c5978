"""What an erasure reaches in the tables: the rows that go, and the rows that are made anew from what remains.

Events tile a stream and keep their numbers, so an event that lost percepts stays, with the same span and id, and is
built again from the percepts that it still has; one that lost all holds nothing. Every event with a link to it or from
it is built again too, and the links go, as do the summaries that were made from either: sleep makes anew what still
belongs together. Places are counted again (`recount`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..records import Percept
from . import tables
from .changes import Changes
from .episodic import Summariser, build_event
from .erased import FOREVER, Erased
from .recount import recount
from .semantic import derived_from
from .target import phrase, sources
from .writer import Writer

_TOGETHER = 64
"""Spans in one filter."""
_LIFE = ("strength", "recalls", "recalled_ns")
"""Columns that an event keeps when it is built again."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What goes, and what stands in the place of what was derived from it."""

    spans: tuple[Erased, ...]
    gone: frozenset[str]
    """Streams of which nothing stays."""
    percepts: frozenset[str]
    """Ids of percepts."""
    thumbnails: frozenset[str]
    events: frozenset[str]
    """Ids of events that lost percepts."""
    gists: int
    """Of those, of events that were tied to them, and of summaries made from either: made anew, or gone."""
    links: int
    places: int
    """Places that went or are counted anew."""
    words: frozenset[str]
    """What was said or shown in what goes, as `target.phrase` has it."""
    vectors: frozenset[bytes] = field(repr=False)
    """`mark` of the vectors in what goes."""
    changes: Changes


def mark(vector: Any) -> bytes:
    """8 bytes that tell float32[d] from others."""
    return hashlib.blake2b(np.ascontiguousarray(vector, dtype="<f4").tobytes(), digest_size=8).digest()


def reach(
    spans: Sequence[Erased],
    gone: Collection[str],
    writer: Writer,
    summarise: Summariser,
    said: str = "",
) -> Reach:
    """What the spans reach in the tables as they stand; percepts that overlap them go, in every lane and camera.

    gone: streams that go whole, to their row in the ledger. said: a phrase that no gist and no name may hold.
    """
    states = dict(writer.streams)
    named = {name: [s for s in spans if any(map(s.concerns, sources(state)))] for name, state in states.items()}
    named = {name: mine for name, mine in named.items() if mine or name in gone}
    filters = [each for name, mine in named.items() for each in _filters(name, () if name in gone else mine)]
    lost = [row for each in filters for row in writer.read(tables.PERCEPTS, each, _LOST).to_pylist()]
    ids = frozenset(row["id"] for row in lost)
    events = _Events(writer, ids, gone, summarise, said)
    places = recount(writer, named, gone, ids, said)
    of_gone = [f"stream = {tables.literal(name)}" for name in sorted(gone)]
    summaries = of_gone + derived_from(events.touched | events.derived) + _saying(writer, said)
    drop = {
        tables.PERCEPTS: filters,
        tables.EVENTS: of_gone,
        tables.SUMMARIES: summaries,
        tables.PLACES: of_gone + [f"(id = {tables.literal(id)} AND take = {take})" for id, take in places.gone],
    }
    put = {tables.EVENTS: events.rows, tables.PLACES: places.rows}
    return Reach(
        spans=tuple(spans),
        gone=frozenset(gone),
        percepts=ids,
        thumbnails=frozenset(row["thumbnail"] for row in lost if row["thumbnail"]),
        events=events.touched,
        gists=len(events.touched | events.derived) + _count(writer, tables.SUMMARIES, summaries),
        links=events.links,
        places=places.count,
        words=frozenset(phrase(row["text"]) for row in lost if row["text"]) - {""},
        vectors=_marks(writer, filters),
        changes=Changes(drop, put),
    )


_LOST = ["id", "stream", "take", "t0_ns", "text", "thumbnail"]


def _filters(stream: str, spans: Sequence[Erased]) -> Iterator[str]:
    """Filters for a stream's rows that overlap the spans, or for all: names and times, since Lance notes them."""
    name = f"stream = {tables.literal(stream)}"
    if not spans:
        yield name
        return
    parts = [" AND ".join(tables.overlapping(s.t0_ns, s.t1_ns if s.t1_ns < FOREVER else None)) for s in spans]
    for first in range(0, len(parts), _TOGETHER):
        yield f"({name} AND ({' OR '.join(f'({part})' for part in parts[first : first + _TOGETHER])}))"


def _saying(writer: Writer, said: str) -> list[str]:
    """Filters for summaries that hold a phrase."""
    rows = writer.read(tables.SUMMARIES, columns=["id", "text", "name"]).to_pylist() if said else []
    ids = [row["id"] for row in rows if said in phrase(row["text"]) or said in phrase(row["name"])]
    return [tables.among("id", ids)] if ids else []


def _count(writer: Writer, name: str, filters: Sequence[str]) -> int:
    """Rows of a table for which one of the filters holds."""
    return len({id for each in filters for id in writer.read(name, each, ["id"])["id"].to_pylist()})


def _marks(writer: Writer, filters: Sequence[str]) -> frozenset[bytes]:
    spaces = writer.manifest.spaces
    marks: set[bytes] = set()
    for each in filters:
        rows = writer.read(tables.PERCEPTS, each, [tables.column(space.name) for space in spaces])
        for space in spaces:
            for vector in tables.vectors_of(rows, space.name):
                if vector is not None:
                    marks |= {mark(vector), mark(vector.astype(np.float16))}  # as rows have it, and as prototypes do
    return frozenset(marks)


class _Events:
    """The events that have to be built again, as rows."""

    def __init__(
        self,
        writer: Writer,
        lost: Collection[str],
        gone: Collection[str],
        summarise: Summariser,
        said: str,
    ) -> None:
        """Reads the events, but not their vectors."""
        listed = writer.read(tables.EVENTS, columns=["id", "stream", "take", "percepts", "links", "gist"]).to_pylist()
        hit = {row["id"] for row in listed if row["stream"] in gone or any(id in lost for id in row["percepts"])}
        self.touched = frozenset(hit)
        tied = {link["event"] for row in listed if row["id"] in hit for link in row["links"]}
        tied |= {row["id"] for row in listed if any(link["event"] in hit for link in row["links"])}
        tied |= {row["id"] for row in listed if said and said in phrase(row["gist"])}
        built = [row for row in listed if row["id"] in hit | tied and row["stream"] not in gone]
        self.derived = frozenset(row["id"] for row in built) - hit
        self.links = sum(len(row["links"]) for row in listed if row["id"] in hit)
        self.links += sum(x["event"] in hit for row in listed if row["id"] not in hit for x in row["links"])
        self.rows = self._built(writer, built, lost, summarise)

    def _built(
        self, writer: Writer, listed: Sequence[Mapping[str, Any]], lost: Collection[str], summarise: Summariser
    ) -> Any:
        import pyarrow as pa

        rows: list[dict[str, Any]] = []
        spaces = writer.manifest.spaces
        columns = [*tables.WORDS, *(tables.column(space.name) for space in spaces)]
        for known in listed:
            own = f"take = {known['take']}"
            old = writer.read(tables.EVENTS, f"id = {tables.literal(known['id'])} AND {own}")
            left = [id for id in known["percepts"] if id not in lost]
            members: list[Percept] = []
            if left:
                members = tables.percepts_of(
                    writer.read(tables.PERCEPTS, f"{tables.among('id', left)} AND {own}", columns), spaces
                )
            was = old.select(["stream", "t0_ns", "t1_ns", "ordinal", *_LIFE]).to_pylist()[0]
            event = build_event(was["stream"], was["t0_ns"], was["t1_ns"], was["ordinal"], members, summarise)
            links = [] if known["id"] in self.touched else [x for x in known["links"] if x["event"] not in self.touched]
            row = tables.event_row(event, known["take"]) | {name: was[name] for name in _LIFE}
            rows.append(row | {"links": links})
        return pa.Table.from_pylist(rows, schema=tables.schemas(spaces)[tables.EVENTS])
