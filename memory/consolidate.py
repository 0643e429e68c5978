"""What sleep does to memories that stay: a plan, made on a snapshot, off the online path.

Recalls are folded into strengths; events that are the same again are linked and reinforced; spans, what recurs and
where things usually are are summarised. The plan is pure: the same snapshot, settings and time give the same plan,
and nothing is written until the writer applies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..records import Event, Link, to_ns
from . import tables
from .changes import Changes
from .duplicates import SAME, Tie, ties
from .episodic import Summariser
from .semantic import Summary, recurring, rows_of, spans, usual
from .settings import MemorySettings
from .store import StoredSnapshot

_EVENTS = 20_000
"""Events that are compared, at most: the newest of each stream's share."""
_TOGETHER = 500
"""Ids in one filter."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one sleep does to the rows of a snapshot."""

    commit: int
    """Of the snapshot that it was made on."""
    changes: Changes
    linked: int = 0
    """Pairs of events found to be the same."""
    renewed: int = 0
    """Percepts and events that were recalled since the last sleep."""
    summarised: int = 0
    """Summaries made or made anew."""


def plan(
    snapshot: StoredSnapshot,
    settings: MemorySettings,
    recalled: Mapping[str, Sequence[int]] | None = None,
    summarise: Summariser | None = None,
) -> Plan:
    """What the snapshot's memory consolidates. recalled: id -> when it was recalled, ns since 1970, in order.

    summarise: puts gists into a few words; by default their own (`semantic.Digest`).
    """
    events = snapshot.events()
    made, groups = ties(_newest(events), settings.same_event)
    known = {event.id for event in events}
    life = _Renewal(snapshot, events, recalled or {})
    edits = _Edits(settings.recall_gain)
    for event in events:  # ties to events that are no more
        if any(link.kind == SAME and link.event not in known for link in event.links):
            edits.of(event).links = [link for link in event.links if link.kind != SAME or link.event in known]
    by_id = {event.id: event for event in events}
    for tie in made:
        edits.tie(by_id[tie.one], by_id[tie.other], tie)
    for id, times in life.events.items():
        edits.of(by_id[id]).recalls = times
    newest = _newest(events)
    summaries = _summaries(snapshot, events, [[newest[i] for i in group] for group in groups], settings, summarise)
    drop, put = _differing(snapshot.summaries(), summaries)
    changes = Changes(
        drop={tables.SUMMARIES: [tables.among("id", drop[i : i + _TOGETHER]) for i in range(0, len(drop), _TOGETHER)]},
        put={
            tables.PERCEPTS: life.percept_rows(settings.recall_gain),
            tables.EVENTS: edits.rows(snapshot),
            tables.SUMMARIES: rows_of(put),
        },
        note={"linked": len(made), "renewed": life.count, "summarised": len(put)},
    )
    return Plan(snapshot.commit, changes, len(made), life.count, len(put))


def rows_by_id(snapshot: StoredSnapshot, table: str, ids: Sequence[str]) -> Any:
    """Whole rows of a table by their ids, a `pyarrow.Table`."""
    import pyarrow as pa

    found = [
        snapshot.rows(table, filters=[tables.among("id", ids[first : first + _TOGETHER])])
        for first in range(0, len(ids), _TOGETHER)
    ]
    return pa.concat_tables(found) if found else tables.schemas(snapshot.manifest.spaces)[table].empty_table()


def with_column(rows: Any, name: str, values: Sequence[Any]) -> Any:
    """Rows with one column replaced, of the type that it has."""
    import pyarrow as pa

    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))


def _newest(events: Sequence[Event]) -> list[Event]:
    if len(events) <= _EVENTS:
        return list(events)
    kept = sorted(events, key=lambda event: (-event.t1_ns, event.stream))[:_EVENTS]
    return sorted(kept, key=lambda event: (event.stream, event.t0_ns))


def _summaries(
    snapshot: StoredSnapshot,
    events: Sequence[Event],
    groups: Sequence[Sequence[Event]],
    settings: MemorySettings,
    summarise: Summariser | None,
) -> list[Summary]:
    """All that the memory's events and sights give, in order."""
    from .semantic import Digest

    summarise = summarise or Digest(settings.summary_chars)
    states = {state.stream.id: state for state in snapshot.streams()}
    names = {place.key: place.name or place.key for place in snapshot.places()}
    found: list[Summary] = []
    for name, state in states.items():
        own = [event for event in events if event.stream == name]
        words = ["lane = 'vision'", "text IS NOT NULL", f"stream = {tables.literal(name)}"]
        sights = snapshot.rows(tables.PERCEPTS, ["t0_ns", "text", "place"], words)
        found += spans(state, own, max(1, to_ns(settings.summary_s)), summarise)
        found += usual(state, own, sights, names)
    return found + recurring(groups, {name: state.take for name, state in states.items()}, summarise)


def _differing(old: Sequence[Summary], new: Sequence[Summary]) -> tuple[list[str], list[Summary]]:
    """Ids of the old that go, and the new that are not there already."""
    there = {summary.id: summary for summary in old}
    wanted = {summary.id: summary for summary in new}
    return sorted(there.keys() - wanted.keys()), [s for id, s in wanted.items() if there.get(id) != s]


@dataclass(slots=True)
class _Edit:
    links: list[Link]
    strength: float
    recalls: Sequence[int] = ()


class _Edits:
    """What changes in rows of events."""

    def __init__(self, gain: float) -> None:
        self._gain = gain
        self._by_id: dict[str, _Edit] = {}

    def of(self, event: Event) -> _Edit:
        return self._by_id.setdefault(event.id, _Edit(list(event.links), event.strength))

    def tie(self, one: Event, other: Event, tie: Tie) -> None:
        """Links two events that are the same, both ways, and reinforces both."""
        for this, that in ((one, other), (other, one)):
            edit = self.of(this)
            edit.links.append(Link(SAME, that.id, tie.weight))
            edit.strength += self._gain

    def rows(self, snapshot: StoredSnapshot) -> Any:
        """Whole rows as they stand afterwards; recalls that a row knows already are not counted again."""
        rows = rows_by_id(snapshot, tables.EVENTS, sorted(self._by_id))
        edits = [self._by_id[id] for id in rows["id"].to_pylist()]
        links = [[{"kind": k.kind, "event": k.event, "weight": k.weight} for k in edit.links] for edit in edits]
        rows = with_column(rows, "links", links)
        rows = with_column(rows, "strength", [edit.strength for edit in edits])
        return _renewed(rows, [edit.recalls for edit in edits], self._gain)


@dataclass(slots=True)
class _Renewal:
    """Which percepts and events the recall log renews, and when each was recalled."""

    snapshot: StoredSnapshot
    known: Sequence[Event]
    recalled: Mapping[str, Sequence[int]]
    percepts: Any = field(init=False)
    events: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        rows = rows_by_id(self.snapshot, tables.PERCEPTS, sorted(self.recalled))
        late = [self._fresh(id, last) for id, last in zip(*_life(rows), strict=True)]
        self.percepts = rows.filter(np.array([bool(times) for times in late], np.bool_))
        fresh = set(self.percepts["id"].to_pylist())
        self.events = {event.id: list(self.recalled[event.id]) for event in self.known if event.id in self.recalled}
        for event in self.known:
            times = [t for id in event.percepts if id in fresh for t in self.recalled[id]]
            if times:
                self.events[event.id] = sorted({*self.events.get(event.id, ()), *times})

    @property
    def count(self) -> int:
        return len(self.percepts) + len(self.events)

    def percept_rows(self, gain: float) -> Any:
        return _renewed(self.percepts, [self.recalled[id] for id in self.percepts["id"].to_pylist()], gain)

    def _fresh(self, id: str, last: int | None) -> list[int]:
        return [t for t in self.recalled[id] if last is None or t > last]


def _life(rows: Any) -> tuple[list[str], list[int | None]]:
    return rows["id"].to_pylist(), rows["recalled_ns"].to_pylist()


def _renewed(rows: Any, times: Sequence[Sequence[int]], gain: float) -> Any:
    """Rows renewed by the recalls later than their last: the strength grows with each (MemoryBank, section 2.3)."""
    last = rows["recalled_ns"].to_pylist()
    late = [[t for t in each if known is None or t > known] for each, known in zip(times, last, strict=True)]
    more = np.array([len(each) for each in late], np.int64)
    rows = with_column(rows, "strength", (rows["strength"].to_numpy() + gain * more).astype(np.float32))
    rows = with_column(rows, "recalls", (rows["recalls"].to_numpy() + more).astype(np.int32))
    latest = [max([*each, known or 0]) or known for each, known in zip(late, last, strict=True)]
    return with_column(rows, "recalled_ns", latest)
