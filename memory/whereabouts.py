"""Where a recording is, moment by moment: which place each percept gets, and the places as they stand at each cut.

Places are a matter of order: they are folded in as time settles, so that what is stored with a closed event is exactly
what was known at its end, and an interrupted recording that goes on from there finds the same places again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..records import Moment, Place
from .spatial import AWAY_NS, Fix, PlaceMap, PlaceSettings, carry_names
from .unsaid import key_without, place_without


@dataclass(frozen=True, slots=True)
class Left:
    """What is known where an event ends beside the places as they are stored."""

    key: str | None = None
    """Of the place where the stream was; None: in none that is known."""
    last_ns: int | None = None
    """Until when that was known; None: it never was placed."""
    camera: str | None = None
    """Whose sights tell of places; None: none did."""


@dataclass(slots=True)
class _Stay:
    """A stretch of time in one place, or in none that is known."""

    t0_ns: int
    t1_ns: int
    key: str | None


class Whereabouts:
    """The places of one recording; what comes in is in order of time as moments are."""

    def __init__(
        self,
        stream: str,
        settings: PlaceSettings,
        places: Sequence[Place] = (),
        from_ns: int = 0,
        named: Iterable[Place] = (),
        left: Left | None = None,
    ) -> None:
        """places: as they stood at `from_ns`, the end of the last closed event.

        named: of the recording that this one replaces; the names that a person gave them go over.
        left: what else was known at `from_ns`; without it the stream counts as still being where it was last.
        """
        self._stream = stream
        self._settings = settings
        self._map = PlaceMap(stream, settings, places)
        self._named = list(named)
        self._waiting: list[Fix] = []
        """Not folded in yet, in order of time."""
        self._from_ns = from_ns
        """What comes late and is of before this changes no place."""
        self._camera = None if left is None else left.camera
        self._stays = _last(self._map.here) if left is None else _stood(left)
        self._at_cut: dict[int, list[Place]] = {}
        self._left: dict[int, Left] = {}
        self._stored = {place.id: place for place in places}
        self._keep_ns = from_ns
        """Of the time before nobody asks any more."""

    def observe(self, moment: Moment) -> None:
        """Takes what a moment tells of where the stream is."""
        given = {p.t0_ns: p.place for p in reversed(moment.percepts) if p.place is not None}
        for t_ns, place in given.items():
            self._note(Fix(t_ns, place, moment.pose))
        if moment.pose is not None:
            if not given:
                self._note(Fix(moment.t_ns, pose=moment.pose))
            return
        if given or self._settings.likeness <= 0:
            return
        for percept in moment.percepts:
            if percept.lane == "vision" and percept.vector is not None and percept.space is not None:
                self._camera = percept.camera if self._camera is None else self._camera
                if percept.camera == self._camera:  # two cameras look at two things
                    self._note(Fix(percept.t0_ns, space=percept.space, vector=percept.vector))

    def settle(self, until_ns: int | None, keep_ns: int | None = None) -> None:
        """Folds in what is of before that time (None: everything).

        keep_ns: from the next call on, nobody will ask for the place at an earlier time. What settles in this call is
        asked for after it, and may be of before: where a cut was awaited, some seconds settle at once.
        """
        while self._waiting and (until_ns is None or self._waiting[0].t_ns < until_ns):
            fix = self._waiting.pop(0)
            self._from_ns = max(self._from_ns, fix.t_ns)
            key = self._map.take(fix)
            if self._stays and self._stays[-1].key == key:
                self._stays[-1].t1_ns = fix.t_ns
            else:
                self._stays.append(_Stay(fix.t_ns, fix.t_ns, key))
        first = bisect_right(self._stays, self._keep_ns, key=lambda stay: stay.t0_ns) - 1
        self._stays = self._stays[max(first, 0) :]
        self._keep_ns = self._keep_ns if keep_ns is None else keep_ns

    def cut(self, cut_ns: int) -> None:
        """An event ends, another begins: keeps the places as they stand."""
        self.settle(cut_ns)
        self._from_ns = max(self._from_ns, cut_ns)
        self._map.begin()
        if self._stays and (here := self._map.here) is not None and here.vectors:
            self._stays.append(_Stay(cut_ns, cut_ns, None))  # how it looked says nothing about another scene
        self._at_cut[cut_ns] = self._map.places
        key, last_ns = (self._stays[-1].key, self._stays[-1].t1_ns) if self._stays else (None, None)
        self._left[cut_ns] = Left(key, last_ns, self._camera)

    def left(self, cut_ns: int) -> Left:
        """What going on from a cut that it was told of needs beside the places."""
        return self._left[cut_ns]

    def at(self, t_ns: int) -> str | None:
        """The place at a time that has settled; none where the last that is known lies too long ago."""
        i = bisect_right(self._stays, t_ns, key=lambda stay: stay.t0_ns) - 1
        if i < 0 or t_ns - self._stays[i].t1_ns > AWAY_NS:
            return None
        return self._stays[i].key

    def changed(self, cut_ns: int) -> list[Place]:
        """The places as they stand at a cut, those that are not stored like that already."""
        places = carry_names(self._at_cut[cut_ns], self._named, self._settings.radius_m)
        return [place for place in places if self._stored.get(place.id) != place]

    def stored(self, cut_ns: int, places: Iterable[Place]) -> None:
        """What `changed` gave for the cut is durable."""
        self._stored |= {place.id: place for place in places}
        self._at_cut = {at_ns: known for at_ns, known in self._at_cut.items() if at_ns > cut_ns}
        self._left = {at_ns: known for at_ns, known in self._left.items() if at_ns > cut_ns}

    def erase(self, places: Sequence[Place], gone: Callable[[int], bool], said: str = "") -> None:
        """Goes on from places as they stand after an erasure.

        gone: whether a time was erased. said: a phrase that no place may be called by.
        """
        stand = {place.id: place for place in places}

        def key(known: str | None) -> str | None:
            return None if known is None else key_without(said, self._stream, known)

        touched = any(gone(t_ns) for stay in self._stays for t_ns in (stay.t0_ns, stay.t1_ns))

        def stands(place: Place) -> Place | None:
            """As it is known here, where the erasure left alone what is stored of it; else as it is stored now."""
            before, now = self._stored.get(place.id), stand.get(place.id)
            if before is None:
                return None if gone(place.first_ns) else place_without(said, place)
            alike = (
                now is not None and now == place_without(said, before) and now.vectors.keys() == before.vectors.keys()
            )
            return place_without(said, place) if alike and not touched else now

        def left(known: Iterable[Place]) -> list[Place]:
            places = [place for each in known if (place := stands(each)) is not None]
            ids = {place.id for place in places}
            return [replace(p, moves=tuple(move for move in p.moves if move[0] in ids)) for p in places]

        self._named = [place_without(said, place) for place in self._named]
        self._at_cut = {at_ns: left(known) for at_ns, known in self._at_cut.items()}
        self._map = PlaceMap(self._stream, self._settings, left(self._map.places))
        self._left = {at_ns: replace(knew, key=key(knew.key)) for at_ns, knew in self._left.items()}
        waiting = [(fix, key(fix.given)) for fix in self._waiting if not gone(fix.t_ns)]
        self._waiting = [replace(fix, given=other, unsaid=fix.unsaid or other != fix.given) for fix, other in waiting]
        self._stays = [
            _Stay(stay.t0_ns, stay.t1_ns, key(stay.key))
            for stay in self._stays
            if not gone(stay.t0_ns) and not gone(stay.t1_ns)
        ]
        self._stored = stand

    def tells(self, said: str) -> bool:
        """Whether a place that is not stored yet, or one of the recording that this one replaces, is called so."""
        known = [*self._named, *self._map.places, *(place for places in self._at_cut.values() for place in places)]
        given = (fix.given for fix in self._waiting if fix.given is not None)
        return any(place_without(said, place) != place for place in known) or any(
            key_without(said, self._stream, name) != name for name in given
        )

    def stood(self, called: str, until_ns: int) -> list[tuple[int, int]]:
        """When it was in a place of that id, key or name, to where it was next; as far back as is kept (`settle`).

        What has not settled counts as it would if nothing else came before it.
        """
        ahead = PlaceMap(self._stream, self._settings, self._map.places)
        told = [(stay.t0_ns, stay.t1_ns, stay.key) for stay in self._stays]
        told += [(fix.t_ns, fix.t_ns, ahead.take(fix)) for fix in self._waiting]
        ends = [*(t0_ns for t0_ns, _, _ in told), until_ns][1:]
        called = called.casefold()
        known = carry_names(ahead.places, self._named, self._settings.radius_m)
        keys = {p.key for p in known if called in {each.casefold() for each in (p.id, p.key, p.name)}}
        return [
            (t0_ns, max(t1_ns + 1, min(end_ns, t1_ns + AWAY_NS)))
            for (t0_ns, t1_ns, key), end_ns in zip(told, ends, strict=True)
            if key is not None and (key in keys or key.casefold() == called)
        ]

    def key_of(self, given: str) -> str:
        """`PlaceMap.key_of`, of what has settled."""
        return self._map.key_of(given)

    def rename(self, place: Place) -> None:
        """A person gave one of its places another name while it is recorded; it is stored already."""
        self._named = [old for old in self._named if old.id != place.id]
        self._map.rename(place.id, place.name)
        self._at_cut = {at_ns: [_renamed(known, place) for known in places] for at_ns, places in self._at_cut.items()}
        self._stored[place.id] = place

    def _note(self, fix: Fix) -> None:
        if fix.t_ns < self._from_ns:
            return
        at = bisect_right(self._waiting, fix.t_ns, key=lambda waiting: waiting.t_ns)
        self._waiting.insert(at, fix)


def _last(here: Place | None) -> list[_Stay]:
    """Of a stream of which only the place is known where it was last: how another scene looked says nothing."""
    return [] if here is None or here.vectors else [_Stay(here.last_ns, here.last_ns, here.key)]


def _stood(left: Left) -> list[_Stay]:
    return [] if left.last_ns is None else [_Stay(left.last_ns, left.last_ns, left.key)]


def _renamed(place: Place, renamed: Place) -> Place:
    """The place, by its new name if it is the one that was renamed."""
    return replace(place, name=renamed.name) if place.id == renamed.id else place
