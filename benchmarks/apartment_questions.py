"""What an apartment is asked, and how answers are judged: by the room that is named and the moment that is cited."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mneme.records import Answer, Percept

from .world.story import Story
from .world.vocabulary import ROOMS

Span = tuple[int, int]
_ROOM = re.compile(rf"\b({'|'.join(sorted(ROOMS, key=len, reverse=True))})\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what is right."""

    kind: str
    """where, before, rare where, rare when, rare things."""
    text: str
    accept: tuple[str, ...]
    """One of them must be named; of rooms, as the first room that is named."""
    spans: tuple[Span, ...]
    """One of them must be cited first."""
    thing: str = ""
    """What is asked for: "red mug"; empty where that is no thing."""
    shown: tuple[Span, ...] = ()
    """When the thing was in view, whenever that was."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, judged."""

    asked: Asked
    answer: Answer
    right: bool


def questions(story: Story) -> list[Asked]:
    """Every object's questions, and the rare room's, with their truth from the visits."""
    seen: dict[tuple[str, str], list[tuple[str, Span]]] = defaultdict(list)
    rare: list[Span] = []
    there: set[tuple[str, str]] = set()
    for visit in story.visits():
        for p in visit.presences:
            if p.item >= 0:
                seen[p.thing.colour, p.thing.kind].append((visit.room.kind, (p.t0_ns, p.t1_ns)))
        if visit.room.id == story.rare:
            rare.append((visit.t0_ns, visit.t1_ns))
            there |= {(p.thing.colour, p.thing.kind) for p in visit.presences if p.item >= 0}
    asked: list[Asked] = []
    rare_room = "" if story.rare is None else story.plan.rooms[story.rare].kind
    for (colour, kind), sightings in sorted(seen.items()):
        runs = _runs(sightings)
        thing, shown = f"{colour} {kind}", tuple(span for _, span in sightings)
        room, spans = runs[-1]
        where = "rare where" if room == rare_room else "where"
        asked.append(Asked(where, f"Where is the {thing}?", (room,), spans, thing, shown))
        if len(runs) > 1:
            room, spans = runs[-2]
            asked.append(Asked("before", f"Where was the {thing} before?", (room,), spans, thing, shown))
    if rare:
        asked.append(Asked("rare when", f"When was I last in the {rare_room}?", ("",), (rare[-1],)))
        names = tuple(f"{colour} {kind}" for colour, kind in sorted(there))
        asked.append(Asked("rare things", f"What happened in the {rare_room}?", names, tuple(rare)))
    return asked


def _runs(sightings: Sequence[tuple[str, Span]]) -> list[tuple[str, tuple[Span, ...]]]:
    """(room, the sightings there) in order of time; one after another in the same room are together."""
    runs: list[tuple[str, list[Span]]] = []
    for room, span in sorted(sightings, key=lambda sighting: sighting[1]):
        if not runs or runs[-1][0] != room:
            runs.append((room, []))
        runs[-1][1].append(span)
    return [(room, tuple(spans)) for room, spans in runs]


def judge(asked: Asked, answer: Answer) -> Judged:
    """Right: it names what is asked for, before any other room, and cites a moment that shows it."""
    text = answer.text.lower()
    if asked.accept[0] in ROOMS:
        first = _ROOM.search(text)
        told = first is not None and first.group(1) in asked.accept
    else:
        told = any(words in text for words in asked.accept)
    return Judged(asked, answer, told and _meet(_cited(answer), asked.spans) and not answer.abstained)


def ask_all(answer: Callable[[str], Answer], asked: Iterable[Asked]) -> list[Judged]:
    """Every question, asked and judged."""
    return [judge(each, answer(each.text)) for each in asked]


def shares(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """kind -> (share right, asked)"""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for each in judged:
        kinds[each.asked.kind].append(each.right)
    return {
        kind: {"right": round(sum(rights) / len(rights), 4), "asked": len(rights)} for kind, rights in kinds.items()
    }


def named(sights: Sequence[Percept], asked: Iterable[Asked]) -> dict[str, float]:
    """kind -> the share of its questions in whose moments a sight says the thing's name."""
    said: dict[str, list[bool]] = defaultdict(list)
    for each in asked:
        if each.thing:
            said[each.kind].append(_is_named(sights, each))
    return {kind: round(sum(those) / len(those), 4) for kind, those in said.items()}


def faults(sights: Sequence[Percept], judged: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """kind -> why -> how many answers about a thing are wrong.

    `not named`: no sight of the moment names it. `taken for it`: the moment that is cited does not show it, something
    else was taken for it there. Both are perception's; `else` is the memory's or the answer's, or follows from another
    moment at which it was not named.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in judged:
        if each.right or not each.asked.thing:
            continue
        cited = _cited(each.answer)
        if not _is_named(sights, each.asked):
            why = "not named"
        else:
            why = "taken for it" if cited and not _meet(cited, each.asked.shown) else "else"
        counts[each.asked.kind][why] += 1
    return {kind: dict(sorted(why.items())) for kind, why in counts.items()}


def _is_named(sights: Sequence[Percept], asked: Asked) -> bool:
    name = re.compile(rf"\b{re.escape(asked.thing)}\b")
    said = [(p.t0_ns, p.t1_ns) for p in sights if p.text and name.search(p.text)]
    return _meet(said, asked.spans)


def _cited(answer: Answer) -> list[Span]:
    """What an answer cites first."""
    return [(e.t0_ns, e.t1_ns) for e in answer.evidence[:1]]


def _meet(some: Iterable[Span], others: Sequence[Span]) -> bool:
    """Whether one of some spans shares time with one of the others; an instant counts where it stands."""
    return any(a < max(t1, t0 + 1) and t0 < max(b, a + 1) for a, b in some for t0, t1 in others)
