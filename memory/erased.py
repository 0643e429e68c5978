"""Erased spans: what a memory was asked to forget, and must not take in again.

They stand in the manifest without words: which stream, from when to when, of which source. A source is known by its
digest, under whatever name it is watched; one without a digest (a live one) by its stream's name and zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..records import Stream

FOREVER = 2**63 - 1
"""The end of a span that has none, in nanoseconds."""


def is_source(stream: Stream, name: str, digest: str, epoch_ns: int) -> bool:
    """Whether a stream is of the source that was noted by its name, its digest and its zero."""
    if digest or stream.digest:
        return digest == stream.digest
    return (name, epoch_ns) == (stream.id, stream.epoch_ns)


@dataclass(frozen=True, slots=True, order=True)
class Erased:
    """[t0_ns, t1_ns) of a source, erased on request."""

    stream: str
    """Its name when it was erased."""
    t0_ns: int
    t1_ns: int
    digest: str = ""
    epoch_ns: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing of the source may be remembered."""
        return self.t0_ns <= 0 and self.t1_ns >= FOREVER

    def concerns(self, stream: Stream) -> bool:
        """Whether it is the same source."""
        return is_source(stream, self.stream, self.digest, self.epoch_ns)

    def meets(self, t0_ns: int, t1_ns: int) -> bool:
        """Whether [t0_ns, t1_ns) shares time with it; an instant counts where it stands (`tables.overlapping`)."""
        return (t1_ns > self.t0_ns or t0_ns >= self.t0_ns) and t0_ns < self.t1_ns

    def plain(self) -> dict[str, Any]:
        """As it stands in the manifest and in the ledger."""
        return asdict(self)


def span_of(stream: Stream, t0_ns: int, t1_ns: int) -> Erased:
    """A span of a stream's source."""
    return Erased(stream.id, t0_ns, t1_ns, stream.digest, stream.epoch_ns)


def from_plain(rows: Iterable[Mapping[str, Any]]) -> tuple[Erased, ...]:
    """What `Erased.plain` gave. Raises `TypeError` of something else."""
    return tuple(Erased(**row) for row in rows)


def joined(spans: Iterable[Erased]) -> tuple[Erased, ...]:
    """The same spans in order, those of one source that touch made one."""
    made: list[Erased] = []
    for span in sorted(spans, key=lambda s: (s.stream, s.digest, s.epoch_ns, s.t0_ns, s.t1_ns)):
        last = made[-1] if made else None
        alike = last is not None and (last.stream, last.digest, last.epoch_ns) == (
            span.stream, span.digest, span.epoch_ns,
        )  # fmt: skip
        if last is not None and alike and span.t0_ns <= last.t1_ns:
            made[-1] = replace(last, t1_ns=max(last.t1_ns, span.t1_ns))
        else:
            made.append(span)
    return tuple(made)


def concerning(spans: Iterable[Erased], stream: Stream) -> tuple[Erased, ...]:
    """Those of the stream's source."""
    return tuple(span for span in spans if span.concerns(stream))
