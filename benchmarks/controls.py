"""Controls: what the same reasoner answers when it is handed less than the memory, or just the right thing.

Frames of a control show what stood in the stream at their instants: the caption on screen, the words being spoken, the
sight that held. Budgets are counts: a control has as many frames as the memory has percepts, or as its name says.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mneme.encoders.profiles import make_profile
from mneme.memory.memory import Memory
from mneme.memory.snapshot import Found, Snapshot
from mneme.pipeline.ask import Faculties, ask
from mneme.pipeline.evidence import ReasonSettings
from mneme.pipeline.extractive import Extractive
from mneme.pipeline.picture import read_picture
from mneme.pipeline.sight import sight_of
from mneme.records import Answer, Event, Percept, Place, to_ns

from .scoring import Question

Keeps = Callable[[Percept], bool]

_EVERYTHING = 10_000
"""Searches go this deep before a control filters what they found."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A snapshot of which only the percepts that `keeps` admits are there."""

    whole: Snapshot
    keeps: Keeps

    def streams(self) -> list[Any]:
        return self.whole.streams()

    def events(self, stream: str | None = None) -> list[Event]:
        return self.whole.events(stream)

    def places(self, stream: str | None = None) -> list[Place]:
        return self.whole.places(stream)

    def percepts(self, **filters: Any) -> list[Percept]:
        return [p for p in self.whole.percepts(**filters) if self.keeps(p)]

    def nearest(self, space: str, vector: Any, *, limit: int = 20, **filters: Any) -> list[Found]:
        found = self.whole.nearest(space, vector, limit=_EVERYTHING, **filters)
        return [f for f in found if self.keeps(f.percept)][:limit]

    def matching(self, words: str, *, limit: int = 20, **filters: Any) -> list[Found]:
        return [f for f in self.whole.matching(words, limit=_EVERYTHING, **filters) if self.keeps(f.percept)][:limit]

    def neighbours(self, percept: Percept, count: int) -> list[Percept]:
        return [p for p in self.whole.neighbours(percept, count) if self.keeps(p)]

    def get(self, id: str) -> Percept | Event | None:
        return self.whole.get(id)


def at_frames(frames_ns: Sequence[int], until_ns: Mapping[str, int]) -> Keeps:
    """Keeps what holds at one of some instants; `until_ns`: when a sight ceases to hold (its id -> time)."""
    times = sorted(frames_ns)

    def keeps(percept: Percept) -> bool:
        i = bisect_left(times, percept.t0_ns)
        return i < len(times) and times[i] < until_ns.get(percept.id, percept.t1_ns)

    return keeps


def controls(folder: Path, fps: float = 5.0, seed: int = 0) -> Iterator[tuple[str, Callable[[Question], Keeps]]]:
    """(name, what it keeps for a question) of each control for the memory of one stream."""
    with Memory.open(folder) as memory:
        snapshot = memory.snapshot()
        percepts = snapshot.percepts()
        end_ns = max((s.seen_ns for s in snapshot.streams()), default=0)
        sights = [p for p in percepts if p.lane == "vision"]
        until = {a.id: b.t0_ns for a, b in itertools.pairwise(sights)} | ({sights[-1].id: end_ns} if sights else {})
    ticks = list(range(0, end_ns, round(1e9 / fps)))
    budget = min(len(percepts), len(ticks))

    def fixed(frames: Sequence[int]) -> Callable[[Question], Keeps]:
        keeps = at_frames(frames, until)
        return lambda _question: keeps

    def oracle(question: Question) -> Keeps:
        spans = [(to_ns(a), to_ns(b)) for a, b in question["evidence"]]
        return lambda p: any(p.t0_ns < b and a < until.get(p.id, p.t1_ns) for a, b in spans)

    yield "last 4 frames", fixed(ticks[-4:])
    for share, name in ((1, "uniform"), (4, "uniform / 4")):
        count = max(1, budget // share)
        yield f"{name} ({count} frames)", fixed([ticks[i * len(ticks) // count] for i in range(count)])
    yield f"reservoir ({budget} frames)", fixed(random.Random(seed).sample(ticks, budget))
    yield "oracle", oracle
    yield "no memory", lambda _question: lambda _percept: False


def asker(folder: Path, keeps_for: Callable[[Question], Keeps]) -> Callable[[Question, Path | None], Answer]:
    """(question, picture) -> answer, by the same reasoner over the reduced memory."""
    memory = Memory.open(folder)
    profile = make_profile(memory.manifest.profile)
    faculties = Faculties(profile.text, lambda: profile.ear, lambda: sight_of(profile))
    whole = memory.snapshot()

    def answer(question: Question, picture: Path | None) -> Answer:
        reduced = Reduced(whole, keeps_for(question))
        image = None if picture is None else read_picture(picture)
        return ask(question["question"], reduced, faculties, Extractive(), ReasonSettings(), image=image, root=folder)

    return answer
