"""How what was found is put together: fused rankings, contiguous neighbours, windows across lanes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from .shapes import sizes_of

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item", bound=Hashable)


def rank_fusion(
    rankings: Sequence[Sequence[Item]], k: float = 60.0, weights: Sequence[float] | None = None
) -> list[tuple[Item, float]]:
    """Reciprocal rank fusion: each item with sum over rankings of weight / (k + rank), best first.

    Ranks count from 1; an item counts once a ranking, at its best rank; ties keep the order of first appearance.
    O(n log n). Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    if weights is None:
        weights = [1.0] * len(rankings)
    if len(weights) != len(rankings):
        raise ValueError(f"{len(weights)} weights for {len(rankings)} rankings")
    if k <= -1:
        raise ValueError(f"k = {k} makes a rank worth nothing or less")
    scores: dict[Item, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda scored: -scored[1])


def rank_blocks(query: Tensor, representatives: Tensor, sizes: Tensor, budget: int, published: bool = False) -> Tensor:
    """Indices int64[K], best first, of the blocks of memory that fill `budget` tokens (EM-LLM, section 3.3).

    `query` [D], `representatives` [B, D] (dot product, in at least float32), `sizes` int64[B] in tokens. Blocks are
    taken in order of similarity as long as they fit the budget; `published` says how EM-LLM ends (see `_filling`).
    Ties go to the earlier block; NaN counts as minus infinity and is never taken. No blocks give none. `ValueError` for
    other shapes and negative sizes. O(B D + B log B).
    """
    import torch  # here, not above: asking imports this file, and torch takes seconds to load

    sizes_of("query[D] representatives[B,D] sizes[B]", query, representatives, sizes)
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    similarity = representatives.to(wide) @ query.to(wide)  # [B]
    order = similarity.nan_to_num(-torch.inf, torch.inf, -torch.inf).argsort(descending=True, stable=True)
    return _filling(order[~similarity[order].isnan()], sizes, budget, published)


def with_neighbours(
    hits: Tensor,
    sizes: Tensor,
    budget: int,
    share: float = 0.3,
    buffer: Tensor | None = None,
    published: bool = False,
) -> tuple[Tensor, Tensor]:
    """The hits and their neighbours in time, int64[K] and int64[M], that fill `budget` tokens (EM-LLM, section 3.3).

    `hits` int64[N]: blocks best first, as `rank_blocks` gives them; `sizes` int64[B] in tokens. floor(share budget)
    tokens are for neighbours, the rest for hits; what the hits leave of theirs goes to the neighbours. These are b + 1
    and then b - 1 of each hit taken, in turn, once each and no hits themselves; they stand in reverse, the best hit's
    last.

    `buffer`: the neighbours of the step before, of which the latest that are neither hits nor neighbours now stay, in
    front, as long as they fit. Hits that repeat count once.

    `published`: the share is floor(share budget + 1); nothing passes from hits to neighbours; each part ends as EM-LLM
    does (see `_filling`); and the buffer goes where the new neighbours reach the share, stays whole where neither they
    nor it do, and otherwise stays from its latest until the share is reached: each may exceed `budget`.

    `ValueError` for blocks that do not exist, a share outside [0, 1), other shapes and negative sizes.
    O(B + N + (K + M)^2).
    """
    blocks = sizes_of("hits[N] sizes[B] buffer[M]", hits, sizes, buffer)["B"]
    if not 0 <= share < 1:
        raise ValueError(f"a share lies in [0, 1), not {share}")
    ranked = list(dict.fromkeys(hits.tolist()))
    before = [] if buffer is None else buffer.tolist()
    if any(not 0 <= block < blocks for block in ranked + before):
        raise ValueError(f"hits {ranked} and a buffer {before} of {blocks} blocks")
    tokens = sizes.tolist()
    apart = int(share * budget + published)
    taken = _filling(hits.new_tensor(ranked), sizes, budget - apart, published)
    chosen = taken.tolist()
    if not published:
        apart = budget - sum(tokens[block] for block in chosen)
    around = [block for hit in chosen for block in (hit + 1, hit - 1) if 0 <= block < blocks and block not in chosen]
    around = list(dict.fromkeys(around))
    near = _filling(hits.new_tensor(around), sizes, apart, published).tolist()[::-1]
    old = [block for block in before if block not in chosen and block not in near]
    if published and sum(tokens[block] for block in around) >= apart:
        old = []
    elif not published or sum(tokens[block] for block in before) >= apart:
        old = _latest(old, tokens, apart - sum(tokens[block] for block in near), published)
    return taken, hits.new_tensor(old + near)


def _latest(blocks: list[int], tokens: list[int], room: int, published: bool) -> list[int]:
    """The last of `blocks` that fit in `room` tokens; as `published`, those up to the first that fills it."""
    first = len(blocks)
    while first and (room > 0 if published else tokens[blocks[first - 1]] <= room):
        first -= 1
        room -= tokens[blocks[first]]
    return blocks[first:]


def _filling(order: Tensor, sizes: Tensor, budget: int, published: bool) -> Tensor:
    """The blocks of `order`, from its start, that fill `budget` tokens: the first that does not fit ends it.

    As `published` that one is taken too unless leaving it out comes nearer to the budget, or as near: the budget may be
    exceeded by less than half of a block.
    """
    import torch

    if bool((sizes < 0).any()):
        raise ValueError(f"sizes {sizes.tolist()} of blocks are not negative")
    filled = sizes[order].cumsum(0)
    fits = int(torch.searchsorted(filled, budget, right=not published))
    if published and fits < len(order):  # filled[fits] is the first to reach the budget
        before, after = (int(filled[fits - 1]) if fits else 0), int(filled[fits])
        fits += abs(budget - before) > abs(after - budget)
    return order[:fits]


def cross_modal_windows(
    spans_ns: Iterable[tuple[int, int]], radius_ns: int = 2_000_000_000, gap_ns: int = 2_000_000_000
) -> list[tuple[int, int]]:
    """Windows [t0, t1) in which to read another lane around spans found in one, merged and ascending (HippoMM).

    Each span is widened by `radius_ns` either way (not below 0); windows that overlap or lie no more than `gap_ns`
    apart become one. O(n log n).
    """
    windows: list[tuple[int, int]] = []
    for t0, t1 in sorted((max(0, t0 - radius_ns), t1 + radius_ns) for t0, t1 in spans_ns):
        if windows and t0 <= windows[-1][1] + gap_ns:
            windows[-1] = (windows[-1][0], max(windows[-1][1], t1))
        else:
            windows.append((t0, t1))
    return windows
