"""How memories fade: MemoryBank's forgetting curve, ACT-R's base-level activation, HEMA's age weight.

Times in the house are int64 ns: their difference is exact, `age_s` gives it in seconds. All is computed in float64;
the result has the dtype of the ages, float64 where these are whole numbers. Everywhere a negative age is a
`ValueError`, NaN is a memory or a use that is not there (weight 0, activation minus infinity), an age of infinity has
faded wholly, and M = 0 gives [0].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .shapes import sizes_of

CYCLE_S = 0.05
"""Least age in seconds, a production cycle of ACT-R: at age 0 the power law is infinite."""


def age_s(t_ns: Tensor, now_ns: int) -> Tensor:
    """Seconds float64[M] from the times int64[M] to now, both in ns: exact to the nanosecond up to 104 days. O(M)."""
    if t_ns.dtype != torch.int64:
        raise ValueError(f"times are int64 nanoseconds, not {t_ns.dtype}")
    return _ages((now_ns - t_ns).double() / 1e9)


def retention(elapsed: Tensor, strength: Tensor) -> Tensor:
    """exp(-t / S), what is left of each memory: [M] in [0, 1] (MemoryBank, Zhong et al. 2023, section 2.3; Ebbinghaus).

    elapsed[M] since it was last recalled and strength[M] > 0 in one unit (MemoryBank: days, S = 1 at first). O(M).
    """
    sizes_of("elapsed[M] strength[M]", elapsed, strength)
    if (strength <= 0).any():
        raise ValueError("a strength is above 0")
    left = torch.exp(-_ages(elapsed) / strength.double())
    return left.nan_to_num(nan=0.0).to(_result(elapsed))


def reinforced(elapsed: Tensor, strength: Tensor, recalled: Tensor, gain: float = 1.0) -> tuple[Tensor, Tensor]:
    """(elapsed[M], strength[M]) after a recall: where bool `recalled` [M], t = 0 and S grows by `gain`.

    MemoryBank, section 2.3: S + 1 on each recall. What was not recalled stays as it is. O(M).
    """
    sizes_of("elapsed[M] strength[M] recalled[M]", elapsed, strength, recalled)
    if recalled.dtype != torch.bool:
        raise ValueError(f"recalled is bool, not {recalled.dtype}")
    if not gain >= 0:
        raise ValueError(f"a gain of {gain} weakens what is recalled")
    return elapsed.masked_fill(recalled, 0), torch.where(recalled, strength + gain, strength)


def activation(ages: Tensor, d: float = 0.5, floor: float = CYCLE_S) -> Tensor:
    """Base-level activation ln sum_j t_j^-d of each memory, exact: [M] (Anderson & Lebiere 1998, equation 4.1).

    ages[M,N]: seconds since each use, in any order, those under `floor` taken as `floor`. Memories with fewer uses are
    filled up with infinity. No use at all (N = 0): minus infinity. O(M N).
    """
    sizes_of("ages[M,N]", ages)
    return _log_sum(ages, _decay(d), floor).to(_result(ages))


class Bounds(NamedTuple):
    """What the activation of each memory is at least and at most, [M] each."""

    low: Tensor
    high: Tensor


def recent_activation(
    recent: Tensor, count: Tensor, lifetime: Tensor, d: float = 0.5, floor: float = CYCLE_S
) -> Tensor:
    """`activation` from the K latest uses, the number of uses and the age of the first: [M] (Petrov 2006, equation 3).

        ln( sum_{j<=k} t_j^-d + (n - k) (L^(1-d) - t_k^(1-d)) / ((1-d) (L - t_k)) )

    The uses before the k latest count as spread evenly over [t_k, L]. K = 0 is Anderson & Lebiere's optimised learning,
    ln(n / (1-d)) - d ln L. O(1) a memory and use; exact while n = k.

    recent[M,K]: ages in seconds in any order, filled up with infinity where a memory has fewer uses. count[M]: n, all
    uses, these among them. lifetime[M]: L, the age of the first use; unread where n = 0. 0 < d < 1. Ages under `floor`
    are `floor`. Raises `ValueError` where n is less than the uses given or L less than one of their ages.

    Error, for any history: no more than -ln(1-d) above the exact value (0.69 at d = 0.5) and, for k >= 1, no more than
    ln(n / k) below it; for K = 0, d ln(L / floor) + ln(1-d) below. `activation_bounds` is the tight interval of each
    memory. Uses evenly spaced, the last a space ago, d = 0.5: within 0.08 at k = 1, 0.03 at k = 3, 0.01 at k = 10.
    """
    known, oldest, rest, life = _history(recent, count, lifetime, d, floor)
    # The mean of t^-d over [t_k, L] is L^-d (1 - r^(1-d)) / ((1-d)(1-r)) with r = t_k / L, whose limit at r = 1 is 1.
    log_ratio = torch.log(oldest / life)
    spread = torch.expm1((1 - d) * log_ratio) / ((1 - d) * torch.expm1(log_ratio))
    spread = torch.where(log_ratio < 0, spread, 1.0)
    return torch.logaddexp(known, torch.log(rest * spread) - d * torch.log(life)).to(_result(recent))


def activation_bounds(
    recent: Tensor, count: Tensor, lifetime: Tensor, d: float = 0.5, floor: float = CYCLE_S
) -> Bounds:
    """The least and the greatest `activation` of all histories that `recent_activation` cannot tell apart.

    Of the m = n - k older uses one has age L; the others lie at L at the least, at t_k (or `floor`) at the most. Both
    are reached. Arguments and errors as there. O(1) a memory and use.
    """
    known, oldest, rest, life = _history(recent, count, lifetime, d, floor)
    first = torch.where(rest > 0, -d * torch.log(life), -math.inf)
    others = torch.log((rest - 1).clamp(min=0))
    latest = torch.logaddexp(first, others - d * torch.log(oldest.clamp(min=floor)))
    kind = _result(recent)
    return Bounds(
        torch.logaddexp(known, torch.log(rest) - d * torch.log(life)).to(kind), torch.logaddexp(known, latest).to(kind)
    )


def age_weights(
    age: Tensor,
    retrieved: Tensor,
    freshness: float = 1.0,
    rate: float = 0.002,
    bonus: float = 0.5,
    published: bool = False,
) -> Tensor:
    """HEMA's salience w = lambda exp(-gamma age) + beta delta of each memory: [M] (Ahn 2025, section 3.4).

    age[M] in turns (`rate` is per unit of age); bool retrieved[M], delta: within the last 100 turns. HEMA prunes the
    lowest 0.5 % every 100 turns. As printed the term is beta (1 - delta), which gives its "bonus for recent retrievals"
    to all but those: `published` takes it so. O(M).
    """
    sizes_of("age[M] retrieved[M]", age, retrieved)
    if retrieved.dtype != torch.bool:
        raise ValueError(f"retrieved is bool, not {retrieved.dtype}")
    if not min(freshness, rate, bonus) >= 0:
        raise ValueError(f"freshness {freshness}, rate {rate} and bonus {bonus} are 0 or more")
    ages = _ages(age)
    weights = freshness * torch.exp(-rate * ages) + bonus * (retrieved ^ published)
    return weights.masked_fill(ages.isnan(), 0.0).to(_result(age))


def _history(
    recent: Tensor, count: Tensor, lifetime: Tensor, d: float, floor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ln of the sum over the uses that are known, t_k (0 where none is), how many are not, L: float64[M] each."""
    sizes_of("recent[M,K] count[M] lifetime[M]", recent, count, lifetime)
    if not _decay(d) < 1:
        raise ValueError(f"d = {d}: the uses of long ago have a mean for 0 < d < 1")
    used = recent.isfinite()
    rest = count.double() - used.sum(dim=1)
    oldest = _ages(recent).clamp(min=floor).masked_fill(~used, 0.0)
    oldest = oldest.amax(dim=1) if recent.shape[1] else torch.zeros_like(rest)
    life = _ages(lifetime).clamp(min=floor)
    if (rest < 0).any():
        raise ValueError("a count is less than the uses that are given")
    if ((rest > 0) & (life < oldest)).any():
        raise ValueError("a lifetime is less than the age of a use")
    return _log_sum(recent, d, floor), oldest, rest, torch.where(rest > 0, life, torch.inf).nan_to_num(nan=torch.inf)


def _log_sum(ages: Tensor, d: float, floor: float) -> Tensor:
    """ln sum t^-d over the last axis, float64[M]; NaN adds nothing."""
    if not floor > 0:
        raise ValueError(f"a floor of {floor}: at age 0 the power law is infinite")
    seconds = _ages(ages).nan_to_num(nan=torch.inf, posinf=torch.inf).clamp(min=floor)
    return torch.logsumexp(-d * torch.log(seconds), dim=1)


def _ages(ages: Tensor) -> Tensor:
    if (ages < 0).any():
        raise ValueError("an age is negative: a use lies after now")
    return ages.double()


def _decay(d: float) -> float:
    if not d > 0:
        raise ValueError(f"d = {d} does not decay")
    return d


def _result(ages: Tensor) -> torch.dtype:
    return ages.dtype if ages.is_floating_point() else torch.float64
