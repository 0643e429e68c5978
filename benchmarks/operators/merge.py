"""`merge_adjacent` beside MovieChat's loop, at the sizes of its short-term buffer and far above."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from mneme.operators.merge import merge_adjacent

from ..baselines import moviechat_merge
from .timing import Case

KEEP, TOKENS, WIDTH = 2, 32, 768


def read_once(frames: Tensor) -> Tensor:
    """[T, Q, D] -> [T-1], the products of adjacent frames: what no form can avoid."""
    flat = frames.flatten(1)
    return torch.linalg.vecdot(flat[:-1], flat[1:])


def cases() -> Iterator[Case]:
    """MovieChat as released, whose loop the plain form is."""
    for count, at_least in ((64, None), (256, 60.0)):
        frames = torch.randn(count, TOKENS, WIDTH, generator=torch.Generator().manual_seed(count))
        yield Case(
            f"merge_adjacent {count} -> {KEEP} of {TOKENS} x {WIDTH}",
            ours=partial(merge_adjacent, frames, KEEP, score="mean_dot", weighted=False),
            plain=partial(moviechat_merge.merge, frames, KEEP),
            bare=partial(read_once, frames),
            at_least=at_least,
            rounds=5,
        )
