"""Words for what a two-tower model sees or hears: the names of a list that its text tower puts nearest.

The way CLIP classifies (Radford et al. 2021, section 3.1): each name is embedded once, in the text tower's own prompt;
a signal's cosines, times the temperature that the model was trained with, are chances among all names and a few that
stand for nothing. What is not likely is not said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..records import Picture, Vector
from .base import Encoded, EncoderSpec, PictureEncoder, SoundEncoder, TextEncoder
from .everyday import COLOURS, NO_SOUND, NO_THING, ROOMS, SOUNDS, THINGS

LIKELY = 0.15
"""A thing is named from this chance on: several things in one picture share the whole."""
SURE = 0.5
"""A colour, a room and a sound are named from this chance on."""
MOST = 3
"""Things of one picture, at most."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names and their vectors."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    """float32[n, d], unit length; more rows than names: the rest stand for nothing."""

    def chances(self, vectors: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
        """float32[b, n]: how likely each row of vectors[b, d] is each of the names, and of what stands for nothing."""
        logits = scale * (vectors @ self.vectors.T)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def embedded(text: TextEncoder, names: Sequence[str], nothing: Sequence[str] = ()) -> Names:
    """The names as `text` embeds them."""
    return Names(tuple(names), text.encode([*names, *nothing]).vectors)


class NamedSight:
    """A picture encoder with words for what it sees, as "a red mug, a dog; kitchen"; otherwise the encoder as it is."""

    def __init__(self, encoder: PictureEncoder, text: TextEncoder, scale: float) -> None:
        """text: of the same space. scale: what the model multiplies cosines with (`logit_scale`)."""
        self._encoder, self._text, self._scale = encoder, text, scale
        self._coloured: dict[str, Names] = {}

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        """uint8[H, W, 3] RGB pictures -> what the encoder gives, and words."""
        encoded = self._encoder.encode(batch)
        if not batch:
            return encoded
        things = self._things.chances(encoded.vectors, self._scale)
        rooms = self._rooms.chances(encoded.vectors, self._scale)
        said = [self._say(*row) for row in zip(encoded.vectors, things, rooms, strict=True)]
        return replace(encoded, words=tuple(w for w, _ in said), confidences=tuple(sure for _, sure in said))

    def _say(self, vector: Vector, things: NDArray[np.float32], rooms: NDArray[np.float32]) -> tuple[str | None, float]:
        found = [i for i in np.argsort(-things, kind="stable")[:MOST] if things[i] >= LIKELY]
        named = [int(i) for i in found if i < len(THINGS)]
        words = ", ".join(_a(self._with_colour(THINGS[i], vector)) for i in named)
        room = int(rooms.argmax())
        where = ROOMS[room] if rooms[room] >= SURE else ""
        told = "; ".join(part for part in (words, where) if part)
        chance = float(sum(things[i] for i in named)) if named else float(rooms[room])
        return (told, min(chance, 1.0)) if told else (None, 1.0 - chance)

    def _with_colour(self, thing: str, vector: Vector) -> str:
        if thing not in self._coloured:
            self._coloured[thing] = embedded(self._text, [f"{colour} {thing}" for colour in COLOURS], [thing])
        names = self._coloured[thing]
        chances = names.chances(vector[None], self._scale)[0]
        best = int(chances.argmax())
        return names.names[best] if best < len(COLOURS) and chances[best] >= SURE else thing

    @cached_property
    def _things(self) -> Names:
        return embedded(self._text, THINGS, NO_THING)

    @cached_property
    def _rooms(self) -> Names:
        return embedded(self._text, ROOMS)


class NamedSound:
    """A sound encoder with words for what it hears; otherwise the encoder as it is."""

    def __init__(self, encoder: SoundEncoder, text: TextEncoder, scale: float) -> None:
        """text: of the same space. scale: what the model multiplies cosines with."""
        self._encoder, self._text, self._scale = encoder, text, scale

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode(self, batch: Sequence[Vector]) -> Encoded:
        """float32[n] sounds at 16 kHz -> what the encoder gives, and words."""
        encoded = self._encoder.encode(batch)
        if not batch:
            return encoded
        chances = self._names.chances(encoded.vectors, self._scale)
        best = chances.argmax(axis=1)
        sure = chances[np.arange(len(best)), best]
        said = [SOUNDS[i] if i < len(SOUNDS) and s >= SURE else None for i, s in zip(best, sure, strict=True)]
        return replace(encoded, words=tuple(said), confidences=tuple(float(s) for s in sure))

    @cached_property
    def _names(self) -> Names:
        return embedded(self._text, SOUNDS, NO_SOUND)


def _a(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name
