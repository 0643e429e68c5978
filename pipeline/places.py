"""What places are called: by a person, by the name that percepts came with, or by what was seen and read in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..memory.snapshot import Snapshot
from ..records import Percept, Place
from .sighting import read_words
from .thesaurus import is_room, same_room
from .words import STOP, split

SIGN = 5.0
"""A sign that names a room counts as so many sights that are taken for one."""
SHARE = 0.5
"""Least share of the votes by which sights and signs name a place."""


class PlaceNames:
    """The places of a snapshot by the keys that percepts carry."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._known = {(place.stream, place.key): place for place in places}
        self._number = {place.id: n for n, place in enumerate(places, 1)}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a question may use, each once."""
        return tuple(dict.fromkeys(name for place in self._known.values() for name in self.of(place)))

    def of(self, place: Place) -> tuple[str, ...]:
        """The names of one place: a person's, and the one that it came with; none of a place that was found."""
        given = (place.key,) if place.key != place.id else ()
        return tuple(dict.fromkeys([place.name, *given])) if place.name else given

    def get(self, percept: Percept) -> Place | None:
        """The place of a percept, as it is stored; None where there is none (yet)."""
        return None if percept.place is None else self._known.get((percept.stream, percept.place))

    def numbered(self, place: Place) -> str:
        """What a place is called that has no name: "place 3"."""
        return f"place {self._number[place.id]}"

    def label(self, percept: Percept, room: str) -> tuple[str, str]:
        """(the room that a sight is in by all that is known, the key of the place if that tells rooms apart, or "").

        room: what the sights' own words say, or "". A person's name stands above it, a name that the percepts came
        with tells twins apart; places that were found only stand in where nothing else is known, as a room may hold
        several.
        """
        place = self.get(percept)
        if place is None:
            return room, ""
        if place.renamed:
            return place.name, place.key
        if place.key != place.id:
            return room or place.key, place.key
        return (room, "") if room else (self.numbered(place), place.key)

    def title(self, percept: Percept, around: Iterable[Percept] = ()) -> str | None:
        """The name of the place of a percept, for people; around: sights whose words may name it."""
        place = self.get(percept)
        if place is None:
            return percept.place
        told = place.name or rooms_told(p for p in [percept, *around] if p.place == percept.place)
        return told or self.numbered(place)


@dataclass(frozen=True, slots=True)
class Listed:
    """A place as it is shown to people."""

    place: Place
    title: str
    room: str
    """What the sights and signs in it call it; empty: nothing."""


def rooms_told(percepts: Iterable[Percept]) -> str:
    """The room that most sights and signs agree on, in lower case; empty where they do not."""
    votes: dict[str, float] = defaultdict(float)
    for percept in percepts:
        if percept.lane == "vision" and percept.text:
            votes[read_words(percept.text)[1]] += percept.confidence
        elif percept.lane == "caption" and percept.text and is_room(sign := percept.text.strip().lower()):
            votes[sign] += SIGN
    votes.pop("", None)
    best = max(sorted(votes), key=lambda room: votes[room], default="")
    return best if best and votes[best] >= SHARE * sum(votes.values()) else ""


def listed(snapshot: Snapshot, stream: str | None = None) -> list[Listed]:
    """Every place of a snapshot with its title, in order of stream and founding."""
    places = snapshot.places(stream)
    names = PlaceNames(snapshot.places())
    told: dict[tuple[str, str], list[Percept]] = defaultdict(list)
    if places:
        for percept in snapshot.percepts(lanes=("vision", "caption"), stream=stream):
            if percept.place is not None:
                told[percept.stream, percept.place].append(percept)
    rooms = [rooms_told(told[place.stream, place.key]) for place in places]
    return [
        Listed(place, place.name or room or names.numbered(place), room)
        for place, room in zip(places, rooms, strict=True)
    ]


def matching(places: Sequence[Listed], text: str) -> list[Listed]:
    """The places that a text names: by their name, by the room's, else by the words that they share with it."""
    asked = text.strip().lower().removeprefix("the ")
    exact = [each for each in places if asked in (each.title.lower(), each.place.name.lower(), each.place.id)]
    alike = exact or [each for each in places if each.room and same_room(asked, each.room)]
    if alike:
        return alike
    stems = {word.stem for word in split(asked) if word.lower not in STOP}
    shared = [len(stems & {word.stem for word in split(f"{each.title} {each.room}")}) for each in places]
    best = max(shared, default=0)
    return [each for each, count in zip(places, shared, strict=True) if best and count == best]
