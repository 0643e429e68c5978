"""Tokens made fewer: dealt out evenly, and merged with their neighbours in time without losing whence they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Vector
from .prototypes import unit

_RUNS = 96
"""Tokens that merging weighs one by one, or three times those to be kept; longer rows are first averaged in runs."""


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """One token before it stands in its row."""

    vector: Vector
    stream: str
    t_ns: int
    place: str | None
    source: tuple[tuple[str, float], ...]
    """(event, share), the largest first; the shares add up to one."""
    weight: float = 1.0


def deal(wanted: Sequence[int], slots: int, order: Sequence[int]) -> list[int]:
    """Slots for each, no more than it wants: each gets one before any gets two, and so on, in `order`."""
    given = [0] * len(wanted)
    level = 0
    while slots and (hungry := [i for i in order if wanted[i] > level]):
        step = min(min(wanted[i] for i in hungry) - level, slots // len(hungry))
        for i in hungry if step else hungry[:slots]:
            given[i] += max(step, 1)
        slots -= step * len(hungry) if step else min(slots, len(hungry))
        level += max(step, 1)
    return given


def merged(tokens: Sequence[Token], keep: int) -> list[Token]:
    """Tokens of one stream in order of time -> at most `keep`, the most alike neighbours merged, weights carried."""
    if len(tokens) <= keep:
        return list(tokens)
    if keep < 1:
        return []
    import torch

    from ..operators.merge import merge_adjacent

    rows = _in_runs(list(tokens), max(_RUNS, 3 * keep))
    vectors = torch.from_numpy(np.stack([token.vector for token in rows])[:, None])  # [T, 1, D]
    weights = torch.tensor([token.weight for token in rows], dtype=torch.float32)
    left = merge_adjacent(vectors, keep, weights)
    bounds = left.groups.tolist()
    return [_one(rows[a:b], left.frames[k, 0].numpy()) for k, (a, b) in enumerate(pairwise(bounds))]


def _in_runs(tokens: list[Token], most: int) -> list[Token]:
    if len(tokens) <= most:
        return tokens
    cuts = np.linspace(0, len(tokens), most + 1).round().astype(int).tolist()
    runs = [tokens[a:b] for a, b in pairwise(cuts)]
    return [_one(run, np.average([t.vector for t in run], axis=0, weights=[t.weight for t in run])) for run in runs]


def _one(tokens: Sequence[Token], vector: NDArray[Any]) -> Token:
    """The token that stands for several neighbours in time."""
    if len(tokens) == 1:
        return tokens[0]
    weight = sum(token.weight for token in tokens)
    shares: dict[str, float] = {}
    places: dict[str | None, float] = {}
    for token in tokens:
        places[token.place] = places.get(token.place, 0.0) + token.weight
        for event, share in token.source:
            shares[event] = shares.get(event, 0.0) + share * token.weight / weight
    first = tokens[0].t_ns
    t_ns = first + round(sum((token.t_ns - first) * token.weight for token in tokens) / weight)
    source = tuple(sorted(shares.items(), key=lambda pair: -pair[1]))
    return Token(unit(vector), tokens[0].stream, t_ns, max(places, key=lambda p: places[p]), source, weight)


def merged_by_stream(tokens: Sequence[Token], slots: int) -> list[Token]:
    """Merged down to `slots`, never across streams: their times have nothing to do with each other."""
    streams: dict[str, list[Token]] = {}
    for token in tokens:
        streams.setdefault(token.stream, []).append(token)
    given = deal([len(rows) for rows in streams.values()], slots, range(len(streams)))
    return [token for rows, keep in zip(streams.values(), given, strict=True) for token in merged(rows, keep)]
