"""Which events are the same again: groups of nearest neighbours.

A group joins its nearest where that is alike enough in every space that both have, and all that have one group as their
nearest join it at once; again until none does. Of reciprocal neighbours that is agglomeration (Murtagh 1983), and what
waits for its nearest to join another keeps it from running along chains, as Boruvka's rounds do (affinity clustering,
Bateni et al. 2017). A group is as alike to another as the means of their unit vectors. So the order of events does not
matter, and what is grouped already stays grouped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import Event

SAME = "same"
"""The kind of a link between events that are the same."""
_BLOCK = 512
_ROUNDS = 64
"""Most often it takes about five: what is alike to nothing is not compared with its like again."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Two events that are to be linked, and their cosine: the least over the spaces that both have."""

    one: str
    other: str
    weight: float


def linked(events: Sequence[Event]) -> list[list[int]]:
    """Groups that links say already, as indices, every event in one; in order of their first."""
    root = list(range(len(events)))
    at = {event.id: i for i, event in enumerate(events)}

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, event in enumerate(events):
        for link in event.links:
            if link.kind == SAME and link.event in at:
                one, other = sorted((find(i), find(at[link.event])))
                root[other] = one
    groups: dict[int, list[int]] = {}
    for i in range(len(events)):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())


def ties(events: Sequence[Event], threshold: float) -> tuple[list[Tie], list[list[int]]]:
    """The links that are missing, and the groups with them. Deterministic; O(E^2 d) once, and a few smaller rounds.

    Events without a vector are the same as nothing; of events that are equally alike the earlier go first. threshold:
    the cosine from which events are the same.
    """
    order = sorted(range(len(events)), key=lambda i: (events[i].t0_ns, events[i].stream, events[i].id))
    timed = [events[i] for i in order]
    vectors = _stacked(timed)
    groups = linked(timed)
    alive = np.arange(len(groups))
    made: list[Tie] = []
    for _ in range(_ROUNDS):
        means = {space: _means(each, groups) for space, each in vectors.items()}
        nearest, likeness = _nearest(means, len(groups), alive)
        joins = _stars(nearest, likeness, threshold)
        if not joins:
            break
        for i, j in joins:
            one, other, weight = _closest(vectors, groups[i], groups[j])
            made.append(Tie(timed[one].id, timed[other].id, weight))
        joined: dict[int, list[int]] = {}
        for i, j in joins:
            joined.setdefault(j, list(groups[j])).extend(groups[i])
        groups = [sorted(joined.get(i, group)) for i, group in enumerate(groups)]
        stay = np.ones(len(groups), np.bool_)
        stay[[i for i, _ in joins]] = False
        groups = [group for group, stays in zip(groups, stay, strict=True) if stays]
        alive = np.flatnonzero(likeness[stay] >= threshold)
    return made, sorted(sorted(order[i] for i in group) for group in groups)


def _stars(nearest: NDArray[np.int64], likeness: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """(what joins, what it joins): what joins is joined by nothing, and the other way round; the most alike first."""
    alike = np.flatnonzero(likeness >= threshold)
    joining: set[int] = set()
    joined: set[int] = set()
    joins = []
    for i in alike[np.lexsort((alike, -likeness[alike]))].tolist():
        j = int(nearest[i])
        if i not in joined and j not in joining:
            joining.add(i)
            joined.add(j)
            joins.append((i, j))
    return joins


def _stacked(events: Sequence[Event]) -> dict[str, NDArray[np.float32]]:
    """space -> float32[E, d]; zeros where an event has no vector of it."""
    stacked: dict[str, NDArray[np.float32]] = {}
    for i, event in enumerate(events):
        for space, vector in event.vectors.items():
            if space not in stacked:
                stacked[space] = np.zeros((len(events), len(vector)), np.float32)
            stacked[space][i] = vector
    return dict(sorted(stacked.items()))


def _means(vectors: NDArray[np.float32], groups: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The mean of each group, unit length; zeros where none of it has a vector. [G, d]"""
    sums = np.stack([vectors[group].sum(axis=0, dtype=np.float64) for group in groups])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(lengths, 1e-12), np.float32)


def _nearest(
    means: Mapping[str, NDArray[np.float32]], count: int, alive: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each group the nearest other and the cosine: the least over the spaces that both have, -1 where none.

    alive: groups that may be alike to any; the others are to these only, and are not compared among each other.
    """
    nearest, best = np.zeros(count, np.int64), np.full(count, -1.0, np.float32)
    there = {space: _held(each) for space, each in means.items()}
    for first in range(0, len(alive), _BLOCK):
        rows = alive[first : first + _BLOCK]
        alike = np.full((len(rows), count), np.inf, np.float32)
        for space, each in means.items():
            both = there[space][rows, None] & there[space][None, :]
            np.minimum(alike, each[rows] @ each.T, out=alike, where=both)
        alike[~np.isfinite(alike)] = -1.0
        alike[np.arange(len(rows)), rows] = -1.0
        column, most = rows[alike.argmax(axis=0)], alike.max(axis=0)
        nearest, best = np.where(most > best, column, nearest), np.maximum(most, best)
        nearest[rows], best[rows] = alike.argmax(axis=1), alike.max(axis=1)
    return nearest, best


def _held(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool[n]: whether there is a vector."""
    return np.asarray(vectors.any(axis=1))


def _closest(
    vectors: Mapping[str, NDArray[np.float32]], one: Sequence[int], other: Sequence[int]
) -> tuple[int, int, float]:
    """The two events of two groups that are most alike, the earlier of equals."""
    best = (-2.0, -1, -1)
    for first in range(0, len(one), _BLOCK):
        rows = list(one[first : first + _BLOCK])
        alike = np.full((len(rows), len(other)), np.inf, np.float32)
        for each in vectors.values():
            mine, theirs = each[rows], each[list(other)]
            np.minimum(alike, mine @ theirs.T, out=alike, where=_held(mine)[:, None] & _held(theirs)[None, :])
        alike[~np.isfinite(alike)] = -1.0
        i, j = np.unravel_index(int(alike.argmax()), alike.shape)
        if alike[i, j] > best[0]:
            best = (float(alike[i, j]), rows[int(i)], other[int(j)])
    return best[1], best[2], round(min(1.0, best[0]), 6)
