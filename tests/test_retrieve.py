"""Fused rankings, contiguous neighbours, budgets, and windows across lanes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.retrieve import cross_modal_windows, rank_blocks, rank_fusion, with_neighbours
from tests.oracles import emllm as oracle

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def test_an_item_high_in_two_rankings_beats_the_first_of_one() -> None:
    fused = rank_fusion([["a", "b", "c"], ["d", "b", "e"]])
    assert fused[0] == ("b", pytest.approx(2 / 62))
    assert [item for item, _ in fused[1:3]] == ["a", "d"]


def test_a_ranking_counts_by_its_weight() -> None:
    assert [item for item, _ in rank_fusion([["a"], ["b"]], weights=[0.5, 1.0])] == ["b", "a"]
    with pytest.raises(ValueError, match="1 weights for 2 rankings"):
        rank_fusion([["a"], ["b"]], weights=[1.0])


@given(st.lists(st.lists(st.integers(0, 20), unique=True), max_size=5))
def test_fusion_is_the_sum_of_reciprocal_ranks(rankings: list[list[int]]) -> None:
    fused = dict(rank_fusion(rankings, k=60))
    for item in set().union(*rankings) if rankings else set():
        expected = sum(1 / (60 + ranking.index(item) + 1) for ranking in rankings if item in ranking)
        assert fused[item] == pytest.approx(expected)
    assert list(fused.values()) == sorted(fused.values(), reverse=True)


SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=12)


def ints(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def ranked(similarity: Sequence[float], sizes: Sequence[int], budget: int, published: bool = False) -> list[int]:
    """`rank_blocks` of blocks of one number each."""
    blocks = torch.tensor(similarity, dtype=torch.float64).reshape(-1, 1)
    return rank_blocks(torch.ones(1, dtype=torch.float64), blocks, ints(sizes), budget, published).tolist()


def chosen(hits: Sequence[int], sizes: Sequence[int], budget: int, *rest: Any, **options: Any) -> list[list[int]]:
    """`with_neighbours` in lists."""
    return [part.tolist() for part in with_neighbours(ints(hits), ints(sizes), budget, *rest, **options)]


def within(order: Sequence[int], sizes: Sequence[int], budget: int) -> list[int]:
    """Blocks in order, up to the first that does not fit."""
    taken: list[int] = []
    for block in order:
        if sum(sizes[b] for b in [*taken, block]) > budget:
            break
        taken.append(block)
    return taken


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 7.0, math.nan]), st.integers(0, 9)), max_size=12), st.data())
def test_blocks_fill_the_budget_best_first(blocks: list[tuple[float, int]], data: st.DataObject) -> None:
    similarity, sizes = [s for s, _ in blocks], [n for _, n in blocks]
    budget = data.draw(st.integers(-1, sum(sizes) + 2))
    order = sorted((b for b, s in enumerate(similarity) if not math.isnan(s)), key=lambda b: -similarity[b])
    assert ranked(similarity, sizes, budget) == within(order, sizes, budget)
    assert ranked(similarity, sizes, budget, True) == oracle.filled(order, sizes, budget)[0]


def test_the_published_budget_is_exceeded_by_the_last_block_where_that_comes_nearer() -> None:
    similarity, sizes = [3.0, 2.0, 1.0], [4, 5, 4]
    assert ranked(similarity, sizes, 8) == [0]
    assert ranked(similarity, sizes, 8, published=True) == [0, 1]  # 9 is nearer to 8 than 4 is
    assert ranked(similarity, sizes, 6, published=True) == [0]  # 4 is nearer to 6 than 9 is
    assert ranked([2.0, 1.0], [4, 4], 6, published=True) == [0]  # as near, so it is left out


@settings(max_examples=100, deadline=None)
@given(SIZES, st.data(), st.floats(0, 0.9), st.integers(0, 60))
def test_hits_and_neighbours_and_the_buffer_never_exceed_the_budget_nor_repeat(
    sizes: list[int], data: st.DataObject, share: float, budget: int
) -> None:
    some = st.lists(st.sampled_from(range(len(sizes))), max_size=9)
    hits, buffer = data.draw(some), data.draw(st.none() | some.map(lambda old: list(dict.fromkeys(old))))
    taken, near = chosen(hits, sizes, budget, share, None if buffer is None else ints(buffer))
    assert sum(sizes[block] for block in taken + near) <= budget
    assert len({*taken, *near}) == len(taken + near)
    assert taken == within(list(dict.fromkeys(hits)), sizes, budget - int(share * budget))
    around = [b for hit in taken for b in (hit + 1, hit - 1) if 0 <= b < len(sizes) and b not in taken]
    new = within(list(dict.fromkeys(around)), sizes, budget - sum(sizes[block] for block in taken))
    assert near[len(near) - len(new) :] == new[::-1]
    assert near[: len(near) - len(new)] == [b for b in buffer or [] if b in near and b not in new]


@settings(max_examples=150, deadline=None)
@given(SIZES, st.data(), st.integers(0, 60))
def test_the_published_share_is_the_transcription_s(sizes: list[int], data: st.DataObject, budget: int) -> None:
    some = st.lists(st.sampled_from(range(len(sizes))), unique=True, max_size=9)
    hits, buffer = data.draw(some), data.draw(some)
    share = int(0.3 * budget + 1)
    taken, _ = oracle.filled(hits, sizes, budget - share)
    expected = [taken, oracle.neighbours(taken, buffer, sizes, share)]
    assert chosen(hits, sizes, budget, 0.3, ints(buffer), published=True) == expected


@pytest.mark.parametrize(
    ("near", "old", "stays"),
    [(6, (2, 2, 3), [3, 4, 5]), (6, (3, 3, 3), [5]), (6, (6, 1, 1), [4, 5]), (8, (1, 1, 1), [])],
)
def test_the_published_buffer_stays_whole_or_in_part_or_goes(near: int, old: Sequence[int], stays: list[int]) -> None:
    sizes = [5, near, 9, *old]  # block 1 is the neighbour of the hit, and the share is 8
    assert chosen([0], sizes, 24, 0.3, ints([3, 4, 5]), published=True) == [[0], [*stays, 1]]


def test_hits_bring_what_came_after_them_and_then_what_came_before() -> None:
    assert chosen([10, 4, 7], [1] * 20, 6, 0.5) == [[10, 4, 7], [5, 9, 11]]
    assert chosen([0, 1], [1] * 3, 4, 0.5) == [[0, 1], [2]]  # none is its own neighbour, and the ends have one


def test_the_latest_of_the_buffer_stays_where_there_is_room() -> None:
    assert chosen([5], [2] * 20, 10, 0.8, ints([12, 6, 15])) == [[5], [12, 15, 4, 6]]
    assert chosen([5], [2] * 20, 8, 0.7, ints([12, 6, 15])) == [[5], [15, 4, 6]]


def test_no_blocks_and_no_hits_give_none() -> None:
    none = ints([])
    assert rank_blocks(torch.zeros(3), torch.zeros(0, 3), none, 5).tolist() == []
    assert chosen([], [], 5) == [[], []]
    assert chosen([], [2, 2], 9) == [[], []]
    assert rank_blocks(torch.full((1,), math.nan), torch.ones(2, 1), ints([1, 1]), 5).tolist() == []


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_blocks_are_ranked_on_their_device_and_in_at_least_float32(dtype: torch.dtype, device: str) -> None:
    query = torch.full((4,), 200.0, dtype=dtype, device=device)
    blocks = torch.tensor([[200.0] * 4, [250.0] * 4, [100.0] * 4], dtype=dtype, device=device)  # 160000, 200000, 80000
    sizes = ints([1, 1, 1]).to(device)
    got = rank_blocks(query, blocks, sizes, 9)
    assert got.device == query.device
    assert got.dtype == torch.int64
    assert got.tolist() == [1, 0, 2]
    hits, near = with_neighbours(got[:1], sizes, 3)
    assert (hits.tolist(), near.tolist(), near.device) == ([1], [0, 2], query.device)


def test_wrong_shapes_and_blocks_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"representatives\[2, 4\]"):
        rank_blocks(torch.zeros(3), torch.zeros(2, 4), ints([1, 1]), 5)
    with pytest.raises(ValueError, match="negative"):
        rank_blocks(torch.zeros(3), torch.zeros(2, 3), ints([1, -1]), 5)
    for hits, buffer in (([2], []), ([-1], []), ([0], [2])):
        with pytest.raises(ValueError, match="of 2 blocks"):
            chosen(hits, [1, 1], 5, 0.3, ints(buffer))
    for share in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="a share lies in"):
            chosen([0], [1, 1], 5, share)


def test_another_lane_is_read_two_seconds_around_what_one_lane_found() -> None:
    s = 1_000_000_000
    assert cross_modal_windows([(20 * s, 21 * s), (s, 2 * s), (26 * s, 27 * s)]) == [(0, 4 * s), (18 * s, 29 * s)]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=20), st.integers(0, 30))
def test_windows_cover_every_span_and_stay_apart(spans: list[tuple[int, int]], gap: int) -> None:
    windows = cross_modal_windows([(t, t + n) for t, n in spans], radius_ns=5, gap_ns=gap)
    assert all(any(t0 <= max(0, t - 5) and t + n + 5 <= t1 for t0, t1 in windows) for t, n in spans)
    assert all(b[0] - a[1] > gap for a, b in pairwise(windows))


def test_a_cold_question_does_not_wait_for_torch() -> None:
    code = "import sys, mneme.operators.retrieve; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
