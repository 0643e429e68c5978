"""Checking a memory: whether what its tables hold is what the format promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..errors import MemoryFormatError
from ..records import Event, Percept
from . import thumbnails, token_state
from .ledger import StreamState
from .store import StoredSnapshot


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    ok: bool
    """No problems."""
    percepts: int
    events: int
    last_t_ns: int
    """The latest time up to which a stream is stored."""
    problems: tuple[str, ...]
    orphans: tuple[str, ...] = ()
    """Thumbnails that no percept names: of commits that never happened, or were replaced. Harmless."""


def check(snapshot: StoredSnapshot) -> Report:
    """Reads everything that the snapshot's commit names and compares it with what it should be.

    Streams that are being replaced are looked at twice: as they are seen, and as the replacement stands so far.
    """
    files = thumbnails.stored(snapshot.root)
    percepts, events = snapshot.percepts(), snapshot.events()
    problems = [
        f"table {table} holds {count} rows, the ledger says {ledgered}"
        for table, count in snapshot.count_rows().items()
        if count != (ledgered := snapshot.entry.tables[table].rows)
    ]
    problems += _problems(percepts, events, snapshot.streams(), files)
    named = _thumbnails(percepts)
    if any(state.successor is not None for state in snapshot.streams()):
        ahead = snapshot.ahead()
        coming = ahead.percepts()
        problems += [p for p in _problems(coming, ahead.events(), ahead.streams(), files) if p not in problems]
        named |= _thumbnails(coming)
    problems += _long_term(snapshot)
    return Report(
        ok=not problems,
        percepts=len(percepts),
        events=len(events),
        last_t_ns=max((state.seen_ns for state in snapshot.streams()), default=0),
        problems=tuple(problems),
        orphans=tuple(sorted(files - named)),
    )


def _long_term(snapshot: StoredSnapshot) -> Iterator[str]:
    """What is wrong with the files of long-term memory that streams name."""
    for path in token_state.named(snapshot.entry.streams.values(), checkpoints=False):
        try:
            token_state.load(snapshot.root, path)
        except MemoryFormatError as error:
            yield error.fault


def _thumbnails(percepts: list[Percept]) -> set[str]:
    return {percept.thumbnail for percept in percepts if percept.thumbnail is not None}


def _problems(
    percepts: list[Percept], events: list[Event], states: list[StreamState], files: set[str]
) -> Iterator[str]:
    """What is wrong between rows, the states of their streams and the files of thumbnails."""
    yield from (f"thumbnail {path} of a percept is missing" for path in sorted(_thumbnails(percepts) - files))
    rows: list[Percept | Event] = [*percepts, *events]
    twice = [id for id, count in Counter(row.id for row in rows).items() if count > 1]
    yield from (f"id {id} stands more than once" for id in twice)
    known = {state.stream.id for state in states}
    strays = {row.stream for row in rows} - known
    yield from (f"stream {name!r} has rows and no place in the ledger" for name in sorted(strays))
    for state in states:
        name = state.stream.id
        yield from _tiling(state, [event for event in events if event.stream == name])
        yield from _membership(
            state,
            [event for event in events if event.stream == name],
            {percept.id: percept for percept in percepts if percept.stream == name},
        )


def _tiling(state: StreamState, events: list[Event]) -> Iterator[str]:
    """The events of a stream lie end to end over [0, closed_ns), numbered from 0."""
    name = state.stream.id
    if len(events) != state.events:
        yield f"stream {name!r} has {len(events)} events, the ledger says {state.events}"
    if [event.ordinal for event in events] != list(range(len(events))):
        yield f"the events of stream {name!r} are not numbered from 0 in order"
    ends = (events[0].t0_ns, events[-1].t1_ns) if events else (0, 0)
    if ends != (0, state.closed_ns):
        yield f"the events of stream {name!r} cover {ends[0]}..{ends[1]} ns, not 0..{state.closed_ns}"
    for one, next_one in pairwise(events):
        if one.t1_ns != next_one.t0_ns:
            yield f"event {next_one.id} of stream {name!r} does not begin where the one before it ends"


def _membership(state: StreamState, events: list[Event], percepts: dict[str, Percept]) -> Iterator[str]:
    """Each percept that starts in a closed event is listed by that event, and no other."""
    listed: set[str] = set()
    for event in events:
        for id in event.percepts:
            percept = percepts.get(id)
            if percept is None:
                yield f"event {event.id} lists percept {id}, which is not there"
            elif not event.t0_ns <= percept.t0_ns < event.t1_ns:
                yield f"event {event.id} lists percept {id}, which does not start in it"
        listed.update(event.percepts)
    for id, percept in percepts.items():
        if percept.t0_ns < state.closed_ns and id not in listed:
            yield f"percept {id} of stream {state.stream.id!r} belongs to no event"
