"""What happens in a video and when: shots, spoken lines, signs and sounds, laid on one time line from a seed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .places import PLACES
from .scene import View, describe
from .slots import Deck, Filling
from .sound import SOUNDS, Wave
from .things import COLOURS
from .voice import RATE, VOICES, Narrator

STEP_S = 0.2
"""Cuts fall on multiples of this: whole frames at 5, 10, 15, 20, 25 and 30 frames a second."""
PAUSE_S = 0.45
"""Between the phrases of one line."""
QUIET_S = 1.2
"""Of silence on either side of a cut that no line crosses."""
MOST_PLACES = 8
"""In one video; a longer one comes back to them. Two are always left, to ask for what is not there."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What can be asked of a line or a sign, its slots filled."""

    topic: str
    when: tuple[str, ...]
    what: tuple[tuple[str, tuple[str, ...]], ...]
    """(question, accepted answers)"""
    never: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shot:
    id: str
    start_s: float
    end_s: float
    view: View
    clock_s: float = 0.0
    """Where the scene's own clock stands at the start: a revisit goes on later."""
    revisit_of: str | None = None

    @property
    def description(self) -> str:
        return describe(self.view)


@dataclass(frozen=True, slots=True)
class Line:
    id: str
    start_s: float
    end_s: float
    text: str
    voice: str
    fact: Fact
    parts: tuple[tuple[float, float, str], ...]
    """(start, end, words) of each phrase"""


@dataclass(frozen=True, slots=True)
class Sign:
    id: str
    start_s: float
    end_s: float
    text: str
    fact: Fact
    slide: int | None = None
    """Of a slide's line: the slide's number, from 1. It is drawn with the slide."""
    style: int = 0
    at: tuple[float, float] = (0.06, 0.8)
    """Top left corner, of the frame's width and height."""


@dataclass(frozen=True, slots=True)
class Noise:
    id: str
    start_s: float
    end_s: float
    key: str
    """Of `SOUNDS`."""


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    seed: int
    duration_s: float
    shots: tuple[Shot, ...]
    lines: tuple[Line, ...]
    signs: tuple[Sign, ...]
    noises: tuple[Noise, ...]
    laid: tuple[tuple[float, Wave, float], ...] = field(repr=False)
    """(start, wave, gain) of everything that sounds"""

    @property
    def cuts_s(self) -> tuple[float, ...]:
        return tuple(shot.start_s for shot in self.shots[1:])


def read_facts(name: str) -> Mapping[str, list[dict[str, Any]]]:
    """The templates of `facts`, `signs` or `slides`."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))


def fill(template: Mapping[str, Any], deck: Deck) -> tuple[Fact, Filling]:
    """A template with values drawn for its slots."""
    values = Filling(deck)
    for key in ("say", "show"):  # first the words themselves: only what they hold is drawn for them
        values.fill(template.get(key, ""))
    what = tuple((values.fill(q), tuple(values.fill(a) for a in accept)) for q, *accept in template.get("what", ()))
    when, never = (tuple(values.fill(q) for q in template.get(key, ())) for key in ("when", "never"))
    return Fact(values.fill(template.get("topic", "")), when, what, never), values


def draw_plan(
    seed: int, narrator: Narrator, minutes: float = 3.0, slides: int = 0, name: str = "", places: Sequence[str] = ()
) -> Plan:
    """The plan of a video of about `minutes`, with a talk of `slides` slides inside (or nothing but slides).

    `places` fixes which places are visited, in order; without it they are drawn. The same seed, narrator and arguments
    give the same plan.
    """
    return _Draft(seed, narrator, name or f"vlog_{seed}").draw(minutes, slides, tuple(places))


class _Draft:
    """A plan in the making."""

    def __init__(self, seed: int, narrator: Narrator, name: str) -> None:
        self._seed, self._name, self._narrator = seed, name, narrator
        self._tag = name.rsplit("_", 1)[-1]
        self._rng = np.random.default_rng(seed)
        self._deck = Deck(np.random.default_rng((seed, 7)))
        self._facts, self._signs = read_facts("facts"), read_facts("signs")
        self._used: set[str] = set()
        self._busy: list[tuple[float, float]] = []
        self._lines: list[Line] = []
        self._shown: list[Sign] = []
        self._noises: list[Noise] = []
        self._laid: list[tuple[float, Wave, float]] = []

    def draw(self, minutes: float, slides: int, places: tuple[str, ...]) -> Plan:
        shots = self._draw_shots(minutes, slides, places)
        talk = iter(self._talk)
        spoken = [k for k in range(len(shots) - 1) if shots[k].view.place != "slide"]
        running_on = set(self._rng.permutation(spoken)[: -(-len(spoken) // 5)].tolist())
        number = 0
        for k, shot in enumerate(shots):
            if shot.view.place == "slide":
                number += 1
                self._present(shot, next(talk), number)
            else:
                self._narrate(shot, k in running_on)
                self._hang_sign(shot)
        for shot in shots:
            if self._rng.random() < 0.55:
                self._make_noise(shot)
        return Plan(
            self._name,
            self._seed,
            shots[-1].end_s,
            tuple(shots),
            _numbered(self._lines, self._tag, "u"),
            _numbered(self._shown, self._tag, "c"),
            _numbered(self._noises, self._tag, "x"),
            tuple(self._laid),
        )

    def _draw_shots(self, minutes: float, slides: int, places: tuple[str, ...]) -> list[Shot]:
        """Places (one of them visited again) with the talk between them, each with its span."""
        rng = self._rng
        templates = read_facts("slides")["slide"]
        self._talk = [templates[i] for i in rng.permutation(len(templates))[:slides]]
        count = max(round(minutes * 60 / 17) - slides, 0)
        visits = list(places) or [
            str(place) for place in rng.permutation(list(PLACES))[: max(min(count - 1, MOST_PLACES), 0)]
        ]
        looks = {place: self._look(place) for place in visits}
        sequence = [looks[place] for place in visits]
        while 2 < len(sequence) < count and not places:
            again = sequence[int(rng.integers(len(sequence)))]
            apart = [i for i in range(2, len(sequence) + 1) if again not in sequence[i - 1 : i + 1]]
            if apart:
                sequence.insert(apart[int(rng.integers(len(apart)))], again)
        middle = len(sequence) // 2
        sequence[middle:middle] = [View("slide", self._seed)] * slides
        shots: list[Shot] = []
        start = 0.0
        for k, view in enumerate(sequence):
            end = round(start + round(rng.uniform(14.0, 21.0) / STEP_S) * STEP_S, 3)
            before = [shot for shot in shots if shot.view == view and view.place != "slide"]
            clock = sum(shot.end_s - shot.start_s + 40.0 for shot in before)
            first = before[0].id if before else None
            shots.append(Shot(f"{self._tag}_s{k + 1:02d}", start, end, view, clock, first))
            start = end
        return [self._typeset(shot, k, shots) for k, shot in enumerate(shots)]

    def _typeset(self, shot: Shot, k: int, shots: list[Shot]) -> Shot:
        """A slide's shot with its title and lines filled in; any other as it is."""
        if shot.view.place != "slide":
            return shot
        number = sum(s.view.place == "slide" for s in shots[:k])
        template = self._talk[number]
        fact, values = fill(template, self._deck)
        lines = tuple(values.fill(line) for line in template["lines"])
        self._talk[number] = {"fact": fact, "say": values.fill(template["say"])}
        return replace(shot, view=replace(shot.view, title=values.fill(template["title"]), lines=lines))

    def _look(self, place: str) -> View:
        kinds = self._rng.permutation(list(PLACES[place][2]))[:2]
        colours = self._rng.permutation(list(COLOURS))[: len(kinds)]
        things = tuple((str(kind), str(colour)) for kind, colour in zip(kinds, colours, strict=True))
        return View(place, int(self._rng.integers(1, 1_000_000)), things)

    def _take(self, pool: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
        fresh = [template for template in pool if template[key] not in self._used]
        if not fresh:
            return None
        chosen = fresh[int(self._rng.integers(len(fresh)))]
        self._used.add(chosen[key])
        return chosen

    def _narrate(self, shot: Shot, runs_on: bool) -> None:
        """One or two lines of the place; the last of them may run on into the next shot."""
        for runs_on_now in ([False] if shot.end_s - shot.start_s > 17 else []) + [runs_on]:
            template = self._take(self._facts[shot.view.place], "say")
            if template is None:
                return
            fact, values = fill(template, self._deck)
            self._speak(values.fill(template["say"]), fact, shot, runs_on_now)

    def _present(self, shot: Shot, talk: Mapping[str, Any], number: int) -> None:
        """A slide: its words are captions for as long as it stands, and a voice speaks over it."""
        for k, text in enumerate((shot.view.title, *shot.view.lines)):
            fact = talk["fact"] if k == 0 else Fact("", (), (), ())
            self._shown.append(Sign("", shot.start_s, shot.end_s, text, fact, slide=number))
        self._speak(talk["say"], replace(talk["fact"], what=(), never=()), shot, crosses=False)

    def _speak(self, text: str, fact: Fact, shot: Shot, crosses: bool) -> None:
        voice = VOICES[int(self._rng.integers(len(VOICES)))]
        phrases = [phrase.strip() for phrase in text.split("|")]
        waves = [self._narrator.say(phrase, voice) for phrase in phrases]
        spans, length = [], 0.0
        for wave in waves:
            spans.append((length, length + len(wave) / RATE))
            length = spans[-1][1] + PAUSE_S
        length = spans[-1][1]
        low, high = shot.start_s + QUIET_S, shot.end_s - QUIET_S - length
        if crosses:
            low, high = shot.end_s - 0.6 * length, shot.end_s - 0.4 * length
        start = self._room(low, high, length, margin=1.0)
        if start is None:
            return
        parts = tuple((start + a, start + b, phrase) for (a, b), phrase in zip(spans, phrases, strict=True))
        self._lines.append(Line("", start, start + length, " ".join(phrases), voice, fact, parts))
        self._laid += [(at, wave, 0.55) for (at, _, _), wave in zip(parts, waves, strict=True)]

    def _hang_sign(self, shot: Shot) -> None:
        """A sign of the place for 4 to 8 s inside the shot, often while something is said."""
        if self._rng.random() > 0.7:
            return
        template = self._take(self._signs[shot.view.place], "show")
        if template is None:
            return
        fact, values = fill(template, self._deck)
        length = self._rng.uniform(4.2, 7.8)
        start = self._rng.uniform(shot.start_s + 2, shot.end_s - 2 - length)
        inside = [x for x in self._lines if x.start_s > shot.start_s + 2.6 and x.end_s < shot.end_s - 2.2]
        if inside and self._rng.random() < 0.65:
            line = inside[int(self._rng.integers(len(inside)))]
            length = float(np.clip(line.end_s - line.start_s + 1.2, length, 8.0))
            start = float(np.clip(line.start_s - 0.6, shot.start_s + 2, shot.end_s - 2 - length))
        start = round(round(start / STEP_S) * STEP_S, 3)
        end = round(start + round(length / STEP_S) * STEP_S, 3)
        corner = ((0.05, 0.8), (0.05, 0.06), (0.5, 0.06), (0.36, 0.8))[int(self._rng.integers(4))]
        style = int(self._rng.integers(5))
        self._shown.append(Sign("", start, end, values.fill(template["show"]).upper(), fact, style=style, at=corner))

    def _make_noise(self, shot: Shot) -> None:
        key = list(SOUNDS)[int(self._rng.integers(len(SOUNDS)))]
        wave = SOUNDS[key][1](self._rng)
        length = len(wave) / RATE
        start = self._room(shot.start_s + QUIET_S, shot.end_s - QUIET_S - length, length, margin=0.8)
        if start is not None:
            self._noises.append(Noise("", start, start + length, key))
            self._laid.append((start, wave, 0.3))

    def _room(self, low: float, high: float, length: float, margin: float) -> float | None:
        """A start within [low, high], to a hundredth of a second, where nothing else sounds; None if none is found."""
        for _ in range(40 if high > low else 0):
            start = round(float(self._rng.uniform(low, high)), 2)
            if all(start + length + margin <= t0 or start - margin >= t1 for t0, t1 in self._busy):
                self._busy.append((start, start + length))
                return start
        return None


def _numbered(items: list[Any], tag: str, letter: str) -> tuple[Any, ...]:
    """In order of time, each with its id."""
    ordered = sorted(items, key=lambda item: item.start_s)
    return tuple(replace(item, id=f"{tag}_{letter}{k:02d}") for k, item in enumerate(ordered, 1))
