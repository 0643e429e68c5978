"""Pictures of the world with sentences about them: a source of pairs without end for the image tower."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mneme.encoders.image_graph import ATTRIBUTES, CELLS, SIDE
from mneme.encoders.image_tower import SIZES
from mneme.encoders.train import Batch

from .captions import Draw, Scene, Thing, a, tell_scene
from .picture import Picture, Shot, draw_shot
from .shots import random_thing, shot_of
from .vocabulary import ACTIONS, COLOURS, KINDS, MATERIALS, ROOMS

NAMES = {
    "kind": tuple(KINDS), "colour": tuple(COLOURS), "material": tuple(MATERIALS), "action": ("", *ACTIONS),
    "room": tuple(ROOMS),
}  # fmt: skip
LOOKS = 40
"""Looks of each room that training sees; tests take others."""
STRANGE = ("something unfamiliar", "an unknown place", "nothing that can be recognised", "a scene of some other kind")
"""What is said of pictures that are not of the world."""
SHARE_STRANGE, SHARE_EMPTY, SHARE_UNTOLD = 0.07, 0.03, 0.3

Strange = Callable[[Draw], Picture]
"""Draws a picture that is not of the world."""


@dataclass(frozen=True, slots=True)
class Told:
    """A scene and sentences about it."""

    scene: Scene
    sentences: tuple[str, ...]


def told_scenes(count: int, seed: int, sentences: int = 2, asked: float = 0.0) -> list[Told]:
    """Scenes of one or two things, with what is said of them: few enough for each sentence to be embedded once."""
    draw = np.random.default_rng(seed)
    rooms, told = tuple(ROOMS), []
    for _ in range(count):
        room = rooms[int(draw.integers(len(rooms)))]
        drawn = [random_thing(draw, room) for _ in range(int(draw.choice([1, 2], p=[0.6, 0.4])))]
        things = tuple(
            Thing(t.kind, t.colour, ("small", "large", "")[int(draw.integers(3))], t.material, t.action) for t in drawn
        )
        scene = Scene(room, things, "night" if draw.random() < 0.25 else "day")
        told.append(
            Told(scene, tuple(tell_scene(scene, draw, most=len(things), asked=asked) for _ in range(sentences)))
        )
    return told


class PicturePairs:
    """A `PairSource` of drawn scenes: the same words each time, in pictures that are never the same."""

    def __init__(self, told: Sequence[Told], phrases: NDArray[np.float32], strange: Sequence[Strange] = ()) -> None:
        """`phrases` [colours, kinds, DIM]: the text vectors of `phrase_texts`."""
        self._told = told
        self._phrases = torch.from_numpy(phrases.astype(np.float16))
        self._strange = strange

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        """Without end; drawn ahead by another process."""
        loader = torch.utils.data.DataLoader(
            _Drawn(self, size, seed), batch_size=None, num_workers=1, prefetch_factor=6
        )
        yield from loader

    def draw(self, size: int, draw: Draw) -> Batch:
        """One batch."""
        pictures = np.empty((size, SIDE, SIDE, 3), np.uint8)
        texts: list[str] = []
        targets = {key: torch.full((size, CELLS * CELLS), -1) for key in ATTRIBUTES}
        room, light, group = (torch.full((size,), -1) for _ in range(3))
        token = torch.zeros(size, 16, self._phrases.shape[-1], dtype=torch.float16)
        for i in range(size):
            kind = draw.random()
            if kind < SHARE_STRANGE and self._strange:
                paint = self._strange[int(draw.integers(len(self._strange)))]
                pictures[i] = cv2.resize(paint(draw), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                texts.append(STRANGE[int(draw.integers(len(STRANGE)))])
                room[i], group[i] = len(ROOMS), 0
                continue
            told = self._told[int(draw.integers(len(self._told)))]
            shot = self._shot(told, draw, empty=kind > 1 - SHARE_EMPTY)
            pictures[i] = draw_shot(shot, SIDE, int(draw.integers(1 << 30)))
            if shot.placed:
                texts.append(told.sentences[int(draw.integers(len(told.sentences)))])
            else:
                texts.append(f"an empty {told.scene.room}")
            room[i] = NAMES["room"].index(shot.scene.room)
            light[i] = int(shot.scene.light == "night")
            self._mark(shot, i, targets, token)
        signals = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        return Batch(signals, texts, {**targets, "room": room, "light": light, "group": group, "token": token})

    def _shot(self, told: Told, draw: Draw, *, empty: bool) -> Shot:
        things = [] if empty else list(told.scene.things)
        if things and draw.random() < SHARE_UNTOLD:
            things.append(random_thing(draw, told.scene.room))
        return shot_of(draw, told.scene.room, things, look=int(draw.integers(LOOKS)), light=told.scene.light)

    def _mark(self, shot: Shot, row: int, targets: dict[str, torch.Tensor], token: torch.Tensor) -> None:
        """Writes down where the shot's things are, and what."""
        for placed in sorted(shot.placed, key=lambda p: p.y):
            x, y = placed.x * CELLS, (placed.y - placed.size / 2) * CELLS
            cell = min(CELLS - 1, int(y)) * CELLS + min(CELLS - 1, int(x))
            for key in ATTRIBUTES:
                names = SIZES if key == "size" else NAMES[key]
                targets[key][row, cell] = names.index(getattr(placed.thing, key))
            square = (cell // CELLS // 2) * (CELLS // 2) + cell % CELLS // 2
            colour, kind = NAMES["colour"].index(placed.thing.colour), NAMES["kind"].index(placed.thing.kind)
            token[row, square] += self._phrases[colour, kind]


class _Drawn(torch.utils.data.IterableDataset[Batch]):
    def __init__(self, pairs: PicturePairs, size: int, seed: int) -> None:
        self._pairs, self._size, self._seed = pairs, size, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        draw = np.random.default_rng(self._seed)
        while True:
            yield self._pairs.draw(self._size, draw)


def phrase_texts() -> list[str]:
    """ "a red mug" for every colour and kind, colours first."""
    return [a(f"{colour} {kind}") for colour in COLOURS for kind in KINDS]


def strange_pictures(draw: Draw) -> Picture:
    """Not of the world: shapes, gradients, stripes and noise at any scale."""
    side = int(draw.choice([64, 96, 128]))
    grain = int(draw.choice([2, 4, 8, 16, 64]))
    small = draw.integers(0, 256, (grain, grain, 3)).astype(np.uint8)
    method = int(draw.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    canvas = np.array(cv2.resize(small, (side, side), interpolation=method))
    canvas = (draw.uniform(0.1, 1) * canvas + draw.uniform(0, 120)).clip(0, 255).astype(np.uint8)
    for _ in range(int(draw.integers(0, 9))):
        ink = tuple(int(v) for v in draw.integers(0, 256, 3))
        corners = draw.integers(0, side, (int(draw.integers(3, 7)), 2)).astype(np.int32)
        if draw.random() < 0.5:
            cv2.fillPoly(canvas, [corners], ink)
        else:
            cv2.ellipse(canvas, corners[0].tolist(), (abs(corners[1]) // 3 + 1).tolist(), 0, 0, 360, ink, -1)
    noise = draw.normal(0, draw.uniform(0, 12), canvas.shape)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8)
