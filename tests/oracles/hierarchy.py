"""Hierarchical chunk attention in plain float64, a query and a chunk at a time, and its dense form; chunks by place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, tuple[Array, Array]]
"""name -> (w[out, in], b[out]) of summary_query, summary_key, query, key, value, out."""


def softmax(scores: Array) -> Array:
    """Of one row; all minus infinity gives zeros."""
    if np.isneginf(scores).all():
        return np.zeros_like(scores)
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def in_chunks(memory: Array, seen: Array, chunk: int, padding_seen: bool = False) -> tuple[Array, Array]:
    """memory[L,D], seen[L] -> [M,C,D], [M,C]: zeros in front until the last chunk is full; NaN tokens are not seen."""
    tokens, there = [*memory], [*seen]
    while len(tokens) % chunk:
        tokens.insert(0, np.zeros(memory.shape[1]))
        there.insert(0, padding_seen)
    there = [bool(flag) and not np.isnan(token).any() for token, flag in zip(tokens, there, strict=True)]
    tokens = [token if flag else np.zeros_like(token) for token, flag in zip(tokens, there, strict=True)]
    count = len(tokens) // chunk
    return np.array(tokens).reshape(count, chunk, -1), np.array(there, bool).reshape(count, chunk)


def means(chunks: Array, seen: Array) -> Array:
    """The mean of each chunk's seen tokens; zeros where none is."""
    return np.array([c[s].mean(axis=0) if s.any() else np.zeros(c.shape[1]) for c, s in zip(chunks, seen, strict=True)])


def countdown(chunk: int, dim: int) -> Array:
    """[chunk, dim]: [sin, cos] of chunk - 1 .. 0 at 10000^(-2i/dim)."""
    table = np.zeros((chunk, dim))
    for c in range(chunk):
        for i in range(dim // 2):
            angle = (chunk - 1 - c) / 10000 ** (2 * i / dim)
            table[c, i], table[c, dim // 2 + i] = math.sin(angle), math.cos(angle)
    return table


def attended(
    query: Array, chunks: Array, seen: Array, allowed: Array, keys: Array, weights: Weights, heads: int, top_k: int
) -> Array:
    """query[T,D], chunks[M,C,D] (positions added), seen[M,C], allowed[T,M], keys[M,D] -> [T,D]."""
    results = []
    for t, q in enumerate(query):
        asked = _project(weights, "summary_query", q)
        logits = []
        for m in range(len(chunks)):
            logit = asked @ _project(weights, "summary_key", keys[m]) / math.sqrt(len(q))
            logits.append(logit if allowed[t, m] and seen[m].any() and not math.isnan(logit) else -np.inf)
        chosen = sorted(range(len(chunks)), key=lambda m: -logits[m])[:top_k]
        shares = softmax(np.array([logits[m] for m in chosen]))
        if not shares.any():
            results.append(np.zeros(len(q)))
            continue
        result = np.zeros(len(q))
        for m, share in zip(chosen, shares, strict=True):
            if share:
                result += share * _inside(q, chunks[m], seen[m], weights, heads)
        results.append(result)
    return np.array(results)


def dense(query: Array, chunks: Array, keys: Array, weights: Weights, heads: int) -> Array:
    """All chunks and all tokens at once, nothing chosen and nothing masked."""
    asked, summaries = (_project(weights, n, x) for n, x in (("summary_query", query), ("summary_key", keys)))
    logits = asked @ summaries.T / math.sqrt(query.shape[1])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)  # [T, M]
    q = _project(weights, "query", query).reshape(len(query), heads, -1)
    k, v = (_project(weights, name, chunks).reshape(*chunks.shape[:2], heads, -1) for name in ("key", "value"))
    powers = np.exp(np.einsum("thd,mchd->thmc", q, k) / math.sqrt(q.shape[-1]))
    attention = powers / powers.sum(axis=-1, keepdims=True)
    read = np.einsum("tm,thmc,mchd->thd", shares, attention, v).reshape(len(query), -1)
    return _project(weights, "out", read)


def place_chunks(places: list[int], chunk: int, drop_rest: bool = False) -> list[list[int]]:
    """Chunks of indices, by place and then by time, without padding."""
    chunks = []
    for place in sorted(set(places)):
        items = [i for i, other in enumerate(places) if other == place]
        rest = len(items) % chunk
        if drop_rest and len(items) >= chunk and rest and rest < chunk / 2:
            items = items[: len(items) - rest]
        chunks += [items[start : start + chunk] for start in range(0, len(items), chunk)]
    return chunks


def _project(weights: Weights, name: str, x: Array) -> Array:
    w, b = weights[name]
    return x @ w.T + b


def _inside(q: Array, tokens: Array, seen: Array, weights: Weights, heads: int) -> Array:
    """Multi-head attention of one query to one chunk."""
    asked = _project(weights, "query", q).reshape(heads, -1)
    key, value = (_project(weights, name, tokens).reshape(len(tokens), heads, -1) for name in ("key", "value"))
    read = []
    for h in range(heads):
        scores = key[:, h] @ asked[h] / math.sqrt(asked.shape[1])
        read.append(softmax(np.where(seen, scores, -np.inf)) @ value[:, h])
    return _project(weights, "out", np.concatenate(read))
