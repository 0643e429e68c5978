"""Watches every video of a folder that has a truth file, asks its questions, and prints how right the answers are.

python -m benchmarks.vlog FOLDER [--no-subtitles] [--json] [--keep DIR] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mneme.errors import MnemeError
from mneme.records import Answer, to_s

from .controls import asker, controls
from .machine import machine
from .scoring import Boundaries, Question, Truth, Verdict, is_within, score, score_boundaries, voice_of
from .watching import ROOT, Watching, watch_apart

Ask = Callable[[str, Path | None], Answer]
"""(question, picture) -> answer: a memory, or a control in its place."""

SPEECH = frozenset(("speech-when", "speech-what"))


@dataclass(slots=True)
class Report:
    """What one video showed."""

    name: str
    watching: Watching
    """All lanes on, with the subtitles if there are some."""
    boundaries: Boundaries
    verdicts: list[Verdict]
    recall_ms: list[float]
    subtitled: bool
    heard: dict[str, list[Verdict]] = field(default_factory=dict)
    """From sound alone: `human` and `synthetic`, the speech questions by whose voice bears them out."""
    watching_heard: Watching | None = None
    watching_senses: Watching | None = None
    """Vision and sound only."""
    cold_ask_s: float | None = None
    controls: dict[str, tuple[int, int]] = field(default_factory=dict)
    """control -> (right, asked) within scope."""


def find_videos(folder: Path) -> list[tuple[Path, Truth, Path | None]]:
    """(video, truth, subtitles) of every truth file of a folder, in order of names."""
    found: list[tuple[Path, Truth, Path | None]] = []
    for path in sorted(folder.glob("*.json")):
        truth = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(truth, dict) and "questions" in truth and (folder / truth.get("file", "?")).is_file():
            found.append((folder / truth["file"], truth, find_subtitles(folder / truth["file"])))
    return found


def find_subtitles(video: Path) -> Path | None:
    """`<name>.srt`, `subs_<name>.srt` or, for `vlog_<x>`, `subs_<x>.srt`, beside the video."""
    name = video.stem
    names = (f"{name}.srt", f"subs_{name}.srt", f"subs_{name.removeprefix('vlog_')}.srt")
    return next((video.parent / n for n in names if (video.parent / n).is_file()), None)


def ask_all(ask: Ask, questions: Iterable[Question], folder: Path) -> list[Answer]:
    """Every question through `ask`; an error that a user could mend is an answer that is wrong."""
    answers = []
    for question in questions:
        picture = folder / question["image"] if question.get("image") else None
        try:
            answers.append(ask(question["question"], picture))
        except MnemeError as error:
            answers.append(Answer(f"error: {error}", abstained=False, confidence=0.0))
    return answers


def measure(video: Path, truth: Truth, subtitles: Path | None, memories: Path, hear: bool) -> Report:
    """Watches a video (three times: everything, from sound alone, vision and sound only) and asks all its questions.

    `hear` False leaves the second and third watch out.
    """
    import mneme

    whole = memories / f"{video.stem}.mneme"
    watching = watch_apart(video, whole, subtitles or False)
    with mneme.open(whole) as memory:
        found_s = sorted(to_s(event.t0_ns) for event in memory.events(watching.stream))[1:]
        answers = ask_all(lambda q, picture: memory.ask(q, image=picture), truth["questions"], video.parent)
    report = Report(
        name=video.stem,
        watching=watching,
        boundaries=score_boundaries(found_s, truth),
        verdicts=score(truth["questions"], answers),
        recall_ms=[a.timings_ms["recall"] for a in answers[1:] if "recall" in a.timings_ms],
        subtitled=subtitles is not None,
        cold_ask_s=time_cold_ask(whole, truth["questions"][0]["question"]),
    )
    within = [q for q in truth["questions"] if is_within(q)]
    for name, keeps_for in controls(whole):
        answer = asker(whole, keeps_for)
        given = [answer(q, video.parent / q["image"] if q.get("image") else None) for q in within]
        report.controls[name.split(" (")[0]] = (sum(v.right for v in score(within, given)), len(within))
    if hear and subtitles is not None:
        alone = memories / f"{video.stem}.alone.mneme"
        report.watching_heard = watch_apart(video, alone, subtitles=False)
        spoken = [q for q in truth["questions"] if q["category"] in SPEECH and is_within(q)]
        with mneme.open(alone) as memory:
            answers = ask_all(lambda q, picture: memory.ask(q, image=picture), spoken, video.parent)
        report.heard = {"human": [], "synthetic": []}
        for question, verdict in zip(spoken, score(spoken, answers), strict=True):
            report.heard[voice_of(question, truth)].append(verdict)
    if hear:
        senses = memories / f"{video.stem}.senses.mneme"
        report.watching_senses = watch_apart(video, senses, subtitles=False, lanes=("vision", "sound"))
    return report


def time_cold_ask(memory: Path, question: str) -> float | None:
    """Seconds of `mneme ask` in a fresh process, the better of two; None where it fails."""
    command = [sys.executable, "-m", "mneme", "ask", question, "--memory", str(memory), "--json"]
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            return None
        taken.append(time.perf_counter() - start)
    return min(taken)


def by_category(verdicts: Iterable[Verdict]) -> dict[str, tuple[int, int]]:
    """category -> (right, total)"""
    counts: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        counts[verdict.category].append(verdict.right)
    return {category: (sum(rights), len(rights)) for category, rights in counts.items()}


def refusals(verdicts: Sequence[Verdict]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(refused, total) of the unanswerable and of the answerable questions within scope."""
    within = [v for v in verdicts if v.within]
    parts = ([v.refused for v in within if v.answerable is answerable] for answerable in (False, True))
    unanswerable, answerable = ((sum(part), len(part)) for part in parts)
    return unanswerable, answerable


def show(reports: Sequence[Report]) -> None:
    """Prints the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    within, apart = ([v for v in verdicts if v.within is side] for side in (True, False))
    table = Table("category", "within scope", "needs sight or hearing", title=f"right / asked · {machine()}")
    right, beyond = by_category(within), by_category(apart)
    for category in dict.fromkeys(v.category for v in verdicts):
        table.add_row(category, _ratio(right.get(category)), _ratio(beyond.get(category)))
    table.add_row("all", _ratio(_total(right)), _ratio(_total(beyond)), style="bold")
    console.print(table)
    unanswerable, answerable = refusals(verdicts)
    console.print(f"refused within scope: unanswerable {_ratio(unanswerable)}, answerable {_ratio(answerable)}")
    console.print(_control_table(reports, by_category(within), Table))
    console.print(_speed_table(reports, Table))
    heard = {voice: [v for report in reports for v in report.heard.get(voice, ())] for voice in ("human", "synthetic")}
    if any(heard.values()):
        counts = ", ".join(
            f"{voice} voices {_ratio((sum(v.right for v in vs), len(vs)))}" for voice, vs in heard.items()
        )
        console.print(f"speech questions from sound alone: {counts}")
    for title, wrong in (
        ("wrong, within scope", [v for v in within if not v.right]),
        ("wrong, needs sight or hearing", [v for v in apart if not v.right]),
        *((f"wrong from sound alone, {voice} voices", [v for v in vs if not v.right]) for voice, vs in heard.items()),
    ):
        if wrong:
            misses = Table(
                "id", "question", "expected", "got", "evidence", title=f"{title} ({len(wrong)})", show_lines=True
            )
            for v in wrong:
                cited = ", ".join(f"{a:.1f}-{b:.1f}" for a, b in v.spans_s[:3])
                misses.add_row(v.id, v.question, v.expected, v.got, cited)
            console.print(misses)


def _control_table(reports: Sequence[Report], right: dict[str, tuple[int, int]], table_of: Any) -> Any:
    """The memory beside its controls, within scope, by the same reasoner."""
    table = table_of("handed to the reasoner", "right / asked", title="controls, within scope")
    table.add_row("the memory", _ratio(_total(right)), style="bold")
    for name, count in control_totals(reports).items():
        table.add_row(name, _ratio(count))
    return table


def control_totals(reports: Sequence[Report]) -> dict[str, tuple[int, int]]:
    """control -> (right, asked) over all videos."""
    totals: dict[str, tuple[int, int]] = {}
    for report in reports:
        for name, (right, asked) in report.controls.items():
            before = totals.get(name, (0, 0))
            totals[name] = (before[0] + right, before[1] + asked)
    return totals


def _speed_table(reports: Sequence[Report], table_of: Any) -> Any:
    columns = (
        "video",
        "boundaries P / R / F1",
        "all lanes",
        "from sound alone",
        "vision + sound",
        "peak MB",
        "memory MB",
    )
    table = table_of(*columns, "cold ask s", "recall ms", title="boundaries within 1 s; speeds in times real time")
    for r in reports:
        b = r.boundaries
        peak = max(w.peak_mb for w in (r.watching, r.watching_heard, r.watching_senses) if w is not None)
        table.add_row(
            r.name,
            f"{b.precision:.2f} / {b.recall:.2f} / {b.f1:.2f}",
            *(f"{w.realtime_factor:.1f}" if w else "-" for w in (r.watching, r.watching_heard, r.watching_senses)),
            f"{peak:.0f}",
            f"{r.watching.bytes / 1e6:.1f}",
            f"{r.cold_ask_s:.1f}" if r.cold_ask_s is not None else "-",
            f"{statistics.median(r.recall_ms):.0f} (most {max(r.recall_ms):.0f})" if r.recall_ms else "-",
        )
    return table


def _total(counts: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(right for right, _ in counts.values()), sum(total for _, total in counts.values())


def _ratio(count: tuple[int, int] | None) -> str:
    return f"{count[0]} / {count[1]}" if count and count[1] else "-"


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """Everything, for a machine to read."""
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    unanswerable, answerable = refusals(verdicts)
    return {
        "machine": machine(),
        "within": by_category(v for v in verdicts if v.within),
        "apart": by_category(v for v in verdicts if not v.within),
        "refused": {"unanswerable": unanswerable, "answerable": answerable},
        "controls": control_totals(reports),
        "f1": {report.name: report.boundaries.f1 for report in reports},
        "reports": [asdict(report) for report in reports],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--no-subtitles", action="store_true", help="ask everything of what was heard, one watch a video"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one watch a video: no pass from sound alone, no speed pass"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep the memories in this folder")
    parser.add_argument("--only", default="", help="videos whose name holds this")
    given = parser.parse_args()
    videos = [found for found in find_videos(given.folder) if given.only in found[0].stem]
    if not videos:
        print(
            f"{given.folder} holds no video with a truth file; give a folder laid out as examples/sample",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        memories = given.keep or Path(scratch)
        memories.mkdir(parents=True, exist_ok=True)
        hear = not (given.no_subtitles or given.quick)
        reports = []
        for video, truth, subtitles in videos:
            print(f"watching {video.name} ...", file=sys.stderr)
            reports.append(measure(video, truth, None if given.no_subtitles else subtitles, memories, hear))
    if given.json:
        print(json.dumps(as_json(reports), indent=1))
    else:
        show(reports)
    return 0


if __name__ == "__main__":
    sys.exit(main())
