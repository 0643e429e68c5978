"""Makes a video of the synthetic world with its truth: `python examples/make_sample.py --seed 3 --out DIR`.

The committed sample: `--seed 5 --out examples/sample --name harbour_day --tour --fps 20 --crf 28`. It needs espeak-ng.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `benchmarks` is no installed package

from rich.progress import Progress

from benchmarks.vlogs.plan import draw_plan
from benchmarks.vlogs.video import build
from benchmarks.vlogs.voice import Espeak

TOUR = ("harbour", "market", "bakery", "workshop", "harbour", "library", "garden", "beach")
"""A day in a small town by the sea, from the quay and back to it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--slides", type=int, default=0, help="slides of a talk inside the video")
    parser.add_argument("--name", default="", help="file name without its ending (vlog_SEED)")
    parser.add_argument("--subtitles", help="file name of the subtitles (NAME.srt)")
    parser.add_argument("--tour", action="store_true", help="the places of the committed sample")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--crf", type=int, default=27, help="x264's constant rate factor: lower is better and larger")
    given = parser.parse_args()
    places = TOUR if given.tour else ()
    plan = draw_plan(given.seed, Espeak(), given.minutes, given.slides, given.name, places)
    with Progress() as progress:
        task = progress.add_task(f"drawing {plan.name}")
        path = build(
            plan,
            given.out,
            fps=given.fps,
            crf=given.crf,
            subtitles_name=given.subtitles,
            on_frame=lambda done, total: progress.update(task, completed=done, total=total),
        )
    size_mb = sum(file.stat().st_size for file in given.out.iterdir()) / 1e6
    print(f"{path}: {plan.duration_s:.1f} s, {len(plan.shots)} shots; {given.out} holds {size_mb:.1f} MB")


if __name__ == "__main__":
    main()
