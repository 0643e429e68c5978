"""Everyday names of things, rooms and sounds: which words people use for one another, and which verbs sound like what.

A row is what a speaker of English may call the same thing; it is common knowledge, not the vocabulary of any encoder.
What no row joins, the text tower may (`sighting.Names`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .words import split, stem


def _rows(*rows: str) -> Mapping[str, frozenset[str]]:
    """stem -> stems of the rows in which it stands."""
    table: dict[str, frozenset[str]] = {}
    for row in rows:
        stems = frozenset(stem(word) for word in row.split())
        for each in stems:
            table[each] = table.get(each, frozenset()) | stems
    return MappingProxyType(table)


THINGS = _rows(
    "mug cup",
    "sofa couch settee",
    "bicycle bike cycle",
    "phone telephone mobile smartphone cellphone",
    "laptop computer notebook",
    "car automobile",
    "boat ship",
    "person man woman human figure people someone",
    "dog puppy hound",
    "cat kitten",
    "vacuum hoover",
    "box carton crate",
    "ball football",
    "bottle flask",
    "clock timepiece",
    "lamp light",
    "plant houseplant",
    "flower blossom",
    "hat cap",
    "shoe sneaker trainer boot",
    "television tv",
    "picture painting",
    "cupboard cabinet",
    "rug carpet",
)
ROOMS: tuple[frozenset[str], ...] = tuple(
    frozenset(name.strip() for name in row.split(","))
    for row in (
        "hallway, hall, corridor, entrance hall",
        "living room, lounge, sitting room, front room",
        "bathroom, washroom, shower room",
        "cellar, basement",
        "garden, yard, backyard, back garden",
        "kitchen, kitchenette",
        "bedroom, bedchamber",
        "nursery, playroom, children's room",
        "office, study, home office",
        "library, reading room",
        "workshop, tool shed",
        "garage, car port",
        "attic, loft",
        "balcony, terrace",
        "dining room",
        "laundry, laundry room, utility room",
        "store room, pantry",
    )
)
SOUNDS = _rows(
    "dog bark",
    "cat meow mew purr",
    "bird chirp tweet birdsong twitter",
    "bell chime",
    "alarm beep beeper buzzer",
    "knock tap rap",
    "glass shatter smash",
    "water splash drip tap",
    "motor engine",
    "music melody tune song",
    "footstep step footfall",
    "siren ambulance",
    "drum drumbeat",
    "phone telephone ringtone",
)
VOICES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        stem(verb): frozenset(stem(noun) for noun in nouns.split())
        for verb, nouns in {
            "bark": "dog",
            "meow": "cat",
            "purr": "cat",
            "chirp": "bird",
            "tweet": "bird",
            "sing": "bird music",
            "ring": "bell alarm phone",
            "chime": "bell clock",
            "beep": "alarm",
            "buzz": "alarm",
            "knock": "knock",
            "shatter": "glass",
            "smash": "glass",
            "break": "glass",
            "splash": "water",
            "drip": "water",
            "flow": "water",
            "hum": "motor",
            "wail": "siren",
            "blow": "whistle",
            "beat": "drum",
            "play": "music",
        }.items()
    }
)
"""What a thing does that is heard -> what is heard doing it."""
AUDIBLE = frozenset(stem(v) for v in "bark meow purr chirp tweet ring chime beep buzz knock shatter smash wail".split())
"""Verbs that are heard rather than seen."""
BYSTANDERS = frozenset(stem(w) for w in "door floor wall window tap someone somebody person hard wood".split())
"""What stands beside a sound's verb without being what sounds: a knock at the door."""
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        name: row.split()[0]
        for row in (
            "red scarlet crimson reddish",
            "orange",
            "yellow yellowish",
            "green greenish emerald",
            "blue bluish navy",
            "purple violet lilac",
            "pink rose",
            "brown",
            "white",
            "black",
            "grey gray",
            "silver",
            "gold golden",
            "turquoise teal",
            "beige",
        )
        for name in row.split()
    }
)
"""A colour's word -> the one that stands for its row."""
SIZES: Mapping[str, str] = MappingProxyType(
    {name: row.split()[0] for row in ("small little tiny", "large big huge") for name in row.split()}
)


def joined(one: str, other: str, table: Mapping[str, frozenset[str]]) -> bool:
    """Whether two stems are equal or stand in one row."""
    return one == other or other in table.get(one, frozenset())


def same_room(one: str, other: str) -> bool:
    """Whether two names are of one kind of room, or one place's."""
    one, other = one.lower(), other.lower()
    if _stems(one) == _stems(other):
        return True
    return any(one in row and other in row for row in ROOMS)


def is_room(name: str, known: Iterable[str] = ()) -> bool:
    """Whether a name is a room's: one of `known`, of the table, or one that says so ("store room")."""
    return any(same_room(name, room) for room in known) or any(name in row for row in ROOMS) or name.endswith(" room")


def _stems(name: str) -> frozenset[str]:
    return frozenset(word.stem for word in split(name))
