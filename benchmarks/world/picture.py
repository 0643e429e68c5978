"""A picture of a room with things in it, as a small camera would see it: drawn in well under two milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .captions import Scene, Thing
from .rooms import FLOOR, HIGH, WIDE, panorama
from .sprites import SIDE, sprite

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing where it stands in the picture."""

    thing: Thing
    x: float
    """Of its centre, 0 to 1 from the left."""
    y: float
    """Of its base, 0 to 1 from the top."""
    size: float
    """Its height and width as a share of the picture's."""
    hidden: float = 0.0
    """The share of its width behind something that stands before it."""
    flipped: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """All that a picture depends on, but its size and the noise of its sensor."""

    scene: Scene
    look: int
    """Which of the room's looks."""
    placed: tuple[Placed, ...]
    pan: float = 0.5
    """Where along the room the camera looks, 0 to 1."""
    blur: float = 0.0
    """Standard deviation of the defocus, of 64ths of the picture."""
    noise: float = 0.0
    """Standard deviation of the sensor's noise, of 255."""
    gain: float = 1.0
    """Brightness: 0.25 is night."""
    sign: str = ""
    """Words on a board at the wall."""


def draw_shot(shot: Shot, side: int = 64, seed: int = 0) -> Picture:
    """uint8[side, side, 3] RGB. The same shot, side and seed give the same picture."""
    wide = round(HIGH * 1.0)
    left = round(shot.pan * (WIDE - wide))
    room = panorama(shot.scene.room, shot.look)[:, left : left + wide]
    method = cv2.INTER_AREA if side <= HIGH else cv2.INTER_LINEAR
    canvas = np.array(cv2.resize(room, (side, side), interpolation=method))
    if shot.sign:
        _hang(canvas, shot.sign)
    for placed in sorted(shot.placed, key=lambda p: p.y):  # what is nearer stands lower, and is drawn later
        _stand(canvas, placed, room)
    return expose(canvas, blur=shot.blur, noise=shot.noise, gain=shot.gain, seed=seed)


def expose(canvas: Picture, *, blur: float = 0.0, noise: float = 0.0, gain: float = 1.0, seed: int = 0) -> Picture:
    """The picture through a lens and a sensor: out of focus, dark, noisy."""
    if blur:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur * canvas.shape[0] / 64), np.uint8)
    if gain == 1.0 and not noise:
        return canvas
    light = canvas.astype(np.float32) * np.float32(gain)
    if noise:
        light += np.random.default_rng(seed).standard_normal(canvas.shape, dtype=np.float32) * np.float32(noise)
    return np.clip(light, 0, 255).astype(np.uint8)


def _stand(canvas: Picture, placed: Placed, room: Picture) -> None:
    side = canvas.shape[0]
    pixels = max(3, round(placed.size * side))
    sheet = sprite(placed.thing.kind, placed.thing.colour, placed.thing.material, placed.thing.action)
    if placed.flipped:
        sheet = sheet[:, ::-1]
    method = cv2.INTER_AREA if pixels <= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(sheet), (pixels, pixels), interpolation=method)
    x0, y0 = round(placed.x * side - pixels / 2), round(placed.y * side) - pixels
    if placed.hidden:
        covered = round(placed.hidden * pixels)
        small = small.copy()
        tint = room[FLOOR - 20, int(placed.x * (room.shape[1] - 1))]  # a box in the colour of the wall stands before it
        front = slice(0, covered) if round(placed.x * 97) % 2 else slice(pixels - covered, pixels)
        small[:, front, :3] = (tint * 0.8).astype(np.uint8)
        small[pixels // 12 :, front, 3] = 255
    top, left = max(0, y0), max(0, x0)
    bottom, right = min(side, y0 + pixels), min(side, x0 + pixels)
    if bottom <= top or right <= left:
        return
    part = small[top - y0 : bottom - y0, left - x0 : right - x0]
    alpha = part[..., 3:].astype(np.uint16)
    under = canvas[top:bottom, left:right].astype(np.uint16)
    canvas[top:bottom, left:right] = ((part[..., :3] * alpha + under * (255 - alpha)) // 255).astype(np.uint8)


def _hang(canvas: Picture, words: str) -> None:
    """A board with words, in the upper third; legible from 128 pixels a side."""
    side = canvas.shape[0]
    scale, thick = side / 420, max(1, side // 128)
    (wide, high), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    if wide > side - 8:
        scale *= (side - 8) / wide
        (wide, high), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    x, y = (side - wide) // 2, round(side * 0.16)
    pad = max(2, side // 48)
    cv2.rectangle(canvas, (x - pad, y - high - pad), (x + wide + pad, y + below + pad), (250, 250, 244), -1)
    cv2.putText(canvas, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 24), thick, cv2.LINE_AA)
