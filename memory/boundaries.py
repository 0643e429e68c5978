"""What tells a recording where its events end, by the settings: change and silence, surprise, or either of them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..errors import SettingsError
from ..records import Vector, to_ns
from .settings import MemorySettings


class Boundaries(Protocol):
    """Finds event boundaries as the stream goes on (`operators/segment.py`)."""

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        ...

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        """Takes the next moment; the cuts that are decided now, in order of time."""
        ...

    def flush(self) -> list[int]:
        """The stream has ended: the cuts that were still being weighed."""
        ...

    def resume(self, closed_ns: int) -> None:
        """Goes on in the middle of a stream, behind a cut at `closed_ns`."""
        ...


@runtime_checkable
class Looking(Protocol):
    """Boundaries that are told what is seen, before the moment in which it is seen."""

    def look(self, t_ns: int, vector: Vector) -> None:
        """Takes float32[d] of unit length; what is not later than the last one told is passed over."""
        ...


def make_boundaries(settings: MemorySettings | None = None, change_lag: int = 0) -> Boundaries:
    """The detector that the settings name. change_lag: as `segment.BoundarySettings` has it.

    Raises `SettingsError` where an event would have to be longer than it may be.
    """
    from ..operators.segment import BoundarySettings, CausalBoundaries
    from ..operators.surprise_online import SurpriseBoundaries, SurpriseSettings

    settings = settings or MemorySettings()
    least, most = to_ns(settings.min_event_s), to_ns(settings.max_event_s)
    if not 0 <= least < most:
        raise SettingsError(
            f"events of {settings.min_event_s:g} to {settings.max_event_s:g} s make no sense",
            "set min_event_s below max_event_s",
        )
    change = CausalBoundaries(BoundarySettings(change_lag=change_lag, min_event_ns=least, max_event_ns=most))
    if settings.boundaries == "change":
        return change
    surprise = SurpriseBoundaries(SurpriseSettings(min_event_ns=least, max_event_ns=most))
    return surprise if settings.boundaries == "surprise" else Either(change, surprise, least)


class Either:
    """Cuts of two detectors, in order of time; of two that lie closer than an event may be long the earlier."""

    def __init__(self, change: Boundaries, surprise: Boundaries, least_ns: int) -> None:
        self._both = (change, surprise)
        self._least_ns = least_ns
        self._waiting: list[int] = []
        self._cut_ns: int | None = None

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        return min([*(each.settled_ns for each in self._both), *self._waiting])

    def look(self, t_ns: int, vector: Vector) -> None:
        for each in self._both:
            if isinstance(each, Looking):
                each.look(t_ns, vector)

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        """A cut of one waits until the other can tell none before it any more."""
        if self._cut_ns is None:
            self._cut_ns = t_ns
        self._waiting += [cut for each in self._both for cut in each.push(t_ns, change, loudness_db)]
        return self._told(min(each.settled_ns for each in self._both))

    def flush(self) -> list[int]:
        self._waiting += [cut for each in self._both for cut in each.flush()]
        return self._told(None)

    def resume(self, closed_ns: int) -> None:
        self._waiting, self._cut_ns = [], closed_ns
        for each in self._both:
            each.resume(closed_ns)

    def _told(self, until_ns: int | None) -> list[int]:
        ready = sorted(cut for cut in self._waiting if until_ns is None or cut <= until_ns)
        self._waiting = [cut for cut in self._waiting if until_ns is not None and cut > until_ns]
        told = []
        for cut in ready:
            if self._cut_ns is None or cut >= self._cut_ns + self._least_ns:
                told.append(cut)
                self._cut_ns = cut
        return told
