"""Places as they were known at a time of their stream: without the visits and moves that came later.

The rows of places stand as the last commit left them. What was perceived where tells the rest: it is walked through
again up to the time that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..records import Place
from .spatial import Fix, PlaceMap, PlaceSettings


def until(places: Sequence[Place], stood: Iterable[tuple[int, str]]) -> list[Place]:
    """The places of one stream, with visits, last times and moves of only what is told.

    stood: (t_ns, key) of what was perceived in a place until then. A place in which nothing was, as where it is known
    from a pose alone, counts as visited once, when it was founded.
    """
    ids = {place.key: place.id for place in places}
    walk = PlaceMap(places[0].stream if places else "", PlaceSettings(most=len(ids)))
    for t_ns, key in sorted(stood):
        if key in ids:
            walk.take(Fix(t_ns, given=key))
    known = {place.key: place for place in walk.places}
    own = {place.id: ids[place.key] for place in walk.places}
    made = []
    for place in places:
        then = known.get(place.key, Place("", place.stream, place.key, visits=1, last_ns=place.first_ns))
        moves = tuple(sorted((own[id], count) for id, count in then.moves))
        last_ns = max(place.first_ns, then.last_ns)
        made.append(replace(place, visits=then.visits, last_ns=last_ns, moves=moves))
    return made
