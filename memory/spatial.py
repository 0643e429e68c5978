"""Places: where a stream was, by its poses, by names that came with its percepts, or by how the surroundings look.

Three ways to a place, the surest that a moment offers:
- A percept that names its place: that name is the place.
- A pose: leader clustering (Hartigan 1975, *Clustering Algorithms*, chapter 3; the sequential method of an online map).
  A place is founded where the observer stands more than `radius + slack` from every other, and its middle never moves.
  So the middles lie at least `radius + slack` apart, and who comes back to within `slack` of one, by whatever way and
  with whatever noise, is nearest to it and to no other's middle within the radius: the same place.
- Looks, where there is no pose and the setting asks for it: a sight belongs to the place that it is like, if it is
  clearly less like the next one (the ratio test of Lowe 2004, IJCV 60, section 7.1). What is like two is in none, so
  vectors that do not tell rooms apart make one place or none. A new look has to last before it founds a place.

The number of places is bounded: when it is reached no more are founded, and what lies beyond has no place. The visits
and the moves from place to place make a graph. All of it follows from the rows that are stored, so that a recording
goes on from them as if it had not been interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..records import NS_PER_S, Place, Pose, Vector, identify

SLACK = 0.25
"""Noise of a pose that changes nothing, as a share of the radius."""
AWAY_NS = 60 * NS_PER_S
"""Who was not placed anywhere for this long comes for a new visit."""
RATIO = 0.6
"""A sight is of the place that it is likest if its distance (1 - cosine) is at most this share of the next one's."""
NEW = 0.5
"""A look is new if its distance from every place is more than this much beyond what likeness allows."""
LASTS_NS = 2 * NS_PER_S
"""A new look founds a place once it has lasted this long, in this many sights."""
SIGHTS = 3


@dataclass(frozen=True, slots=True)
class PlaceSettings:
    """How places are told apart."""

    radius_m: float = 2.0
    """How far a place reaches from its middle, in metres; <= 0: no places from poses."""
    likeness: float = 0.0
    """Cosine from which a sight is of a known place where there is no pose; 0: no places from looks."""
    most: int = 256
    """Places of a stream, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """What tells where a stream is at a time."""

    t_ns: int
    given: str | None = None
    """The place's name, as it came with a percept."""
    pose: Pose | None = None
    space: str = ""
    vector: Vector | None = None
    """float32[d], unit length: a sight."""
    unsaid: bool = False
    """Whether the name that was given was erased since, and its id stands there instead."""


class PlaceMap:
    """The places of one stream and the moves between them; takes fixes in order of time."""

    def __init__(self, stream: str, settings: PlaceSettings, places: Iterable[Place] = ()) -> None:
        """places: those that an interrupted recording stored."""
        self._stream = stream
        self._settings = settings
        self._places = sorted(places, key=lambda place: (place.first_ns, place.id))
        self._at = {place.key: i for i, place in enumerate(self._places)}
        here = max(self._places, key=lambda place: place.last_ns, default=None)
        self._here = None if here is None else self._at[here.key]
        """Where the stream was placed last."""
        self._middles = np.array([_middle(place) for place in self._places], np.float64).reshape(-1, 3)
        """float64[n, 3] in metres; NaN where no pose is known."""
        self._look: _Look | None = None

    @property
    def places(self) -> list[Place]:
        """In the order in which they were founded."""
        return list(self._places)

    @property
    def here(self) -> Place | None:
        """The place where the stream was placed last."""
        return None if self._here is None else self._places[self._here]

    def begin(self) -> None:
        """An event begins: what looked new in the one before counts no more."""
        self._look = None

    def take(self, fix: Fix) -> str | None:
        """Where that is: the key of a place, known or founded now; None where it is not sure. O(places)."""
        if fix.given is not None:
            key = self.key_of(fix.given)
            at = self._at.get(key)
            if at is None and not self._full:
                id, name = (key, "") if fix.unsaid else (id_of(self._stream, key), key)
                at = self._found(Place(id, self._stream, key, name), fix)
            self._stay(at, fix)
            return key
        at = self._by_pose(fix) if fix.pose is not None else self._by_look(fix)
        self._stay(at, fix)
        return None if at is None else self._places[at].key

    def key_of(self, given: str) -> str:
        """The key of the place that percepts call so: the name itself; the id where that was erased (`unsaid`)."""
        id = id_of(self._stream, given)
        return id if id in self._at else given

    def rename(self, id: str, name: str) -> None:
        """Gives the place of that id, where it is known, another name."""
        self._places = [replace(place, name=name) if place.id == id else place for place in self._places]

    @property
    def _full(self) -> bool:
        return len(self._places) >= self._settings.most

    def _by_pose(self, fix: Fix) -> int | None:
        assert fix.pose is not None
        radius = self._settings.radius_m
        where = np.array([fix.pose.x, fix.pose.y, fix.pose.z])
        spread = max(fix.pose.spread, 0.0)
        if radius <= 0 or not np.isfinite(where).all() or not spread <= radius:
            return None
        away = np.linalg.norm(self._middles - where, axis=1)  # [n], NaN compares as far
        for reach in (radius, (1 + SLACK) * radius):
            near = np.flatnonzero(away <= reach)
            if self._here is not None and self._here in near:
                return self._here
            if len(near):
                return int(near[0] if reach == radius else near[np.argmin(away[near])])
        unsure = np.flatnonzero(away <= (1 + SLACK) * radius + spread)
        if len(unsure):  # it may be one of these, and may not
            return int(unsure[np.argmin(away[unsure])])
        if self._full:
            return None
        id = self._new_id(fix)
        return self._found(Place(id, self._stream, id), fix)

    def _by_look(self, fix: Fix) -> int | None:
        likeness = self._settings.likeness
        if fix.vector is None or likeness <= 0:
            return None
        known = [i for i, place in enumerate(self._places) if fix.space in place.vectors]
        there = [self._places[i].vectors[fix.space] for i in known]
        apart = 1 - (np.stack(there) @ fix.vector) if there else np.empty(0)  # [n]
        order = np.argsort(apart, kind="stable")
        if len(order) and apart[order[0]] <= 1 - likeness:
            self._look = None
            alone = len(order) == 1 or apart[order[0]] <= RATIO * apart[order[1]]
            return known[int(order[0])] if alone else None
        if self._full or (len(order) and apart[order[0]] <= (1 + NEW) * (1 - likeness)):
            return None
        if self._look is None or not self._look.goes_on(fix, likeness):
            self._look = _Look(fix)
            return None
        vector = self._look.lasted(fix)
        if vector is None:
            return None
        self._look, id = None, self._new_id(fix)
        return self._found(Place(id, self._stream, id, vectors={fix.space: vector}), fix)

    def _new_id(self, fix: Fix) -> str:
        return identify(self._stream, "place", "", fix.t_ns, fix.t_ns, len(self._places))

    def _found(self, place: Place, fix: Fix) -> int:
        pose = fix.pose
        if pose is not None:
            place = replace(place, x=pose.x, y=pose.y, z=pose.z, yaw=pose.yaw, spread=0.0)
        self._places.append(replace(place, first_ns=fix.t_ns, last_ns=fix.t_ns))
        self._middles = np.vstack([self._middles, _middle(place)])
        self._at[place.key] = len(self._places) - 1
        return len(self._places) - 1

    def _stay(self, at: int | None, fix: Fix) -> None:
        """Notes that the stream is there: a visit begins with a move, or after a long absence."""
        if at is None:
            return
        before, place = self.here, self._places[at]
        if before is None or before.id != place.id or fix.t_ns - place.last_ns > AWAY_NS:
            place = replace(place, visits=place.visits + 1)
        if before is not None and before.id != place.id:
            assert self._here is not None
            self._places[self._here] = replace(before, moves=_counted(before.moves, place.id))
        reached = place.spread
        if fix.pose is not None and None not in (place.x, place.spread):
            middle = np.array(_middle(place))
            reached = max(place.spread or 0.0, float(np.linalg.norm(middle - (fix.pose.x, fix.pose.y, fix.pose.z))))
        self._places[at] = replace(place, last_ns=max(place.last_ns, fix.t_ns), spread=reached)
        self._here = at


class _Look:
    """Sights that are like one another and like no place that is known."""

    def __init__(self, fix: Fix) -> None:
        assert fix.vector is not None
        self._first_ns, self._space, self._count = fix.t_ns, fix.space, 1
        self._sum: NDArray[np.float64] = np.asarray(fix.vector, np.float64)

    def goes_on(self, fix: Fix, likeness: float) -> bool:
        """Whether the next sight is like those so far."""
        return fix.space == self._space and fix.vector is not None and float(self._mean @ fix.vector) >= likeness

    def lasted(self, fix: Fix) -> Vector | None:
        """Takes the next sight; float32[d], their mean at unit length, once they are enough to found a place."""
        assert fix.vector is not None
        self._sum = self._sum + fix.vector
        self._count += 1
        if self._count < SIGHTS or fix.t_ns - self._first_ns < LASTS_NS:
            return None
        return np.asarray(self._mean, np.float32)

    @property
    def _mean(self) -> NDArray[np.float64]:
        return self._sum / max(float(np.linalg.norm(self._sum)), 1e-12)


def id_of(stream: str, given: str) -> str:
    """The id of a place that percepts name."""
    return identify(stream, "place", given, 0, 0, 0)


def _middle(place: Place) -> tuple[float, float, float]:
    if place.x is None or place.y is None or place.z is None:
        return math.nan, math.nan, math.nan
    return place.x, place.y, place.z


def _counted(moves: tuple[tuple[str, int], ...], id: str) -> tuple[tuple[str, int], ...]:
    counts = dict(moves)
    counts[id] = counts.get(id, 0) + 1
    return tuple(sorted(counts.items()))


def carry_names(places: Iterable[Place], named: Iterable[Place], radius_m: float) -> list[Place]:
    """Places with the names that a person gave to those of an earlier recording of the same stream (`Place.renamed`).

    By id, else by the nearest middle within the radius; each name goes to one place.
    """
    made = list(places)
    for old in (place for place in named if place.renamed):
        at = next((i for i, place in enumerate(made) if place.id == old.id), None)
        if at is None and old.x is not None and made:
            away = np.linalg.norm(np.array([_middle(place) for place in made]) - _middle(old), axis=1)
            nearest = int(np.argmin(np.where(np.isnan(away), np.inf, away)))
            at = nearest if away[nearest] <= radius_m else None
        if at is not None and not made[at].renamed:
            made[at] = replace(made[at], name=old.name)
    return made
