"""What sounds are made of: envelopes, partials, coloured noise, formants, rooms. All at 16 kHz, float64 or float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Wave = NDArray[np.float32]
Draw = np.random.Generator
HOP = 256
WINDOW = np.hanning(2 * HOP + 1)[:-1].astype(np.float32)
"""Frames in which a filter stands still while it moves; at this hop they sum to one."""


def clock(seconds: float) -> Wave:
    """float32[n]: the time of each sample."""
    return (np.arange(max(1, round(seconds * RATE))) / RATE).astype(np.float32)


def between(draw: Draw, low: float, high: float) -> float:
    """Uniform in the logarithm: for what we hear in ratios."""
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def cycles(hertz: NDArray[np.floating] | float, n: int) -> Wave:
    """float32[n]: the phase in radians of a tone of a steady or changing frequency."""
    turns = np.cumsum(np.broadcast_to(np.asarray(hertz, dtype=np.float64), (n,))) / RATE
    # Multiples of a phase are wanted too, so only its precision is minded: 2 s hold a few thousand turns.
    return (2 * np.pi * turns).astype(np.float32)


def partials(phase: Wave, gains: Sequence[float] | NDArray[np.floating], offset: float = 0.0) -> Wave:
    """float32[n]: harmonics 1, 2, 3 ... of a phase."""
    return np.asarray(
        np.sum([g * np.sin((k + 1) * phase + offset * k) for k, g in enumerate(gains)], axis=0, dtype=np.float32),
        dtype=np.float32,
    )


def modes(t: Wave, hertz: NDArray[np.floating], gains: NDArray[np.floating], decays: NDArray[np.floating]) -> Wave:
    """float32[n]: what rings after a blow: m modes at `hertz`, each dying away in `decays` seconds (to 1 / e)."""
    kept = hertz < 0.47 * RATE
    w, g, d = (np.asarray(x, np.float32)[kept, None] for x in (2 * np.pi * hertz, gains, 1 / decays))
    return np.asarray((g * np.sin(w * t) * np.exp(-d * t)).sum(axis=0), dtype=np.float32)


def band_noise(draw: Draw, n: int, low: float, high: float, slope: float = 0.0) -> Wave:
    """float32[n]: noise from `low` to `high` Hz with soft edges, falling by `slope` times 3 dB an octave; rms 1."""
    size = _fast(n)
    spectrum = np.fft.rfft(draw.standard_normal(size, dtype=np.float32))
    wave = np.fft.irfft(spectrum * _band(size, low, high, slope), size)[:n]
    return (wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)).astype(np.float32)


def band_pass(wave: Wave, low: float, high: float) -> Wave:
    """float32[n]: what is left between `low` and `high` Hz, of second order at both edges."""
    size = _fast(len(wave))
    return np.fft.irfft(np.fft.rfft(wave, size) * _band(size, low, high, 0.0), size)[: len(wave)].astype(np.float32)


def resonate(wave: Wave, hertz: Sequence[float], widths: Sequence[float], gains: Sequence[float]) -> Wave:
    """float32[n]: a wave through resonances side by side, each a bell in frequency of a width in Hz."""
    size = _fast(len(wave))
    f = np.fft.rfftfreq(size, 1 / RATE)
    shape = sum(g / (1 + ((f - c) / w) ** 2) for c, w, g in zip(hertz, widths, gains, strict=True))
    return np.fft.irfft(np.fft.rfft(wave, size) * shape, size)[: len(wave)].astype(np.float32)


def voiced(draw: Draw, pitch: NDArray[np.floating], formants: NDArray[np.floating], widths: Sequence[float]) -> Wave:
    """float32[n]: a voice: pulses at `pitch` [n] in Hz through `formants` [n, m] in Hz that move, of m widths in Hz.

    Source and filter (Fant 1960): the glottis gives pulses, each formant of the mouth is a resonance.
    """
    n, mean = len(pitch), float(np.mean(pitch))
    sharp = min(400.0, 0.5 * (draw.uniform(2000, 5000) / mean) ** 2)
    # A pulse without the aliases of a step: the circle's normal distribution.
    pulses = np.exp(sharp * (np.cos(cycles(pitch, n)) - 1))
    count = -(-n // HOP) + 1
    padded = np.zeros((count + 1) * HOP, np.float32)
    padded[HOP : HOP + n] = pulses - pulses.mean()
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * HOP)[::HOP][:count] * WINDOW  # [count, 2 hop]
    at = formants[np.minimum(np.arange(count) * HOP, n - 1)]  # [count, m]
    f = np.fft.rfftfreq(2 * HOP, 1 / RATE)
    mouth = np.full((count, len(f)), 0.02)
    for m, width in enumerate(widths):
        mouth += 0.8**m / (1 + ((f - at[:, m, None]) / width) ** 2)
    frames = np.fft.irfft(np.fft.rfft(frames) * mouth, 2 * HOP)
    out = np.zeros((count + 1, HOP))
    out[:-1] += frames[:, :HOP]
    out[1:] += frames[:, HOP:]
    return out.reshape(-1)[HOP : HOP + n].astype(np.float32)


def swell(n: int, attack: float, release: float, curve: float = 1.0) -> Wave:
    """float32[n]: up over `attack` and down over `release` seconds, 1 between."""
    x = np.arange(n) / RATE
    up, down = np.clip(x / max(attack, 1e-4), 0, 1), np.clip((n / RATE - x) / max(release, 1e-4), 0, 1)
    return (np.minimum(up, down) ** curve).astype(np.float32)


def lay(track: Wave, wave: Wave, at_s: float, gain: float = 1.0) -> None:
    """Adds `wave` to `track` from `at_s` on; what reaches beyond its end is lost."""
    start = round(at_s * RATE)
    if 0 <= start < len(track):
        track[start : start + len(wave)] += gain * wave[: len(track) - start]


def room(draw: Draw, wave: Wave, seconds: float | None = None, wet: float | None = None) -> Wave:
    """float32[n]: a wave heard in a room: noise that dies away (Moorer 1979), 60 dB in `seconds`, darker with time."""
    seconds = between(draw, 0.08, 0.9) if seconds is None else seconds
    wet = draw.uniform(0.05, 0.5) if wet is None else wet
    t = clock(min(seconds, 0.6))
    tail = band_noise(draw, len(t), 60, between(draw, 2000, 7000)) * np.exp(-6.9 * t / seconds)
    tail[: round(draw.uniform(0.001, 0.02) * RATE)] = 0
    size = _fast(len(wave) + len(t))
    wetted = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)]
    share = wet * np.sqrt(np.mean(wave**2) / max(float(np.mean(wetted**2)), 1e-12))
    return np.asarray((wave * (1 - wet / 2) + share * wetted).astype(np.float32), dtype=np.float32)


def peak(wave: Wave, ramp_s: float = 0.004) -> Wave:
    """float32[n] with its highest sample at 1, and ramps so that nothing clicks; silence stays."""
    wave = np.asarray(wave, dtype=np.float32).copy()
    ramp = min(len(wave) // 2, round(ramp_s * RATE))
    wave[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
    wave[len(wave) - ramp :] *= np.linspace(1, 0, ramp, dtype=np.float32)
    return wave / max(float(np.abs(wave).max(initial=0.0)), 1e-9)


def _fast(n: int) -> int:
    """A length that the Fourier transform takes quickly: a multiple of 4,000 above 4,000, else a power of two."""
    return -(-n // 4000) * 4000 if n > 4000 else 1 << max(n - 1, 1).bit_length()


def _band(size: int, low: float, high: float, slope: float) -> NDArray[np.float64]:
    f = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0)
    return np.asarray(f ** (-slope / 2) / np.sqrt((1 + (low / f) ** 4) * (1 + (f / high) ** 4)))
