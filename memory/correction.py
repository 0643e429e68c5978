"""Correcting where events end: two made one, or one made two, as a person says.

The plan is pure, a change of a snapshot's rows. The events concerned are built again from their percepts, as a
recording would have built them, and keep their strength (of two the greater). What they tell of percepts that the
budget forgot they keep too (`remains`). An event's id is a hash of its span and its number, so every later event of the
stream gets a new one; links, summaries and long-term memory that name it follow. What was found of the events as they
were, links and summaries, goes: sleep makes it again. Events tile the stream as before, and no percept is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MnemeError
from ..records import Event, Percept, to_s
from . import semantic, tables, token_state
from .changes import Changes
from .consolidate import rows_by_id, with_column
from .corrected import REACH_NS, Correction, correction_of
from .episodic import Summariser, build_event, in_order
from .ledger import StreamState
from .longterm import LongTermSettings
from .remains import holds_more, joined_with
from .store import StoredSnapshot
from .writer import Writer

_LIFE = ("strength", "recalls", "recalled_ns")
"""Columns that an event keeps when it is built again."""
_TOGETHER = 500


@dataclass(frozen=True, slots=True, eq=False)
class Correcting:
    """What one correction does to a snapshot."""

    events: tuple[Event, ...]
    """That came of it, in order of time."""
    corrections: tuple[Correction, ...]
    changes: Changes
    """Without the streams: `state` is the corrected one."""
    state: StreamState
    gone: tuple[Event, ...]
    """What they were made of."""
    renamed: Mapping[str, str]
    """Ids of later events -> their new ones."""
    members: Mapping[str, tuple[Percept, ...]]
    """Id of an event that came of it -> its percepts, in order."""
    partly: bool
    """Whether these are not all the percepts that there were."""


def merging(snapshot: StoredSnapshot, event: str, with_next: bool, summarise: Summariser) -> Correcting:
    """The plan that makes an event and the one after it (or before it) one. Raises `MnemeError` where there is none."""
    state, events, at = _found(snapshot, event)
    first = at if with_next else at - 1
    if first < 0 or first + 1 >= len(events):
        fault = "has no event after it" if with_next else "has no event before it"
        raise MnemeError(f"event {event} {fault} in stream {state.stream.id!r}", "name another one")
    one, other = events[first : first + 2]
    return _planned(snapshot, state, events, [one, other], [(one.t0_ns, other.t1_ns)], one.t1_ns, summarise)


def splitting(snapshot: StoredSnapshot, event: str, at_ns: int, summarise: Summariser) -> Correcting:
    """The plan that makes an event two, the second from `at_ns` on. Raises `MnemeError` of a time that is not in it."""
    state, events, at = _found(snapshot, event)
    whole = events[at]
    if not whole.t0_ns < at_ns < whole.t1_ns:
        raise MnemeError(
            f"{to_s(at_ns):g} s is not inside event {event} ({to_s(whole.t0_ns):g} to {to_s(whole.t1_ns):g} s)",
            "give a time of the stream between its ends",
        )
    spans = [(whole.t0_ns, at_ns), (at_ns, whole.t1_ns)]
    return _planned(snapshot, state, events, [whole], spans, at_ns, summarise)


def correct(
    writer: Writer,
    event: str,
    at_ns: int | None,
    with_next: bool,
    summarise: Summariser,
    longterm: LongTermSettings | None = None,
) -> tuple[Event, ...]:
    """Splits an event at a time, or (None) merges it; the events that came of it. Durable on return.

    Its stream must not be being recorded. Raises `MnemeError` of what cannot be, and where the disk fails; nothing is
    changed then.
    """
    with writer.alone():
        snapshot = StoredSnapshot(writer.root, writer.database)
        made = (
            merging(snapshot, event, with_next, summarise)
            if at_ns is None
            else splitting(snapshot, event, at_ns, summarise)
        )
        state = _refed(snapshot, made, longterm)
        streams = {**writer.streams, state.stream.id: state}
        writer.correct(replace(made.changes, streams=streams), made.corrections)
    return made.events


def stream_of(snapshot: StoredSnapshot, event: str) -> str:
    """The name of the stream that an event is of. Raises `MnemeError` where there is no such event."""
    rows = snapshot.rows(tables.EVENTS, ["stream"], [f"id = {tables.literal(event)}"])
    if not len(rows):
        raise MnemeError(f"there is no event {event[:40]!r} in this memory", "mneme events --json lists their ids")
    return str(rows["stream"][0].as_py())


def _found(snapshot: StoredSnapshot, event: str) -> tuple[StreamState, list[Event], int]:
    name = stream_of(snapshot, event)
    state = next(state for state in snapshot.streams() if state.stream.id == name)
    if state.successor is not None:
        raise MnemeError(f"stream {name!r} is just being replaced", "watch it to its end first")
    events = snapshot.events(name)
    return state, events, next(i for i, each in enumerate(events) if each.id == event)


def _planned(
    snapshot: StoredSnapshot,
    state: StreamState,
    events: Sequence[Event],
    gone: Sequence[Event],
    spans: Sequence[tuple[int, int]],
    cut_ns: int,
    summarise: Summariser,
) -> Correcting:
    """gone: neighbours. spans: of what takes their place, end to end over the same time. cut_ns: what was corrected."""
    first = gone[0].ordinal
    held = _members(snapshot, gone)
    was = [(each, [percept for percept in held if percept.id in set(each.percepts)]) for each in gone]
    made, members = [], {}
    for ordinal, (t0_ns, t1_ns) in enumerate(spans, first):
        own = tuple(percept for percept in held if t0_ns <= percept.t0_ns < t1_ns)
        event = build_event(state.stream.id, t0_ns, t1_ns, ordinal, own, summarise)
        event = joined_with(event, own, was, summarise)
        made.append(replace(event, strength=max(each.strength for each in gone)))
        members[event.id] = own
    shift = len(made) - len(gone)
    behind = [each for each in events if each.t0_ns >= gone[-1].t1_ns]
    later = {each.id: replace(each, ordinal=each.ordinal + shift) for each in behind}
    renamed = {old: new.id for old, new in later.items()}
    lost = {each.id for each in gone}
    rows = _event_rows(snapshot, state, gone, made, later, renamed)
    dropped, summaries = _summaries(snapshot, lost, renamed)
    corrections = (
        correction_of(state.stream, cut_ns, len(made) > len(gone)),
        *(correction_of(state.stream, end, True) for end in _close(state, gone, cut_ns)),
    )
    changes = Changes(
        drop={
            tables.EVENTS: [f"{tables.of_take(state.stream.id, state.take)} AND ordinal >= {first}"],
            tables.SUMMARIES: dropped,
        },
        put={tables.EVENTS: rows, tables.SUMMARIES: semantic.rows_of(summaries)},
        note={"corrections": [each.plain() for each in corrections]},
    )
    after = replace(state, events=state.events + shift)
    partly = any(holds_more(each, own, summarise) for each, own in was)
    return Correcting(tuple(made), corrections, changes, after, tuple(gone), renamed, members, partly)


def _close(state: StreamState, gone: Sequence[Event], cut_ns: int) -> list[int]:
    """Ends of what was corrected that lie so close to the correction that it would reach them too: they stay."""
    ends = (gone[0].t0_ns, gone[-1].t1_ns)
    within = state.closed_ns if state.done else state.closed_ns + 1
    return [end for end in ends if 0 < end < within and abs(end - cut_ns) <= REACH_NS]


def _members(snapshot: StoredSnapshot, gone: Sequence[Event]) -> list[Percept]:
    """The percepts of events that lie end to end, in order."""
    listed = {id for event in gone for id in event.percepts}
    near = snapshot.percepts(stream=gone[0].stream, t0_ns=gone[0].t0_ns, t1_ns=gone[-1].t1_ns, with_vectors=True)
    return in_order(percept for percept in near if percept.id in listed)


def _event_rows(
    snapshot: StoredSnapshot,
    state: StreamState,
    gone: Sequence[Event],
    made: Sequence[Event],
    later: Mapping[str, Event],
    renamed: Mapping[str, str],
) -> Any:
    """The rows of events that stand otherwise afterwards, as a `pyarrow.Table`. later: by their old ids."""
    import pyarrow as pa

    lost = {event.id for event in gone}
    schema = tables.schemas(snapshot.manifest.spaces)[tables.EVENTS]
    links = {row["id"]: row["links"] for row in snapshot.rows(tables.EVENTS, ["id", "links"]).to_pylist()}
    tied = {
        id
        for id, ties in links.items()
        if id not in lost and any(tie["event"] in lost or tie["event"] in renamed for tie in ties)
    }
    was = rows_by_id(snapshot, tables.EVENTS, [event.id for event in gone]).select(list(_LIFE)).to_pylist()
    life = {name: max(known) for name in _LIFE if (known := [row[name] for row in was if row[name] is not None])}
    fresh = pa.Table.from_pylist([tables.event_row(event, state.take) | life for event in made], schema=schema)
    kept = rows_by_id(snapshot, tables.EVENTS, sorted(tied | later.keys()))
    ids = kept["id"].to_pylist()
    followed = [
        [tie | {"event": renamed.get(tie["event"], tie["event"])} for tie in links[id] if tie["event"] not in lost]
        for id in ids
    ]
    kept = with_column(kept, "links", followed)
    kept = with_column(kept, "ordinal", [
        later[id].ordinal if id in later else ordinal
        for id, ordinal in zip(ids, kept["ordinal"].to_pylist(), strict=True)
    ])  # fmt: skip
    kept = with_column(kept, "id", [renamed.get(id, id) for id in ids])
    return pa.concat_tables([fresh, kept.select(schema.names)], promote_options="permissive")


def _summaries(
    snapshot: StoredSnapshot, lost: set[str], renamed: Mapping[str, str]
) -> tuple[list[str], list[semantic.Summary]]:
    """Filters for the summaries that go, and those that stay and name events by their new ids."""
    going, staying = [], []
    for summary in snapshot.summaries():
        if lost & set(summary.events):
            going.append(summary.id)
        elif renamed.keys() & set(summary.events):
            staying.append(replace(summary, events=tuple(renamed.get(id, id) for id in summary.events)))
    return [tables.among("id", going[i : i + _TOGETHER]) for i in range(0, len(going), _TOGETHER)], staying


def _refed(snapshot: StoredSnapshot, made: Correcting, settings: LongTermSettings | None) -> StreamState:
    """The stream's state with a file of long-term memory that knows the events as they are now.

    The file is durable on return. One that took up none of them needs no change; one that is not there has none.
    """
    path = made.state.tokens
    if path is None or not (snapshot.root / path).exists():
        return replace(made.state, tokens=None)
    memory = token_state.load(snapshot.root, path, settings, frozen=False)
    if memory.events <= made.gone[0].ordinal:
        return made.state
    if made.partly and memory.events > made.gone[-1].ordinal:
        memory.handed_on(made.gone, made.renamed, made.events)
    else:
        memory.recast(made.gone, made.renamed, [(event, made.members[event.id]) for event in made.events])
    return replace(made.state, tokens=token_state.save(snapshot.root, made.state.stream.id, memory))
