"""Forgetting in plain float64, one memory and one use at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def retention(elapsed: float, strength: float) -> float:
    return math.exp(-elapsed / strength)


def activation(ages: Sequence[float], d: float = 0.5, floor: float = 0.05) -> float:
    """ln sum t^-d; ages that are no use (NaN, infinite) add nothing."""
    total = math.fsum(max(age, floor) ** -d for age in ages if math.isfinite(age))
    return math.log(total) if total else -math.inf


def petrov(ages: Sequence[float], k: int, d: float = 0.5, floor: float = 0.05) -> float:
    """Petrov 2006, equation 3, on a whole history: its k smallest ages, its length and its largest age."""
    known = sorted(max(age, floor) for age in ages)
    n, recent, lifetime = len(known), known[:k], known[-1]
    total = math.fsum(t**-d for t in recent)
    if n > k:
        t_k = recent[-1] if recent else 0.0
        if lifetime == t_k:
            total += (n - k) * lifetime**-d
        else:
            total += (n - k) * (lifetime ** (1 - d) - t_k ** (1 - d)) / ((1 - d) * (lifetime - t_k))
    return math.log(total)


def salience(age: float, retrieved: bool, freshness: float, rate: float, bonus: float, published: bool) -> float:
    """HEMA's w; as printed the bonus goes to those that were not retrieved."""
    delta = 1 if retrieved else 0
    return freshness * math.exp(-rate * age) + bonus * (1 - delta if published else delta)
