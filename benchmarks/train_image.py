"""`python -m benchmarks.train_image`: trains the image tower on the world, and writes the weights that ship.

python -m benchmarks.train_image --minutes 62 --again 50 27 --believed 110000 --composing 12    # what was shipped
"""

from __future__ import annotations

import argparse
import glob
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mneme.encoders.image_graph import DIM
from mneme.encoders.image_tower import ImageTower
from mneme.encoders.shards import ShardPairs
from mneme.encoders.text import MiniLM
from mneme.encoders.train import EmbedTexts, PairSource, Point, TrainSettings, train

from .composing import believe, compose
from .vlogs.places import PLACES, paint
from .world.captions import Draw
from .world.pairs import NAMES, STRANGE, PicturePairs, phrase_texts, strange_pictures, told_scenes
from .world.picture import Picture
from .world.vocabulary import COLOURS, KINDS, ROOMS

log = logging.getLogger("train_image")
SCENES, SEED = 50_000, 77
FURTHER = (1.0, 0.6, 0.4)
"""The rate of the first, the second and each further round, in rates of the first."""
THERE, SURE = 0.2, 0.65
"""Chances from which a thing, and what it is, are claimed."""


def embed_all(texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Every sentence once, short ones together; minutes."""
    tower, known, started = MiniLM(), dict[str, NDArray[np.float32]](), time.monotonic()
    new = sorted(set(texts), key=lambda text: (len(text), text))
    for first in range(0, len(new), 256):
        part = new[first : first + 256]
        known.update(zip(part, tower.encode(part).vectors, strict=True))
        if first % 12_800 == 0:
            log.info("%d of %d sentences embedded, %.0f s", first, len(new), time.monotonic() - started)
    return known


@lru_cache(maxsize=128)
def _place(name: str, seed: int) -> Picture:
    return np.asarray(cv2.resize(paint(name, seed), (160, 90), interpolation=cv2.INTER_AREA), np.uint8)


def other_places(draw: Draw) -> Picture:
    """A part of a place of the video logs, which are another world."""
    names = tuple(PLACES)
    whole = _place(names[int(draw.integers(len(names)))], int(draw.integers(12)))
    side = int(draw.integers(40, 91))
    x, y = int(draw.integers(0, 161 - side)), int(draw.integers(0, 91 - side))
    return whole[y : y + side, x : x + side] if draw.random() < 0.5 else whole


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, and writes the curve as it goes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_image", description=__doc__)
    parser.add_argument("--minutes", type=float, default=62.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument(
        "--again", type=float, nargs="*", default=[], help="minutes of each further round, on more sentences"
    )
    parser.add_argument(
        "--start", type=Path, help="in place of the first round: the weights that it ended with (.partial)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("encoders/weights"))
    parser.add_argument("--shards", help="a pattern of WebDataset shards of picture-text pairs, in place of the world")
    parser.add_argument("--believed", type=int, default=60_000, help="pictures of the second lesson")
    parser.add_argument("--composing", type=float, default=4.0, help="minutes of the second lesson")
    parser.add_argument("--texts", type=Path, help="keep the sentences' vectors here between runs")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)

    if options.shards:
        _on_shards(options)
        return
    told = told_scenes(SCENES, SEED)
    more = told + told_scenes(SCENES, SEED + 1, asked=0.5)
    known = _embedded([sentence for each in more for sentence in each.sentences], options.texts)
    phrases = np.stack([known[text] for text in phrase_texts()]).reshape(len(COLOURS), len(KINDS), DIM)

    def embed(wanted: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([known[text] for text in wanted])

    strange = [strange_pictures, other_places]
    tower = _first_lesson(options, PicturePairs(told, phrases, strange), embed)
    for number, minutes in enumerate(options.again, 1):
        _train(tower, options, PicturePairs(more, phrases, strange), embed, number, minutes)
    beliefs = believe(tower, PicturePairs(more, phrases, strange), options.believed, options.seed + 1)
    compose(tower, beliefs, embed, minutes=options.composing, seed=options.seed)
    _keep(tower, options)


def _on_shards(options: argparse.Namespace) -> None:
    """Pairs of one's own have no truth about cells and rooms: the contrast alone teaches, in one lesson."""
    text = MiniLM()
    paths = [Path(path) for path in sorted(glob.glob(options.shards))]  # noqa: PTH207  it may be absolute
    _keep(_first_lesson(options, ShardPairs(paths), lambda texts: text.encode(texts).vectors), options)


def _first_lesson(options: argparse.Namespace, pairs: PairSource, embed: EmbedTexts) -> ImageTower:
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    tower = ImageTower(NAMES)
    if options.start:
        tower.load_state_dict(torch.load(options.start, weights_only=True))
    else:
        _train(tower, options, pairs, embed)
    return tower


def _train(
    tower: ImageTower,
    options: argparse.Namespace,
    pairs: PairSource,
    embed: EmbedTexts,
    again: int = 0,
    minutes: float | None = None,
) -> None:
    """A round from where the one before ended: the rate rises and falls anew, less high each time (warm restarts:
    Loshchilov and Hutter 2017)."""
    steps = None if again else options.steps
    settings = TrainSettings(
        steps=steps, minutes=None if steps else minutes or options.minutes, batch=options.batch,
        rate=options.rate * FURTHER[min(again, 2)], auxiliary=0.5, seed=options.seed + 100 * again,
        device=options.device,
    )  # fmt: skip
    with (options.out / "image_tower.curve.jsonl").open("a" if again else "w", encoding="utf-8") as curve:

        def note(point: Point) -> None:
            curve.write(json.dumps({k: round(v, 5) for k, v in asdict(point).items()}) + "\n")
            curve.flush()
            if point.step % 200 == 0:  # what there is, should the run be cut off
                torch.save(tower.state_dict(), options.out / "image_tower.partial")

        train(tower, pairs, embed, settings, note)
    tower.to("cpu")


def _keep(tower: ImageTower, options: argparse.Namespace) -> None:
    tower.eval()
    note = f"train_image, seed {options.seed}"
    tower.save(options.out / "image_tower.safetensors", there=THERE, sure=SURE, note=note)
    (options.out / "image_tower.partial").unlink(missing_ok=True)


def _embedded(sentences: Sequence[str], path: Path | None) -> dict[str, NDArray[np.float32]]:
    """The vectors of the sentences and of all else that is said, kept in `path` between runs."""
    texts = [*sentences, *phrase_texts(), *STRANGE, *(f"an empty {room}" for room in ROOMS)]
    known = _kept(path) if path else {}
    known |= embed_all([text for text in texts if text not in known])
    if path:
        np.savez(path, texts=np.array(list(known)), vectors=np.stack(list(known.values())).astype(np.float16))
    return known


def _kept(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.exists():
        return {}
    with np.load(path) as file:
        return dict(zip(file["texts"].tolist(), file["vectors"].astype(np.float32), strict=True))


if __name__ == "__main__":
    main()
