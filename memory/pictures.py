"""Pictures that no row names any more: which they are, and how they go beside whoever records.

To remove a file can take a disk a third of a millisecond, and forgetting names thousands: they go a few at a time, so
that a commit waits for a few, and what is forgotten because the budget presses goes in a thread of its own (`Broom`).
A crash leaves files that nothing names: the next press removes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import MnemeError
from . import tables, thumbnails
from .writer import Writer

_log = logging.getLogger(__name__)

_TOGETHER = 64
"""Pictures for whose removal commits wait."""
_SLACK_S = 2.0
"""A picture is written so long before the version that names it, at most, as far as clocks of disks tell."""


def remove(writer: Writer, paths: Sequence[str]) -> int:
    """Removes those pictures (paths inside the memory) that no row of any take has come to name; bytes that went.

    For pictures that no older version names either. Raises `MnemeError`, of a writer that was closed too.
    """
    gone = 0
    for first in range(0, len(paths), _TOGETHER):
        some = paths[first : first + _TOGETHER]
        owners = tables.among("id", [thumbnails.percept_of(path) for path in some])  # an index knows ids
        with writer.alone():
            named = writer.read(tables.PERCEPTS, owners, ["thumbnail"])["thumbnail"].to_pylist()
            gone += _unlink(writer, sorted(set(some) - set(named)))
    return gone


def remove_unnamed(writer: Writer) -> int:
    """Removes pictures that no row names: what an interrupted forgetting left; bytes that went. Nothing commits then.

    For a memory without older versions.
    """
    with writer.alone():
        rows = writer.read(tables.PERCEPTS, "thumbnail IS NOT NULL", ["thumbnail"])
        return _unlink(writer, sorted(thumbnails.stored(writer.root) - set(rows["thumbnail"].to_pylist())))


def sweep(writer: Writer) -> int:
    """Removes the pictures that nothing names any more, of a memory in which something was replaced; bytes that went.

    A picture that a kept version names is named by the oldest of them, or was written since (`thumbnails.store`). Looks
    at every file, beside readers and recorders.
    """
    if not len(writer.read(tables.LEDGER, "kind = 'replace'", ["commit"])):
        return 0
    with writer.alone():  # no compaction removes versions meanwhile
        table = writer.database.open_table(tables.PERCEPTS)
        kept = sorted((version["version"], version["timestamp"].timestamp()) for version in table.list_versions())
        named = _named(table) | _named(writer.database.open_table(tables.PERCEPTS, version=kept[0][0]))
    before_s = kept[0][1] - _SLACK_S if len(kept) > 1 else float("inf")
    return remove(writer, [path for path in _written(writer, before_s) if path not in named])


class Broom:
    """Removes pictures in a thread, as they are handed to it."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def take(self, writer: Writer, paths: Sequence[str]) -> int:
        """Begins to remove them, as `remove`, and gives their bytes. What fails is logged; the next press does it."""
        held = sum(_size(writer.root / path) for path in paths)
        thread = threading.Thread(target=_try_to_remove, args=(writer, paths), name="mneme-broom", daemon=True)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()
        return held

    def close(self) -> None:
        """Waits until all that it was handed is gone."""
        for thread in self._threads:
            thread.join()


def _try_to_remove(writer: Writer, paths: Sequence[str]) -> None:
    try:
        remove(writer, paths)
    except MnemeError as error:
        _log.warning("pictures that were forgotten are still there: %s", error)


def _size(file: Path) -> int:
    """0 where it has gone."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _named(table: Any) -> set[str]:
    rows = table.search().where("thumbnail IS NOT NULL").select(["thumbnail"]).to_arrow()
    return set(rows["thumbnail"].to_pylist())


def _written(writer: Writer, before_s: float) -> Iterator[str]:
    """Paths, inside the memory, of the pictures that were written before a time (seconds since 1970)."""
    for file in (writer.root / thumbnails.FOLDER).glob("*/*.jpg"):
        try:
            if file.stat().st_mtime < before_s:
                yield file.relative_to(writer.root).as_posix()
        except FileNotFoundError:
            continue


def _unlink(writer: Writer, paths: Sequence[str]) -> int:
    """Bytes that went. Nobody commits meanwhile."""
    gone = 0
    for path in paths:
        file = writer.root / path
        try:
            held = file.stat().st_size
            file.unlink()
        except OSError:
            continue
        gone += held
        if writer.gauge is not None:
            writer.gauge.removed(held)
    return gone
