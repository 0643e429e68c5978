"""Sounds of the world, synthesised: each a function of a generator, float32[n] at `RATE`, peak at most 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from .voice import RATE

Wave = NDArray[np.float32]


def _times(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def _finish(wave: NDArray[np.float64]) -> Wave:
    """Peak 1, with 5 ms ramps so that nothing clicks."""
    ramp = min(len(wave) // 2, RATE // 200)
    wave[:ramp] *= np.linspace(0, 1, ramp)
    wave[-ramp:] *= np.linspace(1, 0, ramp)
    return np.asarray(wave / np.abs(wave).max(), dtype=np.float32)


def bell(rng: np.random.Generator) -> Wave:
    """Inharmonic partials that die away, the higher the sooner."""
    t, pitch = _times(1.6), rng.uniform(520, 900)
    partials = [np.sin(2 * np.pi * pitch * k * t) * np.exp(-t * (2 + k)) / k for k in (1.0, 2.01, 2.76, 5.4)]
    return _finish(np.sum(partials, axis=0))


def beeps(rng: np.random.Generator) -> Wave:
    """Three short tones of one pitch."""
    t, pitch = _times(1.5), rng.uniform(850, 1300)
    return _finish(np.sin(2 * np.pi * pitch * t) * ((t % 0.5) < 0.22))


def sweep(rng: np.random.Generator) -> Wave:
    """A tone that rises from about 300 Hz to about 2.5 kHz."""
    t, top = _times(2.5), rng.uniform(2200, 2800)
    return _finish(np.sin(2 * np.pi * (300 * t + (top - 300) * t**2 / (2 * t[-1]))))


def motor(rng: np.random.Generator) -> Wave:
    """A low buzz with many harmonics, unsteady in speed and load."""
    t, pitch = _times(3.5), rng.uniform(45, 80)
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.08 * np.sin(2 * np.pi * 0.7 * t))) / RATE
    buzz = np.sum([np.sin(k * phase + k) / k for k in range(1, 14)], axis=0)
    return _finish(buzz * (1 + 0.2 * rng.standard_normal(len(t))))


def knocks(rng: np.random.Generator) -> Wave:
    """Four blows on wood: short noise through a resonance."""
    t = _times(1.9)
    wave = np.zeros_like(t)
    for start in (0.0, 0.42, 0.84, 1.26):
        since = np.maximum(t - start, 0)
        blow = np.sin(2 * np.pi * rng.uniform(170, 230) * since) + 0.3 * rng.standard_normal(len(t))
        wave += np.where(t >= start, blow * np.exp(-since * 38), 0)
    return _finish(wave)


def birdsong(rng: np.random.Generator) -> Wave:
    """Chirps between 2.5 and 5 kHz with a fast warble."""
    t = _times(2.4)
    warble = 3500 + 900 * np.sin(2 * np.pi * rng.uniform(7, 11) * t) + 300 * np.sin(2 * np.pi * 1.3 * t)
    return _finish(np.sin(2 * np.pi * np.cumsum(warble) / RATE) * np.maximum(np.sin(2 * np.pi * 2.1 * t), 0) ** 0.5)


SOUNDS: dict[str, tuple[str, Callable[[np.random.Generator], Wave]]] = {
    "bell": ("a bell ringing", bell),
    "beep": ("electronic beeps", beeps),
    "sweep": ("a rising tone sweep", sweep),
    "motor": ("a motor running", motor),
    "knock": ("knocking on wood", knocks),
    "bird": ("birdsong", birdsong),
}
"""key -> (label, synthesis). A right answer holds the key."""


def mix(duration_s: float, laid: Iterable[tuple[float, Wave, float]], noise_db: float, seed: int) -> NDArray[np.int16]:
    """int16[n] at `RATE`: waves laid at (start in seconds, wave, gain) over noise at `noise_db` dBFS."""
    n = round(duration_s * RATE)
    track = np.random.default_rng(seed).standard_normal(n).astype(np.float32) * 10 ** (noise_db / 20)
    for start_s, wave, gain in laid:
        at = round(start_s * RATE)
        track[at : at + len(wave)] += gain * wave[: max(n - at, 0)]
    return np.asarray(np.clip(track, -1, 1) * 32767, dtype=np.int16)
