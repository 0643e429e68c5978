"""What an erasure reaches in the tables: the rows that go, and the rows that are made anew from what remains.

Events tile a stream and keep their numbers, so an event that lost percepts stays, with the same span and id, and is
built again from the percepts that it still has; one that lost all holds nothing (`rebuilt`). The links to it go, as do
the summaries that were made from it: sleep makes anew what still belongs together. Places that lost something are
counted again (`recount`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import tables
from .changes import Changes
from .consolidate import with_column
from .episodic import Summariser
from .erased import FOREVER, Erased
from .rebuilt import Lost, Rebuilt
from .recount import recount, renamed
from .semantic import derived_from
from .target import phrase, sources, tells
from .writer import Writer

_TOGETHER = 64
"""Spans in one filter."""


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
    """Ids of events that lost percepts, or what was left of percepts that the budget forgot."""
    gists: int
    """Of those, of other events that said what goes, and of summaries made from either: made anew, or gone."""
    links: int
    places: int
    """Places that went, are counted anew, or lost their name."""
    renamed: frozenset[str]
    """Streams in which a place is called otherwise now."""
    words: frozenset[str]
    """What was said or shown in what goes, as `target.phrase` has it."""
    vectors: frozenset[bytes] = field(repr=False)
    """`mark` of the vectors in what goes."""
    changes: Changes

    @property
    def empty(self) -> bool:
        """Whether nothing is reached."""
        counts = len(self.percepts) + len(self.events) + self.gists + self.places
        return not counts and not any(map(len, self.changes.put.values()))


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
    words = frozenset(phrase(row["text"]) for row in lost if row["text"]) - {""}
    keys = renamed(writer, said)
    events = Rebuilt(writer, Lost(ids, gone, named, words, said, keys), summarise)
    places = recount(writer, named, gone, ids, said)
    of_gone = [f"stream = {tables.literal(name)}" for name in sorted(gone)]
    summaries = of_gone + derived_from(events.touched | events.derived) + _saying(writer, said)
    drop = {
        tables.PERCEPTS: filters,
        tables.EVENTS: of_gone,
        tables.SUMMARIES: summaries,
        tables.PLACES: of_gone + [f"(id = {tables.literal(id)} AND take = {take})" for id, take in places.gone],
    }
    put = {tables.EVENTS: events.rows, tables.PLACES: places.rows, tables.PERCEPTS: _placed(writer, keys, gone, ids)}
    return Reach(
        spans=tuple(spans),
        gone=frozenset(gone),
        percepts=ids,
        thumbnails=frozenset(row["thumbnail"] for row in lost if row["thumbnail"]),
        events=events.touched,
        gists=len(events.touched | events.derived) + _count(writer, tables.SUMMARIES, summaries),
        links=events.links,
        places=places.count,
        renamed=frozenset(stream for stream, _ in keys),
        words=words,
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
    rows = writer.read(tables.SUMMARIES, columns=["id", "text", "name", "places"]).to_pylist() if said else []
    ids = [row["id"] for row in rows if any(tells(text, said) for text in words_of(row))]
    return [tables.among("id", ids)] if ids else []


def words_of(summary: Mapping[str, Any]) -> list[str]:
    """All the words in a row of `summaries`."""
    return [summary["text"], summary["name"], *(place["place"] for place in summary["places"])]


def _placed(writer: Writer, keys: Mapping[tuple[str, str], str], gone: Collection[str], lost: Collection[str]) -> Any:
    """The percepts that stay and name a place by one of these keys, with the one that takes its place; whole rows."""
    import pyarrow as pa

    found = [tables.schemas(writer.manifest.spaces)[tables.PERCEPTS].empty_table()]
    for (stream, key), other in sorted(keys.items()):
        if stream in gone:
            continue
        rows = writer.read(tables.PERCEPTS, f"stream = {tables.literal(stream)} AND place = {tables.literal(key)}")
        rows = rows.filter(pa.array([id not in lost for id in rows["id"].to_pylist()], pa.bool_()))
        found.append(with_column(rows, "place", [other] * len(rows)).select(found[0].column_names))
    return pa.concat_tables(found)


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
