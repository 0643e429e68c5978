"""What a live observation must be, and which of its pictures are worth perceiving.

A live stream may bring 30 pictures a second of several cameras; the senses are made for a few a second (a scene's
change is told between pictures at 2 to 10 a second), of a main camera that the others stand beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..errors import MnemeError
from ..records import NS_PER_S, SOUND_RATE, Observation, Picture
from .sources import SMALLEST

LATEST_NS = 1 << 62
LARGEST = 50_000_000
"""Pixels of a picture, at most."""
LONGEST_S = 60
"""Seconds of sound in one observation, at most."""
CAMERAS = 16
WORDS = 20_000
"""Characters of text in one observation, and (a hundredth) of a name, at most."""
GONE_NS = 2 * NS_PER_S
"""After this long without a picture of the main camera another one takes its place."""
HELD_NS = 10 * NS_PER_S
"""A picture is taken to have stood still until the next one for this long at most; beyond it the stream was away."""


def check(observation: Observation) -> None:
    """Refuses (`MnemeError`) what could not be perceived or stored, before anything of it is."""
    _check_name("stream", observation.stream)
    if not 0 <= observation.t_ns < LATEST_NS:
        raise MnemeError(f"an observation is of {observation.t_ns} ns", "give nanoseconds since the stream's zero")
    if len(observation.images) > CAMERAS:
        raise MnemeError(f"an observation has {len(observation.images)} cameras", f"give at most {CAMERAS}")
    for camera, picture in observation.images.items():
        if camera:
            _check_name("camera", camera)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise MnemeError(
                f"the picture of camera {camera!r} is {picture.dtype}{list(picture.shape)}", "give uint8[H, W, 3], RGB"
            )
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST or height * width > LARGEST:
            raise MnemeError(
                f"the picture of camera {camera!r} is {width}x{height}",
                f"give {SMALLEST} pixels a side and {LARGEST} in all",
            )
    sound = observation.sound
    if sound is not None:
        if sound.dtype != np.float32 or sound.ndim != 1 or len(sound) > LONGEST_S * SOUND_RATE:
            raise MnemeError(
                f"the sound is {sound.dtype}{list(sound.shape)}",
                f"give float32[n] at {SOUND_RATE} samples a second, {LONGEST_S} s at most",
            )
        if not np.isfinite(sound).all():
            raise MnemeError("the sound holds what is not a number", "give samples in [-1, 1]")
    if observation.text is not None and (len(observation.text) > WORDS or not _is_unicode(observation.text)):
        raise MnemeError("the text is not Unicode or too long", f"give at most {WORDS} characters")


def _check_name(what: str, name: str) -> None:
    if not name or len(name) > WORDS // 100 or not name.isprintable() or not _is_unicode(name):
        raise MnemeError(
            f"{name[:40]!r} is no name of a {what}", f"give at most {WORDS // 100} characters that can be printed"
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Thinner:
    """Observations as they come, thinned to what is perceived: pictures at the ticks of `interval_ns`.

    Sound and words pass as they are. Pictures of other cameras that come by themselves wait for the main camera's.
    What holds neither passes once a tick, so that time goes on.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._main: str | None = None
        self._main_ns = 0
        self._tick = -1
        self._bare_tick = -1
        self._beside: dict[str, Picture] = {}

    def take(self, observation: Observation) -> Observation | None:
        """What of it is to be perceived, or None."""
        images = self._pictures(observation)
        tick = observation.t_ns // self._interval_ns
        if not images and observation.sound is None and observation.text is None and tick == self._bare_tick:
            return None
        self._bare_tick = tick
        return replace(observation, images=images)

    def part(self) -> None:
        """Lets go of pictures that wait for the main camera's."""
        self._beside = {}

    def _pictures(self, observation: Observation) -> Mapping[str, Picture]:
        images = observation.images
        if not images:
            return {}
        if self._main is None or (self._main not in images and observation.t_ns - self._main_ns > GONE_NS):
            self._main = next(iter(images))
        if self._main not in images:
            self._beside.update(images)
            return {}
        self._main_ns = observation.t_ns
        tick = observation.t_ns // self._interval_ns
        if tick == self._tick:
            return {}
        self._tick = tick
        chosen = {self._main: images[self._main], **self._beside, **images}
        self._beside = {}
        return chosen


class Standing:
    """Shows the last pictures again while none follow: what stands still must be seen to stand still.

    As `perceive.hold`, but a stream may be away for hours, and one that is behind has no time for it.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._shown: Observation | None = None
        self._again_ns = 0
        self._looks = 0

    def until(self, t_ns: int, *, behind: bool) -> Iterator[Observation]:
        """The repetitions that stand before `t_ns`; none where the stream is `behind`."""
        shown = self._shown
        if shown is None:
            return
        if behind or t_ns - shown.t_ns > HELD_NS:
            self._again_ns = max(self._again_ns, t_ns + self._interval_ns)
        while self._again_ns < t_ns - self._interval_ns // 2:
            yield replace(shown, t_ns=self._again_ns)
            self._looks += 1
            self._again_ns += self._interval_ns if self._looks < 5 else max(self._interval_ns, NS_PER_S)

    def note(self, observation: Observation) -> None:
        """The observation that is perceived now."""
        if observation.images:
            self._shown = Observation(observation.stream, observation.t_ns, observation.images)
            self._again_ns, self._looks = observation.t_ns + self._interval_ns, 0
