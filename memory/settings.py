"""What can be set in a memory: section `[memory]` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Detector = Literal["change", "surprise", "both"]
Way = Literal["potentiation", "merge", "cluster", "fifo", "reservoir"]
"""Of consolidating the past (`consolidations.WAYS`)."""


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """Bounds of the stores; none of them changes the format on disk."""

    separation: float = 0.9
    """A vision or state percept is kept iff its cosine to those kept in the same event is below this."""
    commit_every_s: float = 1.0
    """A stream commits at most once in this time, closed events apart."""
    thumbnail_px: int = 480
    """Long side of a stored thumbnail, at most: at 320 the geometry of a query picture often fails, at 480 it holds."""
    thumbnail_quality: int = 80
    """JPEG quality of a stored thumbnail."""
    gist_chars: int = 200
    """Length of an event's gist, at most."""
    fragments: int = 48
    """A table is compacted when it has this many: reading slows down with each (48: 30 ms more), badly past 256."""
    consolidation: Way = "merge"
    """How long-term memory keeps the past in a fixed number of prototypes (docs/memory.md compares the ways)."""
    prototypes: int = 128
    """Prototypes of one stream, lane and space, at most."""
    prototype_events: int = 4
    """Events that feed one prototype, at most."""
    boundaries: Detector = "change"
    """What closes an event: a visual change and silence, or surprise with refinement (EM-LLM), or either."""
    min_event_s: float = 2.0
    """Length of an event, at least, the last one apart."""
    max_event_s: float = 300.0
    """From this length on an event is closed at the next moment, or at the silence nearest to it."""
    place_radius_m: float = 2.0
    """How far a place reaches from its middle where poses tell of places; 0: poses make none."""
    place_likeness: float = 0.0
    """Cosine from which a sight is of a known place where there is no pose; 0: looks make no places."""
    places: int = 256
    """Places of a stream, at most."""
    budget_mb: float | None = None
    """Megabytes (10^6 bytes) that what the memory makes may take in its folder; None: as much as it comes to. All
    versions and the room that a compaction needs are counted, copies of sources (`sources/`) are not."""
    sleep_every_s: float = 0.0
    """A memory that is open for writing sleeps so often by itself; 0: only when its budget presses."""
    law: str = "ebbinghaus"
    """How strengths decay (`strength.LAWS`): what is weakest is forgotten first."""
    recall_gain: float = 1.0
    """What each recall adds to a strength, and each recurrence to an event's."""
    same_event: float = 0.95
    """Cosine from which two events are the same again."""
    summary_s: float = 600.0
    """Length of the stretches of a stream that are summarised, the second level above events."""
    summary_chars: int = 300
    """Length of their summaries, at most."""
    horizon_s: float = 86_400.0
    """How far back what the memory knew can be asked for (`as_of`), as long as the history has room."""
    history_share: float = 4.0
    """Old versions of a table take at most so many times what its current one does; a little is always granted."""
