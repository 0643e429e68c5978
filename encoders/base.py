"""The protocols of the senses: what an encoder, a transcriber and a reader of captions promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
