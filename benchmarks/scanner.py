"""Looks for canaries in every file of a memory, decoded: what an eraser has to face, independent of how it works.

Every Lance file is read as a file (`pylance`), whether a version of its table names it or not; the word index is asked
at every version that can be opened; thumbnails are compared as pictures; and every file is searched as bytes too, since
Lance leaves bytes of other rows where a value is null, which no decoding shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mneme.memory import tables, thumbnails, token_state
from mneme.memory.store import connect
from mneme.memory.target import phrase

_SAME = 0.9999
"""Cosine from which a vector is the canary's; 0.999 where it was rounded to half."""
_ALIKE = 20.0
"""Mean difference of two pictures, of 255, below which they show the same."""
_SMALL = (64, 36)
_TELLING = 16
"""Numbers from which on a vector's bytes stand for it alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Canaries:
    """What must not be found."""

    words: Sequence[str]
    """Phrases."""
    vectors: Sequence[NDArray[np.float32]]
    blobs: frozenset[bytes] = frozenset()
    """Tokens and looks, as rows have them."""
    pictures: Sequence[NDArray[np.uint8]] = ()
    ids: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", tuple(phrase(words) for words in self.words))


def scan(root: Path, canaries: Canaries) -> dict[str, int]:
    """Kind of place -> how often a canary was found there; kinds where none was are 0."""
    found = dict.fromkeys(["words", "vectors", "blobs", "ids", "index", "thumbnails", "tokens", "bytes"], 0)
    for kind in _everywhere(root, canaries):
        found[kind] += 1
    return found


def lance_files(root: Path) -> list[Path]:
    """Every Lance file of a memory."""
    return sorted(path for path in (root / tables.FOLDER).rglob("*.lance") if path.is_file())


def _everywhere(root: Path, canaries: Canaries) -> Iterator[str]:
    from lance.file import LanceFileReader

    for path in lance_files(root):
        for batch in LanceFileReader(str(path)).read_all().to_batches():
            for column in batch.columns:
                yield from _in_column(column, canaries)
    yield from _in_index(root, canaries)
    small = [_shrunk(Image.fromarray(picture)) for picture in canaries.pictures]
    for name in thumbnails.stored(root):
        shown = _shrunk(Image.open(root / name).convert("RGB"))
        if any(float(np.abs(shown - picture).mean()) < _ALIKE for picture in small):
            yield "thumbnails"
    from safetensors.numpy import load

    for path in sorted((root / token_state.FOLDER).rglob("*")):
        for array in load(path.read_bytes()).values():
            rows = array.reshape(-1, array.shape[-1]).astype(np.float32) if array.ndim > 1 else np.zeros((0, 1))
            yield from ("tokens" for _ in range(_hits(rows, canaries, 0.999)))
    spelled = [form for words in canaries.words for form in (words, words.casefold(), words.upper())]
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield from ("bytes" for words in spelled if words.encode() in data)
            raw = (vector.astype("<f4").tobytes()[:256] for vector in canaries.vectors if len(vector) >= _TELLING)
            yield from ("bytes" for row in raw if row in data)
            if path.suffix != ".lance":
                yield from ("ids" for id in canaries.ids if id.encode() in data)


def _in_column(column: Any, canaries: Canaries) -> Iterator[str]:
    """Canaries in one column of one file."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type):
        rows = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
        yield from ("vectors" for _ in range(_hits(np.asarray(rows, np.float32), canaries, _SAME)))
    elif pa.types.is_struct(kind):
        for child in column.flatten():
            yield from _in_column(child, canaries)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _in_column(column.flatten(), canaries)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for text in column.drop_null().to_pylist():
            if text in canaries.ids:
                yield "ids"
            said = phrase(text)
            yield from ("words" for words in canaries.phrases if words in said)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield from ("blobs" for blob in column.drop_null().to_pylist() if blob in canaries.blobs)


def _in_index(root: Path, canaries: Canaries) -> Iterator[str]:
    """Rows that the word index finds by a canary's words, at every version that can be opened."""
    from lancedb.query import MatchQuery

    table = connect(root).open_table(tables.PERCEPTS)
    for version in table.list_versions():
        table.checkout(version["version"])
        for words, said in zip(canaries.words, canaries.phrases, strict=True):
            match = MatchQuery(words, "text")
            for row in table.search(match, query_type="fts").limit(1000).select(["text", "_score"]).to_list():
                if said in phrase(row["text"]):
                    yield "index"
    table.checkout_latest()


def _hits(rows: NDArray[np.float32], canaries: Canaries, same: float) -> int:
    """How many rows are a canary's vector."""
    sought = [vector for vector in canaries.vectors if len(vector) == rows.shape[-1]]
    if not sought or not len(rows):
        return 0
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    cosines = (rows @ np.stack(sought).T) / lengths[:, None] / np.linalg.norm(np.stack(sought), axis=1)
    return int((cosines > same).any(axis=1).sum())


def _shrunk(image: Any) -> NDArray[np.float32]:
    return np.asarray(image.resize(_SMALL), np.float32)
