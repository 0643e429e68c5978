"""Pictures of recordings that were replaced: they go once no version of the memory that is kept names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import tables, thumbnails
from .writer import Writer

_TOGETHER = 500
_SLACK_S = 2.0
"""A picture is written so long before the version that names it, at most, as far as clocks of disks tell."""


def sweep(writer: Writer) -> int:
    """Removes the pictures that nothing names any more, of a memory in which something was replaced; how many went.

    A picture that a kept version names is named by the oldest of them, or was written since (`thumbnails.store`). Looks
    at every file, beside readers and recorders: others wait for steps of some hundreds.
    """
    if not len(writer.read(tables.LEDGER, "kind = 'replace'", ["commit"])):
        return 0
    with writer.alone():  # no compaction removes versions meanwhile
        table = writer.database.open_table(tables.PERCEPTS)
        kept = sorted((version["version"], version["timestamp"].timestamp()) for version in table.list_versions())
        named = _named(table) | _named(writer.database.open_table(tables.PERCEPTS, version=kept[0][0]))
    before_s = kept[0][1] - _SLACK_S if len(kept) > 1 else float("inf")
    gone, some = 0, list[str]()
    for path in _written(writer, before_s):
        some += [path] if path not in named else []
        if len(some) == _TOGETHER:
            gone, some = gone + _remove(writer, some), []
    return gone + _remove(writer, some)


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


def _remove(writer: Writer, paths: list[str]) -> int:
    """Those of them that no row has come to name meanwhile; nobody commits while they go."""
    with writer.alone():
        now = writer.read(tables.PERCEPTS, tables.among("thumbnail", paths), ["thumbnail"])["thumbnail"].to_pylist()
        gone = 0
        for path in sorted(set(paths) - set(now)):
            file = writer.root / path
            size = file.stat().st_size if file.exists() else 0
            file.unlink(missing_ok=True)
            gone += 1
            if writer.gauge is not None:
                writer.gauge.removed(size)
    return gone
