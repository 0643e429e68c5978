"""The few types that pass between floors: what was observed, perceived, remembered and answered.

Time is int64 nanoseconds since the stream's zero (`_ns`); seconds (`_s`) only at the edges. Nothing is identified by a
random number or a wall clock: an id is a hash of (stream, lane, camera, t0_ns, t1_ns, ordinal), so the same stream
always yields the same memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Lane = Literal["vision", "sound", "speech", "caption", "state"]
LANES: tuple[Lane, ...] = get_args(Lane)

Vector = NDArray[np.float32]
Picture = NDArray[np.uint8]

NS_PER_S = 1_000_000_000
SOUND_RATE = 16_000
"""Samples a second of every sound that passes between floors (mono, float32 in [-1, 1])."""


def to_ns(seconds: float) -> int:
    """Seconds at the edge to nanoseconds inside, rounded to the nearest."""
    return round(seconds * NS_PER_S)


def to_s(t_ns: int) -> float:
    """Nanoseconds inside to seconds at the edge."""
    return t_ns / NS_PER_S


def samples_to_ns(samples: int) -> int:
    """The duration of `samples` at `SOUND_RATE`, in whole nanoseconds (exact: 1e9 / 16000 = 62500)."""
    return samples * (NS_PER_S // SOUND_RATE)


def identify(stream: str, lane: str, camera: str, t0_ns: int, t1_ns: int, ordinal: int) -> str:
    """The id of whatever stands at these coordinates: 20 hexadecimal digits (80 bits) of BLAKE2b."""
    parts = "\x1f".join((stream, lane, camera, str(t0_ns), str(t1_ns), str(ordinal)))
    return hashlib.blake2b(parts.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: vectors of two spaces are never compared."""

    name: str
    dim: int
    weights: str
    """Hash of the weights (or the version of the formula) that make its vectors."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing that was watched, as the manifest lists it."""

    id: str
    source: str
    """Where it came from: an absolute path, a URL, a device."""
    digest: str
    """Hash of the source's bytes, or empty for a live one."""
    epoch_ns: int = 0
    """Wall-clock time of the stream's zero, nanoseconds since 1970, or 0 where it is not known."""
    profile: str = "embedded"


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the observer stood: metres and radians in a fixed frame, and how sure that is."""

    x: float
    y: float
    z: float
    yaw: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source yields at one instant; any field may be absent."""

    stream: str
    t_ns: int
    images: Mapping[str, Picture] = field(default_factory=dict)
    """camera -> uint8[H, W, 3], RGB."""
    sound: Vector | None = None
    """float32[n] at `SOUND_RATE`, mono; covers [t_ns, t_ns + n / rate)."""
    state: Vector | None = None
    pose: Pose | None = None
    text: str | None = None
    """Words that came with the stream: a subtitle cue, an instruction."""
    text_until_ns: int | None = None
    """When `text` stops holding; None: it is of the instant."""


@dataclass(frozen=True, slots=True, eq=False)
class Percept:
    """One thing perceived in one lane over [t0_ns, t1_ns): the currency of the house, and a row on disk."""

    stream: str
    lane: Lane
    t0_ns: int
    t1_ns: int
    ordinal: int = 0
    """Tells apart percepts of one lane and camera with the same span."""
    camera: str = ""
    space: str | None = None
    vector: Vector | None = None
    """float32[d], unit length."""
    tokens: NDArray[np.float16] | None = None
    """float16[n, d]"""
    also: Mapping[str, Vector] = field(default_factory=dict)
    """Other descriptions of the same thing, space -> float32[d], unit length: found by them too."""
    look: NDArray[np.float16] | None = None
    """float16[n, d]: windows in the one space of `also`, for queries that are pictures."""
    text: str | None = None
    """Words; the lines of a caption stand on lines of their own. Of a sight what is there, and after a semicolon the
    room ("a small red mug, a blue chair; kitchen")."""
    origin: str = ""
    """What made it: `subtitles`, `pocketsphinx`, `rapidocr`, the name of an encoder."""
    confidence: float = 1.0
    """How far its maker trusts it, 0 to 1."""
    picture: Picture | None = None
    """uint8[h, w, 3], small: on its way to become the thumbnail."""
    thumbnail: str | None = None
    """The JPEG's path inside the memory, once stored."""
    place: str | None = None

    @property
    def id(self) -> str:
        return identify(self.stream, self.lane, self.camera, self.t0_ns, self.t1_ns, self.ordinal)


@dataclass(frozen=True, slots=True)
class Link:
    """A tie between two events: what kind, to which, how strong."""

    kind: str
    event: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A closed episode over [t0_ns, t1_ns). A percept belongs to the event in which it starts."""

    stream: str
    t0_ns: int
    t1_ns: int
    ordinal: int
    """Its number in the stream, from 0."""
    percepts: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    """space -> float32[d], unit length."""
    gist: str = ""
    place: str | None = None
    strength: float = 1.0
    links: tuple[Link, ...] = ()

    @property
    def id(self) -> str:
        return identify(self.stream, "event", "", self.t0_ns, self.t1_ns, self.ordinal)


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a stream was, as it knows it: what `Percept.place` names by its key."""

    id: str
    stream: str
    key: str
    """What percepts carry: the name that they came with or, of a place that was found, its id."""
    name: str = ""
    """What a person calls it; else the name that its percepts came with, or empty."""
    x: float | None = None
    """Metres, in the frame of the stream's poses; None where no pose is known."""
    y: float | None = None
    z: float | None = None
    yaw: float | None = None
    spread: float | None = None
    """How far from there the observer stood and was still in it, metres."""
    visits: int = 0
    first_ns: int = 0
    last_ns: int = 0
    """When the observer was placed there last."""
    moves: tuple[tuple[str, int], ...] = ()
    """(id of a place, how often the observer went there from here), by id."""
    vectors: Mapping[str, Vector] = field(default_factory=dict, compare=False)
    """space -> float32[d], unit length: how it looks, where places are told apart by that."""

    @property
    def renamed(self) -> bool:
        """Whether a person gave it its name."""
        return self.name not in ("", self.key)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the senses made of one instant: what passes from perception to memory."""

    stream: str
    t_ns: int
    percepts: tuple[Percept, ...] = ()
    """Complete percepts, of this instant or (speech, captions) of some seconds ago."""
    change: float | None = None
    """How much of the picture's content is new against the last moment, 0 to 1; None without a picture."""
    loudness_db: float | None = None
    """dBFS of the sound since the last moment; None without sound."""
    settled_ns: int = 0
    """No percept that starts before this will still come."""
    pose: Pose | None = None
    """Where the observer stood at `t_ns`, where that is known."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A percept or an event that supports an answer."""

    stream: str
    t0_ns: int
    t1_ns: int
    lane: Lane
    text: str
    score: float
    """0 to 1, calibrated: comparable between lanes."""
    thumbnail: str | None = None
    """Absolute path of a JPEG, or None."""
    place: str | None = None
    source: str = ""
    """Id of the percept or event."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question got: words, and the spans they rest on, best first."""

    text: str
    abstained: bool
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryTokens:
    """What a policy or a VLM is handed: tokens of one lane and one space, and where each came from."""

    lane: Lane
    space: str
    tokens: Vector
    """float32[n, d]"""
    mask: NDArray[np.bool_]
    """bool[n], true where the token is real."""
    tier: tuple[str, ...]
    t_ns: NDArray[np.int64]
    place: tuple[str | None, ...]
    source: tuple[tuple[tuple[str, float], ...], ...]
    """For each token, the events it came from and their weights."""
