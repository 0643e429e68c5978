"""What every operator asks of its tensors, written as the papers write it: `key[N,C]`, `query[Q,C]`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_NAMED = re.compile(r"(\w+)\[([^\]]*)\]")


def sizes_of(pattern: str, *tensors: torch.Tensor | None) -> dict[str, int]:
    """The size of each letter of `pattern` in the tensors, one `name[A,B,..]` each, in order.

    A letter has one size throughout; a number stands for itself; None is passed over. Raises `ValueError` that names
    every tensor with its shape when one does not fit. O(number of axes).

    >>> sizes_of("key[N,C] query[Q,C]", torch.zeros(5, 2), torch.zeros(3, 2))
    {'N': 5, 'C': 2, 'Q': 3}
    """
    named = [(name, axes.split(",") if axes else []) for name, axes in _NAMED.findall(pattern)]
    sizes: dict[str, int] = {}
    for (_, axes), tensor in zip(named, tensors, strict=True):
        if tensor is None:
            continue
        if tensor.ndim != len(axes):
            raise ValueError(_fault(pattern, named, tensors))
        for axis, size in zip(axes, tensor.shape, strict=True):
            if (int(axis) if axis.isdigit() else sizes.setdefault(axis, size)) != size:
                raise ValueError(_fault(pattern, named, tensors))
    return sizes


def _fault(pattern: str, named: list[tuple[str, list[str]]], tensors: tuple[torch.Tensor | None, ...]) -> str:
    given = " ".join(
        f"{name}{list(tensor.shape)}" for (name, _), tensor in zip(named, tensors, strict=True) if tensor is not None
    )
    return f"{given} given where {pattern} is asked for"
