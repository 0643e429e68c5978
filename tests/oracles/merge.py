"""Merging, clustering, positions and the Turing memory in float64, one frame after another."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def cosine(a: F64, b: F64) -> float:
    a, b = a.ravel(), b.ravel()
    lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / lengths if lengths else 0.0


def score(a: F64, b: F64, kind: str) -> float:
    """Of two frames [Q, D]."""
    if kind == "frame_cosine":
        return cosine(a, b)
    if kind == "token_cosine":
        return sum(cosine(x, y) for x, y in zip(a, b, strict=True)) / len(a)
    return sum(float(x @ y) for x in a for y in b) / len(a) ** 2  # MovieChat's Q x Q raw products


def first_best(scores: list[float]) -> int:
    """The first of the largest; NaN only when there is nothing else."""
    ranked = [-math.inf if math.isnan(s) else s for s in scores]
    return ranked.index(max(ranked))


def merge_adjacent(
    frames: F64, keep: int, weights: F64, kind: str, weighted: bool
) -> tuple[F64, list[float], list[list[int]]]:
    """Every pair is scored anew each time; a weighted frame is the mean of all its frames, from the beginning."""
    kept, held, groups = list(frames), [float(w) for w in weights], [[i] for i in range(len(frames))]
    while len(kept) > keep:
        i = first_best([score(kept[n], kept[n + 1], kind) for n in range(len(kept) - 1)])
        group, both = groups[i] + groups[i + 1], held[i] + held[i + 1]
        if not weighted:
            merged = (kept[i] + kept[i + 1]) / 2
        else:
            merged = np.stack([weights[n] * frames[n] for n in group]).sum(0) / both
        kept[i : i + 2], held[i : i + 2], groups[i : i + 2] = [merged], [both], [group]
    return np.stack(kept), held, groups


def merge_nearest(frames: F64, keep: int, weights: F64, weighted: bool) -> tuple[F64, list[float], list[list[int]]]:
    kept, held, groups = list(frames), [float(w) for w in weights], [[i] for i in range(len(frames))]
    while len(kept) > keep:
        pairs = [(i, j) for i in range(len(kept)) for j in range(i + 1, len(kept))]
        i, j = pairs[first_best([cosine(kept[i], kept[j]) for i, j in pairs])]
        a, b = (held[i], held[j]) if weighted else (1.0, 1.0)
        kept[j] = (a * kept[i] + b * kept[j]) / (a + b)
        held[j] += held[i]
        groups[j] = groups[i] + groups[j]
        del kept[i], held[i], groups[i]
    return np.stack(kept), held, groups


def drop_adjacent(frames: F64, coins: list[int]) -> list[int]:
    kept = list(range(len(frames)))
    for coin in coins:
        pair = first_best([cosine(frames[a], frames[b]) for a, b in pairwise(kept)])
        del kept[pair + coin]
    return kept


def weighted_kmeans(
    frames: F64, weights: F64, init: list[int], iterations: int, tol: float, as_labelled: bool
) -> tuple[F64, list[float], list[int]]:
    centroids = [frames[i].copy() for i in init]
    labels, held = [0] * len(frames), [0.0] * len(init)
    for _ in range(iterations):
        for t, frame in enumerate(frames):
            apart = [math.sqrt(float(((frame - c) ** 2).sum())) for c in centroids]
            labels[t] = apart.index(min(apart))
        means = []
        for k, centroid in enumerate(centroids):
            members = [t for t in range(len(frames)) if labels[t] == k]
            held[k] = sum(float(weights[t]) for t in members)
            means.append(sum(weights[t] * frames[t] for t in members) / held[k] if held[k] else centroid)
        moved = sum(math.sqrt(float(((a - b) ** 2).sum())) for a, b in zip(means, centroids, strict=True))
        if moved < tol:
            return np.stack(centroids if as_labelled else means), held, labels
        centroids = means
    return np.stack(centroids), held, labels


def hierarchical_positions(table: F64, length: int, alpha: float) -> F64:
    n = len(table)
    base = [(p - alpha * table[0]) / (1 - alpha) for p in table]
    rows = [alpha * base[i] + (1 - alpha) * base[j] for i in range(n) for j in range(n)]
    return np.stack(rows)[:length]


def abstract_update(
    memory: F64, incoming: F64, query_weight: F64, query_bias: F64, key_weight: F64, key_bias: F64, ratio: float
) -> F64:
    out = memory.copy()
    keys = [key_weight @ x + key_bias for x in incoming]
    for m, slot in enumerate(memory):
        logits = [float((query_weight @ slot + query_bias) @ key) / math.sqrt(len(key)) for key in keys]
        powers = [math.exp(logit - max(logits)) for logit in logits]
        taken = [ratio * power / sum(powers) for power in powers]
        out[m] = slot * (1 - sum(taken)) + sum(w * x for w, x in zip(taken, incoming, strict=True))
    return out
