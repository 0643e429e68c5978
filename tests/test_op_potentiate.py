"""Potentiation and the ranking by usage against their plain forms, and what must hold of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.potentiate import most_used, potentiate, prototypes
from tests.oracles import potentiate as oracle

USAGE = st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 3e4, float("nan"), float("inf")]), max_size=12)


def candidates(n: int, c: int = 5, v: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Key [N,C], shrinkage [N] >= 1, selection [N,C] in (0, 1), value [N,V]."""
    rng = torch.Generator().manual_seed(seed)
    drawn = (
        torch.randn(n, c, generator=rng),
        1 + torch.randn(n, generator=rng) ** 2,
        torch.sigmoid(torch.randn(n, c, generator=rng)),
        torch.randn(n, v, generator=rng),
    )
    return [tensor.to(dtype) for tensor in drawn]


def assert_as_oracle(fields: list[Tensor], chosen: list[int], **tolerance: Any) -> None:
    got = potentiate(*fields, torch.tensor(chosen, dtype=torch.int64))
    want = oracle.potentiate(*(field.double().numpy() for field in fields), chosen)
    for ours, theirs, field in zip(got, want, (fields[0], fields[1], fields[3]), strict=True):
        assert ours.dtype == field.dtype
        torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), equal_nan=True, **tolerance)


@settings(max_examples=50, deadline=None)
@given(USAGE, st.integers(0, 14))
def test_prototypes_are_the_most_used_in_order_and_the_earlier_of_equals(usage: list[float], count: int) -> None:
    got = prototypes(torch.tensor(usage), count)
    assert got.dtype == torch.int64
    assert got.tolist() == oracle.prototypes(np.array(usage), count)


@settings(max_examples=50, deadline=None)
@given(USAGE, st.integers(0, 14))
def test_an_eviction_drops_the_least_used_and_of_equals_the_earliest(usage: list[float], keep: int) -> None:
    got = most_used(torch.tensor(usage), keep)
    assert got.dtype == torch.int64
    assert got.tolist() == oracle.most_used(np.array(usage), keep)


@settings(max_examples=50, deadline=None)
@given(USAGE, st.integers(0, 14))
def test_the_most_used_stay_exactly_as_many_as_asked(usage: list[float], keep: int) -> None:
    kept = most_used(torch.tensor(usage), keep).tolist()
    assert len(kept) == min(keep, len(usage))
    assert kept == sorted(set(kept))


def test_the_published_eviction_drops_all_that_tie_and_agrees_where_nothing_ties() -> None:
    distinct = np.random.default_rng(3).permutation(30) / 7
    assert most_used(torch.from_numpy(distinct), 11).tolist() == oracle.published_eviction(distinct, 11)
    tied = np.zeros(30)
    assert oracle.published_eviction(tied, 11) == []
    assert most_used(torch.from_numpy(tied), 11).tolist() == list(range(19, 30))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_usage_of_every_precision_is_ranked(dtype: torch.dtype) -> None:
    usage = torch.tensor([1.0, float("nan"), 3.0, 2.0, 3.0], dtype=dtype)
    assert prototypes(usage, 3).tolist() == [2, 4, 3]
    assert most_used(usage, 3).tolist() == [2, 3, 4]


@pytest.mark.parametrize("ranked", [prototypes, most_used])
def test_usage_that_is_no_row_and_a_negative_count_are_refused(ranked: Any) -> None:
    with pytest.raises(ValueError, match=r"usage\[2, 3\]"):
        ranked(torch.zeros(2, 3), 1)
    with pytest.raises(ValueError, match="-1"):
        ranked(torch.zeros(3), -1)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10), st.integers(0, 1000))
def test_potentiation_is_the_softmax_mean_of_the_candidates(n: int, count: int, seed: int) -> None:
    chosen = torch.randint(n, (count,), generator=torch.Generator().manual_seed(seed)).tolist()  # repeats among them
    assert_as_oracle(candidates(n, seed=seed), chosen)


def test_equal_zero_and_huge_candidates_are_potentiated_as_the_formula_says() -> None:
    key, shrinkage, selection, value = candidates(8)
    key[1:4] = key[0]  # duplicates
    key[4] = 0
    selection[5] = 0  # of equal similarity to all
    shrinkage[6] = 1e6
    value[7] = 1e6
    assert_as_oracle([key, shrinkage, selection, value], list(range(8)))


def test_half_precision_is_as_exact_as_its_inputs() -> None:
    for dtype, rtol in ((torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)):
        fields = candidates(200, dtype=dtype)
        fields[0] *= 8  # similarities of -1000 and less: a softmax that subtracts no maximum is 0 / 0 there
        assert_as_oracle(fields, [0, 17, 199], rtol=rtol, atol=rtol)


def test_each_tensor_keeps_its_own_precision() -> None:
    key, shrinkage, selection, value = candidates(6, dtype=torch.float32)
    assert_as_oracle([key, shrinkage, selection, value.half()], [1, 4], rtol=2e-3, atol=2e-3)
    assert_as_oracle([key, shrinkage.half(), selection, value], [1, 4], rtol=2e-3, atol=2e-3)


def test_a_candidate_with_nan_in_its_key_or_shrinkage_weighs_nothing() -> None:
    key, shrinkage, selection, value = candidates(7)
    sound = potentiate(key[2:], shrinkage[2:], selection[2:], value[2:], torch.arange(5))
    key[0, 3] = torch.nan
    shrinkage[1] = torch.nan
    for ours, theirs in zip(potentiate(key, shrinkage, selection, value, torch.arange(2, 7)), sound, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_prototype_that_can_ask_nothing_is_never_read() -> None:
    key, shrinkage, selection, value = candidates(5)
    selection[2, 0] = torch.nan
    assert_as_oracle([key, shrinkage, selection, value], [2, 3])
    _, mean_shrinkage, mean_value = potentiate(key, shrinkage, selection, value, torch.tensor([2, 3]))
    assert mean_shrinkage.isnan().tolist() == [True, False]
    assert mean_value[0].tolist() == [0, 0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10), st.integers(0, 1000))
def test_a_prototype_lies_within_what_the_candidates_span(n: int, seed: int) -> None:
    key, shrinkage, selection, value = candidates(n, seed=seed)
    _, means, gathered = potentiate(key, shrinkage, selection, value, torch.arange(n))
    slack = 1e-12
    assert (means >= shrinkage.min() - slack).all()
    assert (means <= shrinkage.max() + slack).all()
    assert (gathered >= value.amin(dim=0) - slack).all()
    assert (gathered <= value.amax(dim=0) + slack).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10), st.integers(0, 1000))
def test_the_order_of_the_candidates_changes_nothing(n: int, seed: int) -> None:
    fields = candidates(n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    shuffled = potentiate(*(field[order] for field in fields), torch.arange(n))
    for ours, theirs in zip(shuffled, potentiate(*fields, order), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_one_candidate_becomes_itself_and_none_becomes_nothing() -> None:
    key, shrinkage, selection, value = candidates(1)
    alone = potentiate(key, shrinkage, selection, value, torch.tensor([0]))
    for ours, theirs in zip(alone, (key, shrinkage, value), strict=True):
        torch.testing.assert_close(ours, theirs)
    empty = potentiate(key[:0], shrinkage[:0], selection[:0], value[:0], prototypes(shrinkage[:0], 3))
    assert [list(tensor.shape) for tensor in empty] == [[0, 5], [0], [0, 4]]


def test_the_inputs_are_left_as_they_were() -> None:
    fields = candidates(6)
    before = [field.clone() for field in fields]
    for made in potentiate(*fields, torch.arange(6)):
        made.zero_()
    assert all(torch.equal(field, copy) for field, copy in zip(fields, before, strict=True))


def test_what_does_not_fit_is_refused_by_its_shapes() -> None:
    key, shrinkage, selection, value = candidates(4)
    with pytest.raises(ValueError, match=r"selection\[3, 5\]"):
        potentiate(key, shrinkage, selection[:3], value, torch.tensor([0]))
    with pytest.raises(ValueError, match="of 4 candidates"):
        potentiate(key, shrinkage, selection, value, torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="of 4 candidates"):
        potentiate(key, shrinkage, selection, value, torch.tensor([-1]))
    with pytest.raises(ValueError, match="int64"):
        potentiate(key, shrinkage, selection, value, torch.ones(4, dtype=torch.bool))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_gpu_potentiates_as_the_processor_does(dtype: torch.dtype) -> None:
    fields = candidates(50, dtype=dtype)
    usage = fields[1]
    assert most_used(usage.cuda(), 20).tolist() == most_used(usage, 20).tolist()
    chosen = prototypes(usage.cuda(), 9)
    assert chosen.tolist() == prototypes(usage, 9).tolist()
    got = potentiate(*(field.cuda() for field in fields), chosen)
    for ours, theirs in zip(got, potentiate(*fields, chosen.cpu()), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=2e-3, atol=2e-3)
