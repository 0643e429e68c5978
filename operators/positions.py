"""Where and when as vectors: the sine encoding of the Transformer and learned Fourier features."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Order = Literal["sin_cos", "cos_sin", "interleaved"]


def sine_encoding(
    positions: Tensor, dim: int, base: float = 10000.0, order: Order = "sin_cos", paired: bool = False
) -> Tensor:
    """Sines and cosines of `positions` [...] at dim/2 falling frequencies f_i = base^(-2i/dim) -> [..., dim].

    Vaswani et al. 2017, section 3.5, and its forms in the field:

    - "sin_cos": [sin(t f_0), .., cos(t f_0), ..]. HCAM and SAT, for times and places; positions inside a chunk count
      down to 0.
    - "sin_cos" with `paired`: f_i = base^(-4 (i // 2) / dim), each frequency twice. SAM 2's pointers (published so).
    - "cos_sin": [cos(t f_0), .., sin(t f_0), ..]. Diffusion timesteps, and MemoryVLA's.
    - "interleaved": [sin(t f_0), cos(t f_0), sin(t f_1), ..]. The original; SAM 2's maps, one half of the channels for
      y and one for x, with positions scaled to 2 pi by the caller.

    Positions in any unit, whole or fractional. The result has their dtype, float32 for whole numbers; float64 is
    computed as such, all else in float32, with phases exact to |t| 2^-23. A NaN position gives NaN. An odd or
    non-positive `dim`, a `base` that is not positive and an unknown `order` raise `ValueError`. O(positions x dim).
    """
    if dim <= 0 or dim % 2 or base <= 0:
        raise ValueError(f"a sine encoding has an even dim and a positive base, not {dim} and {base}")
    wide = torch.float64 if positions.dtype == torch.float64 else torch.float32
    result = positions.dtype if positions.is_floating_point() else torch.float32
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float64, device=positions.device)
    if paired:
        steps = 2 * torch.floor(steps / 2)
    frequencies = torch.pow(base, -steps / half).to(wide)  # [dim/2]
    phase = positions.unsqueeze(-1) * frequencies  # [..., dim/2]
    if order == "sin_cos":
        return torch.cat([phase.sin(), phase.cos()], dim=-1).to(result)
    if order == "cos_sin":
        return torch.cat([phase.cos(), phase.sin()], dim=-1).to(result)
    if order == "interleaved":
        return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(-2).to(result)
    raise ValueError(f"an order is sin_cos, cos_sin or interleaved, not {order}")


class FourierPositions(nn.Module):
    """Learned Fourier features of places: MLP([cos(x W_r^T), sin(x W_r^T)] / sqrt(features)).

    Li, Si, Li, Hsieh and Bengio 2021, "Learnable Fourier Features for Multi-Dimensional Spatial Positional Encoding",
    algorithm 1: rows of W_r are drawn from N(0, gamma^-2), so that near places start alike at a scale of gamma; the MLP
    is linear, GELU, linear. Coordinates come in groups that share the weights, and the groups are concatenated.
    """

    def __init__(self, axes: int, dim: int, features: int, hidden: int, groups: int = 1, gamma: float = 1.0) -> None:
        """`axes` coordinates a group -> `dim` values, dim / groups of each; `features` is even."""
        super().__init__()
        if min(axes, dim, features, hidden, groups) < 1 or dim % groups or features % 2 or gamma <= 0:
            raise ValueError(f"no Fourier features of axes {axes}, dim {dim}, features {features}, groups {groups}")
        self.axes, self.groups = axes, groups
        self.frequencies = nn.Linear(axes, features // 2, bias=False)
        nn.init.normal_(self.frequencies.weight, std=1 / gamma)
        self.mlp = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, dim // groups))

    def forward(self, places: Tensor) -> Tensor:
        """[.., dim] of places [.., groups, axes], in the units of gamma. NaN gives NaN. O(features x hidden) each."""
        if places.shape[-2:] != (self.groups, self.axes):
            raise ValueError(f"places {list(places.shape)} given where [.., {self.groups}, {self.axes}] is asked for")
        phase = self.frequencies(places)  # [.., G, features/2]
        waves = torch.cat([phase.cos(), phase.sin()], dim=-1) / math.sqrt(2 * phase.shape[-1])
        result: Tensor = self.mlp(waves).flatten(-2)
        return result
