"""Perception of one stream: observations in, moments out.

Each lane is a small sense that takes observations in order and gives complete percepts, of the same instant or of some
seconds ago. Eyes and ears run in a thread each (pictures and sounds never wait for one another's models); the moments
come out in order of time and do not depend on which thread was faster.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..encoders.base import CaptionReader, Encoder, Heard, Listener, Read, TextEncoder
from ..records import NS_PER_S, Lane, Moment, Observation, Percept, Picture, Vector, samples_to_ns

if TYPE_CHECKING:
    from ..operators.change import SceneChange
    from ..operators.separate import ChangeGate

CARRIED = 1280
"""Long side of the picture that a percept carries, at most; what is stored of it is a smaller thumbnail."""
AFRESH_NS = 2 * NS_PER_S
"""The gate before the picture encoder starts afresh this often."""
MOMENT_NS = NS_PER_S
"""Without pictures a moment is given out this often."""
AHEAD = 24
"""Observations that the eyes and the ears may be working on at once: bounds what waits between the threads."""


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

    The gate is HippoMM's (SSIM against the last picture that passed, or its running sum). It starts afresh on a fixed
    grid of stream time, so that a resumed stream passes the same pictures from the next grid line on.
    """

    def __init__(self, stream: str, encoder: Encoder[Picture], interval_ns: int) -> None:
        self.settled_ns = 0
        self._stream = stream
        self._encoder = encoder
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
        encoded = self._encoder.encode(list(passed.values()))
        spec = self._encoder.spec
        return [
            Percept(
                self._stream,
                "vision",
                observation.t_ns,
                observation.t_ns + self._interval_ns,
                camera=camera,
                space=spec.space.name,
                vector=encoded.vectors[i],
                tokens=None if encoded.tokens is None else encoded.tokens[i],
                origin=spec.name,
                picture=small(picture, CARRIED),
            )
            for i, (camera, picture) in enumerate(passed.items())
        ]

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


class Speech:
    """Sound to the words that are spoken in it."""

    def __init__(self, stream: str, listener: Listener, text: TextEncoder, origin: str) -> None:
        self._listener = listener
        self._words = Words(stream, "speech", text, origin)

    @property
    def settled_ns(self) -> int:
        return self._listener.settled_ns

    def take(self, observation: Observation) -> list[Percept]:
        if observation.sound is None:
            return []
        return self._words.percepts(self._listener.push(observation.t_ns, observation.sound))

    def flush(self, t_ns: int) -> list[Percept]:  # noqa: ARG002  the listener knows how long its sound was
        return self._words.percepts(self._listener.flush())


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
    """Sound to the onsets of what is not speech; `voice` tells them apart, and must hear each sound first."""

    def __init__(self, stream: str, onsets: Listener, encoder: Encoder[Vector], voice: Listener | None = None) -> None:
        self._stream = stream
        self._onsets = onsets
        self._voice = voice
        self._encoder = encoder

    @property
    def settled_ns(self) -> int:
        return self._onsets.settled_ns

    def take(self, observation: Observation) -> list[Percept]:
        if observation.sound is None:
            return []
        if self._voice is not None:
            self._voice.push(observation.t_ns, observation.sound)
        return self._percepts(self._onsets.push(observation.t_ns, observation.sound))

    def flush(self, t_ns: int) -> list[Percept]:  # noqa: ARG002
        if self._voice is not None:
            self._voice.flush()
        return self._percepts(self._onsets.flush())

    def _percepts(self, heard: Sequence[Heard]) -> list[Percept]:
        clips = [h.samples for h in heard if h.samples is not None]
        if not clips:
            return []
        vectors = self._encoder.encode(clips).vectors
        spec = self._encoder.spec
        return [
            Percept(
                self._stream,
                "sound",
                h.t0_ns,
                h.t1_ns,
                space=spec.space.name,
                vector=vectors[i],
                origin=spec.name,
                confidence=h.confidence,
            )
            for i, h in enumerate(h for h in heard if h.samples is not None)
        ]


class Words:
    """Complete words to percepts with their vectors; of several with one span each gets its own ordinal."""

    def __init__(self, stream: str, lane: Lane, text: TextEncoder, origin: str) -> None:
        self._stream = stream
        self._lane = lane
        self._text = text
        self._origin = origin
        self._last: tuple[int, int] = (-1, -1)
        self._ordinal = 0

    def percepts(self, complete: Sequence[Heard | Read]) -> list[Percept]:
        complete = [c for c in complete if c.text]
        if not complete:
            return []
        vectors = self._text.encode([(c.text or "").replace("\n", ". ") for c in complete]).vectors
        made = []
        for item, vector in zip(complete, vectors, strict=True):
            key = (item.t0_ns, item.t1_ns)
            self._ordinal = self._ordinal + 1 if key == self._last else 0
            self._last = key
            picture = item.picture if isinstance(item, Read) else None
            made.append(
                Percept(
                    self._stream,
                    self._lane,
                    item.t0_ns,
                    item.t1_ns,
                    self._ordinal,
                    space=self._text.spec.space.name,
                    vector=vector,
                    text=item.text,
                    origin=self._origin,
                    confidence=item.confidence,
                    picture=None if picture is None else small(picture, CARRIED),
                )
            )
        return made


@dataclass(frozen=True, slots=True)
class Senses:
    """What one stream is perceived with."""

    stream: str
    eyes: tuple[Sense, ...]
    ears: tuple[Sense, ...]
    change: SceneChange | None
    """Gives the visual change of the picture `lag` pictures ago."""
    lag: int = 0


def perceive(observations: Iterable[Observation], senses: Senses, end_ns: int | None = None) -> Iterator[Moment]:
    """The moments of a stream, in order of time, one an observation and a last one for what was still open."""
    with Perception(senses, AHEAD) as perception:
        for observation in observations:
            yield from perception.push(observation)
        yield from perception.finish(end_ns)


class Perception:
    """Observations pushed in, moments given out; `ahead` observations at most are being worked on (1: none waits)."""

    def __init__(self, senses: Senses, ahead: int = 1) -> None:
        self._senses = senses
        self._ahead = ahead
        self._eyes = ThreadPoolExecutor(1, "eyes")
        self._ears = ThreadPoolExecutor(1, "ears")
        self._working: deque[tuple[Observation, Future[_Part], Future[_Part]]] = deque()
        self._waiting: deque[Moment] = deque()  # those whose change is not known yet, and those behind them
        self._changes = 0
        self._percepts: list[Percept] = []  # gathered since the last moment, as are the two below
        self._energy = 0.0
        self._samples = 0
        self._settled_ns = 0
        self._moment_ns = -MOMENT_NS
        self._end_ns = 0

    def __enter__(self) -> Perception:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads; what they have not begun is dropped."""
        self._eyes.shutdown(wait=True, cancel_futures=True)
        self._ears.shutdown(wait=True, cancel_futures=True)

    def push(self, observation: Observation) -> list[Moment]:
        """Take the next observation; the moments that are complete now."""
        self._working.append(
            (
                observation,
                self._eyes.submit(_look, self._senses, observation),
                self._ears.submit(_listen, self._senses, observation),
            )
        )
        return self._join(self._ahead - 1)

    def finish(self, end_ns: int | None = None) -> list[Moment]:
        """The stream has ended: the moments still open, and a last one with what the senses still held."""
        moments = self._join(0)
        last_ns = max(self._end_ns, end_ns or 0, self._moment_ns + 1)
        self._percepts += [p for sense in (*self._senses.eyes, *self._senses.ears) for p in sense.flush(last_ns)]
        self._settled_ns = last_ns
        moments += [replace(m, change=0.0) if m.change == _PENDING else m for m in self._waiting]
        self._waiting.clear()
        return [*moments, self._moment(last_ns, None)]

    def _join(self, leave: int) -> list[Moment]:
        """Joins what eyes and ears made of each observation, until `leave` are still being worked on."""
        while len(self._working) > leave:
            observation, looking, listening = self._working.popleft()
            self._gather(observation, looking.result(), listening.result())
        ready = []
        while self._waiting and self._waiting[0].change != _PENDING:
            ready.append(self._waiting.popleft())
        return ready

    def _gather(self, observation: Observation, seen: _Part, heard: _Part) -> None:
        """One moment a picture, with the sound since the moment before; without pictures one a second."""
        self._percepts += seen.percepts + heard.percepts
        self._energy += heard.energy
        self._samples += heard.samples
        self._end_ns = max(self._end_ns, observation.t_ns + samples_to_ns(heard.samples))
        self._settled_ns = min(
            (part.settled_ns for part in (seen, heard) if part.settled_ns is not None), default=observation.t_ns
        )
        looked = seen.change is not None
        if not looked and observation.t_ns - self._moment_ns < MOMENT_NS:
            return
        self._waiting.append(self._moment(observation.t_ns, _PENDING if looked else None))
        if seen.change is not None:
            self._changes += 1
            if self._changes > self._senses.lag:  # told of the picture `lag` pictures ago
                index = next(i for i, m in enumerate(self._waiting) if m.change == _PENDING)
                self._waiting[index] = replace(self._waiting[index], change=seen.change)

    def _moment(self, t_ns: int, change: float | None) -> Moment:
        """What was gathered since the last moment, as one at `t_ns`."""
        loudness = None if self._samples == 0 else level_db(self._energy / self._samples)
        moment = Moment(self._senses.stream, t_ns, tuple(self._percepts), change, loudness, self._settled_ns)
        self._percepts, self._energy, self._samples = [], 0.0, 0
        self._moment_ns = t_ns
        return moment


@dataclass(frozen=True, slots=True)
class _Part:
    """What the eyes or the ears made of one observation."""

    percepts: list[Percept]
    settled_ns: int | None
    change: float | None = None
    energy: float = 0.0
    """Sum of the squares of the sound."""
    samples: int = 0


def _look(senses: Senses, observation: Observation) -> _Part:
    percepts = [p for sense in senses.eyes for p in sense.take(observation)]
    change = None
    if senses.change is not None and observation.images:
        change = senses.change.look(next(iter(observation.images.values())))
    return _Part(percepts, min((s.settled_ns for s in senses.eyes), default=None), change)


def _listen(senses: Senses, observation: Observation) -> _Part:
    percepts = [p for sense in senses.ears for p in sense.take(observation)]
    settled_ns = min((s.settled_ns for s in senses.ears), default=None)
    if observation.sound is None:
        return _Part(percepts, settled_ns)
    energy = float(np.square(observation.sound, dtype=np.float64).sum())
    return _Part(percepts, settled_ns, None, energy, len(observation.sound))


_PENDING = -1.0
"""Stands for a change that is still to be told."""


def level_db(mean_square: float) -> float:
    """dBFS of a mean square, at least -120."""
    return max(10.0 * math.log10(max(mean_square, 1e-30)), -120.0)


def small(picture: Picture, side: int) -> Picture:
    """uint8[H, W, 3] -> uint8[h, w, 3] with a long side of at most `side`."""
    import cv2

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
