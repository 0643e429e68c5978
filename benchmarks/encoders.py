"""`python -m benchmarks.encoders --seed S --json`: what the shipped towers find in worlds that they never saw.

Moments are drawn as hard as in training (`world/shots.py`: things from 8 of 64 pixels, 30% half hidden, a quarter at a
quarter of the brightness, blur, noise, up to two other things about), in looks of rooms that training had not. Each is
asked for by a sentence of a template that training had not, a third of its words replaced by synonyms that training
had not; it counts where it comes first of all moments, whose contents are distinct. `by_vector` compares one vector a
picture, the other figures its tokens too (`Eyes.agreement`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from mneme.encoders.eyes import Eyes
from mneme.encoders.hearing import Hearing
from mneme.encoders.text import MiniLM
from mneme.encoders.vision import Layout

from .world.captions import Draw, Scene, held_out, tell_scene
from .world.pairs import LOOKS
from .world.picture import Picture, Shot, draw_shot
from .world.shots import random_thing, shot_of
from .world.vocabulary import COLOURS, KINDS, ROOMS

Vectors = NDArray[np.float32]
SNR_DB = 10.0
TAKES = 40
"""Sounds of each class."""
SOUND_SEED = 3_000_000
"""Seeds of sounds begin far from those of training."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A picture, what is asked for it, and the picture of another visit."""

    shot: Shot
    picture: Picture
    question: str
    again: Picture


def moments(count: int, seed: int, only: Callable[[str, str, str], bool]) -> list[Moment]:
    """Moments of distinct content, each a combination of colour, kind and room for which `only` holds."""
    draw = np.random.default_rng([seed, 1])
    all_of = [(c, k, r) for c in COLOURS for k in KINDS for r in ROOMS if only(c, k, r)]
    chosen = [all_of[i] for i in draw.permutation(len(all_of))[:count]]
    asked = set(chosen)
    made = []
    for colour, kind, room in chosen:
        first = random_thing(draw, room, lambda c, k, _, colour=colour, kind=kind: (c, k) == (colour, kind))
        others = [
            random_thing(draw, room, lambda c, k, r: (c, k, r) not in asked)  # nothing else that is asked for
            for _ in range(int(draw.choice([0, 1, 2], p=[0.5, 0.3, 0.2])))
        ]
        look = LOOKS + int(draw.integers(10_000))
        shot = shot_of(draw, room, [first, *others], look=look)
        told = shot.scene.things[: 1 + int(bool(others) and draw.random() < 0.5)]
        question = tell_scene(Scene(room, told, shot.scene.light), draw, "held", most=len(told), full=0.0)
        picture = draw_shot(shot, seed=int(draw.integers(1 << 30)))
        made.append(Moment(shot, picture, question, _visit(shot, draw)))
    return made


def _visit(shot: Shot, draw: Draw) -> Picture:
    """The same things seen another time: the camera stands a little aside, the sensor and the light are others."""
    aside = float(draw.uniform(-0.06, 0.06))
    placed = tuple(replace(p, x=min(0.97, max(0.03, p.x - aside))) for p in shot.placed)
    pan = min(1.0, max(0.0, shot.pan + aside))
    night = shot.gain < 0.5
    other = replace(
        shot, placed=placed, pan=pan, noise=float(draw.uniform(1, 6)), blur=float(draw.uniform(0, 0.5)),
        gain=0.25 if night else float(draw.uniform(0.8, 1.05)),
    )  # fmt: skip
    return draw_shot(other, seed=int(draw.integers(1 << 30)))


def first_hits(queries: Vectors, vectors: Vectors) -> float:
    """The share of queries [n, d] whose own row of vectors [n, d] comes first."""
    return float(np.mean((queries @ vectors.T).argmax(axis=1) == np.arange(len(queries))))


def sound_top1(text: MiniLM, seed: int) -> float:
    """The share of sounds at 10 dB whose vector is nearest to the sentence about their own class."""
    from .train_sound import NAMES, draw_test, text_top1

    waves, labels = draw_test(seed + SOUND_SEED, TAKES, SNR_DB, seconds=2.0)
    known = labels < len(NAMES)
    return text_top1(Hearing().encode(waves).vectors[known], labels[known], text, seed)


def measure(seed: int, count: int) -> dict[str, float]:
    """Every figure, for worlds of this seed."""
    text, eyes, layout = MiniLM(), Eyes(), Layout()

    def found(made: Sequence[Moment]) -> tuple[float, float, Vectors]:
        seen = eyes.encode([m.picture for m in made])
        assert seen.tokens is not None
        asked = text.encode([m.question for m in made]).vectors
        matches = np.stack([eyes.agreement(query, seen.vectors, seen.tokens) for query in asked])
        own = np.arange(len(made))
        return float(np.mean(matches.argmax(axis=1) == own)), first_hits(asked, seen.vectors), seen.vectors

    any_of = moments(count, seed, lambda *_: True)
    text_r1, by_vector, vectors = found(any_of)
    unseen_r1, unseen_by_vector, _ = found(moments(count, seed, held_out))
    again = [m.again for m in any_of]
    plain = layout.encode([m.picture for m in any_of]).vectors
    return {
        "text_to_frame_r1": round(text_r1, 4),
        "unseen_combination_r1": round(unseen_r1, 4),
        "sound_top1": round(sound_top1(text, seed), 4),
        "revisit_r1": round(first_hits(eyes.encode(again).vectors, vectors), 4),
        "descriptor_r1": round(first_hits(layout.encode(again).vectors, plain), 4),
        "chance_r1": 1.0 / count,
        "text_to_frame_by_vector_r1": round(by_vector, 4),
        "unseen_combination_by_vector_r1": round(unseen_by_vector, 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="moments")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measure(options.seed, options.count)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            Console().print(f"{name:24} {figure:.3f}")


if __name__ == "__main__":
    main()
