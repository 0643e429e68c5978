"""What a memory of fixed capacity keeps, by when and where: SAT's allocators, and the learned choice among them."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .shapes import sizes_of

Strategy = Literal["fifo", "lifo", "lvfo", "mvfo"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Item = TypeVar("Item")


def kept(places: Tensor, capacity: int, strategy: Strategy) -> Tensor:
    """Ascending int64 indices of the items that stay when all of `places` [T] went through an `Allocator`.

    min(T, capacity) of them: "fifo" the last, "lifo" the first, "lvfo" and "mvfo" by place. Places are whole numbers of
    any size and order. T = 0 or a capacity of 0 keeps none. A negative capacity, another strategy and places that are
    no whole numbers raise `ValueError`. O(T log capacity); "fifo" and "lifo" O(capacity).
    """
    count = sizes_of("places[T]", places)["T"]
    _check(capacity, strategy)
    if places.is_floating_point():
        raise ValueError(f"places are whole numbers, not {places.dtype}")
    stay = min(count, capacity)
    if strategy == "lifo":
        return torch.arange(stay, device=places.device)
    if strategy == "fifo":
        return torch.arange(count - stay, count, device=places.device)
    allocator = Allocator[int](capacity, strategy)
    stays = [True] * count
    for index, place in enumerate(places.tolist()):
        evicted = allocator.add(index, place)
        if evicted is not None:
            stays[evicted] = False
    return torch.tensor(stays, dtype=torch.bool, device=places.device).nonzero().flatten()


class Allocator(Generic[Item]):
    """A memory of fixed capacity that is full evicts one item to admit another (Cho, Yoon and Ahn 2024, "SAT").

    "fifo": the oldest. "lifo": the one that came last, which is the new one itself. "lvfo", "mvfo" (least, most
    visited, first out): the oldest of the place that holds the fewest, the most items, of equal places the lowest; they
    are counted before the new item is added. Memory O(capacity).
    """

    def __init__(self, capacity: int, strategy: Strategy) -> None:
        """`ValueError` for a negative capacity or another strategy."""
        _check(capacity, strategy)
        self.capacity, self.strategy = capacity, strategy
        self._rooms: dict[int, deque[Item]] = {}  # those that hold something, oldest first
        self._size = 0
        # (sign x items, place) of every room, among entries that no longer hold.
        self._heap: list[tuple[int, int]] = []
        self._sign = -1 if strategy == "mvfo" else 1

    def __len__(self) -> int:
        return self._size

    def add(self, item: Item, place: int) -> Item | None:
        """Admit an item; what had to go for it, which may be the item itself. O(log capacity), amortised."""
        if self._size >= self.capacity and (self.strategy == "lifo" or self.capacity == 0):
            return item
        evicted = self._evict() if self._size == self.capacity else None
        room = 0 if self.strategy == "fifo" else place
        self._rooms.setdefault(room, deque()).append(item)
        self._size += 1
        self._push(room)
        return evicted

    def _evict(self) -> Item:
        while True:
            filled, place = self._heap[0]
            if filled == self._sign * len(self._rooms.get(place, ())):
                break
            heapq.heappop(self._heap)
        item = self._rooms[place].popleft()
        self._size -= 1
        if self._rooms[place]:
            self._push(place)
        else:
            del self._rooms[place]
        return item

    def _push(self, place: int) -> None:
        if len(self._heap) > 4 * self.capacity + 64:  # mostly entries that no longer hold
            self._heap = [(self._sign * len(items), room) for room, items in self._rooms.items()]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (self._sign * len(self._rooms[place]), place))


class AdaptiveAllocator(nn.Module):
    """The allocator chosen for a task, learned from what its choices earned (AMA of SAT, Cho, Yoon and Ahn 2024).

    A contextual bandit: an MLP over what is known of the task gives the value of each of `STRATEGIES`, the choice is
    the best (with probability epsilon any), and the value of the choice is drawn to the reward that followed.
    """

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.values = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, len(STRATEGIES)))

    def forward(self, context: Tensor) -> Tensor:
        """What each strategy is expected to earn, [.., 4] of context [.., features]. O(features x hidden) each."""
        values: Tensor = self.values(context)
        return values

    @torch.no_grad()
    def choose(self, context: Tensor, epsilon: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Indices int64 [..] into `STRATEGIES`: the best, or with probability `epsilon` any, all as likely.

        Of equal values the first strategy; a NaN value is the worst. An `epsilon` outside [0, 1], or above 0 without a
        `generator`, raises `ValueError`.
        """
        if not 0 <= epsilon <= 1 or (epsilon > 0 and generator is None):
            raise ValueError(f"exploring takes a share in [0, 1] and a generator, not {epsilon} and {generator}")
        values = self(context)  # [.., 4]
        best: Tensor = values.masked_fill(values.isnan(), -torch.inf).argmax(dim=-1)
        if generator is None:
            return best
        shape, device = best.shape, generator.device
        explores = torch.rand(shape, generator=generator, device=device) < epsilon
        other = torch.randint(len(STRATEGIES), shape, generator=generator, device=device)
        return torch.where(explores.to(best.device), other.to(best.device), best)

    def loss(self, context: Tensor, chosen: Tensor, reward: Tensor) -> Tensor:
        """Mean squared error of the values of the strategies chosen [N], in context [N, features], to reward [N].

        N = 0 gives 0. `ValueError` names shapes that do not fit.
        """
        if not sizes_of("context[N,F] chosen[N] reward[N]", context, chosen, reward)["N"]:
            return self.forward(context).sum()
        values = self.forward(context).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        return F.mse_loss(values, reward.to(values.dtype))


def annealed(step: int, steps: int, start: float = 1.0, end: float = 0.2) -> float:
    """Epsilon at a step of `steps`: from `start` in a line to `end`, then `end`. SAT explores from 1.0 to 0.2."""
    if steps <= 0 or step < 0:
        raise ValueError(f"no step {step} of {steps}")
    return start + (end - start) * min(1.0, step / steps)


def _check(capacity: int, strategy: str) -> None:
    if capacity < 0 or strategy not in STRATEGIES:
        raise ValueError(f"no allocator {strategy} of capacity {capacity}: {', '.join(STRATEGIES)}, of 0 or more")
