"""Sleep: the plans of `consolidate` and `budget` carried out beside readers and recorders.

Planning reads a snapshot and holds no lock; the writer applies what was planned in steps of one commit each. Where
something else than a recording changed rows meanwhile (an erasure, a replacement), it is planned anew. Where the disk
budget presses, old versions go first, then what is weakest, until the folder is inside it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MnemeError
from . import pictures, recall_log, tables
from .allocator import give_back
from .budget import Forgetting, forgetting
from .changes import Changes
from .consolidate import plan
from .episodic import Summariser
from .indexes import index
from .settings import MemorySettings
from .store import StoredSnapshot
from .usage import PRESSING, Usage, measured
from .writer import Writer

_log = logging.getLogger(__name__)

_BESIDE = ("observe", "compact", "widen", "recover", "name")
"""Kinds of commits that leave alone what sleep plans on: the rows of events that are closed."""
_TRIES = 5
_ROUNDS = 12
_SOON = 100_000
"""Percepts whose index is made while something is being recorded, which waits for it."""
_AIM = 0.8
"""Share of the budget that is left when it has forgotten: so that it need not at every turn."""
_KEPT = 0.25
"""Share of the budget that percepts keep where all else alone takes more than the budget: it cannot be held then."""
_ENOUGH = 1.1
"""Times what percepts may keep there that they may hold before any go."""


@dataclass(frozen=True, slots=True)
class Slept:
    """What one sleep came to."""

    linked: int = 0
    """Pairs of events found to be the same."""
    renewed: int = 0
    """Percepts and events that were recalled since the last sleep."""
    summarised: int = 0
    """Summaries made, or made anew."""
    forgotten: int = 0
    """Percepts that went."""
    thinned: int = 0
    """Percepts that lost their tokens and stay."""
    thumbnails: int = 0
    """Pictures that went."""
    indexed: tuple[str, ...] = ()
    """Columns for which an index was made."""
    bytes_before: int = 0
    """Of the folder, without the copies of sources."""
    bytes_after: int = 0


_NOTHING = Slept()


def sleep(
    writer: Writer,
    settings: MemorySettings,
    now_ns: int,
    summarise: Summariser | None = None,
    *,
    idle: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Slept:
    """Consolidates, forgets what has no room, makes indexes. Durable on return; may be cut off anywhere.

    idle: nothing is being recorded, so that indexes can be made of any number of rows; else only of so few that commits
    wait for seconds. stopped: asked between steps; what was applied by then counts. Raises `MnemeError` where the disk
    fails.
    """
    slept = _consolidate(writer, settings, Slept(bytes_before=measured(writer.root).total), summarise)
    if not stopped():
        slept = make_room(writer, settings, now_ns, slept, stopped=stopped)
    few = writer.rows(tables.PERCEPTS) <= _SOON
    if not stopped():
        slept = replace(slept, indexed=index(writer, late=not (idle or few)))
    give_back()
    return replace(slept, bytes_after=measured(writer.root).total)


def _consolidate(writer: Writer, settings: MemorySettings, slept: Slept, summarise: Summariser | None) -> Slept:
    recalled = recall_log.take(writer.root)
    for _ in range(_TRIES):
        made = plan(StoredSnapshot(writer.root, writer.database), settings, recalled, summarise)
        if made.changes.empty or _apply(writer, made.commit, (made.changes,)):
            recall_log.done(writer.root)
            return replace(slept, linked=made.linked, renewed=made.renewed, summarised=made.summarised)
    _log.warning("%s changes faster than it can be consolidated; the next sleep tries again", writer.root)
    return slept


def make_room(
    writer: Writer,
    settings: MemorySettings,
    now_ns: int,
    slept: Slept = _NOTHING,
    *,
    remove: Callable[[Writer, Sequence[str]], int] = pictures.remove,
    stopped: Callable[[], bool] = lambda: False,
) -> Slept:
    """Forgets what the budget has no room for, if there is one; what that came to, with what the sleep had come to.

    remove: removes the pictures that were forgotten, or sees to it, and gives their bytes. Else as `sleep`.
    """
    if settings.budget_mb is None:
        return slept
    budget = round(settings.budget_mb * 1e6)
    usage = measured(writer.root)
    if usage.peak <= PRESSING * budget:
        return slept
    writer.compact(history=False)
    usage = measured(writer.root, pictures=usage.thumbnails - pictures.remove_unnamed(writer))
    if usage.peak <= PRESSING * budget:
        return slept
    for _ in range(_ROUNDS):
        if usage.peak <= _AIM * budget or stopped():
            break
        going = _going(StoredSnapshot(writer.root, writer.database), settings, now_ns, usage, budget)
        if not going.steps:
            break
        if _apply(writer, going.commit, going.steps):
            slept = replace(
                slept,
                forgotten=slept.forgotten + going.percepts,
                thinned=slept.thinned + going.tokens,
                thumbnails=slept.thumbnails + len(going.thumbnails),
            )
        writer.compact(history=False)
        usage = measured(writer.root, pictures=usage.thumbnails - remove(writer, going.thumbnails))
    if usage.peak > budget:
        _log.warning("%s", _over(writer, usage, budget))
    give_back()
    return slept


def _going(snapshot: StoredSnapshot, settings: MemorySettings, now_ns: int, usage: Usage, budget: int) -> Forgetting:
    """What goes so that the peak is at `_AIM`; less where all else leaves percepts no room: it is not theirs to free.

    Where all else is above the aim they keep half of the room that it leaves; where it is above the budget, which then
    cannot be held whatever goes, `_KEPT`.
    """
    named = snapshot.rows(tables.PERCEPTS, ["id"], ["thumbnail IS NOT NULL"])
    rows = usage.by_table.get(tables.PERCEPTS, 0)
    other = max((size for name, size in usage.by_table.items() if name != tables.PERCEPTS), default=0)
    twice = 2 if rows >= other else 1  # the largest table counts twice in the peak

    def plan(free: float) -> Forgetting:
        return forgetting(snapshot, settings, now_ns, round(free), twice * rows, usage.thumbnails // max(1, len(named)))

    going = plan(usage.peak - _AIM * budget)
    loose = min(rows, going.rows_held // twice)
    least = usage.total - loose - going.pictures_held + max(rows - loose, other)  # the peak with no percept that may go
    if least <= _AIM * budget:
        return going
    kept = (budget - least) / 2 if least < budget else _KEPT * budget
    held = usage.peak - least
    return plan(held - kept if held > _ENOUGH * kept else 0)


def _over(writer: Writer, usage: Usage, budget: int) -> str:
    """What takes the room, and what to do about it, in a line."""
    parts = {f"table {name}": size for name, size in usage.by_table.items()}
    parts |= {"thumbnails": usage.thumbnails, "token state and logs": usage.rest}
    largest = max(parts, key=lambda name: (parts[name], name))
    needed = -(-usage.peak // 10**6)
    return (
        f"{writer.root} takes {usage.total / 1e6:.1f} MB, {usage.peak / 1e6:.1f} while it is compacted, and its budget "
        f"is {budget / 1e6:.1f} MB: most is {largest} ({parts[largest] / 1e6:.1f} MB), and what is left cannot be "
        f"forgotten; set [memory] budget_mb to {needed} or more, or forget streams (mneme forget)"
    )


def _apply(writer: Writer, commit: int, steps: tuple[Changes, ...]) -> bool:
    """Applies steps that were planned on a commit; False where rows that they touch may have changed since."""
    own: set[int] = set()
    for changes in steps:
        with writer.alone():
            since = writer.read(tables.LEDGER, f"commit > {commit}", ["commit", "kind"]).to_pylist()
            if any(row["commit"] not in own and row["kind"] not in _BESIDE for row in since):
                return False
            own.add(writer.apply("sleep", changes).commit)
    return True


class Sleeper:
    """Sleeps at a pace, in a thread of its own, as long as a memory is open for writing."""

    def __init__(self, sleep: Callable[[Callable[[], bool]], Any], every_s: float) -> None:
        """sleep: called with what it asks whether it shall stop."""
        self._sleep = sleep
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mneme-sleep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after the step that it is at."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._sleep(self._stop.is_set)
            except MnemeError as error:
                _log.warning("sleep was cut short and will be tried again: %s", error)
            except Exception:  # whatever it was, the memory goes on and so do its nights
                _log.exception("sleep failed and will be tried again")
