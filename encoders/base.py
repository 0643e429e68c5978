"""The protocols of the senses: what an encoder, a transcriber and a reader of captions promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..records import Lane, Picture, Space, Vector

Input = TypeVar("Input", contravariant=True)


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What an encoder is: `space` says which vectors its own may be compared with."""

    name: str
    lane: Lane | None
    """The lane it perceives; None for text, which serves several."""
    space: Space


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch of b results."""

    vectors: NDArray[np.float32]
    """float32[b, d], unit length."""
    tokens: NDArray[np.float16] | None = None
    """float16[b, n, d], or None: then the vector is the one token."""
    words: tuple[str | None, ...] = ()
    """b of them: what is there, None where the encoder claims nothing; empty of an encoder that has no words."""
    confidences: tuple[float, ...] = ()
    """How far the encoder trusts each of `words`, 0 to 1."""

    def said(self, index: int) -> tuple[str | None, float]:
        """(words, confidence) of one result; (None, 1.0) where nothing is claimed."""
        words = self.words[index] if self.words else None
        return (words, self.confidences[index]) if words else (None, 1.0)


@runtime_checkable
class Encoder(Protocol[Input]):
    """Signal to embeddings. Same input, same output, whatever else is in the batch."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode(self, batch: Sequence[Input]) -> Encoded: ...


PictureEncoder = Encoder[Picture]
"""Of uint8[H, W, 3] RGB pictures."""
SoundEncoder = Encoder[Vector]
"""Of float32[n] sound at 16 kHz."""
TextEncoder = Encoder[str]


@runtime_checkable
class LookEncoder(Protocol):
    """A picture encoder that can say whether a picture shows what another showed: for queries by picture."""

    threshold: float
    """A calibrated score from which a picture counts as one of the stream."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode(self, batch: Sequence[Picture]) -> Encoded: ...

    def encode_query(self, picture: Picture) -> Encoded:
        """A picture to look for -> vectors[v, d], one for each of its views."""
        ...

    def match(
        self, query: Encoded, vectors: NDArray[np.float32], tokens: NDArray[np.float16] | None = None
    ) -> NDArray[np.float32]:
        """Best cosine of any view with any window: vectors[n, d], tokens[n, w, d] or None -> float32[n]."""
        ...

    def calibrate(self, cosine: float) -> float:
        """How sure a best cosine of `match` makes us, 0 to 1."""
        ...

    def agreement(self, query: Picture, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """How sure the pictures themselves make us that they show what the query shows: float32[n], 0 to 1."""
        ...


@runtime_checkable
class Looking(Protocol):
    """A profile whose sights are described twice: by `vision` for words, by `look` for queries that are pictures."""

    @property
    def look(self) -> LookEncoder | None: ...


@runtime_checkable
class Namer(Protocol):
    """An encoder that names what it is given, apart from encoding it."""

    def name(self, batch: Sequence[Any]) -> list[tuple[str | None, float]]:
        """(name or None, confidence 0 to 1) of each input."""
        ...


def described(encoder: Encoder[Input], batch: Sequence[Input]) -> Encoded:
    """A batch encoded, with the words for it where the encoder has any, whichever way it gives them."""
    encoded = encoder.encode(batch)
    if encoded.words or not batch or not isinstance(encoder, Namer):
        return encoded
    names, confidences = zip(*encoder.name(batch), strict=True)
    return replace(encoded, words=tuple(names), confidences=tuple(confidences))


@dataclass(frozen=True, slots=True)
class Heard:
    """Something complete that was heard over [t0_ns, t1_ns): an utterance with its words, or a sound."""

    t0_ns: int
    t1_ns: int
    text: str | None
    confidence: float
    samples: Vector | None = None
    """float32[n]: the sound itself, where its encoder still has to see it."""


@dataclass(frozen=True, slots=True)
class Read:
    """Text that stood in the picture over [t0_ns, t1_ns): its lines, top to bottom, joined by newlines."""

    t0_ns: int
    t1_ns: int
    text: str
    confidence: float
    picture: Picture | None = None
    """The frame in which it was read best."""


class Listener(Protocol):
    """Turns a sound stream into complete things heard; chunks come in order, without overlap."""

    @property
    def settled_ns(self) -> int:
        """Nothing that starts before this will still come."""
        ...

    def push(self, t_ns: int, samples: Vector) -> list[Heard]: ...

    def flush(self) -> list[Heard]:
        """The stream has ended: what is still open is complete now."""
        ...


class CaptionReader(Protocol):
    """Turns a picture stream into complete captions; pictures come in order of time."""

    @property
    def settled_ns(self) -> int: ...

    def look(self, t_ns: int, picture: Picture) -> list[Read]: ...

    def flush(self, t_ns: int) -> list[Read]:
        """The stream has ended at `t_ns`: captions still standing are complete now."""
        ...


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows at unit length, float32; a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
