"""The newest snapshot, kept while no commit comes: many questions between two commits open the tables once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from . import manifest, tables
from .store import StoredSnapshot

Seen = tuple[int, str, str, int, int]


class Latest:
    """Snapshots of one memory for any number of threads. A snapshot is immutable, so all may share one."""

    def __init__(self, root: Path, database: Any) -> None:
        self._root, self._database = root, database
        self._lock = threading.Lock()
        self._kept: tuple[Seen, StoredSnapshot] | None = None

    def get(self) -> StoredSnapshot:
        """The memory as it stands at its latest commit. Errors: those of `StoredSnapshot`."""
        with self._lock:
            seen = self._look()
            if self._kept is None or seen is None or self._kept[0] != seen:
                snapshot = StoredSnapshot(self._root, self._database)
                if seen is None:
                    return snapshot
                self._kept = (seen, snapshot)
            return self._kept[1]

    def drop(self) -> None:
        """Makes the next snapshot anew: files of the one that is kept have gone."""
        with self._lock:
            self._kept = None

    def _look(self) -> Seen | None:
        """What changes with every commit, seen without opening anything; None where it cannot be seen.

        A commit adds a version to the ledger, whose file sorts before or after all others (Lance names them so). It
        is looked for before the ledger is read: a commit between the two is at worst opened twice.
        """
        versions = self._root / tables.FOLDER / f"{tables.LEDGER}.lance" / "_versions"
        try:
            names = [name for name in os.listdir(versions) if name.endswith(".manifest")]  # noqa: PTH208  names alone
            stated = (self._root / manifest.FILE).stat()
        except OSError:
            return None
        return (len(names), min(names), max(names), stated.st_mtime_ns, stated.st_ino) if names else None
