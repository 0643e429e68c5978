"""The towers that ship, as torch modules from their folded weights: for runtimes other than the built-in one.

A norm that was folded into its convolution becomes one that only adds the bias, so the module computes what
`image_graph` and `hearing.sound_graph` compute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from . import eyes, hearing
from .folded import read_folded
from .hearing import SoundConfig
from .image_graph import ATTRIBUTES, ImageConfig
from .image_tower import Block, ImageTower
from .image_tower import Step as ImageStep
from .sound_tower import SoundTower
from .sound_tower import Step as SoundStep


class Seen(nn.Module):
    """float32[b, 3, 64, 64], 0 to 255 -> float32[b, n]: what `ImageConfig.outputs` lists, side by side."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        (given, weights), _ = read_folded(path, "image tower", eyes.TRAINER, lambda w, c: (ImageConfig.from_json(c), w))
        self.tower = ImageTower(given.names, given.widths)
        left = {name: torch.from_numpy(array) for name, array in weights.items()}
        for name, part in self.tower.named_modules():
            if isinstance(part, Block):
                _unfold(part.first, part.first_norm, left, f"{name}.first")
                _unfold(part.second, part.second_norm, left, f"{name}.second")
            elif isinstance(part, ImageStep):
                _unfold(part.convolution, part.norm, left, name)
        self.tower.load_state_dict(left, strict=False)
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        out = self.tower(pictures)
        assert out.tokens is not None
        chances = [out.extra["there"].sigmoid()]
        chances += [out.extra[key].softmax(dim=-1) for key in ATTRIBUTES]
        chances += [out.extra["room"].softmax(dim=-1), out.extra["light"].softmax(dim=-1)]
        return torch.cat([each.flatten(1) for each in (out.vectors, out.tokens, *chances)], dim=1)


class Heard(nn.Module):
    """float32[b, 32000] -> float32[b, 384 + names + 1]: the vector, and chances that sum to 1."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        (given, weights), _ = read_folded(
            path, "sound tower", hearing.TRAINER, lambda w, c: (SoundConfig.from_dict(json.loads(c)), w)
        )
        self.tower, self.temperature = SoundTower(given.names, given.widths, given.bands), given.temperature
        left = {name: torch.from_numpy(array) for name, array in weights.items()}
        for i, step in enumerate(self.tower.steps):
            assert isinstance(step, SoundStep)
            for name, norm in zip(("down", "first", "second"), step.norms, strict=True):
                assert isinstance(norm, nn.BatchNorm2d)
                _unfold(getattr(step, name), norm, left, f"steps.{i}.{name}")
        self.tower.load_state_dict(left, strict=False)
        self.eval()

    def forward(self, sounds: Tensor) -> Tensor:
        out = self.tower(sounds)
        return torch.cat([out.vectors, (out.extra["logits"] / self.temperature).softmax(dim=-1)], dim=1)


def _unfold(convolution: nn.Module, norm: nn.BatchNorm2d, weights: dict[str, Tensor], name: str) -> None:
    """Takes the folded weights of `name` out of `weights` and into a convolution and a norm that adds the bias."""
    taken: Mapping[str, Tensor] = {key: weights.pop(f"{name}.{key}") for key in ("weight", "bias")}
    assert isinstance(convolution, nn.Conv2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        convolution.weight.copy_(taken["weight"])
        norm.weight.fill_(1.0)
        norm.bias.copy_(taken["bias"])
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
