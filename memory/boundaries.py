"""What tells a recording where its events end, by the settings: change and silence, surprise, or either of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

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


def looking(boundaries: object) -> Looking | None:
    """The same where they are told what is seen, else None: asked once, for it is slow to ask at every moment."""
    return boundaries if isinstance(boundaries, Looking) else None


@runtime_checkable
class Lasting(Protocol):
    """Boundaries that an interruption does not change: what they know is put down, and taken up again."""

    def state(self) -> dict[str, Any]:
        """What later cuts depend on, right after a push: plain values as JSON has them, and arrays."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """After `resume`: goes on as if they had not been left. What they knew then may be pushed again.

        Raises KeyError, TypeError or ValueError of the state of another detector.
        """
        ...

    def keep(self, stays: Callable[[int], bool]) -> None:
        """Lets go of what was seen at times that do not stay."""
        ...


class Around:
    """Boundaries around others: a subclass says what becomes of their cuts, all that they are told is passed on."""

    def __init__(self, inner: Boundaries) -> None:
        self._inner = inner
        self._looking = looking(inner)

    def look(self, t_ns: int, vector: Vector) -> None:
        if self._looking is not None:
            self._looking.look(t_ns, vector)

    def resume(self, closed_ns: int) -> None:
        self._inner.resume(closed_ns)

    def state(self) -> dict[str, Any]:
        return self._inner.state() if isinstance(self._inner, Lasting) else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        if isinstance(self._inner, Lasting):
            self._inner.restore(state)

    def keep(self, stays: Callable[[int], bool]) -> None:
        if isinstance(self._inner, Lasting):
            self._inner.keep(stays)


class Detector(Boundaries, Protocol):
    """What `Detected` makes lasting (`operators/segment.py`, `operators/surprise_online.py`)."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


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
        return Detected(change)
    surprise = SurpriseBoundaries(SurpriseSettings(min_event_ns=least, max_event_ns=most))
    return Detected(surprise if settings.boundaries == "surprise" else Either(change, surprise, least))


class Detected:
    """A detector's cuts. When it goes on from a state, the moments that the state knows already may come again.

    Until they have all come, and with them the cuts that the last of them told, nothing is settled beyond the end of
    the last closed event: as it was when they came first.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._looking = looking(detector)
        self._pushed_ns = 0
        self._told: list[int] = []
        """By the last push."""
        self._again_ns: int | None = None
        """Until then moments come again."""
        self._closed_ns = 0

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        return self._detector.settled_ns if self._again_ns is None else self._closed_ns

    def look(self, t_ns: int, vector: Vector) -> None:
        if self._looking is not None:
            self._looking.look(t_ns, vector)

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        again: list[int] = []
        if self._again_ns is not None:
            if t_ns < self._again_ns:
                return []
            again = self._told
            if t_ns == self._again_ns:
                self._again_ns = None
                return list(again)
            self._again_ns = None
        self._told = [*again, *self._detector.push(t_ns, change, loudness_db)]
        self._pushed_ns = t_ns
        return list(self._told)

    def flush(self) -> list[int]:
        again = [] if self._again_ns is None else self._told
        self._again_ns = None
        return [*again, *self._detector.flush()]

    def resume(self, closed_ns: int) -> None:
        self._detector.resume(closed_ns)
        self._told, self._again_ns, self._closed_ns = [], None, closed_ns

    def state(self) -> dict[str, Any]:
        return {"detected": {"pushed_ns": self._pushed_ns, "told": self._told}} | self._detector.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        known = state["detected"]
        pushed_ns, told = int(known["pushed_ns"]), [int(cut) for cut in known["told"]]
        self._detector.restore(state)
        self._pushed_ns, self._told, self._again_ns = pushed_ns, told, pushed_ns

    def keep(self, stays: Callable[[int], bool]) -> None:
        _keep(self._detector, stays)


class Either:
    """Cuts of two detectors, in order of time; of two that lie closer than an event may be long the earlier."""

    def __init__(self, change: Detector, surprise: Detector, least_ns: int) -> None:
        self._both = (change, surprise)
        self._looking = [each for each in self._both if isinstance(each, Looking)]
        self._least_ns = least_ns
        self._waiting: list[int] = []
        self._cut_ns: int | None = None

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        return min([*(each.settled_ns for each in self._both), *self._waiting])

    def look(self, t_ns: int, vector: Vector) -> None:
        for each in self._looking:
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

    def state(self) -> dict[str, Any]:
        own = {"both": {"cut_ns": self._cut_ns, "waiting": sorted(self._waiting)}}
        return own | self._both[0].state() | self._both[1].state()

    def restore(self, state: Mapping[str, Any]) -> None:
        cut_ns, waiting = state["both"]["cut_ns"], [int(cut) for cut in state["both"]["waiting"]]
        for each in self._both:
            each.restore(state)
        self._cut_ns, self._waiting = cut_ns, waiting

    def keep(self, stays: Callable[[int], bool]) -> None:
        for each in self._both:
            _keep(each, stays)

    def _told(self, until_ns: int | None) -> list[int]:
        ready = sorted(cut for cut in self._waiting if until_ns is None or cut <= until_ns)
        self._waiting = [cut for cut in self._waiting if until_ns is not None and cut > until_ns]
        told = []
        for cut in ready:
            if self._cut_ns is None or cut >= self._cut_ns + self._least_ns:
                told.append(cut)
                self._cut_ns = cut
        return told


def _keep(detector: Detector, stays: Callable[[int], bool]) -> None:
    """Of detectors only those that look hold anything of what was seen."""
    from ..operators.surprise_online import SurpriseBoundaries

    if isinstance(detector, SurpriseBoundaries | Either):
        detector.keep(stays)
