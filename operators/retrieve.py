"""How what was found is put together: fused rankings, contiguous neighbours, windows across lanes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Item = TypeVar("Item", bound=Hashable)


def rank_fusion(
    rankings: Sequence[Sequence[Item]], k: float = 60.0, weights: Sequence[float] | None = None
) -> list[tuple[Item, float]]:
    """Reciprocal rank fusion: each item with sum over rankings of weight / (k + rank), best first.

    Ranks count from 1; an item counts once a ranking, at its best rank; ties keep the order of first appearance.
    O(n log n). Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    if weights is None:
        weights = [1.0] * len(rankings)
    if len(weights) != len(rankings):
        raise ValueError(f"{len(weights)} weights for {len(rankings)} rankings")
    if k <= -1:
        raise ValueError(f"k = {k} makes a rank worth nothing or less")
    scores: dict[Item, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda scored: -scored[1])


def with_neighbours(hits: Sequence[int], count: int, share: float = 0.3, budget: int | None = None) -> list[int]:
    """At most `budget` of the blocks 0..count-1: the `hits` (in rank order), then their neighbours in time.

    floor(share * budget) places are for neighbours: of each hit, in rank order, b + 1 and then b - 1, where they are
    not hits themselves; what either part leaves free goes to the other. Without a budget all hits are taken and the
    neighbours get their share of the total. EM-LLM's contiguity buffer (Fountas et al. 2024, section 3.4). O(n).
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share lies in [0, 1), not {share}")
    ranked = list(dict.fromkeys(hits))
    if any(not 0 <= hit < count for hit in ranked):
        raise ValueError(f"hits outside the {count} blocks")
    total = int(len(ranked) / (1 - share) + 1e-9) if budget is None else max(0, budget)
    kept = ranked[: total - int(share * total + 1e-9)]
    neighbours = _neighbours(kept, count)[: total - len(kept)]
    spare = [hit for hit in ranked[len(kept) :] if hit not in neighbours]
    return [*kept, *spare[: total - len(kept) - len(neighbours)], *neighbours]


def _neighbours(hits: Sequence[int], count: int) -> list[int]:
    """b + 1 and b - 1 of each hit in turn, once each, without the hits."""
    around = dict.fromkeys(near for hit in hits for near in (hit + 1, hit - 1) if 0 <= near < count)
    for hit in hits:
        around.pop(hit, None)
    return list(around)


def rank_blocks(query: ArrayLike, representatives: ArrayLike, sizes: ArrayLike, budget: int) -> NDArray[np.int64]:
    """Indices int64[K], best first, of the blocks of memory that fill `budget` tokens (EM-LLM).

    `query` [D], `representatives` [B, D] (dot product), `sizes` [B] in tokens. All, when all fit; else by similarity
    until the budget is reached, and the last is dropped when leaving it out comes nearer to the budget (or as near).
    Ties go to the earlier block; NaN ranks last. O(B D + B log B).
    """
    q, blocks, lengths = np.asarray(query), np.asarray(representatives), np.asarray(sizes, np.int64)
    if q.ndim != 1 or blocks.shape != (len(lengths), len(q)):
        raise ValueError(
            f"query {q.shape}, representatives {blocks.shape}, sizes {lengths.shape}: not [D], [B, D], [B]"
        )
    similarity: NDArray[Any] = blocks.astype(np.float32) @ q.astype(np.float32)
    order = np.argsort(-np.where(np.isnan(similarity), -np.inf, similarity), kind="stable").astype(np.int64)
    filled = np.cumsum(lengths[order])
    if not len(filled) or filled[-1] <= budget:
        return order
    last = int(np.searchsorted(filled, budget))  # the first block that reaches the budget
    before, after = (int(filled[last - 1]) if last else 0), int(filled[last])
    return order[: last if abs(budget - before) <= abs(budget - after) else last + 1]


def cross_modal_windows(
    spans_ns: Iterable[tuple[int, int]], radius_ns: int = 2_000_000_000, gap_ns: int = 2_000_000_000
) -> list[tuple[int, int]]:
    """Windows [t0, t1) in which to read another lane around spans found in one, merged and ascending (HippoMM).

    Each span is widened by `radius_ns` either way (not below 0); windows that overlap or lie no more than `gap_ns`
    apart become one. O(n log n).
    """
    windows: list[tuple[int, int]] = []
    for t0, t1 in sorted((max(0, t0 - radius_ns), t1 + radius_ns) for t0, t1 in spans_ns):
        if windows and t0 <= windows[-1][1] + gap_ns:
            windows[-1] = (windows[-1][0], max(windows[-1][1], t1))
        else:
            windows.append((t0, t1))
    return windows
