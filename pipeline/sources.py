"""Sources: what is watched, as observations in order of time. This file: the contract, and files.

Time is the container's presentation time since the earliest start of its tracks: what a player shows.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from ..errors import SettingsError, SourceError
from ..records import NS_PER_S, Observation, Picture, samples_to_ns
from .container import MEND, Track, lay_out, open_container
from .files import digest_of, readable
from .frames import FrameFinder, PictureMaker
from .sampling import TickSampler
from .soundtrack import in_chunks, lay_on_grid
from .subtitles import Cue, find_side_car, packet_text, read_side_car

log = logging.getLogger(__name__)

ENDS_EARLY_NS = NS_PER_S
"""A track that ends this long before its header says so was cut off."""
SMALLEST = 32
"""Pixels a side that a picture must have for its scenes to be told apart."""
SMALL_PIXELS = 500_000
"""Pictures below this are decoded in one thread: a second one costs a quarter more, and takes its core from those who
look at the pictures (500 pictures of 640 x 360: 0.34 s of a processor in one thread, 0.44 s in two)."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source is read."""

    fps: float = 5.0
    """Sampling ticks a second: each tick takes the picture that shows then."""
    threads: int = 2
    """Decoding threads; small pictures take one."""
    max_side: int = 16_384
    """Widest or highest picture, pixels."""
    max_pixels: int = 100_000_000
    """Largest picture, pixels."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and 0.001 <= self.fps <= 1000):
            raise SettingsError(f"fps {self.fps} makes no sense", "give pictures a second, from 0.001 to 1000")


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source is, known before it is read."""

    stream: str
    source: str
    """Absolute path or URL."""
    digest: str
    """BLAKE2b of size and bytes; empty for a live source."""
    duration_ns: int | None
    width: int | None
    """Of the pictures as they are given (upright); None without pictures."""
    height: int | None
    fps: float | None
    """The file's own mean picture rate, where it has one."""
    has_sound: bool
    has_subtitles: bool
    live: bool = False


class Source(Protocol):
    """Something that can be watched."""

    @property
    def info(self) -> SourceInfo: ...

    @property
    def truncated(self) -> str | None:
        """After reading to the end: how the source ended too early, or None."""
        ...

    @property
    def errors(self) -> int:
        """Packets and frames that could not be read so far."""
        ...

    def observations(self, start_ns: int = 0) -> Iterator[Observation]:
        """Observations in order of time, those with t_ns >= `start_ns`."""
        ...

    def frame_at(self, t_ns: int) -> tuple[int, Picture]:
        """Presentation time and picture (uint8[H, W, 3] RGB) of the frame that shows at `t_ns`."""
        ...

    def close(self) -> None: ...


def open_source(
    source: str | Path,
    *,
    stream: str | None = None,
    fps: float | None = None,
    subtitles: Path | None = None,
    settings: SourceSettings | None = None,
) -> Source:
    """Open what is to be watched; `stream` names it (by default the file's name without its ending).

    `fps` replaces `settings.fps`. `subtitles` is an .srt or .vtt file; without it the one of the same name beside the
    file is taken, else the first text track inside. Raises `SourceError` for what cannot be watched.
    """
    settings = settings or SourceSettings()
    if fps is not None:
        settings = replace(settings, fps=fps)
    text = str(source)
    if "://" in text or (text.isdigit() and not Path(text).exists()):
        raise SourceError(
            f"{text} is a live source, and watch takes files",
            f"watch it as it comes: mneme serve --memory DIR --source {text if text.isdigit() else 'URL'}",
        )
    return FileSource(Path(text), stream=stream, subtitles=subtitles, settings=settings)


class FileSource:
    """A video or sound file.

    Pictures, sound and subtitles come as observations of their own, merged by time (at equal times in the order words,
    picture, sound):

    - a picture for each tick k / fps that some frame's presentation interval covers; `t_ns` is the frame's own time,
      and a frame comes once however many ticks it covers;
    - sound from 0 to its end without gap or overlap, cut at the ticks (at least once a second), 62,500 ns a sample;
    - a cue at its start.

    Memory: a few decoded frames, one second of sound, and the side-car's cues, whatever the length of the file.
    `frame_at` and `observations` may run in two threads, each of them in one.
    """

    def __init__(self, path: Path, *, stream: str | None, subtitles: Path | None, settings: SourceSettings) -> None:
        self._path = readable(path)
        self._settings = settings
        self._finder: FrameFinder | None = None
        self.errors = 0
        self.truncated: str | None = None
        with open_container(self._path) as container:
            self._layout = lay_out(container, self._path)
        self._layout, size, rate = self._probe()
        side_car = subtitles or find_side_car(self._path)
        self._cues: list[Cue] | None = read_side_car(side_car) if side_car else None
        self.info = SourceInfo(
            stream=stream or self._path.stem,
            source=str(self._path),
            digest=digest_of(self._path),
            duration_ns=self._layout.duration_ns,
            width=size[0] if size else None,
            height=size[1] if size else None,
            fps=rate,
            has_sound=self._layout.audio is not None,
            has_subtitles=self._cues is not None or self._layout.words is not None,
        )

    def observations(self, start_ns: int = 0) -> Iterator[Observation]:
        """Observations in order of time from `start_ns` on, equal to those of an uninterrupted reading.

        Pictures are decoded from the key frame before `start_ns`; sound from its beginning, because decoders and
        resamplers carry state: the resumed stream is equal to the last bit, for some 1 % of the time that is skipped.
        """
        self.errors, self.truncated = 0, None
        ends: list[tuple[int, int | None]] = []  # (last moment, declared end) of each track
        lanes = [self._words(start_ns)]
        if self._layout.video is not None:
            lanes.append(self._pictures(start_ns, ends))
        if self._layout.audio is not None:
            lanes.append(self._sounds(start_ns, ends))
        yield from heapq.merge(*lanes, key=lambda observation: observation.t_ns)
        self.truncated = self._cut_off(ends)
        if self.truncated:
            log.warning("%s: %s", self._path, self.truncated)
        if self.errors:
            log.warning("%s: %d packets or frames could not be read", self._path, self.errors)

    def frame_at(self, t_ns: int) -> tuple[int, Picture]:
        """Presentation time and picture of the frame that shows at `t_ns`: the last one before it, or the first."""
        if self._finder is None:
            self._finder = FrameFinder(self._path, self._layout, self._settings.threads)
        return self._finder.at(t_ns)

    def close(self) -> None:
        if self._finder is not None:
            self._finder.close()
            self._finder = None

    def _track(self, index: int, threads: int = 1) -> Track:
        return Track(self._path, index, self._layout.zero, threads)

    def _probe(self) -> tuple[Any, tuple[int, int] | None, float | None]:
        """The layout without tracks of which nothing can be decoded, the size of upright pictures, and their rate."""
        layout, size, rate = self._layout, None, None
        if layout.video is not None:
            track = self._track(layout.video)
            context = track.stream.codec_context
            self._check_size(context.width, context.height)
            frame = track.first_frame()
            if frame is None:
                layout = replace(layout, video=None)
            else:
                self._check_size(frame.width, frame.height)
                height, width = PictureMaker().make(frame).shape[:2]
                size, rate = (width, height), float(track.stream.average_rate or 0) or None
            track.close()
        if layout.audio is not None:
            track = self._track(layout.audio)
            if track.first_frame() is None:
                layout = replace(layout, audio=None)
            track.close()
        if layout.video is None and layout.audio is None:
            raise SourceError(f"{self._path} holds no picture and no sound that can be decoded", MEND)
        if layout != self._layout:
            log.warning("%s: a track of which nothing can be decoded is left out", self._path)
        return layout, size, rate

    def _check_size(self, width: int, height: int) -> None:
        if 0 < min(width, height) < SMALLEST:
            raise SourceError(
                f"the pictures of {self._path} are {width}x{height}", f"give a video of {SMALLEST} pixels a side"
            )
        most = self._settings
        if not (0 < width <= most.max_side and 0 < height <= most.max_side and width * height <= most.max_pixels):
            raise SourceError(
                f"{self._path} has pictures of {width} x {height}",
                f"give a video of at most {most.max_side} a side and {most.max_pixels} pixels",
            )

    def _words(self, start_ns: int) -> Iterator[Observation]:
        last_ns = 0
        for cue in self._cues if self._cues is not None else self._embedded_cues():
            last_ns = max(last_ns, cue.t0_ns)  # a container may hold cues slightly out of order
            if last_ns >= start_ns:
                yield Observation(self.info.stream, last_ns, text=cue.text, text_until_ns=cue.t1_ns)

    def _embedded_cues(self) -> Iterator[Cue]:
        if self._layout.words is None:
            return
        track = self._track(self._layout.words)
        try:
            for packet in track.packets():
                if packet.size and packet.pts is not None:
                    t0_ns = track.time_ns(packet.pts)
                    t1_ns = track.time_ns(packet.pts + packet.duration) if packet.duration else None
                    text = packet_text(track.stream.codec_context.name, bytes(packet))
                    if text and (t0_ns >= 0 or (t1_ns or 0) > 0):
                        yield Cue(max(0, t0_ns), t1_ns, text)
            self.errors += track.errors
        finally:
            track.close()

    def _pictures(self, start_ns: int, ends: list[tuple[int, int | None]]) -> Iterator[Observation]:
        assert self._layout.video is not None
        small = (self.info.width or 0) * (self.info.height or 0) < SMALL_PIXELS
        track = self._track(self._layout.video, 1 if small else self._settings.threads)
        make = PictureMaker().make
        try:
            sampler = TickSampler(track, _rate(self._settings.fps), start_ns)
            for t_ns, frame in sampler.frames():
                if frame.width * frame.height <= self._settings.max_pixels:
                    yield Observation(self.info.stream, t_ns, images={"": make(frame)})
                else:
                    self.errors += 1
            ends.append((sampler.end_ns, track.declared_end_ns()))
            self.errors += track.errors
        finally:
            track.close()

    def _sounds(self, start_ns: int, ends: list[tuple[int, int | None]]) -> Iterator[Observation]:
        assert self._layout.audio is not None
        track = self._track(self._layout.audio)
        rate = max(Fraction(1), _rate(self._settings.fps))
        try:
            end_ns = 0
            timed = ((track.time_ns(frame.pts), frame) for frame in track.frames())
            for first, samples in in_chunks(lay_on_grid(timed), rate):
                end_ns = samples_to_ns(first + len(samples))
                if samples_to_ns(first) >= start_ns:
                    yield Observation(self.info.stream, samples_to_ns(first), sound=samples)
            ends.append((end_ns, track.declared_end_ns()))
            self.errors += track.errors
        finally:
            track.close()

    def _cut_off(self, ends: list[tuple[int, int | None]]) -> str | None:
        """Whether what was read ends before what the header declares.

        Where one track comes to its end the file is whole: another may end earlier (a last picture that stays).
        """
        if not self._layout.states_duration or not ends:
            return None
        declared = [t for _, t in ends if t is not None]
        declared_ns = max(declared) if declared else self._layout.duration_ns
        end_ns = max(end for end, _ in ends)
        if declared_ns is not None and end_ns + ENDS_EARLY_NS < declared_ns:
            return f"cut off: ends at {end_ns / NS_PER_S:.1f} s of {declared_ns / NS_PER_S:.1f} s"
        return None


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1_000_000)
