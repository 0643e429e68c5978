"""What can be asked of a story, with the truth, as `benchmarks.scoring` reads it.

Every question has one right answer in what was seen and heard, in whatever words; what is near to it and never was is
asked too. `evidence` is what must be cited; `support` is all that an answer needs, which is what an oracle is handed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from mneme.records import NS_PER_S, to_ns, to_s

from .asking import ASKING, REFUSALS
from .captions import a, name_of
from .narration import SIGNS
from .story import Story
from .truth import Line, Noise, Presence, Sign, Visit
from .vocabulary import ACTIONS, ALIVE, COLOURS, KINDS, ROOMS, SOUNDS, Term

Span = tuple[int, int]
LIMITS = {"what": 8, "where": 8, "when": 8, "sound": 7, "speech": 8, "order": 7, "count": 6, "absence": 8}
"""Questions of a category, at most."""
RARE = 4
"""What comes up more often than this is not asked for by its time."""
APART_NS = to_ns(30.0)
"""What is put in order lies at least this far apart."""
ANY_WORDS = ("",)
"""What a question for a time accepts: the moment that is cited is the answer."""
_AUDIBLE = ("bell", "alarm", "siren", "footsteps", "whistle")
"""Names of sounds that name nothing else."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its truth."""

    kind: str
    """Its key in `ASKING`, or "speech fact"."""
    question: str
    answer: str
    accept: tuple[str, ...]
    evidence: tuple[Span, ...]
    needs: tuple[str, ...]
    support: tuple[Span, ...] = ()
    """Empty: the evidence."""
    unanswerable: bool = False


@dataclass(slots=True)
class Chronicle:
    """A story by what is in it: who asks has to know it whole."""

    visits: list[Visit]
    things: dict[tuple[str, str], list[tuple[Presence, Visit]]] = field(default_factory=lambda: defaultdict(list))
    """(colour, kind) -> where it was in view, in order of time."""
    rooms: dict[str, list[Visit]] = field(default_factory=lambda: defaultdict(list))
    """By kind of room."""
    sounds: list[tuple[Noise, Visit]] = field(default_factory=list)
    lines: list[tuple[Line, Visit]] = field(default_factory=list)
    signs: list[tuple[Sign, Visit]] = field(default_factory=list)

    @classmethod
    def of(cls, story: Story) -> Chronicle:
        """Reads the story to its end."""
        told = cls(list(story.visits()))
        for visit in told.visits:
            told.rooms[visit.room.kind].append(visit)
            for presence in sorted(visit.presences, key=lambda p: p.t0_ns):
                told.things[presence.thing.colour, presence.thing.kind].append((presence, visit))
            told.sounds += [(sound, visit) for sound in visit.sounds]
            told.lines += [(line, visit) for line in visit.lines]
            told.signs += [(sign, visit) for sign in visit.signs]
        return told


def draw_questions(story: Story, *, synonyms: float = 0.2) -> list[dict[str, Any]]:
    """The questions of a story, at most `LIMITS` of each category, its kinds in turn; seeded by the story.

    synonyms: how often a kind of thing or room is called by another name that training captions use too. Gives what
    `benchmarks.scoring.judge` takes: id, category, question, answer, accept, evidence (seconds), needs, unanswerable;
    and `support`, `kind`.
    """
    asker = _Asker(story, synonyms)
    drawn: list[dict[str, Any]] = []
    for category, limit in LIMITS.items():
        kinds: dict[str, list[Question]] = defaultdict(list)
        for question in getattr(asker, category)():
            kinds[question.kind].append(question)
        shuffled = [[found[i] for i in asker.draw.permutation(len(found))] for found in kinds.values()]
        turns = [found[k] for k in range(limit) for found in shuffled if k < len(found)]
        once = list({question.question: question for question in turns}.values())[:limit]
        drawn += [_as_dict(f"w{story.seed}_{category}{n:02d}", category, q) for n, q in enumerate(once, 1)]
    return drawn


def stamp(t_ns: int) -> str:
    """m:ss, h:mm:ss from an hour on."""
    minutes, seconds = divmod(t_ns // NS_PER_S, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"


class _Asker:
    """Writes every candidate of each category; each public method is a category."""

    def __init__(self, story: Story, synonyms: float) -> None:
        self.draw = np.random.default_rng((story.seed, 105))
        self._story, self._synonyms = story, synonyms
        self._told = Chronicle.of(story)
        self._sounds: dict[str, list[tuple[Noise, Visit]]] = defaultdict(list)
        for sound, visit in self._told.sounds:
            self._sounds[sound.name].append((sound, visit))
        topics = [line.fact.topic for line, _ in self._told.lines]
        asked = [line.fact.asked for line, _ in self._told.lines]
        self._lines = [
            (x, v) for x, v in self._told.lines if topics.count(x.fact.topic) == 1 and asked.count(x.fact.asked) == 1
        ]

    # Words

    def _say(self, form: str, **values: str) -> str:
        phrasings = ASKING[form]
        return phrasings[int(self.draw.integers(len(phrasings)))].format(**values)

    def _name(self, term: Term) -> str:
        return name_of(term, self.draw, "trained") if self.draw.random() < self._synonyms else term.name

    def _thing(self, thing: tuple[str, str]) -> str:
        return f"{thing[0]} {self._name(KINDS[thing[1]])}"

    def _sound(self, name: str) -> str:
        """By a name that says that it is a sound: "a barking dog", but "a bell"."""
        names = [known for known in SOUNDS[name].known if name in _AUDIBLE or known != name]
        return a(names[int(self.draw.integers(len(names)))])

    # Categories

    def what(self) -> Iterator[Question]:
        for room, visits in self._told.rooms.items():
            called = self._name(ROOMS[room])
            yield from self._what_colours(room, called)
            signs = [sign for visit in visits for sign in visit.signs]
            if len(signs) == 1:
                text = self._say("what sign", room=called)
                yield Question("what sign", text, signs[0].text, (signs[0].text,), _spans(signs), ("caption", "vision"))
        for thing, seen in self._told.things.items():
            by_room: dict[str, list[tuple[Presence, Visit]]] = defaultdict(list)
            for presence, visit in seen:
                by_room[visit.room.kind].append((presence, visit))
            for room, there in by_room.items():
                beside = {
                    (other.thing.colour, other.thing.kind): span
                    for presence, visit in there
                    for other in visit.presences
                    if other.item != presence.item and (span := _shared(presence, other)) is not None
                }
                values = {"thing": self._thing(thing), "room": self._name(ROOMS[room])}
                if beside and len(there) <= RARE and thing[1] not in ALIVE:
                    accept = tuple(form for other in beside for form in _forms(other))
                    spans = _spans([p for p, _ in there])
                    text = self._say("what beside", **values)
                    yield Question("what beside", text, accept[0], accept, spans, ("vision",))
                actions = {presence.thing.action for presence, _ in there}
                if thing[1] in ALIVE and len(actions) == 1:
                    accept = ACTIONS[actions.pop()].known
                    spans = _spans([p for p, _ in there])
                    text = self._say("what doing", **values)
                    yield Question("what doing", text, accept[0], accept, spans, ("vision",))
        for visit in self._some_visits():
            t_ns = self._whole_second(visit)
            if present := visit.present(t_ns):
                accept = tuple(f for p in present for f in _forms((p.thing.colour, p.thing.kind)))
                text = self._say("what at", time=stamp(t_ns))
                yield Question("what at", text, accept[0], accept, ((visit.t0_ns, visit.t1_ns),), ("vision", "time"))

    def _what_colours(self, room: str, called: str) -> Iterator[Question]:
        kinds: dict[str, dict[str, list[Presence]]] = defaultdict(lambda: defaultdict(list))
        for visit in self._told.rooms[room]:
            for presence in visit.presences:
                kinds[presence.thing.kind][presence.thing.colour].append(presence)
        for kind, colours in kinds.items():
            if len(colours) == 1:
                colour, seen = next(iter(colours.items()))
                text = self._say("what colour", kind=self._name(KINDS[kind]), room=called)
                accept = (*_forms((colour, kind)), f"{kind} was {colour}", f"{kind} is {colour}")
                yield Question("what colour", text, colour, accept, _spans(seen), ("vision",))

    def where(self) -> Iterator[Question]:
        for thing, seen in self._told.things.items():
            rooms = [visit.room.kind for _, visit in seen]
            last = rooms[-1]
            run = next((k for k, room in enumerate(reversed(rooms)) if room != last), len(rooms))
            spans = _spans([presence for presence, _ in seen])
            text = self._say("where last" if run < len(rooms) else "where", thing=self._thing(thing))
            if run == len(rooms):
                yield Question("where", text, last, ROOMS[last].known, spans, ("vision",))
            else:
                yield Question("where last", text, last, ROOMS[last].known, spans[-run:], ("vision", "time"), spans)
        for name, heard in self._sounds.items():
            kinds = {visit.room.kind for _, visit in heard}
            if len(kinds) == 1:
                room = kinds.pop()
                spans = tuple((v.t0_ns, v.t1_ns) for _, v in heard)
                text = self._say("where sound", sound=self._sound(name))
                yield Question("where sound", text, room, ROOMS[room].known, spans, ("sound", "vision"))
        for visit in self._some_visits():
            text = self._say("where at", time=stamp(self._whole_second(visit)))
            room, span = visit.room.kind, (visit.t0_ns, visit.t1_ns)
            yield Question("where at", text, room, ROOMS[room].known, (span,), ("vision", "time"))

    def when(self) -> Iterator[Question]:
        for thing, seen in self._told.things.items():
            if len(seen) <= RARE:
                text = self._say("when thing", thing=self._thing(thing))
                yield _when("when thing", text, _spans([p for p, _ in seen]), "vision")
            for room in sorted({visit.room.kind for _, visit in seen}):
                there = [p for p, visit in seen if visit.room.kind == room]
                if len(there) <= RARE:
                    text = self._say("when thing room", thing=self._thing(thing), room=self._name(ROOMS[room]))
                    yield _when("when thing room", text, _spans(there), "vision")
        for sign, _ in self._told.signs:
            yield _when("when sign", self._say("when sign", sign=sign.text), _spans([sign]), "caption")

    def sound(self) -> Iterator[Question]:
        for name, heard in self._sounds.items():
            if len(heard) <= RARE:
                spans = _spans([sound for sound, _ in heard])
                yield _when("when sound", self._say("when sound", sound=self._sound(name)), spans, "sound")
        for room, visits in self._told.rooms.items():
            heard_there = [sound for visit in visits for sound in visit.sounds]
            names = sorted({sound.name for sound in heard_there})
            if 1 <= len(names) <= 2:
                text = self._say("sound room", room=self._name(ROOMS[room]))
                yield _named_sound("sound room", text, names, _spans(heard_there), "vision")
        for (first, _), (then, _) in pairwise(self._told.sounds):
            at_ns = (then.t0_ns // NS_PER_S + 1) * NS_PER_S
            if at_ns < then.t1_ns:
                yield _named_sound("sound at", self._say("sound at", time=stamp(at_ns)), [then.name], _spans([then]))
            if len(self._sounds[first.name]) == 1:
                text = self._say("sound after", sound=self._sound(first.name))
                asked = _named_sound("sound after", text, [then.name], _spans([then]))
                yield Question(asked.kind, text, asked.answer, asked.accept, asked.evidence, asked.needs,
                               _spans([first, then]))  # fmt: skip

    def speech(self) -> Iterator[Question]:
        for line, _ in self._lines:
            fact, spans = line.fact, _spans([line])
            yield Question("speech fact", fact.asked, fact.accept[0], fact.accept, spans, ("speech",))
            text = self._say("speech topic", topic=fact.topic)
            yield Question("speech topic", text, line.text, fact.accept, spans, ("speech",))
            yield _when("speech when", self._say("speech when", topic=fact.topic), spans, "speech")
        for room, visits in self._told.rooms.items():
            lines = [line for visit in visits for line in visit.lines]
            if 1 <= len(lines) <= 2:
                accept = tuple(form for line in lines for form in line.fact.accept)
                text = self._say("speech room", room=self._name(ROOMS[room]))
                yield Question("speech room", text, lines[0].text, accept, _spans(lines), ("speech", "vision"))

    def order(self) -> Iterator[Question]:
        things = [(self._thing(thing), _spans([p for p, _ in seen])) for thing, seen in self._told.things.items()]
        yield from self._orders("thing", things, "vision")
        for (one, early), (other, late) in self._pairs(things):
            first, then, truth = (one, other, "before") if self.draw.random() < 0.5 else (other, one, "after")
            text = self._say("order before", a=first, b=then)
            yield Question("order before", text, truth, (truth,), (*early, *late), ("vision", "time"))
        sounds = [(self._sound(name), _spans([s for s, _ in heard])) for name, heard in self._sounds.items()]
        yield from self._orders("sound", sounds, "sound")
        yield from self._orders("topic", [(line.fact.topic, _spans([line])) for line, _ in self._lines], "speech")
        yield from self._orders("sign", [(sign.text, _spans([sign])) for sign, _ in self._told.signs], "caption")

    def _orders(self, kind: str, named: Sequence[tuple[str, tuple[Span, ...]]], lane: str) -> Iterator[Question]:
        for (one, early), (other, late) in self._pairs(named):
            first, second = (one, other) if self.draw.random() < 0.5 else (other, one)
            text = self._say(f"order {kind}", a=first, b=second)
            bare = one.removeprefix("a ").removeprefix("an ")
            yield Question(f"order {kind}", text, one, (bare,), early, (lane, "time"), (*early, *late))

    def _pairs(
        self, named: Sequence[tuple[str, tuple[Span, ...]]]
    ) -> Iterator[tuple[tuple[str, tuple[Span, ...]], tuple[str, tuple[Span, ...]]]]:
        """Some pairs that begin well apart, the earlier one first."""
        for _ in range(20 if len(named) > 1 else 0):
            i, j = (int(k) for k in self.draw.permutation(len(named))[:2])
            early, late = sorted((named[i], named[j]), key=lambda item: item[1][0])
            if late[1][0][0] - early[1][0][1] >= APART_NS:
                yield early, late

    def count(self) -> Iterator[Question]:
        for name, heard in self._sounds.items():
            spans = _spans([sound for sound, _ in heard])
            yield _count("count sound", self._say("count sound", sound=self._sound(name)), spans, "sound")
        for room, visits in self._told.rooms.items():
            if len(visits) < len(_NUMBERS):
                spans = tuple((visit.t0_ns, visit.t1_ns) for visit in visits)
                yield _count("count room", self._say("count room", room=self._name(ROOMS[room])), spans, "vision")
        for thing, seen in self._told.things.items():
            if thing[1] in ALIVE:
                spans = _spans([presence for presence, _ in seen])
                yield _count("count figure", self._say("count figure", thing=self._thing(thing)), spans, "vision")
        if self._told.signs:
            yield _count("count signs", self._say("count signs"), _spans([s for s, _ in self._told.signs]), "caption")

    def absence(self) -> Iterator[Question]:
        things = self._told.things
        kinds, rooms = sorted({kind for _, kind in things}), sorted(self._told.rooms)
        for colour in COLOURS:
            for kind in kinds:
                if (colour, kind) not in things:
                    text = self._say("never thing", thing=self._thing((colour, kind)))
                    yield _never("never thing", text, "vision")
        for thing, seen in things.items():
            for room in sorted(set(rooms) - {visit.room.kind for _, visit in seen}):
                text = self._say("never thing room", thing=self._thing(thing), room=self._name(ROOMS[room]))
                yield _never("never thing room", text, "vision")
        for name in SOUNDS:
            if name not in self._sounds:
                yield _never("never sound", self._say("never sound", sound=self._sound(name)), "sound")
        for room in ROOMS:
            if room not in self._told.rooms:
                yield _never("never room", self._say("never room", room=self._name(ROOMS[room])), "vision")
        hung = {sign.text for sign, _ in self._told.signs}
        for sign in SIGNS:
            if sign not in hung:
                yield _never("never sign", self._say("never sign", sign=sign), "caption")
        for line, _ in self._lines:
            yield _never("never said", line.fact.never, "speech")

    # Times

    def _some_visits(self) -> list[Visit]:
        visits = self._told.visits
        return [visits[i] for i in sorted(self.draw.permutation(len(visits))[:12])]

    def _whole_second(self, visit: Visit) -> int:
        """A second that can be written, well inside the visit."""
        low, high = -(-visit.t0_ns // NS_PER_S) + 1, visit.t1_ns // NS_PER_S - 2
        return int(self.draw.integers(low, max(high, low + 1))) * NS_PER_S


def _spans(items: Sequence[Presence | Noise | Line | Sign]) -> tuple[Span, ...]:
    return tuple(sorted((item.t0_ns, item.t1_ns) for item in items))


def _shared(one: Presence, other: Presence) -> Span | None:
    """When both are in view, if ever."""
    t0_ns, t1_ns = max(one.t0_ns, other.t0_ns), min(one.t1_ns, other.t1_ns)
    return (t0_ns, t1_ns) if t0_ns < t1_ns else None


def _forms(thing: tuple[str, str]) -> tuple[str, ...]:
    """A thing by every name that training captions use."""
    return tuple(f"{colour} {kind}" for kind in KINDS[thing[1]].known for colour in COLOURS[thing[0]].known)


def _when(kind: str, text: str, spans: tuple[Span, ...], lane: str) -> Question:
    answer = "; ".join(f"{stamp(t0_ns)}-{stamp(t1_ns)}" for t0_ns, t1_ns in spans)
    return Question(kind, text, answer, ANY_WORDS, spans, (lane, "time"))


def _named_sound(kind: str, text: str, names: Sequence[str], spans: tuple[Span, ...], *needs: str) -> Question:
    accept = tuple(known for name in names for known in SOUNDS[name].known)
    return Question(kind, text, names[0], accept, spans, ("sound", *needs))


def _count(kind: str, text: str, spans: tuple[Span, ...], lane: str) -> Question:
    n = len(spans)
    accept = (str(n), _NUMBERS[n]) if n < len(_NUMBERS) else (str(n),)
    return Question(kind, text, str(n), accept, spans, (lane,))


def _never(kind: str, text: str, lane: str) -> Question:
    return Question(kind, text, "It never was.", REFUSALS, (), (lane,), unanswerable=True)


def _as_dict(id: str, category: str, q: Question) -> dict[str, Any]:
    def seconds(spans: tuple[Span, ...]) -> list[list[float]]:
        return [[to_s(t0_ns), to_s(t1_ns)] for t0_ns, t1_ns in spans]

    return {
        "id": id, "category": category, "kind": q.kind, "question": q.question, "answer": q.answer,
        "accept": list(q.accept), "evidence": seconds(q.evidence), "support": seconds(q.support or q.evidence),
        "needs": list(q.needs), "unanswerable": q.unanswerable,
    }  # fmt: skip
