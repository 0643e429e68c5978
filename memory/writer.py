"""The writer: the only one that commits.

A commit appends percepts, then events, then one ledger row that names the versions of all tables; that row is the
acknowledgement. A failure anywhere before it leaves rows that no reader sees and that the next commit, or the next
writer, takes back by restoring the ledgered versions.
"""

from __future__ import annotations

import errno
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import MemoryFormatError, MnemeError
from ..records import Event, Percept, Picture
from . import ledger, manifest, tables, thumbnails
from .changes import KEYS, Changes
from .faults import error_number, mended
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
        """Opens and, where the last writer died within a commit, recovers.

        Raises `MemoryFormatError`; a disk's failure comes as it is, for the caller to say what was being done.
        """
        self.root = root
        self.manifest = manifest.read(root)
        self._settings = settings
        self._wall_ns = wall_ns
        self._schemas = tables.schemas(self.manifest.spaces)
        self._mutex = threading.RLock()
        self._fragments = dict.fromkeys(self._schemas, 0)
        self._compact_at = settings.fragments
        self._sound = False
        (root / tables.FOLDER).mkdir(exist_ok=True)
        self._database = connect(root)
        self._tables = self._open_tables()
        if self._tables[tables.LEDGER].count_rows() == 0:
            self._append_entry("create", {})
        self._entry = last_entry(self._database, root)
        self._restore()
        self._widen()
        thumbnails.sweep(root)

    @property
    def streams(self) -> Mapping[str, StreamState]:
        """The streams as the last commit left them."""
        return self._entry.streams

    def takes(self, stream: str) -> frozenset[int]:
        """The takes of a stream that the last commit holds."""
        known = self.streams.get(stream)
        return frozenset() if known is None else known.takes

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
        tokens: str | None = None,
    ) -> Entry:
        """Makes percepts (each with its JPEG) and events durable, with the new state of their take, in one step.

        A take of a higher number than the stream's stands beside it as its successor, in place of any other, and when
        it is done in its stead; what the stream no longer holds is deleted in the same step. On return all of it is
        on the disk; on a `MnemeError` (disk full, read-only) none of it counts, and all that was acknowledged before
        still does. tokens: the file of token state that belongs to this commit; None: the one before stays.
        """
        import pyarrow as pa

        with self._mutex, mended("writing", self.root, kept=True):
            self._make_ready()
            streams = {**self.streams, state.stream.id: self._placed(state)}
            self._list_streams(streams)
            named = [(p, None if jpeg is None else thumbnails.store(self.root, p.id, jpeg)) for p, jpeg in percepts]
            for take in self.takes(state.stream.id) - streams[state.stream.id].takes:
                for name in (tables.PERCEPTS, tables.EVENTS):
                    self._tables[name].delete(tables.of_take(state.stream.id, take))
            for name, rows in (
                (tables.PERCEPTS, [tables.percept_row(p, thumbnail, state.take) for p, thumbnail in named]),
                (tables.EVENTS, [tables.event_row(event, state.take) for event in events]),
            ):
                if rows:
                    self._tables[name].add(pa.Table.from_pylist(rows, schema=self._schemas[name]))
                    self._fragments[name] += 1
            entry = self._append_entry(kind, streams, tokens=tokens)
            self._sound = True
        return entry

    def apply(self, kind: Kind, changes: Changes, tokens: str | None = None) -> Entry:
        """Makes changes of what is stored durable, in one step as `commit` does; nothing of them counts on an error.

        A stream that `changes.streams` leaves out is gone from the ledger: its rows have to be among those dropped.
        """
        with self._mutex, mended("writing", self.root, kept=True):
            self._make_ready()
            streams = self.streams if changes.streams is None else dict(changes.streams)
            self._list_streams(streams)
            for name, filters in changes.drop.items():
                for each in filters:
                    self._tables[name].delete(each)
            for name, rows in changes.put.items():
                if len(rows):
                    merge = self._tables[name].merge_insert(list(KEYS[name]))
                    merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)
                    self._fragments[name] += 1
            entry = self._append_entry(kind, streams, changes.note, tokens)
            self._sound = True
        return entry

    def _make_ready(self) -> None:
        """Takes back what a failed commit left, and compacts where that is due."""
        if not self._sound:
            self._restore()
        if max(self._fragments.values()) >= self._compact_at:
            self._try_to_compact()
        if not self._sound:
            self._restore()
        self._sound = False

    def encode(self, picture: Picture) -> bytes:
        """A percept's picture as the JPEG that `commit` stores."""
        return thumbnails.encode(picture, self._settings.thumbnail_px, self._settings.thumbnail_quality)

    def tidy(self) -> None:
        """Compacts when it is worth it, though it is not yet due; a disk too full for that is only logged."""
        with self._mutex:
            if self._fragments[tables.PERCEPTS] >= _UNTIDY:
                self._try_to_compact()

    def compact(self) -> None:
        """Merges the fragments of every table and brings the word index up to date, under a ledger row of its own.

        Only then old versions go, and only those that no commit within the horizon names.
        """
        with self._mutex, mended("compacting", self.root, kept=True):
            if not self._sound:
                self._restore()
            self._sound = False
            for name, table in self._tables.items():
                if self._fragments[name] > 1:
                    table.optimize(cleanup_older_than=_KEEP_ALL)
                self._fragments[name] = 1
            self._append_entry("compact", self.streams)
            self._sound = True
            for table in self._tables.values():
                self._prune(table)

    def _try_to_compact(self) -> None:
        """Compacts; a disk too full for that is only logged, and the next try waits for more fragments."""
        fragments = max(self._fragments.values())
        try:
            self.compact()
            self._compact_at = self._settings.fragments
        except MnemeError as error:
            self._compact_at = fragments + max(1, self._settings.fragments // 2)
            _log.warning("not compacted, will be tried again: %s", error)

    def _placed(self, state: StreamState) -> StreamState:
        """The stream as it stands when one of its takes has come to `state`."""
        known = self.streams.get(state.stream.id)
        if known is None or (state.take > known.take and state.done):
            return state
        return replace(known, successor=state) if state.take > known.take else replace(state, successor=known.successor)

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

    def _open_tables(self) -> dict[str, Any]:
        """Every table by its name; those that a creation which was cut off left undone are made, the ledger last.

        Only while nothing was ever written to them: a table that cannot be read later is a `MemoryFormatError`.
        """
        from lancedb.index import FTS

        opened = {name: table for name in self._schemas if (table := self._readable(name)) is not None}
        missing = [name for name in self._schemas if name not in opened]
        folders = {name: self.root / tables.FOLDER / f"{name}.lance" for name in missing}
        written = [name for name in missing if any((folders[name] / "data").glob("*"))]
        if written or (missing and any(table.count_rows() for table in opened.values())):
            lost = (written or missing)[0]
            raise MemoryFormatError(f"table {lost!r} of {self.root} cannot be read", "restore the memory from a copy")
        for name in missing:
            if folders[name].exists():
                shutil.rmtree(folders[name])
            opened[name] = self._database.create_table(name, schema=self._schemas[name])
        if not opened[tables.LEDGER].count_rows() and not opened[tables.PERCEPTS].list_indices():
            opened[tables.PERCEPTS].create_index("text", config=FTS(with_position=False))
        return opened

    def _readable(self, name: str) -> Any | None:
        """The table, or None where no version of it can be read; `OSError` and the like where the system refuses."""
        try:
            return self._database.open_table(name)
        except (ValueError, RuntimeError, OSError) as error:
            if error_number(error) not in (None, errno.ENOENT):
                raise
            return None

    def _append_entry(
        self,
        kind: Kind,
        streams: Mapping[str, StreamState],
        note: Mapping[str, Any] | None = None,
        tokens: str | None = None,
    ) -> Entry:
        table = self._tables[tables.LEDGER]
        states = {
            name: TableState(self._tables[name].version, self._tables[name].count_rows()) for name in tables.VERSIONED
        }
        tokens = tokens or (self._entry.tokens if table.count_rows() else None)
        entry = Entry(table.count_rows() + 1, self._wall_ns(), kind, states, streams, tokens, note or {})
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
        for name, table in self._tables.items():
            self._fragments[name] = int(table.stats()["fragment_stats"]["num_fragments"])
        self._sound = True

    def _widen(self) -> None:
        """Adds the columns that a memory of an earlier release lacks, empty, under a ledger row of their own."""
        wider = False
        for name in tables.VERSIONED:
            there = set(self._tables[name].schema.names)
            lacking = [field for field in self._schemas[name] if field.name not in there]
            if lacking:
                self._sound, wider = False, True
                self._tables[name].add_columns(lacking)
        if wider:
            self._append_entry("widen", self.streams)
            self._sound = True

    def _list_streams(self, states: Mapping[str, StreamState]) -> None:
        """Lists the streams in the manifest, where it lists others."""
        streams = tuple(states[name].stream for name in sorted(states))
        if streams != self.manifest.streams:
            self.manifest = self.manifest.with_streams(streams)
            manifest.write(self.root, self.manifest)
