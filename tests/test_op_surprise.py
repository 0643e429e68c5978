"""Surprise by its formula, and the boundaries that it begins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators import surprise as module
from mneme.operators.surprise import surprise, surprise_boundaries, surprising
from tests.oracles import surprise as oracle

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def drawn(length: int, dim: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(length, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 9, 40])
@pytest.mark.parametrize("window", [1, 2, 7, 100])
def test_surprise_is_its_formula(length: int, window: int, device: str) -> None:
    vectors = drawn(length) * torch.linspace(0.1, 9, length, dtype=torch.float64)[:, None]
    got = surprise(vectors.to(device), window, 0.3)
    np.testing.assert_allclose(got.cpu(), oracle.surprise(vectors.numpy(), window, 0.3), rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 1.0, 1e-3, 3e18, math.nan]), min_size=2, max_size=2), max_size=9
    ),
    window=st.integers(1, 5),
)
def test_ties_zero_rows_huge_values_and_nan_are_as_the_formula_has_them(rows: list[list[float]], window: int) -> None:
    vectors = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)
    got = surprise(vectors, window, 0.5)
    np.testing.assert_allclose(got, oracle.surprise(vectors.numpy(), window, 0.5), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(surprise(vectors.float(), window, 0.5), got, rtol=1e-4, atol=1e-5)


def test_a_frame_unlike_the_last_surprises_where_it_stands() -> None:
    vectors = torch.eye(3)[torch.tensor([0] * 30 + [1] * 30 + [2] * 30)]
    told = surprise(vectors, 8, 0.1)
    assert told.topk(2).indices.sort().values.tolist() == [30, 60]
    found = surprise_boundaries(told, 1.0, 8)
    assert (
        found[[28, 29, 30, 31, 32]].tolist()
        == found[[58, 59, 60, 61, 62]].tolist()
        == [False] * 2 + [True] + [False] * 2
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_summed_in_full(dtype: torch.dtype) -> None:
    vectors = (100 * drawn(50, 64)).to(dtype)  # squares beyond 65504
    got = surprise(vectors, 16, 0.02)
    want = oracle.surprise(vectors.double().numpy(), 16, 0.02)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.double(), want, rtol=2 * torch.finfo(dtype).eps, atol=1e-4)


def test_vectors_whose_squares_overflow_keep_their_direction() -> None:
    vectors = drawn(20).float()
    torch.testing.assert_close(surprise(1e30 * vectors), surprise(vectors))
    torch.testing.assert_close(surprise(1e-25 * vectors), surprise(vectors))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 99), window=st.integers(1, 12))
def test_what_came_later_changes_no_surprise(seed: int, window: int) -> None:
    vectors = drawn(30, seed=seed)
    assert torch.equal(surprise(vectors[:17], window), surprise(vectors, window)[:17])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("gamma", "window"), [(1.0, 8), (0.0, 1), (0.5, 2), (2.0, 500)])
def test_boundaries_are_values_above_their_trailing_window(gamma: float, window: int, device: str) -> None:
    told = drawn(200, 1).flatten().exp()
    told[[3, 50, 51]] = torch.nan
    told[70:90] = 1.0
    told[120] = 1e30
    found = surprise_boundaries(told.to(device), gamma, window)
    assert found.dtype == torch.bool
    assert found.tolist() == oracle.boundaries(told.tolist(), gamma, window)


def test_a_long_stream_is_judged_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told = drawn(100, 1).flatten()
    whole = surprise_boundaries(told, 1.0, 10)
    monkeypatch.setattr(module, "_HELD", 70)
    assert torch.equal(surprise_boundaries(told, 1.0, 10), whole)
    assert whole.any()


def test_the_value_itself_is_not_in_its_own_statistics() -> None:
    told = torch.tensor([1.0, 1.1, 0.9, 2.0])  # mu + 3 sigma is 1.3 of the three, 2.8 of all four
    assert surprise_boundaries(told, 3.0, 3).tolist() == [False, False, False, True]


def test_fewer_than_two_values_before_it_make_no_boundary() -> None:
    assert surprise_boundaries(torch.tensor([9.0, 99.0, 999.0]), 0.0, 9).tolist() == [False, False, True]
    assert not surprise_boundaries(torch.arange(9.0), 0.0, 1).any()
    assert surprise_boundaries(torch.zeros(0)).shape == (0,)


def test_nan_is_no_boundary_and_silences_none_after_it() -> None:
    told = torch.tensor([1.0, 2.0, torch.nan, 1.0, 9.0])
    assert surprise_boundaries(told, 1.0, 4).tolist() == [False, False, False, False, True]


def test_one_history_serves_all_values() -> None:
    assert surprising(torch.tensor([2.0, 3.0, torch.nan]), torch.tensor([[1.0, 2.0]]), 1.0).tolist() == [
        False,
        True,
        False,
    ]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors\[4\]"):
        surprise(torch.zeros(4))
    for window, temperature in ((0, 0.1), (3, 0.0), (3, math.nan)):
        with pytest.raises(ValueError, match="a window of"):
            surprise(torch.zeros(4, 2), window, temperature)
    with pytest.raises(ValueError, match=r"surprise\[4, 1\]"):
        surprise_boundaries(torch.zeros(4, 1))
    with pytest.raises(ValueError, match="a window of 0"):
        surprise_boundaries(torch.zeros(4), window=0)
