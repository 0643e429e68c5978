"""Memory tokens: what a policy or a VLM is handed of a memory, working and recalled, under one budget.

The rule, of which nothing is left to chance:
- Half of the budget (the larger half) is for the working tier: the open event or, where none is open, the last one.
  The other half is for the past: what a query recalls or, without a query, what the earlier events hold, condensed.
  What one half cannot use flows to the other. What neither can use is padding, masked.
- Coverage before detail: every percept gives its vector before any gives all of its tokens.
- Working: the newest percepts stand for themselves in half of the share; the older ones are merged with their
  neighbours in time (`operators/merge.py`), weights carried, into the other half. Detail goes to the newest first.
- Recalled: half of the share is for vectors, of which three in ten are the hits' neighbours (contiguity, as EM-LLM);
  the rest is detail of the best hits, and what that leaves over more hits.
- Condensed (`past.py`): the prototypes of long-term memory, or the events' own frames where these fit or a stream has
  no prototypes; every event that is held before any twice, the strongest and then the newest first. Where there are
  more than tokens, neighbours in time of a stream are merged.
Tokens stand in order of time. Each names the events it came from, with shares that add up to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..records import Event, Lane, MemoryTokens, Percept, Space, Vector
from .condense import Token, merged_by_stream
from .frames import Frame, FrameCache, LaneFrames
from .past import condensed, plain
from .store import StoredSnapshot

MOST = 65_536
"""Tokens that can be asked for."""
NEIGHBOURS = 0.3
"""Share of the recalled vectors that is for neighbours of hits (EM-LLM's contiguity)."""


def gather(
    snapshot: StoredSnapshot,
    *,
    lane: Lane,
    space: Space,
    budget: int,
    hits: Sequence[Percept] | None = None,
    stream: str | None = None,
    pending: Iterable[Percept] = (),
    cache: FrameCache | None = None,
) -> MemoryTokens:
    """The memory as `budget` tokens of one lane and space: tokens float32[budget, space.dim], padded with zeros.

    hits: what a query recalled, best first, of any lane: where it is another lane, what this one held meanwhile counts.
    None: no query. stream: look only there. pending: percepts that a recorder of this process has not stored yet;
    they are working memory too. cache: what an earlier call on the same memory read. `budget` is 1 to `MOST`.
    """
    if not 1 <= budget <= MOST:
        raise ValueError(f"a budget is 1 to {MOST} tokens, not {budget}")
    cache = FrameCache() if cache is None else cache
    frames = LaneFrames(snapshot, lane, space, stream, pending, cache)
    working = frames.open
    last = {} if working else {event.stream: event for event in frames.events}
    if not working:
        working = [frame for event in last.values() for frame in frames.of_event(event)]
    earlier = [event for event in frames.events if last.get(event.stream) is not event]
    wanted = sum(frame.count for frame in working)
    found = None if hits is None else _found(frames, hits, budget)
    share, rest = halves(budget, wanted, _wanted(frames, earlier, budget) if found is None else 0)
    if found is not None:
        share = min(wanted, budget - budget // 2)
        while True:  # what stands in the working tier is not recalled too; what that leaves flows to the working tier
            alone = {frame.id for frame in _split(working, share)[1]}
            found = found.without(alone)
            before, (share, rest) = share, halves(budget, wanted, found.wanted)
            if share == before:
                break

    older, newest = _split(working, share)
    held = (lane, space.name, frames.takes)
    made_of = ("working", *held, share, tuple((frame.stream, frame.id) for frame in older))
    blended = cache.once(made_of, lambda: merged_by_stream([_plain(frame) for frame in older], share - len(newest)))
    rows = [("working", token) for token in blended + _shown(frames, newest, share - len(blended))]
    rest = max(rest, budget - len(rows))  # too little for the detail of one more percept is enough for the past
    if found is None:
        stated = tuple((e.stream, e.t0_ns, e.t1_ns, e.ordinal, e.strength) for e in earlier)  # ids take a hash each
        key = ("long", *held, rest, stated)
        rows += [("long", token) for token in cache.once(key, lambda: _past(frames, earlier, rest))]
    else:
        rows += [("recalled", token) for token in _recalled(frames, found, rest)]
    rows.sort(key=lambda row: (row[1].t_ns, row[1].stream))
    return _padded(rows, lane, space, budget)


def _past(frames: LaneFrames, events: Sequence[Event], slots: int) -> list[Token]:
    """What events hold, in so many tokens; what each stands for itself in, with its detail as far as that goes."""
    held = list(condensed(frames, events, slots))
    alone = [each for each in held if isinstance(each, Frame)]
    return _shown(frames, alone, slots) if alone else [each for each in held if isinstance(each, Token)]


def halves(budget: int, working: int, past: int) -> tuple[int, int]:
    """What the working tier and the past get of a budget of which they could use so much."""
    half = budget - budget // 2
    share = min(working, max(half, budget - past))
    return share, min(past, budget - share)


def _plain(frame: Frame, vector: Vector | None = None) -> Token:
    return plain(frame) if vector is None else replace(plain(frame), vector=vector)


def _shown(frames: LaneFrames, shown: Sequence[Frame], budget: int) -> list[Token]:
    """Each frame's vector or, in their order and as far as the budget goes, all of its tokens in its stead."""
    spare = budget - len(shown)
    whole = []
    for frame in shown:
        if 1 < frame.count <= spare + 1:
            whole.append(frame)
            spare -= frame.count - 1
    detail = frames.tokens_of(whole)
    rows = []
    for frame in shown:
        tokens = detail.get(frame.id)
        each = [None] if tokens is None else np.asarray(tokens, dtype=np.float32)
        rows += [_plain(frame, vector) for vector in each]
    return rows


def _split(working: Sequence[Frame], share: int) -> tuple[list[Frame], list[Frame]]:
    """The older frames, to be merged, in order of time; the newest, which stand for themselves, newest first."""
    newest = sorted(working, key=lambda frame: (-frame.t_ns, frame.stream, frame.id))
    alone = len(newest) if len(newest) <= share else share - share // 2
    return sorted(newest[alone:], key=lambda frame: (frame.stream, frame.t_ns, frame.id)), newest[:alone]


def _wanted(frames: LaneFrames, events: Sequence[Event], budget: int) -> int:
    """Tokens that events could fill; of more events than the budget has tokens, only that many are counted."""
    if len(events) >= budget:
        return budget
    return sum(frame.count for event in events for frame in frames.of_event(event))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a query recalled, best first, and what stands beside the best of it in time."""

    hits: list[Frame]
    beside: list[Frame]

    @property
    def wanted(self) -> int:
        return sum(frame.count for frame in self.hits + self.beside)

    def without(self, ids: set[str]) -> _Found:
        return _Found([f for f in self.hits if f.id not in ids], [f for f in self.beside if f.id not in ids])


def _found(frames: LaneFrames, hits: Sequence[Percept], budget: int) -> _Found:
    """Frames that a query recalled, each once, no more than the budget, and neighbours for a share of them."""
    own = {hit.id: hit.stream for hit in hits if hit.lane == frames.lane}
    known = {frame.id: frame for frame in frames.by_id(list(own), own)}
    found: dict[str, Frame] = {}
    for hit in hits:
        held = [known[hit.id]] if hit.id in known else [] if hit.id in own else _meanwhile(frames, hit)
        found |= {frame.id: frame for frame in held if frame.id not in found}
        if len(found) >= budget:
            break
    beside: dict[str, Frame] = {}
    most = _neighbours_of(budget)
    for frame in found.values():
        if len(beside) >= most:
            break
        beside |= {near.id: near for near in _neighbours(frames, frame) if near.id not in found}
    return _Found(list(found.values())[:budget], list(beside.values())[:most])


def _neighbours_of(share: int) -> int:
    """How many neighbours stand among the vectors of a share."""
    return int(NEIGHBOURS * (share - share // 2))


def _meanwhile(frames: LaneFrames, hit: Percept) -> list[Frame]:
    """What this lane held while something happened in another; where that is nothing, what its event held.

    A percept holds until the next one of its event: pattern separation keeps only what is new.
    """
    event = frames.around(hit.t0_ns, hit.stream)
    during = [frame for frame in event if hit.t0_ns < frame.t_ns < hit.t1_ns]
    before = [frame for frame in event if frame.t_ns <= hit.t0_ns]
    return before[-1:] + during or event


def _recalled(frames: LaneFrames, found: _Found, share: int) -> list[Token]:
    if found.wanted <= share:
        return _shown(frames, found.hits + found.beside, share)
    vectors = share - share // 2
    beside = found.beside[: _neighbours_of(share)]
    shown = found.hits[: vectors - len(beside)] + beside
    spare = share - len(shown)
    for frame in shown:  # what detail leaves over is for more hits
        spare -= frame.count - 1 if frame.count - 1 <= spare else 0
    more = [frame for frame in found.hits + found.beside if frame not in shown][:spare]
    return _shown(frames, shown, share - len(more)) + [_plain(frame) for frame in more]


def _neighbours(frames: LaneFrames, frame: Frame) -> list[Frame]:
    """The frame after it and the one before it, in its event."""
    event = frames.around(frame.t_ns, frame.stream)
    at = next((i for i, other in enumerate(event) if other.id == frame.id), None)
    return [] if at is None else event[at + 1 : at + 2] + event[max(at - 1, 0) : at]


def _padded(rows: Sequence[tuple[str, Token]], lane: Lane, space: Space, budget: int) -> MemoryTokens:
    blank = budget - len(rows)
    tokens = np.zeros((budget, space.dim), dtype=np.float32)
    t_ns = np.zeros(budget, dtype=np.int64)
    for i, (_, token) in enumerate(rows):
        tokens[i], t_ns[i] = token.vector, token.t_ns
    return MemoryTokens(
        lane=lane,
        space=space.name,
        tokens=tokens,
        mask=np.arange(budget) < len(rows),
        tier=tuple(tier for tier, _ in rows) + ("",) * blank,
        t_ns=t_ns,
        place=tuple(token.place for _, token in rows) + (None,) * blank,
        source=tuple(token.source for _, token in rows) + ((),) * blank,
    )
