"""What stays of a walk through places, against lists; and that the choice of an allocator is learned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.allocate import STRATEGIES, AdaptiveAllocator, Allocator, Strategy, annealed, kept
from tests.oracles import allocate as oracle

WALKS = st.lists(st.integers(-3, 4), max_size=40)
CAPACITIES = st.integers(0, 12)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


@each_strategy
@settings(max_examples=80, deadline=None)
@given(walk=WALKS, capacity=CAPACITIES)
def test_what_is_kept_is_what_the_lists_keep(strategy: Strategy, walk: list[int], capacity: int) -> None:
    assert kept(torch.tensor(walk, dtype=torch.int64), capacity, strategy).tolist() == oracle.kept(
        walk, capacity, strategy
    )


@each_strategy
@settings(max_examples=50, deadline=None)
@given(walk=WALKS, capacity=CAPACITIES)
def test_an_allocator_never_exceeds_its_capacity_and_ends_where_kept_does(
    strategy: Strategy, walk: list[int], capacity: int
) -> None:
    allocator = Allocator[int](capacity, strategy)
    held: set[int] = set()
    for index, place in enumerate(walk):
        held.add(index)
        evicted = allocator.add(index, place)
        if evicted is not None:
            held.remove(evicted)
        assert len(allocator) == len(held) == min(index + 1, capacity)
    assert sorted(held) == kept(torch.tensor(walk, dtype=torch.int64), capacity, strategy).tolist()


@settings(max_examples=50, deadline=None)
@given(walk=WALKS, capacity=CAPACITIES)
def test_fifo_keeps_the_last_and_lifo_the_first(walk: list[int], capacity: int) -> None:
    places, everything = torch.tensor(walk, dtype=torch.int64), list(range(len(walk)))
    assert kept(places, capacity, "fifo").tolist() == everything[max(0, len(walk) - capacity) :]
    assert kept(places, capacity, "lifo").tolist() == everything[:capacity]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_the_most_visited_place_gives_way_to_the_rare_one(dtype: torch.dtype) -> None:
    walk = torch.tensor([7, 0, 0, 0, 0, 0, 0], dtype=dtype)
    assert kept(walk, 3, "mvfo").tolist() == [0, 5, 6]
    assert kept(walk, 3, "lvfo").tolist() == [4, 5, 6]


@each_strategy
def test_a_long_stream_leaves_no_more_than_capacity_behind(strategy: Strategy) -> None:
    allocator = Allocator[int](5, strategy)
    places = torch.randint(0, 50, (3000,), generator=torch.Generator().manual_seed(0)).tolist()
    held: set[int] = set()
    for index, place in enumerate(places):
        evicted = allocator.add(index, place)
        held = (held | {index}) - {evicted}
    assert len(allocator._heap) <= 4 * 5 + 64 + 1
    assert sum(len(room) for room in allocator._rooms.values()) == 5
    assert sorted(held) == oracle.kept(places, 5, strategy)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_strategy
def test_indices_come_back_on_the_device_of_the_places(strategy: Strategy) -> None:
    got = kept(torch.tensor([1, 2, 1, 1], device="cuda"), 2, strategy)
    assert got.device.type == "cuda"
    assert got.tolist() == oracle.kept([1, 2, 1, 1], 2, strategy)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"places\[1, 3\]"):
        kept(torch.zeros(1, 3, dtype=torch.int64), 2, "fifo")
    with pytest.raises(ValueError, match="whole numbers"):
        kept(torch.tensor([0.0, float("nan")]), 2, "mvfo")
    with pytest.raises(ValueError, match="capacity -1"):
        kept(torch.zeros(3, dtype=torch.int64), -1, "fifo")
    with pytest.raises(ValueError, match="allocator lru"):
        Allocator(3, "lru")  # type: ignore[arg-type]


# The learned choice


def episode(kind: int, generator: torch.Generator, capacity: int = 6) -> tuple[Tensor, Tensor]:
    """What the task is, and what each strategy earns by it: whether the memory still holds what is asked for.

    The walk lingers in one place, but for a look into three others. Kind 0 asks for one of those, kind 1 for one of the
    last items.
    """
    lingering = torch.zeros(12, dtype=torch.int64)
    walk = torch.cat([lingering, 1 + torch.randperm(3, generator=generator), lingering])
    back = int(torch.randint(0, capacity, (1,), generator=generator))
    asked = len(lingering) + back % 3 if kind == 0 else len(walk) - 1 - back
    earned = [float(asked in kept(walk, capacity, strategy).tolist()) for strategy in STRATEGIES]
    return torch.nn.functional.one_hot(torch.tensor(kind), 2).float(), torch.tensor(earned)


def episodes(kinds: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """[N, 2] and [N, 4] of as many episodes."""
    contexts, earned = zip(*(episode(kind, generator) for kind in kinds), strict=True)
    return torch.stack(contexts), torch.stack(earned)


def test_the_choice_is_learned_and_earns_more_than_any_one_strategy() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    bandit = AdaptiveAllocator(features=2, hidden=16)
    optimiser = torch.optim.Adam(bandit.parameters(), lr=1e-2)
    for step in range(120):
        context, earned = episodes(torch.randint(0, 2, (16,), generator=generator).tolist(), generator)
        chosen = bandit.choose(context, annealed(step, 100), generator)
        loss = bandit.loss(context, chosen, earned.gather(1, chosen[:, None])[:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    context, earned = episodes([0, 1] * 100, generator)
    learned = earned.gather(1, bandit.choose(context)[:, None]).mean().item()
    best_fixed = earned.mean(dim=0).max().item()
    assert learned > 0.95
    assert learned > best_fixed + 0.2


def values_as_given() -> AdaptiveAllocator:
    """Its context is the values themselves."""
    bandit = AdaptiveAllocator(features=4)
    bandit.values = torch.nn.Sequential(torch.nn.Identity())
    return bandit


def test_the_best_is_chosen_and_of_equals_the_first_and_never_nan() -> None:
    nan = float("nan")
    values = [[0.0, 2.0, 1.0, 0.5], [3.0, 3.0, 3.0, 3.0], [nan, -1.0, nan, -2.0], [nan] * 4]
    assert values_as_given().choose(torch.tensor(values)).tolist() == [1, 0, 1, 0]
    assert values_as_given().choose(torch.tensor(values[0])).item() == 1


def test_exploring_takes_each_strategy_as_often_as_epsilon_says() -> None:
    bandit, context = values_as_given(), torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(8000, 4)
    chosen = bandit.choose(context, 0.4, torch.Generator().manual_seed(0))
    shares = chosen.bincount(minlength=4) / len(chosen)
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.7, 0.1, 0.1]), rtol=0, atol=0.02)
    assert torch.equal(chosen, bandit.choose(context, 0.4, torch.Generator().manual_seed(0)))


def test_the_loss_is_the_squared_error_of_the_chosen_values_alone() -> None:
    torch.manual_seed(0)
    bandit = AdaptiveAllocator(features=3)
    context, chosen, reward = torch.randn(2, 3), torch.tensor([2, 0]), torch.tensor([1.0, -1.0])
    values = bandit(context)
    want = ((values[0, 2] - 1) ** 2 + (values[1, 0] + 1) ** 2) / 2
    torch.testing.assert_close(bandit.loss(context, chosen, reward), want)
    assert bandit.loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.zeros(0)).item() == 0


def test_epsilon_falls_in_a_line_and_stays() -> None:
    assert [annealed(step, 8) for step in (0, 2, 4, 8, 100)] == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])
    for step, steps in ((-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="no step"):
            annealed(step, steps)


def test_exploring_without_a_generator_and_shapes_that_do_not_fit_are_refused() -> None:
    bandit = AdaptiveAllocator(features=3)
    with pytest.raises(ValueError, match="generator"):
        bandit.choose(torch.zeros(3), 0.5)
    with pytest.raises(ValueError, match="share"):
        bandit.choose(torch.zeros(3), 1.5, torch.Generator())
    with pytest.raises(ValueError, match=r"chosen\[3\]"):
        bandit.loss(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), torch.zeros(2))
