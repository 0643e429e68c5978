"""Looking for what was erased: whether it is still anywhere in a memory's folder, and in what.

The files are read as what they are, since words and vectors are encoded in them and a scan of bytes would find
nothing: every version of every table that can be opened, every row of the ledger, the token state, the word index.
What no version names (data, indexes, deletions) should not be there, whatever is in it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..records import Vector
from . import ledger, manifest, purge, tables, thumbnails, token_state
from .erased import Erased
from .reach import mark, words_of
from .store import connect
from .target import PIECES, phrase, sources, tells

_LATE = 100
"""Findings that are told, at most."""


@dataclass(frozen=True, slots=True)
class Search:
    """What must be nowhere."""

    percepts: Collection[str] = ()
    """Ids."""
    spans: Sequence[Erased] = ()
    vectors: Collection[bytes] = ()
    """`reach.mark` of vectors; only what no row that is there has counts, as two sights may be the same."""
    words: Collection[str] = ()
    """As `target.phrase` has them; only where no percept that is there says them."""
    never: str = ""
    """Words, likewise, that nothing may say."""
    sources: Collection[str] = ()
    """Of what is being watched, and may stand in no row yet."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What was looked at, and what was found."""

    files: int
    """Of tables, thumbnails and token state."""
    versions: int
    """Of tables: after an erasure one each."""
    rows: int
    found: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    @property
    def told(self) -> str:
        """The first of what was found, in a line."""
        return "; ".join(self.found[:3])


def verify(root: Path, search: Search) -> Searched:
    """Looks everywhere; only for the holder of the lock, or of a memory that nobody writes. O(all rows)."""
    looking = _Looking(root, search)
    found = list(looking.findings())
    more = [f"and {len(found) - _LATE} more"] if len(found) > _LATE else []
    return Searched(looking.files, looking.versions, looking.rows, (*found[:_LATE], *more))


class _Looking:
    def __init__(self, root: Path, search: Search) -> None:
        self.files = self.versions = self.rows = 0
        self._root, self._search = root, search
        self._sought = frozenset(search.vectors)
        self._database = connect(root)
        self._manifest = manifest.read(root)
        self._streams = {stream.id: stream for stream in self._manifest.streams}
        self._said: set[str] = set()
        """What percepts that are there say."""
        self._marks: set[bytes] = set()
        """Of sought vectors, those that percepts or events that are there have too."""

    def findings(self) -> Iterator[str]:
        named: set[str] = set()
        for name in (*tables.VERSIONED, tables.LEDGER):  # percepts first: they tell what may be said
            table = self._database.open_table(name)
            versions = [version["version"] for version in table.list_versions()]
            self.versions += len(versions)
            if len(versions) > 1:
                yield f"{name}: {len(versions) - 1} older versions"
            for version in sorted(versions, reverse=True):
                table.checkout(version)
                yield from (f"{name}, version {version}: {what}" for what in self._in_table(name, table, named))
            table.checkout_latest()
            yield from (f"{name}: {what}" for what in self._files_of(name, table))
        yield from self._beside(named)

    def _in_table(self, name: str, table: Any, named: set[str]) -> Iterator[str]:
        import pyarrow as pa

        for batch in table.search().to_batches(8192):
            rows = pa.Table.from_batches([batch])
            self.rows += len(rows)
            if name == tables.PERCEPTS:
                yield from self._percepts(rows, named)
            elif name == tables.EVENTS:
                yield from self._events(rows)
            elif name == tables.SUMMARIES:
                yield from self._summaries(rows)
            elif name == tables.PLACES:
                named_so = (row for row in rows.to_pylist() if self._never(row["name"]) or self._never(row["key"]))
                yield from (f"place {row['id']} is named so" for row in named_so)
            else:
                yield from self._ledger(rows)
        if name == tables.PERCEPTS and self._search.never:
            from lancedb.query import MatchQuery

            match = MatchQuery(self._search.never.strip(), "text")  # type: ignore[call-arg]  # defaults not in its types
            hits = table.search(match, query_type="fts").limit(1000).select(["id", "text", "_score"]).to_list()
            yield from (f"the word index finds {hit['id']}" for hit in hits if self._never(hit["text"]))

    def _percepts(self, rows: Any, named: set[str]) -> Iterator[str]:
        vectors = {space.name: tables.vectors_of(rows, space.name) for space in self._manifest.spaces}
        columns = ["id", "stream", "t0_ns", "t1_ns", "text", "thumbnail", "place"]
        for i, row in enumerate(rows.select(columns).to_pylist()):
            if row["id"] in self._search.percepts or self._within(row):
                yield f"percept {row['id']} is there"
                continue
            if row["thumbnail"]:
                named.add(row["thumbnail"])
            if row["text"]:
                if self._never(row["text"]):
                    yield f"percept {row['id']} says it"
                self._said.add(phrase(row["text"]))
            if self._never(row["place"]):
                yield f"percept {row['id']} names a place so"
            self._stays(cells[i] for cells in vectors.values())

    def _events(self, rows: Any) -> Iterator[str]:
        vectors = {space.name: tables.vectors_of(rows, space.name) for space in self._manifest.spaces}
        columns = ["id", "stream", "t0_ns", "t1_ns", "percepts", "gist", "place"]
        for i, row in enumerate(rows.select(columns).to_pylist()):
            own = [cells[i] for cells in vectors.values()]
            if not self._within(row):
                self._stays(own)  # of an event whose percepts the budget forgot long-term memory has what it has
            elif not row["percepts"] and (row["gist"] or any(vector is not None for vector in own)):
                yield f"event {row['id']} still tells of what was erased"
            if self._never(row["place"]):
                yield f"event {row['id']} names a place so"
            if any(id in self._search.percepts for id in row["percepts"]):
                yield f"event {row['id']} lists what was erased"
            if self._tells(row["gist"]):
                yield f"the gist of event {row['id']} says it"

    def _summaries(self, rows: Any) -> Iterator[str]:
        for row in rows.select(["id", "text", "name", "places"]).to_pylist():
            if any(self._tells(text) for text in words_of(row)):
                yield f"summary {row['id']} says it"

    def _ledger(self, rows: Any) -> Iterator[str]:
        for row in rows.select(["commit", "kind", "streams", "note"]).to_pylist():
            strings = [text for text in _strings(json.loads(row["note"])) if self._says(text) or self._never(text)]
            if strings and row["kind"] != "forget":
                yield f"the note of commit {row['commit']} says it"

    def _files_of(self, name: str, table: Any) -> Iterator[str]:
        """Files of a table that its newest version does not name; deletions: rows that are marked and still there."""
        folder = purge.folder_of(self._root, name)
        versions = sorted((folder / "_versions").glob("*.manifest"), key=lambda path: path.stat().st_mtime_ns)
        names = b"".join(path.read_bytes() for path in versions)
        current = {index.index_uuid for index in table.list_indices()}
        for path in sorted((folder / "data").glob("**/*")):
            self.files += 1
            if path.is_file() and path.name.encode() not in names:
                yield f"no version names data/{path.name}"
        for path in sorted((folder / "_indices").glob("*")):
            self.files += sum(1 for file in path.glob("**/*") if file.is_file())
            if path.name not in current and not (_is_uuid(path.name) and uuid.UUID(path.name).bytes in names):
                yield f"no version names the index {path.name}"
        yield from (f"{path.relative_to(folder)} was never finished" for path in purge.half_written(folder))
        for path in sorted((folder / "_deletions").glob("*")):
            self.files += 1
            yield f"deleted rows are still in the file that {path.name} is about"

    def _beside(self, named: set[str]) -> Iterator[str]:
        """Thumbnails that no percept names, copies of sources that no stream names, and token state."""
        stored = thumbnails.stored(self._root)
        self.files += len(stored)
        yield from (f"no percept names {path}" for path in sorted(stored - named))
        last = ledger.last(self._database.open_table(tables.LEDGER))
        states = [] if last is None else last.streams.values()
        watched = [*self._search.sources, *(source.source for state in states for source in sources(state))]
        copies = sorted(purge.unnamed_copies(self._root, watched))
        yield from (f"no stream names the copy {purge.COPIES}/{name}" for name in copies)
        sought = self._sought - self._marks
        for path in sorted((self._root / token_state.FOLDER).glob("**/*.safetensors")):
            self.files += 1
            if sought and any(mark(vector) in sought for vector in _vectors_in(path)):
                yield f"{path.relative_to(self._root)} holds a vector of it"

    def _stays(self, vectors: Iterable[Vector | None]) -> None:
        """Notes the vectors of a row that is there, as rows have them and as prototypes do."""
        if self._sought:
            own = {each for v in vectors if v is not None for each in (mark(v), mark(v.astype(np.float16)))}
            self._marks |= own & self._sought

    def _within(self, row: Mapping[str, Any]) -> bool:
        """Whether a row's time was erased."""
        stream = self._streams.get(row["stream"])
        spans = self._search.spans if stream is not None else ()
        return any(s.concerns(stream) and s.meets(row["t0_ns"], row["t1_ns"]) for s in spans if stream is not None)

    def _tells(self, gist: str) -> bool:
        """Whether a piece of a gist says what only the erased said."""
        return tells(gist, self._search.never) or any(self._says(piece) for piece in gist.split(PIECES))

    def _says(self, text: str) -> bool:
        """Whether a text says what only the erased said."""
        said = phrase(text)
        hits = [words for words in self._search.words if words in said] if said else []
        return any(not any(words in other for other in self._said) for words in hits)

    def _never(self, text: str | None) -> bool:
        return bool(self._search.never and text and self._search.never in phrase(text))


def _vectors_in(path: Path) -> Iterable[Any]:
    """Every row of every array of numbers in a token file, as float32."""
    from safetensors.numpy import load_file

    for array in load_file(path).values():
        if array.size and array.ndim and array.dtype.kind == "f":
            yield from np.asarray(array, np.float32).reshape(-1, array.shape[-1])


def _strings(note: Any) -> Iterator[str]:
    if isinstance(note, str):
        yield note
    elif isinstance(note, dict):
        for value in note.values():
            yield from _strings(value)
    elif isinstance(note, list):
        for value in note:
            yield from _strings(value)


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
