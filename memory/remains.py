"""What an event still tells of percepts that are there no longer: the budget takes percepts, and leaves events as they
are.

So an event cannot always be built again from its percepts. Who asks whether it can (`holds_more`) compares what its
percepts account for with what stands in its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..records import LANES, Event, Percept, Vector
from .episodic import Summariser, in_order, vectors_of_members
from .target import PIECES, phrase

_SAME = 1e-5
"""How far a number of a vector may be from what the percepts give."""
_CUT_OFF = "…"

Known = tuple[Event, Sequence[Percept]]
"""An event with the percepts that it still has."""


def holds_more(event: Event, members: Sequence[Percept], summarise: Summariser) -> bool:
    """Whether an event tells more than its percepts account for. members: all it still has, with vectors."""
    there = vectors_of_members(in_order(members))
    if event.vectors.keys() - there.keys():
        return True
    if any(not np.allclose(vector, there[space], rtol=0, atol=_SAME) for space, vector in event.vectors.items()):
        return True
    if set(event.lanes) - {percept.lane for percept in members}:
        return True
    if event.place is not None and all(percept.place != event.place for percept in members):
        return True
    return bool(_unaccounted(event.gist, members)) and summarise(in_order(members)) != event.gist


def joined_with(event: Event, own: Sequence[Percept], was: Sequence[Known], summarise: Summariser) -> Event:
    """An event that was built from its percepts, with what the events that it is cut from told beyond theirs.

    own: its percepts. was: the events over its time, in order. Their words stay; their vectors are weighed by how long
    they lasted, since how many percepts they had is not known any more. Of an event that is cut in two, what cannot be
    told apart goes to both.
    """
    was = [(each, members) for each, members in was if each.t0_ns < event.t1_ns and event.t0_ns < each.t1_ns]
    if not any(holds_more(each, members, summarise) for each, members in was):
        return event
    pieces = dict.fromkeys(piece for each, members in was for piece in _told(each, members, own))
    words = [
        Percept(event.stream, "caption", event.t0_ns, event.t1_ns, i, text=piece) for i, piece in enumerate(pieces)
    ]
    lanes = {percept.lane for percept in own}
    for each, members in was:
        lanes |= set(each.lanes) - {percept.lane for percept in members}
    there = [each.place for each, _ in sorted(was, key=lambda known: _length(known[0])) if each.place is not None]
    return replace(
        event,
        gist=summarise(words) if words else "",
        vectors=_vectors(event, [each for each, _ in was]),
        lanes=tuple(lane for lane in LANES if lane in lanes),
        place=event.place if event.place is not None or not there else there[-1],
    )


def _vectors(event: Event, was: Sequence[Event]) -> dict[str, Vector]:
    whole = all(event.t0_ns <= each.t0_ns and each.t1_ns <= event.t1_ns for each in was)
    made = {}
    for space in sorted({*event.vectors, *(space for each in was for space in each.vectors)}):
        held = [(_length(each), each.vectors[space]) for each in was if space in each.vectors]
        if space in event.vectors and (not whole or not held):
            made[space] = event.vectors[space]
            continue
        mean = sum(length * vector.astype(np.float64) for length, vector in held)
        made[space] = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
    return made


def _length(event: Event) -> int:
    return max(1, event.t1_ns - event.t0_ns)


def _told(event: Event, members: Sequence[Percept], own: Sequence[Percept]) -> list[str]:
    """The pieces of an event's gist but those that only percepts say which are not in `own`."""
    mine = {percept.id for percept in own}
    others = _unaccounted(event.gist, [percept for percept in members if percept.id not in mine])
    own_too = set(_pieces(event.gist)) - set(_unaccounted(event.gist, own))
    return [piece for piece in _pieces(event.gist) if piece in own_too or piece in others]


def _pieces(gist: str) -> list[str]:
    return [piece.strip() for piece in gist.split(PIECES) if piece.strip()]


def _unaccounted(gist: str, members: Sequence[Percept]) -> list[str]:
    """The pieces of a gist that none of the percepts says."""
    said = [phrase(percept.text) for percept in members if percept.text]
    left = []
    for piece in _pieces(gist):
        words = phrase(piece)
        if piece.endswith(_CUT_OFF):
            words = words[:-1]  # the last word may be cut off too
        if words and not any(words in other for other in said):
            left.append(piece)
    return left
