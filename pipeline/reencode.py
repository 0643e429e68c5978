"""Moving a memory to another profile: the same percepts, ids, spans and words, described by other encoders.

The new memory is made in a folder beside the old one and takes its place in one step at the end. Until then the old
one is untouched and can be read; it is locked, so that nothing is watched into it meanwhile. A move that is cut off is
begun again by the same command.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..encoders.profiles import Profile, make_profile
from ..errors import MemoryFormatError, MnemeError
from ..memory import manifest
from ..memory.durable import flush_names
from ..memory.episodic import in_order, vectors_of_members
from ..memory.faults import mended
from ..memory.ledger import StreamState
from ..memory.lock import WriterLock
from ..memory.memory import Memory
from ..memory.settings import MemorySettings
from ..memory.store import StoredSnapshot
from ..records import Percept
from .resense import Resenser, Tally, source_of
from .sources import SourceSettings

BATCH = 256
"""Percepts that are described and committed together."""
OWN = frozenset({manifest.FILE, manifest.FILE + ".new", "lock", "tables", "thumbnails"})
"""What the new memory makes itself; all else (videos that were handed to the page) goes with it."""


@dataclass(frozen=True, slots=True)
class Reencoded:
    """What a move did."""

    profile: str
    streams: int
    percepts: int
    events: int
    tally: Tally = field(default_factory=Tally)


def reencode(
    root: Path,
    to: str,
    *,
    profile: Profile | None = None,
    memory_settings: MemorySettings | None = None,
    source_settings: SourceSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reencoded:
    """Moves the memory in `root` to the profile named `to`.

    profile: where the caller has loaded it. progress: called with (percepts described, percepts in all).

    Errors: `MemoryFormatError` of a folder that is not a memory; `LockedError` where it is being written;
    `SettingsError` of an unknown profile; `MnemeError` where it is of that profile already or a stream is just being
    replaced. The old memory is whole after any of them.
    """
    root = root.absolute()
    making, gone = beside(root, "reencoding"), beside(root, "before")
    with mended("moving", root):
        if not root.exists() and gone.exists():  # cut off between the two renames of `_exchange`
            gone.rename(root)
        before = manifest.read(root)
        profile = profile or make_profile(to)
        if (before.profile, set(before.spaces)) == (profile.name, set(profile.spaces)):
            _remove(making, gone)
            raise MnemeError(f"{root} is of profile {to!r} already", "there is nothing to do")
        with Memory.open(root, "w", settings=memory_settings) as old:
            _remove(making, gone)
            snapshot = old.snapshot()
            for state in snapshot.streams():
                if state.successor is not None:
                    raise MnemeError(
                        f"stream {state.stream.id!r} is just being replaced", "watch it to its end first, then move"
                    )
            done = _moved(snapshot, making, profile, memory_settings, source_settings or SourceSettings(), progress)
            _carry(root, making)
            _verify(snapshot, making)
            _exchange(root, making, gone)
        _remove(making, gone)
    return done


def beside(root: Path, what: str) -> Path:
    """The folder that a move uses beside a memory."""
    return root.with_name(f".{root.name}.{what}")


def _moved(
    snapshot: StoredSnapshot,
    making: Path,
    profile: Profile,
    settings: MemorySettings | None,
    source_settings: SourceSettings,
    progress: Callable[[int, int], None] | None,
) -> Reencoded:
    tally = Tally()
    listed = snapshot.percepts()
    done = events = 0
    with Memory.create(making, profile.name, profile.spaces, settings=settings) as new:
        for state in snapshot.streams():
            state = replace(state, stream=replace(state.stream, profile=profile.name), take=0, successor=None)
            mine = in_order(p for p in listed if p.stream == state.stream.id)
            made: dict[str, Percept] = {}
            with source_of(state.stream, source_settings) as source:
                resenser = Resenser(profile, snapshot.manifest.spaces, snapshot.root, source, tally)
                for first in range(0, len(mine), BATCH):
                    ids = [p.id for p in mine[first : first + BATCH]]
                    batch = resenser.describe(snapshot.percepts(ids=ids, with_vectors=True))
                    new.adopt(state, [(p, _jpeg(snapshot.root, p)) for p in batch])
                    made |= {p.id: replace(p, tokens=None, look=None) for p in batch}
                    done += len(batch)
                    if progress is not None:
                        progress(done, len(listed))
            own = [
                replace(event, vectors=vectors_of_members(in_order(made[id] for id in event.percepts if id in made)))
                for event in snapshot.events(state.stream.id)
            ]
            places = [replace(place, vectors={}) for place in snapshot.places(state.stream.id)]
            new.adopt(state, [], own, places)  # how a place looked, another encoder does not know
            events += len(own)
    return Reencoded(profile.name, len(snapshot.streams()), len(listed), events, tally)


def _jpeg(root: Path, percept: Percept) -> bytes | None:
    path = None if percept.thumbnail is None else root / percept.thumbnail
    return path.read_bytes() if path is not None and path.is_file() else None


def _carry(root: Path, making: Path) -> None:
    """Takes what is no part of the tables along, by links where the disk has them: it may be videos."""
    for entry in sorted(root.iterdir()):
        if entry.name in OWN:
            continue
        if entry.is_dir():
            shutil.copytree(entry, making / entry.name, copy_function=_link)
        else:
            _link(str(entry), str(making / entry.name))
    before = manifest.read(root)
    now = manifest.read(making)
    kept = replace(now, others=before.others, erased=before.erased, corrections=before.corrections)
    if kept != now:  # what was erased on request stays so, and what was corrected
        manifest.write(making, kept)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _verify(before: StoredSnapshot, making: Path) -> None:
    """`MemoryFormatError` unless the new memory is sound and holds the same ids, spans and streams."""
    with Memory.open(making) as new:
        report = new.check()
        snapshot = new.snapshot()
    held = [(p.id, p.t0_ns, p.t1_ns) for p in snapshot.percepts()]
    if not report.ok or held != [(p.id, p.t0_ns, p.t1_ns) for p in before.percepts()]:
        fault = report.problems[0] if report.problems else "its percepts are not those of the old one"
        raise MemoryFormatError(f"the moved memory is not sound: {fault}", "the old one is untouched; run mneme check")
    if _ends(snapshot.streams()) != _ends(before.streams()):
        raise MemoryFormatError("the moved memory has other streams", "the old one is untouched; run mneme check")


def _ends(states: list[StreamState]) -> list[tuple[str, int, int, int, bool]]:
    return [(s.stream.id, s.seen_ns, s.closed_ns, s.events, s.done) for s in states]


def _exchange(root: Path, making: Path, gone: Path) -> None:
    """The new folder takes the old one's name, in one step where the system can; the old one lies in `making` then.

    Where it cannot, the old one is first moved aside: a crash before the second rename leaves it there, and the next
    `reencode` puts it back.
    """
    lock = WriterLock(making, 0)  # nobody writes into it before the old one is gone
    try:
        for path in (making, making / "tables", making / "thumbnails"):
            if path.is_dir():
                flush_names(path)
        if not _swapped(root, making):
            root.rename(gone)
            making.rename(root)
        flush_names(root.parent)
    finally:
        lock.release()


def _swapped(one: Path, other: Path) -> bool:
    """Exchanges two names in one step (Linux, renameat2); False where the system or the disk cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    exchange, here = 2, -100  # RENAME_EXCHANGE, AT_FDCWD
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _remove(*folders: Path) -> None:
    """Removes what an earlier move left beside the memory."""
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
