"""A bounded queue between a live stream and the senses: it never makes the giver wait, and keeps the newest."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from ..records import Observation

BARE = 16
"""Observations without pictures that fit in, for each that has some."""


class NewestQueue:
    """Observations in the order they came; where it is full, the oldest pictures go first, then the oldest of all.

    Sound and words are small and cannot be missed from the middle, so they outlast the pictures they came with.
    """

    def __init__(self, ahead: int, most_bytes: int) -> None:
        """ahead: observations with pictures that may wait. most_bytes: of everything that waits."""
        self._ahead, self._most_bytes = ahead, most_bytes
        self._items: deque[Observation] = deque()
        self._pictures = 0
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, observation: Observation) -> int:
        """Takes it in; how many observations lost their pictures, or everything, for it."""
        with self._changed:
            self._items.append(observation)
            self._count(observation, 1)
            dropped = 0
            while self._pictures > self._ahead or (self._bytes > self._most_bytes and self._pictures > 1):
                self._drop_oldest_pictures()
                dropped += 1
            while len(self._items) > BARE * self._ahead or (self._bytes > self._most_bytes and len(self._items) > 1):
                self._count(self._items.popleft(), -1)
                dropped += 1
            self._changed.notify()
            return dropped

    def get(self, timeout_s: float) -> Observation | None:
        """The oldest that waits; None when none came in time, or the queue is closed and empty."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout_s)
            if not self._items:
                return None
            observation = self._items.popleft()
            self._count(observation, -1)
            return observation

    def close(self) -> None:
        """Nothing more will come: `get` no longer waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop_oldest_pictures(self) -> None:
        at = next(i for i, item in enumerate(self._items) if item.images)
        item = self._items[at]
        self._count(item, -1)
        if item.sound is None and item.text is None:
            del self._items[at]
        else:
            self._items[at] = replace(item, images={})
            self._count(self._items[at], 1)

    def _count(self, observation: Observation, sign: int) -> None:
        self._pictures += sign * bool(observation.images)
        sound = 0 if observation.sound is None else observation.sound.nbytes
        self._bytes += sign * (sound + sum(picture.nbytes for picture in observation.images.values()))
