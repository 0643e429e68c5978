"""What reading a memory means: the protocol of a snapshot, which the stores fill and benchmarks may wrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..records import Event, Lane, Percept, Place, Vector
from .ledger import StreamState


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A percept that answers a search, and how well."""

    percept: Percept
    similarity: float
    """Of a vector: the cosine. Of words: the BM25 score, which only orders."""


class Snapshot(Protocol):
    """A memory as it stood at one commit; nothing that comes later is seen through it.

    Every filter is a conjunction; None does not filter. Spans are [t0_ns, t1_ns) and match what overlaps them.
    """

    def streams(self) -> list[StreamState]:
        """In order of their names."""
        ...

    def events(self, stream: str | None = None) -> list[Event]:
        """In order of (stream, t0)."""
        ...

    def places(self, stream: str | None = None) -> list[Place]:
        """In order of (stream, when they were founded)."""
        ...

    def percepts(
        self,
        *,
        lanes: Sequence[Lane] | None = None,
        stream: str | None = None,
        t0_ns: int | None = None,
        t1_ns: int | None = None,
        origins: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        with_vectors: bool = False,
    ) -> list[Percept]:
        """In order of time; vectors and tokens are read from the disk only when asked for."""
        ...

    def nearest(
        self,
        space: str,
        vector: Vector,
        *,
        limit: int = 20,
        lanes: Sequence[Lane] | None = None,
        stream: str | None = None,
        t0_ns: int | None = None,
        t1_ns: int | None = None,
    ) -> list[Found]:
        """The percepts of `space` with the highest cosine to float32[d], best first; ties in order of time."""
        ...

    def matching(
        self,
        words: str,
        *,
        limit: int = 20,
        lanes: Sequence[Lane] | None = None,
        stream: str | None = None,
        t0_ns: int | None = None,
        t1_ns: int | None = None,
    ) -> list[Found]:
        """The percepts whose text shares words (stemmed, without stop words) with `words`, by BM25, best first."""
        ...

    def neighbours(self, percept: Percept, count: int) -> list[Percept]:
        """Up to `count` percepts before and after it in its stream, lane and camera, in order of time, without it."""
        ...

    def get(self, id: str) -> Percept | Event | None:
        """The percept or event of that id."""
        ...
