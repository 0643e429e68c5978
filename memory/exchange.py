"""A memory as plain files, and back: Arrow tables that pandas and DuckDB read, pictures, and what belongs to them.

    EXPORT/
      export.json          what this is, profile, spaces, streams, what was erased or corrected, hashes of the files
      percepts.arrow ...   one Arrow IPC file (Feather) a table, as stored, in order of stream and time
      thumbnails/<2 hex>/  the JPEGs that percepts name
      tokens/              long-term memory

What an export holds is one snapshot, without history: what was recorded, erased or forgotten before it is not in it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import MemoryFormatError, MnemeError
from ..records import Space
from . import corrected, erased, ledger, manifest, tables, thumbnails, token_state
from .changes import Changes
from .durable import flush_names
from .faults import mended
from .lock import FILE as LOCK_FILE
from .lock import WriterLock
from .settings import MemorySettings
from .store import StoredSnapshot
from .writer import Writer

FILE, FORMAT, VERSION = "export.json", "mneme export", 1
_TOGETHER = 20_000
"""Rows that are stored in one commit."""
_BUILDING = "import.new"
"""Where in the folder a memory is built: what is under it belongs to the import, and is no memory yet."""
_PARTS = (tables.FOLDER, thumbnails.FOLDER, token_state.FOLDER)
"""The folders of a memory that an export fills."""
_ORDER = ("stream", "t0_ns", "first_ns", "t1_ns", "lane", "camera", "ordinal", "id")
"""What rows are sorted by, as far as a table has it."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What went out or came in."""

    rows: Mapping[str, int]
    """Table -> rows."""
    files: int
    bytes: int
    content_sha256: str
    """`content_hash`: the same for memories that remember the same."""


def export(snapshot: StoredSnapshot, folder: Path) -> Exchanged:
    """Writes what the snapshot shows into a new or empty folder; `export.json` comes last, so that half of one is none.

    Of a stream that is being replaced the take that is shown goes out. Raises `MnemeError` where something else
    stands there or the disk fails.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MnemeError(f"{folder} is not an empty folder", "give a new one")
    with mended("writing", folder):
        folder.mkdir(parents=True, exist_ok=True)
        found = {name: _sorted(snapshot.rows(name)) for name in tables.VERSIONED}
        for name, rows in found.items():
            _write(folder / f"{name}.arrow", rows)
        states = [replace(state, checkpoint=None, successor=None) for state in snapshot.streams()]
        pictures = {path for path in found[tables.PERCEPTS]["thumbnail"].to_pylist() if path is not None}
        for path in [*sorted(pictures), *sorted(token_state.named(states))]:
            if (snapshot.root / path).is_file():  # one that is missing is missing; `mneme check` says so
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(snapshot.root / path, folder / path)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        stated: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "profile": snapshot.manifest.profile,
            "spaces": [asdict(space) for space in snapshot.manifest.spaces],
            "streams": ledger.to_plain({state.stream.id: state for state in states}),
            "erased": [span.plain() for span in snapshot.manifest.erased],
            "corrections": [each.plain() for each in snapshot.manifest.corrections],
            "rows": {name: len(rows) for name, rows in found.items()},
            "content_sha256": _hash_of(found),
            "files": {name: _digest(files[name]) for name in sorted(files)},
        }
        text = json.dumps(stated, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in files.values()) + len(text.encode())
    return Exchanged(stated["rows"], len(files) + 1, size, stated["content_sha256"])


@dataclass(frozen=True, slots=True)
class _Stated:
    """What `export.json` says."""

    manifest: manifest.Manifest
    streams: Mapping[str, ledger.StreamState]
    rows: Mapping[str, int]
    files: tuple[str, ...]
    content_sha256: str


def bring_in(folder: Path, path: Path, clock: Callable[[], int] = time.time_ns) -> Exchanged:
    """Makes a memory at `path` of an export; where that fails nothing is left of it, and what others have made stays.

    It is a memory from one instant on, whole: until then, and after a crash, it is none. clock: wall-clock nanoseconds
    since 1970, for the ledger. Raises `MemoryFormatError` of a folder that is no export or whose files are not those
    that it was written with, and where something stands at `path`; `LockedError` where another process makes one there.
    """
    stated = _read(folder)
    root = path.absolute()
    _refuse_foreign(root)
    there = root.exists()
    with mended("making", root):
        root.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(root, clock())
        try:
            _refuse_foreign(root)  # others may have made one until the lock was taken
            try:
                _clear(root)
                _build(folder, stated, root / _BUILDING, clock)
                _move(root / _BUILDING, root)
            except BaseException:
                _clear(root)
                if not there and not (root / manifest.FILE).exists():
                    (root / LOCK_FILE).unlink(missing_ok=True)
                    with suppress(OSError):
                        root.rmdir()
                raise
        finally:
            lock.release()
    size = sum((folder / name).stat().st_size for name in stated.files)
    return Exchanged(stated.rows, len(stated.files) + 1, size, stated.content_sha256)


def content_hash(snapshot: StoredSnapshot) -> str:
    """SHA-256 of what a memory remembers: ids, spans, texts and links, sorted; without vectors and strengths."""
    return _hash_of({name: snapshot.rows(name, _hashed(name)) for name in (tables.PERCEPTS, tables.EVENTS)})


def _refuse_foreign(root: Path) -> None:
    """`MemoryFormatError` where a memory cannot be made; what an import that was cut off left does not count."""
    if not (root / _BUILDING).is_dir() or (root / manifest.FILE).exists():
        manifest.refuse_foreign(root)


def _clear(root: Path) -> None:
    """Removes what an import has made in a folder that is no memory yet. For the holder of its lock."""
    if (root / _BUILDING).is_dir() and not (root / manifest.FILE).exists():
        for name in _PARTS:
            shutil.rmtree(root / name, ignore_errors=True)
        shutil.rmtree(root / _BUILDING, ignore_errors=True)


def _build(folder: Path, stated: _Stated, root: Path, clock: Callable[[], int]) -> None:
    """The memory of an export, in a folder of its own, and looked at whether it is what the export says."""
    root.mkdir()
    manifest.write(root, stated.manifest)
    writer = Writer(root, MemorySettings(horizon_s=0.0), clock)
    for name in stated.files:
        if "/" in name:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, root / name)
    schemas = tables.schemas(stated.manifest.spaces)
    for name in tables.VERSIONED:
        rows = _load(folder / f"{name}.arrow", schemas[name])
        for first in range(0, len(rows), _TOGETHER):
            writer.apply("import", Changes(put={name: rows.slice(first, _TOGETHER)}, streams=stated.streams))
    writer.apply("import", Changes(streams=stated.streams, note={"content_sha256": stated.content_sha256}))
    writer.compact(history=False)
    writer.close()
    if content_hash(StoredSnapshot(root)) != stated.content_sha256:
        raise MemoryFormatError(f"{folder} does not hold what it says", "export it again")


def _move(built: Path, root: Path) -> None:
    """Makes the folder the memory that was built in it: the manifest, which says that it is one, comes last."""
    for name in (*_PARTS, manifest.FILE):
        if (built / name).exists():
            (built / name).rename(root / name)
            flush_names(root)
    shutil.rmtree(built, ignore_errors=True)


def _read(folder: Path) -> _Stated:
    """What `export.json` says, of a folder whose files are all there and as they were written."""
    try:
        stated: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if stated["format"] != FORMAT or stated["version"] != VERSION:
            raise ValueError(f"its format is {stated['format']!r} {stated['version']!r}")
        for name, digest in stated["files"].items():
            parts = Path(name).parts
            if Path(name).is_absolute() or ".." in parts or (len(parts) > 1 and parts[0] not in _PARTS):
                raise ValueError(f"it names {name!r}")
            if not (folder / name).is_file() or _digest(folder / name) != digest:
                raise ValueError(f"{name} is not as it was written")
        spaces = tuple(Space(**space) for space in stated["spaces"])
        tables.check_spaces(spaces)
        spans, told = erased.from_plain(stated["erased"]), corrected.from_plain(stated.get("corrections", ()))
        made = manifest.Manifest(str(stated["profile"]), spaces, erased=spans, corrections=told)
        streams, rows = ledger.from_plain(stated["streams"]), dict(stated["rows"])
        return _Stated(made, streams, rows, tuple(stated["files"]), str(stated["content_sha256"]))
    except FileNotFoundError as error:
        raise MemoryFormatError(f"{folder} is no export: it has no {FILE}", "give what mneme export wrote") from error
    except KeyError as error:
        raise MemoryFormatError(f"{folder / FILE} lacks {error}", "export it again") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MemoryFormatError(f"{folder} cannot be read: {error}", "export it again") from error


def _sorted(rows: Any) -> Any:
    by = [(name, "ascending") for name in _ORDER if name in rows.column_names]
    return rows.sort_by(by) if len(rows) else rows


def _write(path: Path, rows: Any) -> None:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=_TOGETHER)


def _load(path: Path, schema: Any) -> Any:
    """The rows of an Arrow file as this release stores them: columns that the file lacks are empty."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_file(file).read_all()
        columns = [
            rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)
    except pa.ArrowInvalid as error:
        raise MemoryFormatError(f"{path} holds no rows of a memory: {error}", "export it again") from error


def _hashed(table: str) -> list[str]:
    own = {tables.PERCEPTS: ["lane", "camera", "text"], tables.EVENTS: ["gist", "percepts", "links"]}
    return ["id", "stream", "t0_ns", "t1_ns", "ordinal", *own[table]]


def _hash_of(found: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in (tables.PERCEPTS, tables.EVENTS):
        lines = []
        for row in found[name].select(_hashed(name)).to_pylist():
            if "links" in row:
                row["links"] = sorted([link["kind"], link["event"]] for link in row["links"])
            lines.append(json.dumps(row, sort_keys=True, ensure_ascii=False))
        digest.update("\n".join([name, *sorted(lines), ""]).encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
