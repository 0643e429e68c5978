"""The records of a story: what was where, seen, heard, said and done, and from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mneme.records import Pose

from .captions import Thing
from .floorplan import Room
from .narration import Fact

Deed = Literal["placed", "dropped", "taken", "hidden", "found", "came", "went"]


@dataclass(frozen=True, slots=True)
class Presence:
    """One object or figure in view over [t0_ns, t1_ns), as the picture shows it."""

    item: int
    """The same object always has the same number."""
    thing: Thing
    t0_ns: int
    t1_ns: int
    x: float
    """0 to 1: where its middle stands at first."""
    x1: float
    """And at last: another place for who walks."""
    y: float
    """0 to 1: of its base."""
    size: float
    """Its height as a share of the picture's."""
    hidden: float = 0.0
    """Share that is covered from one side."""
    falls: bool = False
    """It comes into view falling."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something done to an object, or by a figure, while the camera looked on."""

    deed: Deed
    item: int
    thing: Thing
    room: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class Sign:
    """Words to be read in the picture over [t0_ns, t1_ns)."""

    text: str
    t0_ns: int
    t1_ns: int


@dataclass(frozen=True, slots=True)
class Noise:
    """A sound of the vocabulary over [t0_ns, t1_ns)."""

    name: str
    t0_ns: int
    t1_ns: int
    snr_db: float
    """Its power over that of the background."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of the narration over [t0_ns, t1_ns)."""

    fact: Fact
    t0_ns: int
    t1_ns: int

    @property
    def text(self) -> str:
        return self.fact.text


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where the camera is at a time: metres on the floor plan, and its heading in radians."""

    t_ns: int
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Visit:
    """The camera's stay in one room over [t0_ns, t1_ns): everything that is seen and heard in it."""

    ordinal: int
    room: Room
    t0_ns: int
    t1_ns: int
    light: str
    noise: float
    """Of the sensor: standard deviation, of 255."""
    sway: tuple[float, float]
    """Where along the room the camera looks at the start and at the end, 0 to 1."""
    way: tuple[Waypoint, ...]
    presences: tuple[Presence, ...] = ()
    happenings: tuple[Happening, ...] = ()
    signs: tuple[Sign, ...] = ()
    sounds: tuple[Noise, ...] = ()
    lines: tuple[Line, ...] = ()

    def pose(self, t_ns: int) -> Pose:
        """Where the camera is; straight between waypoints, as far as the visit goes."""
        way = self.way
        k = next((k for k in range(len(way) - 1) if t_ns < way[k + 1].t_ns), len(way) - 2)
        a, b = way[k], way[k + 1]
        share = min(max((t_ns - a.t_ns) / max(b.t_ns - a.t_ns, 1), 0.0), 1.0)
        x, y, yaw = (p + (q - p) * share for p, q in ((a.x, b.x), (a.y, b.y), (a.yaw, b.yaw)))
        return Pose(x, y, 1.5, yaw)

    def present(self, t_ns: int) -> tuple[Presence, ...]:
        """What is in view at a time, the farthest first."""
        return tuple(sorted((p for p in self.presences if p.t0_ns <= t_ns < p.t1_ns), key=lambda p: (p.y, p.item)))

    def sign(self, t_ns: int) -> str:
        """The words to be read at a time, or none."""
        return next((sign.text for sign in self.signs if sign.t0_ns <= t_ns < sign.t1_ns), "")

    def edges_ns(self) -> tuple[int, ...]:
        """The times at which what is in view changes, from the start to the end of the visit."""
        edges = {self.t0_ns, self.t1_ns} | {t for p in self.presences for t in (p.t0_ns, p.t1_ns)}
        return tuple(sorted(t for t in edges if self.t0_ns <= t <= self.t1_ns))
