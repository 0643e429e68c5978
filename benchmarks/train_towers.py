"""`python -m benchmarks.train_towers`: trains both towers that ship, on the world, and writes their weights.

python -m benchmarks.train_towers                                     # what was shipped
python -m benchmarks.train_towers --only image --shards 'laion/*.tar'  # one tower, on WebDataset shards of your own
python -m benchmarks.train_towers --minutes 2 --out /tmp/weights       # a trial

On one core the image tower takes two hours and three quarters, the sound tower half an hour beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import train_image, train_sound

SHIPPED: dict[str, dict[str, list[Any]]] = {
    "image": {"--minutes": [62], "--again": [50, 27], "--believed": [110_000], "--composing": [12]},
    "sound": {"--steps": [2500]},
}
"""How long what ships was trained."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains one tower after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_towers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(SHIPPED), help="one of them")
    parser.add_argument("--minutes", type=float, help="of each, in place of what was shipped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shards", help="a pattern of WebDataset shards, in place of the world; with --only")
    parser.add_argument("--out", type=Path, default=Path("encoders/weights"))
    options = parser.parse_args(arguments)
    if options.shards and not options.only:
        parser.error("--shards hold pictures or sounds: say which with --only image or --only sound")
    trainers = {"image": train_image.main, "sound": train_sound.main}
    for what in [options.only] if options.only else list(SHIPPED):
        long = SHIPPED[what] if options.minutes is None else {"--minutes": [options.minutes]}
        given: dict[str, list[Any]] = {
            **long,
            "--seed": [options.seed], "--threads": [options.threads], "--device": [options.device],
            "--out": [options.out],
        }  # fmt: skip
        words = [word for name, values in given.items() for word in (name, *map(str, values))]
        trainers[what](words + (["--shards", options.shards] if options.shards else []))


if __name__ == "__main__":
    main()
