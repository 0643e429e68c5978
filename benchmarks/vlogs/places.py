"""Backdrops: each place paints a canvas larger than the frame, in its own light, from a generator."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 960, 540
"""Of a canvas; a frame of 640x360 looks at a part of it."""

Draw = Callable[[Canvas, np.random.Generator], None]


def _tone(rng: np.random.Generator, colour: Colour, spread: int = 14) -> Colour:
    """A neighbour of a colour, mostly lighter or darker."""
    light, tint = rng.integers(-spread, spread + 1), rng.integers(-spread // 3, spread // 3 + 1, 3)
    r, g, b = (int(np.clip(c + light + t, 0, 255)) for c, t in zip(colour, tint, strict=True))
    return r, g, b


def _any(rng: np.random.Generator) -> Colour:
    r, g, b = (int(c) for c in rng.integers(50, 215, 3))
    return r, g, b


def _rect(canvas: Canvas, x: float, y: float, w: float, h: float, colour: Colour) -> None:
    cv2.rectangle(canvas, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1, cv2.LINE_AA)


def _poly(canvas: Canvas, points: list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillPoly(canvas, [np.array(points, dtype=np.int32)], colour, cv2.LINE_AA)


def _disc(canvas: Canvas, x: float, y: float, r: float, colour: Colour) -> None:
    cv2.circle(canvas, (int(x), int(y)), int(r), colour, -1, cv2.LINE_AA)


def _gradient(canvas: Canvas, y0: int, y1: int, top: Colour, bottom: Colour) -> None:
    ramp = np.linspace(top, bottom, y1 - y0).astype(np.uint8)
    canvas[y0:y1] = ramp[:, None, :]


def _texture(canvas: Canvas, rng: np.random.Generator, strength: float) -> None:
    """Uneven light and grain at three scales, multiplied in: no surface of the world is flat."""
    light = np.ones((HEIGHT, WIDTH), dtype=np.float32)
    for cells, weight in ((8, 1.0), (60, 0.7), (240, 0.6)):
        grain = rng.standard_normal((cells * HEIGHT // WIDTH + 1, cells)).astype(np.float32)
        light += strength * weight * cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    canvas[:] = np.clip(canvas * light[..., None], 0, 255).astype(np.uint8)


def _sky(canvas: Canvas, rng: np.random.Generator, horizon: int) -> None:
    top, low = (
        ((96, 150, 205), (205, 225, 238)),
        ((120, 165, 190), (238, 222, 196)),
        ((150, 165, 185), (222, 224, 224)),
    )[int(rng.integers(3))]
    _gradient(canvas, 0, horizon, top, low)
    for _ in range(4):
        x, y = rng.uniform(0, WIDTH), rng.uniform(20, horizon * 0.6)
        for _ in range(6):
            _disc(canvas, x + rng.uniform(-60, 60), y + rng.uniform(-12, 12), rng.uniform(14, 32), (240, 243, 246))


def _hills(canvas: Canvas, rng: np.random.Generator, base: int, height: float, colour: Colour) -> None:
    x = np.arange(0, WIDTH + 20, 20)
    phases = rng.uniform(0, 6, 3)
    y = (
        base
        - height
        * (1.2 + sum(np.sin(x / w + p) / k for k, (w, p) in enumerate(zip((190, 90, 40), phases, strict=True), 1)))
        / 2
    )
    _poly(canvas, [(0, base), *zip(x.tolist(), y.tolist(), strict=True), (WIDTH, base)], _tone(rng, colour))


def _tree(canvas: Canvas, rng: np.random.Generator, x: float, base: float, size: float, leaf: Colour) -> None:
    _rect(canvas, x - size * 0.06, base - size * 0.5, size * 0.12, size * 0.5, (96, 70, 48))
    for _ in range(14):
        dx, dy = rng.uniform(-0.32, 0.32) * size, rng.uniform(-0.95, -0.4) * size
        _disc(canvas, x + dx, base + dy, size * rng.uniform(0.1, 0.2), _tone(rng, leaf, 22))


def _house(canvas: Canvas, rng: np.random.Generator, x: float, base: float, w: float, h: float) -> None:
    walls: tuple[Colour, ...] = ((214, 180, 140), (190, 120, 100), (222, 214, 196), (150, 168, 180), (206, 160, 96))
    _rect(canvas, x, base - h, w, h, _tone(rng, walls[int(rng.integers(5))]))
    _poly(
        canvas, [(x - 8, base - h), (x + w / 2, base - h - w * 0.35), (x + w + 8, base - h)], _tone(rng, (132, 66, 54))
    )
    for row in range(int(h // 52)):
        for column in range(int(w // 40)):
            _rect(canvas, x + 12 + column * 40, base - h + 14 + row * 52, 18, 28, _tone(rng, (70, 84, 100)))
    _rect(canvas, x + w * 0.4, base - 44, 24, 44, _tone(rng, (90, 56, 40)))


def _floor(canvas: Canvas, rng: np.random.Generator, y: int, colour: Colour) -> None:
    """Boards that run towards the eye."""
    _rect(canvas, 0, y, WIDTH, HEIGHT - y, colour)
    for x in range(-WIDTH, 2 * WIDTH, 70):
        far = WIDTH / 2 + (x - WIDTH / 2) * 0.55
        _poly(canvas, [(far, y), (far + 36, y), (x + 66, HEIGHT), (x, HEIGHT)], _tone(rng, colour, 16))


def _tiles(canvas: Canvas, rng: np.random.Generator, y0: int, y1: int, size: int, colour: Colour, seam: Colour) -> None:
    _rect(canvas, 0, y0, WIDTH, y1 - y0, seam)
    for row, y in enumerate(range(y0, y1, size)):
        for x in range(-size * (row % 2), WIDTH, size * 2):
            _rect(canvas, x + 1, y + 1, size * 2 - 4, size - 4, _tone(rng, colour, 10))


def _shelf(canvas: Canvas, rng: np.random.Generator, x: float, y: float, w: float, rows: int, books: bool) -> None:
    _rect(canvas, x - 8, y - 8, w + 16, rows * 78 + 10, (92, 62, 40))
    for row in range(rows):
        _rect(canvas, x, y + row * 78, w, 68, (58, 40, 28))
        at = x + 3
        while at < x + w - 20:
            colour = _any(rng)
            if books:
                wide, high = rng.uniform(8, 17), rng.uniform(40, 62)
                _rect(canvas, at, y + row * 78 + 68 - high, wide, high, colour)
            else:
                wide, high = rng.uniform(20, 34), rng.uniform(22, 44)
                _rect(canvas, at, y + row * 78 + 68 - high, wide, high, colour)
                _rect(canvas, at + wide * 0.3, y + row * 78 + 60 - high, wide * 0.4, 8, (200, 196, 186))
            at += wide + (2 if books else 9)


def _window(canvas: Canvas, x: int, y: int, w: int, h: int) -> None:
    _rect(canvas, x - 8, y - 8, w + 16, h + 16, (232, 228, 218))
    canvas[y : y + h, x : x + w] = np.linspace((150, 190, 222), (214, 228, 226), h).astype(np.uint8)[:, None, :]
    _rect(canvas, x + w / 2 - 3, y, 6, h, (232, 228, 218))
    _rect(canvas, x, y + h / 2 - 3, w, 6, (232, 228, 218))


def harbour(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 210)
    _hills(canvas, rng, 215, 70, (96, 122, 104))
    for k in range(7):
        _house(canvas, rng, k * 140 + rng.uniform(0, 30), 222, rng.uniform(70, 110), rng.uniform(60, 105))
    _gradient(canvas, 220, HEIGHT, (64, 116, 140), (30, 70, 92))
    for _ in range(260):
        x, y = rng.uniform(0, WIDTH), rng.uniform(228, 440)
        _rect(canvas, x, y, rng.uniform(8, 40), 1, _tone(rng, (120, 168, 186), 24))
    _floor(canvas, rng, 440, (126, 104, 82))
    for x in range(60, WIDTH, 190):
        _rect(canvas, x, 400, 16, 90, (78, 60, 46))
        _disc(canvas, x + 8, 400, 10, (96, 76, 58))


def market(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 150)
    for k in range(6):
        _house(canvas, rng, k * 165, 290, 140, rng.uniform(150, 220))
    _tiles(canvas, rng, 290, HEIGHT, 22, (160, 152, 142), (120, 114, 106))
    for k in range(4):
        x, stripe = 30 + k * 240, _tone(rng, ((196, 64, 52), (52, 120, 92), (220, 164, 48), (70, 96, 160))[k], 16)
        for s in range(8):
            colour: Colour = stripe if s % 2 else (240, 236, 226)
            _poly(
                canvas,
                [(x + s * 24, 220), (x + s * 24 + 24, 220), (x + s * 24 + 20, 268), (x + s * 24 - 4, 268)],
                colour,
            )
        _rect(canvas, x, 330, 186, 70, (122, 88, 58))
        for _ in range(46):
            _disc(canvas, x + rng.uniform(8, 178), rng.uniform(312, 332), rng.uniform(6, 10), _tone(rng, stripe, 40))


def bakery(canvas: Canvas, rng: np.random.Generator) -> None:
    _tiles(canvas, rng, 0, 360, 34, (226, 214, 192), (196, 180, 156))
    _shelf(canvas, rng, 60, 60, 300, 2, books=False)
    _rect(canvas, 560, 70, 260, 250, (92, 88, 86))
    _rect(canvas, 590, 120, 200, 110, (40, 28, 22))
    for _ in range(30):
        _disc(canvas, rng.uniform(600, 780), rng.uniform(180, 228), rng.uniform(5, 14), _tone(rng, (226, 120, 36), 30))
    _rect(canvas, 0, 340, WIDTH, 46, (176, 132, 88))
    _floor(canvas, rng, 386, (150, 92, 66))
    for x in range(40, WIDTH, 76):
        cv2.ellipse(canvas, (x, 334), (34, 16), 0, 0, 360, _tone(rng, (186, 124, 62)), -1, cv2.LINE_AA)
        for cut in (-12, 0, 12):
            cv2.line(canvas, (x + cut - 5, 324), (x + cut + 5, 338), (226, 186, 130), 2, cv2.LINE_AA)


def workshop(canvas: Canvas, rng: np.random.Generator) -> None:
    for x in range(0, WIDTH, 60):
        _rect(canvas, x, 0, 57, 380, _tone(rng, (112, 92, 70), 9))
    _rect(canvas, 90, 60, 380, 200, (150, 124, 90))
    for x in range(120, 450, 46):
        steel = _tone(rng, (168, 172, 176), 12)
        _rect(canvas, x, 90, 8, rng.uniform(60, 110), steel)
        _rect(canvas, x - 10, 84, 28, 18, _tone(rng, (130, 60, 50), 50))
    _window(canvas, 600, 70, 240, 160)
    _rect(canvas, 30, 340, 880, 34, (186, 146, 98))
    for x in (70, 420, 840):
        _rect(canvas, x, 374, 34, 130, (146, 110, 72))
    _floor(canvas, rng, 440, (104, 96, 90))
    for _ in range(70):
        _rect(
            canvas, rng.uniform(40, 900), rng.uniform(328, 340), rng.uniform(5, 24), 5, _tone(rng, (214, 180, 128), 20)
        )


def station(canvas: Canvas, rng: np.random.Generator) -> None:
    _gradient(canvas, 0, 300, (72, 84, 98), (150, 162, 170))
    for x in range(-100, WIDTH + 100, 120):
        cv2.line(canvas, (x, 0), (int(WIDTH / 2 + (x - WIDTH / 2) * 0.5), 180), (44, 52, 62), 7, cv2.LINE_AA)
    for y in (30, 80, 130, 180):
        cv2.line(canvas, (0, y), (WIDTH, y), (44, 52, 62), 4, cv2.LINE_AA)
    _rect(canvas, 0, 190, WIDTH, 120, _tone(rng, (170, 60, 50), 40))
    for x in range(14, WIDTH, 92):
        _rect(canvas, x, 206, 70, 50, (196, 214, 222))
    _rect(canvas, 0, 276, WIDTH, 8, (232, 226, 206))
    _rect(canvas, 0, 310, WIDTH, 40, (40, 40, 44))
    _tiles(canvas, rng, 350, HEIGHT, 26, (172, 168, 160), (140, 136, 130))
    _rect(canvas, 0, 350, WIDTH, 10, (226, 190, 58))
    for x in (150, 480, 810):
        _rect(canvas, x, 60, 22, 340, (58, 74, 66))


def library(canvas: Canvas, rng: np.random.Generator) -> None:
    _rect(canvas, 0, 0, WIDTH, HEIGHT, _tone(rng, (128, 46, 48), 24))
    for x in (24, 256, 720):
        _shelf(canvas, rng, x, 24, 200, 5, books=True)
    _window(canvas, 510, 50, 160, 230)
    _floor(canvas, rng, 420, (112, 76, 50))
    _rect(canvas, 320, 372, 360, 24, (72, 46, 30))
    for x in (340, 640):
        _rect(canvas, x, 396, 20, 100, (72, 46, 30))
    _poly(canvas, [(440, 320), (500, 320), (520, 352), (420, 352)], (40, 110, 76))
    _rect(canvas, 466, 350, 8, 24, (190, 160, 80))


def garden(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 180)
    _hills(canvas, rng, 190, 60, (92, 132, 96))
    _gradient(canvas, 186, HEIGHT, (118, 160, 84), (66, 112, 48))
    for x in range(40, WIDTH, 130):
        _tree(canvas, rng, x + rng.uniform(-30, 30), rng.uniform(210, 250), rng.uniform(120, 180), (62, 116, 54))
    _poly(canvas, [(430, 240), (500, 240), (760, HEIGHT), (330, HEIGHT)], (200, 178, 140))
    petals: tuple[Colour, ...] = ((214, 60, 70), (236, 196, 60), (226, 130, 180), (240, 240, 236), (140, 90, 180))
    for k in range(420):
        at, y = rng.uniform(0, WIDTH), rng.uniform(330, 520)
        if abs(at - 520) > 60 + (y - 240) * 0.6:
            _disc(canvas, at, y, 3 + (y - 300) / 60, petals[k % 5])


def beach(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 220)
    _gradient(canvas, 220, 340, (44, 128, 152), (108, 186, 190))
    for y in (250, 285, 318, 336):
        for x in range(0, WIDTH, 34):
            cv2.ellipse(canvas, (x + int(rng.integers(20)), y), (20, 3), 0, 180, 360, (226, 240, 240), 2, cv2.LINE_AA)
    _gradient(canvas, 340, HEIGHT, (226, 204, 158), (204, 172, 118))
    _poly(canvas, [(640, 222), (760, 190), (900, 206), (WIDTH, 180), (WIDTH, 300), (620, 290)], (108, 100, 96))
    for k in range(6):
        colour: Colour = (206, 56, 48) if k % 2 else (242, 238, 230)
        _poly(
            canvas,
            [
                (772 - k * 3, 50 + k * 26),
                (828 + k * 3, 50 + k * 26),
                (831 + k * 3, 76 + k * 26),
                (769 - k * 3, 76 + k * 26),
            ],
            colour,
        )
    _rect(canvas, 782, 22, 36, 28, (250, 226, 120))
    for _ in range(90):
        _disc(
            canvas, rng.uniform(0, WIDTH), rng.uniform(360, HEIGHT), rng.uniform(2, 7), _tone(rng, (176, 150, 120), 30)
        )


def street(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 140)
    for k in range(5):
        _house(canvas, rng, k * 195 - 10, 370, 180, rng.uniform(220, 320))
    _rect(canvas, 0, 370, WIDTH, 40, (168, 164, 158))
    _rect(canvas, 0, 410, WIDTH, 130, (74, 76, 80))
    for x in range(0, WIDTH, 120):
        _rect(canvas, x, 470, 64, 8, (224, 222, 206))
    for x in (120, 420, 720):
        _rect(canvas, x, 190, 8, 200, (42, 46, 48))
        _disc(canvas, x + 4, 184, 16, (250, 234, 170))


def greenhouse(canvas: Canvas, rng: np.random.Generator) -> None:
    _gradient(canvas, 0, 330, (190, 222, 226), (214, 232, 214))
    for x in range(0, WIDTH + 1, 80):
        cv2.line(canvas, (x, 0), (x, 330), (236, 240, 238), 5, cv2.LINE_AA)
    for y in range(40, 330, 70):
        cv2.line(canvas, (0, y), (WIDTH, y + 14), (236, 240, 238), 4, cv2.LINE_AA)
    _rect(canvas, 0, 330, WIDTH, 210, (104, 84, 66))
    for _ in range(70):
        root, base = rng.uniform(0, WIDTH), rng.uniform(300, 520)
        leaf = _tone(rng, (40, 124, 66), 30)
        for angle in np.linspace(-1.2, 1.2, 7):
            tip = (root + np.sin(angle) * 70, base - np.cos(angle) * rng.uniform(60, 120))
            _poly(canvas, [(root - 5, base), tip, (root + 5, base)], leaf)
    for x in range(30, WIDTH, 110):
        _poly(canvas, [(x, 440), (x + 60, 440), (x + 50, 510), (x + 10, 510)], _tone(rng, (190, 104, 66)))


PLACES: dict[str, tuple[str, Draw, tuple[str, ...]]] = {
    "harbour": ("A harbour with houses behind the water", harbour, ("boat", "bird")),
    "market": ("A market square with striped stalls", market, ("balloon", "person", "bird")),
    "bakery": ("A bakery with an oven and loaves on the counter", bakery, ("person", "cat")),
    "workshop": ("A workshop with tools on the wall and a long bench", workshop, ("robot", "ball", "cat")),
    "station": ("A railway platform with a train", station, ("person", "case")),
    "library": ("A library with tall book shelves and a window", library, ("person", "cat", "balloon")),
    "garden": ("A flower garden with trees and a path", garden, ("ball", "bird", "kite")),
    "beach": ("A beach with a lighthouse on the rocks", beach, ("kite", "ball", "boat")),
    "street": ("A street with houses and lamps", street, ("car", "person")),
    "greenhouse": ("A greenhouse full of plants in pots", greenhouse, ("robot", "person", "balloon")),
}
"""name -> (description, painter, the kinds of things that move there)"""


def paint(place: str, seed: int) -> Canvas:
    """uint8[540, 960, 3] RGB; the same place in another seed is another such place."""
    rng = np.random.default_rng(seed)
    canvas = np.full((HEIGHT, WIDTH, 3), (88, 84, 80), dtype=np.uint8)
    PLACES[place][1](canvas, rng)
    _texture(canvas, rng, 0.045)
    return canvas
