"""Fair shares of something scarce: max-min fairness (Bertsekas & Gallager 1992, Data Networks, section 6.5.2)."""

from __future__ import annotations

from collections.abc import Sequence


def fair_shares(wants: Sequence[float], capacity: float) -> list[float]:
    """What each gets of `capacity`: all that it wants, or the one level that those get who want more (water filling).

    Who wants little gets all of it, however much others want. Shares add up to the capacity, or to the wants where
    these are less. A negative want or capacity is a `ValueError`. O(n log n).
    """
    if capacity < 0 or any(want < 0 for want in wants):
        raise ValueError("what is wanted and what there is are 0 or more")
    shares = [0.0] * len(wants)
    left = float(capacity)
    for done, i in enumerate(sorted(range(len(wants)), key=lambda i: (wants[i], i))):
        shares[i] = min(float(wants[i]), left / (len(wants) - done))
        left -= shares[i]
    return shares
