"""Timing of an operator beside its plain form: interleaved, on one thread and on two, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch


@dataclass(frozen=True, slots=True)
class Case:
    """An operator at one size, the plain form that it is measured against, and what the issue asks of the pair."""

    name: str
    ours: Callable[[], object]
    plain: Callable[[], object]
    bare: Callable[[], object] | None = None
    """The products or passes over memory that no form can avoid."""
    at_least: float | None = None
    """plain / ours that is asked for."""
    at_most: float | None = None
    """ours / bare that is asked for."""
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians in milliseconds, on so many threads."""

    case: Case
    threads: int
    ours_ms: float
    plain_ms: float
    bare_ms: float | None

    @property
    def ratio(self) -> float:
        """How many times faster than the plain form."""
        return self.plain_ms / self.ours_ms

    @property
    def over_bare(self) -> float | None:
        """How many times slower than what it cannot avoid."""
        return None if self.bare_ms is None else self.ours_ms / self.bare_ms

    @property
    def missed(self) -> bool:
        """Whether this run misses what was asked for."""
        c, over = self.case, self.over_bare
        too_slow = c.at_least is not None and self.ratio < c.at_least
        return too_slow or (c.at_most is not None and over is not None and over > c.at_most)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch and OpenCV on so many threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def measure(case: Case, count: int) -> Timing:
    """Medians of `case.rounds` rounds, each of which runs every form once: a slow moment of the machine hits all."""
    forms = [case.ours, case.plain, *([case.bare] if case.bare else [])]
    spent: list[list[float]] = [[] for _ in forms]
    with threads(count), torch.inference_mode():
        for form in forms:
            form()
        for _ in range(case.rounds):
            for form, times in zip(forms, spent, strict=True):
                start = time.perf_counter()
                form()
                times.append((time.perf_counter() - start) * 1e3)
    medians = [statistics.median(times) for times in spent]
    return Timing(case, count, medians[0], medians[1], medians[2] if case.bare else None)
