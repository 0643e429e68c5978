"""A pool of encoder actors, and the proxies through which senses call them without knowing it.

An actor gathers what streams ask of one encoder while the last batch is being worked on, and encodes it together: no
one waits for a batch to fill. What an encoder gives does not depend on its neighbours (`encoders/base.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from ..encoders.base import (
    CaptionReader,
    Encoded,
    EncoderSpec,
    Listener,
    LookEncoder,
    Looking,
    PictureEncoder,
    SoundEncoder,
    TextEncoder,
    described,
)
from ..encoders.profiles import Profile, Voice, make_profile
from ..records import Picture, Space, Vector
from .cluster import settled
from .sight import look_of

Input = TypeVar("Input")

Kind = Literal["text", "vision", "sound", "look"]
KINDS: tuple[Kind, ...] = ("text", "vision", "sound", "look")
BATCH = 32
"""Inputs that are encoded together, at most."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the encoders of a profile are, as those know who have not loaded them."""

    profile: str
    spaces: tuple[Space, ...]
    specs: Mapping[Kind, EncoderSpec]


class EncoderActor:
    """The body of an encoder actor: the encoders of a profile, each loaded when it is first asked for."""

    def __init__(self, profile: str) -> None:
        self._profile = make_profile(profile)
        self._gathered: dict[Kind, list[tuple[list[Any], asyncio.Future[Encoded]]]] = {kind: [] for kind in KINDS}
        self._working: dict[Kind, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(len(KINDS), "encode")
        self._batches = self._inputs = 0

    async def contents(self) -> Contents:
        """Loads the encoders, and says what they are."""
        specs = {kind: encoder.spec for kind in KINDS if (encoder := self._encoder(kind)) is not None}
        return Contents(self._profile.name, self._profile.spaces, specs)

    async def encode(self, kind: Kind, inputs: Sequence[Any]) -> Encoded:
        """The vectors (and tokens) of `inputs`, encoded together with what other streams ask meanwhile."""
        future: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        self._gathered[kind].append((list(inputs), future))
        if kind not in self._working:
            self._working[kind] = asyncio.create_task(self._work(kind))
        return await future

    async def load(self) -> tuple[int, int]:
        """Batches that were encoded, and inputs in them."""
        return self._batches, self._inputs

    def _encoder(self, kind: Kind) -> Any:
        """The profile's encoder of that kind; None where its sights are described only once."""
        if kind == "look":
            return self._profile.look if isinstance(self._profile, Looking) else None
        return {"text": self._profile.text, "vision": self._profile.vision, "sound": self._profile.sound}[kind]

    def _encode(self, kind: Kind, inputs: Sequence[Any]) -> Encoded:
        return described(self._encoder(kind), inputs)

    async def _work(self, kind: Kind) -> None:
        loop = asyncio.get_running_loop()
        try:
            while gathered := self._gathered[kind]:
                asked, self._gathered[kind] = _as_many_as_fit(gathered)
                inputs = [item for items, _ in asked for item in items]
                self._batches, self._inputs = self._batches + 1, self._inputs + len(inputs)
                try:
                    encoded = await loop.run_in_executor(self._threads, self._encode, kind, inputs)
                except Exception as error:  # it is theirs who asked
                    for _, future in asked:
                        future.set_exception(error)
                    continue
                first = 0
                for items, future in asked:
                    future.set_result(_rows(encoded, first, first + len(items)))
                    first += len(items)
        finally:
            del self._working[kind]


class PooledEncoder(Generic[Input]):
    """An `Encoder` whose work an actor of the pool does; `inputs` travel to it by object reference."""

    def __init__(self, actor: Any, kind: Kind, spec: EncoderSpec) -> None:
        self._actor = actor
        self._kind = kind
        self._spec = spec

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[Input]) -> Encoded:
        """As the encoder itself; while the actor is being restarted it waits, and the call is made again."""
        from ray import put

        encoded: Encoded = settled(self._actor.encode.remote(self._kind, put(list(batch))))
        return encoded


class PooledLook:
    """A `LookEncoder` whose pictures the pool encodes; it compares them by itself."""

    def __init__(self, actor: Any, own: LookEncoder) -> None:
        self._encoder = PooledEncoder[Picture](actor, "look", own.spec)
        self._own = own
        self.spec = own.spec
        self.threshold = own.threshold
        self.encode_query, self.match = own.encode_query, own.match
        self.calibrate, self.agreement = own.calibrate, own.agreement

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        return self._encoder.encode(batch)


class PooledProfile:
    """A `Profile` whose encoders are the pool's; listeners and readers, which keep a stream's state, are its own."""

    def __init__(self, actor: Any, contents: Contents) -> None:
        self.name = contents.profile
        self._own: Profile = make_profile(contents.profile)
        self._actor = actor
        self._specs = contents.specs
        self._spaces = contents.spaces

    @property
    def spaces(self) -> tuple[Space, ...]:
        return self._spaces

    @property
    def text(self) -> TextEncoder:
        return PooledEncoder[str](self._actor, "text", self._specs["text"])

    @property
    def vision(self) -> PictureEncoder:
        return PooledEncoder[Picture](self._actor, "vision", self._specs["vision"])

    @property
    def look(self) -> LookEncoder | None:
        """Described by the pool; what is asked of a stored look is asked of the profile's own."""
        own = look_of(self._own)
        if own is None or "look" not in self._specs:
            return None
        return PooledLook(self._actor, own)

    @property
    def sound(self) -> SoundEncoder:
        return PooledEncoder[Vector](self._actor, "sound", self._specs["sound"])

    def speech(self) -> tuple[str, Voice]:
        return self._own.speech()

    def voice(self) -> Voice:
        return self._own.voice()

    def onsets(self, voice: Voice | None) -> Listener:
        return self._own.onsets(voice)

    def captions(self) -> tuple[str, CaptionReader]:
        return self._own.captions()


Asked = list[tuple[list[Any], "asyncio.Future[Encoded]"]]


def _as_many_as_fit(gathered: Asked) -> tuple[Asked, Asked]:
    """The first requests that make a batch (at least one), and the rest."""
    count = fit = 0
    for inputs, _ in gathered:
        count += len(inputs)
        if fit and count > BATCH:
            break
        fit += 1
    return gathered[:fit], gathered[fit:]


def _rows(encoded: Encoded, first: int, last: int) -> Encoded:
    """The results of inputs first..last of a batch, as arrays of their own: a view would carry the whole batch."""
    tokens = None if encoded.tokens is None else np.array(encoded.tokens[first:last])
    return Encoded(
        np.array(encoded.vectors[first:last]), tokens, encoded.words[first:last], encoded.confidences[first:last]
    )
