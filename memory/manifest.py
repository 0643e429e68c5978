"""The manifest of a memory: what its folder is, which spaces it holds, which streams it has seen.

    KITCHEN.mneme/
      manifest.json            this file's business
      lock                     held while a process writes (lock.py)
      tables/                  LanceDB: percepts, events, places, ledger (tables.py)
      thumbnails/<2 hex>/      JPEGs (thumbnails.py)
      tokens/                  state of the token banks, safetensors

The list of streams is for people and tools that look at the folder: what was watched how far stands in the ledger.
Spans that were erased on request and boundaries that a person corrected stand here too, so that they can be seen
without opening a table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import MemoryFormatError
from ..records import Space, Stream
from . import corrected
from .corrected import Correction
from .durable import write_whole
from .erased import Erased, from_plain

FORMAT = "mneme"
VERSION = 1
FILE = "manifest.json"
_SCAFFOLD = frozenset({"lock", FILE + ".new"})
"""What a creation that was cut off before its manifest leaves behind."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands in `manifest.json`; the version stands beside it."""

    profile: str
    spaces: tuple[Space, ...]
    streams: tuple[Stream, ...] = ()
    erased: tuple[Erased, ...] = ()
    """What was erased on request and is not taken in again; the ledger's rows of kind `forget` are the truth."""
    erasing: int | None = None
    """While an erasure is under way: the commit before it. The next writer finishes one that was cut off."""
    corrections: tuple[Correction, ...] = ()
    """Boundaries that a person corrected: what is watched again is cut accordingly."""
    longest_ns: int | None = None
    """No percept is longer, in any version of the table; None: not known. What is searched for in a span need not be
    looked for before it by more than this."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Keys that this release does not know: kept as they are when the manifest is written again."""

    def space(self, name: str) -> Space:
        """The space of that name; `MemoryFormatError` where the memory has none."""
        for space in self.spaces:
            if space.name == name:
                return space
        known = ", ".join(space.name for space in self.spaces) or "none"
        raise MemoryFormatError(
            f"this memory has no space {name!r} (it has {known})",
            "re-encode it (mneme reencode) or open it with the profile it was made with",
        )

    def with_streams(self, streams: Sequence[Stream]) -> Manifest:
        return replace(self, streams=tuple(streams))


def read(folder: Path) -> Manifest:
    """The manifest of the memory in `folder`; `MemoryFormatError` where it is not one, or of another version."""
    if not folder.exists():
        raise MemoryFormatError(f"there is no memory at {folder}", "watch something into it first, or check the path")
    if not folder.is_dir():
        raise MemoryFormatError(f"{folder} is a file, not a memory", "give the path of a memory's folder")
    if not (folder / FILE).is_file():
        raise MemoryFormatError(f"{folder} is not a memory: it has no {FILE}", "give the path of a memory's folder")
    try:
        table = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if not isinstance(table, dict) or table.pop("format") != FORMAT:
            raise ValueError("not a manifest of a memory")
        version = table.pop("version")
        if version == VERSION:
            return Manifest(
                profile=table.pop("profile"),
                spaces=tuple(Space(**space) for space in table.pop("spaces")),
                streams=tuple(Stream(**stream) for stream in table.pop("streams")),
                erased=from_plain(table.pop("erased", ())),
                erasing=table.pop("erasing", None),
                corrections=corrected.from_plain(table.pop("corrections", ())),
                longest_ns=table.pop("longest_ns", None),
                others=table,
            )
    except (ValueError, KeyError, TypeError) as error:
        raise MemoryFormatError(
            f"{folder / FILE} cannot be understood: {error}", "restore it from a copy; the tables are untouched"
        ) from error
    raise MemoryFormatError(
        f"{folder} is a memory of version {version}, this release reads version {VERSION}",
        "use the release that made it, or migrate it",
    )


def write(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest in one step: written beside, flushed to the disk, renamed. Raises `OSError`."""
    table = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    if not manifest.erased:
        del table["erased"]
    if manifest.erasing is None:
        del table["erasing"]
    if not manifest.corrections:
        del table["corrections"]
    if manifest.longest_ns is None:
        del table["longest_ns"]
    table |= table.pop("others")
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / FILE, text.encode())


def refuse_foreign(folder: Path) -> None:
    """`MemoryFormatError` where a memory cannot be made: a file, a memory already, or a folder of something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MemoryFormatError(f"{folder} is a file, not a folder", "give the path of a new or empty folder")
    if (folder / FILE).exists():
        raise MemoryFormatError(f"there is a memory at {folder} already", "open it instead")
    if any(entry.name not in _SCAFFOLD for entry in folder.iterdir()):
        raise MemoryFormatError(
            f"{folder} holds other things and is not a memory", "give the path of a new or empty folder"
        )
