"""The image tower: a picture to the things in it, the room they are in, and a vector in the text tower's space.

A small residual network sees 64 pixels a side and says of each cell of an 8 x 8 grid whether a thing stands there, of
which kind, colour, size, material and action (as CenterNet does: Zhou et al., "Objects as points", 2019), and of the
whole which room it is. The vector is composed of those beliefs alone, which is why combinations that were never seen
together are placed as well as those that were; it is aligned to a locked text tower (LiT: Zhai et al., 2022). Tokens
are the cells' beliefs in the same space, two by two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .image_graph import ATTRIBUTES, CELLS, DIM, LEAST, LEVEL, SPREAD, ImageConfig
from .train import Output

SIZES = ("small", "", "large")
WEIGHTS = {"kind": 1.0, "colour": 0.7, "size": 0.2, "material": 0.2, "action": 0.2}


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, width, h, w] -> the same."""
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(x + self.second_norm(self.second(y)))


class Step(nn.Module):
    """A convolution to another width or size."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """[b, before, h, w] -> [b, after, h / stride, w / stride]."""
        return functional.relu(self.norm(self.convolution(x)))


class ImageTower(nn.Module):
    """Pictures to vectors, tokens and, in `Output.extra`, beliefs:

    `there` [b, 64]: logits that a thing stands in a cell; `kind`, `colour`, `size`, `material`, `action`
    [b, 64, names]: logits of what it is; `room` [b, rooms + 1], the last for none of them; `light` [b, 2]: day, night.
    """

    def __init__(self, names: Mapping[str, Sequence[str]], widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        """`names`: kind, colour, material, action and room -> what they may be (the vocabulary that ships)."""
        super().__init__()
        self.names = {key: tuple(names[key]) for key in ("kind", "colour", "material", "action", "room")}
        self.names["size"] = SIZES
        self.widths = widths
        a, b, c = widths
        self.eye = nn.Sequential(
            nn.PixelUnshuffle(2),  # 12 x 32 x 32
            Step(12, a, 3, 1),
            Step(a, b, 3, 2),  # 16 x 16
            Block(b),
            Step(b, c, 3, 2),  # 8 x 8
            Block(c),
            Step(c, c, 1, 1),
        )
        self.scene = nn.Sequential(nn.Linear(2 * c, 128), nn.ReLU())
        self.room = nn.Linear(128, len(self.names["room"]) + 1)
        self.light = nn.Linear(128, 2)
        self.cell = nn.Sequential(nn.Conv2d(c + 128, 192, 1), nn.ReLU())
        self.there = nn.Conv2d(192, 1, 1)
        self.things = nn.ModuleDict({key: nn.Conv2d(192, len(self.names[key]), 1) for key in ATTRIBUTES})
        beliefs = sum(len(self.names[key]) for key in ATTRIBUTES)
        self.thing = nn.Sequential(nn.Linear(beliefs, 256), nn.GELU(), nn.Linear(256, 256))
        self.token = nn.Linear(256, DIM)
        whole = 256 + len(self.names["room"]) + 1 + 2
        self.whole = nn.Sequential(nn.Linear(whole, 512), nn.GELU(), nn.Linear(512, DIM))
        nn.init.constant_(self.there.bias, -3.5)  # type: ignore[arg-type]  # few cells hold a thing

    def forward(self, signals: Tensor) -> Output:
        """uint8 or float [b, 3, 64, 64], 0 to 255 -> vectors [b, DIM], tokens [b, 16, DIM]."""
        x = (signals.float() - LEVEL) / SPREAD
        level = x.mean(dim=(1, 2, 3), keepdim=True)
        contrast = (x - level).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()  # night is dark, not featureless
        x = (x - level) / (contrast + LEAST)
        features = self.eye(x)  # [b, c, 8, 8]
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)  # [b, 2 c]
        scene = self.scene(pooled)
        room = self.room(scene)
        bright = level.flatten(1)
        light = self.light(scene) + torch.cat([bright, -bright], dim=1)
        around = scene[:, :, None, None].expand(-1, -1, CELLS, CELLS)
        cells = self.cell(torch.cat([features, around], dim=1))
        there = self.there(cells).flatten(1)  # [b, 64]
        things = {key: head(cells).flatten(2).transpose(1, 2) for key, head in self.things.items()}
        beliefs = torch.cat([things[key].softmax(dim=-1) for key in ATTRIBUTES], dim=-1)  # [b, 64, ..]
        thing = self.thing(beliefs) * there.sigmoid().unsqueeze(-1)  # [b, 64, 256]
        whole = torch.cat([thing.sum(dim=1), room.softmax(dim=1), light.softmax(dim=1)], dim=1)
        squares = functional.avg_pool2d(thing.transpose(1, 2).unflatten(2, (CELLS, CELLS)), 2)  # [b, 256, 4, 4]
        tokens = functional.normalize(self.token(4 * squares.flatten(2).transpose(1, 2)), dim=-1)
        vectors = functional.normalize(self.whole(whole), dim=-1)
        return Output(vectors, tokens, {"there": there, "room": room, "light": light, **things})

    def auxiliary(self, output: Output, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of the beliefs, and of the tokens that hold a thing.

        `targets`: room [b], light [b] (-1 where unknown), per attribute int64[b, 64] with -1 where there is no thing;
        `kind` also says where things stand; token [b, 16, DIM]: the text of what a square holds, 0 where it is empty.
        0 where nothing of this is known.
        """
        loss = output.vectors.new_zeros(())
        if "kind" not in targets:
            return loss
        extra, count = output.extra, len(output.vectors)
        there = targets["kind"] >= 0  # [b, 64]
        loss = functional.binary_cross_entropy_with_logits(extra["there"], there.float(), reduction="sum") / count
        for key, weight in WEIGHTS.items():
            known = targets[key] >= 0
            if bool(known.any()):
                loss = loss + 2.0 * weight * functional.cross_entropy(extra[key][known], targets[key][known])
        loss = loss + functional.cross_entropy(extra["room"], targets["room"])
        known = targets["light"] >= 0
        if bool(known.any()):
            loss = loss + 0.2 * functional.cross_entropy(extra["light"][known], targets["light"][known])
        assert output.tokens is not None
        if "token" in targets:  # [b, 16, DIM], 0 where the square is empty
            wanted = targets["token"].float()
            held = wanted.abs().amax(dim=-1) > 0
            if bool(held.any()):
                loss = loss + (1 - (output.tokens[held] * functional.normalize(wanted[held], dim=-1)).sum(-1)).mean()
        return loss

    @torch.no_grad()
    def save(self, path: Path, *, there: float, sure: float, note: str = "") -> None:
        """The folded weights, float16, as safetensors that `eyes.Eyes` reads; what they mean is in its metadata."""
        from safetensors.numpy import save_file

        arrays: dict[str, Tensor] = {}
        for name, part in self.named_modules():
            if isinstance(part, Block):
                arrays |= _folded(f"{name}.first", part.first, part.first_norm)
                arrays |= _folded(f"{name}.second", part.second, part.second_norm)
            elif isinstance(part, Step):
                arrays |= _folded(name, part.convolution, part.norm)
            elif isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.bias is not None):
                assert part.bias is not None
                arrays |= {f"{name}.weight": part.weight, f"{name}.bias": part.bias}
        names = {key: tuple(words) for key, words in self.names.items()}
        config = ImageConfig(names, self.widths, there, sure)
        halves = {name: array.detach().cpu().numpy().astype(np.float16) for name, array in sorted(arrays.items())}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(halves, path, metadata={"config": config.as_json(), "note": note})


def _folded(name: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """A convolution with its norm inside it."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * gain
    return {f"{name}.weight": convolution.weight * gain[:, None, None, None], f"{name}.bias": bias}
