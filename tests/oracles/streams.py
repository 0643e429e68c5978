"""The whole streams of XMem and Cutie in plain float64: lists of tokens, one query and one token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles import potentiate as oracle

Array = NDArray[Any]


@dataclass
class Token:
    """One token of a memory."""

    key: Array
    shrinkage: float
    selection: Array | None
    value: Array
    use: float = 0.0
    life: float = 1e-7

    @property
    def rate(self) -> float:
        """Attention received per read."""
        return self.use / self.life


@dataclass
class Frame:
    """A frame's key[HW,C], shrinkage[HW], selection[HW,C], and value[HW,V] by object."""

    key: Array
    shrinkage: Array
    selection: Array
    values: Mapping[int, Array]

    def tokens(self, objects: tuple[int, ...]) -> list[Token]:
        """The tokens of the frame as those objects' memory holds them."""
        value = np.concatenate([self.values[one] for one in objects], axis=1)
        return [Token(*parts) for parts in zip(self.key, self.shrinkage, self.selection, value, strict=True)]


def read(tokens: list[Token], frame: Frame, top_k: int) -> tuple[Array, list[float]]:
    """The readout of each query of the frame, and the attention that each token received."""
    received = [0.0] * len(tokens)
    rows = []
    for query, selection in zip(frame.key, frame.selection, strict=True):
        scores = [oracle.similarity(token.key, query, token.shrinkage, selection) for token in tokens]
        best = sorted(range(len(tokens)), key=lambda i: (-scores[i], i))[:top_k]
        weights = oracle.softmax([scores[i] for i in best])
        for i, weight in zip(best, weights, strict=True):
            received[i] += weight
        rows.append(sum(weight * tokens[i].value for i, weight in zip(best, weights, strict=True)))
    return np.array(rows), received


def count(tokens: list[Token], received: list[float]) -> None:
    """One read more."""
    for token, attention in zip(tokens, received, strict=True):
        token.use += attention
        token.life += 1


def consolidate(candidates: list[Token], prototypes: int) -> list[Token]:
    """The long-term tokens that stand for the candidates."""
    chosen = oracle.prototypes(np.array([token.rate for token in candidates]), prototypes)
    key, shrinkage, selection, value = (
        np.array([getattr(token, name) for token in candidates]) for name in ("key", "shrinkage", "selection", "value")
    )
    made = oracle.potentiate(key, shrinkage, selection, value, chosen)
    return [Token(k, s, None, v) for k, s, v in zip(*made, strict=True)]


@dataclass
class XMem:
    """Working and long-term memory of one group of objects."""

    top_k: int
    t_max: int
    t_min: int
    prototypes: int
    long_max: int
    work: list[Token] = field(default_factory=list)
    long: list[Token] = field(default_factory=list)

    def read(self, frame: Frame) -> Array:
        """The readout [HW,V]."""
        held = self.long + self.work
        found, received = read(held, frame, self.top_k)
        count(held, received)
        return found

    def write(self, frame: Frame) -> None:
        """Append, and compress what is full."""
        hw = len(frame.key)
        self.work += frame.tokens(tuple(frame.values))
        if len(self.work) < self.t_max * hw:
            return
        if len(self.long) >= self.long_max - self.prototypes:
            kept = oracle.most_used(np.array([token.rate for token in self.long]), self.long_max - self.prototypes)
            self.long = [self.long[i] for i in kept]
        recent = len(self.work) - (self.t_min - 1) * hw
        self.long += consolidate(self.work[hw:recent], self.prototypes)
        self.work = self.work[:hw] + self.work[recent:]


@dataclass
class Bucket:
    """What Cutie holds of the objects that first appeared together."""

    objects: tuple[int, ...]
    permanent: list[Token]
    work: list[Token] = field(default_factory=list)
    long: list[Token] = field(default_factory=list)


@dataclass
class Cutie:
    """Buckets; without `prototypes` a FIFO of `t_max` frames."""

    top_k: int
    t_max: int
    t_min: int = 1
    prototypes: int | None = None
    long_max: int = 0
    buffer: int = 0
    buckets: list[Bucket] = field(default_factory=list)

    def read(self, frame: Frame) -> Iterator[tuple[int, Array]]:
        """Object and its readout [HW,V]."""
        for bucket in self.buckets:
            found, received = read(bucket.permanent + bucket.work + bucket.long, frame, self.top_k)
            count(bucket.work + bucket.long, received[len(bucket.permanent) :])
            width = found.shape[1] // len(bucket.objects)
            for i, one in enumerate(bucket.objects):
                yield one, found[:, i * width : (i + 1) * width]

    def write(self, frame: Frame, permanent: bool = False) -> None:
        """Append to every bucket, or begin one, and compress what is full."""
        for bucket in self.buckets:
            tokens = frame.tokens(bucket.objects)
            if permanent:
                bucket.permanent = tokens + bucket.permanent
            else:
                bucket.work += tokens
                self._bound(bucket, len(frame.key))
        new = tuple(one for one in frame.values if all(one not in bucket.objects for bucket in self.buckets))
        if new:
            self.buckets.append(Bucket(new, frame.tokens(new)))

    def _bound(self, bucket: Bucket, hw: int) -> None:
        if self.prototypes is None:
            while len(bucket.work) > (self.t_max - 1) * hw:
                bucket.work.pop(0)
            return
        if len(bucket.work) < (self.t_max - 1) * hw:
            return
        if len(bucket.long) >= self.long_max - self.prototypes:
            bucket.long.sort(key=lambda token: -token.rate)
            del bucket.long[self.long_max - self.prototypes - self.buffer :]
        recent = len(bucket.work) - (self.t_min - 1) * hw
        bucket.long += consolidate(bucket.work[:recent], self.prototypes)
        bucket.work = bucket.work[recent:]
