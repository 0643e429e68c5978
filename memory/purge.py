"""Purging: what the tables no longer show is made to be on the disk no longer.

Lance marks deleted rows and keeps them in their files, in indexes and in older versions. So after an erasure every
table and its word index are written anew, the ledger's older rows lose what they say of the erased, all versions but
the newest go, and with them every file that no version names. The order keeps a crash harmless: a version is ledgered
before the older ones go, and all of it can be done again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from . import tables, thumbnails, token_state
from .segments import clean, settle

COPIES = "sources"
"""Folder inside a memory of sources that it was handed itself: `sources/<hash of the bytes>/<name>`."""
_TOGETHER = 4096
"""Rows that are held at a time."""
_ROWS = 512
"""Likewise of the ledger, each of which has the states of all streams."""


def rewrite(table: Any, schema: Any) -> None:
    """A new version of the table, written anew: its files hold the rows that it shows, and nothing else.

    Copying inside Lance would not do: it leaves a few deleted rows where they are, and what it writes where a value is
    null are bytes of some other row. Indexes but the word index are dropped: sleep makes them again.
    """
    import pyarrow as pa

    words = any(list(index.columns) == ["text"] for index in table.list_indices())
    shown = table.search().to_batches(_TOGETHER)
    batches = (_clean(batch, schema) for batch in shown)
    table.add(pa.RecordBatchReader.from_batches(schema, batches), mode="overwrite", on_bad_vectors="null")
    if words:
        index_words(table, replace=True)
    for index in table.list_indices():
        if list(index.columns) != ["text"]:
            table.drop_index(index.name)
    settle(table)  # so that `only_newest` finds nothing more to do, and the ledgered version stays


def _clean(batch: Any, schema: Any) -> Any:
    """The same rows in memory of their own, with nothing where a value is null."""
    import pyarrow as pa

    columns = []
    for field in schema:
        column = batch.column(field.name)
        if pa.types.is_fixed_size_list(field.type):
            there = np.asarray(column.is_valid())
            values = np.zeros((len(column), field.type.list_size), np.float32)
            values[there] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.type.list_size)
            filled = pa.array(values.reshape(-1), field.type.value_type)
            columns.append(pa.FixedSizeListArray.from_arrays(filled, type=field.type, mask=pa.array(~there)))
        else:
            columns.append(pa.array(column.to_pylist(), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def index_words(table: Any, *, replace: bool = False) -> None:
    """Makes the word index of `percepts`."""
    from lancedb.index import FTS

    table.create_index("text", config=FTS(with_position=False), replace=replace)


def only_newest(table: Any) -> None:
    """Removes every version but the newest, and every file that it does not name.

    Only for the holder of the lock, with the table settled: nobody else writes what would be taken for a leftover.
    """
    clean(table, timedelta(0), leftovers=True)


def rewrite_ledger(table: Any, schema: Any, gone: Collection[str]) -> None:
    """The ledger with its rows and their numbers, but without what they say of the erased.

    gone: streams that the memory no longer has. Words in the notes of all rows but those of erasures themselves go,
    numbers stay: what a note quotes is not told apart from what it says.
    """
    import pyarrow as pa

    def cleaned() -> Iterator[Any]:
        for batch in table.search().to_batches(_ROWS):
            rows = batch.to_pylist()
            for row in rows:
                row["streams"] = json.dumps(_without(json.loads(row["streams"]), gone), ensure_ascii=False)
                if row["kind"] != "forget":
                    row["note"] = json.dumps(_numbers(json.loads(row["note"])), ensure_ascii=False)
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    table.add(pa.RecordBatchReader.from_batches(schema, cleaned()), mode="overwrite")


def half_written(folder: Path) -> list[Path]:
    """Files of a table that were being written when their writer died: Lance gives them a name that begins with a dot.

    Its clean-up leaves them.
    """
    return sorted(path for path in folder.rglob(".*") if path.is_file())


def remove_orphans(root: Path, named: Collection[str], tokens: Collection[str]) -> None:
    """Removes half-written files, and those of thumbnails and of token state that are not named."""
    orphans = half_written(root / tables.FOLDER)
    orphans += [root / path for path in thumbnails.stored(root) - set(named)]
    for path in orphans:
        path.unlink(missing_ok=True)
    token_state.sweep(root, tokens)


def copy_of(root: Path, source: str) -> str | None:
    """The hash under which a memory keeps its own copy of a source; None of a source that lies elsewhere.

    By the end of the path: the memory may have been moved since, or be reached by another way.
    """
    folder = Path(source).parent
    return folder.name if folder.parent.name == COPIES and (root / COPIES / folder.name).is_dir() else None


def unnamed_copies(root: Path, sources: Iterable[str]) -> set[str]:
    """The hashes of those of the memory's own copies that are of none of these sources."""
    folders = {folder.name for folder in (root / COPIES).glob("*") if folder.is_dir() and not folder.is_symlink()}
    return folders - {copy_of(root, source) for source in sources}


def remove_copies(root: Path, hashes: Collection[str]) -> None:
    """Removes the memory's own copies of sources."""
    for name in hashes:
        folder = root / COPIES / name
        if folder.parent == root / COPIES and folder.is_dir():
            shutil.rmtree(folder)


def folder_of(root: Path, name: str) -> Path:
    """Where a table's files lie."""
    return root / tables.FOLDER / f"{name}.lance"


def _without(streams: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    return {name: state for name, state in streams.items() if name not in gone}


def _numbers(note: Any) -> Any:
    """A note without its strings, keys apart."""
    if isinstance(note, Mapping):
        return {key: _numbers(value) for key, value in note.items() if not isinstance(value, str)}
    if isinstance(note, list):
        return [_numbers(value) for value in note if not isinstance(value, str)]
    return note
