"""Surprise and its boundaries in plain float64, a frame at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def cosine(a: Array, b: Array) -> float:
    """0 beside a zero vector."""
    size = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / size if size != 0 else 0.0


def surprise(vectors: Array, window: int, temperature: float) -> list[float]:
    """Of each frame, given the one before it."""
    told = [0.0] * min(1, len(vectors))
    for i in range(len(vectors) - 1):  # the step i -> i + 1
        others = [j for j in range(max(0, i - window), i + 2) if j != i]
        powers = {j: math.exp(cosine(vectors[i], vectors[j]) / temperature) for j in others}
        total = sum(power for power in powers.values() if not math.isnan(power))
        told.append(-math.log(powers[i + 1] / total) if total else math.nan)
    return told


def boundaries(surprise: list[float], gamma: float, window: int) -> list[bool]:
    """Whether each value exceeds mean + gamma standard deviation of those before it."""
    found = []
    for t, value in enumerate(surprise):
        before = [x for x in surprise[max(0, t - window) : t] if not math.isnan(x)]
        found.append(len(before) > 1 and value > np.mean(before) + gamma * np.std(before, ddof=1))
    return [bool(x) for x in found]
