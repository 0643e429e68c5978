"""The storyboard of a memory as HTML: its streams, each event with a picture, its time and its gist.

Everything that was seen, heard or named by others is escaped: a subtitle is not markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..records import Event
from .moments import stamp, thumbnail_address

if TYPE_CHECKING:
    from ..memory.ledger import StreamState
    from ..memory.store import StoredSnapshot
    from .watching import Job

NO_EVENTS = "No event has ended yet."


def link(stream: str, t_ns: int) -> str:
    """The address that the page's player understands: `#moment/<stream>/<t_ns>`."""
    return f"#moment/{quote(stream, safe='')}/{t_ns}"


def summary(states: Sequence[StreamState]) -> str:
    """One line: how much the memory holds."""
    if not states:
        return "empty: add a video below"
    events = sum(state.events for state in states)
    seen_ns = sum(state.seen_ns for state in states)
    return f"{_count(len(states), 'stream')} · {_count(events, 'event')} · {stamp(seen_ns)} remembered"


def storyboard(snapshot: StoredSnapshot, stream: str | None, limit: int) -> tuple[str, bool]:
    """The last `limit` events of one stream, or of each, in order of time; and whether there are earlier ones."""
    states = [state for state in snapshot.streams() if stream in (None, state.stream.id)]
    more = False
    parts = []
    for state in states:
        events = snapshot.events(state.stream.id)
        more = more or len(events) > limit
        parts.append(_strip(snapshot, state, events[-limit:]))
    if not parts:
        return '<p class="mn-empty">Nothing is remembered yet.</p>', False
    return "".join(parts), more


def _strip(snapshot: StoredSnapshot, state: StreamState, events: Sequence[Event]) -> str:
    name = escape(state.stream.id)
    told = f"{_count(state.events, 'event')} · {stamp(state.seen_ns)}" + ("" if state.done else " · still open")
    head = f'<h3 class="mn-stream"><bdi>{name}</bdi> <small>{told}</small></h3>'
    if not events:
        return f'<section aria-label="{name}">{head}<p class="mn-empty">{NO_EVENTS}</p></section>'
    pictures = _pictures(snapshot, events)
    cards = "".join(_card(event, picture) for event, picture in zip(events, pictures, strict=True))
    return f'<section aria-label="{name}">{head}<ol class="mn-board">{cards}</ol></section>'


def _card(event: Event, picture: str | None) -> str:
    gist = event.gist or "No words were said or shown."
    image = f'<img src="{escape(picture)}" alt="" loading="lazy">' if picture else '<span class="mn-blank"></span>'
    return (
        f'<li><a class="mn-card" href="{escape(link(event.stream, event.t0_ns))}" data-until="{event.t1_ns}"'
        f' title="{escape(gist)}">{image}'
        f'<span class="mn-time">{stamp(event.t0_ns)}–{stamp(event.t1_ns)}</span>'
        f'<span class="mn-gist{"" if event.gist else " mn-quiet"}">{escape(gist)}</span></a></li>'
    )


def _pictures(snapshot: StoredSnapshot, events: Sequence[Event]) -> list[str | None]:
    """For each event the address of its first thumbnail, or of the last one before it: what still stood there."""
    first, last = events[0], events[-1]
    seen = snapshot.percepts(lanes=("vision",), stream=first.stream, t0_ns=first.t0_ns, t1_ns=last.t1_ns)
    shown = [percept for percept in seen if percept.thumbnail]
    found: list[str | None] = []
    at, standing = 0, None
    for event in events:
        chosen = None
        while at < len(shown) and shown[at].t0_ns < event.t1_ns:
            standing = shown[at].thumbnail
            chosen = chosen or standing
            at += 1
        path = chosen or standing
        found.append(thumbnail_address(path) if path else None)
    return found


def job_lines(jobs: Sequence[Job], states: Sequence[StreamState]) -> str:
    """A line for each video that the page was given: how far it is, or what became of it."""
    events = {state.stream.id: state.events for state in states}
    return "".join(_job(job, events.get(job.stream, 0)) for job in jobs)


def _job(job: Job, events: int) -> str:
    name = f"<b><bdi>{escape(job.stream)}</bdi></b>"
    if job.state == "waiting":
        return f'<div class="mn-job">{name}<span>waits for the one before it</span></div>'
    if job.state == "watching":
        if job.share is None:
            told, bar = "opening", f'<progress aria-label="{escape(job.stream)}"></progress>'
        else:
            told = f"{job.share:.0%} · {_count(events, 'event')} · {_count(job.percepts, 'percept')}"
            bar = f'<progress aria-label="{escape(job.stream)}" max="1" value="{job.share:.4f}"></progress>'
        return f'<div class="mn-job mn-watching">{name}<span>{told}</span>{bar}</div>'
    role = ' role="alert"' if job.state == "failed" else ""
    return f'<div class="mn-job mn-{job.state}"{role}>{name}<span>{escape(job.line)}</span></div>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
