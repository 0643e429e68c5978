"""The sensory store: the last seconds at full rate, bounded in time and in bytes, lost when the process ends.

Here stands what pattern separation will not keep, so that a question about just now can look again at finer grain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..records import Moment, to_ns


def moment_bytes(moment: Moment) -> int:
    """Bytes of a moment's arrays and words."""
    total = 0
    for percept in moment.percepts:
        arrays = (percept.vector, percept.tokens, percept.picture)
        total += sum(array.nbytes for array in arrays if array is not None) + len(percept.text or "")
    return total


class SensoryRing:
    """A ring of moments in order of time; the oldest go first."""

    def __init__(self, seconds: float = 10.0, capacity_bytes: int = 32 << 20) -> None:
        self._span_ns = to_ns(seconds)
        self._capacity = capacity_bytes
        self._moments: deque[tuple[Moment, int]] = deque()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Held now; at most the capacity."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._moments)

    def push(self, moment: Moment) -> None:
        """Takes the newest moment. One that is larger than the whole ring empties it and is not held."""
        size = moment_bytes(moment)
        self._moments.append((moment, size))
        self._bytes += size
        while self._moments and (
            self._bytes > self._capacity or self._moments[0][0].t_ns <= moment.t_ns - self._span_ns
        ):
            self._bytes -= self._moments.popleft()[1]

    def keep(self, left: Callable[[Moment], Moment]) -> None:
        """Puts in the place of each held moment what is left of it."""
        moments = [left(moment) for moment, _ in self._moments]
        self._moments = deque((moment, moment_bytes(moment)) for moment in moments)
        self._bytes = sum(size for _, size in self._moments)

    def between(self, t0_ns: int, t1_ns: int) -> list[Moment]:
        """Held moments with t0_ns <= t_ns < t1_ns, in order of time."""
        return [moment for moment, _ in self._moments if t0_ns <= moment.t_ns < t1_ns]
