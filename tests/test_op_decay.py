"""The forgetting curve, base-level activation exact and from the latest uses, and HEMA's age weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.decay import (
    CYCLE_S,
    activation,
    activation_bounds,
    age_s,
    age_weights,
    recent_activation,
    reinforced,
    retention,
)
from tests.oracles import decay as oracle

AGES = st.one_of(st.floats(0, 10), st.floats(0, 1e9), st.sampled_from([0.0, 1e-9, CYCLE_S, 1.0, 1.0, 3.15e9]))
HISTORIES = st.lists(AGES, min_size=1, max_size=40)
DECAYS = st.sampled_from([0.01, 0.3, 0.5, 0.8, 0.99])


def f64(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def state_of(history: Sequence[float], k: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is kept of a history: its k latest uses, filled up with infinity, their number, the age of the first."""
    ages = sorted(history)
    recent = (ages + [math.inf] * k)[:k]
    return f64(recent).reshape(1, k), torch.tensor([len(ages)]), f64(ages[-1])


def test_ages_are_the_exact_difference_of_nanoseconds() -> None:
    now = 1_700_000_000_000_000_000
    assert age_s(torch.tensor([now - 1, now - 1_500_000_000, now]), now).tolist() == [1e-9, 1.5, 0.0]
    with pytest.raises(ValueError, match="an age is negative"):
        age_s(torch.tensor([now + 1]), now)
    with pytest.raises(ValueError, match="int64 nanoseconds"):
        age_s(torch.tensor([1.0]), now)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(1e-3, 1e6)), max_size=8))
def test_retention_is_the_exponential_of_time_over_strength(memories: list[tuple[float, float]]) -> None:
    elapsed, strength = (f64(*column) for column in zip(*memories, strict=True)) if memories else (f64(), f64())
    want = [oracle.retention(t, s) for t, s in memories]
    torch.testing.assert_close(retention(elapsed, strength), f64(*want))


def test_retention_at_the_edges() -> None:
    elapsed = torch.tensor([0.0, math.inf, math.nan, 5.0, math.inf])
    strength = torch.tensor([1.0, 1.0, 1.0, math.inf, math.inf])
    assert retention(elapsed, strength).tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert retention(torch.tensor([3, 0]), torch.tensor([1, 2])).dtype == torch.float64
    with pytest.raises(ValueError, match="a strength is above 0"):
        retention(torch.ones(2), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="negative"):
        retention(-torch.ones(1), torch.ones(1))
    with pytest.raises(ValueError, match=r"elapsed\[2\] strength\[3\]"):
        retention(torch.ones(2), torch.ones(3))


def test_a_recall_restarts_the_clock_and_slows_the_forgetting() -> None:
    elapsed, strength = f64(2.0, 2.0), f64(1.0, 1.0)
    after, stronger = reinforced(elapsed, strength, torch.tensor([True, False]))
    assert after.tolist() == [0.0, 2.0]
    assert stronger.tolist() == [2.0, 1.0]
    assert elapsed.tolist() == [2.0, 2.0]  # the arguments are left as they were
    later = retention(after + 2.0, stronger)
    assert later.tolist() == pytest.approx([math.exp(-1), math.exp(-4)])
    assert reinforced(elapsed, strength, torch.tensor([True, True]), gain=0.5)[1].tolist() == [1.5, 1.5]
    with pytest.raises(ValueError, match="recalled is bool"):
        reinforced(elapsed, strength, torch.ones(2))
    with pytest.raises(ValueError, match="weakens"):
        reinforced(elapsed, strength, torch.tensor([True, True]), gain=-1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(HISTORIES, min_size=1, max_size=4), DECAYS)
def test_activation_is_the_log_of_the_sum_of_powers(histories: list[list[float]], d: float) -> None:
    longest = max(map(len, histories))
    ages = f64(*([*h, *[math.inf] * (longest - len(h))] for h in histories))
    want = [oracle.activation(h, d) for h in histories]
    torch.testing.assert_close(activation(ages, d), f64(*want), rtol=1e-12, atol=1e-12)


def test_activation_of_no_use_is_minus_infinity_and_nan_is_no_use() -> None:
    assert activation(torch.zeros(2, 0)).tolist() == [-math.inf, -math.inf]
    assert activation(torch.zeros(0, 3)).shape == (0,)
    assert activation(f64([math.nan, 4.0], [math.nan, math.inf])).tolist() == [-math.log(2), -math.inf]
    assert activation(torch.tensor([[4]])).dtype == torch.float64
    assert activation(torch.tensor([[4.0]], dtype=torch.float16)).dtype == torch.float16


def test_a_use_just_now_counts_as_a_cycle_old() -> None:
    assert activation(f64([0.0], [CYCLE_S], [1e-3])).tolist() == pytest.approx([-0.5 * math.log(CYCLE_S)] * 3)
    assert activation(f64([0.0]), floor=1.0).tolist() == [0.0]
    with pytest.raises(ValueError, match="floor of 0"):
        activation(f64([1.0]), floor=0.0)
    with pytest.raises(ValueError, match="negative"):
        activation(f64([-1e-9]))
    with pytest.raises(ValueError, match="does not decay"):
        activation(f64([1.0]), d=0.0)
    with pytest.raises(ValueError, match=r"ages\[2\] given where ages\[M,N\]"):
        activation(torch.ones(2))


@settings(max_examples=100, deadline=None)
@given(HISTORIES, st.integers(0, 6), DECAYS)
def test_activation_from_the_latest_uses_is_petrovs_and_within_its_stated_error(
    history: list[float], k: int, d: float
) -> None:
    kept = state_of(history, k)
    got, exact = recent_activation(*kept, d).item(), oracle.activation(history, d)
    assert got == pytest.approx(oracle.petrov(history, k, d), abs=1e-6)
    low, high = (bound.item() for bound in activation_bounds(*kept, d))
    assert low - 1e-9 <= exact <= high + 1e-9
    assert got - exact <= -math.log1p(-d) + 1e-9
    if k:
        assert exact - got <= math.log(max(len(history), k) / k) + 1e-9
    else:
        assert exact - got <= d * math.log(max(*history, CYCLE_S) / CYCLE_S) + math.log1p(-d) + 1e-9
    if len(history) <= k:
        assert got == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_the_bounds_are_reached(k: int) -> None:
    recent = [1.0, 2.0, 4.0][:k]
    least = recent[-1] if recent else CYCLE_S
    early, late = [*recent, *[900.0] * 7], [*recent, *[least] * 6, 900.0]
    for history, side in ((early, 0), (late, 1)):
        bound = activation_bounds(*state_of(history, k))[side].item()
        assert bound == pytest.approx(oracle.activation(history), abs=1e-12)


@pytest.mark.parametrize(("k", "stated"), [(1, 0.08), (3, 0.03), (10, 0.01)])
def test_even_uses_err_by_no_more_than_is_stated(k: int, stated: float) -> None:
    worst = 0.0
    for n in (1, 2, 3, 5, 10, 30, 100, 1000):
        for lag in (1, 2, 5, 30, 1e4):
            history = [(j + lag) * 100.0 for j in range(n)]
            worst = max(worst, abs(recent_activation(*state_of(history, k)).item() - oracle.activation(history)))
    assert stated / 2 < worst <= stated


def test_without_latest_uses_it_is_optimised_learning() -> None:
    got = recent_activation(torch.zeros(2, 0), torch.tensor([9, 1]), torch.tensor([400.0, 0.0]), d=0.3)
    assert got.tolist() == pytest.approx(
        [math.log(9 / 0.7) - 0.3 * math.log(400), -math.log(0.7) - 0.3 * math.log(CYCLE_S)]
    )


def test_memories_stand_side_by_side_and_an_unused_one_is_forgotten() -> None:
    histories = [[5.0], [1.0, 3.0, 3.0, 80.0], [2.0, 2.0, 2.0, 2.0]]
    states = [state_of(h, 2) for h in histories]
    recent, count, life = (torch.cat(column) for column in zip(*states, strict=True))
    recent = torch.cat((recent.flip(1), f64([math.nan, math.inf])))  # in any order
    count, life = torch.cat((count, torch.tensor([0]))), torch.cat((life, f64(math.nan)))
    want = [oracle.petrov(h, 2) for h in histories] + [-math.inf]
    assert recent_activation(recent, count, life).tolist() == pytest.approx(want, abs=1e-12)
    assert activation_bounds(recent, count, life).high[3] == -math.inf
    assert recent_activation(recent[:0], count[:0], life[:0]).shape == (0,)


def test_what_no_history_can_have_is_refused() -> None:
    two, life = f64([1.0, 4.0]), f64(9.0)
    with pytest.raises(ValueError, match="a count is less"):
        recent_activation(two, torch.tensor([1]), life)
    with pytest.raises(ValueError, match="a lifetime is less"):
        activation_bounds(two, torch.tensor([3]), f64(2.0))
    with pytest.raises(ValueError, match="0 < d < 1"):
        recent_activation(two, torch.tensor([3]), life, d=1.0)
    with pytest.raises(ValueError, match=r"count\[2\]"):
        recent_activation(two, torch.tensor([3, 3]), life)
    with pytest.raises(ValueError, match="negative"):
        recent_activation(-two, torch.tensor([3]), life)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans()), max_size=8), st.booleans())
def test_the_age_weight_is_hemas(memories: list[tuple[float, bool]], published: bool) -> None:
    ages = f64(*(age for age, _ in memories))
    retrieved = torch.tensor([flag for _, flag in memories], dtype=torch.bool)
    want = [oracle.salience(a, r, 2.0, 0.01, 0.3, published) for a, r in memories]
    torch.testing.assert_close(age_weights(ages, retrieved, 2.0, 0.01, 0.3, published), f64(*want))


def test_what_was_retrieved_weighs_more_and_as_printed_less() -> None:
    ages, retrieved = torch.tensor([100.0, 100.0, math.inf, math.nan]), torch.tensor([True, False, False, True])
    fresh = math.exp(-0.2)
    assert age_weights(ages, retrieved).tolist() == pytest.approx([fresh + 0.5, fresh, 0.0, 0.0])
    assert age_weights(ages, retrieved, published=True).tolist() == pytest.approx([fresh, fresh + 0.5, 0.5, 0.0])
    with pytest.raises(ValueError, match="retrieved is bool"):
        age_weights(ages, ages)
    with pytest.raises(ValueError, match="are 0 or more"):
        age_weights(ages, retrieved, rate=-1.0)
    with pytest.raises(ValueError, match="negative"):
        age_weights(-ages, retrieved)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("k", [0, 3])
def test_decay_is_the_same_on_cuda(k: int) -> None:
    kept = state_of([1.0, 2.0, 5.0, 60.0, 900.0], k)
    got = recent_activation(*(part.cuda() for part in kept))
    torch.testing.assert_close(got.cpu(), recent_activation(*kept))
    on, off = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    torch.testing.assert_close(age_weights(on.cuda(), off.cuda()).cpu(), age_weights(on, off))
    torch.testing.assert_close(retention(on.cuda(), on.cuda()).cpu(), retention(on, on))
