"""MemoryVLA's bank of one episode, in float64 numpy, entry by entry as the paper and the released branches have it."""

from __future__ import annotations

from collections.abc import Mapping
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Bank:
    """`entries`: [tokens [N, D], timestep, count], oldest first."""

    def __init__(self, weights: Mapping[str, Array], settings: Any) -> None:
        self.w, self.s = weights, settings
        self.entries: list[tuple[Array, float, int]] = []

    def step(self, x: Array, t: float) -> Array:
        """The fused tokens; the entry is taken up unless it is not finite."""
        out = self.fuse(x, self.retrieve(x, t))
        stored = out if self.s.stores == "fused" else x
        if np.isfinite(stored).all() and np.isfinite(t):
            self.entries.append((stored, t, 1))
            if len(self.entries) > self.s.capacity:
                self.shorten()
        return out

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return unit * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def encode(self, t: float) -> Array:
        half = self.s.timestep_dim // 2
        phase = [t * 10000 ** (-i / half) for i in range(half)]
        hidden = self.linear("timestep_encoder.mlp.0", np.array([*np.cos(phase), *np.sin(phase)]))
        return self.linear("timestep_encoder.mlp.2", hidden / (1 + np.exp(-hidden)))

    def retrieve(self, x: Array, t: float) -> Array:
        entries = self.entries
        if not entries:
            if self.s.empty == "pass":
                return x
            entries = [(x, t, 1)]
        memory = np.concatenate([m for m, _, _ in entries])
        keys = np.concatenate([m + self.encode(when) for m, when, _ in entries])
        y = x
        width = self.s.dim // self.s.heads
        for layer in range(self.s.layers):
            at = f"retrieval_blocks.{layer}"
            q, k, v = (self.linear(f"{at}.{name}_proj", of) for name, of in (("q", y), ("k", keys), ("v", memory)))
            read = np.zeros_like(y)
            for head in range(self.s.heads):
                columns = slice(head * width, (head + 1) * width)
                scores = q[:, columns] @ k[:, columns].T / sqrt(width)
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                read[:, columns] = weights / weights.sum(axis=1, keepdims=True) @ v[:, columns]
            y = self.norm(f"{at}.attn_norm", y + read)
            hidden = self.linear(f"{at}.ffn.0", y)
            gelu = np.vectorize(lambda h: h * (1 + erf(h / sqrt(2))) / 2)(hidden)
            y = self.norm(f"{at}.ffn_norm", y + self.linear(f"{at}.ffn.2", gelu))
        return y

    def fuse(self, x: Array, y: Array) -> Array:
        if self.s.fusion == "add":
            return (x + y) / 2
        odds = self.linear("gate_fusion_blocks.proj", np.concatenate([x, y], axis=1))
        gate = (1 + np.tanh(odds / 2)) / 2
        return gate * x + (1 - gate) * y

    def shorten(self) -> None:
        if self.s.consolidation == "fifo":
            del self.entries[0]
            return
        likeness = [
            np.mean([cosine(a, b) for a, b in zip(left[0], right[0], strict=True)])
            for left, right in zip(self.entries, self.entries[1:], strict=False)
        ]
        i = likeness.index(max(likeness))
        (a, t_a, n_a), (b, t_b, n_b) = self.entries[i : i + 2]
        share = n_a / (n_a + n_b) if self.s.weighted else 0.5
        t = t_a if self.s.merged_timestep == "earlier" else share * t_a + (1 - share) * t_b
        self.entries[i : i + 2] = [(share * a + (1 - share) * b, t, n_a + n_b)]


def cosine(a: Array, b: Array) -> float:
    """0 where one is zero."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 0.0
