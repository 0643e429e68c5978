"""EM-LLM's memory of a whole stream in plain float64: a head and a token at a time, after the golden README's text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Run:
    """What a stream gave."""

    out: Array
    divide: list[bool]
    hits: list[list[int]] = field(default_factory=list)
    buffers: list[list[int]] = field(default_factory=list)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    representatives: list[Array] = field(default_factory=list)
    init: int = 0


def turned(x: Array, position: int, base: float) -> Array:
    """One head's vector at a position."""
    half = len(x) // 2
    y = np.empty(len(x))
    for i in range(half):
        angle = position * base ** (-2 * i / len(x))
        y[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        y[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
    return y


def filled(order: list[int], sizes: list[int], budget: int) -> tuple[list[int], bool]:
    """Blocks in order until the budget is reached, the last only where that comes nearer to it; whether it was."""
    taken: list[int] = []
    total = 0
    for block in order:
        before, total = total, total + sizes[block]
        if total >= budget:
            return (taken if abs(budget - before) <= abs(total - budget) else [*taken, block]), True
        taken.append(block)
    return taken, False


def neighbours(hits: list[int], old: list[int], sizes: list[int], share: int) -> list[int]:
    """The contiguity buffer after these hits."""
    around: list[int] = []
    for hit in hits:
        for block in (hit + 1, hit - 1):
            if 0 <= block < len(sizes) and block not in hits and block not in around:
                around.append(block)
    taken, reached = filled(around, sizes, share)
    new = taken[::-1]
    if not old or reached:
        return new
    spare = [block for block in old if block not in new and block not in hits]
    if sum(sizes[block] for block in old) < share:
        return spare + new
    while spare and sum(sizes[block] for block in new) < share:
        new.insert(0, spare.pop())
    return new


def blocks_of(divide: list[bool], least: int, most: int) -> list[int]:
    """Sizes of the blocks of a run of tokens that has left the local window."""
    n = len(divide)
    if n < least:
        return []
    cuts = [t for t in range(1, n) if divide[t]]
    if cuts:
        ends = [0, *cuts, n]
        pieces = [b - a for a, b in pairwise(ends)]
    else:
        pieces = [n] if n <= most else [most] * (n // most) + ([n % most] if n % most else [])
    sizes: list[int] = []
    gathered = 0
    for i, piece in enumerate(pieces):
        gathered += piece
        while gathered >= most:
            sizes.append(most)
            gathered -= most
        if gathered >= min(least, n) and i < len(pieces) - 1:
            sizes.append(gathered)
            gathered = 0
    return sizes


def run(query: Array, key: Array, value: Array, surprisal: Array, p: dict[str, Any]) -> Run:
    """q, k, v [H, T, D] and surprisal [T], by the settings `p` of the vectors."""
    heads, length, dim = query.shape
    result = Run(np.zeros((heads, length, dim)), [False] * length)
    received = np.zeros((heads, length))
    buffer: list[int] = []
    stored = 0
    for start in range(0, length, p["chunk"]):
        end = min(length, start + p["chunk"])
        remainder = max(end - stored - p["n_local"], 0)
        sizes = [b - a for a, b in result.blocks]
        budget = p["n_init"] + p["chunk"] + p["n_mem"] - remainder - (result.init if start > p["n_local"] else 0)
        share = int(p["contiguity_size"] * budget + 1) if p["contiguity"] else 0
        budget -= share
        far = np.array(
            [[turned(query[h, i], p["n_local"] - 1, p["rope_base"]) for i in range(start, end)] for h in range(heads)]
        )
        hits = list(range(len(sizes)))
        if sum(sizes) > budget:
            wanted = far.mean(axis=1).ravel()
            hits.sort(key=lambda block: -float(result.representatives[block] @ wanted))
            hits, _ = filled(hits, sizes, budget)
        if p["contiguity"]:
            buffer = neighbours(hits, buffer, sizes, share)
        tokens = [t for block in sorted({*hits, *buffer}) for t in range(*result.blocks[block])]
        tokens += [*range(result.init), *range(stored, stored + remainder)]
        for h in range(heads):
            near = {j: turned(key[h, j], j, p["rope_base"]) for j in range(max(0, start - p["n_local"]), end)}
            for i in range(start, end):
                seen = [j for j in near if j <= i and i - j < p["n_local"]]
                at_i = turned(query[h, i], i, p["rope_base"])
                scores = [at_i @ near[j] for j in seen] + [far[h, i - start] @ key[h, t] for t in tokens]
                weights = np.exp(np.array(scores) / math.sqrt(dim))
                weights /= weights.sum()
                result.out[h, i] = weights @ value[h, seen + tokens]
                received[h, seen] += weights[: len(seen)]
        n = end - stored
        history = surprisal[stored:end][max(n - p["n_local"], 0) : max(n - p["chunk"], p["n_init"])]
        threshold = history.mean() + p["gamma"] * history.std(ddof=1)
        result.divide[start:end] = [bool(x > threshold) for x in surprisal[start:end]]
        result.hits.append(hits)
        result.buffers.append(buffer)
        leaving = max(end - stored - p["n_local"], 0)
        first = min(p["n_init"] - result.init, leaving)
        result.init += first
        stored += first
        run_of = result.divide[stored : stored + leaving - first]
        for size in blocks_of(run_of, p["min_block_size"], p["max_block_size"]):
            parts = []
            for h in range(heads):
                order = sorted(range(stored, stored + size), key=lambda t: -received[h, t])
                parts.append(key[h, order[: p["repr_topk"]]].mean(axis=0))
            result.blocks.append((stored, stored + size))
            result.representatives.append(np.concatenate(parts))
            stored += size
    return result
