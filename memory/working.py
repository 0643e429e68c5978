"""The open event: what working memory holds until a boundary closes it.

Pattern separation keeps the store sparse, as the dentate gyrus does: a sight or a state that is much like one already
kept in the same event is not kept again. Words and onsets of sounds are always kept. What is kept keeps the span it
was perceived over (an id is a hash of it, so it must not depend on what comes later or on an interruption); a sight
holds until the next kept one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Protocol

from ..records import Event, Lane, Percept, Vector
from .episodic import Summariser, build_event

SEPARATED: frozenset[Lane] = frozenset({"vision", "state"})


class Separator(Protocol):
    """Decides whether a vector differs enough from those it admitted (`operators/separate.py`)."""

    def admits(self, vector: Vector) -> bool: ...


class OpenEvent:
    """The percepts that start in [t0_ns, ...) until the event is closed."""

    def __init__(
        self,
        stream: str,
        t0_ns: int,
        ordinal: int,
        separator: Callable[[], Separator],
        stored: Iterable[Percept] = (),
    ) -> None:
        """separator: makes a fresh one; each lane, camera and space has its own.

        stored: percepts that an interrupted run stored for this event already. They are members whatever comes; the
        same percept arriving again passes the separator, so that the decisions after it are the same too, and is not
        new.
        """
        self.stream = stream
        self.t0_ns = t0_ns
        self.ordinal = ordinal
        self._separator = separator
        self._separators: dict[tuple[Lane, str, str | None], Separator] = {}
        self._members = {percept.id: percept for percept in stored}

    @property
    def members(self) -> Collection[Percept]:
        """What it holds, in no order."""
        return self._members.values()

    def add(self, percept: Percept) -> bool:
        """Takes a percept that starts in this event; returns whether it is new and kept, so has to be stored."""
        if percept.lane in SEPARATED and percept.vector is not None:
            key = (percept.lane, percept.camera, percept.space)
            if key not in self._separators:
                self._separators[key] = self._separator()
            if not self._separators[key].admits(percept.vector):
                return False
        if percept.id in self._members:
            return False
        self._members[percept.id] = replace(percept, picture=None, tokens=None)  # the event needs neither
        return True

    def split(self, cut_ns: int) -> OpenEvent:
        """The event that follows this one from `cut_ns` on; it gets the stored percepts that start there."""
        later = [self._members.pop(id) for id, percept in list(self._members.items()) if percept.t0_ns >= cut_ns]
        return OpenEvent(self.stream, cut_ns, self.ordinal + 1, self._separator, later)

    def close(self, t1_ns: int, summarise: Summariser) -> Event:
        """The closed event over [t0_ns, t1_ns)."""
        return build_event(self.stream, self.t0_ns, t1_ns, self.ordinal, self._members.values(), summarise)
