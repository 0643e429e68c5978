"""Any two merged, one of two dropped, the oldest dropped: against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.compress import breakpoint_memory, drop_adjacent, merge_nearest
from tests.oracles import merge as oracle

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def drawn(t: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((t, 2, 3)))


def numbered(count: int, first: int) -> Tensor:
    return torch.arange(first, first + count).reshape(count, 1, 1).float()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighted", [True, False])
def test_the_nearest_two_are_merged_as_the_plain_loop_does(weighted: bool, device: str) -> None:
    for seed, (t, keep) in enumerate([(2, 1), (9, 3), (12, 11), (15, 1)]):
        frames = drawn(t, seed)
        weights = torch.from_numpy(np.random.default_rng(seed).integers(1, 6, t).astype(np.float64))
        want, held, groups = oracle.merge_nearest(frames.numpy(), keep, weights.numpy(), weighted)
        got = merge_nearest(frames.to(device), keep, weights.to(device), weighted)
        assert [torch.nonzero(got.labels == k).flatten().tolist() for k in range(keep)] == [sorted(g) for g in groups]
        assert got.weights.tolist() == held
        np.testing.assert_allclose(got.centroids.cpu().numpy(), want, rtol=1e-9, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 10), st.integers(0, 10**6))
def test_merging_the_nearest_keeps_the_weighted_mean_the_budget_and_the_input(t: int, keep: int, seed: int) -> None:
    frames, weights = drawn(t, seed), torch.arange(1.0, t + 1, dtype=torch.float64)
    before = frames.clone(), weights.clone()
    got = merge_nearest(frames, keep, weights)
    assert torch.equal(frames, before[0])
    assert torch.equal(weights, before[1])
    assert len(got.centroids) == len(got.weights) == min(t, keep)
    assert sorted(set(got.labels.tolist())) == list(range(min(t, keep)))
    whole = torch.einsum("k,kqd->qd", got.weights, got.centroids)
    torch.testing.assert_close(whole, torch.einsum("t,tqd->qd", weights, frames))


def test_the_first_of_tied_pairs_takes_the_place_of_its_later_frame() -> None:
    frames = torch.ones(4, 1, 2)
    assert merge_nearest(frames, 3).labels.tolist() == [0, 0, 1, 2]
    assert merge_nearest(frames, 2).labels.tolist() == [0, 0, 0, 1]


def test_a_frame_with_nan_is_merged_only_when_no_other_pair_is_left() -> None:
    frames = drawn(5)
    frames[1, 0, 0] = torch.nan
    got = merge_nearest(frames, 2)
    assert (got.labels == got.labels[1]).tolist() == [False, True, False, False, False]
    assert bool(merge_nearest(frames, 1).centroids.isnan().any())


def test_a_frame_without_weight_does_not_move_the_one_that_it_joins() -> None:
    frames = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
    assert merge_nearest(frames, 1, torch.tensor([1.0, 0.0])).centroids.tolist() == [[[1.0, 0.0]]]
    assert merge_nearest(frames, 1, torch.zeros(2)).centroids.tolist() == [[[1.0, 0.5]]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"frames": torch.zeros(3, 2)}, r"frames\[3, 2\]"),
        ({"frames": torch.zeros(3, 1, 2, dtype=torch.int64)}, "floating"),
        ({"keep": 0}, "at least one"),
        ({"weights": torch.tensor([1.0, torch.nan, 1.0])}, "finite"),
    ],
)
def test_merging_the_nearest_says_what_is_wrong(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        merge_nearest(**{"frames": torch.zeros(3, 1, 2), "keep": 2, **change})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=7), st.integers(0, 10**6))
def test_dropping_equals_the_plain_loop(coins: list[int], seed: int) -> None:
    frames = drawn(8, seed)
    assert drop_adjacent(frames, torch.tensor(coins)).tolist() == oracle.drop_adjacent(frames.numpy(), coins)


def test_dropping_takes_the_first_of_ties_and_passes_over_nan() -> None:
    frames = torch.ones(4, 1, 2)
    assert drop_adjacent(frames, torch.tensor([False])).tolist() == [1, 2, 3]
    assert drop_adjacent(frames, torch.tensor([True])).tolist() == [0, 2, 3]
    frames[0] = torch.nan
    assert drop_adjacent(frames, torch.tensor([0, 0])).tolist() == [0, 3]
    assert drop_adjacent(frames[:0], torch.tensor([])).tolist() == []
    with pytest.raises(ValueError, match="at least one"):
        drop_adjacent(frames, torch.zeros(4))


@pytest.mark.parametrize(
    ("slots", "want"),
    [(9, [0, 1, 2, 10, 11, 20]), (6, [0, 1, 2, 10, 11, 20]), (5, [0, 1, 2, 11, 20]), (4, [0, 1, 2, 20]),
     (2, [2, 20]), (1, [20])],
)  # fmt: skip
def test_a_breakpoint_loses_the_oldest_short_then_the_oldest_long_never_the_current(
    slots: int, want: list[int]
) -> None:
    got = breakpoint_memory(numbered(3, 0), numbered(2, 10), numbered(1, 20)[0], slots)
    assert got.flatten().tolist() == want


def test_a_breakpoint_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="0 slots"):
        breakpoint_memory(numbered(3, 0), numbered(2, 10), numbered(1, 20)[0], 0)
    with pytest.raises(ValueError, match=r"current\[1, 1, 1\]"):
        breakpoint_memory(numbered(3, 0), numbered(2, 10), numbered(1, 20), 4)
