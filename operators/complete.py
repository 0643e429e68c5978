"""Pattern completion by modern Hopfield networks, with an explicit mass for "nothing stored is meant".

Ramsauer et al. 2020, "Hopfield networks is all you need": one update is attention of the state over the patterns.
Hu et al. 2024, "Outlier-efficient Hopfield layers": softmax_1(z) = exp(z) / (1 + sum exp(z)), whose missing mass is a
pattern at the origin that a state meets when it is like none of the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .shapes import sizes_of


class Completion(NamedTuple):
    """What the memory makes of each cue. `weights` and `no_match` are those of the last update and sum to 1."""

    state: Tensor
    """[Q,D] sum of the patterns by their weights, not renormalised: all of it no match is the zero vector."""
    weights: Tensor
    """[Q,N]"""
    no_match: Tensor
    """[Q]"""


def complete(
    patterns: Tensor,
    query: Tensor,
    beta: float,
    steps: int = 1,
    no_match: bool = True,
    threshold: float = 0.0,
    tol: float = 0.0,
) -> Completion:
    """The stored patterns [N,D] that the cues [Q,D] call up: state <- softmax_1(beta state patterns^T) patterns.

    beta: inverse temperature, above 0. At most `steps` updates of each cue, which ends when one moves it by `tol` or
    less (Euclidean), whatever the other cues do: a fixed point where `steps` are enough. steps > 1 waits for the device
    once an update. O(steps Q N D) time, O(Q N + N D) memory.

    no_match: weight that no pattern gets, that of a pattern at the origin with similarity `threshold` (0: softmax_1;
    Ramsauer's softmax without). A cue that is orthogonal to all has similarity 0, so for unit patterns a threshold
    between that and 1 sends it to no match: 1 / (1 + N exp(-beta threshold)). Without `no_match`, 0.

    N = 0, or a NaN in the cue: no match is 1, the state zero. A pattern that is not finite has weight 0. Ties and
    duplicates share equally. Similarities that overflow count as the largest number. Half precision is summed in
    float32; the result has the patterns' dtype.
    """
    sizes_of("patterns[N,D] query[Q,D]", patterns, query)
    if steps < 1:
        raise ValueError(f"{steps} steps complete nothing")
    stored, usable = _usable(patterns)
    state, moving = query.to(stored.dtype), query.new_ones(len(query), dtype=torch.bool)
    weights, none = stored.new_zeros(len(query), len(stored)), stored.new_ones(len(query))
    for step in range(steps):
        logits = _logits(stored, usable, state, beta, no_match, threshold)  # [Q,1+N], the origin first
        shares = torch.softmax(logits, dim=1).nan_to_num(nan=0.0)  # no finite logit: nothing is meant
        weights = torch.where(moving[:, None], shares[:, 1:], weights)
        none = torch.where(moving, shares[:, 0] if no_match else 1 - logits.isfinite().any(dim=1).to(none), none)
        before, state = state, weights @ stored
        if step + 1 < steps:
            moving = (state - before).norm(dim=1) > tol  # what has settled keeps its weights, so stays
            if not moving.any():
                break
    return Completion(*(part.to(patterns.dtype) for part in (state, weights, none)))


def energy(patterns: Tensor, state: Tensor, beta: float, no_match: bool = True, threshold: float = 0.0) -> Tensor:
    """E = |state|^2 / 2 - lse(beta, state patterns^T) / beta of each state [Q,D]: [Q].

    Ramsauer et al. 2020, equation 1, without its constants; lse(beta, z) = ln sum exp(beta z). With `no_match` the sum
    runs over `threshold` too. `complete` is its concave-convex procedure either way (their theorem 1), so that no
    update raises it. float32 at the least. N = 0 without `no_match`: infinite. O(Q N D).
    """
    sizes_of("patterns[N,D] state[Q,D]", patterns, state)
    stored, usable = _usable(patterns)
    state = state.to(stored.dtype)
    logits = _logits(stored, usable, state, beta, no_match, threshold)
    return state.square().sum(dim=1) / 2 - logits.logsumexp(dim=1) / beta


def _usable(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """The patterns [N,D] in float32 at the least, zero where one is not finite, and bool[N] which are."""
    usable = patterns.isfinite().all(dim=1)
    wide = torch.promote_types(patterns.dtype, torch.float32)
    return patterns.to(wide).masked_fill(~usable[:, None], 0.0), usable


def _logits(stored: Tensor, usable: Tensor, state: Tensor, beta: float, no_match: bool, threshold: float) -> Tensor:
    """beta times the similarity to the origin and to each pattern: [Q,1+N]; minus infinity for what cannot be meant."""
    if not 0 < beta < math.inf or not math.isfinite(threshold):
        raise ValueError(f"beta {beta} is above 0 and finite, threshold {threshold} finite")
    scores = beta * (state @ stored.T)  # [Q,N]
    scores = scores.masked_fill(~usable, -math.inf)
    origin = scores.new_full((len(state), 1), beta * threshold if no_match else -math.inf)
    logits = torch.cat((origin, scores), dim=1)
    return logits.nan_to_num(nan=-math.inf, posinf=torch.finfo(logits.dtype).max, neginf=-math.inf)
