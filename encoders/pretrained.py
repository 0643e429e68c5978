"""The profile `clip`: the field's own models where their weights are at hand, and what `auto` means here.

CLIP sees, CLAP hears sounds, Whisper hears speech; each of the first two has a text tower of its own for questions.
What is read in pictures and heard as speech stays in the space of MiniLM. Nothing is imported or loaded before it is
asked for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import load, read_file
from ..errors import MissingError
from ..records import Space
from . import hub
from .base import CaptionReader, Listener, LookEncoder, PictureEncoder, SoundEncoder, TextEncoder

if TYPE_CHECKING:
    from .clap import ClapSound
    from .clip import ClipVision
    from .phonetics import Pronouncer
    from .profiles import Embedded, Voice
    from .whisper import WhisperModel

log = logging.getLogger(__name__)

T = TypeVar("T")

LIBRARIES = {"open_clip": "open-clip-torch", "transformers": "transformers", "faster_whisper": "faster-whisper"}


@dataclass(frozen=True, slots=True)
class EncodersSettings:
    """Section `[encoders]`, `MNEME_ENCODERS_<FIELD>`."""

    profile: str = "auto"
    """The profile of new memories where none is asked for; `auto` decides by what works here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` came to."""

    profile: str
    why: str

    @property
    def line(self) -> str:
        """The decision in one line, for people."""
        return f"profile {self.profile}: {self.why}"


class Clip:
    """The profile `clip`. Settings: the sections `[clip]`, `[clap]` and `[whisper]` of the settings file."""

    name = "clip"

    def __init__(self, embedded: Embedded, settings: Mapping[str, Any] | None = None) -> None:
        """embedded: whose text, voice activity, onsets, captions and geometry it shares. settings: of `read_file`."""
        self._embedded = embedded
        self._settings = read_file(None) if settings is None else settings
        self._lock = threading.RLock()

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Loads all towers. Errors: `MissingError` where one of them is not there."""
        encoders = (self.text, self.vision, self.sound, self.look)
        return tuple(encoder.spec.space for encoder in encoders)

    @property
    def query_encoders(self) -> Mapping[str, TextEncoder]:
        """space -> the text tower whose vectors may be compared with that space's; none is loaded that is not used."""
        return Lazily(
            {
                "minilm": lambda: self.text,
                "clip": lambda: self._once(lambda: self._clip)[1],
                "clap": lambda: self._once(lambda: self._clap)[1],
            }
        )

    @property
    def text(self) -> TextEncoder:
        return self._embedded.text

    @property
    def vision(self) -> PictureEncoder:
        """CLIP's sight, with words for what it sees (`zero_shot.NamedSight`)."""
        return self._once(lambda: self._sight)

    @property
    def look(self) -> LookEncoder:
        """Queries that are pictures are decided by geometry, as in the profile `embedded`."""
        return self._once(lambda: self._look)

    @property
    def sound(self) -> SoundEncoder:
        """CLAP's hearing, with words for what it hears (`zero_shot.NamedSound`)."""
        return self._once(lambda: self._hearing)

    @property
    def ear(self) -> Pronouncer:
        """How words sound, for questions about what a recogniser wrote down."""
        return self._embedded.ear

    def speech(self) -> tuple[str, Voice]:
        from .whisper import Whisper

        return "whisper", Whisper(self._once(lambda: self._whisper))

    def voice(self) -> Voice:
        return self._embedded.voice()

    def onsets(self, voice: Voice | None) -> Listener:
        return self._embedded.onsets(voice)

    def captions(self) -> tuple[str, CaptionReader]:
        return self._embedded.captions()

    @cached_property
    def _sight(self) -> PictureEncoder:
        from .zero_shot import NamedSight

        vision, text = self._clip
        return NamedSight(vision, text, vision.scale)

    @cached_property
    def _hearing(self) -> SoundEncoder:
        from .zero_shot import NamedSound

        sound, text = self._clap
        return NamedSound(sound, text, sound.scale)

    @cached_property
    def _clip(self) -> tuple[ClipVision, TextEncoder]:
        from .clip import ClipSettings, load_clip

        return load_clip(load("clip", ClipSettings, self._settings))

    @cached_property
    def _clap(self) -> tuple[ClapSound, TextEncoder]:
        from .clap import ClapSettings, load_clap

        return load_clap(load("clap", ClapSettings, self._settings))

    @cached_property
    def _whisper(self) -> WhisperModel:
        from .whisper import WhisperModel, WhisperSettings

        return WhisperModel(load("whisper", WhisperSettings, self._settings))

    @cached_property
    def _look(self) -> LookEncoder:
        from .vision import Layout

        return Layout()

    def _once(self, get: Callable[[], T]) -> T:
        with self._lock:  # two threads that ask first must not load twice
            return get()


class Lazily(Mapping[str, TextEncoder]):
    """A mapping whose values are made when they are first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], TextEncoder]]) -> None:
        self._makers = makers

    def __getitem__(self, space: str) -> TextEncoder:
        return self._makers[space]()

    def __iter__(self) -> Any:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def absent(settings: Mapping[str, Any] | None = None) -> list[str]:
    """The models of the profile `clip` whose weights are not on this machine, by name; asks no network.

    Errors: `MissingError` naming a library that is not installed; `SettingsError`, `MissingError` for what was named
    and cannot be.
    """
    for package, distribution in LIBRARIES.items():
        if find_spec(package) is None:
            raise MissingError(f"{distribution} is not installed", hub.INSTALL)
    from .clap import ClapSettings, clap_at_hand
    from .clip import ClipSettings, clip_at_hand
    from .whisper import WhisperSettings, whisper_at_hand

    file = read_file(None) if settings is None else settings
    clip, clap = load("clip", ClipSettings, file), load("clap", ClapSettings, file)
    whisper = load("whisper", WhisperSettings, file)
    there = {
        f"CLIP {Path(clip.model).name}": clip_at_hand(clip),
        f"CLAP {Path(clap.model).name}": clap_at_hand(clap),
        f"Whisper {Path(whisper.model).name}": whisper_at_hand(whisper),
    }
    return [name for name, here in there.items() if not here]


def choose(settings: Mapping[str, Any] | None = None, patience_s: float = hub.PATIENCE_S) -> Choice:
    """The profile of a memory that is created now: the one that the settings name (`[encoders] profile`), or `outlook`.

    What it came to by itself is logged in one line. Errors: `SettingsError` for settings that cannot be.
    """
    file = read_file(None) if settings is None else settings
    named = load("encoders", EncodersSettings, file).profile
    if named != "auto":
        return Choice(named, "the settings name it")
    choice = outlook(file, patience_s)
    log.info("%s", choice.line)
    return choice


def outlook(settings: Mapping[str, Any] | None = None, patience_s: float = hub.PATIENCE_S) -> Choice:
    """What works here: `clip` where its weights are on this machine or the hub answers in time, else `embedded`.

    Errors: `SettingsError` for settings that cannot be.
    """
    try:
        lacking = absent(settings)
    except MissingError as error:
        return Choice("embedded", f"clip does not work here: {error}")
    if not lacking:
        return Choice("clip", "its weights are on this machine")
    names = ", ".join(lacking)
    if hub.offline():
        return Choice("embedded", f"this machine lacks {names}, and the hub is switched off (HF_HUB_OFFLINE)")
    if hub.answers(patience_s):
        return Choice("clip", f"the hub answers, it downloads {names}")
    return Choice("embedded", f"this machine lacks {names}, and the hub did not answer within {patience_s:g} s")
