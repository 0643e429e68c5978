"""`python -m benchmarks.operators`: every operator beside its plain form, one thread and two.

python -m benchmarks.operators                    # all
python -m benchmarks.operators --only attend      # those whose name holds a word
python -m benchmarks.operators --video FILE       # ChangeGate on this video too, scaled to 720 lines
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..machine import machine
from . import affinity, merge, refine, separate
from .timing import Case, Timing, measure

SUITES: tuple[Callable[[], Iterator[Case]], ...] = (affinity.cases, merge.cases, refine.cases, separate.cases)


def row(timing: Timing) -> tuple[str, ...]:
    """One line of the table."""
    case = timing.case
    bare = "" if timing.bare_ms is None else f"{timing.bare_ms:.2f}"
    over = "" if timing.over_bare is None else f"{timing.over_bare:.2f}"
    asked = [f">= {case.at_least:g}x plain"] if case.at_least else []
    asked += [f"<= {case.at_most:g}x bare"] if case.at_most else []
    verdict = "" if not asked else "missed" if timing.missed else "met"
    return (
        case.name, str(timing.threads), f"{timing.ours_ms:.2f}", f"{timing.plain_ms:.2f}", bare,
        f"{timing.ratio:.1f}", over, ", ".join(asked), verdict,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--video", type=Path, action="append", default=[], help="a video for ChangeGate")
    options = parser.parse_args(arguments)
    console = Console(width=160, soft_wrap=True)
    console.print(f"Machine: {machine()}")
    table = Table("operator", "threads", "ours ms", "plain ms", "bare ms", "plain/ours", "ours/bare", "asked", "")
    for suite in SUITES:
        for case in suite():
            if options.only in case.name:
                for count in (1, 2):
                    table.add_row(*row(measure(case, count)))
    console.print(table)
    if options.only in "attend working memory":
        console.print("\n".join(affinity.working_memory()))
    for video in options.video or [separate.SAMPLE]:
        if options.only in "ChangeGate":
            console.print(separate.on_video(video))


if __name__ == "__main__":
    main()
