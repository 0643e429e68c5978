"""The sound tower: two seconds of sound to a vector in the text tower's space and to the name of what it is.

A log-mel picture (Stevens et al. 1937; frames of 32 ms) goes through a small residual network (He et al. 2016,
arXiv:1512.03385). The vector is trained by `train.py`; a second head gives logits over the names of the vocabulary and,
last, "none of these", so that a sound that it does not know gets no name. This file needs torch and is for training;
what ships is `hearing.py`, which runs the same network, folded, in ONNX Runtime.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .hearing import DEPTH_DB, DIM, HOP, SAMPLES, SCALE_DB, SoundConfig, dft_filters, mel_matrix
from .train import Output


class LogMelFrames(nn.Module):
    """Sounds float32[b, 32000] to log-mel pictures float32[b, 1, bands, frames], free of their level."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("filters", torch.from_numpy(dft_filters()), persistent=False)
        self.register_buffer("bank", torch.from_numpy(mel_matrix(bands)), persistent=False)

    def forward(self, sounds: Tensor) -> Tensor:
        filters, bank = self.get_buffer("filters"), self.get_buffer("bank")
        waves = F.conv1d(sounds[:, None], filters, stride=HOP)  # [b, 2 bins, frames]
        power = torch.matmul(bank, waves * waves)  # [b, bands, frames]
        decibels = torch.log(power + 1e-10) * (10 / np.log(10))
        decibels = torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - DEPTH_DB)
        return ((decibels - decibels.mean(dim=(1, 2), keepdim=True)) / SCALE_DB)[:, None]


class Step(nn.Module):
    """A convolution that halves both sides, then a residual block."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.first = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        """[b, before, h, w] -> [b, after, h / 2, w / 2]."""
        x = F.relu(self.norms[0](self.down(x)))
        y = F.relu(self.norms[1](self.first(x)))
        return F.relu(x + self.norms[2](self.second(y)))

    def folded(self) -> list[tuple[str, NDArray[np.float32]]]:
        """The convolutions with their norms inside them."""
        out = []
        for name, norm in zip(("down", "first", "second"), self.norms, strict=True):
            convolution = getattr(self, name)
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_var is not None
            assert norm.running_mean is not None
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            out.append((f"{name}.weight", _array(convolution.weight * gain[:, None, None, None])))
            out.append((f"{name}.bias", _array(norm.bias - norm.running_mean * gain)))
        return out


class SoundTower(nn.Module):
    """A `Tower` of `train.py` for sounds, whose classes are `names` and none of them."""

    def __init__(self, names: Sequence[str], widths: Sequence[int] = (16, 32, 64, 128), bands: int = 48) -> None:
        super().__init__()
        self.config = SoundConfig(tuple(names), tuple(widths), bands)
        self.frames = LogMelFrames(bands)
        # Where in frequency a cell stands says as much as what is in it.
        self.register_buffer("place", torch.linspace(-1, 1, bands)[None, None, :, None], persistent=False)
        self.steps = nn.ModuleList([Step(a, b) for a, b in zip((2, *widths), widths, strict=False)])
        self.vector = nn.Linear(self.config.pooled, DIM)
        self.logits = nn.Linear(self.config.pooled, len(names) + 1)
        self.meanings = nn.Parameter(0.05 * torch.randn(len(names) + 1, DIM))

    def forward(self, signals: Tensor) -> Output:
        """Sounds float32[b, 32000] at 16 kHz (shorter ones padded with zeros) to vectors [b, 384], and `logits`."""
        x = self.frames(signals)
        x = torch.cat([x, self.get_buffer("place").expand_as(x)], dim=1)
        for step in self.steps:
            x = step(x)  # [b, width, rows, columns]
        # Rows are frequencies and are kept; what happens in time is taken at its mean and at its strongest.
        pooled = torch.cat([x.mean(dim=3).flatten(1), x.amax(dim=3).flatten(1)], dim=1)
        logits = self.logits(pooled)
        # What it believes to hear, in the words' space, and what else there is to this sound.
        vectors = logits.softmax(dim=1) @ self.meanings + self.vector(pooled)
        return Output(F.normalize(vectors, dim=1), None, {"logits": logits})

    def auxiliary(self, output: Output, targets: dict[str, Tensor]) -> Tensor:
        """Cross-entropy with `sound` int64[b]: the class, len(names) for none of them, negative where not known."""
        wanted = targets.get("sound")
        if wanted is None or not bool((wanted >= 0).any()):
            return output.vectors.new_zeros(())
        return F.cross_entropy(output.extra["logits"], wanted.clamp(min=-1), ignore_index=-1, label_smoothing=0.02)

    @torch.no_grad()
    def save(
        self,
        path: Path,
        temperature: float = 1.0,
        threshold: float = 0.5,
        *,
        words: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """The folded weights, float16, as safetensors that `Hearing` reads; its settings in the file's metadata.

        `temperature` calibrates the logits (Guo et al. 2017, arXiv:1706.04599); below `threshold` no name is given;
        `words`: what a percept says of each name.
        """
        from safetensors.numpy import save_file

        arrays = {f"steps.{i}.{k}": v for i, step in enumerate(self.steps) for k, v in _folded(step)}
        for name, head in (("vector", self.vector), ("logits", self.logits)):
            arrays |= {f"{name}.weight": _array(head.weight), f"{name}.bias": _array(head.bias)}
        arrays["meanings"] = _array(self.meanings)
        config = replace(self.config, threshold=threshold, temperature=temperature, words=tuple(words))
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"config": json.dumps(config.as_dict(), sort_keys=True), "note": note}
        save_file({k: v.astype(np.float16) for k, v in sorted(arrays.items())}, path, metadata=metadata)


def pad(sounds: Sequence[NDArray[np.float32]]) -> Tensor:
    """Sounds of any length as float32[b, 32000]: cut at the end, or padded with zeros there."""
    rows = np.zeros((len(sounds), SAMPLES), np.float32)
    for row, sound in zip(rows, sounds, strict=True):
        row[: min(len(sound), SAMPLES)] = sound[:SAMPLES]
    return torch.from_numpy(rows)


def _folded(step: nn.Module) -> list[tuple[str, NDArray[np.float32]]]:
    assert isinstance(step, Step)
    return step.folded()


def _array(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())
