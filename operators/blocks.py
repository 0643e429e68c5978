"""Blocks of tokens as units of memory (EM-LLM): where a run of tokens is cut, and which keys stand for a block."""

from __future__ import annotations

import torch
from torch import Tensor

from .shapes import sizes_of


def cut_blocks(boundaries: Tensor, min_size: int = 8, max_size: int = 128) -> list[int]:
    """The sizes of the blocks into which a run of tokens falls, in order (EM-LLM, Fountas et al. 2024, section 3.2).

    `boundaries` bool[N]: token t begins an event (the first token's is not asked). Events shorter than `min_size`
    tokens join those after them; whatever reaches `max_size` is cut there. Every block has between `min_size` and
    `max_size` tokens. The last event, which may still go on, is no block unless it is cut at `max_size`: the sizes sum
    to at most N, and the tokens left over begin the next run. A run of fewer than `min_size` tokens gives no block.
    `ValueError` for another shape or unless 1 <= min_size <= max_size. O(N).
    """
    n = sizes_of("boundaries[N]", boundaries)["N"]
    if not 1 <= min_size <= max_size:
        raise ValueError(f"blocks of {min_size} to {max_size} tokens")
    if n < min_size:
        return []
    cuts = [t for t in boundaries.nonzero().flatten().tolist() if t > 0]
    sizes: list[int] = []
    start = 0
    for cut in [*cuts, n]:
        while cut - start >= max_size:
            sizes.append(max_size)
            start += max_size
        if cut - start >= min_size and cut < n:
            sizes.append(cut - start)
            start = cut
    return sizes


def representative(key: Tensor, received: Tensor, top: int = 4) -> Tensor:
    """The key [H, D] that stands for a block: a head's mean over its `top` keys that received most attention (EM-LLM).

    `key` [H, N, D], `received` [H, N]: the attention that each key got, summed over the queries that saw it. Of equal
    ones the earlier key counts; NaN received counts as minus infinity; `top` above N takes all N, and N = 0 gives
    zeros. The result has the keys' dtype, summed in at least float32. `ValueError` for other shapes or a `top` below 1.
    O(H N log N + H top D).
    """
    n = sizes_of("key[H,N,D] received[H,N]", key, received)["N"]
    if top < 1:
        raise ValueError(f"a mean over {top} keys")
    if n == 0:
        return key.new_zeros(key.shape[0], key.shape[2])
    worth = received.masked_fill(received.isnan(), -torch.inf)
    chosen = worth.argsort(dim=1, descending=True, stable=True)[:, :top]  # [H, top]
    keys = key.gather(1, chosen[..., None].expand(-1, -1, key.shape[2]))  # [H, top, D]
    mean: Tensor = keys.mean(dim=1)  # which torch sums in at least float32
    return mean
