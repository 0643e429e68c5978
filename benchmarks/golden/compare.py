"""One comparison of an array with ours, at the tolerance that the vectors state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

RTOL, ATOL = 1e-4, 1e-5

Arrays = Mapping[str, NDArray[Any]]
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """An array of the vectors beside ours."""

    name: str
    ok: bool
    detail: str
    """In words."""
    share: float = 0.0
    """The largest error as a share of what is allowed."""


Family = Callable[[Arrays, Params], Iterator[Check]]
"""The checks of one file: its arrays (or a JSON's map) and its constants in `params.json`."""


def close(name: str, got: torch.Tensor | ArrayLike, want: ArrayLike, rtol: float = RTOL, atol: float = ATOL) -> Check:
    """Whether |got - want| <= atol + rtol |want| everywhere, shapes equal and NaN nowhere."""
    ours, theirs = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if ours.shape != theirs.shape:
        return Check(name, False, f"shape {list(ours.shape)}, not {list(theirs.shape)}")
    worst = float((np.abs(ours - theirs) / (atol + rtol * np.abs(theirs))).max(initial=0.0))
    return Check(name, worst <= 1.0, f"error {worst:.3f} of the tolerance (rtol {rtol:g}, atol {atol:g})", worst)


def exact(name: str, got: torch.Tensor | ArrayLike, want: ArrayLike) -> Check:
    """Whether indices, sizes or flags are equal, every one."""
    ours, theirs = np.asarray(got), np.asarray(want)
    if ours.shape != theirs.shape:
        return Check(name, False, f"shape {list(ours.shape)}, not {list(theirs.shape)}")
    wrong = int((ours != theirs).sum())
    return Check(name, not wrong, "equal" if not wrong else f"{wrong} of {theirs.size} differ")
