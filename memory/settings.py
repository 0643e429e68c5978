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
    place_radius_m: float = 2.0
    """How far a place reaches from its middle where poses tell of places; 0: poses make none."""
    place_likeness: float = 0.0
    """Cosine from which a sight is of a known place where there is no pose; 0: looks make no places."""
    places: int = 256
    """Places of a stream, at most."""
    horizon_s: float = 86_400.0
    """How far back what the memory knew can be asked for (`as_of`), as long as the history has room."""
    history_share: float = 4.0
    """Old versions of a table take at most so many times what its current one does; a little is always granted."""
