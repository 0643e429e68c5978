"""What things look like: each kind a drawing in its colour on a small transparent sheet.

A sheet is 96 pixels a side, drawn at twice that and shrunk. A kind's main surface has the thing's colour and material;
the rest is dark or pale. `sprite` keeps what it drew: there are few, and many pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Sheet = NDArray[np.uint8]
"""uint8[96, 96, 4]: RGB, and how opaque."""
Paint = tuple[int, int, int]

SIDE, SCALE = 96, 2
RGB: dict[str, Paint] = {
    "red": (206, 34, 34), "orange": (242, 132, 22), "yellow": (246, 216, 40), "green": (40, 158, 62),
    "blue": (36, 84, 214), "purple": (126, 48, 168), "pink": (246, 138, 186), "brown": (120, 74, 38),
    "white": (246, 246, 244), "black": (26, 26, 28),
}  # fmt: skip
DARK, PALE, SKIN, STEEL, WOOD = (58, 56, 60), (222, 214, 200), (226, 178, 142), (168, 174, 182), (150, 110, 70)


class Brush:
    """Draws on a sheet in its units (0 to 96), and remembers which pixels are of the main surface."""

    def __init__(self, colour: Paint) -> None:
        side = SIDE * SCALE
        self.colour = colour
        self.rgb = np.zeros((side, side, 3), np.uint8)
        self.alpha = np.zeros((side, side), np.uint8)
        self.main = np.zeros((side, side), np.uint8)

    def _each(self, colour: Paint | None, stroke: Callable[[NDArray[np.uint8], Sequence[int]], object]) -> None:
        stroke(self.rgb, self.colour if colour is None else colour)
        stroke(self.alpha, (255,))
        stroke(self.main, (255 if colour is None else 0,))

    def shape(self, *points: tuple[float, float], c: Paint | None = None) -> None:
        """A filled polygon."""
        corners = np.array(points, np.float64) * SCALE
        self._each(c, lambda on, ink: cv2.fillPoly(on, [corners.round().astype(np.int32)], ink))

    def box(self, x0: float, y0: float, x1: float, y1: float, c: Paint | None = None) -> None:
        self.shape((x0, y0), (x1, y0), (x1, y1), (x0, y1), c=c)

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, c: Paint | None = None) -> None:
        axes = round(rx * SCALE), round((rx if ry is None else ry) * SCALE)
        centre = round(x * SCALE), round(y * SCALE)
        self._each(c, lambda on, ink: cv2.ellipse(on, centre, axes, 0, 0, 360, ink, -1))

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, wide: float, c: Paint | None = None
    ) -> None:
        """Part of an ellipse's line, degrees clockwise from the right."""
        centre, axes = (round(x * SCALE), round(y * SCALE)), (round(rx * SCALE), round(ry * SCALE))
        self._each(c, lambda on, ink: cv2.ellipse(on, centre, axes, 0, start, end, ink, round(wide * SCALE)))

    def line(self, *points: tuple[float, float], wide: float = 4, c: Paint | None = None) -> None:
        corners = (np.array(points, np.float64) * SCALE).round().astype(np.int32)
        self._each(c, lambda on, ink: cv2.polylines(on, [corners], False, ink, round(wide * SCALE)))


def _ball(b: Brush) -> None:
    b.disc(48, 48, 44)
    b.arc(20, 48, 40, 60, -50, 50, 4, DARK)
    b.arc(76, 48, 40, 60, 130, 230, 4, DARK)


def _box(b: Brush) -> None:
    b.shape((6, 34), (48, 44), (48, 94), (6, 80))
    b.shape((48, 44), (90, 34), (90, 80), (48, 94))
    b.shape((6, 32), (48, 20), (90, 32), (48, 42), c=WOOD)
    b.line((48, 44), (48, 94), wide=3, c=DARK)
    b.line((27, 39), (27, 87), wide=5, c=PALE)


def _bottle(b: Brush) -> None:
    b.box(30, 38, 66, 94)
    b.shape((30, 38), (42, 22), (54, 22), (66, 38))
    b.box(42, 8, 54, 24)
    b.box(41, 2, 55, 10, DARK)
    b.box(30, 56, 66, 74, PALE)


def _mug(b: Brush) -> None:
    b.arc(70, 52, 18, 20, 0, 360, 8)
    b.box(12, 22, 68, 88)
    b.disc(40, 22, 28, 7, DARK)


def _book(b: Brush) -> None:
    b.shape((4, 26), (48, 38), (48, 86), (4, 74))
    b.shape((48, 38), (92, 26), (92, 74), (48, 86))
    b.shape((10, 20), (48, 32), (48, 78), (10, 66), c=(250, 246, 232))
    b.shape((48, 32), (86, 20), (86, 66), (48, 78), c=(238, 232, 214))
    for y in (32, 42, 52):
        b.line((16, y), (42, y + 8), wide=2, c=DARK)
        b.line((54, y + 8), (80, y), wide=2, c=DARK)


def _chair(b: Brush) -> None:
    b.box(20, 2, 30, 94)
    b.box(20, 4, 66, 34)
    b.box(20, 50, 76, 62)
    b.box(66, 60, 76, 94)
    b.box(34, 62, 40, 84, DARK)


def _table(b: Brush) -> None:
    b.box(2, 30, 94, 44)
    for x in (8, 80):
        b.box(x, 44, x + 9, 94)
    b.box(20, 44, 76, 50, DARK)


def _lamp(b: Brush) -> None:
    b.shape((30, 4), (66, 4), (86, 48), (10, 48))
    b.box(45, 48, 51, 84, STEEL)
    b.disc(48, 88, 24, 7, DARK)


def _sofa(b: Brush) -> None:
    b.box(10, 26, 86, 62)
    b.box(2, 42, 18, 84)
    b.box(78, 42, 94, 84)
    b.box(16, 60, 80, 84)
    b.line((48, 28), (48, 82), wide=3, c=DARK)
    b.box(8, 84, 16, 92, DARK)
    b.box(80, 84, 88, 92, DARK)


def _bed(b: Brush) -> None:
    b.box(2, 20, 10, 90, WOOD)
    b.box(86, 44, 94, 90, WOOD)
    b.box(10, 54, 86, 78)
    b.box(12, 42, 36, 56, (250, 250, 250))
    b.box(10, 78, 86, 82, DARK)


def _clock(b: Brush) -> None:
    b.disc(48, 48, 45)
    b.disc(48, 48, 33, c=(250, 250, 246))
    b.line((48, 48), (48, 22), wide=5, c=DARK)
    b.line((48, 48), (66, 58), wide=5, c=DARK)


def _key(b: Brush) -> None:
    b.arc(24, 48, 16, 16, 0, 360, 11)
    b.box(40, 42, 94, 53)
    b.box(74, 53, 81, 70)
    b.box(86, 53, 93, 66)


def _shoe(b: Brush) -> None:
    b.shape((6, 26), (38, 26), (48, 46), (84, 58), (92, 76), (6, 76))
    b.box(4, 76, 94, 86, PALE)
    b.line((40, 36), (54, 28), wide=3, c=PALE)
    b.line((46, 44), (60, 36), wide=3, c=PALE)


def _hat(b: Brush) -> None:
    b.box(26, 16, 70, 72)
    b.disc(48, 74, 46, 11)
    b.box(26, 56, 70, 66, DARK)


def _umbrella(b: Brush) -> None:
    b.disc(48, 50, 46, 42)
    for x in (18, 48, 78):
        _clear(b, x, 56)
    b.box(46, 4, 50, 82, DARK)
    b.arc(40, 82, 8, 10, 0, 180, 4, DARK)


def _clear(b: Brush, x: float, y: float) -> None:
    """Takes away what lies under the scallop of an umbrella."""
    cv2.rectangle(b.alpha, (round((x - 18) * SCALE), round(y * SCALE)), (round((x + 18) * SCALE), 191), (0,), -1)


def _guitar(b: Brush) -> None:
    b.disc(48, 72, 27, 22)
    b.disc(48, 46, 19, 16)
    b.disc(48, 62, 8, c=DARK)
    b.box(44, 6, 52, 54, WOOD)
    b.box(40, 2, 56, 12, DARK)


def _bicycle(b: Brush) -> None:
    for x in (22, 74):
        b.arc(x, 64, 19, 19, 0, 360, 5, DARK)
    b.line((22, 64), (40, 34), (68, 34), (46, 64), (22, 64), wide=6)
    b.line((40, 34), (46, 64), wide=6)
    b.line((74, 64), (66, 24), (78, 20), wide=6)
    b.box(32, 26, 48, 32, DARK)


def _car(b: Brush) -> None:
    b.shape((2, 52), (18, 46), (30, 26), (66, 26), (80, 48), (94, 52), (94, 72), (2, 72))
    b.shape((34, 32), (47, 32), (47, 47), (25, 47), c=(196, 222, 236))
    b.shape((52, 32), (64, 32), (73, 47), (52, 47), c=(196, 222, 236))
    for x in (24, 72):
        b.disc(x, 73, 12, c=DARK)
        b.disc(x, 73, 5, c=STEEL)


def _boat(b: Brush) -> None:
    b.shape((4, 66), (92, 66), (76, 90), (20, 90))
    b.box(46, 6, 50, 66, DARK)
    b.shape((54, 12), (54, 60), (88, 60), c=(250, 248, 240))
    b.shape((42, 20), (42, 60), (14, 60), c=(232, 228, 216))


def _plant(b: Brush) -> None:
    for x, y in ((14, 22), (34, 6), (62, 6), (82, 22), (48, 2)):
        b.line((48, 62), (x, y), wide=9, c=(52, 128, 58))
    b.shape((22, 60), (74, 60), (66, 94), (30, 94))


def _flower(b: Brush) -> None:
    b.box(45, 50, 51, 94, (52, 128, 58))
    b.disc(34, 76, 12, 6, (52, 128, 58))
    b.disc(62, 70, 12, 6, (52, 128, 58))
    for x, y in ((48, 12), (68, 26), (61, 48), (35, 48), (28, 26)):
        b.disc(x, y, 13)
    b.disc(48, 32, 9, c=(250, 226, 110))


def _tree(b: Brush) -> None:
    b.box(42, 74, 54, 94, WOOD)
    for top, bottom, wide in ((2, 34, 20), (20, 56, 30), (42, 78, 40)):
        b.shape((48, top), (48 + wide, bottom), (48 - wide, bottom))


def _fish(b: Brush) -> None:
    b.disc(42, 48, 38, 24)
    b.shape((70, 48), (94, 24), (94, 72))
    b.shape((34, 28), (54, 8), (58, 30))
    b.disc(20, 42, 5, c=(250, 250, 250))
    b.disc(19, 42, 2.5, c=DARK)


def _bird(b: Brush, action: str = "") -> None:
    b.disc(44, 54, 30, 20)
    b.disc(70, 34, 15)
    b.shape((82, 30), (96, 36), (82, 40), c=(240, 160, 40))
    b.shape((20, 52), (0, 34), (2, 62))
    wing = ((30, 52), (56, 50), (28, 8)) if action in ("jumping", "walking") else ((26, 46), (58, 46), (40, 64))
    b.shape(*wing, c=DARK)
    b.disc(74, 31, 3, c=(250, 250, 250))
    if action != "sleeping":
        b.line((40, 72), (40, 92), wide=3, c=(240, 160, 40))
        b.line((50, 72), (52, 92), wide=3, c=(240, 160, 40))


def _cat(b: Brush, action: str = "") -> None:
    if action == "sleeping":
        b.disc(46, 68, 42, 22)
        b.disc(76, 62, 17, 15)
        b.shape((64, 52), (66, 36), (78, 48))
        b.shape((78, 48), (90, 36), (90, 54))
        b.arc(50, 74, 34, 14, 20, 160, 4, DARK)
        return
    lift = 12 if action == "jumping" else 0
    b.disc(42, 60 - lift, 30, 17)
    b.disc(72, 36 - lift, 18, 16)
    b.shape((56, 28 - lift), (58, 6 - lift), (72, 22 - lift))
    b.shape((74, 22 - lift), (90, 6 - lift), (88, 30 - lift))
    legs = ((16, 26), (28, 34), (52, 60), (64, 58)) if action == "walking" else ((20, 20), (30, 30), (54, 54), (63, 63))
    for top, foot in legs:
        b.line((top, 66 - lift), (foot, 92 - lift), wide=7)
    b.arc(12, 40 - lift, 14, 22, 60, 250, 6)
    b.disc(78, 34 - lift, 3, c=(120, 220, 120))


def _dog(b: Brush, action: str = "") -> None:
    if action == "sleeping":
        b.box(6, 54, 70, 84)
        b.box(62, 56, 94, 76)
        b.box(64, 50, 74, 74, DARK)
        return
    lift = 12 if action == "jumping" else 0
    b.box(14, 44 - lift, 66, 66 - lift)
    b.box(58, 22 - lift, 82, 50 - lift)
    b.box(78, 32 - lift, 95, 46 - lift)
    b.box(90, 32 - lift, 96, 38 - lift, DARK)
    b.shape((60, 24 - lift), (72, 24 - lift), (66, 46 - lift), c=DARK)
    legs = ((16, 8), (26, 34), (52, 48), (62, 72)) if action == "walking" else ((18, 18), (27, 27), (54, 54), (62, 62))
    for top, foot in legs:
        b.line((top, 62 - lift), (foot, 92 - lift), wide=8)
    b.line((16, 48 - lift), (2, 26 - lift), wide=7)


def _person(b: Brush, action: str = "") -> None:
    if action == "sleeping":
        b.disc(12, 78, 10, c=SKIN)
        b.box(22, 68, 62, 90)
        b.box(60, 70, 95, 88, (70, 76, 110))
        return
    feet = {"walking": (30, 68), "jumping": (24, 74)}.get(action, (41, 56))
    hands = {"walking": ((26, 58), (70, 56)), "jumping": ((18, 14), (78, 14))}.get(action, ((27, 62), (69, 62)))
    low = 86 if action == "jumping" else 95
    for hip, foot in zip((42, 54), feet, strict=True):
        b.line((hip, 60), (foot, low), wide=9, c=(70, 76, 110))
    for shoulder, hand in zip((36, 60), hands, strict=True):
        b.line((shoulder, 32), hand, wide=7)
    b.box(34, 26, 62, 64)
    b.disc(48, 13, 12, c=SKIN)
    b.arc(48, 11, 11, 9, 180, 360, 5, (70, 50, 36))


def _phone(b: Brush) -> None:
    b.box(26, 2, 70, 94)
    b.box(31, 12, 65, 80, (170, 214, 240))
    b.disc(48, 87, 4, c=PALE)


def _laptop(b: Brush) -> None:
    b.box(14, 10, 82, 64)
    b.box(20, 16, 76, 58, (170, 214, 240))
    b.shape((14, 66), (82, 66), (96, 88), (0, 88))
    b.shape((20, 70), (76, 70), (82, 80), (14, 80), c=DARK)


def _vacuum(b: Brush) -> None:
    b.disc(30, 66, 27, 20)
    b.disc(16, 86, 8, c=DARK)
    b.disc(46, 86, 8, c=DARK)
    b.arc(46, 46, 30, 34, 180, 350, 6, DARK)
    b.line((76, 40), (82, 86), wide=6, c=STEEL)
    b.box(70, 84, 96, 92, DARK)


def _kettle(b: Brush) -> None:
    b.shape((24, 36), (66, 36), (78, 88), (12, 88))
    b.shape((70, 56), (92, 36), (95, 44), (76, 74))
    b.arc(45, 34, 22, 26, 180, 360, 6, DARK)
    b.disc(45, 35, 6, c=DARK)


def _ladder(b: Brush) -> None:
    b.line((34, 2), (14, 94), wide=7)
    b.line((58, 2), (82, 94), wide=7)
    for y in (18, 38, 58, 78):
        half = 11 + y * 0.26
        b.line((46 - half, y), (47 + half, y), wide=6)


_STILL: dict[str, Callable[[Brush], None]] = {
    "ball": _ball, "box": _box, "bottle": _bottle, "mug": _mug, "book": _book, "chair": _chair, "table": _table,
    "lamp": _lamp, "sofa": _sofa, "bed": _bed, "clock": _clock, "key": _key, "shoe": _shoe, "hat": _hat,
    "umbrella": _umbrella, "guitar": _guitar, "bicycle": _bicycle, "car": _car, "boat": _boat, "plant": _plant,
    "flower": _flower, "tree": _tree, "fish": _fish, "phone": _phone, "laptop": _laptop, "vacuum": _vacuum,
    "kettle": _kettle, "ladder": _ladder,
}  # fmt: skip
_MOVING: dict[str, Callable[[Brush, str], None]] = {"bird": _bird, "cat": _cat, "dog": _dog, "person": _person}


@lru_cache(maxsize=8192)
def sprite(kind: str, colour: str, material: str = "", action: str = "") -> Sheet:
    """The sheet of a thing; the same for the same words. `KeyError` for a kind or colour that nobody draws."""
    brush = Brush(RGB[colour])
    if kind in _MOVING:
        _MOVING[kind](brush, action)
    else:
        _STILL[kind](brush)
    _cover(brush, material)
    brush.rgb[brush.alpha == 0] = brush.colour  # shrinking mixes in what is transparent
    sheet = np.dstack([brush.rgb, brush.alpha])
    sheet = np.asarray(cv2.resize(sheet, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    sheet.flags.writeable = False
    return sheet


def _cover(brush: Brush, material: str) -> None:
    """Stripes, dots or a gleam on the main surface."""
    main = brush.main > 0
    y, x = np.indices(main.shape)
    other = np.array(PALE if sum(brush.colour) < 330 else DARK, np.float32)
    rgb = brush.rgb.astype(np.float32)
    if material == "striped":
        mark = main & ((x + y) // (7 * SCALE) % 3 == 0)
        rgb[mark] = 0.35 * rgb[mark] + 0.65 * other
    elif material == "dotted":
        mark = main & ((x % (16 * SCALE) - 8 * SCALE) ** 2 + (y % (16 * SCALE) - 8 * SCALE) ** 2 < (4 * SCALE) ** 2)
        rgb[mark] = 0.2 * rgb[mark] + 0.8 * other
    elif material == "shiny":
        gleam = np.exp(-(((x / SCALE - 34) / 14) ** 2 + ((y / SCALE - 34) / 26) ** 2))[..., None]
        rgb = np.where(main[..., None], rgb + (255 - rgb) * 0.85 * gleam, rgb)
    shade = (1.06 - 0.22 * y / y.max())[..., None]  # light comes from above
    brush.rgb = np.clip(rgb * shade, 0, 255).astype(np.uint8)
