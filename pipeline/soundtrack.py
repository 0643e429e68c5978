"""Sound of any rate and layout on one grid: mono at 16 kHz, where the sample's number is its time.

The track may begin late, have holes in its time stamps, repeat itself or change its format on the way: what is missing
is silence, what comes twice or before zero is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from ..records import NS_PER_S, SOUND_RATE, Vector, samples_to_ns

TOLERANCE_NS = 20_000_000
"""Time stamps may be off by less than this (containers round them to milliseconds); from here on it is a hole or a
repetition. One lost packet of the common codecs is 20 to 26 ms."""
MAX_HOLE_NS = 3600 * NS_PER_S
"""A time stamp that jumps further than this is wrong: its frame is left out."""
PIECE = 1600
"""Samples at 16 kHz that the resampler gathers: codecs' frames are a quarter as long, and each costs the same."""


def lay_on_grid(frames: Iterable[tuple[int, Any]]) -> Iterator[Vector]:
    """Decoded audio frames with their times in nanoseconds -> float32[n] pieces that follow each other from sample 0.

    Sample k of the concatenated pieces stands at k / 16000 s.
    """
    grid = _Grid()
    for t_ns, frame in frames:
        if frame.samples and frame.sample_rate > 0:
            yield from grid.add(t_ns, frame)
    yield from grid.finish()


class _Grid:
    """One run of frames that follow each other is resampled in one go; a run begins wherever they do not."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, str, int] | None = None
        self._run_ns = 0  # start of the run
        self._fed = 0  # samples of the run at the source's own rate
        self._written = 0  # samples given at 16 kHz
        self._behind = 0  # samples still to come that lie before `_written`

    def add(self, t_ns: int, frame: Any) -> Iterable[Vector]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        due_ns = self._run_ns + self._fed * NS_PER_S // frame.sample_rate
        if kind == self._kind and abs(t_ns - due_ns) < TOLERANCE_NS:
            return self._feed(frame)
        if t_ns - samples_to_ns(self._written) > MAX_HOLE_NS:
            return ()
        self._kind = kind
        return self._begin(t_ns, frame)

    def finish(self) -> list[Vector]:
        """What the resampler still holds at the end of a run."""
        return self._resampled(None) if self._resampler is not None else []

    def _begin(self, t_ns: int, frame: Any) -> Iterator[Vector]:
        """End one run, and begin the next with `frame` at `t_ns`; between them is silence."""
        from av import AudioResampler

        yield from self.finish()
        start = round(t_ns * SOUND_RATE / NS_PER_S)
        while self._written < start:
            hole = np.zeros(min(SOUND_RATE, start - self._written), dtype=np.float32)
            self._written += len(hole)
            yield hole
        self._behind = self._written - start
        # Without the limit FFmpeg mixes floats by power: a voice in both channels would rise by 3 dB and clip.
        options = {"rematrix_maxval": "1.0"}
        self._resampler = AudioResampler("flt", "mono", SOUND_RATE, frame_size=PIECE, options=options)
        self._run_ns, self._fed = t_ns, 0
        yield from self._feed(frame)

    def _feed(self, frame: Any) -> list[Vector]:
        self._fed += frame.samples
        frame.pts = None  # the resampler counts by itself
        return self._resampled(frame)

    def _resampled(self, frame: Any | None) -> list[Vector]:
        pieces = []
        for ready in self._resampler.resample(frame):
            samples = np.frombuffer(ready.planes[0], dtype=np.float32, count=ready.samples)
            samples, self._behind = samples[self._behind :], max(0, self._behind - len(samples))
            self._written += len(samples)
            pieces.append(samples)
        return pieces


def in_chunks(pieces: Iterable[Vector], rate: Fraction) -> Iterator[tuple[int, Vector]]:
    """Cut a piecewise sound at the ticks of `rate` a second (at least 1): (number of its first sample, float32[n]).

    Samples are brought within [-1, 1]; what is not a number becomes silence.
    """
    number, begin, end = 0, 0, round(SOUND_RATE / rate)
    held: list[Vector] = []
    have = 0
    for piece in pieces:
        held.append(piece)
        have += len(piece)
        if begin + have < end:
            continue
        joined = np.concatenate(held)
        while len(joined) >= end - begin:
            yield begin, _sane(joined[: end - begin])
            joined, number, begin = joined[end - begin :], number + 1, end
            end = round((number + 1) * SOUND_RATE / rate)
        held, have = [joined], len(joined)
    if have:
        yield begin, _sane(np.concatenate(held))


def _sane(samples: Vector) -> Vector:
    clipped = np.clip(samples, -1.0, 1.0)
    clipped[np.isnan(clipped)] = 0.0
    return clipped
