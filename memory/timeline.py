"""The timeline of a memory: stretches of its streams and the events under them, two levels of the same story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..records import Event, to_ns
from .semantic import Digest, told_of
from .settings import MemorySettings
from .store import StoredSnapshot


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of a stream that follow one another, and what they come to."""

    stream: str
    t0_ns: int
    t1_ns: int
    text: str
    """Sleep's summary or, of events that it has not come to yet, their own words."""
    slept: bool
    """Whether sleep has summarised it."""
    events: tuple[Event, ...]


def timeline(snapshot: StoredSnapshot, settings: MemorySettings, stream: str | None = None) -> list[Stretch]:
    """The stretches of the streams (or of one), in order of stream and time; every closed event stands in one."""
    length_ns = max(1, to_ns(settings.summary_s))
    digest = Digest(settings.summary_chars)
    found = []
    for state in snapshot.streams():
        name = state.stream.id
        if stream in (None, name):
            told = {summary.events: summary.text for summary in snapshot.summaries("span", name)}
            groups: dict[int, list[Event]] = {}
            for event in snapshot.events(name):
                groups.setdefault(event.t0_ns // length_ns, []).append(event)
            for _, events in sorted(groups.items()):
                ids = tuple(event.id for event in events)
                found.append(_stretch(name, events, told.get(ids), digest))
    return found


def _stretch(stream: str, events: Sequence[Event], told: str | None, digest: Digest) -> Stretch:
    text = told_of(events, digest) if told is None else told
    return Stretch(stream, events[0].t0_ns, events[-1].t1_ns, text, told is not None, tuple(events))
