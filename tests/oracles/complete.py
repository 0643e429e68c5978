"""One update of a modern Hopfield network in plain float64, a cue and a pattern at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def shares(patterns: Array, cue: Array, beta: float, threshold: float | None) -> tuple[list[float], float]:
    """Weight of each pattern and of no match; `threshold` None: plain softmax. NaN is never meant."""
    similar = [sum(float(a) * float(b) for a, b in zip(pattern, cue, strict=True)) for pattern in patterns]
    logits = [-math.inf if math.isnan(s) else beta * s for s in similar]
    origin = -math.inf if threshold is None else beta * threshold
    most = max([origin, *logits])
    if most == -math.inf:
        return [0.0] * len(logits), 1.0
    powers = [math.exp(z - most) for z in logits]
    whole = math.fsum([math.exp(origin - most), *powers])
    return [power / whole for power in powers], math.exp(origin - most) / whole


def update(patterns: Array, cue: Array, beta: float, threshold: float | None) -> Array:
    """The cue's next state."""
    weights, _ = shares(patterns, cue, beta, threshold)
    state = np.zeros(patterns.shape[1])
    for weight, pattern in zip(weights, patterns, strict=True):
        if weight:
            state += weight * pattern
    return state


def energy(patterns: Array, state: Array, beta: float, threshold: float | None) -> float:
    """|state|^2 / 2 - lse / beta."""
    logits = [beta * float(pattern @ state) for pattern in patterns]
    logits += [] if threshold is None else [beta * threshold]
    most = max(logits)
    return float(state @ state) / 2 - (most + math.log(math.fsum(math.exp(z - most) for z in logits))) / beta
