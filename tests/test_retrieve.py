"""Fused rankings, contiguous neighbours, budgets, and windows across lanes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mneme.operators.retrieve import cross_modal_windows, rank_blocks, rank_fusion, with_neighbours


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


def test_hits_bring_what_came_after_them_and_then_what_came_before() -> None:
    assert with_neighbours([10, 4, 7], 20, share=0.4, budget=5) == [10, 4, 7, 11, 9]


def test_a_hit_is_not_its_own_neighbour_and_the_ends_have_one() -> None:
    assert with_neighbours([0, 1], 3, share=0.5, budget=4) == [0, 1, 2]


@given(
    st.lists(st.integers(0, 30), max_size=20),
    st.floats(0, 0.9),
    st.integers(0, 40),
)
def test_neighbours_never_exceed_the_budget_nor_repeat(hits: list[int], share: float, budget: int) -> None:
    taken = with_neighbours(hits, 31, share, budget)
    assert len(taken) <= budget
    assert len(set(taken)) == len(taken)
    assert all(0 <= block < 31 for block in taken)
    hit = set(hits)
    assert sum(block not in hit for block in taken) <= max(int(share * budget + 1e-9), budget - len(hit))


def plain_blocks(similarity: list[float], sizes: list[int], budget: int) -> list[int]:
    if sum(sizes) <= budget:
        return sorted(range(len(sizes)), key=lambda b: -similarity[b])
    chosen, filled = [], 0
    for block in sorted(range(len(sizes)), key=lambda b: -similarity[b]):
        before, filled = filled, filled + sizes[block]
        chosen.append(block)
        if filled >= budget:
            return chosen[:-1] if abs(budget - before) <= abs(budget - filled) else chosen
    return chosen


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 12)), min_size=1, max_size=12), st.integers(1, 60))
def test_blocks_fill_the_budget_best_first(blocks: list[tuple[int, int]], budget: int) -> None:
    similarity, sizes = [float(s) for s, _ in blocks], [n for _, n in blocks]
    ranked = rank_blocks([1.0], [[s] for s in similarity], sizes, budget)
    assert ranked.tolist() == plain_blocks(similarity, sizes, budget)


def test_no_blocks_and_wrong_shapes() -> None:
    assert rank_blocks(np.zeros(3), np.zeros((0, 3)), np.zeros(0), 5).tolist() == []
    with pytest.raises(ValueError, match="not \\[D\\], \\[B, D\\], \\[B\\]"):
        rank_blocks(np.zeros(3), np.zeros((2, 4)), [1, 1], 5)


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
