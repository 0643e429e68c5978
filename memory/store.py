"""Reading a memory's tables: snapshots at ledgered versions.

A snapshot opens the last row of the ledger and checks out exactly the versions it names. So it never sees what was not
acknowledged, needs no lock, and stays the same however long a writer works beside it. Of a stream that is being
replaced it shows the take that is to go, whole, until the one that comes is done. A snapshot of the past (`as_of`)
opens an earlier row in the same way, as long as the versions that it names are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import LockedError, MemoryFormatError, MnemeError
from ..records import Event, Lane, Percept, Place, Vector, to_ns
from . import as_of as history
from . import ledger, manifest, tables, visits
from .as_of import AsOf
from .faults import is_vanished, mended
from .ledger import StreamState
from .lock import holder_of, is_held
from .nearest import Ruler, indexed_columns, matching_rows, nearest_rows, ruler_ns, share_of
from .semantic import Kind, Summary, summaries_of
from .snapshot import Found, Snapshot
from .usage import bytes_in

__all__ = ["Found", "Snapshot", "StoredSnapshot", "StreamState", "connect", "last_entry"]

_TRIES = 5
_KEPT = 8 * 2**20
"""Bytes that a connection may keep in any case."""


def connect(root: Path) -> Any:
    """The LanceDB connection of the memory in `root`. Not to be carried through a fork.

    A process may go on for months and see a version a second; LanceDB would keep what it knows of them up to gigabytes.
    So it may keep twice what indexes take now, and a hundredth of the table for what it knows of files, and a little.
    """
    import lancedb

    percepts = root / tables.FOLDER / f"{tables.PERCEPTS}.lance"
    indexes, rows = bytes_in(percepts / "_indices"), bytes_in(percepts / "data")
    session = lancedb.Session(
        index_cache_size_bytes=2 * indexes + 2 * _KEPT, metadata_cache_size_bytes=rows // 100 + _KEPT
    )
    return lancedb.connect(root / tables.FOLDER, session=session)


def last_entry(database: Any, root: Path) -> ledger.Entry:
    """The newest commit; where there is none, `LockedError` of a memory in the making, else `MemoryFormatError`."""
    try:
        entry = ledger.last(database.open_table(tables.LEDGER))
    except ValueError as error:
        if not is_vanished(error):
            raise
        entry = None
    if entry is None and is_held(root):
        raise LockedError(f"{root} is being made by {holder_of(root)}", "try again in a moment")
    if entry is None:
        raise MemoryFormatError(f"the making of {root} was cut off before its first commit", "watch into it once")
    return entry


class StoredSnapshot:
    """A `Snapshot` of the memory in a folder, at its latest commit or an earlier one. Cheap to make: one a question."""

    _shown: list[StreamState]
    _hiding: dict[str, list[str]]
    """Table -> filters that leave out what is not shown of it."""
    _ended: tuple[str, str] | None = None
    """Where a stream is shown as of a time: its name, and the filter of what it had perceived somewhere by then."""

    def __init__(self, root: Path, database: Any = None, as_of: AsOf | None = None) -> None:
        """Raises `MemoryFormatError` of a folder that is not a memory, `MnemeError` of a past that is kept no more.

        A compaction beside may clean up the versions between reading the ledger and opening the tables; then the
        ledger has moved on, and it is read again. as_of: as the memory stood then; of a time of a stream, without
        what ended later.
        """
        self.root = root
        self.manifest = manifest.read(root)
        with mended("reading", root):
            self._database = connect(root) if database is None else database
            for attempt in range(_TRIES):
                self.entry = last_entry(self._database, root)
                if as_of is not None:
                    self.entry = history.find(self._database.open_table(tables.LEDGER), as_of)
                try:
                    self._percepts = self._open(tables.PERCEPTS)
                    self._events = self._open(tables.EVENTS)
                    self._places = self._open(tables.PLACES)
                    break
                except (ValueError, RuntimeError, OSError) as error:
                    if not is_vanished(error):
                        raise
                    if attempt == _TRIES - 1 or as_of is not None:
                        self._refuse_lost(error)
        self._show(ahead=False)
        if as_of is not None and as_of.kind == "stream":
            with mended("reading", root):
                self._end(history.stream_of(self.entry, as_of), as_of.value)

    def _refuse_lost(self, error: Exception) -> None:
        """`MnemeError` that says how far back the history goes; the error itself where the latest commit is lost."""

        def opens(entry: ledger.Entry) -> bool:
            return all(entry.tables[name].version >= first for name, first in kept.items() if name in entry.tables)

        kept = {
            name: min(v["version"] for v in self._database.open_table(name).list_versions())
            for name in self.entry.tables
        }
        first = history.oldest(self._database.open_table(tables.LEDGER), opens)
        if first is None or first.commit <= self.entry.commit:
            raise error
        raise MnemeError(
            f"the history of {self.root} reaches back to commit #{first.commit} ({history.told(first.committed_ns)})",
            f"ask for that or a later one; it was asked for #{self.entry.commit}",
        ) from error

    def _end(self, stream: str, t_ns: int) -> None:
        """Leaves out what of a stream ended after `t_ns`.

        An event ended with the last of its percepts: while one of them went on it was not closed, nor was any after it.
        """
        named, take = f"stream = {tables.literal(stream)}", self.entry.streams[stream].take
        going = self._percepts.search().where(f"{named} AND take = {take} AND t0_ns < {t_ns} AND t1_ns > {t_ns}")
        open_ns = min([t_ns, *going.select(["t0_ns"]).to_arrow()["t0_ns"].to_pylist()])
        self._hiding[tables.PERCEPTS].append(f"NOT ({named} AND t1_ns > {t_ns})")
        self._hiding[tables.EVENTS].append(f"NOT ({named} AND t1_ns > {open_ns})")
        self._hiding[tables.PLACES].append(f"NOT ({named} AND first_ns > {t_ns})")
        self._hiding[tables.SUMMARIES].append(f"NOT ({named} AND t1_ns > {open_ns})")
        self._ended = (stream, f"{named} AND take = {take} AND t0_ns <= {t_ns} AND place IS NOT NULL")
        ends = [event.t1_ns for event in self.events(stream)]
        self._shown = [
            replace(state, seen_ns=t_ns, closed_ns=max(ends, default=0), events=len(ends), done=False)
            if state.stream.id == stream
            else state
            for state in self._shown
        ]

    def ahead(self) -> StoredSnapshot:
        """This commit as if the takes that are being recorded had replaced those that they will replace."""
        other = copy.copy(self)
        other._show(ahead=True)
        return other

    def _show(self, ahead: bool) -> None:
        self._shown = []
        self._hiding = {name: [] for name in tables.VERSIONED}
        for _, state in sorted(self.entry.streams.items()):
            shown, hidden = (state.successor, state) if ahead and state.successor else (state, state.successor)
            self._shown.append(shown)
            if hidden is not None:
                for filters in self._hiding.values():
                    filters.append(f"NOT {tables.of_take(hidden.stream.id, hidden.take)}")

    def _open(self, name: str) -> Any:
        return self._database.open_table(name, version=self.entry.tables[name].version)

    @property
    def commit(self) -> int:
        """The number of the commit that is seen."""
        return self.entry.commit

    def count_rows(self) -> dict[str, int]:
        """Rows of each table that is read, hidden ones too."""
        with mended("reading", self.root):
            opened = {tables.PERCEPTS: self._percepts, tables.EVENTS: self._events, tables.PLACES: self._places}
            return {name: table.count_rows() for name, table in opened.items()}

    def streams(self) -> list[StreamState]:
        return list(self._shown)

    def events(self, stream: str | None = None) -> list[Event]:
        filters = [] if stream is None else [f"stream = {tables.literal(stream)}"]
        with mended("reading", self.root):
            rows = self._where(self._events.search(), filters, tables.EVENTS).to_arrow()
        return sorted(tables.events_of(rows, self.manifest.spaces), key=lambda event: (event.stream, event.t0_ns))

    def places(self, stream: str | None = None) -> list[Place]:
        if "take" not in self._places.schema.names:
            return []  # a memory of an earlier release, which has none
        filters = [] if stream is None else [f"stream = {tables.literal(stream)}"]
        with mended("reading", self.root):
            rows = self._where(self._places.search(), filters, tables.PLACES).to_arrow()
            found = tables.places_of(rows, self.manifest.spaces)
            if self._ended is not None:
                name, until = self._ended
                stood = self._percepts.search().where(until).select(["t0_ns", "place"]).to_arrow()
                walked = zip(stood["t0_ns"].to_pylist(), stood["place"].to_pylist(), strict=True)
                own = [place for place in found if place.stream == name]
                found = [*(place for place in found if place.stream != name), *visits.until(own, walked)]
        return sorted(found, key=lambda p: (p.stream, p.first_ns, p.id))

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
        with mended("reading", self.root):
            filters = self._filters(lanes, stream, t0_ns, t1_ns)
        if ids is not None:
            filters.append(tables.among("id", ids))
        if origins is not None:
            filters.append(tables.among("origin", origins))
        return self._read_percepts(filters, with_vectors)

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
        known = self.manifest.space(space)
        if vector.shape != (known.dim,):
            raise MemoryFormatError(
                f"a vector of shape {vector.shape} is not of space {space!r}, which has {known.dim} dimensions",
                "encode it with the profile that the memory was made with",
            )
        with mended("searching", self.root):
            where = self._filter(self._filters(lanes, stream, t0_ns, t1_ns))
            share = self._share(where, t0_ns, t1_ns)
            rows, scores = nearest_rows(self._percepts, space, vector, limit, where, self._indexed, share)
        return self._found(rows, scores, limit)

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
        with mended("searching", self.root):
            where = self._filter(self._filters(lanes, stream, t0_ns, t1_ns))
            rows, scores = matching_rows(self._percepts, words, limit, where)
        return self._found(rows, scores, limit)

    def neighbours(self, percept: Percept, count: int) -> list[Percept]:
        filters = [f"stream = {tables.literal(percept.stream)}", f"lane = {tables.literal(percept.lane)}",
                   f"camera = {tables.literal(percept.camera)}"]  # fmt: skip
        if count < 1:
            return []
        reach = to_ns(30.0)
        while True:  # a window that widens until it holds enough on both sides, or the whole stream
            t0, t1 = percept.t0_ns - reach, percept.t0_ns + reach
            near = self._read_percepts([*filters, f"t0_ns >= {t0}", f"t0_ns < {t1}"], with_vectors=False)
            at = next((i for i, other in enumerate(near) if other.id == percept.id), None)
            if at is None:
                return []
            before, after = near[:at], near[at + 1 :]
            missing = ([f"t0_ns < {t0}"] if len(before) < count else []) + (
                [f"t0_ns >= {t1}"] if len(after) < count else []
            )
            beyond = " AND ".join([*filters, *self._hiding[tables.PERCEPTS], f"({' OR '.join(missing)})"])
            if not missing or not self._percepts.count_rows(beyond):
                return before[-count:] + after[:count]
            reach *= 4

    def lanes_of(self, space: str) -> frozenset[Lane]:
        """The lanes that hold vectors of a space."""
        with mended("reading", self.root):
            filters = [f"{tables.column(space)} IS NOT NULL"]
            rows = self._where(self._percepts.search(), filters).select(["lane"]).to_arrow()
        return frozenset(rows["lane"].unique().to_pylist())

    def get(self, id: str) -> Percept | Event | None:
        filters = [f"id = {tables.literal(id)}"]
        percepts = self._read_percepts(filters, with_vectors=True)
        if percepts:
            return percepts[0]
        with mended("reading", self.root):
            rows = self._where(self._events.search(), filters, tables.EVENTS).to_arrow()
            events = tables.events_of(rows, self.manifest.spaces)
        return events[0] if events else None

    def kinds_since(self, commit: int) -> frozenset[str]:
        """The kinds of the commits after that one, up to this. O(their number)."""
        with mended("reading", self.root):
            rows = self._database.open_table(tables.LEDGER).take_offsets(list(range(commit, self.commit)))
            return frozenset(rows.select(["kind"]).to_arrow()["kind"].to_pylist())

    def summaries(self, kind: Kind | None = None, stream: str | None = None) -> list[Summary]:
        """What sleep made of events, in order of stream, kind and time; of a memory that never slept none."""
        filters = [] if stream is None else [f"stream = {tables.literal(stream)}"]
        filters += [] if kind is None else [f"kind = {tables.literal(kind)}"]
        return summaries_of(self.rows(tables.SUMMARIES, filters=filters))

    def rows(self, table: str, columns: Sequence[str] | None = None, filters: Sequence[str] = ()) -> Any:
        """Rows of a table that are shown, as they are stored: a `pyarrow.Table`, in no order."""
        with mended("reading", self.root):
            if table not in self.entry.tables:  # a memory of an earlier release
                nothing = tables.schemas(self.manifest.spaces)[table].empty_table()
                return nothing if columns is None else nothing.select(list(columns))
            opened = {tables.PERCEPTS: self._percepts, tables.EVENTS: self._events, tables.PLACES: self._places}
            query = self._where((opened.get(table) or self._open(table)).search(), filters, table)
            return (query if columns is None else query.select(list(columns))).to_arrow()

    def _read_percepts(self, filters: Sequence[str], with_vectors: bool) -> list[Percept]:
        columns = list(tables.WORDS)
        if with_vectors:
            there = set(self._percepts.schema.names)
            columns += [name for name in tables.DETAIL if name in there]
            columns += [tables.column(space.name) for space in self.manifest.spaces]
        with mended("reading", self.root):
            rows = self._where(self._percepts.search(), filters).select(columns).to_arrow()
        return sorted(tables.percepts_of(rows, self.manifest.spaces), key=_in_time)

    def _where(self, query: Any, filters: Sequence[str], table: str = tables.PERCEPTS) -> Any:
        """The query with all filters, applied before any ranking, and without what is hidden of the table."""
        where = self._filter(filters, table)
        return query if where is None else query.where(where, prefilter=True)

    def _filter(self, filters: Sequence[str], table: str = tables.PERCEPTS) -> str | None:
        """All filters as one, with what leaves out what is hidden of the table."""
        return " AND ".join([*filters, *self._hiding[table]]) or None

    @cached_property
    def _indexed(self) -> frozenset[str]:
        """The columns of percepts that have an index."""
        return indexed_columns(self._percepts)

    @cached_property
    def _longest_ns(self) -> int | None:
        """The length of the longest percept, where knowing it helps: in a table whose times are indexed.

        Read after the tables were opened: so it holds for every row that they have.
        """
        return manifest.read(self.root).longest_ns if self._indexed >= {"t0_ns", "t1_ns"} else None

    @cached_property
    def _ruler_ns(self) -> Ruler:
        return ruler_ns(self._percepts)

    def _share(self, where: str | None, t0_ns: int | None, t1_ns: int | None) -> float | None:
        """About what share of the rows a filter leaves; None where it is not of a span alone, or leaves few."""
        alone = where == " AND ".join(self._filters(None, None, t0_ns, t1_ns))
        return share_of(self._ruler_ns, t0_ns, t1_ns) if alone and "t0_ns" in self._indexed else None

    def _filters(
        self, lanes: Sequence[Lane] | None, stream: str | None, t0_ns: int | None, t1_ns: int | None
    ) -> list[str]:
        within = t0_ns is not None or t1_ns is not None
        filters = tables.overlapping(t0_ns, t1_ns, self._longest_ns) if within else []
        if stream is not None:
            filters.append(f"stream = {tables.literal(stream)}")
        if lanes is not None:
            filters.append(tables.among("lane", lanes))
        return filters

    def _found(self, rows: Any, scores: Sequence[float], limit: int) -> list[Found]:
        found = [Found(p, s) for p, s in zip(tables.percepts_of(rows, ()), scores, strict=True)]
        return sorted(found, key=lambda hit: (-hit.similarity, *_in_time(hit.percept)))[:limit]


def _in_time(percept: Percept) -> tuple[int, str, int, str, str, int]:
    return (percept.t0_ns, percept.stream, percept.t1_ns, percept.lane, percept.camera, percept.ordinal)
