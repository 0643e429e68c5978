"""EM-LLM's memory of a whole stream, composed of our operators: local window, episodic blocks, retrieval, attention.

As released (Fountas et al. 2024; golden README, `emllm_memory_*`), not as a default: the tokens of the remainder are
seen unmasked and in part twice, and the budgets are reached rather than kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mneme.operators.blocks import cut_blocks, representative
from mneme.operators.retrieve import rank_blocks, with_neighbours
from mneme.operators.surprise import surprising


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes in tokens, by the names of the vectors."""

    chunk: int
    n_init: int
    n_local: int
    n_mem: int
    min_block_size: int
    max_block_size: int
    gamma: float
    repr_topk: int
    contiguity: bool
    contiguity_size: float
    rope_base: float


class Step(NamedTuple):
    """What one chunk saw, and which of its tokens begin an event."""

    out: Tensor
    """[H, chunk, D]"""
    hits: list[int]
    buffer: list[int]
    divide: Tensor
    """bool[chunk]"""


class EpisodicContext:
    """One layer's keys, values and surprisal of a stream, attended to and stored a chunk at a time.

    A token is in the last `n_local`, then among the first `n_init` or in the remainder, and then in a block.
    """

    def __init__(self, key: Tensor, value: Tensor, surprisal: Tensor, settings: Settings) -> None:
        self.key, self.value, self.surprisal, self.settings = key, value, surprisal, settings  # [H, T, D], .., [T]
        self.received = key.new_zeros(key.shape[:2])  # attention from within the local window
        self.divide = torch.zeros(key.shape[1], dtype=torch.bool)
        self.representatives = key.new_zeros(0, key.shape[0] * key.shape[2])  # [B, H D]
        self.sizes = torch.zeros(0, dtype=torch.int64)  # [B]
        self.buffer = torch.zeros(0, dtype=torch.int64)
        self.init = 0
        self.stored = 0  # tokens among the first or in blocks

    def step(self, query: Tensor, start: int) -> Step:
        """Attend with the queries [H, chunk, D] of tokens start.. to the stream so far, then store what leaves."""
        s, end = self.settings, start + query.shape[1]
        remainder = max(end - self.stored - s.n_local, 0)
        far = rotary(query, torch.full((query.shape[1],), s.n_local - 1), s.rope_base)
        hits = self._retrieve(far.mean(dim=1).flatten(), start, remainder)
        tokens = self._tokens(torch.cat([hits, self.buffer]), remainder)
        out = self._attend(query, far, start, tokens)
        self._divide(start, end)
        self._store(end)
        return Step(out, hits.tolist(), self.buffer.tolist(), self.divide[start:end])

    def _retrieve(self, query: Tensor, start: int, remainder: int) -> Tensor:
        """The blocks most similar to the chunk's mean query [H D]; the buffer becomes their neighbours."""
        s = self.settings
        budget = s.n_init + s.chunk + s.n_mem - remainder - (self.init if start > s.n_local else 0)
        hits = rank_blocks(query, self.representatives, self.sizes, budget, published=True)
        if s.contiguity:
            hits, self.buffer = with_neighbours(
                hits, self.sizes, budget, s.contiguity_size, self.buffer, published=True
            )
            budget -= int(s.contiguity_size * budget + 1)
        return hits.sort().values if self.sizes.sum() <= budget else hits  # where all fit, the release ranks none

    def _tokens(self, blocks: Tensor, remainder: int) -> Tensor:
        """The tokens of the chosen blocks in order of time, the first tokens and the remainder."""
        ends = self.init + self.sizes.cumsum(0)
        chosen = [torch.arange(int(ends[b] - self.sizes[b]), int(ends[b])) for b in sorted(blocks.tolist())]
        return torch.cat([*chosen, torch.arange(self.init), torch.arange(self.stored, self.stored + remainder)])

    def _attend(self, query: Tensor, far: Tensor, start: int, tokens: Tensor) -> Tensor:
        """One softmax over the local window and what was retrieved: [H, chunk, D]."""
        s, end = self.settings, start + query.shape[1]
        window = slice(max(0, start - s.n_local), end)
        rows, columns = torch.arange(start, end), torch.arange(end)[window]
        apart = rows[:, None] - columns  # [chunk, window]
        near = rotary(query, rows, s.rope_base) @ rotary(self.key[:, window], columns, s.rope_base).mT
        near = near.masked_fill((apart < 0) | (apart >= s.n_local), -torch.inf)  # [H, chunk, window]
        scores = torch.cat([near, far @ self.key[:, tokens].mT], dim=2) / query.shape[2] ** 0.5
        weights: Tensor = scores.softmax(dim=2)
        self.received[:, window] += weights[:, :, : len(columns)].sum(dim=1)
        return weights @ torch.cat([self.value[:, window], self.value[:, tokens]], dim=1)

    def _divide(self, start: int, end: int) -> None:
        """Which tokens of the chunk surprise, by the window before it (of the first chunk, by its own beginning)."""
        s = self.settings
        history = self.surprisal[max(end - s.n_local, self.stored) : max(end - s.chunk, self.stored + s.n_init)]
        self.divide[start:end] = surprising(self.surprisal[start:end], history[None], s.gamma)

    def _store(self, end: int) -> None:
        """What has left the local window becomes first tokens, then blocks."""
        s, last = self.settings, end - self.settings.n_local
        first = min(s.n_init - self.init, max(0, last - self.stored))
        self.init += first
        self.stored += first
        for size in cut_blocks(self.divide[self.stored : max(last, self.stored)], s.min_block_size, s.max_block_size):
            block = slice(self.stored, self.stored + size)
            mean = representative(self.key[:, block], self.received[:, block], s.repr_topk)  # [H, D]
            self.representatives = torch.cat([self.representatives, mean.flatten()[None]])
            self.sizes = torch.cat([self.sizes, torch.tensor([size])])
            self.stored += size


def rotary(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """x [H, N, D] turned by its `positions` [N], halves paired (Su et al. 2021, RoFormer)."""
    dim = x.shape[2]
    phase = positions[:, None].to(x) * base ** (-torch.arange(0, dim, 2).to(x) / dim)  # [N, D/2]
    left, right = x.chunk(2, dim=2)
    cos, sin = phase.cos(), phase.sin()
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=2)
