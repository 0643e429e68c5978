"""How far back a memory's history goes: which old versions of its tables stay on the disk.

A version that a commit within the horizon names can be read. Each compaction writes a table anew, so a history costs
as many copies as it has compactions: it may take a share of what the table itself does, and where that or the disk
budget does not suffice for the horizon, the horizon shortens.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import tables
from .segments import clean
from .usage import bytes_in

READERS_S = 600.0
"""Old versions of the ledger itself serve only readers that have it open."""
_FREE = 32 << 20
"""Bytes of old versions that a table may always have, where the budget allows."""
_VERSIONS = 2000
"""Versions of a table, at most: listing them takes about half a millisecond each."""
_SLACK = timedelta(seconds=2)


def prune(root: Path, name: str, table: Any, now: datetime, horizon_s: float, share: float) -> int:
    """Removes the versions of a settled table that no commit since `now - horizon_s` names, and those too many.

    Returns the first that stays.

    now: as Lance dates its versions. share: bytes of old versions, at most, as a share of the current one's; a
    little is always granted, of a share that is not 0.
    """
    horizon_s = min(horizon_s, READERS_S) if name == tables.LEDGER else horizon_s
    made = sorted((version["timestamp"], version["version"]) for version in table.list_versions())
    current = sum(1 for at, _ in made if at <= now - timedelta(seconds=horizon_s))
    first = max(0, current - 1, len(made) - _VERSIONS)
    folder = root / tables.FOLDER / f"{name}.lance"
    live = int(table.stats()["total_bytes"]) + bytes_in(folder / "_indices")
    allowed = live + max(share * live, _FREE if share else 0)
    kept = 0  # versions that went already
    while first < len(made):
        if first > kept:
            clean(table, now - made[first][0] + _SLACK if first < len(made) - 1 else timedelta(0))
            kept = first
        if first == len(made) - 1 or bytes_in(folder) <= allowed:
            break
        first += max(1, (len(made) - first) // 2)
    return int(made[first][1])


def latest(table: Any) -> datetime:
    """When the newest version of a table was made."""
    newest: datetime = max(version["timestamp"] for version in table.list_versions())
    return newest
