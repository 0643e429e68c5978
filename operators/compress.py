"""Other ways to hold frames at a number: any two merged, one of two dropped (Flash-VStream), the oldest (MovieChat)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .merge import Clusters, adjacent_similarity
from .shapes import sizes_of

_LOWEST = torch.finfo(torch.float64).min


def merge_nearest(frames: Tensor, keep: int, weights: Tensor | None = None, weighted: bool = True) -> Clusters:
    """Merge the two of `frames` [T, Q, D] that are most alike, wherever they stand, until `keep` remain.

    Flash-VStream, its temporal memory by "k-merge": agglomerative clustering by the cosine of the flattened frames; the
    merged frame takes the place of the later. `weights` and `weighted` are as in `merge_adjacent`; `labels` names the
    remaining frame that holds each. The first of tied pairs (i, j), i < j, in the order of i, then j; a pair whose
    cosine is NaN only when no other is left; a zero frame has cosine 0. keep >= T: all stay. Reckoned in float64:
    O(T^2 Q D) time, O(T Q D + T^2) memory. Raises `ValueError` on shapes that do not fit, `keep` < 1, frames that are
    not floating, and weights that are negative, infinite or NaN.
    """
    t = sizes_of("frames[T,Q,D] weights[T]", frames, weights)["T"]
    if not frames.is_floating_point() or keep < 1:
        raise ValueError(f"{frames.dtype} frames of which {keep} stay: floating ones are asked for, and at least one")
    if weights is None:
        weights = torch.ones(t, dtype=torch.promote_types(frames.dtype, torch.float32), device=frames.device)
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError("the weights of frames are finite and not negative")
    rows = frames.detach().flatten(1).to(torch.float64, copy=True)  # [K, Q D]
    held = weights.to(torch.float64, copy=True)  # [K]
    labels = torch.arange(t, device=frames.device)
    alike = torch.full((t, t), -torch.inf, dtype=torch.float64, device=frames.device)  # [K, K], above the diagonal
    for j in range(1, t if keep < t else 0):
        alike[:j, j] = _cosines(rows[:j], rows[j])
    while len(rows) > keep:
        i, j = divmod(int(alike.argmax()), len(rows))
        both = held[i] + held[j]
        rows[j] = torch.lerp(rows[i], rows[j], torch.where(both > 0, held[j] / both, 0.5) if weighted else 0.5)
        held[j] = both
        labels[labels == i] = j
        labels -= (labels > i).long()
        stay = torch.arange(len(rows), device=rows.device) != i
        rows, held, alike = rows[stay], held[stay], alike[stay][:, stay]
        j -= 1
        alike[:j, j] = _cosines(rows[:j], rows[j])
        alike[j, j + 1 :] = _cosines(rows[j + 1 :], rows[j])
    return Clusters(rows.to(frames.dtype).reshape(len(rows), *frames.shape[1:]), held.to(weights.dtype), labels)


def drop_adjacent(frames: Tensor, coins: Tensor) -> Tensor:
    """Once for each of `coins` [C], drop one of the two adjacent `frames` [T, Q, D] that are most alike.

    Flash-VStream, its temporal memory by "drop": of the pair with the highest cosine of the flattened frames the coin
    drops the left (0) or the right (1). -> int64[T - C], the indices of those that stay, ascending. Ties and NaN are as
    in `merge_adjacent`. O(C T Q D). Raises `ValueError` on shapes and where fewer than one frame would stay.
    """
    sizes = sizes_of("frames[T,Q,D] coins[C]", frames, coins)
    if sizes["C"] and sizes["C"] >= sizes["T"]:
        raise ValueError(f"{sizes['C']} of {sizes['T']} frames dropped: at least one stays")
    kept = torch.arange(sizes["T"], device=frames.device)
    for right in coins.tolist():
        alike = adjacent_similarity(frames[kept])
        dropped = int(torch.where(alike.isnan(), -torch.inf, alike).argmax()) + bool(right)
        kept = torch.cat([kept[:dropped], kept[dropped + 1 :]])
    return kept


def breakpoint_memory(long: Tensor, short: Tensor, current: Tensor, slots: int) -> Tensor:
    """What MovieChat reads to answer about a moment: `long` [L, Q, D], `short` [S, Q, D] and `current` [Q, D] in a row.

    -> [min(L + S + 1, slots), Q, D], to which `hierarchical_positions` are added slot by slot. Over `slots`, the oldest
    of `short` go first, then the oldest of `long`; the current stays: as released. O(slots Q D). Raises `ValueError` on
    shapes that do not fit and `slots` < 1.
    """
    sizes = sizes_of("long[L,Q,D] short[S,Q,D] current[Q,D]", long, short, current)
    if slots < 1:
        raise ValueError(f"{slots} slots: the current frame takes one")
    surplus = max(0, sizes["L"] + sizes["S"] + 1 - slots)
    from_short = min(surplus, sizes["S"])
    return torch.cat([long[surplus - from_short :], short[from_short:], current[None]])


def _cosines(rows: Tensor, one: Tensor) -> Tensor:
    """[N, E], [E] -> [N]; NaN below every number but above nothing at all."""
    alike = cosine_similarity(rows, one[None], dim=1, eps=1e-150)
    return torch.where(alike.isnan(), _LOWEST, alike)
