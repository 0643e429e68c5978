"""A scene over time: a backdrop seen by a hand-held camera, things that move through it, drifting light, grain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .lettering import slide
from .places import HEIGHT, PLACES, WIDTH, paint
from .things import Sprite, draw

Frame = NDArray[np.uint8]

_AIRBORNE = ("bird", "balloon", "kite")


@dataclass(frozen=True, slots=True)
class View:
    """What a camera looks at: a place (or a slide), in a seed, with things in it."""

    place: str
    """A key of `PLACES`, or "slide"."""
    seed: int
    things: tuple[tuple[str, str], ...] = ()
    """(kind, colour)"""
    title: str = ""
    lines: tuple[str, ...] = ()


class Scene:
    """Draws a view at any time; the same view and time give the same frame."""

    def __init__(self, view: View, width: int = 640, height: int = 360) -> None:
        self._size = width, height
        self._slide = view.place == "slide"
        rng = np.random.default_rng((view.seed, 1))
        if self._slide:
            self._backdrop = slide(view.title, view.lines, view.seed, width, height)
            return
        self._backdrop = paint(view.place, view.seed)
        self._sprites = [draw(kind, colour, _height(kind)) for kind, colour in view.things]
        self._airborne = [kind in _AIRBORNE for kind, _ in view.things]
        n = len(view.things)
        self._start, self._speed = rng.uniform(0, WIDTH, n), rng.uniform(24, 70, n) * rng.choice((-1, 1), n)
        self._lane, self._beat = rng.uniform(0, 1, n), rng.uniform(0.15, 0.5, n)
        self._zoom = rng.uniform(0.76, 0.84)
        self._pan, self._pace, self._phase = rng.uniform(18, 60), rng.uniform(0.12, 0.3), rng.uniform(0, 6, 4)
        self._shake = rng.uniform(0.3, 1.8)

    def frame(self, t_s: float, grain: float = 3.0) -> Frame:
        """uint8[height, width, 3] RGB at `t_s` of the scene's own clock; `grain` is the noise's deviation in levels."""
        width, height = self._size
        if self._slide:
            return _grained(self._backdrop, t_s, grain / 3)
        zoom, x, y = self._camera(t_s)
        scale = zoom * width / 640
        warp = np.array([[scale, 0, width / 2 - scale * x], [0, scale, height / 2 - scale * y]], dtype=np.float64)
        seen = np.asarray(
            cv2.warpAffine(self._backdrop, warp, (width, height), borderMode=cv2.BORDER_REFLECT), dtype=np.uint8
        )
        for k, sprite in enumerate(self._sprites):
            at_x, at_y = self._position(k, t_s)
            blend(seen, _scaled(sprite, scale), *(warp @ (at_x, at_y, 1)))
        light = 1 + 0.06 * np.sin(0.35 * t_s + self._phase[3])
        return _grained(np.asarray(cv2.convertScaleAbs(seen, alpha=light), dtype=np.uint8), t_s, grain)

    def _camera(self, t_s: float) -> tuple[float, float, float]:
        """(zoom, x, y): a slow pan and breath, and the shake of a hand."""
        zoom = self._zoom * (1 + 0.05 * np.sin(0.21 * t_s + self._phase[0]))
        x = WIDTH / 2 + self._pan * np.sin(self._pace * t_s + self._phase[1]) + self._shake * np.sin(7.1 * t_s)
        y = HEIGHT / 2 + 14 * np.sin(0.17 * t_s + self._phase[2]) + self._shake * np.sin(5.3 * t_s + 1)
        return float(zoom), float(x), float(y)

    def _position(self, k: int, t_s: float) -> tuple[float, float]:
        """Top left corner of a thing on the canvas: across it and in again from the other side."""
        x = (self._start[k] + self._speed[k] * t_s) % (WIDTH + 260) - 180
        base = 60 + 110 * self._lane[k] if self._airborne[k] else 330 + 60 * self._lane[k] - len(self._sprites[k]) * 0.4
        sway = 26 if self._airborne[k] else 5
        return float(x), float(base + sway * np.sin(2 * np.pi * self._beat[k] * t_s))


def _height(kind: str) -> int:
    return {"person": 150, "car": 130, "boat": 130, "robot": 130, "bird": 70, "ball": 90}.get(kind, 100)


def _scaled(sprite: Sprite, scale: float) -> Sprite:
    high, wide = sprite.shape[:2]
    return np.asarray(cv2.resize(sprite, (max(int(wide * scale), 1), max(int(high * scale), 1))), dtype=np.float32)


def blend(frame: Frame, sprite: Sprite, x: float, y: float) -> None:
    """Lays a sprite on a frame in place, its top left corner at (x, y); what stands outside is cut off."""
    left, top = round(x), round(y)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.shape[1], frame.shape[1]), min(top + sprite.shape[0], frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
    under, alpha = frame[y0:y1, x0:x1], part[..., 3:]
    under[:] = (under * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)


@cache
def _grain(k: int, height: int, width: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(k)
    return np.repeat(rng.standard_normal((height, width, 1)).astype(np.float32), 3, axis=2)


def _grained(frame: Frame, t_s: float, deviation: float) -> Frame:
    """With the noise of a sensor; eight patterns take turns, so that it costs one addition."""
    if deviation <= 0:
        return frame.copy()
    noise = _grain(round(t_s * 100) % 8, *frame.shape[:2])
    return np.asarray(cv2.addWeighted(frame, 1.0, noise, deviation, 0, dtype=cv2.CV_8U), dtype=np.uint8)


def describe(view: View) -> str:
    """A view in words: "A harbour with ...; a red boat and a white bird move through it."""
    if view.place == "slide":
        return f"A slide titled '{view.title}' with the bullets: {'; '.join(view.lines)}."
    things = " and ".join(f"{'an' if colour == 'orange' else 'a'} {colour} {kind}" for kind, colour in view.things)
    return f"{PLACES[view.place][0]}, with {things}."
