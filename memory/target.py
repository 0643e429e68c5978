"""What a person asks to have forgotten, and the spans of streams in which that lies.

A target is a stream or a span of one, an event, a place, or words. Erasure is by time: what else was perceived while
the target was there (the picture behind a sentence, the voice in a room) goes with it. It is exact: words are found as
words, not by what they mean.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MnemeError
from ..records import Percept, Stream
from . import tables
from .erased import FOREVER, Erased, joined, span_of
from .ledger import StreamState
from .writer import Writer

PIECES = "·"
"""What stands between the pieces of a gist: words on both sides of it do not stand together."""
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Exactly one of: a stream (whole, or within a span), an event, a place, words."""

    stream: str | None = None
    t0_ns: int | None = None
    t1_ns: int | None = None
    event: str | None = None
    """Id of an event."""
    place: str | None = None
    """Key, name or id of a place, whatever its case."""
    text: str | None = None
    """Words that stand together in what was said, shown or seen, or in a place's name; case and punctuation do not
    count."""

    def __post_init__(self) -> None:
        """Raises `MnemeError` of none, of several, and of a span without a stream or without a length."""
        kinds = [kind for kind in ("stream", "event", "place", "text") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            said = " and ".join(kinds) or "nothing"
            raise MnemeError(f"{said} was named to be forgotten", "name one: a stream, an event, a place or words")
        if self.stream is None and (self.t0_ns, self.t1_ns) != (None, None):
            raise MnemeError("a time to be forgotten says little without its stream", "name the stream too")
        if (self.t0_ns or 0) >= (FOREVER if self.t1_ns is None else self.t1_ns):
            raise MnemeError("the span to be forgotten ends before it begins", "give its times the other way round")
        if self.text is not None and not phrase(self.text):
            raise MnemeError("there are no words to be forgotten", "give the words as they were said or shown")

    @property
    def kind(self) -> str:
        """Of which kind it is, in a word."""
        if self.stream is not None:
            return "span" if self.spanned else "stream"
        return "event" if self.event is not None else "place" if self.place is not None else "text"

    @property
    def spanned(self) -> bool:
        """Whether only a part of the stream is meant."""
        return self.t0_ns is not None or self.t1_ns is not None


def phrase(text: str) -> str:
    """The words of a text, one space around each, so that a phrase in it is a part of it; "" where there are none.

    Where words are written without spaces between them, each character counts as one.

    >>> phrase("the RED mug") in phrase("Where is the red mug?"), phrase("red") in phrase("a hundred")
    (True, False)
    >>> phrase("红色杯子") in phrase("我的红色杯子在哪里")
    True
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return f" {' '.join(words)} " if words else ""


def tells(gist: str, words: str) -> bool:
    """Whether one of the pieces of a gist holds a phrase."""
    return bool(words) and any(words in phrase(piece) for piece in gist.split(PIECES))


def spans_of(
    target: Target,
    writer: Writer,
    pending: Iterable[tuple[Stream, Percept]] = (),
    stood: Iterable[Erased] = (),
) -> tuple[Erased, ...]:
    """Where the target lies, in every stream of the same source. Raises `MnemeError` where it is nowhere.

    Words may have no span at all: they stand in a name, or nowhere. Where only an event's gist says them, since the
    budget forgot who said them when, the whole event counts. pending: what recorders hold and have not stored, each
    with its source. stood: their times in the place, if one is meant, since the events that they closed last.
    """
    states = dict(writer.streams)
    if target.stream is not None:
        spans = _asked(target, states)
    elif target.event is not None:
        columns = ["stream", "take", "t0_ns", "t1_ns"]
        rows = writer.read(tables.EVENTS, f"id = {tables.literal(target.event)}", columns).to_pylist()
        spans = [span_of(_source(states, r), r["t0_ns"], r["t1_ns"]) for r in rows]
        if not spans:
            raise MnemeError(f"there is no event {target.event!r} in this memory", "mneme events lists those there are")
    elif target.place is not None:
        spans = [*_in_place(target.place, writer, states), *stood]
        if not spans:
            raise MnemeError(f"there is no place {target.place!r} in this memory", "mneme places lists those there are")
    else:
        spans = list(_with_words(phrase(target.text or ""), writer, states, pending))
    return joined(spans)


def _asked(target: Target, states: Mapping[str, StreamState]) -> list[Erased]:
    state = states.get(target.stream or "")
    if state is None:
        known = ", ".join(sorted(states)) or "none"
        raise MnemeError(f"there is no stream {target.stream!r} in this memory", f"it knows {known}")
    t1_ns = FOREVER if target.t1_ns is None else target.t1_ns
    return [span_of(source, target.t0_ns or 0, t1_ns) for source in sources(state)]


def sources(state: StreamState) -> Iterator[Stream]:
    """The source of a stream, and that of what is to replace it."""
    yield state.stream
    if state.successor is not None:
        yield from sources(state.successor)


def _source(states: Mapping[str, StreamState], row: Mapping[str, Any]) -> Stream:
    """The source that a row was perceived from."""
    state = states[row["stream"]]
    while state.take != row["take"] and state.successor is not None:
        state = state.successor
    return state.stream


def _with_words(
    words: str, writer: Writer, states: Mapping[str, StreamState], pending: Iterable[tuple[Stream, Percept]]
) -> Iterator[Erased]:
    columns = ["id", "stream", "take", "t0_ns", "t1_ns", "text"]
    rows = writer.read(tables.PERCEPTS, "text IS NOT NULL", columns).to_pylist()
    saying = [row for row in rows if words in phrase(row["text"])]
    for row in saying:
        yield span_of(_source(states, row), row["t0_ns"], max(row["t1_ns"], row["t0_ns"] + 1))
    ids = {row["id"] for row in saying}
    columns = ["stream", "take", "t0_ns", "t1_ns", "percepts", "gist"]
    for row in writer.read(tables.EVENTS, "gist != ''", columns).to_pylist():
        if tells(row["gist"], words) and ids.isdisjoint(row["percepts"]):
            yield span_of(_source(states, row), row["t0_ns"], row["t1_ns"])
    for source, percept in pending:
        if percept.text and words in phrase(percept.text):
            yield span_of(source, percept.t0_ns, max(percept.t1_ns, percept.t0_ns + 1))


def _in_place(place: str, writer: Writer, states: Mapping[str, StreamState]) -> Iterator[Erased]:
    """From each arrival there to the next place that is known, or to the end of what was perceived.

    An event whose percepts the budget forgot counts whole, where it was there. A place that is known from poses alone
    has the times at which it was seen first and last, and what lies between them where there was one visit.
    """
    called = place.casefold()
    columns = ["id", "stream", "take", "key", "name", "visits", "first_ns", "last_ns"]
    known: list[dict[str, Any]] = writer.read(tables.PLACES, columns=columns).to_pylist()
    known = [row for row in known if called in {(row[n] or "").casefold() for n in ("id", "key", "name")}]
    own = {(row["stream"], row["key"]) for row in known}
    rows: list[dict[str, Any]] = writer.read(
        tables.PERCEPTS, "place IS NOT NULL", ["stream", "take", "t0_ns", "t1_ns", "place"]
    ).to_pylist()
    columns = ["stream", "take", "t0_ns", "t1_ns", "percepts", "place"]
    for row in writer.read(tables.EVENTS, "place IS NOT NULL", columns).to_pylist():
        if not row["percepts"] and ((row["stream"], row["place"]) in own or row["place"].casefold() == called):
            yield span_of(_source(states, row), row["t0_ns"], row["t1_ns"])
    stood = {(row["stream"], row["take"], row["place"]) for row in rows}
    for row in known:
        if (row["stream"], row["take"], row["key"]) not in stood:
            first, last, of = row["first_ns"], row["last_ns"], (row["stream"], row["take"])
            left = any(of == (r["stream"], r["take"]) and first <= r["t0_ns"] <= last for r in rows)
            once = row["visits"] <= 1 and not left  # an erasure may have counted fewer visits than there were
            for t0_ns, t1_ns in [(first, last)] if once else [(first, first), (last, last)]:
                yield span_of(_source(states, row), t0_ns, t1_ns + 1)
    rows.sort(key=lambda r: (r["stream"], r["take"], r["t0_ns"]))
    stay: dict[str, Any] | None = None
    for row in [*rows, None]:
        there = row is not None and ((row["stream"], row["place"]) in own or row["place"].casefold() == called)
        same = stay is not None and row is not None and all(stay[key] == row[key] for key in ("stream", "take"))
        if stay is not None and (not there or not same):
            left_ns = row["t0_ns"] if same and row is not None else states[stay["stream"]].seen_ns
            yield span_of(_source(states, stay), stay["t0_ns"], max(left_ns, stay["t1_ns"]))
            stay = None
        if there and row is not None:
            t1_ns = max(row["t1_ns"], row["t0_ns"] + 1)
            stay = dict(row, t1_ns=t1_ns) if stay is None else dict(stay, t1_ns=max(stay["t1_ns"], t1_ns))
