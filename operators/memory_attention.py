"""Memory attention (SAM 2, Ravi et al. 2024, section 4): a frame attends itself, then what the memory bank gives it.

L layers of x += SA(LN x); x += CA(LN x, memory + position, memory); x += W2 relu(W1 LN x); a last LN. Positions inside
a frame are rotary, along both axes of its grid (Heo et al. 2024, "RoPE-ViT"). Parameters have the names of the released
model, so that its `memory_attention.*` weights load; they also serve SAM2Act+. Dropout, of training, is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .positions import sine_encoding
from .shapes import sizes_of


class MemoryAttention(nn.Module):
    """`layers` of memory attention over frames of `dim` channels and a memory of `memory_dim`, with one last norm."""

    def __init__(
        self,
        dim: int = 256,
        memory_dim: int = 64,
        layers: int = 4,
        hidden: int = 2048,
        theta: float = 10000.0,
        pos_at_input: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f"rotary positions along two axes need dim % 4 == 0, not {dim}")
        self.pos_at_input = pos_at_input
        self.theta = theta
        self.layers = nn.ModuleList(MemoryAttentionLayer(dim, memory_dim, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        current: Tensor,
        current_position: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        pointers: int = 0,
        grid: tuple[int, int] | None = None,
    ) -> Tensor:
        """The frame conditioned on its memory: current [O, Q, D], memory [O, M, C] -> [O, Q, D], for O objects.

        Q = height * width, row by row; `grid` is (height, width), square where it is not given. Of the M memory tokens
        the last `pointers` have no place in a frame and are not rotated; the others are whole frames of Q tokens.
        M = 0: the cross attention adds the bias of its projection. A NaN token reaches every query of its object.
        O(L O Q (Q + M) D); attention never holds a [Q, M] matrix where the platform has a fused form. Raises
        `ValueError` with the shapes or counts.
        """
        sizes = sizes_of(
            "current[O,Q,D] current_position[O,Q,D] memory[O,M,C] memory_position[O,M,C]",
            current, current_position, memory, memory_position,
        )  # fmt: skip
        q, placed = sizes["Q"], sizes["M"] - pointers
        height, width = grid or (math.isqrt(q), math.isqrt(q))
        if height * width != q:
            raise ValueError(f"{q} tokens are no grid of {height} x {width}")
        if pointers < 0 or placed < 0 or (placed % q if q else placed):
            raise ValueError(f"{sizes['M']} memory tokens, {pointers} of them pointers, are no whole frames of {q}")
        angles = axial_angles(height, width, sizes["D"], self.theta, current.device)  # [Q, D / 2]
        x, keys = current + self.pos_at_input * current_position, memory + memory_position
        for layer in self.layers:
            x = layer(x, keys, memory, angles, pointers)
        return self.norm(x)  # type: ignore[no-any-return]


class MemoryAttentionLayer(nn.Module):
    """Self attention, cross attention to the memory, and an MLP, each after a norm and added."""

    def __init__(self, dim: int, memory_dim: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim, dim)
        self.cross_attn_image = RotaryAttention(dim, memory_dim)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, keys: Tensor, memory: Tensor, angles: Tensor, pointers: int) -> Tensor:
        within = self.norm1(x)
        x = x + self.self_attn(within, within, within, angles)
        x = x + self.cross_attn_image(self.norm2(x), keys, memory, angles, pointers)
        return x + self.linear2(self.linear1(self.norm3(x)).relu())  # type: ignore[no-any-return]


class RotaryAttention(nn.Module):
    """Attention of one head whose queries and keys are rotated by their places; the last `unplaced` keys are not."""

    def __init__(self, dim: int, memory_dim: int) -> None:
        super().__init__()
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.k_proj, self.v_proj = nn.Linear(memory_dim, dim), nn.Linear(memory_dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, angles: Tensor, unplaced: int = 0) -> Tensor:
        """query [O, Q, D], key and value [O, M, C], angles [Q, D/2] -> [O, Q, D]; every Q keys are a frame."""
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        placed = k.shape[1] - unplaced
        frames = (placed // max(len(angles), 1), len(angles))
        turned = rotate(k[:, :placed].unflatten(1, frames), angles).flatten(1, 2)  # [O, F, Q, D] -> [O, F Q, D]
        k = torch.cat([turned, k[:, placed:]], dim=1)
        read = F.scaled_dot_product_attention(rotate(q, angles)[:, None], k[:, None], v[:, None])[:, 0]
        return self.out_proj(read)  # type: ignore[no-any-return]


def axial_angles(
    height: int, width: int, dim: int, theta: float = 10000.0, device: torch.device | str | None = None
) -> Tensor:
    """Angles float32[height * width, dim / 2] of the pairs of `dim` channels: x f_i, then y f_i, f_i = theta^(-4i/dim).

    Tokens row by row: x = t % width, y = t // width, whole numbers.
    """
    frequencies = theta ** (-torch.arange(0, dim, 4, device=device, dtype=torch.float64) / dim)  # [dim / 4]
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], dim=1)  # [Q, 2]
    return (places[:, :, None] * frequencies).flatten(1).float()


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions: the neighbouring pair (2i, 2i + 1) of x [..., Q, D] turned by angles [Q, D/2]; in x's dtype.

    Su et al. 2021, "RoFormer", eq. 34. Lengths are kept, and dot products depend on differences of places only.
    """
    exact = torch.promote_types(x.dtype, torch.float32)
    cos, sin = angles.to(exact).cos(), angles.to(exact).sin()
    even, odd = x[..., 0::2].to(exact), x[..., 1::2].to(exact)  # [..., Q, D / 2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(x.dtype)


def map_positions(
    height: int, width: int, dim: int, base: float = 10000.0, device: torch.device | str | None = None
) -> Tensor:
    """Sine encodings of the places of a map, float32[dim, height, width]: dim/2 channels for y, then dim/2 for x.

    Carion et al. 2020, "DETR": places count from 1 and span 2 pi; sine and cosine alternate (`current_position` and
    `memory_position` of SAM 2 are these, flattened row by row).
    """
    if dim % 4:
        raise ValueError(f"a map's encoding has dim % 4 == 0 channels, not {dim}")
    y, x = (
        sine_encoding(torch.arange(1, n + 1, device=device) * (2 * math.pi / (n + 1e-6)), dim // 2, base, "interleaved")
        for n in (height, width)
    )  # [height, dim / 2] and [width, dim / 2]
    rows, columns = y[:, None].expand(-1, width, -1), x[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1)
