"""XMem (Cheng and Schwing, ECCV 2022): its readout, consolidation and eviction, and its whole stream."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from mneme.operators.affinity import Affinity, attend, read, similarity, top_k_affinity, usage
from mneme.operators.potentiate import most_used, potentiate, prototypes

from .compare import Arrays, Check, Family, Params, close, exact

NEWBORN = 1e-7
"""The life of a token before its first read."""


class Tokens(NamedTuple):
    """A memory of N tokens, those of all objects side by side in `value`."""

    key: Tensor  # [N, C]
    shrinkage: Tensor  # [N]
    selection: Tensor  # [N, C]; [N, 0] in the long term, which keeps none
    value: Tensor  # [N, V]
    use: Tensor  # [N]
    life: Tensor  # [N]

    @classmethod
    def fresh(cls, key: Tensor, shrinkage: Tensor, selection: Tensor, value: Tensor) -> Tokens:
        """Tokens that were never read."""
        return cls(key, shrinkage, selection, value, torch.zeros_like(shrinkage), torch.full_like(shrinkage, NEWBORN))

    @property
    def size(self) -> int:
        """N."""
        return len(self.key)

    @property
    def rate(self) -> Tensor:
        """Normalised usage [N]: attention received per read."""
        return self.use / self.life

    def at(self, index: Tensor | slice) -> Tokens:
        """Those tokens."""
        return Tokens(*(field[index] for field in self))

    def then(self, other: Tokens) -> Tokens:
        """These, then the others."""
        return Tokens(*(torch.cat(pair) for pair in zip(self, other, strict=True)))

    def counted(self, received: Tensor) -> Tokens:
        """After one read in which the tokens received the attention [N]."""
        return self._replace(use=self.use + received, life=self.life + 1)

    def none_in_long_term(self) -> Tokens:
        """A long-term memory for tokens like these, empty."""
        return self._replace(selection=self.selection[:, :0]).at(slice(0))

    def consolidated(self, count: int) -> Tokens:
        """The long-term tokens that stand for these: their `count` most used, potentiated by all."""
        chosen = prototypes(self.rate, count)
        key, shrinkage, value = potentiate(self.key, self.shrinkage, self.selection, self.value, chosen)
        return Tokens.fresh(key, shrinkage, key[:, :0], value)


def readout(
    memories: Sequence[Tokens], query: Tensor, selection: Tensor, top_k: int | None
) -> tuple[Tensor, list[Tensor]]:
    """What a frame [Q,C] reads of several memories as of one, [Q,V], and the attention that each's tokens received."""
    key, shrinkage, value = (
        torch.cat(parts) for parts in zip(*((m.key, m.shrinkage, m.value) for m in memories), strict=True)
    )
    affinity = top_k_affinity(similarity(key, query, shrinkage, selection), top_k)
    return read(value, affinity), list(usage(affinity, len(key)).split([m.size for m in memories]))


class XMemStream:
    """XMem's working and long-term memory of objects that appear together; later ones have a stream of their own."""

    def __init__(self, first: Tokens, *, top_k: int, t_max: int, t_min: int, prototypes: int, long_max: int) -> None:
        """From the first frame on: `t_max` working frames are cut to `t_min`; at most `long_max` long-term tokens."""
        if not 1 <= t_min < t_max:
            raise ValueError(f"consolidation from {t_max} frames to {t_min} leaves nothing to consolidate")
        self.top_k, self.t_max, self.t_min = top_k, t_max, t_min
        self.prototypes, self.long_max = prototypes, long_max
        self.work, self.long = first, first.none_in_long_term()

    def read(self, query: Tensor, selection: Tensor) -> Tensor:
        """[Q,V] for a frame's `query` and `selection` [Q,C]; counts the use of every token."""
        found, (of_long, of_work) = readout([self.long, self.work], query, selection, self.top_k)
        self.long, self.work = self.long.counted(of_long), self.work.counted(of_work)
        return found

    def write(self, frame: Tokens) -> None:
        """Add a frame of HW tokens; consolidate the working memory, and evict before it, where they are full."""
        hw = frame.size
        self.work = self.work.then(frame)
        if self.work.size < self.t_max * hw:
            return
        room = self.long_max - self.prototypes
        if self.long.size >= room:
            self.long = self.long.at(most_used(self.long.rate, room))
        recent = self.work.size - (self.t_min - 1) * hw
        self.long = self.long.then(self.work.at(slice(hw, recent)).consolidated(self.prototypes))
        self.work = self.work.at(slice(hw)).then(self.work.at(slice(recent, None)))


def as_tokens(grid: NDArray[Any]) -> Tensor:
    """A frame's [...,D,h,w] -> its tokens [HW, ...D]."""
    return torch.from_numpy(grid).flatten(-2).flatten(0, -2).T


def as_grid(tokens: Tensor, shape: Sequence[int]) -> Tensor:
    """Tokens [HW, ...D] -> a frame's [...,D,h,w]."""
    return tokens.T.reshape(*shape)


def dense(affinity: Affinity, n: int) -> Tensor:
    """The affinity as the vectors hold it, [N,Q]."""
    full = affinity.weights.new_zeros(len(affinity.weights), n)
    return full.scatter_(1, affinity.indices, affinity.weights).T


def xmem_readout(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Similarity, affinity, usage and readout, over the top k and over all."""
    mk, ms, qk, qe, mv = (torch.from_numpy(arrays[name]) for name in ("mk", "ms", "qk", "qe", "mv"))
    key, shrinkage, query, selection = mk[0].T, ms[0, 0], qk[0].T, qe[0].T
    value = mv.flatten(0, 1).T  # [N, O V]
    scores = similarity(key, query, shrinkage, selection)  # [Q, N]
    yield close("similarity", scores.T[None], arrays["similarity"])
    yield close(
        "similarity_no_shrinkage", similarity(key, query, None, selection).T[None], arrays["similarity_no_shrinkage"]
    )
    # The published code leaves |q|^2 out when there is no selection; the operator does not.
    left_out = (query**2).sum(dim=1)[:, None] * shrinkage / math.sqrt(key.shape[1])
    bare = similarity(key, query, shrinkage) + left_out
    yield close("similarity_no_selection", bare.T[None], arrays["similarity_no_selection"])
    for suffix, top_k in (("topk", int(arrays["top_k"])), ("full", None)):
        affinity = top_k_affinity(scores, top_k)
        yield close(f"affinity_{suffix}", dense(affinity, len(key))[None], arrays[f"affinity_{suffix}"])
        yield close(f"usage_{suffix}", usage(affinity, len(key))[None], arrays[f"usage_{suffix}"])
        for found in (read(value, affinity), attend(key, value, query, shrinkage, selection, top_k)):
            yield close(f"readout_{suffix}", found.T.reshape(*mv.shape[:2], -1), arrays[f"readout_{suffix}"])


def xmem_consolidation(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Prototypes by usage, potentiated."""
    key, shrinkage, selection, value = (
        torch.from_numpy(arrays[name]) for name in ("key", "shrinkage", "selection", "value")
    )
    chosen = prototypes(torch.from_numpy(arrays["usage"])[0, 0], int(arrays["num_prototypes"]))
    yield exact("prototype_indices", chosen, arrays["prototype_indices"])
    kept = potentiate(key[0].T, shrinkage[0, 0], selection[0].T, value.flatten(0, 1).T, chosen)
    yield exact("prototype_key", kept[0].T[None], arrays["prototype_key"])
    yield close("prototype_shrinkage", kept[1][None, None], arrays["prototype_shrinkage"])
    yield close("prototype_value", kept[2].T.reshape(*value.shape[:2], -1), arrays["prototype_value"])


def xmem_eviction(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Use and life over six reads, and who stays."""
    key, shrinkage, value = (torch.from_numpy(arrays[name])[0].T for name in ("key", "shrinkage", "value"))
    tokens = Tokens.fresh(key, shrinkage[:, 0], key[:, :0], value)
    for received in torch.from_numpy(arrays["usage_per_read"]):
        tokens = tokens.counted(received[0])
    yield close("normalised_usage_before", tokens.rate[None, None], arrays["normalised_usage_before"])
    kept = tokens.at(most_used(tokens.rate, int(arrays["max_size"])))
    yield exact("key_after", kept.key.T[None], arrays["key_after"])
    yield exact("shrinkage_after", kept.shrinkage[None, None], arrays["shrinkage_after"])
    yield exact("value_after", kept.value.T[None], arrays["value_after"])
    yield close("use_count_after", kept.use[None, None], arrays["use_count_after"])
    yield close("life_count_after", kept.life[None, None], arrays["life_count_after"])


def xmem_stream(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Sixty frames: every readout, the sizes after each, and what is held at the end."""
    top_k, t_max, t_min, count, long_max, _every = (int(number) for number in arrays["config"])
    shape = arrays["value"].shape[1:]
    parts = [[as_tokens(grid) for grid in arrays[name]] for name in ("key", "shrinkage", "selection", "value")]
    frames = [Tokens.fresh(key, shrinkage[:, 0], *rest) for key, shrinkage, *rest in zip(*parts, strict=True)]
    stream = XMemStream(frames[0], top_k=top_k, t_max=t_max, t_min=t_min, prototypes=count, long_max=long_max)
    readouts, work_size, long_size = [torch.zeros(shape)], [stream.work.size], [stream.long.size]
    for frame, is_write in zip(frames[1:], arrays["is_write"][1:], strict=True):
        readouts.append(as_grid(stream.read(frame.key, frame.selection), shape))
        if is_write:
            stream.write(frame)
        work_size.append(stream.work.size)
        long_size.append(stream.long.size)
    work, long = stream.work, stream.long
    yield close("readout", torch.stack(readouts), arrays["readout"])
    yield exact("work_size", work_size, arrays["work_size"])
    yield exact("long_size", long_size, arrays["long_size"])
    yield exact("long_delta", torch.tensor(long_size).diff(prepend=torch.tensor([0])), arrays["long_delta"])
    yield exact("final_work_key", work.key.T[None], arrays["final_work_key"])
    yield exact("final_long_key", long.key.T[None], arrays["final_long_key"])
    yield close("final_long_value", long.value.T.reshape(*shape[:2], -1), arrays["final_long_value"])
    yield close("final_long_shrinkage", long.shrinkage[None, None], arrays["final_long_shrinkage"])
    for name, held in (("work", work), ("long", long)):
        yield close(f"final_{name}_use", held.use[None, None], arrays[f"final_{name}_use"])
        yield close(f"final_{name}_life", held.life[None, None], arrays[f"final_{name}_life"])


FILES: dict[str, Family] = {
    "xmem_readout.npz": xmem_readout,
    "xmem_consolidation.npz": xmem_consolidation,
    "xmem_eviction.npz": xmem_eviction,
    "xmem_stream.npz": xmem_stream,
}

INPUTS: dict[str, tuple[str, ...]] = {
    "xmem_readout.npz": ("mk", "ms", "qk", "qe", "mv", "top_k"),
    "xmem_consolidation.npz": ("key", "shrinkage", "selection", "usage", "value", "num_prototypes"),
    "xmem_eviction.npz": ("key", "shrinkage", "value", "usage_per_read", "max_size"),
    "xmem_stream.npz": ("key", "shrinkage", "selection", "value", "is_write", "config"),
}
