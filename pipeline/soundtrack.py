"""Sound of any rate and layout on one grid: mono at 16 kHz, where the sample's number is its time.

The track may begin late, have holes in its time stamps, repeat itself or change its format on the way: what is missing is
silence, what comes twice or before zero is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from ..records import SOUND_RATE, Vector

TOLERANCE_S = Fraction(20, 1000)
"""Time stamps may be off by less than this (containers round them to milliseconds); from here on it is a hole or a
repetition. One lost packet of the common codecs is 20 to 26 ms."""
MAX_HOLE_S = 3600
"""A time stamp that jumps further than this is wrong."""


def lay_on_grid(frames: Iterable[tuple[Fraction, Any]]) -> Iterator[Vector]:
    """Decoded audio frames with their times in seconds -> float32[n] pieces that follow each other from sample 0.

    Sample k of the concatenated pieces stands at k / 16000 s. A piece is at most one second long.
    """
    written = 0  # samples given so far
    skip = 0  # samples of the running segment that lie before `written`
    due: Fraction | None = None  # when the next frame should start; None: nothing came yet
    kind: tuple[str, str, int] | None = None
    resampler: Any = None
    for t_s, frame in frames:
        if frame.samples == 0 or frame.sample_rate <= 0:
            continue
        of_frame = (frame.format.name, frame.layout.name, frame.sample_rate)
        if due is None or abs(t_s - due) >= TOLERANCE_S or of_frame != kind:
            if t_s > (due or 0) + MAX_HOLE_S:
                continue
            for piece in _resampled(resampler, None):
                skip, piece = max(0, skip - len(piece)), piece[skip:]
                written += len(piece)
                yield from _seconds(piece)
            resampler, kind = _new_resampler(), of_frame
            start = round(t_s * SOUND_RATE)
            for hole in _silence(start - written):
                written += len(hole)
                yield hole
            skip = written - start
            due = t_s
        due += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler counts by itself
        for piece in _resampled(resampler, frame):
            skip, piece = max(0, skip - len(piece)), piece[skip:]
            written += len(piece)
            yield from _seconds(piece)
    for piece in _resampled(resampler, None):
        yield from _seconds(piece[skip:])
        skip = max(0, skip - len(piece))


def in_chunks(pieces: Iterable[Vector], rate: Fraction) -> Iterator[tuple[int, Vector]]:
    """Cut a piecewise sound at the ticks of `rate` a second (at least 1): (number of its first sample, float32[n])."""
    number, begin = 0, 0
    held: list[Vector] = []
    have = 0
    for piece in pieces:
        held.append(piece)
        have += len(piece)
        while begin + have >= (end := round((number + 1) * SOUND_RATE / rate)):
            joined = np.concatenate(held)
            yield begin, joined[: end - begin].copy()
            held, have = [joined[end - begin :]], begin + have - end
            number, begin = number + 1, end
    if have:
        yield begin, np.concatenate(held)


def _new_resampler() -> Any:
    from av import AudioResampler

    return AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)


def _resampled(resampler: Any, frame: Any | None) -> Iterator[Vector]:
    """What comes out of the resampler for one frame in, or (None) at its end: float32[n] within [-1, 1]."""
    if resampler is None:
        return
    for ready in resampler.resample(frame):
        if ready is not None:  # an idle resampler hands the end itself through
            samples = np.nan_to_num(ready.to_ndarray()[0], nan=0.0)  # [1, n] -> [n]
            yield np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)


def _silence(samples: int) -> Iterator[Vector]:
    for begin in range(0, samples, SOUND_RATE):
        yield np.zeros(min(SOUND_RATE, samples - begin), dtype=np.float32)


def _seconds(piece: Vector) -> Iterator[Vector]:
    for begin in range(0, len(piece), SOUND_RATE):
        yield piece[begin : begin + SOUND_RATE]
