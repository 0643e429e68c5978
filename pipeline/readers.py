"""Answers under way: who erases waits for those that began before, so that none says afterwards what is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """Counts answers while they are made. Threads share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._under_way: set[int] = set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """While an answer is made."""
        with self._changed:
            ticket, self._next = self._next, self._next + 1
            self._under_way.add(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.remove(ticket)
                self._changed.notify_all()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Waits for the answers that are being made now, not for later ones; whether all of them ended in time."""
        with self._changed:
            before = self._next
            return self._changed.wait_for(lambda: all(ticket >= before for ticket in self._under_way), timeout_s)
