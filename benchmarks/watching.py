"""Watches one file in a process of its own, so that its peak memory is its own: prints one JSON object.

python -m benchmarks.watching SOURCE MEMORY [--subtitles FILE | --no-subtitles] [--lanes vision,sound]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Watching:
    """How a watch went."""

    stream: str
    duration_s: float
    events: int
    percepts: int
    realtime_factor: float
    bytes: int
    peak_mb: float
    """Largest resident memory of the process."""


def watch_apart(
    source: Path, memory: Path, subtitles: Path | bool | None, lanes: Sequence[str] = (), profile: str = "embedded"
) -> Watching:
    """Watches `source` into `memory` in a fresh process; raises RuntimeError with its last words if it fails."""
    command = [sys.executable, "-m", "benchmarks.watching", str(source.resolve()), str(memory.resolve())]
    command += ["--profile", profile]
    if isinstance(subtitles, Path):
        command += ["--subtitles", str(subtitles.resolve())]
    elif subtitles is False:
        command += ["--no-subtitles"]
    if lanes:
        command += ["--lanes", ",".join(lanes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"watching {source.name} failed: {done.stderr.strip()[-2000:]}")
    return Watching(**json.loads(done.stdout.strip().splitlines()[-1]))


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB.

    From /proc, since getrusage's figure is inherited from the parent through fork and exec.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    import mneme

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("memory")
    parser.add_argument("--subtitles")
    parser.add_argument("--no-subtitles", action="store_true")
    parser.add_argument("--lanes")
    parser.add_argument("--profile", default="embedded")
    given = parser.parse_args()
    options: dict[str, Any] = {"subtitles": False if given.no_subtitles else given.subtitles}
    if given.lanes:
        options["lanes"] = tuple(given.lanes.split(","))
    with mneme.open(given.memory, profile=given.profile) as memory:
        watched = memory.watch(given.source, **options)
    result = Watching(
        watched.stream, watched.duration_s, watched.events, watched.percepts, watched.realtime_factor, watched.bytes,
        peak_mb(),
    )  # fmt: skip
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
