"""Profiles: which encoders a memory is made with. Adding one is one class and one line in `PROFILES`.

A profile is loaded once a process; what it needs is loaded when it is first asked for. Encoders are shared by all
streams, listeners and readers are of one stream each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import SettingsError
from ..records import Space
from .base import CaptionReader, Listener, LookEncoder, PictureEncoder, SoundEncoder, TextEncoder

if TYPE_CHECKING:
    from .phonetics import Pronouncer

T = TypeVar("T")


class Voice(Listener, Protocol):
    """A listener that also knows what is speech."""

    def voiced(self, t0_ns: int, t1_ns: int) -> float:
        """How much of the span is speech, 0 to 1."""
        ...


class Profile(Protocol):
    """The senses of a memory."""

    name: str

    @property
    def spaces(self) -> tuple[Space, ...]:
        """What the manifest records; a memory is opened only with the spaces that it was made with."""
        ...

    @property
    def text(self) -> TextEncoder: ...

    @property
    def vision(self) -> PictureEncoder: ...

    @property
    def sound(self) -> SoundEncoder: ...

    def speech(self) -> tuple[str, Voice]:
        """(origin, a fresh recogniser of one stream)."""
        ...

    def voice(self) -> Voice:
        """Fresh voice activity of one stream, without words."""
        ...

    def onsets(self, voice: Voice | None) -> Listener:
        """Fresh onsets of one stream, of what `voice` does not take for speech."""
        ...

    def captions(self) -> tuple[str, CaptionReader]: ...


class AskingProfile(Profile, Protocol):
    """A profile that questions can be put to: what watching alone does not need."""

    @property
    def query_encoders(self) -> Mapping[str, TextEncoder]:
        """space -> the text tower whose vectors may be compared with that space's.

        A query is embedded once for each space that is searched; a tower is loaded when it is taken out.
        """
        ...


class Embedded:
    """Works with the network off: MiniLM, weightless sight and hearing, Silero VAD, PocketSphinx, RapidOCR."""

    name = "embedded"

    def __init__(self) -> None:
        self._lock = threading.RLock()

    @property
    def spaces(self) -> tuple[Space, ...]:
        return (self.text.spec.space, self.vision.spec.space, self.sound.spec.space)

    @property
    def text(self) -> TextEncoder:
        return self._once(lambda: self._text)

    @property
    def query_encoders(self) -> Mapping[str, TextEncoder]:
        """space -> the text tower whose vectors may be compared with that space's."""
        return {self.text.spec.space.name: self.text}

    @property
    def vision(self) -> PictureEncoder:
        return self._once(lambda: self._vision)

    @property
    def sound(self) -> SoundEncoder:
        return self._once(lambda: self._sound)

    @property
    def ear(self) -> Pronouncer:
        """How words sound, for questions about what a recogniser wrote down."""
        return self._once(lambda: self._ear)

    def speech(self) -> tuple[str, Voice]:
        from .speech import Recogniser

        return "pocketsphinx", Recogniser()

    def voice(self) -> Voice:
        from .voice import VoiceActivity

        return VoiceActivity()

    def onsets(self, voice: Voice | None) -> Listener:
        from .onsets import Onsets

        return Onsets(None if voice is None else voice.voiced)

    def captions(self) -> tuple[str, CaptionReader]:
        from .caption import Captions

        return "rapidocr", Captions()

    @cached_property
    def _text(self) -> TextEncoder:
        from .text import MiniLM

        return MiniLM()

    @cached_property
    def _vision(self) -> PictureEncoder:
        from .vision import Layout

        return Layout()

    @cached_property
    def _sound(self) -> SoundEncoder:
        from .sound import LogMel

        return LogMel()

    @cached_property
    def _ear(self) -> Pronouncer:
        from .phonetics import Pronouncer

        return Pronouncer()

    def _once(self, get: Callable[[], T]) -> T:
        with self._lock:  # two threads that ask first must not load twice
            return get()


class Towers(Embedded):
    """`Embedded` with the towers of sight and hearing that were trained into the text tower's space: percepts of what
    is seen and heard have words. Each sight keeps its weightless description, for queries that are pictures.

    They know the drawn world that they were trained on; memory tokens of other worlds say more in `Embedded`.
    """

    name = "towers"

    @property
    def spaces(self) -> tuple[Space, ...]:
        return (self.text.spec.space, self.look.spec.space)

    @property
    def look(self) -> LookEncoder:
        """The second description of a sight."""
        return self._once(lambda: self._look)

    @cached_property
    def _vision(self) -> PictureEncoder:
        from .eyes import Eyes

        return Eyes(space=self.text.spec.space)

    @cached_property
    def _look(self) -> LookEncoder:
        from .vision import Layout

        return Layout()

    @cached_property
    def _sound(self) -> SoundEncoder:
        from .hearing import Hearing

        return Hearing(space=self.text.spec.space)


def _embedded(config: Path | None = None) -> Any:  # noqa: ARG001  it has no settings
    return Embedded()


def _towers(config: Path | None = None) -> Any:  # noqa: ARG001  it has no settings
    return Towers()


def _clip(config: Path | None = None) -> Any:
    from ..config import read_file
    from .pretrained import Clip

    return Clip(_made("embedded", None), read_file(config))


PROFILES: Mapping[str, Callable[..., Any]] = {"embedded": _embedded, "towers": _towers, "clip": _clip}
"""name -> its maker, which takes the path of a settings file or nothing."""


def make_profile(name: str, config: Path | None = None) -> Embedded:
    """The profile of that name; its models are loaded once a process, whoever asks.

    config: a settings file; None: the one that `config.read_file` finds. Errors: `SettingsError` for a profile that is
    not registered.
    """
    if name not in PROFILES:
        raise SettingsError(f"there is no profile {name!r}", f"choose one of {', '.join(sorted(PROFILES))} or auto")
    return _made(name, config)


@lru_cache(maxsize=4)
def _made(name: str, config: Path | None) -> Embedded:
    made: Embedded = PROFILES[name](config)
    return made
