"""EM-LLM's refinement as published: A = K K^T, and for every candidate split the sums of its parts of A."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor, int], float]
"""Of a window of A and a split of it; the greatest is best."""


def modularity(adjacency: Tensor, t: int) -> float:
    """a / S - (d / S)^2 of the split at t."""
    total = adjacency.sum()
    within, volume = adjacency[:t, :t].sum(), adjacency[:t].sum()
    return float(within / total - (volume / total) ** 2)


def conductance(adjacency: Tensor, t: int) -> float:
    """Minus the lesser of the two communities' conductances."""
    total = adjacency.sum()
    first, second, cut = adjacency[:t, :t].sum(), adjacency[t:, t:].sum(), adjacency[:t, t:].sum()
    of_first, of_second = torch.minimum(first, total - first), torch.minimum(second, total - second)
    return -float(torch.minimum(cut / of_first, cut / of_second))


def refine_boundaries(keys: Tensor, boundaries: Tensor, objective: Objective, min_size: int = 8) -> list[int]:
    """`operators/refine.py` for boundaries at least `min_size` apart, without context."""
    adjacency = keys @ keys.T  # [T, T]
    refined: list[int] = []
    last = 0
    for event in boundaries.tolist():
        best = event
        if event - last > min_size:
            half = (event - last) // 2
            left = max(0, last - half)
            window = adjacency[left : event + half, left : event + half]
            scores = [objective(window, t - left) for t in range(last + min_size, event)]
            best = last + min_size + max(range(len(scores)), key=scores.__getitem__)
        refined.append(best)
        last = best
    return refined
