"""Refining event boundaries by the graph of similarities (EM-LLM): the cut that best parts two communities.

A = K K^T weighs an edge between any two tokens. The cut of a window before token t parts A into A_11 | A_12 | A_22,
whose sums are corner look-ups in the integral image I[s, t] = sum A[:s, :t]. The image of a Gram matrix is the Gram
matrix of prefix sums, I[s, t] = P_s . P_t with P_t = k_0 + .. + k_{t-1}: one P [T+1, D] serves all cuts of all windows,
and neither A nor I is made.

The cuts follow from one another, each a few hundred numbers, so they are sought on the host in float64, wherever the
keys are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .shapes import sizes_of

Criterion = Literal["modularity", "conductance", "intra_inter"]
Array = NDArray[np.float64]

_TINY = 1e-15  # stands for a volume of 0, as published


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def cut_scores(keys: Tensor, criterion: Criterion = "modularity") -> Tensor:
    """The score float64[N] of cutting `keys` [N, D] before each token; NaN before the first, which cuts nothing.

    With S = sum A, a = sum A[:t, :t], c = sum A[:t, t:], b = sum A[t:, t:] (EM-LLM, Fountas et al. 2024, section 3.2):

    - "modularity", greatest is best: a/S - ((a + c)/S)^2. Half of Newman's Q, as published; the other half is equal.
    - "conductance", least is best: min(c / min(a, S - a), c / min(b, S - b)). A community's volume is the sum of the
      edges within it, as the paper has it, not of its degrees.
    - "intra_inter", greatest is best: a community's mean edge within over the mean edge between, the mean of the two.
      The paper judges segmentations by it.

    A key that is not finite gives NaN everywhere. `ValueError` for another shape or criterion. O(N D).
    """
    n = sizes_of("keys[N,D]", keys)["N"]
    _check(criterion)
    scores = np.full(n, np.nan)
    prefix, faults = _prefix_sums(keys)
    if faults[-1] == 0:
        scores[1:] = _scores(prefix[1:-1], prefix[-1], np.arange(1, n), n, criterion)
    return torch.from_numpy(scores).to(keys.device)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def refine_boundaries(
    keys: Tensor, boundaries: Tensor, criterion: Criterion = "modularity", min_size: int = 8, offset: int = 0
) -> Tensor:
    """Move each boundary back to the best cut since the boundary before it: int64[R], R <= B (EM-LLM, algorithm 1).

    `keys` [T, D]: all heads of a token, concatenated. `boundaries` int64[B], ascending, count from token `offset`, and
    so does the result; the tokens before `offset` are context. A boundary that lies less than `min_size` tokens after
    its predecessor (the first: after `offset`, where that is not 0) is dropped. For each other boundary e, with p the
    refined one before it (at first token 0): where both e - p and e - offset exceed `min_size`, e moves to the best of
    the cuts t in [max(offset, p) + min_size, e), by `cut_scores` of the window [p - h, e + h) within [0, T), with
    h = (e - p) // 2. Of equal cuts the earliest wins. A cut whose score is NaN is never taken; where all are, as in a
    window with a key that is not finite, e stays. No boundaries give none.

    Raises `ValueError` for other shapes, a `min_size` below 1 and boundaries that descend or lie outside the keys.
    O(T D) time and memory, for boundaries that lie evenly or not.
    """
    length = sizes_of("keys[T,D] boundaries[B]", keys, boundaries)["T"]
    _check(criterion)
    if min_size < 1 or offset < 0:
        raise ValueError(f"events of at least {min_size} tokens after {offset} of context")
    events = [event + offset for event in boundaries.tolist()]
    ends = [offset, *events, length]
    if any(a > b for a, b in pairwise(ends)):
        raise ValueError(f"boundaries {boundaries.tolist()} do not ascend within [0, {length - offset}]")
    prefix, faults = _prefix_sums(keys)
    refined: list[int] = []
    for i, event in enumerate(events):
        if event - ends[i] < min_size and (i or offset):
            continue
        last = refined[-1] if refined else 0
        refined.append(event)
        first = max(offset, last) + min_size
        half = (event - last) // 2
        left, right = max(0, last - half), min(length, event + half)
        if first < event and faults[left] == faults[right]:
            origin = prefix[left]
            cuts = np.arange(first, event)
            scores = _scores(prefix[first:event] - origin, prefix[right] - origin, cuts - left, right - left, criterion)
            best = _best(scores, criterion)
            refined[-1] = event if best is None else first + best
    return boundaries.new_tensor([cut - offset for cut in refined], dtype=torch.int64)


def _prefix_sums(keys: Tensor) -> tuple[Array, NDArray[np.int64]]:
    """P [T+1, D], and of how many of the tokens before t the key is not finite, [T+1]; such keys count as 0 in P."""
    rows = keys.detach().double().cpu().numpy()
    prefix, faults = np.zeros((len(rows) + 1, rows.shape[1])), np.zeros(len(rows) + 1, np.int64)
    rows.cumsum(axis=0, out=prefix[1:])
    if not np.isfinite(prefix[-1]).all():
        sound = np.isfinite(rows).all(axis=1)
        np.cumsum(~sound, out=faults[1:])
        np.where(sound[:, None], rows, 0.0).cumsum(axis=0, out=prefix[1:])
    return prefix, faults


def _scores(first: Array, whole: Array, t: NDArray[np.int64], n: int, criterion: Criterion) -> Array:
    """Of cuts after `t` [C] of a window's `n` tokens, from the sums of keys before them, [C, D], and of all, [D]."""
    total = float(whole @ whole)
    a, d = np.einsum("td,td->t", first, first), first @ whole  # A_11; A_11 and A_12
    if criterion == "modularity":
        return np.asarray(a / total - np.square(d / total))
    c, b = d - a, total - 2 * d + a
    if criterion == "conductance":
        return np.asarray(np.minimum(c / _volume(a, total), c / _volume(b, total)))
    between = c / (t * (n - t))
    return np.asarray((a / t**2 / between + b / (n - t) ** 2 / between) / 2)


def _volume(within: Array, total: float) -> Array:
    lesser = np.minimum(within, total - within)
    return np.where(lesser == 0, _TINY, lesser)


def _best(scores: Array, criterion: Criterion) -> int | None:
    """Where the best score stands, the first of equals; None where all are NaN."""
    worth = -scores if criterion == "conductance" else scores
    best = int(worth.argmax())
    if np.isnan(worth[best]):  # which numpy holds for the greatest
        known = np.where(np.isnan(worth), -np.inf, worth)
        best = int(known.argmax())
        return None if np.isneginf(known[best]) else best
    return best


def _check(criterion: Criterion) -> None:
    if criterion not in get_args(Criterion):
        raise ValueError(f"a criterion is one of {', '.join(get_args(Criterion))}, not {criterion}")
