"""Floor plans: named rooms side by side, each with its own look, and the doors between them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .vocabulary import ROOMS


@dataclass(frozen=True, slots=True)
class Room:
    """One room: an upright rectangle on the floor, in metres."""

    id: int
    kind: str
    """Its name in the vocabulary; two rooms may share it."""
    look: int
    """Seed of its walls, floor and furniture marks: none of the few hundred that towers are trained on."""
    x: float
    """Of its centre."""
    y: float
    width: float
    depth: float

    def holds(self, x: float, y: float, slack: float = 1e-6) -> bool:
        """Whether a point stands inside, or on the wall."""
        return abs(x - self.x) <= self.width / 2 + slack and abs(y - self.y) <= self.depth / 2 + slack


@dataclass(frozen=True, slots=True)
class Door:
    """A door between two rooms, in the wall that they share."""

    a: int
    b: int
    x: float
    y: float


@dataclass(frozen=True)
class FloorPlan:
    """Rooms by id, and doors; every room can be reached from every other."""

    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]

    @cached_property
    def _ways(self) -> dict[int, dict[int, Door]]:
        ways: dict[int, dict[int, Door]] = {room.id: {} for room in self.rooms}
        for door in self.doors:
            ways[door.a][door.b] = ways[door.b][door.a] = door
        return ways

    def next_to(self, room: int) -> tuple[int, ...]:
        """Rooms behind the doors of a room, by id."""
        return tuple(sorted(self._ways[room]))

    def door(self, a: int, b: int) -> Door:
        """The door between two neighbours. Raises KeyError where there is none."""
        return self._ways[a][b]

    def path(self, a: int, b: int) -> tuple[int, ...]:
        """The rooms of a shortest way from `a` to `b`, both included."""
        came: dict[int, int] = {a: a}
        queue = deque([a])
        while queue and b not in came:
            here = queue.popleft()
            for room in self.next_to(here):
                if room not in came:
                    came[room] = here
                    queue.append(room)
        way = [b]
        while way[-1] != a:
            way.append(came[way[-1]])
        return tuple(reversed(way))


def draw_floorplan(seed: int, rooms: int, *, twins: float = 0.0) -> FloorPlan:
    """A floor plan of any number of rooms on a grid of unequal columns and rows.

    Kinds do not repeat before all are used, but for a share `twins` of the rooms, which are of a kind that is there
    already. The same seed gives the same plan.
    """
    if rooms < 1:
        raise ValueError(f"a floor plan has at least one room, not {rooms}")
    draw = np.random.default_rng((seed, 101))
    columns = int(np.ceil(np.sqrt(rooms)))
    lefts = np.concatenate([[0.0], np.cumsum(draw.uniform(3.0, 6.5, columns))])
    tops = np.concatenate([[0.0], np.cumsum(draw.uniform(3.0, 6.5, -(-rooms // columns)))])
    made = []
    for k, kind in enumerate(_draw_kinds(draw, rooms, twins)):
        row, column = divmod(k, columns)
        width, depth = lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]
        x, y = lefts[column] + width / 2, tops[row] + depth / 2
        made.append(Room(k, kind, int(draw.integers(400, 1 << 30)), float(x), float(y), float(width), float(depth)))
    return FloorPlan(tuple(made), tuple(_draw_doors(draw, made, columns)))


def _draw_kinds(draw: np.random.Generator, rooms: int, twins: float) -> list[str]:
    kinds: list[str] = []
    left: list[str] = []
    for _ in range(rooms):
        if kinds and draw.random() < twins:
            kinds.append(str(draw.choice(kinds)))
            continue
        if not left:
            left = [str(kind) for kind in draw.permutation(list(ROOMS))]
        kinds.append(left.pop())
    return kinds


def _draw_doors(draw: np.random.Generator, rooms: list[Room], columns: int) -> list[Door]:
    """A door in the walls that a random spanning tree asks for, and in three of ten of the others."""
    walls = [
        (k, other)
        for k in range(len(rooms))
        for other in (k + 1, k + columns)
        if other < len(rooms) and (other != k + 1 or other % columns)
    ]
    group = list(range(len(rooms)))

    def root(k: int) -> int:
        while group[k] != k:
            group[k] = group[group[k]]
            k = group[k]
        return k

    doors = []
    for i in draw.permutation(len(walls)):
        a, b = walls[i]
        if root(a) != root(b) or draw.random() < 0.3:
            group[root(a)] = root(b)
            doors.append(_door(rooms[a], rooms[b], float(draw.uniform(-0.3, 0.3))))
    return sorted(doors, key=lambda door: (door.a, door.b))


def _door(a: Room, b: Room, along: float) -> Door:
    """`along`: how far from the middle of the wall, as a share of its length."""
    if b.id == a.id + 1:
        return Door(a.id, b.id, a.x + a.width / 2, a.y + along * a.depth)
    return Door(a.id, b.id, a.x + along * a.width, a.y + a.depth / 2)
