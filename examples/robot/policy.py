"""A small policy that attends from what it sees to what it is told of its memory, and its training by cloning."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mneme.operators.positions import sine_encoding
from mneme.records import MemoryTokens

VIEW = 14
"""Pixels a side of the view as the policy sees it: four a tile."""
SEEN = 32
"""Principal components of the view that the policy takes."""
ACTIONS = 3
HEADS, WIDTH, TIMES = 4, 32, 16
KEYFRAME = 10.0
"""Weight of a step at which the expert does something else than at the step before.

Between turns an expert repeats itself, and cloning learns to repeat (keyframe weighting: Wen et al., "Keyframe-focused
visual imitation learning", 2021). The choice at the crossing is one step in twenty-four.
"""


@dataclass(frozen=True, slots=True)
class Samples:
    """What was seen and remembered at each step, and what the expert did."""

    view: Tensor
    """float32[N, VIEW * VIEW * 3]"""
    tokens: Tensor
    """float32[N, n, d]"""
    mask: Tensor
    """bool[N, n]"""
    age_s: Tensor
    """float32[N, n]: seconds before the newest token."""
    action: Tensor
    """int64[N]"""
    keyframe: Tensor
    """bool[N]: whether the expert's action is another one than at the step before."""


def see(wide: NDArray[np.uint8]) -> Tensor:
    """The view uint8[H, W, 3] as the policy takes it: float32[VIEW * VIEW * 3] in [-1, 1]."""
    small = cv2.resize(wide, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small.astype(np.float32).ravel() / 127.5 - 1.0)


def recall(memory: MemoryTokens) -> tuple[Tensor, Tensor, Tensor]:
    """Memory tokens as the policy takes them: tokens [n, d], mask [n], and each one's age [n]."""
    newest_ns = memory.t_ns[memory.mask].max(initial=0)
    age_s = np.where(memory.mask, (newest_ns - memory.t_ns) / 1e9, 0.0).astype(np.float32)
    return torch.from_numpy(memory.tokens), torch.from_numpy(memory.mask), torch.from_numpy(age_s)


class Policy(nn.Module):
    """[view; what the view attends to among the tokens; their product] -> logits of the actions.

    One attention layer: the query is of the view, keys and values are of tokens and of the sine encoding of their ages.
    An empty token stands beside them, so that there is something to attend to before anything is remembered; without
    memory it is all there is, and the rest of the network is the same.
    """

    view_mean: Tensor
    view_axes: Tensor
    token_mean: Tensor
    token_scale: Tensor

    def __init__(self, dim: int, *, remembers: bool) -> None:
        super().__init__()
        self.remembers = remembers
        self.register_buffer("view_mean", torch.zeros(VIEW * VIEW * 3))
        self.register_buffer("view_axes", torch.zeros(VIEW * VIEW * 3, SEEN))
        self.register_buffer("token_mean", torch.zeros(dim))
        self.register_buffer("token_scale", torch.ones(dim))
        self.eye = nn.Sequential(nn.Linear(SEEN, 64), nn.ReLU(), nn.Linear(64, WIDTH), nn.ReLU())
        self.query = nn.Linear(WIDTH, WIDTH)
        self.token = nn.Sequential(nn.Linear(dim + TIMES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * WIDTH))
        self.empty = nn.Parameter(torch.zeros(2 * WIDTH))
        self.head = nn.Sequential(nn.Linear(3 * WIDTH, 64), nn.ReLU(), nn.Linear(64, ACTIONS))

    def fit_scales(self, samples: Samples) -> None:
        """Views are whitened, tokens scaled: what tells two apart (a key or a ball) is small beside the walls."""
        self.view_mean.copy_(samples.view.mean(0))
        _, spread, axes = torch.linalg.svd(samples.view - self.view_mean, full_matrices=False)
        self.view_axes.copy_(axes[:SEEN].T / (spread[:SEEN].clamp_min(1e-3) / len(samples.view) ** 0.5))
        held = samples.tokens[samples.mask]
        self.token_mean.copy_(held.mean(0))
        self.token_scale.copy_(held.std(0).clamp_min(0.01))

    def forward(self, view: Tensor, tokens: Tensor, mask: Tensor, age_s: Tensor) -> Tensor:
        """view [b, VIEW * VIEW * 3], tokens [b, n, d], mask [b, n], age_s [b, n] -> logits [b, ACTIONS]."""
        batch = len(view)
        seen = self.eye((view - self.view_mean) @ self.view_axes)  # [b, WIDTH]
        rows = self.empty.expand(batch, 1, -1)
        allowed = torch.ones(batch, 1, dtype=torch.bool)
        if self.remembers:
            scaled = (tokens - self.token_mean) / self.token_scale
            known = torch.cat([scaled, sine_encoding(age_s, TIMES, base=100.0)], dim=-1)
            rows = torch.cat([rows, self.token(known)], dim=1)  # [b, 1 + n, 2 WIDTH]
            allowed = torch.cat([allowed, mask], dim=1)
        keys, values = rows.view(batch, -1, 2, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)  # [b, heads, 1 + n, w]
        query = self.query(seen).view(batch, HEADS, 1, WIDTH // HEADS)  # [b, heads, 1, w]
        read = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=allowed[:, None, None])
        read = read.flatten(1)  # [b, WIDTH]
        logits: Tensor = self.head(torch.cat([seen, read, seen * read], dim=-1))
        return logits

    @torch.no_grad()
    def act(self, view: Tensor, memory: tuple[Tensor, Tensor, Tensor]) -> int:
        """The likeliest action at one step."""
        return int(self(view[None], *(part[None] for part in memory)).argmax())


def clone(samples: Samples, *, remembers: bool, epochs: int, seed: int) -> Policy:
    """A policy that does what the expert did. The same seed and samples give the same policy."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy = Policy(samples.tokens.shape[-1], remembers=remembers)
    policy.fit_scales(samples)
    count = len(samples.action)
    often = torch.bincount(samples.action, minlength=ACTIONS)
    weight = (1.0 / often.clamp_min(1))[samples.action] * torch.where(samples.keyframe, KEYFRAME, 1.0)
    weight /= weight.mean()
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * -(-count // 64))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(count, generator=order), 64):
            logits = policy(samples.view[rows], samples.tokens[rows], samples.mask[rows], samples.age_s[rows])
            loss = nn.functional.cross_entropy(logits, samples.action[rows], reduction="none") @ weight[rows]
            optimiser.zero_grad()
            (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return policy.eval()
