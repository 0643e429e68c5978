"""A stream made by hand: percepts of one day, the moments that bring them, boundaries known beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mneme.memory.recorder import Ack, Recorder
from mneme.records import NS_PER_S, Moment, Percept, Space, Stream, Vector

SPACE = Space("looks", 3, "v1")
DAY = Stream("day", "/videos/day.mp4", "digest-1")
RED, GREEN, BLUE = (np.eye(3, dtype=np.float32)[i] for i in range(3))


class CutsAt:
    """Boundaries known beforehand; each is decided `late` seconds after its time, as a causal detector would."""

    def __init__(self, *cuts_s: float, late_s: float = 1.0) -> None:
        self._cuts = [s(cut) for cut in cuts_s]
        self._late = s(late_s)
        self.settled_ns = 0

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        del change, loudness_db
        before, self.settled_ns = self.settled_ns, max(0, t_ns - self._late)
        return [cut for cut in self._cuts if before <= cut < self.settled_ns]

    def flush(self) -> list[int]:
        return []

    def resume(self, closed_ns: int) -> None:
        self.settled_ns = closed_ns


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def look(t_s: float, vector: Vector, **kinds: Any) -> Percept:
    return Percept("day", "vision", s(t_s), s(t_s + 1), space="looks", vector=vector, origin="colours", **kinds)


def say(t0_s: float, t1_s: float, text: str) -> Percept:
    return Percept("day", "speech", s(t0_s), s(t1_s), text=text, origin="subtitles")


def moments(percepts: Iterable[Percept], until_s: int, late_s: float = 2.0) -> list[Moment]:
    """One moment a second; a percept comes complete with the first moment after its end."""
    known = list(percepts)
    return [
        Moment("day", s(t), tuple(p for p in known if s(t - 1) < p.t1_ns <= s(t)), settled_ns=max(0, s(t - late_s)))
        for t in range(until_s + 1)
    ]


def record(recorder: Recorder, stream: Iterable[Moment]) -> list[Ack]:
    return [ack for moment in stream for ack in recorder.observe(moment)]
