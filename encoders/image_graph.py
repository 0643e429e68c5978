"""The image tower, folded, as an ONNX graph written from its weights: `image_tower.ImageTower` without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_graph import FLOAT, Graph, Message, port

SIDE, CELLS, TOKENS, DIM = 64, 8, 16, 384
"""Pixels a side, cells a side, tokens, dimensions of the text space."""
ATTRIBUTES = ("kind", "colour", "size", "material", "action")
"""What is believed of a thing, in the order of the output."""
LEVEL, SPREAD, LEAST = 110.0, 64.0, 0.05
"""Of pixels: taken off, divided by; least contrast that is stretched."""

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the network is, beside its weights."""

    names: dict[str, tuple[str, ...]]
    """kind, colour, size, material, action, room -> what they may be."""
    widths: tuple[int, int, int]
    there: float = 0.5
    """The chance from which a thing is claimed to stand in a cell."""
    sure: float = 0.6
    """The chance from which a kind, a colour or a room is named."""

    @property
    def outputs(self) -> dict[str, int]:
        """Name -> numbers of it in a row of the output, in order; attributes are of each cell in turn."""
        sizes = {"vector": DIM, "tokens": TOKENS * DIM, "there": CELLS * CELLS}
        sizes |= {key: CELLS * CELLS * len(self.names[key]) for key in ATTRIBUTES}
        return sizes | {"room": len(self.names["room"]) + 1, "light": 2}

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageConfig:
        """Raises KeyError, TypeError or ValueError for what is no configuration."""
        values = json.loads(text)
        names = {str(key): tuple(map(str, words)) for key, words in values["names"].items()}
        a, b, c = map(int, values["widths"])
        return cls(names, (a, b, c), float(values["there"]), float(values["sure"]))


def image_graph(config: ImageConfig, weights: Weights) -> Message:
    """An ONNX file in pieces. Raises KeyError where a weight is missing.

    Input: `pictures` float32[b, 3, 64, 64], 0 to 255; output: `seen` float32[b, n], side by side what
    `config.outputs` lists: vector and tokens of unit length, then chances.
    """
    g = Graph("image_tower")

    def ints(*values: int) -> str:
        return g.constant(np.array(values, dtype=np.int64))

    def number(value: float) -> str:
        return g.constant(np.array(value, dtype=np.float32))

    def convolution(x: str, name: str, kernel: int, stride: int = 1) -> str:
        w, b = g.constant(weights[f"{name}.weight"]), g.constant(weights[f"{name}.bias"])
        return g.op("Conv", x, w, b, strides=(stride, stride), pads=(kernel // 2,) * 4)

    def block(x: str, name: str) -> str:
        y = g.op("Relu", convolution(x, f"{name}.first", 3))
        return g.op("Relu", g.op("Add", x, convolution(y, f"{name}.second", 3)))

    def dense(x: str, name: str) -> str:
        """x W^T + b over the last axis."""
        y = g.op("MatMul", x, g.constant(np.ascontiguousarray(weights[f"{name}.weight"].T)))
        return g.op("Add", y, g.constant(weights[f"{name}.bias"]))

    def mean(x: str, *axes: int, keep: int = 1) -> str:
        return g.op("ReduceMean", x, ints(*axes), keepdims=keep)

    x = g.op("Div", g.op("Sub", "pictures", number(LEVEL)), number(SPREAD))
    level = mean(x, 1, 2, 3)
    x = g.op("Sub", x, level)
    contrast = g.op("Sqrt", mean(g.op("Mul", x, x), 1, 2, 3))
    x = g.op("Div", x, g.op("Add", contrast, number(LEAST)))
    x = _unshuffled(g, x, ints)  # [b, 12, 32, 32]
    x = g.op("Relu", convolution(x, "eye.1", 3))
    x = g.op("Relu", convolution(x, "eye.2", 3, 2))
    x = block(x, "eye.3")
    x = g.op("Relu", convolution(x, "eye.4", 3, 2))
    x = block(x, "eye.5")
    features = g.op("Relu", convolution(x, "eye.6", 1))  # [b, c, 8, 8]

    pooled = g.op("Concat", mean(features, 2, 3, keep=0), g.op("ReduceMax", features, ints(2, 3), keepdims=0), axis=1)
    scene = g.op("Relu", dense(pooled, "scene.0"))  # [b, 128]
    room = g.op("Softmax", dense(scene, "room"), axis=-1)
    bright = g.op("Reshape", level, ints(-1, 1))
    light = g.op("Add", dense(scene, "light"), g.op("Concat", bright, g.op("Neg", bright), axis=1))
    light = g.op("Softmax", light, axis=-1)
    around = g.op("Expand", g.op("Unsqueeze", scene, ints(2, 3)), ints(1, 1, CELLS, CELLS))
    cells = g.op("Relu", convolution(g.op("Concat", features, around, axis=1), "cell.0", 1))
    there = g.op("Sigmoid", g.op("Reshape", convolution(cells, "there", 1), ints(-1, CELLS * CELLS)))
    rows = g.op("Reshape", g.op("Transpose", cells, perm=(0, 2, 3, 1)), ints(0, CELLS * CELLS, -1))  # [b, 64, 192]
    things = [g.op("Softmax", _of_cells(g, rows, f"things.{key}", weights), axis=-1) for key in ATTRIBUTES]
    beliefs = g.op("Concat", *things, axis=2)
    thing = dense(g.op("Gelu", dense(beliefs, "thing.0")), "thing.2")
    thing = g.op("Mul", thing, g.op("Unsqueeze", there, ints(2)))  # [b, 64, 256]
    whole = g.op("Concat", g.op("ReduceSum", thing, ints(1), keepdims=0), room, light, axis=1)
    vector = dense(g.op("Gelu", dense(whole, "whole.0")), "whole.2")
    vector = g.op("LpNormalization", vector, axis=-1, p=2)
    half = CELLS // 2
    squares = g.op("Reshape", thing, ints(0, half, 2, half, 2, -1))
    squares = g.op("Reshape", g.op("ReduceSum", squares, ints(2, 4), keepdims=0), ints(0, TOKENS, -1))
    tokens = g.op("LpNormalization", dense(squares, "token"), axis=-1, p=2)  # [b, 16, 384]
    flat = [g.op("Flatten", each, axis=1) for each in (tokens, *things)]
    seen = g.op("Concat", vector, flat[0], there, *flat[1:], room, light, axis=1)
    pictures = port("pictures", FLOAT, ("b", 3, SIDE, SIDE))
    return g.model([pictures], (seen, "seen"), ("b", sum(config.outputs.values())))


def _unshuffled(g: Graph, x: str, ints: Any) -> str:
    """[b, 3, 64, 64] -> [b, 12, 32, 32] in the channel order of torch's pixel_unshuffle."""
    x = g.op("Reshape", x, ints(0, 3, SIDE // 2, 2, SIDE // 2, 2))
    x = g.op("Transpose", x, perm=(0, 1, 3, 5, 2, 4))
    return g.op("Reshape", x, ints(0, 12, SIDE // 2, SIDE // 2))


def _of_cells(g: Graph, rows: str, name: str, weights: Weights) -> str:
    """A 1 x 1 convolution as a product over rows [b, 64, c]."""
    w = weights[f"{name}.weight"][:, :, 0, 0]
    return g.op("Add", g.op("MatMul", rows, g.constant(np.ascontiguousarray(w.T))), g.constant(weights[f"{name}.bias"]))


def split(config: ImageConfig, seen: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The output's rows [b, n] by name: vector [b, DIM], tokens [b, 16, DIM], attributes [b, 64, names], ..."""
    shapes: dict[str, Sequence[int]] = {"vector": (DIM,), "tokens": (TOKENS, DIM), "there": (CELLS * CELLS,)}
    found, start = {}, 0
    for name, size in config.outputs.items():
        part = seen[:, start : start + size]
        shape = shapes.get(name, (CELLS * CELLS, -1) if name in ATTRIBUTES else (size,))
        found[name] = part.reshape(len(seen), *shape)
        start += size
    return found
