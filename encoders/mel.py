"""Power in mel bands: HTK's formula (Young et al., "The HTK Book"), triangular filters, Hann windows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..records import SOUND_RATE, Vector

QUIET_DB = -120.0
"""What silence is called: the floor of every level in decibels."""


def mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def filter_bank(bands: int, fft: int, low_hz: float, high_hz: float) -> Vector:
    """float32[fft // 2 + 1, bands]: triangles of height 1, evenly spaced in mel from `low_hz` to `high_hz`."""
    edges = 700.0 * (10.0 ** (np.linspace(mel(low_hz), mel(high_hz), bands + 2) / 2595.0) - 1.0)
    hertz = np.arange(fft // 2 + 1)[:, None] * (SOUND_RATE / fft)
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@lru_cache(maxsize=8)
def _hann(length: int) -> Vector:
    """float32[length], periodic."""
    return np.hanning(length + 1)[:-1].astype(np.float32)


def band_power(frames: NDArray[np.float32], bank: Vector) -> NDArray[np.float32]:
    """Mean-square power in each band of `frames` float32[n, window]: float32[n, bands]."""
    window = _hann(frames.shape[1])
    fft = 2 * (bank.shape[0] - 1)
    spectrum = np.fft.rfft(frames * window, fft)  # [n, fft / 2 + 1]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    scale = 2.0 / (fft * float(np.square(window).sum()))
    return np.asarray((power * scale) @ bank, dtype=np.float32)


def decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """10 log10, with silence at `QUIET_DB`."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (QUIET_DB / 10.0))), dtype=np.float32)
