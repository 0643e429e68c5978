"""The perceptual-cognitive memory bank (Shi et al. 2025, "MemoryVLA"): retrieve, fuse, consolidate at every step.

Each of B episodes holds its last observations, merged down to L entries of N tokens. An observation reads the bank by
cross attention, a gate fuses what it read with what it sees, and the bank takes it up. The state is four plain tensors
that go in and come out: `MemoryBank` itself holds only weights, and its `step` has fixed shapes, so that it exports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .positions import sine_encoding
from .shapes import sizes_of


class BankState(NamedTuple):
    """What B episodes hold, oldest entry first; slots from `length` on are empty and zero."""

    tokens: Tensor
    """[B, L, N, D]"""
    timesteps: Tensor
    """float[B, L], in steps"""
    counts: Tensor
    """int64[B, L], the observations that each entry stands for"""
    length: Tensor
    """int64[B], the entries held"""

    def reset(self, episodes: Tensor | None = None) -> BankState:
        """These episodes (bool[B]; None: all) start empty; the others stay as they are. O(B L N D)."""
        if episodes is None:
            return BankState(*map(torch.zeros_like, self))
        sizes_of("bank[B,L,N,D] episodes[B]", self.tokens, episodes)
        if episodes.dtype != torch.bool:
            raise ValueError(f"episodes are bool[B], not {episodes.dtype}")
        return BankState(*(part.masked_fill(_over(episodes, part), 0) for part in self))


@dataclass(frozen=True, slots=True)
class BankSettings:
    """The forms of the bank. As it stands: the paper's, with merges weighted by count."""

    dim: int
    capacity: int = 16
    layers: int = 2
    heads: int = 1
    timestep_dim: int = 256
    """Of the sines that stand for a timestep."""
    fusion: Literal["gate", "add"] = "gate"
    consolidation: Literal["merge", "fifo"] = "merge"
    weighted: bool = True
    """Whether a merge weighs both sides by their counts; else 1/2 each, under which old content decays."""
    merged_timestep: Literal["mean", "earlier"] = "mean"
    """Mean with the weights of the merge."""
    stores: Literal["observed", "fused"] = "observed"
    empty: Literal["pass", "self"] = "pass"
    """An empty bank lets the observation pass, or shows it to itself."""

    def __post_init__(self) -> None:
        if min(self.dim, self.capacity, self.heads) < 1 or self.layers < 0:
            raise ValueError(f"a bank of dim {self.dim}, capacity {self.capacity}, {self.heads} heads: all at least 1")
        if self.dim % self.heads:
            raise ValueError(f"{self.dim} dimensions do not divide among {self.heads} heads")

    @classmethod
    def openvla(cls, dim: int, **changes: Any) -> BankSettings:
        """As the authors' OpenVLA branch has it."""
        return cls(dim, **{"weighted": False, "merged_timestep": "earlier", **changes})

    @classmethod
    def dexbotic(cls, dim: int, **changes: Any) -> BankSettings:
        """As dexbotic has it, without the dropout that it leaves on in evaluation."""
        return cls(dim, **{"heads": 4, "weighted": False, "stores": "fused", "empty": "self", **changes})


class MemoryBank(nn.Module):
    """Retrieval, gate fusion and consolidation for a batch of episodes (MemoryVLA, section 3.3).

    Submodules have the names of the authors' branch, so that its weights load. Computes in the dtype of its weights.
    """

    def __init__(self, settings: BankSettings) -> None:
        super().__init__()
        self.settings = settings
        self.timestep_encoder = TimestepEncoder(settings.dim, settings.timestep_dim)
        self.retrieval_blocks = nn.ModuleList(
            RetrievalBlock(settings.dim, settings.heads) for _ in range(settings.layers)
        )
        self.gate_fusion_blocks = GateFusion(settings.dim) if settings.fusion == "gate" else None

    def start(self, episodes: int, tokens: int) -> BankState:
        """The state of so many empty episodes of so many tokens, in the dtype and on the device of the weights."""
        s, weight = self.settings, self.get_parameter("timestep_encoder.mlp.0.weight")
        held = (episodes, s.capacity)
        return BankState(
            weight.new_zeros(*held, tokens, s.dim),
            weight.new_zeros(held, dtype=_accumulator(weight)),
            weight.new_zeros(held, dtype=torch.int64),
            weight.new_zeros(episodes, dtype=torch.int64),
        )

    def step(self, state: BankState, tokens: Tensor, timesteps: Tensor) -> tuple[Tensor, BankState]:
        """One observation an episode: tokens [B, N, D] at timesteps [B] -> (fused [B, N, D], the state after it).

        No episode touches another. An observation that is not finite is answered by NaN; neither it nor one whose
        timestep is not finite is taken up. Differentiable in the weights, the tokens and the state's tokens.
        O(layers B (L N^2 D + L N D^2)) time, O(B L N D) memory. Raises `ValueError` naming the shapes.
        """
        s = self.settings
        sizes_of(
            f"tokens[B,N,{s.dim}] timesteps[B] bank[B,{s.capacity},N,{s.dim}] times[B,{s.capacity}] "
            f"counts[B,{s.capacity}] length[B]", tokens, timesteps, *state,
        )  # fmt: skip
        timesteps = timesteps.to(state.timesteps.dtype)
        whole = _over(tokens.isfinite().flatten(1).all(1), tokens)
        seen = tokens.where(whole, 0.0)  # so that gradients stay finite beside what is not
        fused = self.fuse(seen, self.retrieve(state, seen)).where(whole, torch.nan)
        return fused, self.consolidate(state, fused if s.stores == "fused" else tokens, timesteps)

    forward = step

    def retrieve(self, state: BankState, tokens: Tensor) -> Tensor:
        """What [B, N, D] the observation reads: y = LN(y + A(y, M + PE, M)), y = LN(y + FFN(y)), layer by layer."""
        slots = torch.arange(self.settings.capacity, device=tokens.device)
        empty = state.length == 0
        # An empty bank is read as if it held the present alone: "self" asks for that, and no row is all masked. Its
        # timestep does not matter: what all keys share leaves a softmax as it is.
        present = empty[:, None] & (slots == 0)  # [B, L]
        memory = torch.where(present[:, :, None, None], tokens[:, None], state.tokens)
        encoded = self.timestep_encoder(state.timesteps)  # [B, L, D]
        keys, values = (memory + encoded[:, :, None]).flatten(1, 2), memory.flatten(1, 2)  # [B, L N, D]
        seen = (present | (slots < state.length[:, None])).repeat_interleave(tokens.shape[1], 1)  # [B, L N]
        y = tokens
        for block in self.retrieval_blocks:
            y = block(y, keys, values, seen)
        return y if self.settings.empty == "self" else torch.where(empty[:, None, None], tokens, y)

    def fuse(self, tokens: Tensor, retrieved: Tensor) -> Tensor:
        """g x + (1 - g) y with g = sigmoid(W [x; y] + b), or their mean."""
        if self.gate_fusion_blocks is None:
            return (tokens + retrieved) / 2
        fused: Tensor = self.gate_fusion_blocks(tokens, retrieved)
        return fused

    def consolidate(self, state: BankState, tokens: Tensor, timesteps: Tensor) -> BankState:
        """The state with an entry [B, N, D] appended; over capacity, the two neighbours most alike become one, or the
        oldest goes ("fifo").

        Likeness is the mean over tokens of the cosine; of equal ones the earliest pair is merged, and a zero token has
        cosine 0 to all. Weighted merges keep sum(counts * tokens): an entry is the mean of all it stands for.
        """
        s = self.settings
        slots = torch.arange(s.capacity + 1, device=tokens.device)
        fits = tokens.isfinite().flatten(1).all(1) & timesteps.isfinite()  # [B]
        new = fits[:, None] & (slots == state.length[:, None])  # [B, L + 1]
        held = F.pad(state.tokens, (0, 0, 0, 0, 0, 1)).where(~_over(new, state.tokens), tokens[:, None])
        times = F.pad(state.timesteps, (0, 1)).where(~new, timesteps[:, None])
        counts = F.pad(state.counts, (0, 1)) + new  # [B, L + 1]

        # Entries before `at` stay, the two at it become one, those after move down by one. With `at` = -1 all move
        # and the oldest goes; with L none does, and only the empty last slot goes.
        last = torch.full_like(state.length, s.capacity)
        at = torch.full_like(last, -1) if s.consolidation == "fifo" else most_alike(held)  # [B]
        at = at.where(fits & (state.length == s.capacity), last)
        stays = slots[:-1] < at[:, None]  # [B, L]
        kept = [part[:, :-1].where(_over(stays, part), part[:, 1:]) for part in (held, times, counts)]
        if s.consolidation == "merge":
            merged = slots[:-1] == at[:, None]  # [B, L]: nowhere where nothing was over capacity
            pair = at.clamp(max=s.capacity - 1)[:, None] + slots[:2]  # [B, 2]
            weights = counts.gather(1, pair).to(times.dtype) if s.weighted else torch.ones_like(times[:, :2])
            weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
            both = held.gather(1, _over(pair, held).expand(-1, -1, *held.shape[2:])).to(times.dtype)  # [B, 2, N, D]
            mean = (weights[:, :, None, None] * both).sum(1, keepdim=True).to(held.dtype)
            when = times.gather(1, pair)
            when = when[:, :1] if s.merged_timestep == "earlier" else (weights * when).sum(1, keepdim=True)
            parts = (mean, when, counts.gather(1, pair).sum(1, keepdim=True))
            kept = [part.where(_over(merged, part), old) for part, old in zip(parts, kept, strict=True)]
        return BankState(kept[0], kept[1], kept[2], (state.length + fits).clamp(max=s.capacity))


class EpisodicBank:
    """A bank with the state of its episodes kept beside it, for a loop that would only carry it along."""

    def __init__(self, bank: MemoryBank, episodes: int, tokens: int) -> None:
        self.bank = bank
        self.state = bank.start(episodes, tokens)

    def __call__(self, tokens: Tensor, timesteps: Tensor) -> Tensor:
        """The fused tokens [B, N, D] of one step; the state moves on."""
        fused, self.state = self.bank.step(self.state, tokens, timesteps)
        return fused

    def reset(self, episodes: Tensor | None = None) -> None:
        """These episodes (bool[B]; None: all) start empty."""
        self.state = self.state.reset(episodes)


class TimestepEncoder(nn.Module):
    """MLP_SiLU([cos, sin](t 10000^(-i / half))): timesteps [...] -> [..., D]."""

    def __init__(self, dim: int, timestep_dim: int) -> None:
        super().__init__()
        self.timestep_dim = timestep_dim
        self.mlp = nn.Sequential(nn.Linear(timestep_dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, timesteps: Tensor) -> Tensor:
        sines = sine_encoding(timesteps, self.timestep_dim, order="cos_sin")
        encoded: Tensor = self.mlp(sines.to(self.get_parameter("mlp.0.weight").dtype))
        return encoded


class RetrievalBlock(nn.Module):
    """y = LN(y + softmax(q(y) k(M + PE)^T / sqrt d) v(M)); y = LN(y + W2 gelu(W1 y))."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attn_norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.ffn_norm = nn.LayerNorm(dim)

    def forward(self, y: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        """y [B, N, D], keys and values [B, M, D], seen bool[B, M] -> [B, N, D]."""
        q, k, v = (
            projected.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, N or M, D / heads]
            for projected in (self.q_proj(y), self.k_proj(keys), self.v_proj(values))
        )
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
        y = self.attn_norm(y + read.transpose(1, 2).flatten(2))
        return self.ffn_norm(y + self.ffn(y))  # type: ignore[no-any-return]


class GateFusion(nn.Module):
    """g x + (1 - g) y with g = sigmoid(W [x; y] + b)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gate = self.proj(torch.cat([x, y], dim=-1)).sigmoid()
        return torch.lerp(y, x, gate)


def most_alike(entries: Tensor) -> Tensor:
    """The first of the two neighbours of [B, L + 1, N, D] whose tokens have the highest mean cosine -> int64[B]."""
    exact = entries.detach().to(_accumulator(entries))
    scaled = F.normalize(exact, torch.inf, -1, eps=torch.finfo(exact.dtype).tiny)  # so that no square overflows
    unit = F.normalize(scaled, dim=-1)
    return (unit[:, :-1] * unit[:, 1:]).sum(-1).mean(-1).nan_to_num(nan=-torch.inf).argmax(1)


def _over(mask: Tensor, part: Tensor) -> Tensor:
    """A mask of leading axes, shaped to broadcast over `part`."""
    return mask.reshape(*mask.shape, *[1] * (part.ndim - mask.ndim))


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
