"""What rooms look like: each kind of room a drawing with its own furniture marks, each look of it in other tints.

A panorama is wider than a picture, so that a camera can pan along it. No mark has the shape of a thing of the
vocabulary, and tints are muted: things stand out, as far as light allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Panorama = NDArray[np.uint8]
"""uint8[128, 224, 3] RGB"""
Draw = np.random.Generator
Paint = tuple[int, int, int]

HIGH, WIDE = 128, 224
FLOOR = 84
"""The line where the wall ends and the floor begins."""


class Walls:
    """A canvas of a room."""

    def __init__(self, wall: Paint, floor: Paint, draw: Draw, swing: float = 16.0) -> None:
        self.draw = draw
        self._swing = draw.normal(0, swing / 2, 3)
        self.rgb = np.zeros((HIGH, WIDE, 3), np.uint8)
        self.box(0, 0, WIDE, FLOOR, wall)
        self.box(0, FLOOR, WIDE, HIGH, floor)

    def ink(self, colour: Paint) -> tuple[int, ...]:
        """The colour in this room's tint."""
        return tuple(int(v) for v in np.clip(np.array(colour) + self._swing, 0, 255))

    def box(self, x0: float, y0: float, x1: float, y1: float, c: Paint) -> None:
        cv2.rectangle(self.rgb, (round(x0), round(y0)), (round(x1) - 1, round(y1) - 1), self.ink(c), -1)

    def line(self, x0: float, y0: float, x1: float, y1: float, c: Paint, wide: int = 1) -> None:
        cv2.line(self.rgb, (round(x0), round(y0)), (round(x1), round(y1)), self.ink(c), wide, cv2.LINE_AA)

    def disc(self, x: float, y: float, r: float, c: Paint) -> None:
        cv2.circle(self.rgb, (round(x), round(y)), round(r), self.ink(c), -1, cv2.LINE_AA)

    def grid(self, x0: int, y0: int, x1: int, y1: int, step: int, c: Paint) -> None:
        """Tiles."""
        for x in range(x0, x1, step):
            self.line(x, y0, x, y1 - 1, c)
        for y in range(y0, y1, step):
            self.line(x0, y, x1, y, c)

    def planks(self, c: Paint) -> None:
        for y in (FLOOR, FLOOR + 8, FLOOR + 19, FLOOR + 32):
            self.line(0, y, WIDE, y, c)

    def places(self, step: int, jitter: int = 6) -> list[int]:
        """Left edges along the wall, every `step` or so."""
        first = int(self.draw.integers(0, step))
        return [x + int(self.draw.integers(-jitter, jitter + 1)) for x in range(first - step, WIDE, step)]

    def window(self, x: float, y: float, w: float, h: float, sky: Paint = (176, 206, 226)) -> None:
        self.box(x - 2, y - 2, x + w + 2, y + h + 2, (236, 232, 224))
        self.box(x, y, x + w, y + h, sky)
        self.line(x + w / 2, y, x + w / 2, y + h, (236, 232, 224), 2)


def _kitchen(d: Draw) -> Walls:
    w = Walls((226, 214, 182), (196, 178, 156), d)
    w.grid(0, 40, WIDE, 64, 8, (206, 192, 158))
    w.box(0, 62, WIDE, 66, (120, 96, 78))
    w.box(0, 66, WIDE, 88, (176, 140, 104))
    for x in w.places(28):
        w.line(x, 66, x, 88, (120, 90, 64))
        w.box(x + 4, 8, x + 24, 32, (186, 150, 112))
    w.grid(0, 88, WIDE, HIGH, 14, (172, 152, 130))
    return w


def _bedroom(d: Draw) -> Walls:
    w = Walls((198, 188, 214), (170, 142, 132), d)
    for x in range(0, WIDE, 10):
        w.line(x, 0, x, FLOOR, (186, 174, 206), 2)
    for x in w.places(78):
        w.window(x, 14, 26, 34, (120, 140, 190))
        w.box(x - 10, 8, x - 1, 66, (146, 112, 150))
        w.box(x + 27, 8, x + 36, 66, (146, 112, 150))
    w.box(0, 100, WIDE, 120, (150, 116, 136))
    return w


def _bathroom(d: Draw) -> Walls:
    w = Walls((196, 222, 228), (150, 178, 186), d)
    w.grid(0, 0, WIDE, FLOOR, 9, (164, 198, 208))
    w.box(0, 44, WIDE, 49, (84, 138, 156))
    for x in w.places(70):
        w.box(x, 56, x + 34, 90, (240, 244, 246))
        w.line(x, 58, x + 34, 58, (180, 190, 196), 2)
        w.box(x + 44, 14, x + 60, 38, (214, 234, 240))
    w.grid(0, FLOOR + 6, WIDE, HIGH, 18, (126, 156, 166))
    return w


def _garden(d: Draw) -> Walls:
    w = Walls((170, 206, 232), (124, 164, 92), d)
    for x in w.places(40, 10):
        w.disc(x, 54, 18, (104, 148, 92))
        w.disc(x + 16, 62, 14, (122, 162, 100))
    for x in range(0, WIDE, 9):
        w.box(x, 62, x + 6, 88, (214, 200, 172))
    w.line(0, 70, WIDE, 70, (180, 164, 134), 2)
    for _ in range(110):
        x, y = int(d.integers(0, WIDE)), int(d.integers(90, HIGH))
        w.line(x, y, x + 1, y - 4, (92, 136, 70))
    return w


def _garage(d: Draw) -> Walls:
    w = Walls((156, 156, 158), (116, 116, 120), d)
    for x in w.places(110):
        w.box(x, 14, x + 74, FLOOR, (188, 190, 194))
        for y in range(20, FLOOR, 8):
            w.line(x, y, x + 73, y, (140, 142, 148), 2)
    for x in range(0, WIDE, 40):
        w.box(x, FLOOR + 2, x + 20, FLOOR + 6, (206, 186, 90))
    w.disc(float(d.integers(20, 200)), 112, 10, (96, 96, 102))
    return w


def _office(d: Draw) -> Walls:
    w = Walls((208, 212, 216), (120, 130, 150), d)
    for x in w.places(72):
        w.window(x, 10, 44, 36, (196, 212, 224))
        for y in range(12, 46, 4):
            w.line(x, y, x + 44, y, (226, 228, 230))
        w.box(x - 14, 60, x + 50, 65, (92, 98, 112))
        w.box(x + 40, 65, x + 50, 92, (134, 140, 152))
    w.grid(0, FLOOR, WIDE, HIGH, 22, (108, 118, 138))
    return w


def _library(d: Draw) -> Walls:
    w = Walls((112, 78, 58), (136, 82, 72), d)
    paints: tuple[Paint, ...] = ((138, 66, 60), (82, 98, 86), (92, 88, 124), (168, 142, 96), (110, 100, 92))
    for shelf in range(4, FLOOR - 10, 19):
        x = 0
        while x < WIDE:
            thick = int(d.integers(3, 6))
            w.box(x, shelf + int(d.integers(1, 5)), x + thick, shelf + 16, paints[int(d.integers(len(paints)))])
            x += thick
        w.box(0, shelf + 16, WIDE, shelf + 19, (78, 52, 38))
    for x in w.places(60):
        w.box(x, 0, x + 5, FLOOR, (78, 52, 38))
    w.box(0, 102, WIDE, 118, (114, 62, 58))
    return w


def _workshop(d: Draw) -> Walls:
    w = Walls((188, 160, 118), (148, 134, 118), d)
    for x in range(4, WIDE, 8):
        for y in range(6, 52, 8):
            w.disc(x, y, 1, (148, 120, 82))
    for x in w.places(34, 8):
        w.line(x, 14, x + 10, 38, (110, 114, 120), 3)
        w.box(x - 3, 10, x + 5, 16, (150, 84, 60))
    w.box(0, 60, WIDE, 66, (122, 88, 54))
    for x in w.places(52):
        w.box(x, 66, x + 6, 96, (122, 88, 54))
    return w


def _hallway(d: Draw) -> Walls:
    w = Walls((220, 206, 190), (168, 120, 84), d)
    for x in w.places(62):
        w.box(x, 16, x + 28, FLOOR, (154, 112, 80))
        w.box(x + 4, 22, x + 24, 46, (138, 98, 68))
        w.box(x + 4, 52, x + 24, 78, (138, 98, 68))
        w.disc(x + 25, 52, 2, (214, 190, 120))
    w.box(0, FLOOR - 5, WIDE, FLOOR, (244, 238, 228))
    w.box(0, 98, WIDE, 116, (150, 62, 62))
    w.line(0, 100, WIDE, 100, (214, 180, 120), 2)
    w.line(0, 114, WIDE, 114, (214, 180, 120), 2)
    return w


def _living(d: Draw) -> Walls:
    w = Walls((172, 190, 164), (184, 148, 112), d)
    for x in w.places(86):
        w.box(x, 14, x + 38, 42, (112, 84, 60))
        w.box(x + 3, 17, x + 35, 39, (206, 188, 150))
        w.line(x + 3, 36, x + 20, 24, (120, 140, 112), 4)
        w.line(x + 18, 26, x + 35, 37, (120, 140, 112), 4)
    for x in w.places(86, 2):
        w.box(x + 50, 44, x + 76, FLOOR, (132, 92, 74))
        w.box(x + 55, 54, x + 71, FLOOR, (52, 40, 38))
    w.planks((156, 120, 88))
    return w


def _nursery(d: Draw) -> Walls:
    w = Walls((246, 226, 196), (214, 196, 214), d)
    paints: tuple[Paint, ...] = ((238, 190, 190), (186, 212, 236), (196, 226, 190), (240, 216, 150))
    for i, x in enumerate(range(0, WIDE, 16)):
        for j, y in enumerate(range(8, 66, 18)):
            w.disc(x + 8 * (j % 2), y, 4, paints[(i + j) % 4])
    w.box(0, 66, WIDE, 70, (186, 212, 236))
    for i, x in enumerate(range(0, WIDE, 24)):
        w.box(x, FLOOR, x + 24, FLOOR + 22, paints[i % 4])
        w.box(x, FLOOR + 22, x + 24, HIGH, paints[(i + 2) % 4])
    return w


def _cellar(d: Draw) -> Walls:
    w = Walls((104, 92, 88), (82, 76, 72), d)
    for row, y in enumerate(range(0, FLOOR, 10)):
        w.line(0, y, WIDE, y, (78, 68, 66), 2)
        for x in range(-10 + 10 * (row % 2), WIDE, 20):
            w.line(x, y, x, y + 10, (78, 68, 66), 2)
    for x in w.places(64):
        w.disc(x, 70, 15, (134, 98, 66))
        w.disc(x, 70, 11, (116, 82, 54))
    for x in w.places(90):
        w.line(x, 0, x, FLOOR, (132, 130, 128), 3)
    return w


_ROOMS: dict[str, Callable[[Draw], Walls]] = {
    "kitchen": _kitchen, "bedroom": _bedroom, "bathroom": _bathroom, "garden": _garden, "garage": _garage,
    "office": _office, "library": _library, "workshop": _workshop, "hallway": _hallway, "living room": _living,
    "nursery": _nursery, "cellar": _cellar,
}  # fmt: skip


@lru_cache(maxsize=1024)
def panorama(room: str, look: int) -> Panorama:
    """The empty room in one of its looks; the same for the same words. `KeyError` for a room that nobody draws."""
    draw = np.random.default_rng([look, *room.encode()])
    walls = _ROOMS[room](draw)
    grain = draw.normal(0, 3, (HIGH // 4, WIDE // 4, 1)).astype(np.float32)
    rough = cv2.resize(grain, (WIDE, HIGH), interpolation=cv2.INTER_LINEAR)[..., None]
    rgb = np.clip(walls.rgb + rough, 0, 255).astype(np.uint8)
    rgb.flags.writeable = False
    return rgb
