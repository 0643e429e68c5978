"""Voices of animals: a dog and a cat through a moving mouth, and the song of a bird."""

from __future__ import annotations

import numpy as np

from .acoustics import RATE, Draw, Wave, band_noise, between, clock, cycles, lay, partials, resonate, swell, voiced


def dog(draw: Draw, seconds: float) -> Wave:
    """Barks: a rough voice, its pitch up and down within a fifth of a second, the mouth opening with it."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.05)
    size = between(draw, 0.7, 1.6)  # a large dog is 0.7, a small one 1.6
    pause, length = between(draw, 0.12, 0.6), between(draw, 0.09, 0.26)
    while at < seconds - 0.08:
        n = len(clock(length * draw.uniform(0.85, 1.15)))
        arch = np.sin(np.pi * np.linspace(0.05, 1, n) ** 0.6)
        pitch = size * between(draw, 220, 480) * (0.6 + 0.5 * arch) * (1 + 0.04 * band_noise(draw, n, 20, 120))
        mouth = np.stack([size * (450 + 650 * arch), size * (1300 + 600 * arch), np.full(n, 2900 * size)], axis=1)
        voice = voiced(draw, np.asarray(pitch, np.float64), mouth, (160, 220, 400))
        breath = resonate(band_noise(draw, n, 200, 6000), [900 * size, 1800 * size], [300, 500], [1.0, 0.6])
        bark = voice / np.abs(voice).max() + draw.uniform(0.1, 0.5) * breath / np.abs(breath).max()
        lay(track, np.asarray(bark * swell(n, 0.012, 0.07), np.float32), at, draw.uniform(0.7, 1.0))
        at += length + pause * draw.uniform(0.8, 1.3)
        if draw.random() < 0.12:
            break
    return track


def cat(draw: Draw, seconds: float) -> Wave:
    """A meow: a clear voice between 400 and 900 Hz in an arch, the mouth opening (m, i, a) and closing (u)."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.1)
    tone, size = between(draw, 380, 850), draw.uniform(0.9, 1.25)
    while at < seconds - 0.2:
        n = len(clock(min(between(draw, 0.4, 1.2), seconds - at)))
        x = np.linspace(0, 1, n)
        top = draw.uniform(0.25, 0.6)
        turn = np.where(x < top, x / top, 1 + (x - top) / (1 - top))  # 0 to 1 to 2
        arch = np.sin(np.pi / 2 * turn).clip(0) ** 0.9
        shake = 1 + draw.uniform(0, 0.025) * np.sin(2 * np.pi * draw.uniform(5, 9) * x * n / RATE)
        pitch = tone * (0.75 + draw.uniform(0.2, 0.5) * arch) * shake
        mouth = np.stack([400 + 900 * arch, 2300 - 700 * arch, np.full(n, 3800.0)], axis=1) * size
        meow = voiced(draw, pitch, mouth, (200, 260, 420)) * swell(n, 0.06, 0.15)
        lay(track, meow, at, draw.uniform(0.7, 1.0) / max(float(np.abs(meow).max()), 1e-6))
        at += n / RATE + between(draw, 0.2, 1.2)
    return track


def bird(draw: Draw, seconds: float) -> Wave:
    """Song: syllables of a fast moving whistle between 1.8 and 7 kHz, repeated, then others."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.05)
    home = between(draw, 2400, 5000)
    while at < seconds - 0.04:
        length, gap = between(draw, 0.03, 0.16), between(draw, 0.02, 0.14)
        n = len(clock(length))
        x = np.linspace(0, 1, n)
        start, end, bend = (between(draw, 0.7, 1.35) for _ in range(3))
        line = home * (start + (end - start) * x + (bend - 1) * np.sin(np.pi * x))
        warble = 1 + draw.uniform(0.0, 0.12) * np.sin(2 * np.pi * draw.uniform(20, 60) * x * length)
        syllable = partials(cycles(np.clip(line * warble, 1500, 7300), n), [1.0, draw.uniform(0, 0.15)])
        for _ in range(int(draw.integers(1, 7))):
            lay(track, syllable * swell(n, 0.01, 0.02), at, draw.uniform(0.6, 1.0))
            at += length + gap
        at += draw.exponential(0.15)
    return track
