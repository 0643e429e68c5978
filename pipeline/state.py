"""What a robot perceives besides pictures: the state of its body, and the words it was told."""

from __future__ import annotations

import numpy as np

from ..encoders.base import Heard, TextEncoder
from ..records import Observation, Percept, Vector
from .lanes import Words

MOVED = 0.05
"""Share of the range that a number has had so far, from which it counts as moved."""
HALF = float(np.finfo(np.float16).max)


class State:
    """The body's numbers to percepts of the lane `state`: one when a number has moved, at most one an interval.

    They stand in the percept's tokens, float16[1, n] (three digits): no space of the embedded profile holds them, so
    they have no vector, are found by time and are not told apart by likeness. What stands still is said once.
    """

    def __init__(self, stream: str, interval_ns: int) -> None:
        self.settled_ns = 0
        self._stream = stream
        self._interval_ns = interval_ns
        self._kept: Vector | None = None
        self._kept_ns = 0
        self._low = self._high = np.zeros(0, np.float32)

    def take(self, observation: Observation) -> list[Percept]:
        self.settled_ns = observation.t_ns
        state = observation.state
        if state is None or not len(state) or not self._moved(state, observation.t_ns):
            return []
        self._kept, self._kept_ns = state, observation.t_ns
        tokens = np.clip(state, -HALF, HALF).astype(np.float16)[None]
        until_ns = observation.t_ns + self._interval_ns
        return [Percept(self._stream, "state", observation.t_ns, until_ns, tokens=tokens, origin="body")]

    def flush(self, t_ns: int) -> list[Percept]:
        self.settled_ns = t_ns
        return []

    def _moved(self, state: Vector, t_ns: int) -> bool:
        if self._kept is None or self._kept.shape != state.shape:
            self._low = self._high = state
            return True
        self._low, self._high = np.minimum(self._low, state), np.maximum(self._high, state)
        if t_ns - self._kept_ns < self._interval_ns:
            return False
        moved = np.abs(state - self._kept) > MOVED * (self._high - self._low)
        return bool(moved.any())


class Prompt:
    """The words that a robot is told, taken for what is spoken, with `prompt` as their origin."""

    def __init__(self, stream: str, text: TextEncoder, interval_ns: int) -> None:
        self.settled_ns = 0
        self._interval_ns = interval_ns
        self._words = Words(stream, "speech", text, "prompt")

    def take(self, observation: Observation) -> list[Percept]:
        self.settled_ns = observation.t_ns
        if not observation.text:
            return []
        until_ns = observation.text_until_ns or observation.t_ns + self._interval_ns
        return self._words.percepts([Heard(observation.t_ns, until_ns, observation.text, 1.0)])

    def flush(self, t_ns: int) -> list[Percept]:
        self.settled_ns = t_ns
        return []
