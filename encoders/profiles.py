"""Profiles: which encoders a memory is made with. Adding one is one class and one line in `PROFILES`.

A profile is loaded once a process; what it needs is loaded when it is first asked for. Encoders are shared by all
streams, listeners and readers are of one stream each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import SettingsError
from ..records import Space
from .base import CaptionReader, Listener, PictureEncoder, SoundEncoder, TextEncoder

if TYPE_CHECKING:
    from .phonetics import Pronouncer
    from .vision import Layout

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
    def vision(self) -> Layout:
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
    def _vision(self) -> Layout:
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


PROFILES: Mapping[str, Callable[[], Any]] = {"embedded": Embedded}
AUTO = "embedded"
"""What `auto` means where a memory is created: the best profile that works here."""


@lru_cache(maxsize=4)
def make_profile(name: str) -> Embedded:
    """The profile of that name; its models are loaded once a process, whoever asks.

    Errors: `SettingsError` for one that is not registered.
    """
    if name not in PROFILES:
        raise SettingsError(f"there is no profile {name!r}", f"choose one of {', '.join(sorted(PROFILES))} or auto")
    made: Embedded = PROFILES[name]()
    return made
