"""Which events are the same again: groups of reciprocal nearest neighbours.

Two groups become one where each is the other's nearest and they are alike enough in every space that both have; again
until no more do (agglomeration by reciprocal nearest neighbours, Murtagh 1983). A group is as alike to another as the
means of their unit vectors. So the order of events does not matter, and what is grouped already stays grouped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import Event

SAME = "same"
"""The kind of a link between events that are the same."""
_BLOCK = 2048
_ROUNDS = 64


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
    """The links that are missing, and the groups with them. Deterministic; O(E^2 d) a round, a few rounds.

    Events without a vector are the same as nothing. threshold: the cosine from which events are the same.
    """
    vectors = _stacked(events)
    groups = linked(events)
    made: list[Tie] = []
    for _ in range(_ROUNDS):
        means = {space: _means(each, groups) for space, each in vectors.items()}
        nearest, likeness = _nearest(means, len(groups))
        pairs = [
            (i, int(j))
            for i, j in enumerate(nearest)
            if i < j and nearest[j] == i and likeness[i] >= threshold
        ]  # fmt: skip
        if not pairs:
            break
        for i, j in pairs:
            one, other, weight = _closest(vectors, groups[i], groups[j])
            made.append(Tie(events[one].id, events[other].id, weight))
            groups[i] = sorted(groups[i] + groups[j])
        gone = {j for _, j in pairs}
        groups = [group for i, group in enumerate(groups) if i not in gone]
    return made, groups


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


def _nearest(means: Mapping[str, NDArray[np.float32]], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each group the nearest other and the cosine: the least over the spaces that both have, -1 where none."""
    nearest, best = np.zeros(count, np.int64), np.full(count, -1.0, np.float32)
    there = {space: np.abs(each).sum(axis=1) > 0 for space, each in means.items()}
    for first in range(0, count, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, count))
        alike = np.full((len(rows), count), np.inf, np.float32)
        for space, each in means.items():
            both = there[space][rows, None] & there[space][None, :]
            alike = np.where(both, np.minimum(alike, each[rows] @ each.T), alike)
        alike[np.isinf(alike)] = -1.0
        alike[np.arange(len(rows)), rows] = -1.0
        nearest[rows], best[rows] = alike.argmax(axis=1), alike.max(axis=1)
    return nearest, best


def _closest(
    vectors: Mapping[str, NDArray[np.float32]], one: Sequence[int], other: Sequence[int]
) -> tuple[int, int, float]:
    """The two events of two groups that are most alike."""
    alike = np.full((len(one), len(other)), np.inf, np.float32)
    for each in vectors.values():
        held = np.abs(each).sum(axis=1) > 0
        both = held[list(one), None] & held[None, list(other)]
        alike = np.where(both, np.minimum(alike, each[list(one)] @ each[list(other)].T), alike)
    alike[np.isinf(alike)] = -1.0
    i, j = np.unravel_index(int(alike.argmax()), alike.shape)
    return one[int(i)], other[int(j)], round(min(1.0, float(alike[i, j])), 6)
