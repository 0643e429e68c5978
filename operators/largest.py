"""The k largest of each row, exactly, with a stated winner on ties: what every top-k memory read stands on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GROUP = 16
_WIDE = 64
"""Rows of fewer than `_WIDE` k scores are searched as they are: grouping would not pay."""


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of `scores` [Q, N]: values [Q, K] and indices int64[Q, K], K = min(k, N), best first.

    Of equal scores the earlier is taken, and comes first. NaN counts as minus infinity.

    Wide rows are searched in two steps. Columns j, j + N/16, j + 2N/16, .. form a group; the k largest of a row lie in
    the k groups of largest maxima (each group left out has k groups above it, each with one score at least as large).
    One pass of maxima and two short searches then replace a search of the whole row. O(Q (N + k N/16)) at worst.
    """
    if scores.ndim != 2 or k < 0:
        raise ValueError(f"scores are [Q, N] and k is not negative: {list(scores.shape)}, {k}")
    count = min(k, scores.shape[1])
    if torch.compiler.is_exporting():  # ONNX's TopK takes the earlier of equals; NaN is not looked for
        return scores.topk(count, dim=1)
    if not count or not len(scores):
        return scores.new_empty(len(scores), count), torch.empty_like(scores[:, :count], dtype=torch.int64)
    values, indices, tied = (_in_groups if scores.shape[1] >= _WIDE * count else _in_rows)(scores, count)
    if bool(values[:, 0].isnan().any()):  # NaN is above all to torch, so it shows at the top wherever there is one
        return largest(scores.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf), k)
    if bool(tied.any()):
        rows = tied.nonzero().squeeze(1)
        values[rows], indices[rows] = _earliest(scores[rows], values[rows, -1:], count)
    repeated = (values[:, 1:] == values[:, :-1]).any(dim=1)
    if bool(repeated.any()):
        rows = repeated.nonzero().squeeze(1)
        values[rows], indices[rows] = in_order(values[rows], indices[rows])
    return values, indices


def in_order(values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Values [Q, K] and their indices with the largest first, and the earlier of equals first. O(Q K log K)."""
    indices, order = indices.sort(dim=1)
    values, down = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, down)


def _in_rows(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values, best first, and indices [Q, k]; bool[Q]: whether a score left out equals one taken."""
    values, indices = scores.topk(k, dim=1)
    return values, indices, (scores >= values[:, -1:]).sum(dim=1) > k


def _in_groups(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    groups = scores.shape[1] // _GROUP
    grouped = scores[:, : groups * _GROUP].view(len(scores), _GROUP, groups)  # [Q, 16, N/16]
    maxima = grouped.amax(dim=1)  # [Q, N/16]
    best = maxima.topk(k, dim=1, sorted=False).indices  # [Q, k]
    members = torch.arange(_GROUP, device=scores.device) * groups
    inside = (best.unsqueeze(2) + members).flatten(1)  # [Q, 16 k]
    rest = torch.arange(groups * _GROUP, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([inside, rest], dim=1)
    candidates = scores.gather(1, columns)
    values, at = candidates.topk(k, dim=1)
    least = values[:, -1:]
    tied = ((candidates >= least).sum(dim=1) > k) | ((maxima >= least).sum(dim=1) > k)
    return values, columns.gather(1, at), tied


def _earliest(scores: Tensor, least: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, the earlier of equals, given the k-th largest [Q, 1]. O(Q N)."""
    above, equal = scores > least, scores == least
    room = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= room))  # k a row
    indices = chosen.nonzero()[:, 1].view(len(scores), k)  # ascending
    return in_order(scores.gather(1, indices), indices)
