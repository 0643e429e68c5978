"""Onsets of sounds that are not speech: where the level of some band rises above its own noise floor.

Energy in bands against an adaptive floor, as in noise estimation by minimum statistics (Martin 2001, "Noise Power
Spectral Density Estimation Based on Optimal Smoothing and Minimum Statistics"): a sound that stays becomes floor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..records import SOUND_RATE, samples_to_ns
from .base import Heard
from .buffer import SoundBuffer, StretchListener
from .mel import band_power, decibels, filter_bank

HOP, WINDOW = 320, 640
"""Samples between frames (20 ms), and of one."""
BLOCK = 10
"""Frames that are measured at a time; the floor is taken anew for each."""
BANDS = filter_bank(8, WINDOW, 60.0, 7800.0)
"""Few and wide, so that steady noise does not flicker."""

FLOOR_FRAMES, FLOOR_QUANTILE, FLOOR_DB = 500, 0.2, -80.0
"""The floor of a band: this quantile of its last 10 s, and never under what a quiet recording holds."""
RISE_DB, STAY_DB = 12.0, 6.0
"""A sound opens this far above the floor, and lasts while it is this far above it."""
FAINTEST_DB = -60.0
"""A sound whose loudest frame stays under this is none."""

PER_SECOND = SOUND_RATE // HOP
GAP, SHORTEST, LONGEST = int(0.35 * PER_SECOND), PER_SECOND // 10, 10 * PER_SECOND
"""Frames: of a pause that ends a sound, of the shortest sound, of one that is cut."""
LAG = 2 * PER_SECOND
"""Frames that a frame waits for the word on whether it is speech: voice activity knows after 1.3 s, of `AFTER` too."""
MARGIN = PER_SECOND // 4
"""Frames beside speech that are taken as speech: breath, and the looseness of subtitles."""
BEFORE, AFTER = 3 * PER_SECOND // 2, 3 * PER_SECOND // 5
"""Frames before and after, within which speech sets the level to beat."""
UNDER_SPEECH_DB = 12.0
"""Beside speech only what comes this near to its level is a sound: a recording's own noise stands in its pauses."""

Voiced = Callable[[int, int], float]
"""How much of [t0_ns, t1_ns) is speech, 0 to 1: `VoiceActivity.voiced`, or spans of subtitles."""


class Onsets(StretchListener):
    """A `Listener` for sounds: each `Heard` has its span and samples, no text, and how clearly it stood out.

    `voiced` is asked about a moment once 1.4 s of sound after it have been pushed: push to the voice activity
    first. `settled_ns` is at most 12.6 s behind the sound.
    """

    def __init__(self, voiced: Voiced | None = None) -> None:
        self._voiced = voiced or (lambda _t0_ns, _t1_ns: 0.0)
        self._settled = 0

    def _restart(self, t_ns: int) -> None:
        self._buffer = SoundBuffer(t_ns, BLOCK * HOP)
        self._base = self._next = self._buffer.start // HOP
        """Frame numbers: of the first row kept in the arrays below; of the next to be measured."""
        self._decided = self._base
        self._floors = np.zeros((0, BANDS.shape[1]), dtype=np.float32)
        """dB[<= 500, 8]: what the floor is taken from."""
        self._level = np.zeros(0, dtype=np.float32)
        self._rise = np.zeros(0, dtype=np.float32)
        self._speech: list[bool] = []
        self._open: int | None = None
        self._last = 0

    @property
    def settled_ns(self) -> int:
        """No sound that starts before this will still come."""
        if self._buffer is None:
            return self._settled
        return samples_to_ns(HOP * (self._decided if self._open is None else self._open))

    def flush(self) -> list[Heard]:
        """The stream has ended: what is still open is complete now."""
        buffer = self._buffer
        if buffer is None:
            return []
        end = buffer.end // HOP
        while self._next < end:
            self._measure(buffer)
        out = self._decide(buffer, end)
        if self._open is not None:
            out += self._close(buffer, self._last + 1)
        self._buffer, self._settled = None, buffer.end_ns
        return out

    def _advance(self, buffer: SoundBuffer) -> list[Heard]:
        out: list[Heard] = []
        while buffer.end >= (self._next + BLOCK) * HOP + WINDOW - HOP:
            self._measure(buffer)
            out += self._decide(buffer, self._next - LAG)
        return out

    def _measure(self, buffer: SoundBuffer) -> None:
        """Level, and rise above the floor, of the next block of frames."""
        first = self._next * HOP
        stretch = buffer.cut(first, first + BLOCK * HOP + WINDOW - HOP)
        frames = np.lib.stride_tricks.sliding_window_view(stretch, WINDOW)[::HOP]  # [10, 640]
        power = band_power(frames, BANDS)  # [10, 8]
        bands = decibels(power)
        known = self._floors if len(self._floors) >= PER_SECOND else np.concatenate([self._floors, bands])
        rank = int(FLOOR_QUANTILE * len(known))
        floor = np.maximum(np.partition(known, rank, axis=0)[rank], FLOOR_DB)  # [8]
        self._floors = np.concatenate([self._floors, bands])[-FLOOR_FRAMES:]
        self._level = np.concatenate([self._level, decibels(power.sum(axis=1))])
        self._rise = np.concatenate([self._rise, (bands - floor).max(axis=1)])
        self._next += BLOCK

    def _decide(self, buffer: SoundBuffer, until: int) -> list[Heard]:
        """Which frames up to number `until` sound, and the sounds that this completes."""
        for frame in range(self._base + len(self._speech), min(until + AFTER, self._next)):
            span = samples_to_ns(frame * HOP), samples_to_ns((frame + 1) * HOP)
            self._speech.append(self._voiced(*span) > 0.0)
        out: list[Heard] = []
        for frame in range(self._decided, max(self._decided, until)):
            sounds = self._sounds(frame - self._base)
            self._decided = frame + 1
            if sounds:
                self._open = frame if self._open is None else self._open
                self._last = frame
            if self._open is not None and (frame - self._last >= GAP or self._decided - self._open >= LONGEST):
                out += self._close(buffer, self._last + 1)
        self._forget(buffer)
        return out

    def _sounds(self, row: int) -> bool:
        if self._rise[row] < (RISE_DB if self._open is None else STAY_DB):
            return False
        if any(self._speech[max(0, row - MARGIN) : row + MARGIN + 1]):
            return False
        first = max(0, row - BEFORE)
        speech = np.array(self._speech[first : row + AFTER])
        if not speech.any():
            return True
        power: NDArray[np.float32] = 10.0 ** (self._level[first : first + len(speech)][speech] / 10.0)
        return bool(self._level[row] >= 10.0 * np.log10(power.mean()) - UNDER_SPEECH_DB)

    def _close(self, buffer: SoundBuffer, end: int) -> list[Heard]:
        start = self._open
        assert start is not None
        self._open = None
        rows = slice(start - self._base, end - self._base)
        if end - start < SHORTEST or self._level[rows].max() < FAINTEST_DB:
            return []
        clear = min(1.0, float(self._rise[rows].max()) / (3 * RISE_DB))
        samples = buffer.cut(start * HOP, end * HOP)
        return [Heard(samples_to_ns(start * HOP), samples_to_ns(end * HOP), None, clear, samples)]

    def _forget(self, buffer: SoundBuffer) -> None:
        """Drop what no frame to come will look at."""
        needed = min(self._decided - BEFORE, self._decided if self._open is None else self._open)
        count = max(0, needed - self._base)
        self._level, self._rise, self._speech = self._level[count:], self._rise[count:], self._speech[count:]
        self._base += count
        buffer.drop(self._base * HOP)
