"""Opening a memory to write into it, and beginning a stream in it: the refusals that every way of watching shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import MemoryFormatError, MnemeError, SettingsError
from ..memory import manifest
from ..memory.faults import mended
from ..memory.memory import Memory, Recorder
from ..memory.settings import MemorySettings
from ..records import LANES, Lane, Space
from .senses import DEFAULT_LANES
from .sources import SourceInfo
from .watch import stream_of_info


def exists(folder: Path) -> bool:
    """Whether a memory stands in a folder; `MemoryFormatError` where something else does.

    What a creation that was cut off left behind is no memory yet, and nothing else either.
    """
    with mended("opening", folder):
        if (folder / manifest.FILE).exists():
            return True
        manifest.refuse_foreign(folder)
        return False


def chosen_profile(path: Path, wanted: str | None, settings: Mapping[str, Any] | None = None) -> str:
    """The profile of the memory in `path`, or of the one that will be made there (`auto`: `pretrained.choose`).

    settings: of `config.read_file`. Errors: `SettingsError` where another one was asked for by name;
    `MemoryFormatError`.
    """
    own = manifest.read(path).profile if exists(path) else None
    if own is None:
        if wanted not in (None, "auto"):
            return str(wanted)
        from ..encoders.pretrained import choose

        return choose(settings).profile
    if wanted not in (None, "auto", own):
        raise SettingsError(
            f"{path} was made with profile {own!r}, not {wanted!r}",
            "leave the profile out, or watch into a new memory",
        )
    return own


def open_to_write(path: Path, profile: str, spaces: Sequence[Space], settings: MemorySettings) -> Memory:
    """The memory in `path` with the writer's lock, made where there is none.

    Errors: `LockedError` naming another writer; `MemoryFormatError` where its vectors are of other spaces.
    """
    if not exists(path):
        return Memory.create(path, profile, spaces, settings=settings)
    memory = Memory.open(path, "w", settings=settings)
    own = {space.name: space for space in memory.manifest.spaces}
    for space in spaces:
        if own.get(space.name) != space:
            memory.close()
            raise MemoryFormatError(
                f"{path} holds vectors of another {space.name!r} space",
                "watch into a new memory, or move this one with mneme reencode",
            )
    return memory


def begin(memory: Memory, info: SourceInfo, profile: str, *, replace: bool = False) -> Recorder:
    """A recorder for a source: fresh, or going on where an interrupted watch of it left off.

    Errors: `MnemeError` where the same file stands under another name (it would be remembered twice), or was watched.
    """
    for state in memory.snapshot().streams():
        if state.stream.digest == info.digest and state.stream.id != info.stream and info.digest and not replace:
            raise MnemeError(
                f"this file is in the memory already as stream {state.stream.id!r}",
                f"ask that one, or watch it again with --stream {state.stream.id} --replace",
            )
    return memory.recorder(stream_of_info(info, profile), replace=replace)


def wanted_lanes(lanes: Sequence[str] | None) -> tuple[Lane, ...]:
    """The lanes that were asked for, in their order; None: all of them. Errors: `SettingsError`."""
    if lanes is None:
        return DEFAULT_LANES
    for lane in lanes:
        if lane not in DEFAULT_LANES:
            raise SettingsError(f"there is no lane {lane!r}", f"choose from {', '.join(DEFAULT_LANES)}")
    return tuple(lane for lane in LANES if lane in lanes)
