"""Things that move: each kind a drawing of 3x size, shrunk, with alpha."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Sprite = NDArray[np.float32]
"""float32[h, w, 4]: RGB 0..255 and alpha 0..1"""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (200, 44, 40),
    "blue": (44, 88, 190),
    "green": (44, 140, 70),
    "yellow": (236, 200, 50),
    "orange": (232, 128, 36),
    "purple": (128, 64, 160),
    "white": (240, 240, 238),
    "black": (36, 36, 40),
    "pink": (232, 132, 172),
}
_DARK, _PALE = (46, 42, 42), (236, 226, 206)
_SKIN = (214, 166, 130)


def _boat(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.polygon([(20, 200), (340, 200), (290, 270), (70, 270)], fill=c)
    d.rectangle([174, 30, 184, 200], fill=_DARK)
    d.polygon([(190, 36), (190, 186), (310, 186)], fill=_PALE)
    d.polygon([(168, 60), (168, 186), (80, 186)], fill=(216, 206, 190))
    d.rectangle([60, 212, 306, 222], fill=_PALE)


def _bird(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.ellipse([120, 120, 250, 180], fill=c)
    d.ellipse([225, 95, 285, 150], fill=c)
    d.polygon([(280, 118), (316, 126), (280, 134)], fill=(232, 160, 40))
    d.polygon([(150, 140), (210, 140), (120, 30)], fill=c)
    d.polygon([(125, 145), (60, 120), (60, 170)], fill=c)
    d.ellipse([254, 112, 264, 122], fill=_DARK)


def _balloon(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.line([(180, 200), (168, 240), (188, 290)], fill=_DARK, width=4)
    d.ellipse([110, 20, 250, 200], fill=c)
    d.ellipse([136, 46, 166, 90], fill=tuple((v + 255) // 2 for v in c))


def _person(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.rectangle([140, 180, 170, 290], fill=(52, 58, 84))
    d.rectangle([188, 180, 218, 290], fill=(52, 58, 84))
    d.rounded_rectangle([126, 84, 232, 196], 26, fill=c)
    d.rectangle([104, 96, 126, 176], fill=c)
    d.rectangle([232, 96, 254, 176], fill=c)
    d.ellipse([144, 14, 214, 86], fill=_SKIN)
    d.pieslice([140, 6, 218, 84], 180, 360, fill=_DARK)


def _cat(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.ellipse([80, 150, 270, 250], fill=c)
    d.ellipse([226, 96, 316, 180], fill=c)
    d.polygon([(236, 116), (244, 66), (270, 104)], fill=c)
    d.polygon([(276, 104), (304, 66), (310, 118)], fill=c)
    for x in (100, 136, 210, 244):
        d.rectangle([x, 220, x + 18, 286], fill=c)
    d.arc([20, 90, 130, 220], 60, 250, fill=c, width=18)
    d.ellipse([284, 126, 294, 138], fill=(60, 180, 90))


def _robot(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.rounded_rectangle([110, 110, 250, 240], 16, fill=c)
    d.rounded_rectangle([130, 40, 230, 104], 14, fill=(180, 186, 192))
    d.ellipse([150, 58, 172, 80], fill=(40, 200, 220))
    d.ellipse([190, 58, 212, 80], fill=(40, 200, 220))
    d.line([(250, 140), (310, 110), (330, 150)], fill=(120, 126, 132), width=14)
    d.ellipse([116, 230, 166, 286], fill=_DARK)
    d.ellipse([194, 230, 244, 286], fill=_DARK)


def _ball(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.ellipse([100, 80, 260, 240], fill=c)
    d.arc([60, 60, 220, 260], 300, 60, fill=_PALE, width=14)
    d.arc([140, 60, 300, 260], 120, 240, fill=_PALE, width=14)


def _case(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.rectangle([150, 60, 210, 110], outline=_DARK, width=10)
    d.rounded_rectangle([70, 104, 290, 270], 18, fill=c)
    d.rectangle([110, 104, 122, 270], fill=_PALE)
    d.rectangle([238, 104, 250, 270], fill=_PALE)


def _kite(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.polygon([(180, 10), (270, 110), (180, 220), (90, 110)], fill=c)
    d.polygon([(180, 10), (180, 220), (90, 110)], fill=tuple((v * 3) // 4 for v in c))
    d.line([(180, 220), (160, 250), (190, 270), (170, 296)], fill=_DARK, width=5)


def _car(d: ImageDraw.ImageDraw, c: tuple[int, int, int]) -> None:
    d.rounded_rectangle([10, 150, 350, 240], 30, fill=c)
    d.polygon([(80, 156), (120, 86), (250, 86), (300, 156)], fill=c)
    d.polygon([(102, 150), (130, 100), (178, 100), (178, 150)], fill=(190, 214, 226))
    d.polygon([(190, 150), (190, 100), (242, 100), (276, 150)], fill=(190, 214, 226))
    for x in (60, 250):
        d.ellipse([x, 206, x + 64, 270], fill=_DARK)
        d.ellipse([x + 18, 224, x + 46, 252], fill=(180, 180, 184))


KINDS: dict[str, Callable[[ImageDraw.ImageDraw, tuple[int, int, int]], None]] = {
    "boat": _boat,
    "bird": _bird,
    "balloon": _balloon,
    "person": _person,
    "cat": _cat,
    "robot": _robot,
    "ball": _ball,
    "case": _case,
    "kite": _kite,
    "car": _car,
}


def draw(kind: str, colour: str, height: int) -> Sprite:
    """float32[height, 1.2 height, 4]: a thing of this kind and colour."""
    image = Image.new("RGBA", (360, 300), (0, 0, 0, 0))
    KINDS[kind](ImageDraw.Draw(image), COLOURS[colour])
    small = image.resize((round(height * 1.2), height), Image.Resampling.LANCZOS)
    sprite = np.asarray(small, dtype=np.float32).copy()
    sprite[..., 3] /= 255
    return sprite
