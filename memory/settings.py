"""What can be set in a memory: section `[memory]` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


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
    horizon_s: float = 600.0
    """Versions of the tables that were current within this time before the last compaction can still be read."""
