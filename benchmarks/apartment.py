"""An apartment that is lived in: twelve rooms, sixty objects that are moved about, one room that is visited twice only.

python -m benchmarks.apartment [--seed S] [--hours H | --minutes M] [--only percepts|pixels] [--posed] [--fps F]
                               [--json] [--keep DIR]

What is measured: "where is X" and "where was X before" of every object, against where it was seen last and in which
room before that; and what is still known of the rare room when percepts are left a tenth of their disk, beside a
memory of as many percepts that keeps the newest (FIFO).

Fed in two ways, and judged alike:
- as percepts in the world's words: what is wrong is not perception's fault. With `--posed` the percepts do not name
  their rooms, the camera's poses do.
- from pixels (`from_pixels`): one picture a second of 128 x 128, seen by the shipped eye (profile `towers`), and the
  narration as subtitles; no sounds, and signs are not read. What a room is called only the eye says. Each picture comes
  with the camera's pose, as from a robot or a headset, or without one (`--unposed`), as from a phone: then the memory
  knows of no places, and nothing keeps the rare room's share of the disk.

`named` is the share of the questions whose moments have a sight that names the thing as it is asked for, and `faults`
(`apartment_questions`) says of the wrong answers how many are perception's fault.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import mneme
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.tables import PERCEPTS
from mneme.memory.usage import bytes_in, measured
from mneme.records import Percept, to_s

from .apartment_questions import Asked, ask_all, faults, named, questions, shares
from .controls import asker
from .machine import machine
from .world.film import watch_film
from .world.percepts import remember
from .world.story import Story, draw_story

ROOM_COUNT, OBJECTS = 12, 60
SHARE = 0.1
"""Of their disk that is left to the percepts when the rare room is asked for."""
AIM = 0.8
"""Share of its budget that sleep leaves full."""
SIDE, FPS = 128, 1.0
"""Of the pictures: pixels a side, and how many a second."""


def draw_apartment(seed: int, minutes: float) -> Story:
    """The story of the apartment."""
    return draw_story(seed, minutes, rooms=ROOM_COUNT, objects=OBJECTS, rare=True)


def newest(folder: Path, count: int) -> Callable[[Percept], bool]:
    """Keeps the newest percepts, so many of them."""
    with Memory.open(folder) as memory:
        listed = sorted(memory.snapshot().percepts(), key=lambda p: p.t0_ns)
    kept = {p.id for p in listed[max(0, len(listed) - count) :]}
    return lambda percept: percept.id in kept


def measure(story: Story, folder: Path, *, posed: bool = False) -> dict[str, Any]:
    """Makes the memory of an apartment from percepts in `folder` and asks it; the figures, ready for JSON."""
    memory = folder / "apartment.mneme"
    return about(story) | {"posed": posed} | examine(story, memory, lambda: remember(story, memory, posed=posed))


def measure_pixels(story: Story, folder: Path, *, posed: bool = True, fps: float = FPS) -> dict[str, Any]:
    """The same from pixels."""
    memory = folder / "apartment_pixels.mneme"
    fed = {"posed": posed, "fps": fps, "side": SIDE}
    return fed | examine(story, memory, lambda: watch_film(story, memory, fps=fps, side=SIDE, posed=posed))


def about(story: Story) -> dict[str, Any]:
    """What was measured, and on which machine."""
    return {"machine": machine(), "seed": story.seed, "hours": to_s(story.length_ns) / 3600}


def examine(story: Story, memory: Path, make: Callable[[], None]) -> dict[str, Any]:
    """Has the memory made, and asks it after a sleep on a budget, as it is, and cut down to the newest.

    It sleeps before it was ever asked: what is recalled is kept, and the questions would say what to keep.
    """
    started = time.perf_counter()
    make()
    made_s = time.perf_counter() - started
    asked = questions(story)
    slept = asleep(memory, asked)
    with mneme.open(memory) as opened:
        judged = ask_all(opened.ask, asked)
        places = opened.places()
        report = opened.check()
    with Memory.open(memory) as read:
        sights = read.snapshot().percepts(lanes=("vision",))
    milliseconds = sorted(each.answer.timings_ms["total"] for each in judged)
    keeps = newest(memory, slept["percepts"])
    fifo = asker(memory, lambda _question: keeps)
    return {
        "sound": report.ok,
        "percepts": report.percepts,
        "events": report.events,
        "places": len(places),
        "bytes": bytes_in(memory),
        "made_s": round(made_s, 1),
        "ask_ms": {"median": milliseconds[len(milliseconds) // 2], "most": milliseconds[-1]},
        "named": named(sights, asked),
        "right": shares(judged),
        "faults": faults(sights, judged),
        "slept": slept,
        "fifo": {
            "percepts": slept["percepts"],
            "right": shares(ask_all(lambda text: fifo({"question": text}, None), asked)),
        },
        "wrong": [
            {"question": e.asked.text, "expected": e.asked.accept[:3], "got": e.answer.text[:200]}
            for e in judged if not e.right
        ],
    }  # fmt: skip


def asleep(memory: Path, asked: Sequence[Asked]) -> dict[str, Any]:
    """A copy of the memory, put on a budget by sleep that leaves its percepts a tenth of their bytes, and asked.

    A percept's bytes are its row and its thumbnail. What sleep does not forget (gists, long-term memory, places,
    summaries) is counted as it is; a budget has to hold what compaction writes anew before the old goes, and sleep
    aims below it.
    """
    copy = memory.with_name("slept.mneme")
    shutil.copytree(memory, copy)  # with the files' times: by them old token state is known from what is being written
    with Memory.open(copy, "w", settings=MemorySettings(budget_mb=bytes_in(memory) / 1e6)) as opened:
        opened.sleep()  # old versions go first
    before = measured(copy)
    rows = before.by_table[PERCEPTS]
    left = {**before.by_table, PERCEPTS: round(SHARE * rows)}
    budget = replace(before, by_table=left, thumbnails=round(SHARE * before.thumbnails)).peak / AIM
    with Memory.open(copy, "w", settings=MemorySettings(budget_mb=budget / 1e6)) as opened:
        slept = opened.sleep()
    after = measured(copy)
    with mneme.open(copy) as asleep_now:
        judged = ask_all(asleep_now.ask, asked)
        report = asleep_now.check()
    shutil.rmtree(copy)
    return {
        "budget": round(budget),
        "bytes": {"before": before.total, "after": after.total},
        "bytes_of_percepts": {"before": rows + before.thumbnails, "after": after.by_table[PERCEPTS] + after.thumbnails},
        "sound": report.ok,
        "percepts": report.percepts,
        "forgotten": slept.forgotten if slept is not None else 0,
        "right": shares(judged),
    }


def show(result: dict[str, Any]) -> None:
    """Prints the shares that are right, from percepts and from pixels side by side, and what is wrong."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    fed = {"percepts": result, "pixels": result.get("from_pixels", {})}
    fed = {name: figures for name, figures in fed.items() if "right" in figures}
    table = Table("", title=f"right, seed {result['seed']}, {result['hours']:.2f} h, {result['machine']}")
    for name in fed:
        for title in (f"from {name}", "at a tenth", "FIFO", "named"):
            table.add_column(title)
    for kind, share in next(iter(fed.values()))["right"].items():
        row = []
        for figures in fed.values():
            rights = (figures["right"], figures["slept"]["right"], figures["fifo"]["right"])
            row += [f"{right[kind]['right']:.3f}" for right in rights]
            row.append(f"{figures['named'][kind]:.3f}" if kind in figures["named"] else "-")
        table.add_row(f"{kind} ({share['asked']})", *row)
    console.print(table)
    for name, figures in fed.items():
        slept = figures["slept"]
        sizes = slept["bytes_of_percepts"]
        console.print(
            f"from {name}: {figures['percepts']} percepts, {figures['events']} events, {figures['places']} places, "
            f"made in {figures['made_s']} s, asked in {figures['ask_ms']['median']:.0f} ms (median); "
            f"asleep {slept['percepts']} percepts in {sizes['after'] / sizes['before']:.3f} of their bytes; "
            f"wrong: {figures['faults'] or 'nothing'}"
        )
        for miss in figures["wrong"]:
            console.print(f"  {miss['question']} {', '.join(miss['expected'])}: {miss['got']}", style="dim")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--minutes", type=float, help="instead of --hours")
    parser.add_argument("--only", choices=("percepts", "pixels"), help="feed it in this way alone")
    parser.add_argument("--posed", action="store_true", help="places from poses, not from the percepts' own words")
    parser.add_argument("--unposed", action="store_true", help="pictures without the camera's poses")
    parser.add_argument("--fps", type=float, default=FPS, help="pictures a second of the story")
    parser.add_argument("--keep", type=Path, help="keep the memories in this folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    story = draw_apartment(given.seed, given.minutes or 60 * given.hours)
    result = about(story)
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        if given.only != "pixels":
            result |= measure(story, Path(folder), posed=given.posed)
        if given.only != "percepts":
            result["from_pixels"] = measure_pixels(story, Path(folder), posed=not given.unposed, fps=given.fps)
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
