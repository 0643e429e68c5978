"""The events that an erasure reaches, as rows: built again from what they still have, or without a tie or some words.

An event is hit when it lost percepts, or when it tells of the erased time beyond its percepts, which the budget forgot:
it is built again from those that are left. What the budget had forgotten of the rest of such an event goes too, since
it cannot be told apart. An event that was only tied to one of these loses the tie and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..records import Percept
from . import tables
from .episodic import Summariser, build_event, in_order
from .erased import Erased
from .remains import holds_more
from .target import PIECES, phrase, tells
from .writer import Writer

TELLING = 12
"""Characters from which on a text that goes is looked for in gists and notes: shorter ones are anybody's words."""
MOST = 1000
"""Texts that are looked for, at most: the longest."""
_LIFE = ("strength", "recalls", "recalled_ns")
"""Columns that an event keeps when it is built again."""
_LISTED = ["id", "stream", "take", "t0_ns", "t1_ns", "percepts", "links", "gist", "place"]


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """What goes, and by what events are recognised that it concerns."""

    percepts: frozenset[str]
    """Ids."""
    gone: Collection[str]
    """Streams that go whole."""
    spans: Mapping[str, Sequence[Erased]]
    """Stream -> what is erased of it."""
    words: Collection[str] = ()
    """What the percepts say, as `target.phrase` has it."""
    said: str = ""
    """A phrase that nothing may hold; "": none."""
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(stream, key of a place) -> the key that takes its place."""


def telling(words: Collection[str]) -> list[str]:
    """Those of the texts that go that are looked for, the longest first."""
    return sorted((each for each in words if len(each) >= TELLING), key=lambda w: (-len(w), w))[:MOST]


class Rebuilt:
    """The events that stand otherwise afterwards."""

    def __init__(self, writer: Writer, lost: Lost, summarise: Summariser) -> None:
        """Reads the events, but vectors only of those that it concerns."""
        import pyarrow as pa

        self._writer, self._lost, self._summarise = writer, lost, summarise
        self._spaces = writer.manifest.spaces
        listed = writer.read(tables.EVENTS, columns=_LISTED).to_pylist()
        self.touched = frozenset(row["id"] for row in listed if self._is_hit(row))
        """Ids of events that lost percepts, or what was left of them."""
        words = self._unsaid(listed)
        rows, derived = [], set()
        for known in listed:
            if known["stream"] in lost.gone:
                continue
            if known["id"] in self.touched:
                rows.append(self._again(known))
            elif (changed := self._without(known, words)) is not None:
                rows.append(changed)
                derived |= {known["id"]} if changed["gist"] != known["gist"] else set()
        self.derived = frozenset(derived)
        """Ids of others whose gist said what was erased."""
        self.links = sum(len(row["links"]) for row in listed if row["id"] in self.touched)
        self.links += sum(
            tie["event"] in self.touched for row in listed if row["id"] not in self.touched for tie in row["links"]
        )
        self.rows = pa.Table.from_pylist(rows, schema=tables.schemas(self._spaces)[tables.EVENTS])

    def _is_hit(self, row: Mapping[str, Any]) -> bool:
        if row["stream"] in self._lost.gone or not self._lost.percepts.isdisjoint(row["percepts"]):
            return True
        if not any(span.meets(row["t0_ns"], row["t1_ns"]) for span in self._lost.spans.get(row["stream"], ())):
            return False
        [event] = tables.events_of(self._row(row), self._spaces)
        return holds_more(event, self._members(row), self._summarise)

    def _again(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """The row of an event built again from the percepts that it still has."""
        was = self._row(known).select(["stream", "t0_ns", "t1_ns", "ordinal", *_LIFE]).to_pylist()[0]
        members = self._members(known)
        event = build_event(was["stream"], was["t0_ns"], was["t1_ns"], was["ordinal"], members, self._summarise)
        row = tables.event_row(event, known["take"]) | {name: was[name] for name in _LIFE}
        return row | {"links": [], "place": self._placed(known["stream"], event.place)}

    def _without(self, known: Mapping[str, Any], words: Collection[str]) -> dict[str, Any] | None:
        """The row of an event that lost nothing of its own; None where it stands as it did."""
        links = [tie for tie in known["links"] if tie["event"] not in self.touched]
        place = self._placed(known["stream"], known["place"])
        gist = self._unsaying(known, words)
        if (links, place, gist) == (known["links"], known["place"], known["gist"]):
            return None
        row: dict[str, Any] = self._row(known).to_pylist()[0]
        return row | {"links": links, "place": place, "gist": gist}

    def _unsaying(self, known: Mapping[str, Any], words: Collection[str]) -> str:
        """Its gist without the pieces that say one of these; where none is left, what its percepts say."""
        if not any(tells(known["gist"], each) for each in words):
            return str(known["gist"])
        pieces = [piece.strip() for piece in known["gist"].split(PIECES)]
        left = [piece for piece in pieces if not any(each in phrase(piece) for each in words)]
        return f" {PIECES} ".join(left) if left else self._summarise(in_order(self._members(known)))

    def _unsaid(self, listed: Sequence[Mapping[str, Any]]) -> list[str]:
        """What gists must not say: the phrase, and what only percepts say that go."""
        sought = telling(self._lost.words)
        others = [row["gist"] for row in listed if row["id"] not in self.touched and row["gist"]]
        said = [words for gist in others for piece in gist.split(PIECES) for words in _in(phrase(piece), sought)]
        if said:
            where = "text IS NOT NULL"
            rows = self._writer.read(tables.PERCEPTS, where, ["id", "text"]).to_pylist()
            stays = [phrase(row["text"]) for row in rows if row["id"] not in self._lost.percepts]
            said = [words for words in dict.fromkeys(said) if not any(words in other for other in stays)]
        return [*said, self._lost.said] if self._lost.said else said

    def _placed(self, stream: str, key: str | None) -> str | None:
        return None if key is None else self._lost.places.get((stream, key), key)

    def _row(self, known: Mapping[str, Any]) -> Any:
        where = f"id = {tables.literal(known['id'])} AND take = {known['take']}"
        return self._writer.read(tables.EVENTS, where).slice(0, 1)

    def _members(self, known: Mapping[str, Any]) -> list[Percept]:
        """The percepts that an event still has and keeps."""
        left = [id for id in known["percepts"] if id not in self._lost.percepts]
        if not left:
            return []
        columns = [*tables.WORDS, *(tables.column(space.name) for space in self._spaces)]
        where = f"{tables.among('id', left)} AND take = {known['take']}"
        return tables.percepts_of(self._writer.read(tables.PERCEPTS, where, columns), self._spaces)


def _in(said: str, sought: Sequence[str]) -> Iterator[str]:
    return (words for words in sought if words in said)
