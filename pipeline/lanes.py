"""The senses of one stream, a lane each: observations in, complete percepts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..encoders.base import (
    CaptionReader,
    Encoded,
    Encoder,
    Heard,
    Listener,
    LookEncoder,
    Read,
    TextEncoder,
    described,
)
from ..records import NS_PER_S, Lane, Observation, Percept, Picture, Vector, samples_to_ns

if TYPE_CHECKING:
    from ..operators.separate import ChangeGate

CARRIED = 1280
"""Long side of the picture that a percept carries, at most; what is stored of it is a smaller thumbnail."""
AFRESH_NS = 2 * NS_PER_S
"""The gate before the picture encoder starts afresh this often."""
QUIET_NS = 2 * NS_PER_S
"""Stream time without sound after which a listener waits for nothing."""
NS_PER_MINUTE = 60 * NS_PER_S


class Sense(Protocol):
    """One lane of one stream."""

    @property
    def settled_ns(self) -> int:
        """No percept that starts before this will still come."""
        ...

    def take(self, observation: Observation) -> list[Percept]: ...

    def flush(self, t_ns: int) -> list[Percept]:
        """The stream has ended at `t_ns`."""
        ...


class Vision:
    """Pictures to percepts: one for each sampled picture, and camera, that is no longer like the last one encoded.

    The pictures of an observation that passed are encoded in one batch; no encoder is called for what did not. Where
    there is a second encoder, a percept carries its description too (`also`, `look`), for queries that are pictures.

    The gate is HippoMM's (SSIM against the last picture that passed, or its running sum). It starts afresh on a fixed
    grid of stream time, so that a resumed stream passes the same pictures from the next grid line on.
    """

    def __init__(
        self, stream: str, encoder: Encoder[Picture], interval_ns: int, look: LookEncoder | None = None
    ) -> None:
        """look: describes the pictures a second time, in a space of its own; None, or `encoder` itself: only once."""
        self.settled_ns = 0
        self._stream = stream
        self._encoder = encoder
        self._look = None if look is None or look.spec.space.name == encoder.spec.space.name else look
        self._interval_ns = interval_ns
        self._gates: dict[str, ChangeGate] = {}
        self._window = -1

    def take(self, observation: Observation) -> list[Percept]:
        self.settled_ns = observation.t_ns
        if observation.t_ns // AFRESH_NS != self._window:
            self._window = observation.t_ns // AFRESH_NS
            for gate in self._gates.values():
                gate.clear()
        passed = {camera: picture for camera, picture in observation.images.items() if self._passes(camera, picture)}
        if not passed:
            return []
        pictures = list(passed.values())
        encoded = described(self._encoder, pictures)
        again = None if self._look is None else self._look.encode(pictures)
        spec = self._encoder.spec
        percepts = []
        for i, (camera, picture) in enumerate(passed.items()):
            text, confidence = encoded.said(i)
            percept = Percept(
                self._stream,
                "vision",
                observation.t_ns,
                observation.t_ns + self._interval_ns,
                camera=camera,
                space=spec.space.name,
                vector=encoded.vectors[i],
                tokens=None if encoded.tokens is None else encoded.tokens[i],
                text=text,
                origin=spec.name,
                confidence=confidence,
                picture=small(picture, CARRIED),
            )
            percepts.append(looked_at(percept, self._look, again, i))
        return percepts

    def flush(self, t_ns: int) -> list[Percept]:
        self.settled_ns = t_ns
        return []

    def _passes(self, camera: str, picture: Picture) -> bool:
        from ..operators.separate import ChangeGate

        gate = self._gates.setdefault(camera, ChangeGate())
        gate.look(picture)
        return gate.changed


class Captions:
    """Pictures to the text that stands in them."""

    def __init__(self, stream: str, reader: CaptionReader, text: TextEncoder, origin: str) -> None:
        self._stream = stream
        self._reader = reader
        self._words = Words(stream, "caption", text, origin)

    @property
    def settled_ns(self) -> int:
        return self._reader.settled_ns

    def take(self, observation: Observation) -> list[Percept]:
        reads: list[Read] = []
        for picture in list(observation.images.values())[:1]:  # captions are burnt into the first camera
            reads += self._reader.look(observation.t_ns, picture)
        return self._words.percepts(reads)

    def flush(self, t_ns: int) -> list[Percept]:
        return self._words.percepts(self._reader.flush(t_ns))


class Hearing:
    """A listener of one stream, whose sound may pause, end early or never come.

    When nothing has been heard for `QUIET_NS` of stream time, what was open is complete and nothing is awaited: else a
    track that ends early would hold back everything behind it.
    """

    def __init__(self, listener: Listener, first: Listener | None = None) -> None:
        """`first`: another listener that must hear each sound before this one does."""
        self._listener = listener
        self._first = first
        self._until_ns = 0
        self._quiet_ns = 0
        self._flushed = True

    @property
    def settled_ns(self) -> int:
        return max(self._listener.settled_ns, self._quiet_ns)

    def take(self, observation: Observation) -> list[Heard]:
        if observation.sound is None:
            if observation.t_ns - self._until_ns < QUIET_NS:
                return []
            heard = [] if self._flushed else self.flush()
            self._quiet_ns = observation.t_ns
            return heard
        self._until_ns = observation.t_ns + samples_to_ns(len(observation.sound))
        self._flushed = False
        if self._first is not None:
            self._first.push(observation.t_ns, observation.sound)
        return self._listener.push(observation.t_ns, observation.sound)

    def flush(self) -> list[Heard]:
        self._flushed = True
        if self._first is not None:
            self._first.flush()
        return self._listener.flush()


class Speech:
    """Sound to the words that are spoken in it."""

    def __init__(self, stream: str, listener: Listener, text: TextEncoder, origin: str) -> None:
        self._hearing = Hearing(listener)
        self._words = Words(stream, "speech", text, origin)

    @property
    def settled_ns(self) -> int:
        return self._hearing.settled_ns

    def take(self, observation: Observation) -> list[Percept]:
        return self._words.percepts(self._hearing.take(observation))

    def flush(self, t_ns: int) -> list[Percept]:  # noqa: ARG002  the listener knows how long its sound was
        return self._words.percepts(self._hearing.flush())


class Subtitles:
    """The words that came with the stream, taken for what is spoken."""

    def __init__(self, stream: str, text: TextEncoder) -> None:
        self.settled_ns = 0
        self._words = Words(stream, "speech", text, "subtitles")

    def take(self, observation: Observation) -> list[Percept]:
        self.settled_ns = observation.t_ns
        if not observation.text:
            return []
        until = observation.text_until_ns or observation.t_ns
        return self._words.percepts([Heard(observation.t_ns, max(until, observation.t_ns), observation.text, 1.0)])

    def flush(self, t_ns: int) -> list[Percept]:
        self.settled_ns = t_ns
        return []


class Sound:
    """Sound to the onsets of what is not speech; `voice` tells them apart, and must hear each sound first.

    A sound that the encoder can name carries the name, at the name's confidence.
    """

    def __init__(self, stream: str, onsets: Listener, encoder: Encoder[Vector], voice: Listener | None = None) -> None:
        self._stream = stream
        self._hearing = Hearing(onsets, voice)
        self._encoder = encoder

    @property
    def settled_ns(self) -> int:
        return self._hearing.settled_ns

    def take(self, observation: Observation) -> list[Percept]:
        return self._percepts(self._hearing.take(observation))

    def flush(self, t_ns: int) -> list[Percept]:  # noqa: ARG002
        return self._percepts(self._hearing.flush())

    def _percepts(self, heard: Sequence[Heard]) -> list[Percept]:
        sounds = [(h, h.samples) for h in heard if h.samples is not None]
        if not sounds:
            return []
        encoded = described(self._encoder, [samples for _, samples in sounds])
        spec = self._encoder.spec
        percepts = []
        for i, (h, _) in enumerate(sounds):
            text, confidence = encoded.said(i)
            percepts.append(
                Percept(
                    self._stream,
                    "sound",
                    h.t0_ns,
                    h.t1_ns,
                    space=spec.space.name,
                    vector=encoded.vectors[i],
                    text=text,
                    origin=spec.name,
                    confidence=confidence if text else h.confidence,
                )
            )
        return percepts


class Words:
    """Complete words to percepts with their vectors; of several with one span each gets its own ordinal."""

    def __init__(self, stream: str, lane: Lane, text: TextEncoder, origin: str) -> None:
        self._stream = stream
        self._lane = lane
        self._text = text
        self._origin = origin
        self._spans: dict[tuple[int, int], int] = {}  # of the last minute: how many percepts have each span

    def percepts(self, complete: Sequence[Heard | Read]) -> list[Percept]:
        complete = [c for c in complete if c.text]
        if not complete:
            return []
        vectors = self._text.encode([(c.text or "").replace("\n", ". ") for c in complete]).vectors
        made = []
        for item, vector in zip(complete, vectors, strict=True):
            key = (item.t0_ns, item.t1_ns)
            ordinal = self._spans.get(key, 0)
            self._spans = {k: n for k, n in self._spans.items() if k[0] > item.t0_ns - NS_PER_MINUTE}
            self._spans[key] = ordinal + 1
            picture = item.picture if isinstance(item, Read) else None
            made.append(
                Percept(
                    self._stream,
                    self._lane,
                    item.t0_ns,
                    item.t1_ns,
                    ordinal,
                    space=self._text.spec.space.name,
                    vector=vector,
                    text=item.text,
                    origin=self._origin,
                    confidence=item.confidence,
                    picture=None if picture is None else small(picture, CARRIED),
                )
            )
        return made


def looked_at(percept: Percept, look: LookEncoder | None, encoded: Encoded | None, index: int) -> Percept:
    """The percept with its second description, the one at `index` of a batch; as it is where there is none."""
    if look is None or encoded is None:
        return percept
    windows = None if encoded.tokens is None else encoded.tokens[index]
    return replace(percept, also={look.spec.space.name: encoded.vectors[index]}, look=windows)


def small(picture: Picture, side: int) -> Picture:
    """uint8[H, W, 3] -> uint8[h, w, 3] with a long side of at most `side`."""
    import cv2

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
