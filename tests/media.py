"""Tiny videos whose truth is known: every picture carries its own number, every sound is a formula of time.

Tests reach this file through the fixtures of `conftest.py` (`make_video`, `media`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Scene = Colour | Picture | Callable[[float], Picture]
Sound = NDArray[np.float32] | Callable[[NDArray[np.float64]], NDArray[Any]]

BITS = 12
"""Bars of the strip on top of each picture: its number in binary, most significant first, white is one."""
TEXT_CODECS = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip", ".webm": "webvtt"}
VIDEO_TICK = 90_000
"""Ticks a second in which picture times are laid down."""


def make_video(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: float = 10.0,
    size: tuple[int, int] = (96, 64),
    scenes: Sequence[Scene] | None = None,
    numbered: bool = True,
    sound: Sound | Literal["tone"] | None = None,
    sound_rate: int = 48_000,
    sound_start_s: float = 0.0,
    sound_gap_s: tuple[float, float] | None = None,
    rotate: Literal[0, 90, 180, 270] = 0,
    mirror: bool = False,
    vfr: Sequence[float] | None = None,
    start_s: float = 0.0,
    subtitles: Sequence[tuple[float, float, str]] = (),
    codec: str | None = "libx264",
    sound_codec: str = "aac",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write a video to `path` (the ending chooses the container) and return it.

    seconds, fps: length and picture rate; `vfr` gives the pictures' own times in seconds instead (the last one lasts
        until `seconds`). size: width, height in pixels, both even for yuv420p.
    scenes: colours, pictures uint8[H, W, 3], or functions of the time in seconds; each lasts an equal share of
        `seconds`. `numbered` draws the strip that `number_of` reads back.
    sound: samples float32[n] or a function of the times float64[n] in seconds; "tone" is 440 Hz at half scale.
        `sound_start_s` lays it later, `sound_gap_s` leaves a hole in its timestamps.
    rotate, mirror: what a player must do to show the picture upright: turn it clockwise by so many degrees, after
        mirroring left and right; written into an mp4's display matrix.
    start_s: added to every timestamp. codec None: no picture track.
    """
    times = list(vfr) if vfr is not None else [i / fps for i in range(round(seconds * fps))]
    with av.open(str(path), "w", options=muxer or {}) as out:
        jobs: list[tuple[float, Callable[[], Any]]] = []
        streams: list[Any] = []
        if codec is not None:
            # B-frames on purpose: their order in the file is not their order on the screen.
            tune = {"bf": "2", "g": "12", "crf": "12", "preset": "veryfast", "threads": "1"}
            video = out.add_stream(
                codec, rate=Fraction(fps).limit_denominator(1001), options={**tune, **(options or {})}
            )
            video.width, video.height, video.pix_fmt = *size, pixels
            video.codec_context.time_base = Fraction(1, VIDEO_TICK)
            streams.append(video)
            chosen = list(scenes) if scenes else [(40, 80, 120), (160, 60, 40), (60, 150, 70)]
            for number, t_s in enumerate(times):
                until_s = times[number + 1] if number + 1 < len(times) else seconds
                scene = chosen[min(int(t_s / seconds * len(chosen)), len(chosen) - 1)]
                jobs.append(
                    (
                        t_s,
                        lambda a=(number, t_s, until_s, scene): _encode_picture(
                            out, video, *a, size, start_s, numbered
                        ),
                    )
                )
        if sound is not None:
            track = out.add_stream(sound_codec, rate=sound_rate, layout="mono")
            streams.append(track)
            # What an encoder does not take (float planes, any length) a resampler and a queue put right.
            convert = av.AudioResampler(format=track.codec_context.format, layout="mono", rate=sound_rate)
            samples = _samples(sound, seconds - sound_start_s, sound_rate)
            step = 1024
            for first in range(0, len(samples), step):
                t_s = sound_start_s + first / sound_rate
                if sound_gap_s and sound_gap_s[0] <= t_s < sound_gap_s[1]:
                    continue
                piece = samples[first : first + step]
                jobs.append((t_s, lambda a=(piece, t_s): _encode_sound(out, track, convert, *a, sound_rate, start_s)))
        if subtitles:
            words = out.add_mux_stream(TEXT_CODECS[path.suffix])
            words.time_base = Fraction(1, 1000)
            out.start_encoding()
            for t0_s, t1_s, text in subtitles:
                jobs.append((t0_s, lambda a=(t0_s, t1_s, text): _mux_words(out, words, *a, start_s)))
        for _, job in sorted(jobs, key=lambda pair: pair[0]):
            job()
        for stream in streams:
            out.mux(stream.encode(None))
    if rotate or mirror:
        _set_display_matrix(path, rotate, mirror)
    return path


def number_of(picture: Picture) -> int:
    """The number that the strip on top of a picture of `make_video` holds: uint8[H, W, 3] -> 0..4095."""
    row = picture[picture.shape[0] // 8].astype(int).sum(axis=-1)  # int[W]
    centres = [int((bit + 0.5) * len(row) / BITS) for bit in range(BITS)]
    return sum(int(row[x] > 384) << (BITS - 1 - bit) for bit, x in enumerate(centres))


def _draw(number: int, t_s: float, scene: Scene, size: tuple[int, int], numbered: bool) -> Picture:
    width, height = size
    if callable(scene):
        picture = np.array(scene(t_s), dtype=np.uint8)
    elif isinstance(scene, np.ndarray):
        picture = scene.copy()
    else:
        picture = np.full((height, width, 3), scene, dtype=np.uint8)
    if numbered:
        for bit in range(BITS):
            left, right = int(bit * width / BITS), int((bit + 1) * width / BITS)
            picture[: height // 4, left:right] = 255 * (number >> (BITS - 1 - bit) & 1)
    return picture


def _encode_picture(
    out: Any,
    video: Any,
    number: int,
    t_s: float,
    until_s: float,
    scene: Scene,
    size: tuple[int, int],
    start_s: float,
    numbered: bool,
) -> None:
    frame = av.VideoFrame.from_ndarray(_draw(number, t_s, scene, size, numbered), format="rgb24")
    frame.time_base = Fraction(1, VIDEO_TICK)
    frame.pts = round((t_s + start_s) * VIDEO_TICK)
    frame.duration = round((until_s - t_s) * VIDEO_TICK)
    out.mux(video.encode(frame))


def _samples(sound: Sound | Literal["tone"], seconds: float, rate: int) -> NDArray[np.float32]:
    if isinstance(sound, np.ndarray):
        return sound
    t_s = np.arange(round(seconds * rate)) / rate
    made = 0.5 * np.sin(2 * np.pi * 440 * t_s) if isinstance(sound, str) else sound(t_s)
    return np.asarray(made, dtype=np.float32)


def _encode_sound(
    out: Any, track: Any, convert: Any, piece: NDArray[np.float32], t_s: float, rate: int, start_s: float
) -> None:
    frame = av.AudioFrame.from_ndarray(piece[None], format="flt", layout="mono")
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round((t_s + start_s) * rate)
    for ready in convert.resample(frame):
        out.mux(track.encode(ready))


def _mux_words(out: Any, words: Any, t0_s: float, t1_s: float, text: str, start_s: float) -> None:
    data = text.encode()
    if out.format.name in ("mp4", "mov"):  # ISO/IEC 14496-17: a big-endian length before the words
        data = len(data).to_bytes(2, "big") + data
    packet = av.Packet(data)
    packet.stream, packet.time_base = words, Fraction(1, 1000)
    packet.pts = packet.dts = round((t0_s + start_s) * 1000)
    packet.duration = round((t1_s - t0_s) * 1000)
    out.mux(packet)


def _set_display_matrix(path: Path, rotate: int, mirror: bool) -> None:
    """Write the matrix of the first `tkhd` box (ISO/IEC 14496-12, 8.3.2) in place."""
    one = 0x10000
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotate]
    if mirror:  # (p, q) -> (-p, q) comes first
        a, b = -a, -b
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 4 + 4 + 4 + 4 + 4 + 8 + 2 + 2 + 2 + 2
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
