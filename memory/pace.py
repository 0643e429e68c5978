"""The pace of a writer: at most one commit in a while, closed events apart, and each stream has its turn."""

from __future__ import annotations

import threading
from dataclasses import dataclass

_PATIENCE = 4


@dataclass(slots=True)
class _Waiting:
    since_ns: int
    asked_ns: int


class Pace:
    """Shared by the recorders of one writer. Times are of one monotonic clock, in nanoseconds; threads may share it."""

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._last_ns: int | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._mutex = threading.Lock()

    def due(self, recorder: int, now_ns: int) -> bool:
        """Whether the recorder, who has something to store, may commit now.

        The turn is of who has waited longest, so that of streams in step none is left out; who has not asked again for
        `_PATIENCE` turns (a stream that pauses) is not waited for.
        """
        with self._mutex:
            own = self._waiting.setdefault(recorder, _Waiting(now_ns, now_ns))
            own.asked_ns = now_ns
            if self._last_ns is not None and now_ns - self._last_ns < self._every_ns:
                return False
            return all(
                own.since_ns <= other.since_ns
                for other in self._waiting.values()
                if now_ns - other.asked_ns < _PATIENCE * self._every_ns
            )

    def committed(self, recorder: int, now_ns: int) -> None:
        """The recorder has committed, due or not."""
        with self._mutex:
            self._waiting.pop(recorder, None)
            self._last_ns = now_ns

    def forget(self, recorder: int) -> None:
        """The recorder will not ask again."""
        with self._mutex:
            self._waiting.pop(recorder, None)
