"""What a sound is like: its loudness, and a weightless descriptor that compares sounds with sounds.

The descriptor is the mean, the spread and the movement of log-mel bands over time, the classic summary of a sound's
timbre (Tzanetakis and Cook 2002, "Musical Genre Classification of Audio Signals"), freed of its level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..records import Space, Vector
from .base import Encoded, EncoderSpec, unit
from .mel import QUIET_DB, band_power, decibels, filter_bank
from .onsets import Onsets

__all__ = ["LogMel", "Onsets", "loudness_db"]

BANDS = 48
DIM = 3 * BANDS
WINDOW, HOP, FFT = 400, 160, 512
"""25 ms every 10 ms."""
DEPTH_DB = 50.0
"""Bands further below the loudest are taken as this far below: what lies there is the recording's noise."""
SOUNDING_DB = 40.0
"""Frames further below the loudest are pauses and are left out."""
SPREAD_DB, MOVEMENT_DB = 6.0, 1.5
"""What spread and movement are for noise and speech alike: taken off, so that they tell sounds apart."""


class LogMel:
    """Sound encoder of the space `logmel`: no weights, no words; the same sound louder gives the same vector."""

    spec = EncoderSpec("logmel", "sound", Space("logmel", DIM, "1"))

    def __init__(self) -> None:
        self._bank = filter_bank(BANDS, FFT, 60.0, 7600.0)

    def encode(self, batch: Sequence[Vector]) -> Encoded:
        """Vectors float32[b, 144], unit length, of sounds float32[n] at 16 kHz."""
        rows = [self._describe(np.asarray(samples, dtype=np.float32)) for samples in batch]
        return Encoded(unit(np.stack(rows) if rows else np.zeros((0, DIM), dtype=np.float32)))

    def _describe(self, samples: Vector) -> Vector:
        samples = np.pad(samples, (0, max(0, WINDOW + HOP - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]  # [n, 400]
        power = band_power(frames, self._bank)  # [n, 48]
        level = decibels(power.sum(axis=1))
        bands = decibels(power)
        bands = np.maximum(bands, max(float(bands.max()) - DEPTH_DB, QUIET_DB))[level >= level.max() - SOUNDING_DB]
        mean = bands.mean(axis=0)
        movement = np.abs(np.diff(bands, axis=0)).mean(axis=0) if len(bands) > 1 else np.zeros(BANDS)
        # The mean's shape, in the units of the other two; its height is the level.
        parts = (mean - mean.mean()) / 2, bands.std(axis=0) - SPREAD_DB, 2 * (movement - MOVEMENT_DB)
        return np.concatenate(parts).astype(np.float32)


def loudness_db(samples: Vector) -> float:
    """Root mean square of float32[n] in dBFS (a full-scale square wave is 0), at least -120; silence is -120."""
    if len(samples) == 0:
        return QUIET_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(QUIET_DB, 10.0 * float(np.log10(max(power, 1e-12))))
