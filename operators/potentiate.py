"""Memory potentiation (XMem, Cheng and Schwing, ECCV 2022): the most used tokens stay and gather what the rest held."""

from __future__ import annotations

import torch
from torch import Tensor

from .affinity import attend
from .shapes import sizes_of


def prototypes(usage: Tensor, count: int) -> Tensor:
    """Indices int64[P] of the `count` most used tokens, the most used first (section 3.3, prototype selection).

    `usage` [N]: attention received per read that could have given it (use / life). P = min(count, N). Ties go to the
    earlier index; NaN counts as minus infinity. O(N log N). `ValueError` when `usage` is not [N] or `count` < 0.
    """
    return _ranked(usage, count, descending=True)[:count]


def most_used(usage: Tensor, keep: int) -> Tensor:
    """Indices int64[min(keep, N)], ascending, of the tokens that outlive an eviction by `usage` [N] (section 3.3).

    Exactly `keep` stay, or all N when `keep` > N: of equal usage the later indices, so that no tie empties the memory
    (the published rule, usage > the (N - keep)-th smallest, drops every token that ties with the last one dropped).
    NaN counts as minus infinity: it goes first. O(N log N). `ValueError` when `usage` is not [N] or `keep` < 0.
    """
    ascending = _ranked(usage, keep, descending=False)
    return ascending[max(0, len(usage) - keep) :].sort().values


def potentiate(
    key: Tensor, shrinkage: Tensor, selection: Tensor, value: Tensor, prototypes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The long-term tokens (key[P,C], shrinkage[P], value[P,V]) that stand for N candidates (section 3.3).

    `key` [N,C], `shrinkage` [N], `selection` [N,C] and `value` [N,V] are the candidates' own; `prototypes` int64[P]
    are indices among them, in any order, repeats allowed. A prototype's key is copied. It asks as a query would, with
    its own selection, and is answered by the softmax over all N candidates: its value and its shrinkage are the means
    of theirs under that affinity.

    A candidate with NaN in its key or shrinkage weighs nothing. A prototype with NaN in its selection can ask nothing:
    its shrinkage is NaN, so that no read ever chooses it. NaN in a value reaches every prototype. P = 0 gives empty
    tensors. O(P N (C + V)) time; memory that of `attend` and one copy of `value`. `ValueError` names the shapes that
    do not fit, and prototypes that are not int64 in [0, N).
    """
    n = sizes_of(
        "key[N,C] shrinkage[N] selection[N,C] value[N,V] prototypes[P]", key, shrinkage, selection, value, prototypes
    )["N"]
    if prototypes.dtype != torch.int64:
        raise ValueError(f"prototypes are int64 indices, not {prototypes.dtype}")
    if len(prototypes) and not 0 <= int(prototypes.min()) <= int(prototypes.max()) < n:
        raise ValueError(f"prototypes from {int(prototypes.min())} to {int(prototypes.max())} of {n} candidates")
    asking, attending = key[prototypes], selection[prototypes]  # [P, C] twice
    # A NaN shrinkage weighs 0, and 0 times NaN would still spoil the mean.
    held = torch.cat([value, shrinkage.masked_fill(shrinkage.isnan(), 0)[:, None]], dim=1)  # [N, V + 1]
    means = attend(key, held, asking, shrinkage, attending, top_k=None)  # [P, V + 1]
    # What asked nothing has shrinkage 0, and hence similarity 0, the highest there is.
    mean_shrinkage = means[:, -1].masked_fill(attending.isnan().any(dim=1), torch.nan)
    return asking, mean_shrinkage.to(shrinkage.dtype), means[:, :-1].to(value.dtype)


def _ranked(usage: Tensor, count: int, descending: bool) -> Tensor:
    """int64[N], tokens in the order of their usage, equal ones in the order of their indices."""
    sizes_of("usage[N]", usage)
    if count < 0:
        raise ValueError(f"a number of tokens is not negative: {count}")
    return torch.where(usage.isnan(), -torch.inf, usage).argsort(descending=descending, stable=True)
