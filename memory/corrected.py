"""Boundaries that a person corrected: what a memory was told about where events end, and how a recording honours it.

Corrections stand in the manifest without words, as erased spans do: which source, when, and whether an event ends
there. A source is known by its digest, under whatever name it is watched; one without a digest by its name and zero.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..records import NS_PER_S, Stream
from .boundaries import Around, Boundaries
from .erased import Erased, is_source

REACH_NS = NS_PER_S
"""An automatic cut at most so far from a correction is the one that was corrected: detectors differ by a moment."""


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """Whether an event of a source ends at a time."""

    stream: str
    """Its name when it was corrected."""
    cut_ns: int
    cut: bool
    """True: an event ends there. False: none does, whatever the detector finds."""
    digest: str = ""
    epoch_ns: int = 0

    def concerns(self, stream: Stream) -> bool:
        """Whether it is the same source."""
        return is_source(stream, self.stream, self.digest, self.epoch_ns)

    def plain(self) -> dict[str, Any]:
        """As it stands in the manifest and in the ledger."""
        return asdict(self)


def correction_of(stream: Stream, cut_ns: int, cut: bool) -> Correction:
    """A correction of a stream's source."""
    return Correction(stream.id, cut_ns, cut, stream.digest, stream.epoch_ns)


def from_plain(rows: Iterable[Mapping[str, Any]]) -> tuple[Correction, ...]:
    """What `Correction.plain` gave. Raises `TypeError` of something else."""
    return tuple(Correction(**row) for row in rows)


def noted(known: Iterable[Correction], new: Iterable[Correction]) -> tuple[Correction, ...]:
    """All of them in order; of two about one time of one source the later word counts."""
    held = {_where(each): each for each in known}
    held.update((_where(each), each) for each in new)
    return tuple(sorted(held.values()))


def without(known: Iterable[Correction], spans: Sequence[Erased]) -> tuple[Correction, ...]:
    """Those of which no span, of a stream that was erased whole, holds the time."""

    def gone(each: Correction) -> bool:
        source = Stream(each.stream, "", each.digest, each.epoch_ns)
        return any(span.concerns(source) and span.meets(each.cut_ns, each.cut_ns) for span in spans)

    return tuple(each for each in known if not gone(each))


def concerning(known: Iterable[Correction], stream: Stream) -> tuple[Correction, ...]:
    """Those of the stream's source."""
    return tuple(each for each in known if each.concerns(stream))


def honouring(boundaries: Boundaries, corrections: Sequence[Correction]) -> Boundaries:
    """The same boundaries, as they were corrected."""
    return Corrected(boundaries, corrections) if corrections else boundaries


class Corrected(Around):
    """A detector's cuts, in order of time, without those within `REACH_NS` of a correction, and with the person's own.

    A cut of the person's is told as soon as the detector can tell none before it any more, and not before its time.
    """

    def __init__(self, boundaries: Boundaries, corrections: Iterable[Correction]) -> None:
        """corrections: of the stream's source, in any order."""
        super().__init__(boundaries)
        known = list(corrections)
        self._near = sorted({each.cut_ns for each in known})
        self._own = sorted({each.cut_ns for each in known if each.cut and each.cut_ns > 0})
        """Cuts that are still to come."""

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        return min([self._inner.settled_ns, *self._own[:1]])

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        found = self._inner.push(t_ns, change, loudness_db)
        ripe_ns = max([min(t_ns, self._inner.settled_ns), *found])
        ripe = [cut for cut in self._own if cut <= ripe_ns]
        self._own = self._own[len(ripe) :]
        return self._told(found, ripe)

    def flush(self) -> list[int]:
        own, self._own = self._own, []
        return self._told(self._inner.flush(), own)

    def resume(self, closed_ns: int) -> None:
        """What was corrected before stands in the events that are closed; so `state` need not hold what is to come."""
        self._own = [cut for cut in self._own if cut > closed_ns]
        super().resume(closed_ns)

    def _told(self, found: Sequence[int], own: Sequence[int]) -> list[int]:
        return sorted({*(cut for cut in found if not self._is_corrected(cut)), *own})

    def _is_corrected(self, cut_ns: int) -> bool:
        at = bisect_left(self._near, cut_ns - REACH_NS)
        return at < len(self._near) and self._near[at] <= cut_ns + REACH_NS


def _where(each: Correction) -> tuple[str, int, int]:
    source = each.digest or each.stream
    return (source, 0 if each.digest else each.epoch_ns, each.cut_ns)
