"""Refined boundaries: the best of their candidates, and what they do at the edges."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.refine import Criterion, cut_scores, refine_boundaries
from tests.oracles import refine as oracle

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
each_criterion = pytest.mark.parametrize("criterion", CRITERIA)


def drawn(length: int, dim: int = 5, seed: int = 0) -> Tensor:
    """Events of 4 to 20 tokens, each about a mean of its own."""
    rng = np.random.default_rng(seed)
    event = np.cumsum(rng.random(length) < 0.1)
    means = rng.standard_normal((length + 1, dim))
    return torch.from_numpy(means[event] + 0.5 * rng.standard_normal((length, dim)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Tensor, list[int], int, int]:
    """Keys, boundaries, least size and offset; whole numbers, so that ties are ties in every form."""
    length = draw(st.integers(1, 60))
    offset = draw(st.integers(0, min(20, length)))
    boundaries = sorted(draw(st.lists(st.integers(0, length - offset), max_size=8)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    keys = rng.integers(-1, 3, (length, draw(st.integers(1, 3)))).astype(np.float64)
    return torch.from_numpy(keys), boundaries, draw(st.integers(1, 9)), offset


@each_criterion
@settings(max_examples=120, deadline=None)
@given(stream=streams())
def test_every_boundary_takes_the_best_of_its_candidates_and_the_first_of_equals(
    criterion: Criterion, stream: tuple[Tensor, list[int], int, int]
) -> None:
    keys, boundaries, min_size, offset = stream
    refined = refine_boundaries(keys, torch.tensor(boundaries, dtype=torch.int64), criterion, min_size, offset)
    events = oracle.kept([b + offset for b in boundaries], min_size, offset)
    assert refined.dtype == torch.int64
    assert len(refined) == len(events)
    last = 0
    for event, cut in zip(events, (refined + offset).tolist(), strict=True):
        left, window = oracle.window_of(keys.numpy(), last, event)
        sign = -1 if criterion == "conductance" else 1
        worths = {
            t: sign * oracle.score(window, t - left, criterion)
            for t in oracle.candidates(last, event, min_size, offset)
        }
        known = {t: worth for t, worth in worths.items() if not np.isnan(worth)}
        best = max(known.values(), default=None)
        assert cut == next((t for t, worth in known.items() if worth == best), event)
        last = cut


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@each_criterion
def test_a_stream_is_refined_as_by_sums_over_the_whole_graph(
    criterion: Criterion, dtype: torch.dtype, device: str
) -> None:
    for seed, offset in ((0, 0), (1, 23), (2, 0)):
        keys = drawn(300, seed=seed).to(dtype).to(device)
        boundaries = torch.arange(9, 300 - offset, 31, device=device)
        refined = refine_boundaries(keys, boundaries, criterion, 8, offset)
        assert refined.device == keys.device
        plain = keys.double().cpu().numpy()
        assert refined.tolist() == oracle.refine_boundaries(plain, boundaries.tolist(), criterion, 8, offset)
        assert refined.tolist() != boundaries.tolist()


@each_criterion
def test_the_score_of_every_cut_is_its_formula(criterion: Criterion) -> None:
    keys = drawn(40)
    graph = (keys @ keys.T).numpy()
    got = cut_scores(keys, criterion)
    assert got.dtype == torch.float64
    assert got[0].isnan()
    want = [oracle.score(graph, t, criterion) for t in range(1, 40)]
    np.testing.assert_allclose(got[1:], want, rtol=1e-9)


def test_modularity_finds_where_two_events_meet_late() -> None:
    keys = torch.cat([torch.tensor([[1.0, 0.0]]).expand(30, 2), torch.tensor([[0.0, 1.0]]).expand(30, 2)])
    assert refine_boundaries(keys, torch.tensor([37])).tolist() == [30]
    assert refine_boundaries(keys, torch.tensor([37]), "conductance").tolist() == [30]


def test_equal_cuts_go_to_the_earliest() -> None:
    keys = torch.zeros(64, 3)
    keys[0] = 1.0  # an edge from no other token: every cut after it is as good
    assert refine_boundaries(keys, torch.tensor([40]), "conductance", 5).tolist() == [5]


def test_a_boundary_close_behind_another_is_dropped_and_a_first_one_only_behind_context() -> None:
    keys = drawn(60)
    assert len(refine_boundaries(keys, torch.tensor([20, 27, 34, 42]))) == 2  # 27 and 34 lie 7 behind, 42 lies 8
    assert refine_boundaries(keys, torch.tensor([3])).tolist() == [3]
    assert refine_boundaries(keys, torch.tensor([3]), offset=10).tolist() == []


def test_refined_boundaries_keep_their_least_distance() -> None:
    keys = drawn(400)
    refined = refine_boundaries(keys, torch.arange(10, 400, 20), min_size=8)
    assert (refined.diff() >= 8).all()


@pytest.mark.parametrize("fault", [torch.nan, torch.inf])
@each_criterion
def test_a_key_that_is_not_finite_holds_back_only_the_windows_that_see_it(criterion: Criterion, fault: float) -> None:
    keys, boundaries = drawn(200), torch.tensor([30, 60, 90, 120, 150, 180])
    whole = refine_boundaries(keys, boundaries, criterion).tolist()
    keys[35] = fault
    refined = refine_boundaries(keys, boundaries, criterion).tolist()
    assert refined[:2] == [30, 60]
    assert refined[3:] == oracle.refine_boundaries(keys.numpy(), boundaries.tolist(), criterion, 8, 0)[3:]
    assert refined[3:] != [120, 150, 180]
    assert whole[:2] != [30, 60]
    assert cut_scores(keys, criterion).isnan().all()


def test_keys_of_zeros_have_no_modularity_and_leave_boundaries_where_they_are() -> None:
    assert refine_boundaries(torch.zeros(50, 2), torch.tensor([20, 45])).tolist() == [20, 45]


def test_huge_keys_are_refined_as_their_hundredth() -> None:
    keys, boundaries = drawn(200), torch.arange(30, 200, 30)
    for criterion in CRITERIA:
        assert torch.equal(
            refine_boundaries((keys * 1e30).float(), boundaries, criterion),
            refine_boundaries(keys.float(), boundaries, criterion),
        )


def test_without_tokens_or_boundaries_there_is_nothing_to_refine() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert refine_boundaries(torch.zeros(0, 4), none).shape == (0,)
    assert refine_boundaries(torch.zeros(9, 4), none).shape == (0,)
    assert cut_scores(torch.zeros(0, 4)).shape == (0,)
    assert cut_scores(torch.ones(1, 4)).isnan().tolist() == [True]


def test_bad_input_is_refused_by_its_shape_or_fault() -> None:
    keys = torch.zeros(9, 2)
    with pytest.raises(ValueError, match=r"keys\[9, 2\] boundaries\[1, 1\]"):
        refine_boundaries(keys, torch.tensor([[3]]))
    for wrong in ([5, 3], [-1], [10]):
        with pytest.raises(ValueError, match="do not ascend within"):
            refine_boundaries(keys, torch.tensor(wrong))
    with pytest.raises(ValueError, match="at least 0 tokens"):
        refine_boundaries(keys, torch.tensor([3]), min_size=0)
    for call in (lambda: cut_scores(keys, "cut"), lambda: refine_boundaries(keys, torch.tensor([3]), "cut")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a criterion is one of"):
            call()
