"""Names of places without words that were erased: what stands in their stead says nothing.

A place that percepts or a person called by such words stays where it is: its key becomes its id, its name goes.
"""

from __future__ import annotations

from dataclasses import replace

from ..records import Percept, Place
from .spatial import id_of
from .target import phrase


def key_without(said: str, stream: str, key: str) -> str:
    """The key of a stream's place, or the place's id where the key holds the phrase. said: as `phrase`; "": none."""
    return id_of(stream, key) if said and said in phrase(key) else key


def name_without(said: str, name: str) -> str:
    """The name of a place; "" where it holds the phrase."""
    return "" if said and said in phrase(name) else name


def place_without(said: str, place: Place) -> Place:
    """The place, by a key and a name that do not hold the phrase."""
    return replace(place, key=key_without(said, place.stream, place.key), name=name_without(said, place.name))


def percept_without(said: str, percept: Percept) -> Percept:
    """The percept, in a place whose key does not hold the phrase; what it says itself stays."""
    key = percept.place
    return percept if key is None else replace(percept, place=key_without(said, percept.stream, key))
