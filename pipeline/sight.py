"""Questions with a picture: where does what it shows appear?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..encoders.base import LookEncoder, Looking
from ..errors import SettingsError
from ..records import Percept, Picture
from .picture import read_picture
from .reason import Conclusion, Support, abstain
from .wording import clock, span

if TYPE_CHECKING:
    from ..encoders.profiles import Profile
    from .evidence import Finder


class Sight(Protocol):
    """What a picture encoder offers to questions."""

    @property
    def space(self) -> str: ...

    @property
    def accept(self) -> float:
        """Least score at which a picture counts as seen."""
        ...

    def views(self, picture: Picture) -> NDArray[np.float32]:
        """float32[v, d]: the picture whole and in likely crops."""
        ...

    def scores(self, picture: Picture, percepts: Sequence[Percept], root: Path | None) -> NDArray[np.float32]:
        """float32[n], 0 to 1: how surely each percept (with vector and tokens) shows what the picture shows.

        `root`: the memory's folder, against which thumbnails resolve.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Run:
    best: Percept
    t0_ns: int
    t1_ns: int
    score: float


RECALLED = 200
"""Percepts that the vectors bring up for the closer look."""


def conclude_picture(picture: Picture, sight: Sight, finder: Finder) -> Conclusion:
    """Where the picture's scene appears: runs of percepts within one event that score near the best."""
    started = time.perf_counter()
    found = {
        hit.percept.id
        for view in sight.views(picture)
        for hit in finder.snapshot.nearest(sight.space, view, limit=RECALLED, lanes=("vision",), stream=finder.stream)
    }
    percepts = finder.snapshot.percepts(lanes=("vision",), ids=sorted(found), with_vectors=True)
    finder.recall_s += time.perf_counter() - started
    if not percepts:
        return abstain("nothing has been seen in this memory")
    percepts.sort(key=lambda p: (p.stream, p.t0_ns, p.id))
    scores = sight.scores(picture, percepts, finder.root)
    if float(scores.max()) < sight.accept:
        return abstain(f"nothing that was seen looks like this picture (best {float(scores.max()):.2f})")
    runs = _runs(percepts, scores, max(sight.accept, 0.8 * float(scores.max())), finder)
    times = ", ".join(span(r.t0_ns, r.t1_ns) for r in runs)
    support = tuple(
        Support(r.best.stream, r.t0_ns, r.t1_ns, r.best, f"seen at {clock(r.t0_ns)}", r.score) for r in runs
    )
    return Conclusion(f"This is seen at {times}.", False, runs[0].score, support)


def _runs(percepts: Sequence[Percept], scores: NDArray[np.float32], least: float, finder: Finder) -> list[_Run]:
    """Good percepts gathered by the event they started in, best first.

    Pattern separation keeps only what is new, so a kept sight holds until the next kept one, or the event's end: a run
    reaches from its first good percept to where the last one ceases to hold.
    """
    runs: list[_Run] = []
    for event in finder.snapshot.events(finder.stream):
        good = [
            (p, float(s))
            for p, s in zip(percepts, scores, strict=True)
            if s >= least and p.stream == event.stream and event.t0_ns <= p.t0_ns < event.t1_ns
        ]
        if not good:
            continue
        kept = finder.snapshot.percepts(lanes=("vision",), stream=event.stream, t0_ns=event.t0_ns, t1_ns=event.t1_ns)
        last_ns = max(p.t0_ns for p, _ in good)
        t1_ns = min((p.t0_ns for p in kept if p.t0_ns > last_ns), default=event.t1_ns)
        best = max(good, key=lambda pair: pair[1])
        runs.append(_Run(best[0], min(p.t0_ns for p, _ in good), t1_ns, best[1]))
    loose = [(p, float(s)) for p, s in zip(percepts, scores, strict=True) if s >= least]
    if not runs and loose:  # what was seen since the last closed event
        best = max(loose, key=lambda pair: pair[1])
        runs.append(_Run(best[0], best[0].t0_ns, best[0].t1_ns, best[1]))
    return sorted(runs, key=lambda r: (-r.score, r.t0_ns))[:5]


def look_of(profile: Profile) -> LookEncoder | None:
    """The encoder of a profile that recognises pictures: its `look`, or its `vision` where that can; None: neither."""
    if isinstance(profile, Looking):
        return profile.look
    return profile.vision if isinstance(profile.vision, LookEncoder) else None


def sight_of(profile: Profile) -> Sight:
    """What answers questions with a picture. Errors: `SettingsError` of a profile that cannot recognise pictures."""
    look = look_of(profile)
    if look is None:
        raise SettingsError(
            f"profile {profile.name!r} cannot recognise a picture", "ask in words, or re-encode the memory"
        )
    return LayoutSight(look)


class LayoutSight:
    """`Sight` by a `LookEncoder`: vectors bring up, windows rank, the geometry of the thumbnails decides.

    A percept is compared in the space of the look, be it the percept's own or its second description.
    """

    VERIFIED = 16
    """Best-ranked percepts whose thumbnails are compared with the picture feature by feature."""

    CERTAIN = 0.93
    """Cosine from which the likeness of the windows alone will do."""

    def __init__(self, layout: LookEncoder) -> None:
        self._layout = layout
        self.space = layout.spec.space.name
        self.accept = layout.threshold

    def views(self, picture: Picture) -> NDArray[np.float32]:
        return self._layout.encode_query(picture).vectors

    def scores(self, picture: Picture, percepts: Sequence[Percept], root: Path | None) -> NDArray[np.float32]:
        query = self._layout.encode_query(picture)
        cosines = np.full(len(percepts), -1.0, dtype=np.float32)
        for i, percept in enumerate(percepts):
            own = percept.space == self.space
            vector = percept.vector if own else percept.also.get(self.space)
            windows = percept.tokens if own else percept.look
            if vector is not None:
                cosines[i] = self._layout.match(query, vector[None], None if windows is None else windows[None])[0]
        scores = np.zeros(len(percepts), dtype=np.float32)
        best = np.argsort(-cosines, kind="stable")[: self.VERIFIED]
        for i in best[
            cosines[best] >= self.CERTAIN
        ]:  # a still, bare scene has few features, and looks like nothing else
            scores[i] = self._layout.calibrate(float(cosines[i]))
        pictures = {int(i): seen for i in best if (seen := _thumbnail(percepts[i], root)) is not None}
        if pictures:
            agreed = self._layout.agreement(picture, list(pictures.values()))
            scores[list(pictures)] = np.maximum(scores[list(pictures)], agreed)
        for i in best:
            if int(i) not in pictures:  # without a thumbnail the likeness of the windows has to do
                scores[i] = self._layout.calibrate(float(cosines[i]))
        return scores


def _thumbnail(percept: Percept, root: Path | None) -> Picture | None:
    path = root / percept.thumbnail if root is not None and percept.thumbnail else None
    return read_picture(path) if path is not None and path.is_file() else None
