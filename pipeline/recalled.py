"""What a memory has seen and heard, as one question needs it: occurrences of a thing or a sound, stays in rooms.

Words decide what counts as the thing that is asked for; where several sights do, the question's vector says which is
nearest (text and sights may share a space).
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from ..records import Lane, Percept
from .places import PlaceNames, rooms_told
from .seen_question import Named
from .sighting import JOIN_NS, Hearing, Seen, Thing, Visit, hearings, visits
from .thesaurus import BYSTANDERS, SIZES, SOUNDS, THINGS, VOICES, joined, same_room
from .words import split, stem

if TYPE_CHECKING:
    from .evidence import Finder

MEANT = 0.70
"""Cosine of all-MiniLM-L6-v2 from which one noun is taken for another's name (cup and mug 0.71, truck and car 0.69)."""
DOUBTFUL = 0.5
"""A thing that is stated once, with less confidence, counts only where it is stated nowhere better."""
_SIZES = {stem(word): size for word, size in SIZES.items()}


@dataclass(frozen=True, slots=True)
class Hit:
    """A stretch of time in which something was seen, heard, or a room stayed in."""

    stream: str
    t0_ns: int
    t1_ns: int
    room: str
    text: str
    percept: Percept
    score: float
    """0 to 1."""
    weight: float = 1.0
    """Votes."""
    seen: Seen | None = None
    place: str = ""
    """As `Visit.place`."""

    def meets(self, stream: str, t0_ns: int, t1_ns: int) -> bool:
        """Whether it shares time with a span of a stream; an instant counts where it stands."""
        return self.stream == stream and t0_ns < max(self.t1_ns, self.t0_ns + 1) and self.t0_ns < max(t1_ns, t0_ns + 1)


class Scenes:
    """The sights and sounds of a snapshot that have words; made once a snapshot, asked by many questions."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        percepts = finder.snapshot.percepts(lanes=("vision", "sound"), stream=finder.stream)
        self.percepts = len(percepts)
        """How many sights and sounds there are, without words too."""
        sights = [p for p in percepts if p.lane == "vision"]
        has_words = any(p.text for p in sights)
        self._places = PlaceNames(finder.snapshot.places(finder.stream))
        self._sights: dict[tuple[str, str], list[Percept]] = defaultdict(list)
        """(stream, place) -> what was seen there, of places that tell rooms apart."""
        events = finder.snapshot.events(finder.stream)
        self.visits: list[Visit] = visits(sights, events, self._label) if has_words or len(self._places) else []
        self.hearings: list[Hearing] = hearings(p for p in percepts if p.lane == "sound")
        self._in_rooms = _in_rooms(self.visits)
        self.rooms = tuple(dict.fromkeys(visit.room for visit in self.visits if visit.room))
        self._also = {at: self._called(seen) for at, seen in self._sights.items()}
        """(stream, place) -> what else it is called."""
        self.names = tuple(dict.fromkeys([*self.rooms, *(name for also in self._also.values() for name in also)]))
        """All that rooms and places are called."""

    def shows(self, finder: Finder) -> bool:
        """Whether they are those of what a finder looks through."""
        return self._finder.snapshot is finder.snapshot and self._finder.stream == finder.stream

    def asked_by(self, finder: Finder) -> Scenes:
        """The same, for the question of another finder."""
        other = copy.copy(self)
        other._finder = finder
        return other

    @property
    def empty(self) -> bool:
        """Neither sights nor sounds have words."""
        return not self.visits and not self.hearings

    def stays(self, room: str = "") -> list[Hit]:
        """Stays in rooms, or in one, in order of time; a stay that is shortly interrupted is one."""
        made: list[Hit] = []
        for visit in self.visits:
            if not visit.room or (room and not self.is_in(room, visit)):
                continue
            best = max(visit.percepts, key=lambda p: (p.confidence if p.text else 0.0, -p.t0_ns))
            hit = Hit(
                visit.stream, visit.t0_ns, visit.t1_ns, visit.room, visit.room, best, best.confidence, place=visit.place
            )
            if made and _goes_on(made[-1], hit):
                made[-1] = replace(made[-1], t1_ns=hit.t1_ns)
            else:
                made.append(hit)
        return made

    def sights(self, named: Named, room: str = "") -> list[Hit]:
        """Where a thing was in sight, in order of time."""
        if named.thing is None:
            return []
        every = [(visit, seen) for visit in self.visits for seen in visit.things]
        scores = self._meant(named.thing, [seen.thing for _, seen in every])
        best = max(scores, default=0.0)
        hits = []
        for (visit, seen), score in zip(every, scores, strict=True):
            if score <= 0 or score < best - 0.05 or (room and not self.is_in(room, visit)):
                continue
            for t0_ns, t1_ns in seen.spans:
                within = [p for p in seen.percepts if t0_ns <= p.t0_ns < max(t1_ns, t0_ns + 1)]
                shows = max(within, key=lambda p: (p.confidence, -p.t0_ns))
                votes = sum(p.confidence for p in within)
                trust = min(1.0, score * (0.55 + 0.45 * votes / len(within)))
                hits.append(
                    Hit(visit.stream, t0_ns, t1_ns, visit.room, seen.thing.text, shows, trust, votes, seen, visit.place)
                )
        return self._ranked(named, _together([hit for hit in hits if hit.weight >= DOUBTFUL] or hits))

    def sounds(self, named: Named | None = None, room: str = "") -> list[Hit]:
        """When a sound, or any, was heard, in order of time; in the room that was in sight then."""
        hits = []
        for hearing in self.hearings:
            score = 1.0 if named is None else self._sounds_like(named, hearing.name)
            within = self._visit_at(hearing.stream, hearing.t0_ns)
            where, place = (within.room, within.place) if within else ("", "")
            if score <= 0 or (room and not (within and self.is_in(room, within))):
                continue
            shows = max(hearing.percepts, key=lambda p: (p.confidence, -p.t0_ns))
            trust = score * (0.55 + 0.45 * hearing.confidence)
            name, t0_ns, t1_ns = hearing.name.partition(",")[0], hearing.t0_ns, hearing.t1_ns
            heard = Hit(hearing.stream, t0_ns, t1_ns, where, name, shows, trust, hearing.confidence, place=place)
            hits.append(heard)
        return hits

    def is_in(self, room: str, there: Visit | Hit) -> bool:
        """Whether a visit or a hit is in the room or place of that name, by any name that it has."""
        return any(same_room(room, name) for name in (there.room, *self._also.get((there.stream, there.place), ())))

    def _visit_at(self, stream: str, t_ns: int) -> Visit | None:
        """The visit to a room that went on at a time; None where no room is claimed."""
        visits, until = self._in_rooms.get(stream, ((), ()))
        for visit in visits[bisect_right(until, t_ns) :]:
            if visit.t0_ns > t_ns:
                return None
            if t_ns < visit.t1_ns:
                return visit
        return None

    def _label(self, percept: Percept, room: str) -> tuple[str, str]:
        label, key = self._places.label(percept, room)
        if key:
            self._sights[percept.stream, key].append(percept)
        return label, key

    def _called(self, sights: Sequence[Percept]) -> tuple[str, ...]:
        """What the place of some sights is called beside its own name."""
        place = self._places.get(sights[0])
        return tuple(filter(None, (*(self._places.of(place) if place else ()), rooms_told(sights))))

    def words(self, lane: Lane, stay: Hit) -> list[Percept]:
        """What was said or printed from a stay's begin to its end, begun in it."""
        found = self._finder.between((lane,), stay.stream, stay.t0_ns, stay.t1_ns)
        return [percept for percept in found if stay.t0_ns <= percept.t0_ns < stay.t1_ns]

    def things_in(self, hits: Sequence[Hit]) -> list[Hit]:
        """What was in sight during some stretches of time, by when it came into sight."""
        made = []
        for visit in self.visits:
            for seen in visit.things:
                spans = [s for s in seen.spans if any(h.meets(visit.stream, *s) for h in hits)]
                if spans:
                    made.append(_hit(visit, seen, spans[0][0], spans[-1][1]))
        return sorted(made, key=lambda hit: (hit.stream, hit.t0_ns, -hit.weight))

    def things(self) -> list[Hit]:
        """Everything that was in sight, once a visit, by when it came into sight."""
        made = [_hit(v, seen, seen.spans[0][0], seen.spans[-1][1]) for v in self.visits for seen in v.things]
        return sorted(made, key=lambda hit: (hit.stream, hit.t0_ns, -hit.weight))

    def _meant(self, asked: Thing, known: Sequence[Thing]) -> list[float]:
        """How surely each known thing is what is asked for, 0 to 1."""
        heads = {thing.head.stem: thing.head.lower for thing in known}
        alike = {h: 1.0 if h == asked.head.stem else 0.97 for h in heads if joined(asked.head.stem, h, THINGS)}
        if not alike and heads:
            cosine = self._finder.cosines(asked.head.lower, list(heads.values()))
            alike = {h: float(c) for h, c in zip(heads, cosine, strict=True) if c >= MEANT}
        return [alike.get(thing.head.stem, 0.0) * _fits(asked, thing) for thing in known]

    def _sounds_like(self, named: Named, name: str) -> float:
        """How surely a sound of that name is what is asked for, 0 to 1."""
        there = [word.stem for word in split(name)]
        nouns = [s for s in named.stems if s not in VOICES]
        if any(joined(noun, s, SOUNDS) for noun in nouns for s in there):
            return 1.0
        for verb in (s for s in named.stems if s in VOICES):
            makers = VOICES[verb]
            if all(noun in BYSTANDERS for noun in nouns) and (verb in there or makers & set(there)):
                return 0.95
        if not nouns:
            return 0.0
        cosine = float(self._finder.cosines(named.text.lower(), [name.lower()])[0])
        return cosine if cosine >= MEANT else 0.0

    def _ranked(self, named: Named, hits: list[Hit]) -> list[Hit]:
        """The hits with a little more trust in those whose pictures are nearest to the question's words."""
        if len(hits) < 2:
            return hits
        near = self._finder.nearest_ids(named.text, ("vision",))
        return [replace(hit, score=min(1.0, hit.score + 0.02 * (hit.percept.id in near))) for hit in hits]


def _hit(visit: Visit, seen: Seen, t0_ns: int, t1_ns: int) -> Hit:
    trust = 0.55 + 0.45 * seen.confidence
    return Hit(
        visit.stream, t0_ns, t1_ns, visit.room, seen.thing.text, seen.best, trust, seen.weight, seen, visit.place
    )


def _fits(asked: Thing, known: Thing) -> float:
    """How well what is said of a thing fits: 0 where it is of another colour or size."""
    if asked.colour and asked.colour != known.colour:
        return 0.0
    sizes = [{_SIZES[s] for s in thing.others if s in _SIZES} for thing in (asked, known)]
    if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
        return 0.0
    lacking = [s for s in asked.others if s not in known.others and s not in _SIZES]
    return float(0.9 ** len(lacking))


def _goes_on(last: Hit, hit: Hit) -> bool:
    same = last.stream == hit.stream and last.place == hit.place and same_room(last.room, hit.room)
    return same and hit.t0_ns - last.t1_ns < JOIN_NS


def _together(hits: Sequence[Hit]) -> list[Hit]:
    """Stretches of one thing that follow one another in one room become one; in order of (stream, time)."""
    made: list[Hit] = []
    ordered = sorted(hits, key=lambda h: (h.stream, h.text, h.room, h.place, h.t0_ns))
    for _, group in groupby(ordered, key=lambda h: (h.stream, h.text, h.room, h.place)):
        run: Hit | None = None
        for hit in group:
            if run is not None and hit.t0_ns - run.t1_ns < JOIN_NS:
                better = hit if hit.score > run.score else run
                run = replace(better, t0_ns=run.t0_ns, t1_ns=max(run.t1_ns, hit.t1_ns), weight=run.weight + hit.weight)
                made[-1] = run
            else:
                run = hit
                made.append(hit)
    return sorted(made, key=lambda h: (h.stream, h.t0_ns, h.text))


def _in_rooms(visits: Iterable[Visit]) -> dict[str, tuple[tuple[Visit, ...], tuple[int, ...]]]:
    """Stream -> its visits to rooms in order of time, and by when each of them and all before it had ended."""
    lines: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.room:
            lines[visit.stream].append(visit)
    return {name: (tuple(line), tuple(accumulate((v.t1_ns for v in line), max))) for name, line in lines.items()}
