"""A world that nobody has seen: makes its video, watches it, asks, and prints how right the answers are.

python -m benchmarks.world_qa [--seed S] [--minutes M] [--fps F] [--json] [--keep DIR] [--no-controls]

Beside the memory stand its controls, all with the same reasoner: the last 4 frames, uniform and reservoir samples of
as many frames as the memory has percepts, the oracle, no memory, and `perfect senses`: a memory filled with the world's
own words, whose faults are the reasoner's and not perception's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mneme
from mneme.records import to_s

from .controls import asker, controls
from .machine import machine
from .scoring import Boundaries, Question, Verdict, score, score_boundaries
from .vlog import ask_all, by_category
from .watching import watch_apart
from .world.percepts import remember
from .world.quiz import draw_questions
from .world.story import Story, draw_story
from .world.video import describe, write_world


def measure(story: Story, folder: Path, fps: int = 10, with_controls: bool = True) -> dict[str, Any]:
    """Makes, watches and asks one world in `folder`; the figures, ready for JSON."""
    questions = draw_questions(story)
    started = time.perf_counter()
    video = write_world(story, folder, questions, fps=fps)
    made_s = time.perf_counter() - started
    memory = folder / "world.mneme"
    watching = watch_apart(video, memory, video.with_suffix(".srt"), profile="towers")
    verdicts, recall_ms = ask_memory(memory, questions)
    with mneme.open(memory) as opened:
        found_s = sorted(to_s(event.t0_ns) for event in opened.events(watching.stream))[1:]
    boundaries = score_boundaries(found_s, describe(story, video.name, questions, fps, 0))
    result: dict[str, Any] = {
        "machine": machine(),
        "seed": story.seed,
        "minutes": to_s(story.length_ns) / 60,
        "accuracy": accuracy(verdicts),
        "by_category": by_category(verdicts),
        "by_kind": by_kind(questions, verdicts),
        "refused_wrongly": sum(v.refused and v.answerable for v in verdicts),
        "boundaries": _boundaries(boundaries),
        "watched_at_times_real_time": watching.realtime_factor,
        "made_at_times_real_time": to_s(story.length_ns) / made_s,
        "recall_ms_median": sorted(recall_ms)[len(recall_ms) // 2] if recall_ms else None,
        "percepts": watching.percepts,
        "memory_mb": watching.bytes / 1e6,
        "wrong": [_wrong(v) for v in verdicts if not v.right],
        "controls": {},
    }
    if with_controls:
        result["controls"] = ask_controls(memory, questions)
        perfect = folder / "perfect.mneme"
        remember(story, perfect)
        seen, _ = ask_memory(perfect, questions)
        result["controls"]["perfect senses"] = accuracy(seen)
        result["perfect_senses"] = {
            "by_category": by_category(seen),
            "by_kind": by_kind(questions, seen),
            "wrong": [_wrong(v) for v in seen if not v.right],
        }
    return result


def ask_memory(memory: Path, questions: Sequence[Question]) -> tuple[list[Verdict], list[float]]:
    """(a verdict a question, milliseconds of each recall)"""
    with mneme.open(memory) as opened:
        answers = ask_all(lambda question, _picture: opened.ask(question), questions, memory)
    return score(questions, answers), [a.timings_ms["recall"] for a in answers[1:] if "recall" in a.timings_ms]


def ask_controls(memory: Path, questions: Sequence[Question]) -> dict[str, float]:
    """control -> accuracy; the oracle is handed all that an answer needs, not only what it must cite."""
    found = {}
    for name, keeps_for in controls(memory):
        answer = asker(memory, keeps_for)
        given = [answer(dict(q) | {"evidence": q["support"]}, None) for q in questions]
        found[name.split(" (")[0]] = accuracy(score(questions, given))
    return found


def accuracy(verdicts: Sequence[Verdict]) -> float:
    """Share of right answers."""
    return sum(v.right for v in verdicts) / max(len(verdicts), 1)


def by_kind(questions: Sequence[Question], verdicts: Sequence[Verdict]) -> dict[str, tuple[int, int]]:
    """kind of question -> (right, asked)"""
    counts: dict[str, tuple[int, int]] = {}
    for question, verdict in zip(questions, verdicts, strict=True):
        right, asked = counts.get(question["kind"], (0, 0))
        counts[question["kind"]] = (right + verdict.right, asked + 1)
    return counts


def _boundaries(found: Boundaries) -> dict[str, float]:
    return {"precision": found.precision, "recall": found.recall, "f1": found.f1}


def _wrong(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.id, "question": verdict.question, "expected": verdict.expected, "got": verdict.got,
        "cited_s": verdict.spans_s[:2],
    }  # fmt: skip


def show(result: Mapping[str, Any]) -> None:
    """Prints the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    perfect = result.get("perfect_senses", {})
    table = Table("", "watched", "perfect senses", title=f"right / asked, seed {result['seed']} · {result['machine']}")
    for group in ("by_category", "by_kind"):
        for name, (right, asked) in result[group].items():
            ideal = perfect.get(group, {}).get(name)
            table.add_row(name, f"{right} / {asked}", f"{ideal[0]} / {ideal[1]}" if ideal else "-")
        table.add_section()
    table.add_row("all", f"{result['accuracy']:.2f}", style="bold")
    console.print(table)
    for name, right in result["controls"].items():
        console.print(f"{name}: {right:.2f}")
    console.print(
        f"watched at {result['watched_at_times_real_time']:.1f}x real time, "
        f"boundaries F1 {result['boundaries']['f1']:.2f}, {result['percepts']} percepts"
    )
    misses = Table("question", "expected", "got", title="wrong", show_lines=True)
    for miss in result["wrong"]:
        misses.add_row(miss["question"], miss["expected"], miss["got"])
    console.print(misses)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fps", type=int, default=10, help="of the video")
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep the video and the memories in this folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        result = measure(draw_story(given.seed, given.minutes), Path(folder), given.fps, not given.no_controls)
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
