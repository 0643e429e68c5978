"""EM-LLM's refinement in plain float64: every sum of every split taken from A itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def score(window: Array, t: int, criterion: str) -> float:
    """Of A within a window, cut before token t."""
    total = window.sum()
    a, b, c = window[:t, :t].sum(), window[t:, t:].sum(), window[:t, t:].sum()
    with np.errstate(all="ignore"):
        if criterion == "modularity":
            return float(a / total - ((a + c) / total) ** 2)
        if criterion == "conductance":
            volumes = [min(part, total - part) or 1e-15 for part in (a, b)]
            return float(min(c / volumes[0], c / volumes[1]))
        between = window[:t, t:].mean()
        return float((window[:t, :t].mean() / between + window[t:, t:].mean() / between) / 2)


def candidates(last: int, event: int, min_size: int, offset: int) -> list[int]:
    """The cuts that a boundary may move to."""
    if event - last <= min_size or event - offset <= min_size:
        return []
    return list(range(max(offset, last) + min_size, event))


def window_of(keys: Array, last: int, event: int) -> tuple[int, Array]:
    """Where the window of a boundary begins, and A within it."""
    half = (event - last) // 2
    left = max(0, last - half)
    rows = keys[left : min(len(keys), event + half)]
    with np.errstate(invalid="ignore"):
        return left, rows @ rows.T


def kept(events: list[int], min_size: int, offset: int) -> list[int]:
    """Events, counted from token 0, that lie far enough behind the one before them."""
    return [
        event
        for i, event in enumerate(events)
        if (event - events[i - 1] >= min_size if i else offset == 0 or event - offset >= min_size)
    ]


def refine_boundaries(keys: Array, boundaries: list[int], criterion: str, min_size: int, offset: int) -> list[int]:
    """One boundary after the other."""
    refined: list[int] = []
    last = 0
    for event in kept([b + offset for b in boundaries], min_size, offset):
        left, window = window_of(keys, last, event)
        best, chosen = -math.inf, event
        for t in candidates(last, event, min_size, offset):
            worth = score(window, t - left, criterion) * (-1 if criterion == "conductance" else 1)
            if worth > best:
                best, chosen = worth, t
        refined.append(chosen - offset)
        last = chosen
    return refined
