"""Which way to keep the past answers best at equal bytes: `python -m benchmarks.consolidation --seed 1 [--json]`.

A stream of revisited scenes: someone walks at random between places, some of which are near each other and visited
often, others seldom; a few are new until late. A place has several views, which drift a little with every visit
(light, things that moved); the frames of a visit are noisy pictures of views. A visit is an event.

Afterwards a noisy view of an earlier moment is the query, and what long-term memory holds most like it the answer:
`place` is right where the answer's event was at the same place, `event` where it was that very visit. Moments are
drawn evenly over all frames (`place`, `event`), or evenly over the places (`any_place`): the rarely seen count as much.

Every way gets as many prototypes as fit into the same bytes at their peak, keys and contributions of events counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mneme.memory.consolidations import ATTENTIVE, Bounds
from mneme.memory.longterm import Bank, LongTermSettings
from mneme.memory.prototypes import BYTES, Candidates
from mneme.memory.settings import Way
from mneme.memory.token_bank import candidates_of
from mneme.records import NS_PER_S, Event, Percept

from .machine import machine

DIM = 64
KEY = ("vision", "scenes")


@dataclass(frozen=True, slots=True)
class Walk:
    """What is generated."""

    visits: int = 200
    places: int = 40
    views: int = 4
    drift: float = 0.12
    """Length of a view's random step from one visit to the next."""
    noise: float = 0.35
    """Length of a frame's own noise: two frames of one view have a cosine of about 0.89."""
    query_noise: float = 0.5
    queries: int = 1500


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    event: Event
    place: int
    percepts: list[Percept]


def walk(seed: int, settings: Walk) -> list[Visit]:
    """The stream: the same for the same seed."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((settings.places, 1, DIM))  # the views of a place are somewhat alike
    views = _unit(0.5 * _unit(common) + _unit(rng.standard_normal((settings.places, settings.views, DIM))))
    at, t_ns, visits = 0, 0, []
    for ordinal in range(settings.visits):
        # Mostly a step to a place near by, now and then anywhere; the world opens up as the walk goes on.
        known = max(8, settings.places * (ordinal + 1) // settings.visits)
        at = int(rng.integers(known)) if rng.random() < 0.15 else int(abs(at + rng.integers(-3, 4))) % known
        views[at] = _unit(views[at] + settings.drift * _unit(rng.standard_normal(views[at].shape)))
        frames = int(rng.integers(6, 40))
        begins, percepts = t_ns, []
        for _ in range(frames):
            seen = views[at][int(rng.integers(settings.views))]
            vector = _unit(seen + settings.noise * _unit(rng.standard_normal(DIM))).astype(np.float32)
            percepts.append(Percept("walk", "vision", t_ns, t_ns + 1, space=KEY[1], vector=vector))
            t_ns += NS_PER_S // 2
        visits.append(Visit(Event("walk", begins, t_ns, ordinal), at, percepts))
    return visits


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    event: str
    place: int
    vector: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quality:
    """One row of the table."""

    consolidation: str
    events: int
    """That may feed one prototype."""
    prototypes: int
    """As many as fit into the bytes."""
    bytes: int
    """Of all vectors held, at the peak."""
    place: float
    event_itself: float
    any_place: float
    ms_an_event: float


def remembered(tokens: list[Candidates], settings: LongTermSettings) -> tuple[Bank, int, float]:
    """Long-term memory after the walk, its peak bytes, milliseconds an event."""
    bank, peak, begun = Bank(), 0, time.perf_counter()
    for new in tokens:
        bank = bank.fed(new, settings)
        peak = max(peak, bank.bytes)
    return bank, peak, 1e3 * (time.perf_counter() - begun) / len(tokens)


def fitted(name: Way, tokens: list[Candidates], budget: int, bounds: Bounds) -> tuple[int, Bank, int, float]:
    """(prototypes, memory, peak, ms an event) with as many prototypes as fit into so many bytes, within 2%."""
    low, high = 1, budget // (BYTES * DIM)
    tried, best = high, None
    while best is None or high - low > max(1, low // 50):
        bank, peak, ms = remembered(tokens, LongTermSettings(name, replace(bounds, prototypes=tried)))
        if peak <= budget:
            low, best = tried, (tried, bank, peak, ms)
            if low == high:
                break
        else:
            high = tried - 1
        guess = round(tried * budget / peak)  # the bytes go nearly with the prototypes
        tried = min(max(guess, low + 1), high) if high > low else low
    return best


def measured(name: Way, visits: list[Visit], queries: list[Query], budget: int, bounds: Bounds) -> Quality:
    """The quality of one consolidation within so many bytes."""
    tokens = [new for visit in visits if (new := candidates_of(visit.event.id, visit.percepts)) is not None]
    count, bank, peak, ms = fitted(name, tokens, budget, bounds)
    place_of = {visit.event.id: visit.place for visit in visits}
    found = [bank.nearest(query.vector)[0][0] for query in queries]
    place = [place_of[event] == query.place for event, query in zip(found, queries, strict=True)]
    of_place: dict[int, list[bool]] = {}
    for query, right in zip(queries, place, strict=True):
        of_place.setdefault(query.place, []).append(right)
    return Quality(
        name,
        bounds.events,
        count,
        peak,
        place=float(np.mean(place)),
        event_itself=float(np.mean([event == query.event for event, query in zip(found, queries, strict=True)])),
        any_place=float(np.mean([np.mean(each) for each in of_place.values()])),
        ms_an_event=ms,
    )


def asked(seed: int, visits: list[Visit], settings: Walk) -> list[Query]:
    """Noisy views of earlier moments, drawn evenly over all frames."""
    rng = np.random.default_rng(seed + 1)
    moments = [(visit, percept) for visit in visits for percept in visit.percepts]
    chosen = [moments[i] for i in rng.choice(len(moments), min(settings.queries, len(moments)), replace=False)]
    return [
        Query(v.event.id, v.place, _unit(p.vector + settings.query_noise * _unit(rng.standard_normal(DIM))))
        for v, p in chosen
        if p.vector is not None
    ]


def table(
    seed: int,
    budget: int,
    settings: Walk | None = None,
    bounds: Bounds | None = None,
    events: Sequence[int] = (1, 4),
) -> list[Quality]:
    """Every consolidation at the same bytes; those that merge with so many events to a prototype, at most."""
    settings = settings or Walk()
    visits = walk(seed, settings)
    queries = asked(seed, visits, settings)
    plain = bounds or Bounds()
    return [
        measured(way, visits, queries, budget, replace(plain, events=most))
        for way in get_args(Way)
        for most in (events if way in ATTENTIVE else events[:1])
    ]


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kib", type=int, default=24, help="bytes of vectors that each may hold")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = table(given.seed, given.kib * 1024)
    if given.json:
        told = [{k: getattr(row, k) for k in row.__dataclass_fields__} for row in rows]
        print(json.dumps({"machine": machine(), "seed": given.seed, "kib": given.kib, "ways": told}))
        return
    print(f"{machine()}; seed {given.seed}; {given.kib} KiB each")
    print("consolidation  events  prototypes  bytes  place@1  event@1  place@1, places even  ms an event")
    for q in rows:
        print(
            f"{q.consolidation:13}  {q.events:6}  {q.prototypes:10}  {q.bytes:5}  {q.place:7.3f}  "
            f"{q.event_itself:7.3f}  {q.any_place:20.3f}  {q.ms_an_event:.1f}"
        )


if __name__ == "__main__":
    main()
