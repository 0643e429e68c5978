"""XMem's readout in its published steps, in the layout of its code: tokens along the last axis, one batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def similarity(key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor) -> Tensor:
    """[1, N, Q] of key [1, C, N], shrinkage [1, 1, N], query and selection [1, C, Q]."""
    rows = key.transpose(1, 2)  # [1, N, C]
    squared = rows.pow(2) @ selection
    twice = 2 * (rows @ (query * selection))
    of_query = (selection * query.pow(2)).sum(dim=1, keepdim=True)
    distance = -squared + twice - of_query
    return distance * shrinkage.transpose(1, 2) / math.sqrt(key.shape[1])


def affinity(scores: Tensor, top_k: int) -> Tensor:
    """[1, N, Q]: softmax over the top k of each column, without its largest subtracted, and 0 elsewhere."""
    values, indices = torch.topk(scores, k=top_k, dim=1)
    weights = values.exp_()
    weights /= weights.sum(dim=1, keepdim=True)
    return scores.zero_().scatter_(1, indices, weights)


def readout(key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor, value: Tensor, top_k: int = 30) -> Tensor:
    """[1, V, Q] of value [1, V, N]."""
    return value @ affinity(similarity(key, shrinkage, query, selection), top_k)
