"""Watches the sample, asks it five questions of different kinds, and shows each answer with the seconds it rests on.

Run by `make demo`. Ends with 1 if an answer disagrees with the sample's truth file.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `benchmarks` is no installed package

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import mneme
from benchmarks.scoring import judge
from mneme.records import Answer, to_s

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "sample"
MEMORY = ROOT / ".demo" / "harbour_day.mneme"
DEMO_IDS = ("harbour_day_q09", "harbour_day_q15", "harbour_day_q47", "harbour_day_q50", "harbour_day_q60")
"""Of the sample's truth: something said, something written, what came after, a picture, and what was never said."""


def main() -> int:
    console = Console()
    truth = json.loads((SAMPLE / "harbour_day.json").read_text(encoding="utf-8"))
    video = SAMPLE / truth["file"]
    shutil.rmtree(MEMORY, ignore_errors=True)
    wrong = 0
    with mneme.open(MEMORY, profile="embedded") as memory:
        bar = Progress(TextColumn("watching {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                       TimeRemainingColumn(), console=console)  # fmt: skip
        with bar:
            task = bar.add_task(video.name, total=truth["duration_s"])
            watched = memory.watch(video, progress=lambda seen: bar.update(task, completed=to_s(seen.t_ns)))
        console.print(
            f"{watched.duration_s:.0f} s of video became {watched.events} events and {watched.percepts} percepts, "
            f"{watched.bytes / 1e6:.1f} MB, at {watched.realtime_factor:.1f} times real time.\n"
        )
        for question in (q for q in truth["questions"] if q["id"] in DEMO_IDS):
            picture = SAMPLE / question["image"] if question.get("image") else None
            start = time.perf_counter()
            answer = memory.ask(question["question"], image=picture)
            right = judge(question, answer).right
            wrong += not right
            asked = question["question"] + (f" [dim]({picture.name})[/dim]" if picture else "")
            console.print(
                Panel(
                    describe(answer),
                    title=f"[bold]{asked}",
                    title_align="left",
                    subtitle=f"{'right' if right else 'WRONG: ' + question['answer']} · "
                    f"{(time.perf_counter() - start) * 1000:.0f} ms",
                    subtitle_align="right",
                    border_style="green" if right else "red",
                )
            )
    console.print(f"{len(DEMO_IDS) - wrong} of {len(DEMO_IDS)} answers agree with the truth. The memory: {MEMORY}")
    return 1 if wrong else 0


def describe(answer: Answer) -> str:
    """The answer, and the spans it cites on lines of their own."""
    cited = [
        f"  {stamp(to_s(e.t0_ns))}-{stamp(to_s(e.t1_ns))}  [dim]{e.lane}[/dim]  {e.text}" for e in answer.evidence[:2]
    ]
    return "\n".join([answer.text, *(line.replace("\n", " · ") for line in cited)])


def stamp(t_s: float) -> str:
    """m:ss"""
    return f"{int(t_s // 60)}:{int(t_s % 60):02d}"


if __name__ == "__main__":
    sys.exit(main())
