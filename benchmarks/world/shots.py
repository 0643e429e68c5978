"""Shots at random: what towers are trained on and tested with, as hard as a cheap camera makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .captions import Draw, Scene, Thing, held_out
from .picture import Placed, Shot
from .vocabulary import ACTIONS, ALIVE, COLOURS, KINDS, MATERIALS, ROOMS

SMALLEST, LARGEST = 8 / 64, 28 / 64
"""Size of a thing, as a share of the picture."""
COVERED, DARK = 0.30, 0.25
"""How many things are half hidden; how many shots are taken at a quarter of the brightness."""

Allowed = Callable[[str, str, str], bool]
"""Whether a colour of a kind in a room may be drawn."""


def seen_in_training(colour: str, kind: str, room: str) -> bool:
    """Not held out."""
    return not held_out(colour, kind, room)


def random_thing(draw: Draw, room: str, allowed: Allowed = seen_in_training) -> Thing:
    """Any colour of any kind that is allowed in the room."""
    while True:
        kind, colour = _any(draw, tuple(KINDS)), _any(draw, tuple(COLOURS))
        if allowed(colour, kind, room):
            action = _any(draw, tuple(ACTIONS)) if kind in ALIVE else ""
            return Thing(kind, colour, "", _any(draw, tuple(MATERIALS)), action)


def random_shot(draw: Draw, allowed: Allowed = seen_in_training, *, most: int = 3) -> Shot:
    """A room with one to `most` things."""
    room = _any(draw, tuple(ROOMS))
    count = int(draw.choice([1, 2, 3], p=[0.5, 0.3, 0.2])) if most >= 3 else int(draw.integers(1, most + 1))
    return shot_of(draw, room, [random_thing(draw, room, allowed) for _ in range(min(count, most))])


def shot_of(draw: Draw, room: str, things: Sequence[Thing], look: int | None = None, light: str | None = None) -> Shot:
    """A shot of these things in this room: where they stand, how large, what hides them, the light and the lens."""
    placed: list[Placed] = []
    for thing in things:
        size = float(draw.uniform(SMALLEST, LARGEST))
        spots = [(float(draw.uniform(size / 2, 1 - size / 2)), float(draw.uniform(0.62, 0.97))) for _ in range(12)]
        x, y = max(spots, key=lambda spot: _clear(spot, size, placed))
        hidden = float(draw.uniform(0.35, 0.5)) if draw.random() < COVERED else 0.0
        told = Thing(thing.kind, thing.colour, _told_size(size), thing.material, thing.action)
        placed.append(Placed(told, x, y, size, hidden, bool(draw.random() < 0.5)))
    night = bool(draw.random() < DARK) if light is None else light == "night"
    return Shot(
        scene=Scene(room, tuple(p.thing for p in placed), "night" if night else "day"),
        look=int(draw.integers(0, 1 << 30)) % 400 if look is None else look,
        placed=tuple(placed),
        pan=float(draw.random()),
        blur=float(draw.uniform(0.3, 0.7)) if draw.random() < 0.3 else 0.0,
        noise=float(draw.uniform(1, 6)),
        gain=0.25 if night else float(draw.uniform(0.8, 1.05)),
    )


def _told_size(size: float) -> str:
    return "small" if size < 14 / 64 else "large" if size > 22 / 64 else ""


def _clear(spot: tuple[float, float], size: float, placed: Sequence[Placed]) -> float:
    """How far a spot is from what stands already, at most enough."""
    x, y = spot[0], spot[1] - size / 2
    gaps = [max(abs(x - p.x), abs(y - (p.y - p.size / 2))) - (size + p.size) / 2 for p in placed]
    return min([0.0, *gaps])


def _any(draw: Draw, words: Sequence[str]) -> str:
    return words[int(draw.integers(len(words)))]
