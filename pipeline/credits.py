"""How far one stage may be ahead of the next: a file's reader waits, a live stream drops its oldest and counts it.

Back-pressure runs from the writer to the source: out of credit, perception waits for the writer; its queue full, the
reader of a file waits for perception. A live stream does not wait for anyone, so its reader is where it drops.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ..records import Observation

T = TypeVar("T")


class Prefetch:
    """Reads an iterator ahead in a thread, through a bounded queue; an error comes out where it happened."""

    def __init__(self, items: Iterator[Observation], ahead: int, *, live: bool = False) -> None:
        """ahead: observations that may wait. live: when so many wait, the oldest of them gives way to the newest."""
        self.dropped = 0
        """Observations that gave way so far."""
        self._items = items
        self._live = live
        self._queue: queue.Queue[Observation | BaseException | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="decode", daemon=True)

    def __enter__(self) -> Prefetch:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[Observation]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():  # the reader may be waiting for room
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _read(self) -> None:
        try:
            for item in self._items:
                if self._stop.is_set():
                    return
                while self._live and self._queue.full():
                    try:
                        self._queue.get_nowait()
                        self.dropped += 1
                    except queue.Empty:  # taken by the reader meanwhile: there is room
                        break
                self._queue.put(item)
            self._queue.put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            self._queue.put(error)


class Credits(Generic[T]):
    """At most `limit` deliveries under way: one more waits until the oldest has arrived."""

    def __init__(self, limit: int, arrived: Callable[[T], object]) -> None:
        """arrived: waits until a delivery was taken in; what it raises comes out of `spend` or `settle`."""
        self._limit = limit
        self._arrived = arrived
        self._under_way: deque[T] = deque()

    def spend(self, send: Callable[[], T]) -> None:
        """Sends one more, once there is credit for it."""
        while len(self._under_way) >= self._limit:
            self._arrived(self._under_way.popleft())
        self._under_way.append(send())

    def settle(self) -> None:
        """Waits until everything has arrived."""
        while self._under_way:
            self._arrived(self._under_way.popleft())
