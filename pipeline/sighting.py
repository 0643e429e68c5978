"""What was seen and heard, from the words of single percepts: visits to rooms, the things in them, sounds that lasted.

A percept's words say what one picture shows ("a small red mug, a blue chair; kitchen"); they are the guesses of an
encoder, and neighbouring guesses may disagree. Here they become runs: consecutive sights that say the same are one
sighting, and a contradiction is settled by votes weighted by confidence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..records import NS_PER_S, Event, Percept
from .thesaurus import COLOURS, is_room
from .words import STOP, Word, split

JOIN_NS = 3 * NS_PER_S
"""A thing that is out of sight, or a sound that pauses, for less is taken to have gone on."""
AWAY_NS = 60 * NS_PER_S
"""A kept sight without a later one, in no closed event, holds this long at most."""
NEAR_NS = 2 * NS_PER_S
"""Sights this close in time have a say in which room it is."""
NEIGHBOUR = 0.5
"""Weight of a neighbour's say beside the sight's own."""
NOISE = 0.5
"""A kind in another colour with less than this share of the votes, never in one picture with it, was misjudged."""
_TAIL = frozenset("with that in on at under behind beside near holding".split())


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing by its words: "a small red mug"."""

    text: str
    head: Word
    """The noun."""
    colour: str = ""
    """By the word that stands for its row; empty where none is said."""
    others: frozenset[str] = frozenset()
    """Stems of the words beside: size, surface, what it does."""
    trailing: str = ""
    """What it does, as it is said: "walking"."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing in one visit."""

    thing: Thing
    weight: float
    """Its votes: confidences added up."""
    percepts: tuple[Percept, ...]
    """Those that state it, in order of time."""
    spans: tuple[tuple[int, int], ...]
    """When it was in sight, [t0_ns, t1_ns)."""

    @property
    def best(self) -> Percept:
        return max(self.percepts, key=lambda p: (p.confidence, -p.t0_ns))

    @property
    def confidence(self) -> float:
        return self.weight / len(self.percepts)


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay in one room, seen by one camera."""

    stream: str
    room: str
    """Empty where none is claimed."""
    t0_ns: int
    t1_ns: int
    percepts: tuple[Percept, ...]
    things: tuple[Seen, ...]
    """Most votes first."""
    place: str = ""
    """The key of its place, where that tells rooms apart (`places.PlaceNames.label`)."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """A sound that lasted, with pauses shorter than `JOIN_NS`."""

    stream: str
    name: str
    t0_ns: int
    t1_ns: int
    percepts: tuple[Percept, ...]

    @property
    def confidence(self) -> float:
        return max(p.confidence for p in self.percepts)


def read_thing(text: str) -> Thing | None:
    """A noun phrase in its parts; None where it has no noun."""
    every = [word for word in split(text) if word.lower not in STOP or word.lower in _TAIL]
    cut = next((i for i, word in enumerate(every) if i and word.lower in _TAIL), len(every))
    words = [word for word in every[:cut] if word.lower not in STOP]
    trailing: list[Word] = []
    while len(words) > 1 and _does(words[-1]) and not _is_quality(words[-2]):
        trailing.insert(0, words.pop())
    if not words or _is_quality(words[-1]):
        return None
    head = words[-1]
    colour = next((COLOURS[word.lower] for word in words[:-1] if word.lower in COLOURS), "")
    beside = [*words[:-1], *trailing, *(word for word in every[cut:] if word.lower not in STOP)]
    others = frozenset(word.stem for word in beside if word.lower not in COLOURS)
    return Thing(text.strip(), head, colour, others, " ".join(word.surface for word in trailing))


@lru_cache(maxsize=20_000)
def read_words(text: str) -> tuple[tuple[Thing, ...], str]:
    """A percept's words: its things, and the room in lower case (empty where none is said).

    What follows the room behind a comma ("; kitchen, at night") says how it was lit, not which it was. Words without a
    semicolon are a room where they name one. Sights say the same words again and again, and a question reads them all.
    """
    told, mark, behind = text.partition(";")
    if not mark and is_room(_plain(told)):
        told, behind = "", told
    things = (read_thing(part) for part in told.split(","))
    return tuple(thing for thing in things if thing is not None), _plain(behind)


def _plain(room: str) -> str:
    return " ".join(room.partition(",")[0].lower().split()).removeprefix("the ")


Label = Callable[[Percept, str], tuple[str, str]]
"""(a sight, the room that the words say) -> (the room that it is in, the key of its place or "")."""


def visits(percepts: Sequence[Percept], events: Sequence[Event], label: Label | None = None) -> list[Visit]:
    """Visits in order of (stream, time), from vision percepts, with words or without, and the closed events.

    label: what is known of places beside the words.
    """
    made: list[Visit] = []
    lines: dict[tuple[str, str], list[Percept]] = defaultdict(list)
    for percept in percepts:
        lines[percept.stream, percept.camera].append(percept)
    for (stream, _), line in sorted(lines.items()):
        line.sort(key=lambda p: (p.t0_ns, p.id))
        ends = _ends(line, [event for event in events if event.stream == stream])
        told = [read_words(p.text or "") for p in line]
        voted = _rooms(line, ends, [room for _, room in told])
        rooms = [(room, "") if label is None else label(p, room) for p, room in zip(line, voted, strict=True)]
        first = 0
        for i in range(1, len(line) + 1):
            if i == len(line) or rooms[i] != rooms[first] or line[i].t0_ns - ends[i - 1] > JOIN_NS:
                made.append(
                    _visit(stream, *rooms[first], line[first:i], ends[first:i], [things for things, _ in told[first:i]])
                )
                first = i
    return sorted(made, key=lambda visit: (visit.stream, visit.t0_ns))


def hearings(percepts: Iterable[Percept]) -> list[Hearing]:
    """Sounds that lasted, in order of (stream, time), from named sound percepts."""
    made: list[Hearing] = []
    last: dict[tuple[str, str], int] = {}
    for percept in sorted(percepts, key=lambda p: (p.stream, p.t0_ns, p.id)):
        if not percept.text:
            continue
        key = (percept.stream, percept.text.lower())
        at = last.get(key)
        if at is not None and percept.t0_ns - made[at].t1_ns < JOIN_NS:
            t1_ns = max(made[at].t1_ns, percept.t1_ns)
            made[at] = replace(made[at], t1_ns=t1_ns, percepts=(*made[at].percepts, percept))
            continue
        last[key] = len(made)
        made.append(Hearing(percept.stream, percept.text, percept.t0_ns, percept.t1_ns, (percept,)))
    return made


def _does(word: Word) -> bool:
    """Whether a word behind a noun says what it does: "walking", "standing still"."""
    return word.lower == "still" or (word.lower.endswith("ing") and word.stem != word.lower)


def _is_quality(word: Word) -> bool:
    return word.lower in COLOURS


def _ends(line: Sequence[Percept], events: Sequence[Event]) -> list[int]:
    """Until when each kept sight holds: the next kept one, or the end of its event."""
    starts = [event.t0_ns for event in events]
    ends = []
    for i, percept in enumerate(line):
        at = bisect_right(starts, percept.t0_ns) - 1
        closed = at >= 0 and percept.t0_ns < events[at].t1_ns
        limit = events[at].t1_ns if closed else percept.t0_ns + AWAY_NS
        if i + 1 < len(line):
            limit = min(line[i + 1].t0_ns, limit)
        elif not closed:
            limit = percept.t1_ns
        ends.append(max(limit, percept.t0_ns))
    return ends


def _rooms(line: Sequence[Percept], ends: Sequence[int], told: Sequence[str]) -> list[str]:
    """The room of each sight by its own say and its neighbours': one misjudged picture makes no visit."""
    rooms = []
    for i, percept in enumerate(line):
        votes: dict[str, float] = defaultdict(float)
        if told[i]:
            held = (ends[i] - percept.t0_ns) / NEAR_NS  # what was looked at long was not misjudged in passing
            votes[told[i]] += percept.confidence * min(max(held, 1.0), 3.0)
        for step in (-1, 1):
            j = i + step
            while 0 <= j < len(line) and _apart(line, ends, i, j) < NEAR_NS:
                if told[j] and (told[i] or line[j].place == percept.place):
                    votes[told[j]] += NEIGHBOUR * line[j].confidence
                j += step
        rooms.append(max(sorted(votes), key=lambda room: votes[room]) if votes else "")
    return rooms


def _apart(line: Sequence[Percept], ends: Sequence[int], i: int, j: int) -> int:
    first, last = min(i, j), max(i, j)
    return line[last].t0_ns - (ends[first] if last == first + 1 else line[first].t0_ns)


def _visit(
    stream: str,
    room: str,
    place: str,
    line: Sequence[Percept],
    ends: Sequence[int],
    told: Sequence[tuple[Thing, ...]],
) -> Visit:
    stated: dict[tuple[str, str], list[tuple[int, Thing]]] = defaultdict(list)
    for i, things in enumerate(told):
        for thing in things:
            stated[thing.head.stem, thing.colour].append((i, thing))
    weights = {key: sum(line[i].confidence for i in {i for i, _ in says}) for key, says in stated.items()}
    kept = _settled(stated, weights)
    seen = []
    for key in kept:
        says = stated[key]
        at = sorted({i for i, _ in says})
        texts: dict[str, float] = defaultdict(float)
        for i, thing in says:
            texts[thing.text] += line[i].confidence
        text = max(sorted(texts), key=lambda t: texts[t])
        thing = next(thing for _, thing in says if thing.text == text)
        spans = _joined([(line[i].t0_ns, ends[i]) for i in at])
        seen.append(Seen(thing, weights[key], tuple(line[i] for i in at), spans))
    seen.sort(key=lambda s: (-s.weight, s.spans[0], s.thing.text))
    return Visit(stream, room, line[0].t0_ns, ends[-1], tuple(line), tuple(seen), place)


def _settled(
    stated: dict[tuple[str, str], list[tuple[int, Thing]]], weights: dict[tuple[str, str], float]
) -> list[tuple[str, str]]:
    """The (kind, colour)s that are believed: of one kind in two colours, never in one picture, the votes decide."""
    kept: list[tuple[str, str]] = []
    for key in sorted(stated, key=lambda k: (not k[1], -weights[k], k)):  # those with a colour first
        mine = {i for i, _ in stated[key]}
        rivals = [k for k in kept if k[0] == key[0] and not mine & {i for i, _ in stated[k]}]
        if all(key[1] and weights[key] >= NOISE * weights[k] for k in rivals):
            kept.append(key)
    return kept


def _joined(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for t0_ns, t1_ns in spans:
        if joined and t0_ns - joined[-1][1] < JOIN_NS:
            joined[-1] = (joined[-1][0], max(joined[-1][1], t1_ns))
        else:
            joined.append((t0_ns, t1_ns))
    return tuple(joined)
