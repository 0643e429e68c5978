"""Cutie (Cheng et al., CVPR 2024): XMem's memory with buckets of objects, a permanent prefix and rarer evictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mneme.operators.potentiate import prototypes

from .compare import Arrays, Check, Family, Params, close, exact
from .xmem import Tokens, as_grid, as_tokens, readout


@dataclass(frozen=True, slots=True)
class Fifo:
    """No long term: the permanent frame and the last `frames` - 1 others stay."""

    frames: int

    def bound(self, bucket: Bucket, hw: int) -> None:
        """Forget the oldest frames of `hw` tokens."""
        bucket.work = bucket.work.at(slice(max(0, bucket.work.size - (self.frames - 1) * hw), None))


@dataclass(frozen=True, slots=True)
class LongTerm:
    """Consolidation from `t_max` frames to `t_min`, the permanent one among them, into at most `long_max` tokens."""

    t_max: int
    t_min: int
    prototypes: int
    long_max: int
    buffer: int
    """How far below what is asked for an eviction goes, so that the next is not due at once."""

    def __post_init__(self) -> None:
        if not 1 <= self.t_min < self.t_max:
            raise ValueError(f"consolidation from {self.t_max} frames to {self.t_min} leaves nothing to consolidate")

    def bound(self, bucket: Bucket, hw: int) -> None:
        """Evict from the long term and consolidate the working memory, where they are full."""
        if bucket.work.size < (self.t_max - 1) * hw:
            return
        room = self.long_max - self.prototypes
        if bucket.long.size >= room:
            # Evicted by rank, as Cutie does it: what stays is sorted by usage.
            bucket.long = bucket.long.at(prototypes(bucket.long.rate, max(0, room - self.buffer)))
        recent = bucket.work.size - (self.t_min - 1) * hw
        bucket.long = bucket.long.then(bucket.work.at(slice(recent)).consolidated(self.prototypes))
        bucket.work = bucket.work.at(slice(recent, None))


@dataclass(slots=True)
class Bucket:
    """The memory of the objects that first appeared together."""

    objects: tuple[int, ...]
    long: Tokens
    permanent: Tokens
    """Its first frame and those that were declared so, the latest first: never compressed, their usage not counted."""
    work: Tokens

    def read(self, query: Tensor, selection: Tensor, top_k: int) -> dict[int, Tensor]:
        """Object -> [Q,V]; counts the use of the tokens that are not permanent."""
        found, (of_long, _, of_work) = readout([self.long, self.permanent, self.work], query, selection, top_k)
        self.long, self.work = self.long.counted(of_long), self.work.counted(of_work)
        return dict(zip(self.objects, found.chunk(len(self.objects), dim=1), strict=True))


class CutieStream:
    """Buckets of objects over the frames of one stream."""

    def __init__(self, top_k: int, policy: Fifo | LongTerm) -> None:
        self.top_k, self.policy = top_k, policy
        self.buckets: list[Bucket] = []

    def read(self, query: Tensor, selection: Tensor) -> dict[int, Tensor]:
        """Object -> [Q,V] for a frame's `query` and `selection` [Q,C]: all the objects written so far."""
        found: dict[int, Tensor] = {}
        for bucket in self.buckets:
            found |= bucket.read(query, selection, self.top_k)
        return found

    def write(
        self, key: Tensor, shrinkage: Tensor, selection: Tensor, values: Mapping[int, Tensor], permanent: bool = False
    ) -> None:
        """Add a frame: key[HW,C], shrinkage[HW], selection[HW,C] and the value[HW,V] of every object known or new."""
        hw = len(key)
        for bucket in self.buckets:
            frame = Tokens.fresh(key, shrinkage, selection, _together(values, bucket.objects))
            if permanent:
                bucket.permanent = frame.then(bucket.permanent)
            else:
                bucket.work = bucket.work.then(frame)
                self.policy.bound(bucket, hw)
        known = {one for bucket in self.buckets for one in bucket.objects}
        if new := tuple(one for one in values if one not in known):
            frame = Tokens.fresh(key, shrinkage, selection, _together(values, new))
            self.buckets.append(Bucket(new, frame.none_in_long_term(), frame, frame.at(slice(0))))


def _together(values: Mapping[int, Tensor], objects: tuple[int, ...]) -> Tensor:
    """[HW, O V], the objects side by side."""
    return torch.cat([values[one] for one in objects], dim=1)


def run(stream: CutieStream, arrays: Arrays, permanent: int = -1, late: int = 0, every: int = 1) -> Iterator[Tensor]:
    """Read (from the second frame on) and write each frame; the readout [3,V,h,w] of objects 1 to 3, None of frame 0.

    Objects 1 and 2 are there from the first frame, object 3 (where the vectors hold it) from frame `late`. A frame is
    written if it is an `every`-th; frame `permanent` stays for good.
    """
    for t, frames in enumerate(arrays["value"]):
        key, shrinkage, selection = (as_tokens(arrays[name][t]) for name in ("key", "shrinkage", "selection"))
        values = {i + 1: as_tokens(frame) for i, frame in enumerate(frames) if i < 2 or t >= late}
        found = stream.read(key, selection)
        shape = frames.shape[1:]
        if t % every == 0:
            stream.write(key, shrinkage[:, 0], selection, values, permanent=t == permanent)
        yield torch.stack([as_grid(found[i], shape) if i in found else torch.zeros(shape) for i in (1, 2, 3)])


def cutie_fifo(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Fourteen frames without a long term."""
    top_k, frames, every = (int(number) for number in arrays["config"])
    stream = CutieStream(top_k, Fifo(frames))
    readouts, sizes = [], []
    for found in run(stream, arrays, every=every):
        readouts.append(found)
        sizes.append(_sizes(stream))
    yield close("readout", torch.stack(readouts[1:]), arrays["readout"])
    yield exact("work_size", [size[0] for size in sizes], arrays["work_size"])
    yield exact("perm_size", [size[2] for size in sizes], arrays["perm_size"])
    bucket = stream.buckets[0]
    held = bucket.permanent.then(bucket.work)
    yield exact("final_key", held.key.T[None], arrays["final_key"])
    yield exact("final_value_obj1", held.value.chunk(2, dim=1)[0].T[None], arrays["final_value_obj1"])
    summed = torch.from_numpy(arrays["obj_value"])[::every].sum(dim=0)  # [O, S, D + 1], area last
    yield close("final_obj_sum", summed[:, None], arrays["final_obj_sum"])


def cutie_long_term(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Sixty frames with a late object and a frame that is declared permanent."""
    top_k, *bounds, late, permanent = (int(number) for number in arrays["config"])
    stream = CutieStream(top_k, LongTerm(*bounds))
    readouts, sizes = [], []
    for found in run(stream, arrays, permanent, late):
        readouts.append(found)
        sizes.append(_sizes(stream))
    yield close("readout", torch.stack(readouts[1:]), arrays["readout"])
    for i, name in enumerate(("work_size", "long_size", "perm_size")):
        yield exact(name, [size[i] for size in sizes], arrays[name])
    first, second = (bucket.long for bucket in stream.buckets)
    yield exact("final_long_key_b0", first.key.T[None], arrays["final_long_key_b0"])
    yield exact("final_long_key_b1", second.key.T[None], arrays["final_long_key_b1"])
    yield close("final_long_value_obj3", second.value.T[None], arrays["final_long_value_obj3"])


def _sizes(stream: CutieStream) -> tuple[list[int], list[int], list[int]]:
    """Working (with the permanent), long-term and permanent tokens of each of two buckets; 0 for one not begun."""
    long, permanent, work = (
        [held.size for held in memories]
        for memories in zip(*((b.long, b.permanent, b.work) for b in stream.buckets), strict=True)
    )
    missing = [0] * (2 - len(work))
    total = [a + b for a, b in zip(permanent, work, strict=True)]
    return total + missing, long + missing, permanent + missing


FILES: dict[str, Family] = {"cutie_fifo.npz": cutie_fifo, "cutie_long_term.npz": cutie_long_term}

INPUTS: dict[str, tuple[str, ...]] = {
    "cutie_fifo.npz": ("key", "shrinkage", "selection", "value", "obj_value", "config"),
    "cutie_long_term.npz": ("key", "shrinkage", "selection", "value", "config"),
}
