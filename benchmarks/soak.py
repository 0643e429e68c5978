"""`python -m benchmarks.soak`: a day of two cameras in accelerated time, and what it costs hour by hour.

python -m benchmarks.soak [--hours 24] [--fps 5] [--cameras 2] [--budget-mb 40] [--seed 0] [--json] [--keep DIR]

A walker goes among scenes that he comes back to; each camera sees the scene he is in from its own side, a little other
every time. What the cameras see goes through a real recorder into a real memory with a disk budget, which sleeps every
hour of the stream. For each hour: resident memory, bytes on the disk, milliseconds a frame (all commits, compactions
and pressing forgetfulness within), commits. `grows_mib_an_hour` is the slope of resident memory from hour 2 on;
`last_to_third_hour_paced` is the ratio with the machine's own speed taken out, by what it takes to draw a frame.
`paced_commits_a_second` leaves out those that close an event, which are made at once (there are many in a fast day).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mneme.encoders.base import unit
from mneme.memory.allocator import steady_allocator
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.usage import bytes_in
from mneme.records import NS_PER_S, Moment, Percept, Space, Stream

from .machine import machine

DIM, SCENES, PIXELS = 384, 200, 48
SWAY, STEADY = 0.5, 0.98
"""How far a sight strays from its scene, against the scene's length, and how much of that stays from frame to frame: a
camera that moves about sees something new (a cosine under 0.9) every seven seconds or so."""
HOUR_NS = 3600 * NS_PER_S
COLOURS = ("red", "blue", "green", "yellow", "black", "white")
THINGS = ("mug", "book", "lamp", "chair", "box", "clock", "plant", "shoe", "bag", "ball")
ROOMS = ("kitchen", "hall", "garage", "library", "garden", "cellar", "office", "attic")


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the stream."""

    hour: int
    resident_mib: float
    disk_mb: float
    frame_ms: float
    """Mean wall-clock time of taking in a frame of all cameras."""
    drawn_ms: float
    """Mean time of drawing one, which is the same work in every hour: what that takes is how fast the machine was."""
    commits: int
    seconds: float
    percepts: int
    """Rows that the memory holds."""
    events: int


def walk(seed: int, hours: float, fps: float, cameras: int, stream: str = "house") -> Iterator[Moment]:
    """The moments of the walk: a stay of 20 to 90 s in a scene, then another one, near ones and known ones rather."""
    draw = np.random.default_rng(seed)
    scenes = unit(draw.standard_normal((cameras, SCENES, DIM)))
    words = [_words(i) for i in range(SCENES)]
    pictures = draw.integers(0, 256, (SCENES, PIXELS // 8, PIXELS // 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    here, until_ns, k, view = 0, 0, 0, np.zeros((cameras, DIM))
    while (t_ns := round(k * NS_PER_S / fps)) < hours * HOUR_NS:
        new = t_ns >= until_ns
        if new:
            here = int(here + draw.integers(-3, 4)) % SCENES if draw.random() < 0.7 else int(draw.integers(SCENES))
            until_ns = t_ns + int(draw.uniform(20, 90) * NS_PER_S)
        view = STEADY * view + np.sqrt((1 - STEADY**2) / DIM) * draw.standard_normal((cameras, DIM))
        vectors = unit(scenes[:, here] + SWAY * view)
        t1_ns = round((k + 1) * NS_PER_S / fps)
        percepts = tuple(
            Percept(
                stream, "vision", t_ns, t1_ns, camera=f"camera{c}", space="scene", vector=vectors[c], text=words[here],
                origin="walk", picture=pictures[here], place=words[here].rpartition("; ")[2],
            )
            for c in range(cameras)
        )  # fmt: skip
        yield Moment(stream, t_ns, percepts, 1.0 if new else 0.02, -60.0, t_ns)
        k += 1


def soak(
    folder: Path, *, seed: int, hours: float, fps: float, cameras: int, budget_mb: float
) -> tuple[list[Hour], float]:
    """Each hour's figures, and the most bytes (MB) that the folder took at the end of any minute of the stream."""
    settings = MemorySettings(budget_mb=budget_mb)
    rows: list[Hour] = []
    most_mb, drawn = 0.0, 0.0
    with Memory.create(folder, "soak", [Space("scene", DIM, "walk")], settings=settings) as memory:
        recorder = memory.recorder(Stream("house", "walk", f"walk-{seed}", profile="soak"))
        frames, commits, spent, started = 0, 0, 0.0, time.perf_counter()
        end_ns = 0
        drawing = time.perf_counter()
        for moment in walk(seed, hours, fps, cameras):
            drawn += time.perf_counter() - drawing
            if moment.t_ns >= (len(rows) + 1) * HOUR_NS:
                slept = time.perf_counter()
                memory.sleep()
                spent += time.perf_counter() - slept
                rows.append(_hour(len(rows) + 1, memory, folder, spent, drawn, frames, commits, started))
                frames, commits, spent, drawn, started = 0, 0, 0.0, 0.0, time.perf_counter()
            before = time.perf_counter()
            commits += len(recorder.observe(moment))
            spent += time.perf_counter() - before
            frames += 1
            end_ns = moment.t_ns
            if moment.t_ns % (60 * NS_PER_S) < NS_PER_S / fps:
                most_mb = max(most_mb, bytes_in(folder) / 1e6)
            drawing = time.perf_counter()
        recorder.finish(end_ns + round(NS_PER_S / fps))
        if frames:
            rows.append(_hour(len(rows) + 1, memory, folder, spent, drawn, frames, commits, started))
        report = memory.check()
    if not report.ok:
        raise SystemExit(f"the memory does not hold what its format promises: {report.problems[:3]}")
    return rows, most_mb


def _hour(
    hour: int, memory: Memory, folder: Path, spent: float, drawn: float, frames: int, commits: int, started: float
) -> Hour:
    counts = memory.snapshot().count_rows()
    gc.collect()
    each_ms, drawn_ms = (round(1e3 * spent_s / max(frames, 1), 4) for spent_s in (spent, drawn))
    return Hour(
        hour, round(_resident_mib(), 1), round(bytes_in(folder) / 1e6, 2), each_ms, drawn_ms, commits,
        round(time.perf_counter() - started, 1), counts["percepts"], counts["events"],
    )  # fmt: skip


def figures(rows: Sequence[Hour], most_mb: float, budget_mb: float) -> dict[str, Any]:
    """What the issue asks for, of the hours."""
    late = [row for row in rows if row.hour > 2]
    slope = float(np.polyfit([r.hour for r in late], [r.resident_mib for r in late], 1)[0]) if len(late) > 1 else None
    third = next((row for row in rows if row.hour == 3), None)
    took_s = max(sum(row.seconds for row in rows), 1e-9)
    return {
        "grows_mib_an_hour": None if slope is None else round(slope, 3),
        "most_disk_mb": round(most_mb, 2),
        "within_budget": most_mb <= budget_mb,
        "last_to_third_hour": third and round(rows[-1].frame_ms / third.frame_ms, 3),
        "last_to_third_hour_paced": third and round(_paced(rows[-1]) / _paced(third), 3),
        "paced_commits_a_second": round((sum(row.commits for row in rows) - rows[-1].events) / took_s, 3),
    }


def _paced(row: Hour) -> float:
    """A frame's time in units of the time that drawing one took meanwhile."""
    return row.frame_ms / row.drawn_ms


def _words(scene: int) -> str:
    colour, thing = COLOURS[scene % len(COLOURS)], THINGS[scene % len(THINGS)]
    return f"a {colour} {thing}; {ROOMS[scene * len(ROOMS) // SCENES]}"


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each hour, and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--budget-mb", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the memory in this folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    steady_allocator()  # as the command line does
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        rows, most_mb = soak(
            Path(folder) / "soak.mneme", seed=given.seed, hours=given.hours, fps=given.fps, cameras=given.cameras,
            budget_mb=given.budget_mb,
        )  # fmt: skip
    found = {"machine": machine(), "seed": given.seed, "budget_mb": given.budget_mb} | figures(
        rows, most_mb, given.budget_mb
    )
    if given.json:
        print(json.dumps(found | {"hours": [asdict(row) for row in rows]}, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(*Hour.__dataclass_fields__)
    for row in rows:
        table.add_row(*map(str, asdict(row).values()))
    Console().print(table)
    Console().print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
