"""SAM 2's choice of frames, its memory attention and its encodings, in plain Python and float64 numpy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import cos, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def attended(
    t: int, prompted: list[int], others: Collection[int], memories: int, stride: int, pointers: int
) -> tuple[list[tuple[int, int]], list[int]]:
    """[(frame, row)] and the frames of the pointers, where `others` are the unprompted frames ever written."""
    chosen = [(frame, memories - 1) for frame in prompted]
    for t_pos in range(1, memories):
        t_rel = memories - t_pos
        frame = t - 1 if t_rel == 1 else ((t - 2) // stride) * stride - (t_rel - 2) * stride
        if frame in others:
            chosen.append((frame, memories - t_pos - 1))
    pointed = [frame for frame in prompted if frame <= t]
    for back in range(1, pointers):
        if t - back in others:
            pointed.append(t - back)
    return chosen, pointed


def memory_attention(
    w: Mapping[str, Array], layers: int, x: Array, x_pos: Array, memory: Array, memory_pos: Array,
    pointers: int, width: int, theta: float,
) -> Array:  # fmt: skip
    """x [Q, D], memory [M, C]; weights under SAM 2's names."""

    def linear(name: str, of: Array) -> Array:
        return of @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, of: Array) -> Array:
        centred = of - of.mean(axis=1, keepdims=True)
        return (
            centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    def attention(name: str, query: Array, key: Array, value: Array, unplaced: int) -> Array:
        q, k, v = linear(f"{name}.q_proj", query), linear(f"{name}.k_proj", key), linear(f"{name}.v_proj", value)
        q = np.array([turned(row, i, width, theta) for i, row in enumerate(q)])
        placed = len(k) - unplaced
        k = np.array([turned(row, i % len(q), width, theta) if i < placed else row for i, row in enumerate(k)])
        scores = q @ k.T / sqrt(q.shape[1])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return linear(f"{name}.out_proj", weights / weights.sum(axis=1, keepdims=True) @ v)

    x = x + 0.1 * x_pos
    for layer in range(layers):
        at = f"layers.{layer}"
        within = norm(f"{at}.norm1", x)
        x = x + attention(f"{at}.self_attn", within, within, within, 0)
        keys = memory + memory_pos
        x = x + attention(f"{at}.cross_attn_image", norm(f"{at}.norm2", x), keys, memory, pointers)
        x = x + linear(f"{at}.linear2", np.maximum(linear(f"{at}.linear1", norm(f"{at}.norm3", x)), 0))
    return norm("norm", x)


def turned(row: Array, t: int, width: int, theta: float) -> Array:
    """A row of channels rotated to place `t` of a grid: pairs of the first half by x, of the second by y."""
    dim = len(row)
    result = np.empty_like(row)
    for pair in range(dim // 2):
        i, place = (pair, t % width) if pair < dim // 4 else (pair - dim // 4, t // width)
        angle = place * theta ** (-4 * i / dim)
        a, b = row[2 * pair], row[2 * pair + 1]
        result[2 * pair], result[2 * pair + 1] = a * cos(angle) - b * sin(angle), a * sin(angle) + b * cos(angle)
    return result


def map_positions(height: int, width: int, dim: int) -> Array:
    """[dim, height, width]."""
    result = np.empty((dim, height, width))
    for channel in range(dim):
        of_x, i = divmod(channel, dim // 2)
        for row in range(height):
            for column in range(width):
                place, size = (column + 1, width) if of_x else (row + 1, height)
                phase = place * 2 * pi / (size + 1e-6) / 10000 ** (2 * (i // 2) / (dim // 2))
                result[channel, row, column] = cos(phase) if i % 2 else sin(phase)
    return result
