"""Pattern completion against its plain form; its energy, its no-match mass, and what it calls up from damaged cues."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.complete import complete, energy
from tests.oracles import complete as oracle

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**16))
BETAS = st.sampled_from([1e-3, 1.0, 30.0, 1e4])
THRESHOLDS = st.sampled_from([None, 0.0, 0.5, -1.0])


def drawn(n: int, q: int, d: int, seed: int, repeats: bool = True) -> tuple[Tensor, Tensor]:
    """Patterns [N,D] and cues [Q,D], with a pattern that stands twice and a zero one where there is room."""
    rng = torch.Generator().manual_seed(seed)
    patterns, cues = (torch.randn(rows, d, generator=rng, dtype=torch.float64) for rows in (n, q))
    if repeats and n > 2:
        patterns[1], patterns[2] = patterns[0], 0.0
    return patterns, cues


def unit(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(drawn(n, 1, d, seed, repeats=False)[0], dim=1)


def option(threshold: float | None) -> dict[str, float | bool]:
    return {"no_match": False} if threshold is None else {"threshold": threshold}


@settings(max_examples=50, deadline=None)
@given(SIZES, BETAS, THRESHOLDS, st.sampled_from([1.0, 1e-3, 1e4]))
def test_one_update_is_attention_over_the_patterns_and_the_origin(
    sizes: tuple[int, int, int, int], beta: float, threshold: float | None, scale: float
) -> None:
    patterns, cues = (scale * part for part in drawn(*sizes))
    got = complete(patterns, cues, beta, **option(threshold))
    for i, cue in enumerate(cues.numpy()):
        weights, none = oracle.shares(patterns.numpy(), cue, beta, threshold)
        np.testing.assert_allclose(got.weights[i], weights, atol=1e-7)
        assert got.no_match[i].item() == pytest.approx(none, abs=1e-7)
        want = oracle.update(patterns.numpy(), cue, beta, threshold)
        np.testing.assert_allclose(got.state[i], want, atol=1e-6 * scale)


@settings(max_examples=50, deadline=None)
@given(SIZES, st.sampled_from([0.1, 1.0, 30.0]), THRESHOLDS)
def test_no_update_raises_the_energy(sizes: tuple[int, int, int, int], beta: float, threshold: float | None) -> None:
    patterns, state = drawn(*sizes)
    kind = option(threshold)
    before = energy(patterns, state, beta, **kind)
    want = [oracle.energy(patterns.numpy(), s, beta, threshold) for s in state.numpy()]
    np.testing.assert_allclose(before, want, rtol=1e-9, atol=1e-9)
    for _ in range(6):
        state = complete(patterns, state, beta, **kind).state
        after = energy(patterns, state, beta, **kind)
        assert (after <= before + 1e-9 * (1 + before.abs())).all()
        before = after


@settings(max_examples=50, deadline=None)
@given(SIZES, BETAS, THRESHOLDS)
def test_the_mass_is_whole_and_the_order_of_patterns_does_not_matter(
    sizes: tuple[int, int, int, int], beta: float, threshold: float | None
) -> None:
    patterns, cues = drawn(*sizes)
    order = torch.randperm(len(patterns), generator=torch.Generator().manual_seed(sizes[3]))
    one = complete(patterns, cues, beta, steps=3, **option(threshold))
    other = complete(patterns[order], cues, beta, steps=3, **option(threshold))
    torch.testing.assert_close(one.weights.sum(1) + one.no_match, torch.ones(len(cues), dtype=torch.float64))
    torch.testing.assert_close(one.weights[:, order], other.weights)
    torch.testing.assert_close(one.state, other.state)


def test_a_damaged_cue_calls_up_its_pattern() -> None:
    patterns = unit(40, 64)
    cues = patterns.clone()
    cues[:, 32:] = 0  # half of it is lost
    got = complete(patterns, torch.nn.functional.normalize(cues, dim=1), beta=32.0, steps=10, tol=1e-6, threshold=0.4)
    assert got.weights.argmax(1).tolist() == list(range(40))
    assert (got.no_match < 0.01).all()
    torch.testing.assert_close(got.state, patterns, atol=0.02, rtol=0)


def test_an_alien_cue_is_no_match() -> None:
    patterns = unit(6, 8)
    patterns[:, 7] = 0
    alien = torch.zeros(1, 8, dtype=torch.float64)
    alien[0, 7] = 1  # orthogonal to all
    got = complete(patterns, alien, beta=20.0, threshold=0.5)
    assert got.no_match.item() == pytest.approx(1 / (1 + 6 * math.exp(-10)))
    assert got.state.norm() < 1e-3
    assert complete(patterns, alien, beta=20.0).no_match.item() == pytest.approx(1 / 7)  # softmax_1: as like as any
    opposite = complete(patterns[:1], -patterns[:1], beta=20.0)
    assert opposite.no_match.item() > 0.999
    assert complete(patterns, alien, beta=20.0, no_match=False).no_match.item() == 0


def test_no_patterns_are_no_match() -> None:
    for kind in (True, False):
        got = complete(torch.zeros(0, 3), torch.ones(2, 3), beta=1.0, steps=4, no_match=kind)
        assert got.state.tolist() == [[0.0] * 3] * 2
        assert got.weights.shape == (2, 0)
        assert got.no_match.tolist() == [1.0, 1.0]
    assert energy(torch.zeros(0, 3), torch.ones(2, 3), 1.0).tolist() == [1.5, 1.5]
    assert energy(torch.zeros(0, 3), torch.ones(2, 3), 1.0, no_match=False).tolist() == [math.inf] * 2
    assert complete(torch.ones(4, 3), torch.ones(0, 3), beta=1.0, steps=2).weights.shape == (0, 4)


def test_what_is_not_finite_is_never_meant() -> None:
    patterns = torch.tensor([[1.0, 0.0], [math.nan, 1.0], [math.inf, 0.0], [0.0, 1.0]])
    got = complete(patterns, torch.tensor([[1.0, 0.0], [math.nan, 1.0]]), beta=2.0, steps=2)
    sound = complete(patterns[[0, 3]], torch.tensor([[1.0, 0.0]]), beta=2.0, steps=2)
    torch.testing.assert_close(got.weights[0, [0, 3]], sound.weights[0])
    torch.testing.assert_close(got.state[0], sound.state[0])
    assert got.weights[0, [1, 2]].tolist() == [0.0, 0.0]
    assert got.state[1].tolist() == [0.0, 0.0]
    assert got.no_match[1] == 1
    plain = complete(patterns, torch.tensor([[math.nan, 1.0]]), beta=2.0, no_match=False)
    assert [part.abs().sum().item() for part in plain] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("no_match", [True, False])
def test_similarities_of_any_size_are_told_apart(no_match: bool) -> None:
    huge = 1e30 * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])  # the products overflow float32
    got = complete(huge, huge[:1], beta=1e8, no_match=no_match)
    assert got.weights.tolist() == [[0.5, 0.0, 0.5]]
    assert got.no_match.item() == 0
    assert complete(-huge[:1], huge[:1], beta=1e8).no_match.item() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_scores_in_single(dtype: torch.dtype) -> None:
    patterns, cues = (200 * part.to(dtype) for part in drawn(5, 3, 8, 1))  # products beyond float16's 65504
    got = complete(patterns, cues, beta=1e-4, threshold=1e3)
    want = complete(patterns.double(), cues.double(), beta=1e-4, threshold=1e3)
    assert {part.dtype for part in got} == {dtype}
    room = 4 * torch.finfo(dtype).eps
    for ours, theirs, size in zip(got, want, (400.0, 1.0, 1.0), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=room * size, rtol=0)


def test_updates_go_on_to_a_fixed_point_each_cue_by_itself() -> None:
    patterns = unit(5, 4, seed=3)
    cues = torch.cat((patterns[:1], drawn(1, 3, 4, 5)[1]))
    together = complete(patterns, cues, beta=4.0, steps=500, tol=1e-3)
    for i in range(len(cues)):
        alone = complete(patterns, cues[i : i + 1], beta=4.0, steps=500, tol=1e-3)
        torch.testing.assert_close(together.state[i], alone.state[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.weights[i], alone.weights[0], rtol=0, atol=1e-12)
    fixed = complete(patterns, cues, beta=4.0, steps=500).state
    again = complete(patterns, fixed, beta=4.0).state
    torch.testing.assert_close(fixed, again, rtol=0, atol=1e-12)
    assert (together.state - fixed).norm(dim=1).max() > 1e-6  # the tolerance ended them earlier
    twice = complete(patterns, complete(patterns, cues, beta=4.0).state, beta=4.0)
    torch.testing.assert_close(complete(patterns, cues, beta=4.0, steps=2), twice)


def test_what_makes_no_sense_is_refused() -> None:
    patterns, cues = torch.ones(2, 3), torch.ones(1, 3)
    with pytest.raises(ValueError, match=r"patterns\[2, 3\] query\[1, 2\]"):
        complete(patterns, cues[:, :2], beta=1.0)
    with pytest.raises(ValueError, match="0 steps"):
        complete(patterns, cues, beta=1.0, steps=0)
    for beta, threshold in ((0.0, 0.0), (math.inf, 0.0), (math.nan, 0.0), (1.0, math.nan)):
        with pytest.raises(ValueError, match="beta"):
            energy(patterns, cues, beta, threshold=threshold)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_completion_is_the_same_on_cuda(dtype: torch.dtype) -> None:
    patterns, cues = (part.to(dtype) for part in drawn(50, 4, 16, 2))
    here, there = (complete(patterns.to(at), cues.to(at), 2.0, steps=3, threshold=0.5) for at in ("cpu", "cuda"))
    for ours, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(ours, theirs.cpu(), atol=2e-3, rtol=0)
