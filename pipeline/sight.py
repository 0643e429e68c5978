"""Questions with a picture: where does what it shows appear?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..records import NS_PER_S, Percept, Picture
from .extractive import clock, span
from .question import Question
from .reason import Conclusion, Support, abstain

if TYPE_CHECKING:
    from ..encoders.vision import Layout
    from .evidence import Finder


class Sight(Protocol):
    """What a picture encoder offers to questions (`encoders.vision.Layout`)."""

    @property
    def space(self) -> str: ...

    @property
    def accept(self) -> float:
        """Least score at which a picture counts as seen."""
        ...

    def views(self, picture: Picture) -> NDArray[np.float32]:
        """float32[v, d]: the picture whole and in likely crops."""
        ...

    def scores(self, picture: Picture, percepts: Sequence[Percept]) -> NDArray[np.float32]:
        """float32[n], 0 to 1: how surely each percept (with its vector and tokens) shows what the picture shows."""
        ...


@dataclass(frozen=True, slots=True)
class _Run:
    percepts: tuple[Percept, ...]
    t0_ns: int
    t1_ns: int
    score: float


RECALLED = 200
"""Percepts that the vectors bring up for the closer look."""
GAP_NS = 15 * NS_PER_S
"""Percepts of one event that are kept further apart do not join: pattern separation keeps only what is new."""


def conclude_picture(question: Question, picture: Picture, sight: Sight, finder: Finder) -> Conclusion:
    """Where the picture's scene appears: runs of percepts within one event that score near the best."""
    started = time.perf_counter()
    found: dict[str, Percept] = {}
    for view in sight.views(picture):
        for hit in finder.snapshot.nearest(sight.space, view, limit=RECALLED, lanes=("vision",), stream=finder.stream):
            found[hit.percept.id] = hit.percept
    finder.recall_s += time.perf_counter() - started
    percepts = sorted(found.values(), key=lambda p: (p.stream, p.t0_ns, p.id))
    if not percepts:
        return abstain("nothing has been seen in this memory")
    scores = sight.scores(picture, percepts)
    if float(scores.max()) < sight.accept:
        return abstain(f"nothing that was seen looks like this picture (best {float(scores.max()):.2f})")
    runs = _runs(percepts, scores, max(sight.accept, 0.8 * float(scores.max())), finder)
    times = ", ".join(span(r.t0_ns, r.t1_ns) for r in runs)
    support = tuple(Support(r.percepts[0].stream, r.t0_ns, r.t1_ns, r.percepts[0], f"seen at {clock(r.t0_ns)}", r.score)
                    for r in runs)
    return Conclusion(f"This is seen at {times}.", False, runs[0].score, support)


def _runs(percepts: Sequence[Percept], scores: NDArray[np.float32], least: float, finder: Finder) -> list[_Run]:
    """Good percepts gathered by the event they started in; a run spans from its first to its last percept's end."""
    events = {e.stream: [] for e in finder.snapshot.events(finder.stream)}  # type: dict[str, list[tuple[int, int]]]
    for event in finder.snapshot.events(finder.stream):
        events[event.stream].append((event.t0_ns, event.t1_ns))
    runs: list[_Run] = []
    for percept, score in zip(percepts, scores, strict=True):
        if score < least:
            continue
        bounds = next(((a, b) for a, b in events.get(percept.stream, []) if a <= percept.t0_ns < b),
                      (percept.t0_ns, percept.t1_ns))
        last = runs[-1] if runs else None
        if last and last.percepts[-1].stream == percept.stream and bounds[0] <= last.t0_ns \
                and percept.t0_ns - last.t1_ns <= GAP_NS:
            runs[-1] = _Run((*last.percepts, percept), last.t0_ns, max(last.t1_ns, percept.t1_ns),
                            max(last.score, float(score)))
        else:
            runs.append(_Run((percept,), percept.t0_ns, percept.t1_ns, float(score)))
    best_first = sorted(runs, key=lambda r: -r.score)
    return best_first[:5]


class LayoutSight:
    """`Sight` by `encoders.vision.Layout`: vectors bring up, windows rank, geometry of the thumbnails decides."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.space = layout.spec.space.name
        self.accept = layout.threshold

    def views(self, picture: Picture) -> NDArray[np.float32]:
        return self._layout.encode_query(picture).vectors

    def scores(self, picture: Picture, percepts: Sequence[Percept]) -> NDArray[np.float32]:
        query = self._layout.encode_query(picture)
        vectors = np.stack([p.vector for p in percepts if p.vector is not None])  # [n, d]
        tokens = np.stack([p.tokens for p in percepts if p.tokens is not None])  # [n, w, d]
        cosines = self._layout.match(query, vectors, tokens)
        return np.array([self._layout.calibrate(float(c)) for c in cosines], dtype=np.float32)
