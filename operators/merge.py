"""Many frames into few: adjacent merging (MovieChat, Flash-VStream, MemoryVLA), weighted clusters, the Turing memory.

MovieChat: Song et al., CVPR 2024. Flash-VStream: Zhang et al., 2024. MemoryVLA: Shi et al., 2025.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import linear, softmax

from .shapes import sizes_of

Score = Literal["frame_cosine", "token_cosine", "mean_dot"]
Array = NDArray[Any]
_SHORTEST = 1e-150


class Merged(NamedTuple):
    """What `merge_adjacent` leaves."""

    frames: Tensor
    """[K, Q, D]."""
    weights: Tensor
    """[K], the sums of what was given: to be carried into the next call."""
    groups: Tensor
    """int64[K+1], boundaries: frame k holds the frames groups[k] .. groups[k+1] - 1 that were given."""


class Clusters(NamedTuple):
    """What clustering leaves."""

    centroids: Tensor
    """[K, ...], the weighted means of the frames labelled k."""
    weights: Tensor
    """[K], the sums of their weights."""
    labels: Tensor
    """int64[T], the cluster of each frame; -1: of none."""


@np.errstate(over="ignore", invalid="ignore")
def merge_adjacent(
    frames: Tensor, keep: int, weights: Tensor | None = None, score: Score = "frame_cosine", weighted: bool = True
) -> Merged:
    """Merge the two adjacent frames that are most alike, again and again, until `keep` of `frames` [T, Q, D] remain.

    `score` says how alike two frames a, b [Q, D] are (`adjacent_similarity`):
      frame_cosine  cosine of the flattened frames                   Flash-VStream, its temporal memory by merging
      token_cosine  mean over the tokens of cos(a_q, b_q)            MovieChat as written, MemoryVLA
      mean_dot      <mean_q a_q, mean_q b_q>, not normalised         MovieChat as released
    `weights` [T] >= 0 (default: ones, in float32 or float64) is how much each frame holds; a merged frame holds the sum
    of both. With `weighted` it is the weighted mean of all the frames that it holds, so that frames added one by one,
    their weights carried, are never decayed by repetition (all weights 0: their plain average). Without, it is the
    plain average of the two, as all three systems release it; the weights add up all the same.

    A merge changes the scores beside it only: O(T Q D) and T - keep merges of O(Q D + T); the frames themselves are
    averaged once, at the end. The first of tied pairs is merged; a pair whose score is NaN only when no other is left
    (what holds a frame with NaN is then NaN). keep >= T, and T = 0: `frames` themselves. float16 and bfloat16 are
    scored and averaged in float32. The order of merging is found on the CPU; what is scored of frames on CUDA is copied
    there once. Raises `ValueError` on shapes that do not fit, `keep` < 1, an unknown score, frames that are not
    floating, and weights that are negative, infinite or NaN.
    """
    t = sizes_of("frames[T,Q,D] weights[T]", frames, weights)["T"]
    _known(score)
    if weights is None:
        weights = torch.ones(t, dtype=_working(frames), device=frames.device)
    held: list[float] = weights.tolist()
    if not all(0 <= weight < math.inf for weight in held):
        raise ValueError("the weights of frames are finite and not negative")
    if keep < 1:
        raise ValueError(f"keep = {keep} of {t} frames: at least one stays")
    if keep >= t:
        return Merged(frames, weights, torch.arange(t + 1, device=frames.device))
    marks, lengths, scores = _marked(frames, score)
    rows, long, alike = list(marks), list(lengths), [_ranked(alone) for alone in scores.tolist()]
    share, bounds = np.ones(t), list(range(t + 1))  # of each frame in the one that holds it; where those begin
    while len(rows) > keep:
        i = alike.index(max(alike))
        both = held[i] + held[i + 1]
        right = held[i + 1] / both if weighted and both else 0.5
        share[bounds[i] : bounds[i + 1]] *= 1 - right
        share[bounds[i + 1] : bounds[i + 2]] *= right
        del bounds[i + 1], alike[i]
        held[i : i + 2] = [both]
        merged = rows[i + 1] - rows[i]  # then in place: each array made anew costs more than its arithmetic
        merged *= right
        merged += rows[i]
        rows[i : i + 2] = [merged]
        long[i : i + 2] = [_lengths(merged, score)]
        for left in range(max(i - 1, 0), min(i + 1, len(alike))):  # no other pair has changed
            alike[left] = _ranked(float(_similarity(rows[left], rows[left + 1], long[left], long[left + 1])))
    return Merged(
        _averages(frames, share, bounds),
        torch.tensor(held, dtype=weights.dtype, device=weights.device),
        torch.tensor(bounds, device=frames.device),
    )


@np.errstate(over="ignore", invalid="ignore")
def adjacent_similarity(frames: Tensor, score: Score = "frame_cosine") -> Tensor:
    """How alike each of `frames` [T, Q, D] is to the next -> float64[T-1], as `merge_adjacent` scores them.

    A zero frame (token_cosine: token) has cosine 0 to all; so has one shorter than 1e-19 among float32. A frame that
    holds NaN scores NaN. T < 2: empty. O(T Q D). Raises `ValueError` on shapes, an unknown score and whole numbers.
    """
    sizes_of("frames[T,Q,D]", frames)
    _known(score)
    return torch.from_numpy(_marked(frames, score)[2]).to(frames.device)


def _known(score: str) -> None:
    if score not in get_args(Score):
        raise ValueError(f"score {score!r} is none of {', '.join(get_args(Score))}")


def _marked(frames: Tensor, score: Score) -> tuple[Array, Array, Array]:
    """Marks [T, G, E], lengths [T, G] and scores [T-1] of `frames`, on the CPU; over again where float32 overflows."""
    frames = frames.detach().to(_working(frames))
    while True:
        marks = _marks(frames, score).cpu().numpy()
        lengths = _lengths(marks, score)
        scores = _similarity(marks[:-1], marks[1:], lengths[:-1], lengths[1:])
        if frames.dtype == torch.float64 or (np.isfinite(lengths).all() and np.isfinite(scores).all()):
            return marks, lengths, scores
        frames = frames.double()


def _marks(frames: Tensor, score: Score) -> Tensor:
    """[T, Q, D] -> [T, G, E], what is scored of a frame: linear in it, so that marks merge as the frames do."""
    if score == "mean_dot":
        return frames.mean(dim=1, keepdim=True)  # [T, 1, D]
    return frames.flatten(1)[:, None] if score == "frame_cosine" else frames


def _lengths(marks: Array, score: Score) -> Array:
    """[..., G, E] -> float64[..., G], what a product is divided by: 1 for `mean_dot`."""
    if score == "mean_dot":
        return np.ones(marks.shape[:-1])
    lengths: Array = np.maximum(np.sqrt(np.vecdot(marks, marks), dtype=np.float64), _SHORTEST)
    return lengths


def _similarity(a: Array, b: Array, a_lengths: Array, b_lengths: Array) -> Array:
    """[..., G, E] twice, with their lengths -> float64[...], the mean over G."""
    alike: Array = (np.vecdot(a, b) / (a_lengths * b_lengths)).sum(axis=-1) / a.shape[-2]
    return alike


def _ranked(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def _averages(frames: Tensor, share: Array, bounds: list[int]) -> Tensor:
    """[T, Q, D] -> [K, Q, D]: the sum of share * frame between the bounds. A frame alone is passed through."""
    shares = torch.tensor(share, dtype=_working(frames), device=frames.device)
    kept = [
        frames[first]
        if last == first + 1
        else torch.tensordot(shares[first:last], frames[first:last].to(shares.dtype), dims=1).to(frames.dtype)
        for first, last in pairwise(bounds)
    ]
    return torch.stack(kept)


def _working(frames: Tensor) -> torch.dtype:
    """The type that sums and scores are taken in."""
    if not frames.is_floating_point():
        raise ValueError(f"frames are floating, not {frames.dtype}")
    return torch.promote_types(frames.dtype, torch.float32)


def weighted_kmeans(
    frames: Tensor,
    weights: Tensor,
    init: Tensor,
    iterations: int = 10,
    tol: float = 1e-4,
    as_labelled: bool = False,
) -> Clusters:
    """Lloyd's algorithm on `frames` [T, ...] of `weights` [T] >= 0, from the frames that int64 `init` [K] names.

    Flash-VStream's temporal memory: at most `iterations` times, each frame is labelled with its nearest centroid
    (Euclidean, over all its numbers; the lowest of ties) and each centroid becomes the weighted mean of its frames; it
    stops once the sum over the centroids of how far they moved is below `tol`. A centroid whose frames have no weight
    stays where it is, with weight 0; of equal centroids the first takes all, so K > T leaves some without. Where it
    stopped for `tol`, `as_labelled` returns the centroids that the labels were taken against, as released, instead of
    the means of what they label.

    A frame that holds NaN is labelled -1 and counts nowhere; a centroid that starts at one is never the nearest. T = 0
    needs K = 0, which gives empty clusters. Reckoned in float64; the results have the types of `frames` and `weights`.
    O(iterations T K D), O((T + K) D + T K) memory. Raises `ValueError` on shapes that do not fit, K = 0 for T > 0, an
    index out of range, `iterations` < 1, and weights that are negative, infinite or NaN.
    """
    rows = frames.reshape(len(frames), math.prod(frames.shape[1:])) if frames.ndim > 1 else frames
    sizes = sizes_of("frames[T,D] weights[T] init[K]", rows, weights, init)
    t, k = sizes["T"], sizes["K"]
    if init.dtype != torch.int64 or bool(t) != bool(k) or (k and not 0 <= int(init.min()) <= int(init.max()) < t):
        raise ValueError(f"the {k} first centroids are indices of the {t} frames, at least one of any")
    if iterations < 1:
        raise ValueError(f"{iterations} iterations label nothing")
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError("the weights of frames are finite and not negative")
    if not t:
        return Clusters(frames, weights, init)
    rows = rows.double()
    whole = ~rows.isnan().any(dim=1)  # bool[T]
    counted = rows.where(whole[:, None], 0.0)
    centroids = rows[init]  # [K, D]
    for _ in range(iterations):
        apart = torch.cdist(counted, centroids, compute_mode="donot_use_mm_for_euclid_dist")  # [T, K]
        labels = torch.where(apart.isnan(), torch.inf, apart).argmin(dim=1)
        labels = labels.where(whole, -1)
        mass = (labels == torch.arange(k, device=rows.device)[:, None]) * weights.double()  # [K, T]
        held = mass.sum(dim=1)  # [K]
        filled = held > 0
        means = (mass[filled] / held[filled, None]) @ counted
        moved = vector_norm(means - centroids[filled], dim=1).sum()
        settled = bool(moved < tol)
        if not (settled and as_labelled):
            centroids = centroids.index_put((filled,), means)
        if settled:
            break
    return Clusters(centroids.to(frames.dtype).reshape(k, *frames.shape[1:]), held.to(weights.dtype), labels)


def hierarchical_positions(table: Tensor, length: int, alpha: float = 0.01) -> Tensor:
    """n learned positions `table` [n, D] stretched to `length` <= n^2 -> [length, D] (MovieChat, for its long memory).

    Position i n + j is alpha u_i + (1 - alpha) u_j with u_i = (p_i - alpha p_0) / (1 - alpha): two digits to the base
    n. The first n are the table. O(length D). Raises `ValueError` on shapes, alpha outside [0, 1) and a length outside
    [0, n^2].
    """
    n = sizes_of("table[N,D]", table)["N"]
    if not 0 <= length <= n * n:
        raise ValueError(f"{n} positions reach from 0 to {n * n}, not {length}")
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha = {alpha} lies outside [0, 1)")
    base = (table - alpha * table[:1]) / (1 - alpha)  # u [n, D]
    index = torch.arange(length, device=table.device)
    return alpha * base[index // max(n, 1)] + (1 - alpha) * base[index % max(n, 1)]


def abstract_update(
    memory: Tensor,
    incoming: Tensor,
    query_weight: Tensor,
    query_bias: Tensor | None,
    key_weight: Tensor,
    key_bias: Tensor | None,
    ratio: float = 0.2,
) -> Tensor:
    """The Turing memory of Flash-VStream (its abstract memory): [M, D] and `incoming` [N, D] -> [M, D].

    M <- M (1 - sum_j W_j) + W X, W = ratio softmax(q(M) k(X)^T / sqrt H): each slot gives up `ratio` of itself for what
    it attends to. The projections are [H, D] with biases [H] (or None). N = 0: `memory` itself. An incoming row that
    holds NaN is passed over. The softmax is taken in float32 or wider. O((M + N) D H + M N (D + H)). Raises
    `ValueError` on shapes that do not fit and on a ratio outside [0, 1].
    """
    h = sizes_of(
        "memory[M,D] incoming[N,D] query_weight[H,D] query_bias[H] key_weight[H,D] key_bias[H]",
        memory, incoming, query_weight, query_bias, key_weight, key_bias,
    )["H"]  # fmt: skip
    if not 0 <= ratio <= 1:
        raise ValueError(f"a ratio lies in [0, 1], not {ratio}")
    incoming = incoming[~incoming.isnan().any(dim=1)]
    if not len(incoming):
        return memory
    query, key = linear(memory, query_weight, query_bias), linear(incoming, key_weight, key_bias)  # [M, H], [N, H]
    work = _working(memory)
    update = ratio * softmax(query.to(work) @ key.to(work).T / h**0.5, dim=1)  # [M, N]
    return ((1 - update.sum(dim=1, keepdim=True)) * memory + update @ incoming.to(work)).to(memory.dtype)
