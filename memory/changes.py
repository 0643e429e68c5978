"""What a commit does to what is stored already: rows that go, rows that take the place of others.

Sleep and erasure say what they want as one of these, and the writer makes it durable in one step, as it does what is
recorded: all of it counts, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import tables
from .ledger import StreamState

KEYS: Mapping[str, tuple[str, ...]] = {
    tables.PERCEPTS: ("id", "take"),
    tables.EVENTS: ("id", "take"),
    tables.PLACES: ("id", "take"),
    tables.SUMMARIES: ("id", "take"),
}
"""Table -> the columns that tell its rows apart: while a stream is being replaced two takes may hold the same id."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Applied in this order: rows dropped, rows put, streams."""

    drop: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Table -> filters; the rows for which one of them holds go."""
    put: Mapping[str, Any] = field(default_factory=dict)
    """Table -> `pyarrow.Table` of whole rows (the schema of `tables.schemas`): each takes the place of the row with the
    same `KEYS`, or is added."""
    streams: Mapping[str, StreamState] | None = None
    """All streams as they stand afterwards; None: as they are."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """What the ledger says of it: a receipt, a reason."""

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not any(self.drop.values()) and not any(map(len, self.put.values())) and self.streams is None
