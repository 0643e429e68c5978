"""The working bank: a bounded number of an event's tokens with use and life (XMem, Cheng and Schwing, ECCV 2022).

Every token reads the bank before it joins it, as a frame reads the memory in XMem: the attention that it gives is the
use of those that it is given to. Over its capacity the least used goes, so what stays is what the event kept showing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..records import Percept
from .prototypes import Candidates, half, unit

CAPACITY = 64
"""Tokens of one event, lane and space that are held."""
MOST = 2048
"""Percepts of one event that are looked at: of more, so many that are spread evenly over it."""
TEMPERATURE = 0.2
"""Of the attention softmax(cos / T): a cosine of 0.8 gets a third of what 1.0 gets."""


class TokenBank:
    """At most `capacity` tokens. O(capacity d) a token."""

    def __init__(self, dim: int, capacity: int = CAPACITY) -> None:
        self._vectors = np.zeros((capacity + 1, dim), dtype=np.float32)
        self._t_ns = np.zeros(capacity + 1, dtype=np.int64)
        self._use, self._life = np.zeros(capacity + 1), np.zeros(capacity + 1)
        self._capacity, self._count = capacity, 0

    def __len__(self) -> int:
        return self._count

    @property
    def usage(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """float64[n]: attention received per token that could have given some; 1 of what none could give any yet."""
        n = self._count
        return (1.0 + self._use[:n]) / (1.0 + self._life[:n])

    def push(self, vector: np.ndarray[tuple[int], np.dtype[np.float32]], t_ns: int) -> None:
        """Takes up a token: float32[d], of unit length."""
        n = self._count
        if n:
            alike = self._vectors[:n] @ vector / TEMPERATURE
            weights = np.exp(alike - alike.max(), dtype=np.float64)
            self._use[:n] += weights / weights.sum()
            self._life[:n] += 1.0
        self._vectors[n], self._t_ns[n], self._use[n], self._life[n] = vector, t_ns, 0.0, 0.0
        self._count += 1
        if self._count > self._capacity:
            self._drop(int(np.argmin(self.usage)))

    def candidates(self, event: str) -> Candidates:
        """What it holds, in the order in which it came."""
        n = self._count
        return Candidates(event, self._vectors[:n].copy(), self._t_ns[:n].copy(), self.usage)

    def _drop(self, at: int) -> None:
        for held in (self._vectors, self._t_ns, self._use, self._life):
            held[at:-1] = held[at + 1 :]
        self._count -= 1


def candidates_of(event: str, percepts: Iterable[Percept], capacity: int = CAPACITY) -> Candidates | None:
    """The tokens of an event's percepts of one lane and space, in order of time; None of percepts without vectors.

    The same for the same percepts, whether the event was seen in one go or an interrupted run had stored a part of it.
    """
    held = [(percept.t0_ns, percept.vector) for percept in percepts if percept.vector is not None]
    if not held:
        return None
    if len(held) > MOST:
        held = [held[i] for i in np.linspace(0, len(held) - 1, MOST).round().astype(int).tolist()]
    bank = TokenBank(len(held[0][1]), capacity)
    for t_ns, vector in held:
        bank.push(half(vector if abs(float(vector @ vector) - 1.0) < 1e-3 else unit(vector)), t_ns)
    return bank.candidates(event)
