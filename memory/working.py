"""The open event: what working memory holds until a boundary closes it.

Pattern separation keeps the store sparse, as the dentate gyrus does: a sight or a state that is much like one already
kept in the same event is not kept again; one that is described twice is new where either description is, and one that
surely says other things is new however it looks. Words and onsets of sounds are always kept. What is kept keeps the
span it was perceived over (an id is a hash of it, so it must not depend on what comes later or on an interruption); a
sight holds until the next kept one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Protocol

from ..records import Event, Lane, Percept, Vector
from .episodic import Summariser, build_event, in_order

SEPARATED: frozenset[Lane] = frozenset({"vision", "state"})
SURE = 0.5
"""Confidence from which a sight that says other things than the last kept one is kept, however alike they look."""


def _parts(text: str | None) -> frozenset[str]:
    """What words state, whatever their order."""
    return frozenset(part.strip() for part in (text or "").replace(";", ",").split(",") if part.strip())


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
        self._said: dict[str, frozenset[str]] = {}
        """camera -> what the last kept sight says."""
        self._members = {percept.id: percept for percept in stored}

    @property
    def members(self) -> Collection[Percept]:
        """What it holds, in no order."""
        return self._members.values()

    def add(self, percept: Percept) -> bool:
        """Takes a percept that starts in this event; returns whether it is new and kept, so has to be stored."""
        if percept.lane in SEPARATED and percept.vector is not None:
            described = [(percept.space, percept.vector), *percept.also.items()]
            new = [self._admits(percept, space, vector) for space, vector in described]  # each must see it
            if not any(new) and not self._says_something_else(percept):
                return False
            self._said[percept.camera] = _parts(percept.text)
        if percept.id in self._members:
            return False
        bare = replace(percept, picture=None, tokens=None, look=None)  # the event needs none of them
        self._members[percept.id] = bare
        return True

    def _says_something_else(self, percept: Percept) -> bool:
        """Whether a sight surely says other things than the last one kept: what came and went must not be lost."""
        if percept.lane != "vision" or not percept.text or percept.confidence < SURE:
            return False
        return _parts(percept.text) != self._said.get(percept.camera, frozenset())

    def _admits(self, percept: Percept, space: str | None, vector: Vector) -> bool:
        """Whether the vector is new in its space; every space sees every percept, so that each decides for itself."""
        key = (percept.lane, percept.camera, space)
        if key not in self._separators:
            self._separators[key] = self._separator()
        return self._separators[key].admits(vector)

    def keep(self, left: Callable[[Percept], Percept | None]) -> None:
        """Puts in the place of each member what is left of it, and forgets what pattern separation knows of others."""
        self._members = {id: kept for id, percept in self._members.items() if (kept := left(percept)) is not None}
        self._separators, self._said = {}, {}
        for percept in in_order(self._members.values()):
            if percept.lane in SEPARATED and percept.vector is not None:
                for space, vector in [(percept.space, percept.vector), *percept.also.items()]:
                    self._admits(percept, space, vector)
                self._said[percept.camera] = _parts(percept.text)

    def split(self, cut_ns: int) -> OpenEvent:
        """The event that follows this one from `cut_ns` on; it gets the stored percepts that start there."""
        later = [self._members.pop(id) for id, percept in list(self._members.items()) if percept.t0_ns >= cut_ns]
        return OpenEvent(self.stream, cut_ns, self.ordinal + 1, self._separator, later)

    def close(self, t1_ns: int, summarise: Summariser) -> Event:
        """The closed event over [t0_ns, t1_ns)."""
        return build_event(self.stream, self.t0_ns, t1_ns, self.ordinal, self._members.values(), summarise)
