"""The writer: the only one that commits.

A commit appends percepts, then events, then one ledger row that names the versions of all tables; that row is the
acknowledgement. A failure anywhere before it leaves rows that no reader sees and that the next commit, or the next
writer, takes back by restoring the ledgered versions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import MnemeError
from ..records import Event, Percept, Picture
from . import ledger, manifest, tables, thumbnails
from .faults import mended
from .ledger import Entry, Kind, StreamState, TableState
from .settings import MemorySettings
from .store import connect, last_entry

_log = logging.getLogger(__name__)
_KEEP_ALL = timedelta(days=36500)
_UNTIDY = 8
"""Fragments of percepts that are worth compacting before the memory is left to readers."""


class Writer:
    """Holds the tables of one memory open for writing; whoever makes it holds the lock. Threads may share it."""

    def __init__(self, root: Path, settings: MemorySettings, wall_ns: Callable[[], int]) -> None:
        """Opens and, where the last writer died within a commit, recovers. Raises `MnemeError`."""
        self.root = root
        self.manifest = manifest.read(root)
        self._settings = settings
        self._wall_ns = wall_ns
        self._schemas = tables.schemas(self.manifest.spaces)
        self._mutex = threading.RLock()
        self._fragments = dict.fromkeys(self._schemas, 0)
        with mended("opening", root):
            (root / tables.FOLDER).mkdir(exist_ok=True)
            self._database = connect(root)
            if tables.LEDGER not in self._database.list_tables().tables:
                self._make_tables()
            self._tables = {name: self._database.open_table(name) for name in self._schemas}
            if self._tables[tables.LEDGER].count_rows() == 0:
                self._append_entry("create", {})
            self._restore()
            for name, table in self._tables.items():
                self._fragments[name] = int(table.stats()["fragment_stats"]["num_fragments"])
        self._sound = True

    @property
    def streams(self) -> Mapping[str, StreamState]:
        """The streams as the last commit left them."""
        return self._entry.streams

    @property
    def entry(self) -> Entry:
        """The last commit."""
        return self._entry

    def commit(
        self,
        kind: Kind,
        percepts: Sequence[tuple[Percept, bytes | None]],
        events: Sequence[Event],
        state: StreamState,
        *,
        replacing: bool = False,
    ) -> Entry:
        """Makes percepts (each with its JPEG) and events durable, with the stream's new state, in one step.

        replacing: what the memory holds of that stream goes in the same step. On return all of it is on the disk;
        on a `MnemeError` (disk full, read-only) none of it counts, and all that was acknowledged before still does.
        """
        import pyarrow as pa

        with self._mutex, mended("writing", self.root):
            if not self._sound:
                self._restore()
            if max(self._fragments.values()) >= self._settings.fragments:
                self.compact()
            self._sound = False
            self._list_streams({**self.streams, state.stream.id: state})
            named = [(p, None if jpeg is None else thumbnails.store(self.root, p.id, jpeg)) for p, jpeg in percepts]
            if replacing:
                for name in (tables.PERCEPTS, tables.EVENTS):
                    self._tables[name].delete(f"stream = {tables.literal(state.stream.id)}")
            for name, rows in (
                (tables.PERCEPTS, [tables.percept_row(p, thumbnail) for p, thumbnail in named]),
                (tables.EVENTS, [tables.event_row(event) for event in events]),
            ):
                if rows:
                    self._tables[name].add(pa.Table.from_pylist(rows, schema=self._schemas[name]))
                    self._fragments[name] += 1
            entry = self._append_entry(kind, {**self.streams, state.stream.id: state})
            self._sound = True
        return entry

    def encode(self, picture: Picture) -> bytes:
        """A percept's picture as the JPEG that `commit` stores."""
        return thumbnails.encode(picture, self._settings.thumbnail_px, self._settings.thumbnail_quality)

    def tidy(self) -> None:
        """Compacts when it is worth it, though it is not yet due; a disk too full for that is only logged."""
        if self._fragments[tables.PERCEPTS] >= _UNTIDY:
            try:
                self.compact()
            except MnemeError as error:
                _log.warning("not compacted: %s", error)

    def compact(self) -> None:
        """Merges the fragments of every table and brings the word index up to date, under a ledger row of its own.

        Only then old versions go, and only those that no commit within the horizon names.
        """
        with self._mutex, mended("compacting", self.root):
            self._sound = False
            for name, table in self._tables.items():
                if self._fragments[name] > 1:
                    table.optimize(cleanup_older_than=_KEEP_ALL)
                self._fragments[name] = 1
            self._append_entry("compact", self.streams)
            self._sound = True
            for table in self._tables.values():
                self._prune(table)

    def _prune(self, table: Any) -> None:
        """Removes the versions that were already replaced at the horizon.

        Lance counts a version's age from its making; a table that changes seldom may have one old version that every
        recent commit names. So what is kept begins with the version that was current at the horizon.
        """
        made = sorted((version["timestamp"], version["version"]) for version in table.list_versions())
        newest = made[-1][0]
        horizon = newest - timedelta(seconds=self._settings.horizon_s)
        current = [at for at, _ in made if at <= horizon]
        if len(current) > 1:
            table.optimize(cleanup_older_than=newest - current[-1] + timedelta(seconds=1))

    def _make_tables(self) -> None:
        """An empty table each, the ledger last; of a creation that was cut off, what is there is kept."""
        from lancedb.index import FTS

        for name, schema in self._schemas.items():
            table = self._database.create_table(name, schema=schema, exist_ok=True)
            if name == tables.PERCEPTS and not table.list_indices():
                table.create_index("text", config=FTS(with_position=False))

    def _append_entry(self, kind: Kind, streams: Mapping[str, StreamState]) -> Entry:
        table = self._tables[tables.LEDGER]
        states = {
            name: TableState(self._tables[name].version, self._tables[name].count_rows()) for name in tables.VERSIONED
        }
        entry = Entry(table.count_rows() + 1, self._wall_ns(), kind, states, streams)
        ledger.append(table, self._schemas[tables.LEDGER], entry)
        self._fragments[tables.LEDGER] += 1
        self._entry = entry
        return entry

    def _restore(self) -> None:
        """Takes back what was written and not ledgered, under a ledger row of its own."""
        for table in self._tables.values():
            table.checkout_latest()  # a restore that failed leaves a table at the older version
        self._entry = last_entry(self._database, self.root)
        stale = [name for name in tables.VERSIONED if self._tables[name].version != self._entry.tables[name].version]
        for name in stale:
            self._tables[name].checkout(self._entry.tables[name].version)
            self._tables[name].restore()
        if stale:
            self._append_entry("recover", self.streams)
        self._list_streams(self.streams)

    def _list_streams(self, states: Mapping[str, StreamState]) -> None:
        """Lists the streams in the manifest, where it lists others."""
        streams = tuple(states[name].stream for name in sorted(states))
        if streams != self.manifest.streams:
            self.manifest = self.manifest.with_streams(streams)
            manifest.write(self.root, self.manifest)
