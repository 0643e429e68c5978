"""How a scene or a sound is told: thousands of sentences for training, and others, in other words, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .vocabulary import ACTIONS, COLOURS, KINDS, LIGHTS, MATERIALS, ROOMS, SHARE_HELD, SIZES, SOUNDS, Term

Split = Literal["trained", "held"]
Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class Thing:
    """One object or figure, by the names of the vocabulary."""

    kind: str
    colour: str
    size: str = ""
    material: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture is of."""

    room: str
    things: tuple[Thing, ...]
    """The one that it is about first."""
    light: str = "day"


OPENINGS = (
    "", "", "", "a picture of ", "a photo of ", "there is ", "this shows ", "we see ", "a view of ", "here is ",
    "in this frame there is ", "the camera shows ", "a video frame of ", "you can see ", "an image of ",
)  # fmt: skip
INSIDE = ("in the {room}", "in a {room}", "inside the {room}", "seen in the {room}", "standing in the {room}")
PLACED = ("the {room} with {things}", "the {room}, where there is {things}", "the {room}: {things}", "{room}, {things}")
ASKED = (
    "when did I see {things} in the {room}?", "where was {things}? in the {room}", "{things}, {room}",
    "look for {things} in the {room}", "is there {things} in the {room}?", "did {things} stand in the {room}?",
    "which moment shows {things} in the {room}?", "the time {things} was seen in the {room}",
    "{room} with {things} in it",
    "do you remember {things} in the {room}?", "I saw {things} when I was in the {room}",
    "{things} that is in the {room}",
)  # fmt: skip
"""How people ask, in training."""
HELD_FRAMES = (
    "where in the {room} did I see {things}?",
    "show me the moment with {things} in the {room}",
    "find {things} that was left in the {room}",
    "was there {things} in the {room}?",
    "I am looking for {things}; I believe it is in the {room}",
    "the {room} when it had {things} in it",
)
SOUND_FRAMES = (
    "{sound}", "the sound of {a_sound}", "{a_sound} can be heard", "we hear {a_sound}", "a recording of {a_sound}",
    "{a_sound} nearby", "there is the noise of {a_sound}",
)  # fmt: skip
HELD_SOUND_FRAMES = ("when did I hear {a_sound}?", "did something sound like {a_sound}?", "listen for {a_sound}")
UNCOUNTED = (
    "running ", "breaking ", "glass shattering", "water ", "someone ", "music", "knocking", "steps", "footsteps",
    "whistling", "drumming", "dog barks", "cat meows", "smoke ", "engine ",
)  # fmt: skip
"""What takes no article."""


def held_out(colour: str, kind: str, room: str) -> bool:
    """Whether training never draws this colour of this kind in this room: one in `SHARE_HELD`, the same everywhere."""
    digest = hashlib.blake2b(f"{colour}|{kind}|{room}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % SHARE_HELD == 0


def name_of(term: Term, draw: Draw, split: Split) -> str:
    """A name of the term: one that training uses, or for tests one that it never uses (its own where there is none)."""
    if split == "held" and term.held:
        return str(draw.choice(term.held))
    return term.name if draw.random() < 0.6 else str(draw.choice(term.known))


def a(words: str) -> str:
    """With its article."""
    if words.startswith(UNCOUNTED):
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def tell_thing(thing: Thing, draw: Draw, split: Split = "trained", *, full: float = 0.3) -> str:
    """A noun phrase, "a small red mug". `full`: how often size, material and action are told where they are known.

    Tests name one part in three by a held-out synonym, so that a question is new but not a riddle.
    """

    def pick(table: dict[str, Term] | object, key: str) -> str:
        term: Term = table[key]  # type: ignore[index]
        return name_of(term, draw, split if draw.random() < 1 / 3 else "trained")

    words = []
    if thing.size and draw.random() < full:
        words.append(pick(SIZES, thing.size))
    if thing.material and thing.material != "plain" and draw.random() < full:
        material = pick(MATERIALS, thing.material)
        words.append(material if not material.startswith("with ") else MATERIALS[thing.material].name)
    words += [pick(COLOURS, thing.colour), pick(KINDS, thing.kind)]
    told = a(" ".join(words))
    if thing.action and draw.random() < full:
        told += f", {pick(ACTIONS, thing.action)},"
    return told


def tell_scene(
    scene: Scene, draw: Draw, split: Split = "trained", *, most: int = 2, full: float = 0.3, asked: float = 0.0
) -> str:
    """A sentence about a scene: its first thing, at most `most` in all, and its room. `asked`: how often a question."""
    things = scene.things[: max(1, int(draw.integers(1, most + 1)))]
    told = " and ".join(tell_thing(thing, draw, split, full=full) for thing in things)
    if split == "held":
        room = name_of(ROOMS[scene.room], draw, "held" if draw.random() < 1 / 3 else "trained")
        return str(draw.choice(HELD_FRAMES)).format(room=room, things=told)
    room = name_of(ROOMS[scene.room], draw, split)
    if asked and draw.random() < asked:
        return str(draw.choice(ASKED)).format(room=room, things=told)
    if draw.random() < 0.25:
        words = str(draw.choice(PLACED)).format(room=room, things=told)
    else:
        words = str(draw.choice(OPENINGS)) + told + " " + str(draw.choice(INSIDE)).format(room=room)
    if draw.random() < 0.15:
        words += f", {name_of(LIGHTS[scene.light], draw, split)}"
    return words


def tell_sound(sound: str, draw: Draw, split: Split = "trained") -> str:
    """A sentence about a sound."""
    frames = HELD_SOUND_FRAMES if split == "held" else SOUND_FRAMES
    words = name_of(SOUNDS[sound], draw, split)
    return str(draw.choice(frames)).format(sound=words, a_sound=a(words))
