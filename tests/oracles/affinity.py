"""XMem's read (equations 1 to 4) in float64, one scalar after another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def similarity(key: F64, query: F64, shrinkage: F64 | None = None, selection: F64 | None = None) -> F64:
    out = np.zeros((len(query), len(key)))
    for q in range(len(query)):
        for n in range(len(key)):
            distance = 0.0
            for c in range(key.shape[1]):
                e = 1.0 if selection is None else selection[q, c]
                distance += e * (key[n, c] - query[q, c]) ** 2
            out[q, n] = -(1.0 if shrinkage is None else shrinkage[n]) / math.sqrt(key.shape[1]) * distance
    return out


def chosen(scores: F64, top_k: int | None) -> list[int]:
    """Columns of one row, the best first, the earlier of equals; neither NaN nor minus infinity."""
    real = [n for n in range(len(scores)) if not math.isnan(scores[n]) and scores[n] != -math.inf]
    ordered = sorted(real, key=lambda n: (-scores[n], n))
    return ordered if top_k is None else ordered[:top_k]


def dense(scores: F64, top_k: int | None) -> F64:
    """The affinity as a whole matrix [Q, N]."""
    out = np.zeros_like(scores)
    for q in range(len(scores)):
        columns = chosen(scores[q], top_k)
        if columns:
            raised = [math.exp(scores[q, n] - scores[q, columns[0]]) for n in columns]
            for n, weight in zip(columns, raised, strict=True):
                out[q, n] = weight / sum(raised)
    return out


def readout(key: F64, value: F64, query: F64, shrinkage: F64 | None, selection: F64 | None, top_k: int | None) -> F64:
    weights = dense(similarity(key, query, shrinkage, selection), top_k)
    out = np.zeros((len(query), value.shape[1]))
    for q in range(len(query)):
        for n in range(len(key)):
            if weights[q, n]:
                out[q] += weights[q, n] * value[n]
    return out
