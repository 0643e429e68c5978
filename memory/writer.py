"""The writer: the only one that commits.

A commit appends percepts, then events, then one ledger row that names the versions of all tables; that row is the
acknowledgement. A failure anywhere before it leaves rows that no reader sees and that the next commit, or the next
writer, takes back by restoring the ledgered versions.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import MemoryFormatError, MnemeError
from ..records import NS_PER_S, Event, Percept, Picture, Place, Stream, to_ns
from . import corrected, ledger, manifest, purge, recall_log, tables, thumbnails, token_state
from .changes import KEYS, Changes
from .corrected import Correction
from .erased import Erased, concerning, from_plain, joined
from .faults import error_number, mended
from .history import READERS_S, latest, prune
from .ledger import Entry, Kind, StreamState, TableState
from .segments import settle
from .settings import MemorySettings
from .shorten import shorten
from .store import connect, last_entry
from .usage import PRESSING, Gauge

_log = logging.getLogger(__name__)
_COMMITTING_S = 5.0
"""For so long a file of long-term memory may wait for the commit that names it."""
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
        self._closed = False
        self.gauge = None if settings.budget_mb is None else Gauge(root)
        """What the folder takes, where there is a budget."""
        self.pressed: Callable[[], object] | None = None
        """Called before a commit for which the budget has hardly room; the commit follows in any case."""
        (root / tables.FOLDER).mkdir(exist_ok=True)
        self._database = connect(root)
        self._tables = self._open_tables()
        if self._tables[tables.LEDGER].count_rows() == 0:
            self._append_entry("create", {})
        self._entry = last_entry(self._database, root)
        self._finish_correcting()
        self._restore()
        self._widen()
        if self.manifest.longest_ns is None:  # of an earlier release
            self._reach([0, *tables.longest_of(self.read(tables.PERCEPTS, columns=["t0_ns", "t1_ns"]))])
        thumbnails.sweep(root)
        self._finish_erasing()

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

    @property
    def database(self) -> Any:
        """Its connection, for snapshots of the same process: each of its own would keep caches of its own."""
        return self._database

    def commit(
        self,
        kind: Kind,
        percepts: Sequence[tuple[Percept, bytes | None]],
        events: Sequence[Event],
        state: StreamState,
        places: Sequence[Place] = (),
    ) -> Entry:
        """Makes percepts (each with its JPEG) and events durable, with the new state of their take, in one step.

        A take of a higher number than the stream's stands beside it as its successor, in place of any other, and when
        it is done in its stead; what the stream no longer holds is deleted in the same step. On return all of it is
        on the disk; on a `MnemeError` (disk full, read-only) none of it counts, and all that was acknowledged before
        still does. places: new ones, or those that stand otherwise than before; each replaces the row with its id.
        """
        import pyarrow as pa

        if self.pressed is not None and self._is_full():
            self.pressed()
        with self._at_work("writing"):
            self._make_ready()
            streams = {**self.streams, state.stream.id: self._placed(state)}
            self._list_streams(streams)
            self._reach([percept.t1_ns - percept.t0_ns for percept, _ in percepts])
            named = [(p, None if jpeg is None else thumbnails.store(self.root, p.id, jpeg)) for p, jpeg in percepts]
            for take in self.takes(state.stream.id) - streams[state.stream.id].takes:
                for name in tables.VERSIONED:
                    self._tables[name].delete(tables.of_take(state.stream.id, take))
            for name, rows in (
                (tables.PERCEPTS, [tables.percept_row(p, thumbnail, state.take) for p, thumbnail in named]),
                (tables.EVENTS, [tables.event_row(event, state.take) for event in events]),
            ):
                if rows:
                    self._tables[name].add(pa.Table.from_pylist(rows, schema=self._schemas[name]))
                    self._fragments[name] += 1
            if places:
                rows = [tables.place_row(place, state.take) for place in places]
                self._put(tables.PLACES, pa.Table.from_pylist(rows, schema=self._schemas[tables.PLACES]))
            entry = self._append_entry(kind, streams)
            self._sound = True
            if self.gauge is not None:
                vectors = sum(p.vector.nbytes for p, _ in percepts if p.vector is not None)
                vectors += sum(p.tokens.nbytes for p, _ in percepts if p.tokens is not None)
                self.gauge.committed(vectors, sum(len(jpeg) for _, jpeg in percepts if jpeg is not None))
        return entry

    def apply(self, kind: Kind, changes: Changes) -> Entry:
        """Makes changes of what is stored durable, in one step as `commit` does; nothing of them counts on an error.

        A stream that `changes.streams` leaves out is gone from the ledger: its rows have to be among those dropped.
        """
        with self._at_work("writing"):
            self._make_ready()
            streams = self.streams if changes.streams is None else dict(changes.streams)
            self._list_streams(streams)
            for name, filters in changes.drop.items():
                for each in filters:
                    self._tables[name].delete(each)
            for name, rows in changes.put.items():
                if len(rows):
                    if name == tables.PERCEPTS:
                        self._reach(tables.longest_of(rows))
                    self._put(name, rows)
            entry = self._append_entry(kind, streams, changes.note)
            self._sound = True
        return entry

    def erase(self, changes: Changes, spans: Iterable[Erased]) -> Entry:
        """As `apply`, and nothing of what goes is left on the disk, in no older version either; takes O(rows).

        changes.note: a receipt without words, with "spans" (of `Erased.plain`), "gone" (streams that go) and "copies"
        (hashes of their sources, where the memory has its own). A crash leaves the memory as it was or, once the ledger
        has the row, as it shall be: the next writer does the rest. Until `erasure_ends` is called it tries again.
        """
        with self._at_work("erasing from"):
            self._finish_erasing()  # of one that could not be finished
            self._note_in_manifest(erasing=self._entry.commit)
            entry = self.apply("forget", changes)
            self._note_erased([changes.note], spans)
            self._purge(changes.note["gone"], changes.note["copies"])
        return entry

    def erasure_ends(self) -> None:
        """What was erased was looked for, and is nowhere."""
        with self._at_work("erasing from", kept=False):
            self._note_in_manifest(erasing=None)

    def erased(self, stream: Stream) -> tuple[Erased, ...]:
        """What of a stream's source was erased on request, and is not to be taken in again."""
        return concerning(self.manifest.erased, stream)

    def correct(self, changes: Changes, corrections: Iterable[Correction]) -> Entry:
        """As `apply`, and what is recorded of the sources from now on honours the corrections.

        changes.note: with "corrections" (of `Correction.plain`), which the next writer notes after a crash in between.
        """
        with self._at_work("writing"):
            entry = self.apply("correct", changes)
            self._note_in_manifest(corrections=corrected.noted(self.manifest.corrections, corrections))
        return entry

    def corrections(self, stream: Stream) -> tuple[Correction, ...]:
        """What a person corrected of where events of a stream's source end."""
        return corrected.concerning(self.manifest.corrections, stream)

    def close(self, give_back: Callable[[], object] = lambda: None) -> None:
        """Stores nothing more, whichever thread asks. give_back: what gives the lock back, while nothing is written."""
        with self._mutex:
            self._closed = True
            give_back()

    @contextmanager
    def _at_work(self, doing: str, *, kept: bool = True) -> Iterator[None]:
        """While it is entered no other thread commits; `MnemeError` once it is closed. doing, kept: as for `mended`."""
        with self._mutex, mended(doing, self.root, kept=kept):
            if self._closed:
                raise MnemeError(f"{self.root} was closed", "open it again")
            yield

    def alone(self) -> AbstractContextManager[object]:
        """While it is entered, no other thread commits."""
        return self._mutex

    def read(self, name: str, where: str | None = None, columns: Sequence[str] | None = None) -> Any:
        """Rows of a table as the last commit left them, of every take: a `pyarrow.Table`."""
        with self._at_work("reading", kept=False):
            if not self._sound:
                self._restore()
            query = self._tables[name].search()
            query = query if where is None else query.where(where)
            return (query if columns is None else query.select(list(columns))).to_arrow()

    def _reach(self, spans_ns: Sequence[int]) -> None:
        """Notes the longest percept before it is stored, in powers of two seconds: so that it is noted a few times."""
        longest, known = max(spans_ns, default=0), self.manifest.longest_ns
        if known is None or longest > known:
            seconds = max(1, -(-longest // NS_PER_S))
            self._note_in_manifest(longest_ns=NS_PER_S << (seconds - 1).bit_length())

    def _put(self, name: str, rows: Any) -> None:
        """Puts whole rows (`pyarrow.Table`): each takes the place of the one with the same `KEYS`, or is added."""
        merge = self._tables[name].merge_insert(list(KEYS[name]))
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows, on_bad_vectors="null")
        self._fragments[name] += 1

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

    def rows(self, name: str) -> int:
        """Rows of a table, of every take."""
        with self._mutex:
            return int(self._tables[name].count_rows())

    def reindex(self, make: Callable[[Any], None]) -> None:
        """Lets `make` make indexes of `percepts`, under a ledger row of its own; nothing commits meanwhile."""
        with self._at_work("indexing"):
            self._make_ready()
            before = self._tables[tables.PERCEPTS].version
            make(self._tables[tables.PERCEPTS])
            if self._tables[tables.PERCEPTS].version != before:
                self._append_entry("compact", self.streams)
            self._sound = True

    def compact(self, *, history: bool = True) -> None:
        """Merges the fragments of every table and brings the word index up to date, under a ledger row of its own.

        Only then old versions go, and only those that no commit within the horizon names; without history all of
        them, and the word index is made anew without the words that went. Where room is short (a budget, no history)
        the old files of one table go before the next is written anew.
        """
        with self._at_work("compacting"):
            if not self._sound:
                self._restore()
            self._sound = False
            if not history:
                purge.index_words(self._tables[tables.PERCEPTS], replace=True)
            short = self.gauge is not None or not history
            for name, table in self._tables.items():
                settle(table)
                self._fragments[name] = 1
                if short and name in tables.VERSIONED and table.version != self._entry.tables[name].version:
                    self._append_entry("compact", self.streams)
                    now = latest(self._tables[tables.LEDGER])
                    self._prune_table(name, history, now)
                    if self.gauge is not None:
                        self.gauge.compacted()
                        if history and self._is_full():
                            self._prune_table(name, False, now)
            self._append_entry("compact", self.streams)
            self._sound = True
            self._prune(history)

    def _purge(self, gone: Collection[str], copies: Collection[str]) -> None:
        """Makes what no row shows be on the disk no longer; see `purge`."""
        self._make_ready()
        for name in tables.VERSIONED:
            purge.rewrite(self._tables[name], self._schemas[name])
        self._append_entry("compact", self.streams)
        ledgered = self._tables[tables.LEDGER]
        purge.rewrite_ledger(ledgered, self._schemas[tables.LEDGER], gone)
        for table in self._tables.values():
            purge.only_newest(table)
        self._fragments = dict.fromkeys(self._fragments, 1)
        self._sound = True
        named = self.read(tables.PERCEPTS, "thumbnail IS NOT NULL", ["thumbnail"])["thumbnail"].to_pylist()
        purge.remove_orphans(self.root, named, set(token_state.named(self.streams.values())))
        purge.remove_copies(self.root, copies)
        recall_log.purge(self.root)

    def _finish_erasing(self) -> None:
        """Does the rest of an erasure that was cut off; nothing, where it had not come to its ledger row."""
        if self.manifest.erasing is None:
            return
        rows = self.read(tables.LEDGER, f"kind = 'forget' AND commit > {self.manifest.erasing}", ["note"])
        notes = [json.loads(note) for note in rows["note"].to_pylist()]
        if notes:
            spans = [span for note in notes for span in from_plain(note["spans"])]
            self._note_erased(notes, spans)
            gone = {name for note in notes for name in note["gone"]}
            self._purge(gone, {name for note in notes for name in note["copies"]})
        self._note_in_manifest(erasing=None)

    def _note_erased(self, notes: Iterable[Mapping[str, Any]], spans: Iterable[Erased]) -> None:
        """Of a stream that was erased whole its corrections go too."""
        whole = [span for note in notes if note["asked"] == "stream" for span in from_plain(note["spans"])]
        self._note_in_manifest(
            erased=joined([*self.manifest.erased, *spans]),
            corrections=corrected.without(self.manifest.corrections, whole),
        )

    def _finish_correcting(self) -> None:
        """Notes the corrections of a commit that was the last thing its writer did."""
        if self._entry.kind == "correct":
            told = corrected.from_plain(self._entry.note["corrections"])
            self._note_in_manifest(corrections=corrected.noted(self.manifest.corrections, told))

    def _note_in_manifest(self, **fields: Any) -> None:
        noted = replace(self.manifest, **fields)
        if noted != self.manifest:
            manifest.write(self.root, noted)
            self.manifest = noted

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

    def _is_full(self, share: float = 1.0) -> bool:
        """Whether that share of the budget is taken."""
        return self.gauge is not None and self.gauge.usage.peak > share * (self._settings.budget_mb or 0) * 1e6

    def _prune(self, history: bool) -> None:
        """Removes the versions of the tables that the history has no room for. They have to be settled."""
        ledgered = self._tables[tables.LEDGER]
        now, since_ns = latest(ledgered), self._entry.committed_ns - to_ns(READERS_S)
        recent = ledger.streams_since(ledgered, since_ns) if history else iter(self.streams.values())
        tokens = set(token_state.named(recent))
        kept = {name: self._prune_table(name, history, now) for name in tables.VERSIONED}
        shorten(self.root, ledgered, self._schemas[tables.LEDGER], kept, since_ns if history else None)
        self._prune_table(tables.LEDGER, history, now)
        token_state.sweep(self.root, tokens, READERS_S if history else _COMMITTING_S)
        if self.gauge is not None:
            self.gauge.compacted()
            if history and self._is_full(PRESSING):  # the next commit would compact again, to this end alone
                self._prune(False)
        if any(self._tables[name].version != self._entry.tables[name].version for name in tables.VERSIONED):
            self._append_entry("compact", self.streams)  # never seen: what is settled does not change

    def _prune_table(self, name: str, history: bool, now: datetime) -> int:
        """Removes old versions of one table, which has to be settled and ledgered; the first that stays."""
        horizon_s, share = (self._settings.horizon_s, self._settings.history_share) if history else (0.0, 0.0)
        return prune(self.root, name, self._tables[name], now, horizon_s, share)

    def _open_tables(self) -> dict[str, Any]:
        """Every table by its name; those that a creation which was cut off left undone are made, the ledger last.

        Only while nothing was ever written to them: a table that cannot be read later is a `MemoryFormatError`.
        """
        opened = {name: table for name in self._schemas if (table := self._readable(name)) is not None}
        missing = [name for name in self._schemas if name not in opened]
        folders = {name: self.root / tables.FOLDER / f"{name}.lance" for name in missing}
        written = [name for name in missing if any((folders[name] / "data").glob("*"))]
        needed = set(missing) - set(tables.LATER)
        if tables.LEDGER in opened and (entry := ledger.last(opened[tables.LEDGER])) is not None:
            needed |= set(missing) & set(entry.tables)
        if written or (needed and any(table.count_rows() for table in opened.values())):
            lost = (written or sorted(needed))[0]
            raise MemoryFormatError(f"table {lost!r} of {self.root} cannot be read", "restore the memory from a copy")
        for name in missing:
            if folders[name].exists():
                shutil.rmtree(folders[name])
            opened[name] = self._database.create_table(
                name, schema=self._schemas[name], storage_options=tables.STORED_AS
            )
        if not opened[tables.LEDGER].count_rows() and not opened[tables.PERCEPTS].list_indices():
            purge.index_words(opened[tables.PERCEPTS])
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
        self, kind: Kind, streams: Mapping[str, StreamState], note: Mapping[str, Any] | None = None
    ) -> Entry:
        table = self._tables[tables.LEDGER]
        held = {name: self._tables[name] for name in tables.VERSIONED}
        states = {name: TableState(each.version, each.count_rows()) for name, each in held.items()}
        entry = Entry(table.count_rows() + 1, self._wall_ns(), kind, states, streams, note or {})
        ledger.append(table, self._schemas[tables.LEDGER], entry)
        self._fragments[tables.LEDGER] += 1
        self._entry = entry
        return entry

    def _restore(self) -> None:
        """Takes back what was written and not ledgered, under a ledger row of its own."""
        for table in self._tables.values():
            table.checkout_latest()  # a restore that failed leaves a table at the older version
        self._entry = last_entry(self._database, self.root)
        stale = [name for name, state in self._entry.tables.items() if self._tables[name].version != state.version]
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
        """Adds the columns and tables that a memory of an earlier release lacks, empty, under a ledger row."""
        wider = set(self._entry.tables) < set(tables.VERSIONED)
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
