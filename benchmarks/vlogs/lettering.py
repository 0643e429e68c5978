"""Words in the picture: signs and captions as plates with alpha, slides as whole frames. The font comes with Pillow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .things import Sprite

_PLATES = (  # (plate, letters, rim), RGBA
    ((16, 18, 24, 225), (250, 250, 250, 255), None),
    ((246, 212, 66, 255), (28, 26, 20, 255), (28, 26, 20, 255)),
    ((248, 248, 244, 255), (24, 48, 110, 255), (24, 48, 110, 255)),
    ((22, 92, 62, 245), (246, 246, 236, 255), (246, 246, 236, 255)),
    ((150, 30, 36, 240), (255, 244, 226, 255), None),
)
_PAPERS = (  # (paper, title, text, accent)
    ((248, 247, 243), (24, 40, 76), (48, 52, 60), (206, 92, 52)),
    ((26, 34, 48), (250, 214, 110), (228, 232, 236), (90, 170, 200)),
    ((240, 246, 242), (24, 84, 66), (40, 56, 52), (222, 168, 60)),
)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow is built without FreeType; install a Pillow wheel")
    return font


def plate(text: str, style: int, size: int = 26) -> Sprite:
    """float32[h, w, 4]: the words on one plate, in one of five styles; long words are split over two lines."""
    words = text.split()
    lines = [text] if len(text) <= 24 else [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    ground, ink, rim = _PLATES[style % len(_PLATES)]
    font = _font(size)
    wide = round(max(font.getlength(line) for line in lines)) + size
    high = round(len(lines) * size * 1.3 + size * 0.7)
    image = Image.new("RGBA", (wide, high), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([0, 0, wide - 1, high - 1], 5, fill=ground, outline=rim, width=2)
    for k, line in enumerate(lines):
        draw.text((size // 2, size * 0.3 + k * size * 1.3), line, font=font, fill=ink)
    sprite = np.asarray(image, dtype=np.float32).copy()
    sprite[..., 3] /= 255
    return sprite


def slide(title: str, lines: tuple[str, ...], style: int, width: int, height: int) -> NDArray[np.uint8]:
    """uint8[height, width, 3]: a title and its lines."""
    paper, head, ink, accent = _PAPERS[style % len(_PAPERS)]
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    unit = height / 360
    draw.rectangle([0, 0, round(14 * unit), height], fill=accent)
    draw.text((48 * unit, 40 * unit), title, font=_font(round(40 * unit)), fill=head)
    draw.rectangle([48 * unit, 96 * unit, 230 * unit, 99 * unit], fill=accent)
    for k, line in enumerate(lines):
        y = (132 + 58 * k) * unit
        draw.ellipse([52 * unit, y + 11 * unit, 62 * unit, y + 21 * unit], fill=accent)
        draw.text((84 * unit, y), line, font=_font(round(27 * unit)), fill=ink)
    return np.asarray(image, dtype=np.uint8).copy()
