"""The past without a query: what earlier events hold, in so many tokens.

Where all of it fits it stands as it is. Else it is taken from the prototypes of long-term memory, as long as these
fill the tokens; of streams that have none, or where more tokens than prototypes are asked for, from the events' frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..records import Event
from .condense import Token, deal, merged, merged_by_stream
from .frames import Frame, LaneFrames
from .prototypes import Parts, Prototype, unit


def condensed(frames: LaneFrames, events: Sequence[Event], slots: int) -> Iterator[Token | Frame]:
    """At most `slots`, every event before any twice; frames where each stands for itself, the newest event's first."""
    if not events or not slots:
        return
    order = by_use(events)
    rows = [frames.of_event(event) for event in events] if len(events) <= slots else []
    if rows and sum(map(len, rows)) <= slots:
        yield from (frame for i in order for frame in reversed(rows[i]))
        return
    streams, known = _from_prototypes(frames, events)
    if rows:
        tokens = [known.get(e.id, []) if e.stream in streams else _plain(r) for e, r in zip(events, rows, strict=True)]
        if sum(map(len, tokens)) < slots:
            tokens = [_plain(row) for row in rows]
        given = deal([len(row) for row in tokens], slots, order)
        for row, keep in zip(tokens, given, strict=True):
            yield from merged(row, keep)
        return
    held = [token for tokens in known.values() for token in tokens]
    held += _one_each(frames, [event for event in events if event.stream not in streams])
    if len(held) < slots:
        held = _one_each(frames, events)
    yield from merged_by_stream(sorted(held, key=lambda token: (token.stream, token.t_ns)), slots)


def by_use(events: Sequence[Event]) -> list[int]:
    """Indices of the events, the strongest first, of equals the newest."""
    import torch

    from ..operators.potentiate import prototypes

    newest = sorted(range(len(events)), key=lambda i: (-events[i].t0_ns, events[i].stream))
    ranked = prototypes(torch.tensor([events[i].strength for i in newest]), len(newest)).tolist()
    return [newest[i] for i in ranked]


def plain(frame: Frame) -> Token:
    """A frame's vector as a token."""
    return Token(frame.vector, frame.stream, frame.t_ns, frame.place, ((frame.event, 1.0),))


def _plain(frames: Sequence[Frame]) -> list[Token]:
    return [plain(frame) for frame in frames]


def _one_each(frames: LaneFrames, events: Sequence[Event]) -> list[Token]:
    """One token an event."""
    return [
        Token(vector, event.stream, event.t0_ns, event.place, ((event.id, 1.0),), event.strength)
        for event in events
        if (vector := frames.vector_of(event)) is not None
    ]


def _from_prototypes(frames: LaneFrames, events: Sequence[Event]) -> tuple[set[str], dict[str, list[Token]]]:
    """The streams of these events that have prototypes; event -> those that it gave most to, in order of time."""
    among = {event.id: event for event in events}
    kept = {stream: frames.prototypes(stream) or () for stream in sorted({event.stream for event in events})}
    known: dict[str, list[Token]] = {}
    for prototype in (prototype for prototypes in kept.values() for prototype in prototypes):
        token = _token(prototype, among)
        if token is not None:
            known.setdefault(token.source[0][0], []).append(token)
    for tokens in known.values():
        tokens.sort(key=lambda token: token.t_ns)
    return {stream for stream, prototypes in kept.items() if prototypes}, known


def _token(prototype: Prototype, among: Mapping[str, Event]) -> Token | None:
    """The prototype as these events made it; None where they gave it nothing."""
    parts = Parts(part for part in prototype.parts if part.event in among)
    if not parts:
        return None
    made = replace(prototype, parts=parts)
    shares = sorted(((part.event, part.mass / made.mass) for part in parts), key=lambda pair: -pair[1])
    first = among[shares[0][0]]
    return Token(unit(made.value), first.stream, made.t_ns, first.place, tuple(shares), first.strength)
