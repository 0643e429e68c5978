"""A profile of small real encoders that have words: flat colours by name, sounds by their pitch.

It stands where the trained towers will: its sights are described twice, in the text tower's space and in `layout`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mneme.encoders.base import Encoded, EncoderSpec, TextEncoder
from mneme.encoders.profiles import Embedded
from mneme.encoders.vision import Layout
from mneme.records import SOUND_RATE, Picture, Space, Vector

PALETTE = {
    (200, 30, 30): "a red wall; kitchen",
    (30, 30, 200): "a blue wall, a small lamp; garage",
    (30, 160, 40): "a green wall; garden",
    (120, 120, 120): None,
}
"""Mean colour of a picture -> what is there; grey is nothing that has a name."""


class NamesColours:
    """Pictures to the words of the nearest colour of the palette, and the text tower's vector of those words."""

    def __init__(self, text: TextEncoder) -> None:
        self._text = text
        self.spec = EncoderSpec("colour-names", "vision", text.spec.space)
        self.pictures = 0
        """How many it was given so far."""

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        self.pictures += len(batch)
        colours = np.array(list(PALETTE), dtype=np.float64)
        away = [np.linalg.norm(colours - picture.mean(axis=(0, 1)), axis=1) for picture in batch]
        words = [list(PALETTE.values())[int(d.argmin())] for d in away]
        vectors = self._text.encode([w or "nothing" for w in words]).vectors
        tokens = np.repeat(vectors[:, None], 4, axis=1).astype(np.float16)
        sure = tuple(float(1 - d.min() / 442) for d in away)
        return Encoded(vectors, tokens, tuple(words), sure)


class NamesPitches:
    """Sounds to the text tower's vector of their name, which it gives apart: a bell is high, a motor low."""

    def __init__(self, text: TextEncoder) -> None:
        self._text = text
        self.spec = EncoderSpec("pitch-names", "sound", text.spec.space)

    def encode(self, batch: Sequence[Vector]) -> Encoded:
        return Encoded(self._text.encode([name or "noise" for name, _ in self.name(batch)]).vectors)

    def name(self, batch: Sequence[Vector]) -> list[tuple[str | None, float]]:
        named: list[tuple[str | None, float]] = []
        for samples in batch:
            power = np.abs(np.fft.rfft(samples)) ** 2
            hertz = float(np.fft.rfftfreq(len(samples), 1 / SOUND_RATE)[int(power.argmax())])
            named.append(("bell", 0.9) if hertz > 800 else ("motor", 0.8))
        return named


class Naming(Embedded):
    """As `embedded`, with words for sights and sounds."""

    name = "naming"

    def __init__(self) -> None:
        super().__init__()
        self._colours: NamesColours | None = None

    @property
    def spaces(self) -> tuple[Space, ...]:
        return (self.text.spec.space, self.look.spec.space)

    @property
    def vision(self) -> NamesColours:  # type: ignore[override]
        if self._colours is None:
            self._colours = NamesColours(self.text)
        return self._colours

    @property
    def look(self) -> Layout:
        return super().vision

    @property
    def sound(self) -> NamesPitches:
        return NamesPitches(self.text)
