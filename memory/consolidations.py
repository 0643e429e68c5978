"""Ways to keep a growing past in a fixed number of prototypes: three of the literature, and two that merely choose.

Each takes the prototypes so far, which already know what attention the event gave them, and the tokens of an event that
has closed, and returns exactly as many prototypes as are allowed, or fewer where there are fewer. A prototype that
so many events have fed is closed to others, so what a merge would put together of more events stays apart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Vector
from .prototypes import Candidates, Parts, Prototype, half, merged, unit
from .settings import Way
from .token_bank import TEMPERATURE


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a consolidation keeps to."""

    prototypes: int = 128
    """At most."""
    events: int = 4
    """That feed one prototype, at most."""
    share: int = 4
    """An event gives one prototype for so many tokens, and at least one."""
    familiar: float = 0.8
    """Cosine from which a token feeds the prototype that is there, instead of making one."""


Consolidation = Callable[[Sequence[Prototype], Candidates, Bounds], list[Prototype]]


def potentiation(held: Sequence[Prototype], new: Candidates, bounds: Bounds) -> list[Prototype]:
    """XMem (Cheng and Schwing, ECCV 2022, section 3.3): the most used tokens become prototypes, the least used go.

    The key of a prototype is copied; its value is the mean of all the event's tokens under its affinity to them. What
    is familiar feeds the open prototype that knows it; where that is closed it adds nothing (its use has grown
    already), so that a place that is seen every day does not fill the memory.
    """
    import torch

    from ..operators.potentiate import potentiate, prototypes

    keys = torch.from_numpy(new.vectors)
    n, dim = keys.shape
    chosen = prototypes(torch.from_numpy(new.usage), given(n, bounds))
    # S = -(s / sqrt C) |k - q|^2 with |k - q|^2 = 2 - 2 cos: this shrinkage makes it cos / T, but for a constant.
    shrinkage = torch.full((n,), dim**0.5 / (2 * TEMPERATURE))
    _, _, values = potentiate(keys, shrinkage, torch.ones_like(keys), keys, chosen)
    nearest = (keys @ keys[chosen].T).argmax(dim=1).numpy()  # [n]: which prototype stands for each token
    kept = list(held)
    for j, index in enumerate(chosen.tolist()):
        rows = np.flatnonzero(nearest == j)
        part = new.part(rows if len(rows) else [index], values[j].numpy())
        key = new.vectors[index]
        known = [] if not kept else (_units([p.value for p in kept]) @ unit(part.mean)).tolist()
        near = max(range(len(known)), key=known.__getitem__, default=None)
        if near is None or known[near] < bounds.familiar:
            kept.append(Prototype(Parts([part]), half(key), new.event))
        elif new.event in kept[near].events or len(kept[near].parts) < bounds.events:
            kept[near] = kept[near].fed([part])
    return most_used(kept, bounds.prototypes)


def merge(held: Sequence[Prototype], new: Candidates, bounds: Bounds) -> list[Prototype]:
    """MovieChat (Song et al., CVPR 2024): the two neighbours in time that are most alike become one, again and again.

    Weights are carried. Where no two neighbours may be merged any more, the least used prototype goes.
    """
    import torch

    from ..operators.merge import adjacent_similarity, merge_adjacent

    left = merge_adjacent(torch.from_numpy(new.vectors)[:, None], given(len(new.vectors), bounds))
    runs = [np.arange(a, b) for a, b in pairwise(left.groups.tolist())]
    kept = [*held, *(Prototype(Parts([new.part(run)])) for run in runs)]

    def alike(rows: Sequence[Prototype]) -> list[float]:
        """Cosines of neighbours; minus infinity where more events than may would feed the two as one."""
        cosines = adjacent_similarity(torch.from_numpy(np.stack([p.value for p in rows]))[:, None]).tolist()
        open_to = [len(a.events | b.events) <= bounds.events for a, b in pairwise(rows)]
        return [cosine if may else -math.inf for cosine, may in zip(cosines, open_to, strict=True)]

    scores = alike(kept) if len(kept) > bounds.prototypes else []
    while len(kept) > bounds.prototypes:
        best = max(range(len(scores)), key=scores.__getitem__, default=0)
        if not scores or scores[best] == -math.inf:
            return most_used(kept, bounds.prototypes)
        kept[best : best + 2] = [merged(kept[best : best + 2])]
        first, last = max(best - 1, 0), min(best + 2, len(kept))
        scores[first : best + 2] = alike(kept[first:last])  # no other pair has changed
    return kept


def cluster(held: Sequence[Prototype], new: Candidates, bounds: Bounds) -> list[Prototype]:
    """Flash-VStream (Zhang et al., 2024): weighted k-means over what is held and what is new, the heaviest first.

    Of a cluster that more events would feed than may, the heaviest are merged as far as they may, the others stay
    apart; what is then too much goes by use.
    """
    import torch

    from ..operators.merge import weighted_kmeans

    kept = [*held, *(Prototype(Parts([new.part([i])])) for i in range(len(new.vectors)))]
    if len(kept) <= bounds.prototypes:
        return kept
    values = torch.from_numpy(np.stack([p.value for p in kept]))
    masses = torch.tensor([p.mass for p in kept], dtype=torch.float64)
    heaviest = masses.argsort(descending=True, stable=True)[: bounds.prototypes]
    labels = weighted_kmeans(values, masses, heaviest.sort().values, iterations=4).labels.tolist()
    groups: dict[int, list[Prototype]] = {}
    for prototype, label in zip(kept, labels, strict=True):
        groups.setdefault(label, []).append(prototype)
    fewer = []
    for group in groups.values():
        rest = sorted(group, key=lambda p: -p.mass)
        while rest:
            whole, apart = [rest[0]], []
            events = rest[0].events
            for other in rest[1:]:
                if len(events | other.events) <= bounds.events:
                    whole.append(other)
                    events |= other.events
                else:
                    apart.append(other)
            fewer.append(merged(whole))
            rest = apart
    return most_used(sorted(fewer, key=lambda p: p.t_ns), bounds.prototypes)


def fifo(held: Sequence[Prototype], new: Candidates, bounds: Bounds) -> list[Prototype]:
    """The last tokens, as they came."""
    kept = [*held, *(Prototype(Parts([new.part([i])])) for i in range(len(new.vectors)))]
    return kept[max(0, len(kept) - bounds.prototypes) :]


def reservoir(held: Sequence[Prototype], new: Candidates, bounds: Bounds) -> list[Prototype]:
    """A uniform sample of all tokens (Vitter 1985), drawn by a hash of each: the same for the same stream.

    A token's number is drawn once; the greatest stay. It stands where others keep their use.
    """
    drawn = [Prototype(Parts([new.part([i])]), use=_draw(new.event, i)) for i in range(len(new.vectors))]
    return most_used([replace(p, life=1.0) for p in [*held, *drawn]], bounds.prototypes)


WAYS: Mapping[Way, Consolidation] = {
    "potentiation": potentiation, "merge": merge, "cluster": cluster, "fifo": fifo, "reservoir": reservoir,
}  # fmt: skip
ATTENTIVE: frozenset[Way] = frozenset({"potentiation", "merge", "cluster"})
"""Those whose prototypes have use and life; the others keep their own order."""


def given(tokens: int, bounds: Bounds) -> int:
    """How many prototypes an event of so many tokens gives."""
    return max(1, min(bounds.prototypes, -(-tokens // bounds.share)))


def most_used(prototypes: Sequence[Prototype], keep: int) -> list[Prototype]:
    """The `keep` most used, in their order; of equally used ones the later (XMem, section 3.3)."""
    if len(prototypes) <= keep:
        return list(prototypes)
    import torch

    from ..operators.potentiate import most_used as outlive

    usage = torch.tensor([p.usage for p in prototypes], dtype=torch.float64)
    return [prototypes[i] for i in outlive(usage, keep).tolist()]


def _draw(event: str, index: int) -> float:
    digest = hashlib.blake2b(f"{event}\x1f{index}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _units(vectors: Sequence[Vector]) -> NDArray[Any]:
    rows = np.stack(vectors)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
