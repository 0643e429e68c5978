"""The ear that ships: sounds to vectors in the text tower's space and to names, in ONNX Runtime, without torch.

The weights are those that `benchmarks/train_sound.py` wrote (`sound_tower.py` is the network). The ONNX graph is
written from them when they are loaded, which takes milliseconds, so no file is exported or cached. A long sound is
heard in windows of two seconds, one every second; those that hold nothing known count little.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import SOUND_RATE, Space, Vector
from .base import Encoded, EncoderSpec, unit
from .compiled import compiled_session
from .folded import Weights, read_folded
from .mel import filter_bank
from .onnx_graph import FLOAT, Graph, Message, port
from .runtime import onnx_session

NAME, TRAINER = "sound-tower", "python -m benchmarks.train_sound --minutes 8"
WEIGHTS = Path(__file__).parent / "weights" / "sound_tower.safetensors"
DIM = 384
SAMPLES, STRIDE = 2 * SOUND_RATE, SOUND_RATE
"""A window, and from one to the next."""
FFT, HOP = 512, 320
"""Frames of 32 ms every 20 ms."""
LOW_HZ, HIGH_HZ = 40.0, 7900.0
DEPTH_DB, SCALE_DB = 60.0, 20.0
"""Bands further below the loudest are taken as this far below; the unit of the network's input."""
FAINT = 0.02
"""What a window counts that holds nothing known, where one that does counts up to 1 more."""


@dataclass(frozen=True, slots=True)
class SoundConfig:
    """What the network is, beside its weights."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    bands: int
    threshold: float = 0.5
    """The confidence below which no name is given."""
    temperature: float = 1.0
    """Of the chances: makes them as sure as they are right (Guo et al. 2017, arXiv:1706.04599)."""
    words: tuple[str, ...] = ()
    """What a percept says of each name, as "bell, ringing bell": who asks may use either word. Empty: the names."""

    @property
    def pooled(self) -> int:
        """Features before the heads: mean and maximum in time, of each row and channel."""
        rows = self.bands
        for _ in self.widths:
            rows = -(-rows // 2)
        return 2 * self.widths[-1] * rows

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SoundConfig:
        """Raises KeyError, TypeError or ValueError for what is no configuration."""
        names, widths = tuple(map(str, values["names"])), tuple(map(int, values["widths"]))
        words = tuple(map(str, values.get("words", ())))
        if words and len(words) != len(names):
            raise ValueError(f"{len(words)} words for {len(names)} names")
        return cls(names, widths, int(values["bands"]), float(values["threshold"]), float(values["temperature"]), words)


@dataclass(frozen=True, slots=True)
class Hearings:
    """What was heard in b sounds."""

    vectors: NDArray[np.float32]
    """float32[b, 384], unit length, in the text tower's space."""
    chances: NDArray[np.float32]
    """float32[b, names + 1], rows summing to 1: of each name, and last of none of them."""


class Hearing:
    """Sound encoder of the text tower's space `minilm`, with names for the sounds of its vocabulary."""

    def __init__(self, path: Path = WEIGHTS, space: Space | None = None, threads: int = 1) -> None:
        """`space` is the text tower's, where vectors shall be compared with its; else one named by these weights.

        Errors: `MissingError` where the weights, or the library that runs them, are not there.
        """

        def made(weights: Weights, config: str) -> tuple[SoundConfig, Message]:
            known = SoundConfig.from_dict(json.loads(config))
            return known, sound_graph(known, weights)

        (self.config, graph), self._digest = read_folded(path, "sound tower", TRAINER, made)
        self._spec = EncoderSpec(NAME, "sound", space or Space("minilm-sound", DIM, self._digest[:16]))
        self._session = compiled_session(NAME, self._digest, threads) or onnx_session(b"".join(graph), threads)

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def weights(self) -> str:
        """SHA-256 of the weights' file."""
        return self._digest

    @property
    def names(self) -> tuple[str, ...]:
        """The sounds that it can name."""
        return self.config.names

    def encode(self, batch: Sequence[Vector]) -> Encoded:
        """Vectors float32[b, 384], unit length, and words, of sounds float32[n] at 16 kHz of any length."""
        heard = self.hear(batch)
        named = self.named(heard)
        words = dict(zip(self.names, self.config.words or self.names, strict=True))
        said = tuple(None if name is None else words[name] for name, _ in named)
        return Encoded(heard.vectors, None, said, tuple(sure for _, sure in named))

    def name(self, batch: Sequence[Vector]) -> list[tuple[str | None, float]]:
        """For each sound its name and how sure it is (0 to 1, calibrated); None, and how sure, where it knows none."""
        return self.named(self.hear(batch))

    def named(self, heard: Hearings) -> list[tuple[str | None, float]]:
        """The names of what `hear` gave: for who wants the vectors too."""
        out: list[tuple[str | None, float]] = []
        for row in heard.chances:
            best = int(row[:-1].argmax())
            sure = float(row[best])
            named = sure >= self.config.threshold and sure > row[-1]
            out.append((self.names[best], sure) if named else (None, 1.0 - sure))
        return out

    def hear(self, batch: Sequence[Vector]) -> Hearings:
        """Vectors and chances of sounds float32[n] at 16 kHz; a result does not depend on its neighbours."""
        vectors = np.zeros((len(batch), DIM), np.float32)
        chances = np.zeros((len(batch), len(self.names) + 1), np.float32)
        for i, samples in enumerate(batch):
            rows = windows(np.asarray(samples, dtype=np.float32))
            # One window a call: a shape of its own would round otherwise.
            seen = [self._session.run(["heard"], {"sounds": row[None]})[0] for row in rows]
            heard = np.concatenate(seen)  # [windows, 384 + names + 1]
            counts = FAINT + 1 - heard[:, -1:]
            heard = (heard * counts / counts.sum()).sum(axis=0)
            vectors[i], chances[i] = unit(heard[:DIM]), heard[DIM:]
        return Hearings(vectors, chances)


def windows(samples: Vector) -> NDArray[np.float32]:
    """float32[w, 32000]: every second two seconds of float32[n], the last ones up to its end; padded with zeros."""
    if len(samples) <= SAMPLES:
        return np.pad(samples, (0, SAMPLES - len(samples)))[None]
    starts = [*range(0, len(samples) - SAMPLES, STRIDE), len(samples) - SAMPLES]
    return np.stack([samples[start : start + SAMPLES] for start in starts])


def dft_filters() -> NDArray[np.float32]:
    """float32[514, 1, 512]: the Fourier transform of a Hann-windowed frame as a convolution; cosines, then sines."""
    t = np.arange(FFT)
    angles = 2 * np.pi * np.arange(FFT // 2 + 1)[:, None] * t / FFT
    window = np.hanning(FFT + 1)[:-1] / np.sqrt(FFT * 0.375)
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * window
    return np.asarray(waves[:, None], dtype=np.float32)


def mel_matrix(bands: int) -> NDArray[np.float32]:
    """float32[bands, 514]: power of cosines and sines to mel bands, each of the mean power of its bins."""
    bank = filter_bank(bands, FFT, LOW_HZ, HIGH_HZ).T  # [bands, 257]
    # The lowest triangles are narrower than a bin and may miss all: they take the nearest.
    for band in np.flatnonzero(bank.sum(axis=1) < 1e-3):
        bank[band, max(1, int(bank[band + 1].argmax()))] = 1.0
    bank = bank / bank.sum(axis=1, keepdims=True)
    return np.concatenate([bank, bank], axis=1).astype(np.float32)


def sound_graph(config: SoundConfig, weights: Mapping[str, NDArray[np.float32]]) -> Message:
    """`sound_tower.SoundTower`, folded, as an ONNX file in pieces.

    Input: `sounds` float32[b, 32000]; output: `heard` float32[b, 384 + names + 1], the vector, unit length, and the
    chances, summing to 1, side by side. Raises KeyError where a weight is missing, ValueError where one has another
    shape.
    """
    g = Graph("sound_tower")

    def ints(*values: int) -> str:
        return g.constant(np.array(values, dtype=np.int64))

    def number(value: float) -> str:
        return g.constant(np.array(value, dtype=np.float32))

    def convolution(x: str, name: str, before: int, after: int, stride: int) -> str:
        w, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
        if w.shape != (after, before, 3, 3) or b.shape != (after,):
            raise ValueError(f"{name} is {w.shape}, not {(after, before, 3, 3)}")
        return g.op("Conv", x, g.constant(w), g.constant(b), strides=(stride, stride), pads=(1, 1, 1, 1))

    def dense(x: str, name: str, after: int) -> str:
        w, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
        if w.shape != (after, config.pooled) or b.shape != (after,):
            raise ValueError(f"{name} is {w.shape}, not {(after, config.pooled)}")
        return g.op("Gemm", x, g.constant(w), g.constant(b), transB=1)

    waves = g.op("Conv", g.op("Unsqueeze", "sounds", ints(1)), g.constant(dft_filters()), strides=(HOP,))
    power = g.op("MatMul", g.constant(mel_matrix(config.bands)), g.op("Mul", waves, waves))  # [b, bands, frames]
    decibels = g.op("Mul", g.op("Log", g.op("Add", power, number(1e-10))), number(10 / np.log(10)))
    floor = g.op("Sub", g.op("ReduceMax", decibels, ints(1, 2), keepdims=1), number(DEPTH_DB))
    decibels = g.op("Max", decibels, floor)
    centred = g.op("Sub", decibels, g.op("ReduceMean", decibels, ints(1, 2), keepdims=1))
    x = g.op("Unsqueeze", g.op("Div", centred, number(SCALE_DB)), ints(1))  # [b, 1, bands, frames]
    place = np.linspace(-1, 1, config.bands, dtype=np.float32)[None, None, :, None]
    x = g.op("Concat", x, g.op("Expand", g.constant(place), g.op("Shape", x)), axis=1)
    before = 2
    for i, width in enumerate(config.widths):
        x = g.op("Relu", convolution(x, f"steps.{i}.down", before, width, 2))
        y = g.op("Relu", convolution(x, f"steps.{i}.first", width, width, 1))
        x = g.op("Relu", g.op("Add", x, convolution(y, f"steps.{i}.second", width, width, 1)))
        before = width
    mean, most = g.op("ReduceMean", x, ints(3), keepdims=0), g.op("ReduceMax", x, ints(3), keepdims=0)
    flat = ints(0, -1)
    pooled = g.op("Concat", g.op("Reshape", mean, flat), g.op("Reshape", most, flat), axis=1)
    classes = len(config.names) + 1
    if weights["meanings"].shape != (classes, DIM):
        raise ValueError(f"meanings is {weights['meanings'].shape}, not {(classes, DIM)}")
    logits = dense(pooled, "logits", classes)
    meant = g.op("MatMul", g.op("Softmax", logits, axis=-1), g.constant(weights["meanings"]))
    vectors = g.op("LpNormalization", g.op("Add", meant, dense(pooled, "vector", DIM)), axis=-1, p=2)
    chances = g.op("Softmax", g.op("Div", logits, number(config.temperature)), axis=-1)
    both = g.op("Concat", vectors, chances, axis=1)
    return g.model([port("sounds", FLOAT, ("b", SAMPLES))], (both, "heard"), ("b", DIM + classes))
