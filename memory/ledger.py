"""The ledger: one row a commit, naming the versions of the tables that belong together.

Its append is the acknowledgement. What a table holds beyond the last ledgered version was never acknowledged: readers
do not see it and the next writer takes it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import MemoryFormatError
from ..records import Stream

Kind = Literal[
    "create", "observe", "replace", "recover", "compact", "widen", "sleep", "forget", "repair", "name", "import",
    "correct",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far a stream has been remembered."""

    stream: Stream
    seen_ns: int = 0
    """Every percept that starts before this is stored."""
    closed_ns: int = 0
    """The end of the last closed event: events tile [0, closed_ns)."""
    events: int = 0
    """Closed events."""
    done: bool = False
    """Whether it was watched to its end."""
    take: int = 0
    """Which recording of the stream this is: its rows carry the number. Each replacement has the next higher one."""
    tokens: str | None = None
    """The file of its long-term memory, inside the memory (`token_state`); it may be some events behind."""
    checkpoint: str | None = None
    """The file of what its recording knew beyond rows at the end of the last closed event (`checkpoint`); None: a
    stream that is done, or of which that is not known."""
    successor: StreamState | None = None
    """The take that will replace this one as soon as it is done; until then no reader sees it."""

    @property
    def takes(self) -> frozenset[int]:
        """The takes whose rows the memory holds."""
        return frozenset((self.take,)) | (self.successor.takes if self.successor else frozenset())


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one commit."""

    version: int
    rows: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger."""

    commit: int
    """From 1, without gaps."""
    committed_ns: int
    """Wall-clock time, nanoseconds since 1970."""
    kind: str
    tables: Mapping[str, TableState]
    streams: Mapping[str, StreamState]
    """All streams of the memory as they stand at this commit."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say of this commit: a receipt, a reason."""


def append(table: Any, schema: Any, entry: Entry) -> None:
    """Adds the row: from its return on, the commit is durable."""
    import pyarrow as pa

    streams = to_plain(entry.streams)
    row = {
        "commit": entry.commit,
        "committed_ns": entry.committed_ns,
        "kind": entry.kind,
        "tables": [{"table": name, "version": t.version, "rows": t.rows} for name, t in entry.tables.items()],
        "streams": json.dumps(streams, ensure_ascii=False),
        "note": json.dumps(dict(entry.note), ensure_ascii=False),
    }
    table.add(pa.Table.from_pylist([row], schema=schema))


def last(table: Any) -> Entry | None:
    """The newest row, or None of an empty ledger. Rows keep their order through compaction."""
    count = table.count_rows()
    if not count:
        return None
    entry = at(table, count)
    if entry.commit != count:
        raise MemoryFormatError(f"the ledger has {count} rows and ends with commit {entry.commit}", "restore a copy")
    return entry


def at(table: Any, commit: int) -> Entry:
    """The row of that number, of those there are: rows have no gaps and keep their order."""
    row = table.take_offsets([commit - 1]).to_arrow().to_pylist()[0]
    return Entry(
        commit=row["commit"],
        committed_ns=row["committed_ns"],
        kind=row["kind"],
        tables={t["table"]: TableState(t["version"], t["rows"]) for t in row["tables"]},
        streams={name: _stream_state(name, known) for name, known in json.loads(row["streams"]).items()},
        note=json.loads(row["note"]),
    )


def streams_since(table: Any, since_ns: int) -> Iterator[StreamState]:
    """The streams as the commits from that wall-clock time on have them."""
    rows = table.search().where(f"committed_ns >= {int(since_ns)}").select(["streams"]).to_arrow()
    for text in rows["streams"].to_pylist():
        yield from (_stream_state(name, known) for name, known in json.loads(text).items())


def digest(entry: Entry) -> str:
    """SHA-256 of a row as canonical JSON, in hexadecimal; without its streams, which a later erasure may shorten."""
    row = {
        "commit": entry.commit,
        "committed_ns": entry.committed_ns,
        "kind": entry.kind,
        "tables": {name: asdict(state) for name, state in entry.tables.items()},
        "note": dict(entry.note),
    }
    plain = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode()).hexdigest()


def to_plain(streams: Mapping[str, StreamState]) -> dict[str, Any]:
    """Streams as they stand in a row, ready for JSON."""
    return {name: _plain(asdict(state)) for name, state in streams.items()}


def from_plain(known: Mapping[str, Any]) -> dict[str, StreamState]:
    """What `to_plain` gave. Raises KeyError or TypeError of something else."""
    return {name: _stream_state(name, state) for name, state in known.items()}


def _plain(known: dict[str, Any]) -> dict[str, Any]:
    """A stream's state as it stands in the ledger: the fields of `Stream` beside its own, under the stream's name."""
    known |= known.pop("stream")
    del known["id"]
    if known["successor"] is not None:
        known["successor"] = _plain(known["successor"])
    return known


def _stream_state(name: str, known: Mapping[str, Any]) -> StreamState:
    stream = Stream(
        id=name,
        source=known["source"],
        digest=known["digest"],
        epoch_ns=known["epoch_ns"],
        profile=known["profile"],
    )
    return StreamState(
        stream=stream,
        seen_ns=known["seen_ns"],
        closed_ns=known["closed_ns"],
        events=known["events"],
        done=known["done"],
        take=known["take"],
        tokens=known.get("tokens"),
        checkpoint=known.get("checkpoint"),
        successor=None if known["successor"] is None else _stream_state(name, known["successor"]),
    )
