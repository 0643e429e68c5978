"""Which senses a stream is perceived with: from what it has, what was asked for, and the memory's profile."""

from __future__ import annotations

from collections.abc import Sequence

from ..encoders.profiles import Profile
from ..records import Lane
from .lanes import Captions, Sense, Sound, Speech, Subtitles, Vision
from .perceive import Senses
from .sight import look_of
from .sources import SourceInfo

DEFAULT_LANES: tuple[Lane, ...] = ("vision", "sound", "speech", "caption")


def make_senses(
    stream: str,
    profile: Profile,
    lanes: Sequence[Lane],
    interval_ns: int,
    *,
    pictures: bool,
    sound: bool,
    words: bool,
    recognise: bool,
) -> Senses:
    """The senses of one stream.

    `pictures`, `sound`, `words`: what the stream has or may have. `recognise`: whether speech is recognised from the
    sound. `interval_ns`: between two sampled pictures.
    """
    eyes: list[Sense] = []
    ears: list[Sense] = []
    change = None
    lag = 0
    if pictures:
        from ..operators.change import LAG, SceneChange

        change, lag = SceneChange(), LAG
        if "vision" in lanes:
            eyes.append(Vision(stream, profile.vision, interval_ns, look_of(profile)))
        if "caption" in lanes:
            origin, reader = profile.captions()
            eyes.append(Captions(stream, reader, profile.text, origin))
    voice = None  # whoever hears speech tells the sound lane what is speech; it must hear each sound first
    if "speech" in lanes and words:
        ears.append(Subtitles(stream, profile.text))
    if "speech" in lanes and sound and recognise:
        origin, recogniser = profile.speech()
        voice = recogniser
        ears.append(Speech(stream, recogniser, profile.text, origin))
    if "sound" in lanes and sound:
        own = None if voice is not None else profile.voice()
        ears.append(Sound(stream, profile.onsets(voice or own), profile.sound, own))
    return Senses(stream, tuple(eyes), tuple(ears), change, lag)


def senses_of(info: SourceInfo, profile: Profile, lanes: Sequence[Lane], interval_ns: int, *, words: bool) -> Senses:
    """The senses for a source. Where it has subtitles they are what is spoken, unless `words` is false."""
    words = words and info.has_subtitles
    return make_senses(
        info.stream,
        profile,
        lanes,
        interval_ns,
        pictures=info.width is not None,
        sound=info.has_sound,
        words=words,
        recognise=not words,
    )


def senses_of_observations(stream: str, profile: Profile, lanes: Sequence[Lane], interval_ns: int) -> Senses:
    """The senses for a live stream, which may bring anything: what it is told and what it hears both count."""
    return make_senses(stream, profile, lanes, interval_ns, pictures=True, sound=True, words=True, recognise=True)
