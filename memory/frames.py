"""A lane as frames: what each of its percepts can give as tokens, read once and kept while it cannot change.

A closed event never changes, so its frames are kept; of an open one only what is new is read again. A robot asks at
every step, and nearly always of the same commit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..records import Event, Lane, Percept, Space, Vector
from . import tables
from .erased import Erased
from .ledger import StreamState
from .longterm import LongTerm
from .prototypes import Prototype, unit
from .store import StoredSnapshot
from .token_state import seen

MOST_FRAMES = 32_768
"""Frames of closed events that are kept, at most (46 MB at 352 numbers each)."""
MOST_PERCEPTS = 1024
"""Percepts that are kept with all their tokens, at most."""
MOST_MERGED = 32
"""Merged rows that are kept: the past changes when an event closes, the older part of the open one now and then."""
_FAR = 1000
"""Commits since the last question for which it is not asked any more what they were."""
_ADDING = frozenset(("observe", "compact", "widen", "recover", "name"))
"""Kinds of commits that leave the rows of closed events as they are, and at most add some."""
OPEN = "open:"
"""What stands before a stream's name as the source of tokens whose event is not closed, and so has no id yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What one percept can give: its vector as one token, or all of its tokens."""

    id: str
    stream: str
    event: str
    """Id of the event in which it starts, or `OPEN` and the stream."""
    t_ns: int
    place: str | None
    vector: Vector
    """float32[d]"""
    count: int
    """Its tokens; 1: the vector is the token."""
    tokens: Any = None
    """float[count, d] of what is not on the disk yet."""


class FrameCache:
    """What may be used again by the next question to the same memory. Not for two threads at once."""

    def __init__(self) -> None:
        self.commit = -1
        self.erased: tuple[Erased, ...] = ()
        self.events: list[Event] = []
        self.starts: dict[str, tuple[list[int], list[Event]]] = {}
        """stream -> its closed events, and when each begins."""
        self.closed: OrderedDict[tuple[str, int, str, Lane], list[Frame]] = OrderedDict()
        self.open: dict[tuple[str, int, Lane], tuple[int, dict[str, Frame]]] = {}
        """(stream, take, lane) -> up to when it is complete, and the frames by id."""
        self.states: dict[str, StreamState] = {}
        """The streams as they stood at that commit."""
        self.percepts: OrderedDict[tuple[int, str], Percept] = OrderedDict()
        """(take, id) -> with vector and tokens."""
        self.merged: OrderedDict[tuple[Any, ...], list[Any]] = OrderedDict()
        """Tokens that were merged, by what from."""

    def drop_erased(self, erased: tuple[Erased, ...]) -> None:
        """Forgets everything when more was erased on request."""
        if erased != self.erased:
            for kept in (self.events, self.starts, self.closed, self.open, self.percepts, self.merged):
                kept.clear()
            self.commit, self.erased = -1, erased

    def look(self, snapshot: StoredSnapshot) -> None:
        """Sees the closed events of a snapshot: all of them, or where the earlier ones stand as before those since."""
        states = {state.stream.id: state for state in snapshot.streams()}
        since = self._since(snapshot, states)
        if since is None:
            self.see(snapshot.events(), snapshot.commit)
        else:
            by_stream: dict[str, list[Event]] = {}
            for event in since:
                by_stream.setdefault(event.stream, []).append(event)
            for name, late in by_stream.items():
                starts, events = self.starts.get(name, ([], []))
                self.starts[name] = ([*starts, *(e.t0_ns for e in late)], [*events, *late])
            if since:
                self.events = [event for name in sorted(self.starts) for event in self.starts[name][1]]
            self.commit = snapshot.commit
        self.states = states

    def _since(self, snapshot: StoredSnapshot, states: Mapping[str, StreamState]) -> list[Event] | None:
        """The events that were closed since, in order of (stream, time); None where earlier ones may have changed."""
        if not 0 <= snapshot.commit - self.commit <= _FAR or self.commit < 1 or not self.states.keys() <= states.keys():
            return None
        late = []
        for name, state in states.items():
            known = self.states.get(name, replace(state, closed_ns=0, events=0))
            if state.take != known.take or state.closed_ns < known.closed_ns or state.events < known.events:
                return None
            if state.events > known.events:
                late.append(f"(stream = {tables.literal(name)} AND t0_ns >= {known.closed_ns})")
        if not snapshot.kinds_since(self.commit) <= _ADDING:
            return None
        rows = snapshot.rows(tables.EVENTS, filters=[f"({' OR '.join(late)})"]) if late else None
        events = [] if rows is None else tables.events_of(rows, snapshot.manifest.spaces)
        if len(self.events) + len(events) != sum(state.events for state in states.values()):
            return None
        return sorted(events, key=lambda event: (event.stream, event.t0_ns))

    def see(self, events: list[Event], commit: int) -> None:
        """The closed events as they stand at a commit, in order of (stream, time).

        One that lost percepts (sleep forgot them for lack of room) is read again, and with it all that was read.
        """
        held = {event.id: len(event.percepts) for event in self.events}
        if any(held.get(event.id, len(event.percepts)) != len(event.percepts) for event in events):
            for kept in (self.closed, self.percepts, self.merged):
                kept.clear()
        self.events, self.commit = events, commit
        by_stream: dict[str, list[Event]] = {}
        for event in events:
            by_stream.setdefault(event.stream, []).append(event)
        self.starts = {name: ([e.t0_ns for e in each], each) for name, each in by_stream.items()}

    def event_at(self, stream: str, t_ns: int) -> Event | None:
        """The closed event of the stream in which that time lies."""
        starts, events = self.starts.get(stream, ([], []))
        at = bisect_right(starts, t_ns) - 1
        return events[at] if at >= 0 and t_ns < events[at].t1_ns else None

    def once(self, key: tuple[Any, ...], make: Callable[[], list[Any]]) -> list[Any]:
        """What `make` makes, made anew only for a key that was not asked for lately."""
        if key not in self.merged:
            self.keep(self.merged, key, make(), MOST_MERGED)
        self.merged.move_to_end(key)
        return self.merged[key]

    def keep(self, kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
        """Puts a value into one of the ordered parts, whose oldest entries beyond `most` go."""
        kept[key] = value
        while len(kept) > most:
            kept.popitem(last=False)


class LaneFrames:
    """The frames of one lane and space as a snapshot shows them, all streams or one."""

    def __init__(
        self,
        snapshot: StoredSnapshot,
        lane: Lane,
        space: Space,
        stream: str | None,
        pending: Iterable[Percept],
        cache: FrameCache,
    ) -> None:
        """pending: percepts that a recorder of this process holds and has not stored yet."""
        self.lane, self.space = lane, space
        self._snapshot, self._cache = snapshot, cache
        cache.drop_erased(snapshot.manifest.erased)
        if cache.commit != snapshot.commit:
            cache.look(snapshot)
        self._states = states = {state.stream.id: state for state in snapshot.streams()}
        self._takes = {name: state.take for name, state in states.items()}
        self._open: dict[str, list[Frame]] = {}
        waiting: dict[str, list[Percept]] = {}
        for percept in pending:
            if percept.lane == lane and self._fits(percept) and stream in (None, percept.stream):
                waiting.setdefault(percept.stream, []).append(percept)
        for name in sorted({*states, *waiting}):
            if stream in (None, name):
                known = {} if name not in states or states[name].done else self._stored_open(states[name])
                closed_ns = states[name].closed_ns if name in states else 0
                for percept in waiting.get(name, ()):
                    if percept.t0_ns >= closed_ns and percept.id not in known:
                        known[percept.id] = self._frame(percept, OPEN + name, whole=True)
                if known:
                    self._open[name] = sorted(known.values(), key=_in_time)
        self.events = [e for e in cache.events if lane in e.lanes and stream in (None, e.stream)]
        """The closed events in which the lane perceived something, in order of (stream, time)."""

    @property
    def open(self) -> list[Frame]:
        """Frames of what is not closed yet, in order of time within each stream."""
        return [frame for frames in self._open.values() for frame in frames]

    @property
    def takes(self) -> tuple[tuple[str, int], ...]:
        """(stream, which recording of it is shown): a replacement may have the ids of what it replaced."""
        return tuple(sorted(self._takes.items()))

    def of_event(self, event: Event) -> list[Frame]:
        """The frames of a closed event, in order of time."""
        key = (event.stream, self._takes.get(event.stream, 0), event.id, self.lane)
        kept = self._cache.closed
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        percepts = self._read(event.stream, event.t0_ns, event.t1_ns)
        members = set(event.percepts)
        frames = [self._frame(p, event.id) for p in percepts if p.id in members]
        kept[key] = frames
        total = sum(map(len, kept.values()))
        while total > MOST_FRAMES and len(kept) > 1:
            total -= len(kept.popitem(last=False)[1])
        return frames

    def vector_of(self, event: Event) -> Vector | None:
        """float32[d], what the event holds in this lane as one unit vector; None where it holds no vector of it."""
        if len(self._shared & set(event.lanes)) > 1:  # the event's vector is of several lanes
            frames = self.of_event(event)
            return unit(np.mean([f.vector for f in frames], axis=0)) if frames else None
        return event.vectors.get(self.space.name)

    @cached_property
    def _shared(self) -> frozenset[Lane]:
        """The lanes that are perceived in this space."""
        key = ("lanes", self.space.name, self._snapshot.commit)
        return frozenset(self._cache.once(key, lambda: [*self._snapshot.lanes_of(self.space.name)]))

    def prototypes(self, stream: str) -> Sequence[Prototype] | None:
        """What long-term memory holds of a stream in this lane and space; None where the stream has none."""
        state = self._states.get(stream)
        if state is None:
            return None
        key = ("long-term", stream, state.take, state.tokens, state.events)
        memory: LongTerm | None = self._cache.once(key, lambda: [seen(self._snapshot, state)])[0]
        return None if memory is None else memory.prototypes(self.lane, self.space.name)

    def around(self, t_ns: int, stream: str) -> list[Frame]:
        """The frames of the event, closed or open, in which that time lies."""
        event = self._cache.event_at(stream, t_ns)
        return self._open.get(stream, []) if event is None else self.of_event(event)

    def by_id(self, ids: Sequence[str], stream_of: dict[str, str]) -> list[Frame]:
        """Frames of percepts of this lane, in the order of the ids; those without a vector are left out."""
        percepts = self._whole(ids, stream_of)
        return [self._frame(p, self._event_of(p)) for id in ids if (p := percepts.get(id)) is not None]

    def tokens_of(self, frames: Sequence[Frame]) -> dict[str, Any]:
        """Frame id -> float[count, d], all the tokens of frames that have more than one."""
        stored = [f for f in frames if f.tokens is None]
        percepts = self._whole([f.id for f in stored], {f.id: f.stream for f in stored})
        return {f.id: f.tokens for f in frames if f.tokens is not None} | {
            id: percept.tokens for id, percept in percepts.items()
        }

    def _whole(self, ids: Sequence[str], stream_of: dict[str, str]) -> dict[str, Percept]:
        kept = self._cache.percepts
        takes = {id: self._takes.get(stream_of[id], 0) for id in ids}
        missing = [id for id in ids if (takes[id], id) not in kept]
        found = {id: kept[takes[id], id] for id in ids if (takes[id], id) in kept}
        if missing:
            for percept in self._snapshot.percepts(ids=missing, with_vectors=True):
                found[percept.id] = percept
                self._cache.keep(kept, (takes[percept.id], percept.id), percept, MOST_PERCEPTS)
        return {id: p for id, p in found.items() if self._fits(p)}

    def _stored_open(self, state: StreamState) -> dict[str, Frame]:
        name = state.stream.id
        key = (name, state.take, self.lane)
        complete_ns, frames = self._cache.open.get(key, (0, {}))
        frames = {id: frame for id, frame in frames.items() if frame.t_ns >= state.closed_ns}
        if complete_ns < state.seen_ns or not complete_ns:
            for percept in self._read(name, max(complete_ns, state.closed_ns), None):
                if percept.t0_ns >= state.closed_ns:
                    frames.setdefault(percept.id, self._frame(percept, OPEN + name))
            self._cache.open[key] = (state.seen_ns, frames)
        return dict(frames)

    def _read(self, stream: str, t0_ns: int, t1_ns: int | None) -> list[Percept]:
        read = self._snapshot.percepts(lanes=(self.lane,), stream=stream, t0_ns=t0_ns, t1_ns=t1_ns, with_vectors=True)
        return [percept for percept in read if self._fits(percept)]

    def _fits(self, percept: Percept) -> bool:
        return percept.vector is not None and percept.space == self.space.name

    def _event_of(self, percept: Percept) -> str:
        event = self._cache.event_at(percept.stream, percept.t0_ns)
        return OPEN + percept.stream if event is None else event.id

    def _frame(self, percept: Percept, event: str, whole: bool = False) -> Frame:
        tokens = percept.tokens
        if tokens is not None and (tokens.shape[-1] != self.space.dim or not len(tokens)):
            tokens = None  # of another width than the space: only the vector can stand beside the others
        assert percept.vector is not None
        return Frame(
            percept.id,
            percept.stream,
            event,
            percept.t0_ns,
            percept.place,
            percept.vector,
            1 if tokens is None else len(tokens),
            tokens if whole else None,
        )


def _in_time(frame: Frame) -> tuple[int, str]:
    return (frame.t_ns, frame.id)
