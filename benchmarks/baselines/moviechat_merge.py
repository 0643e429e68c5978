"""MovieChat's merging as published: every adjacent pair is scored anew after each merge."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def merge(frames: Tensor, keep: int) -> Tensor:
    """[T, Q, D] -> [keep, Q, D]: two frames score the mean of their Q x Q raw products, and their average stays."""
    buffer = list(frames)
    while len(buffer) > keep:
        scores = [float((a @ b.T).mean()) for a, b in pairwise(buffer)]
        best = scores.index(max(scores))
        buffer[best : best + 2] = [(buffer[best] + buffer[best + 1]) / 2]
    return torch.stack(buffer)
