"""Potentiation and the ranking by usage in plain float64, a prototype and a candidate at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def prototypes(usage: Array, count: int) -> list[int]:
    """The most used first; the earlier of equals first; NaN as minus infinity."""
    worth = [-math.inf if math.isnan(u) else float(u) for u in usage]
    return sorted(range(len(worth)), key=lambda i: (-worth[i], i))[:count]


def most_used(usage: Array, keep: int) -> list[int]:
    """Drops the least used, of equals the earliest, one at a time; NaN as minus infinity."""
    worth = [-math.inf if math.isnan(u) else float(u) for u in usage]
    held = list(range(len(worth)))
    while len(held) > keep:
        held.remove(min(held, key=lambda i: (worth[i], i)))
    return held


def published_eviction(usage: Array, keep: int) -> list[int]:
    """XMem's rule: above the (N - keep)-th smallest, strictly."""
    threshold = sorted(usage)[len(usage) - keep - 1]
    return [i for i, u in enumerate(usage) if u > threshold]


def similarity(key: Array, query: Array, shrinkage: float, selection: Array) -> float:
    """Of one key with one query."""
    distance = sum(e * (k - q) ** 2 for k, q, e in zip(key, query, selection, strict=True))
    return float(-shrinkage / math.sqrt(len(key)) * distance)


def softmax(scores: list[float]) -> list[float]:
    """NaN and minus infinity weigh 0; if nothing else is there, all do."""
    scores = [-math.inf if math.isnan(s) else s for s in scores]
    top = max(scores, default=-math.inf)
    if top == -math.inf:
        return [0.0] * len(scores)
    powers = [math.exp(s - top) for s in scores]
    return [power / sum(powers) for power in powers]


def potentiate(
    key: Array, shrinkage: Array, selection: Array, value: Array, prototypes: list[int]
) -> tuple[Array, Array, Array]:
    """Key, shrinkage and value of each prototype."""
    keys, shrinkages, values = [], [], []
    for p in prototypes:
        weights = softmax([similarity(k, key[p], float(s), selection[p]) for k, s in zip(key, shrinkage, strict=True)])
        read = [i for i, weight in enumerate(weights) if weight > 0]
        keys.append(key[p])
        shrinkages.append(sum(weights[i] * shrinkage[i] for i in read) if read else math.nan)
        values.append(sum((weights[i] * value[i] for i in read), np.zeros(value.shape[1])))
    return (
        np.array(keys).reshape(-1, key.shape[1]),
        np.array(shrinkages),
        np.array(values).reshape(-1, value.shape[1]),
    )
