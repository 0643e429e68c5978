"""What a sound is heard in, and what is no sound of the vocabulary: backgrounds, unknown sounds, and their mixing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .acoustics import (
    RATE,
    Draw,
    Wave,
    band_noise,
    band_pass,
    between,
    clock,
    cycles,
    lay,
    modes,
    partials,
    peak,
    room,
    swell,
    voiced,
)  # fmt: skip

VOWELS = np.array(
    [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410), (490, 1350, 1690)]
)
"""Formants in Hz (Peterson and Barney 1952)."""


def white(draw: Draw, seconds: float) -> Wave:
    return draw.standard_normal(len(clock(seconds)), dtype=np.float32)


def pink(draw: Draw, seconds: float) -> Wave:
    """Falls by 3 dB an octave, as most rooms do, or somewhat more or less."""
    return band_noise(draw, len(clock(seconds)), 40, 7900, draw.uniform(0.7, 1.8))


def hum(draw: Draw, seconds: float) -> Wave:
    """The mains at 50 or 60 Hz and its harmonics, over a little noise."""
    n = len(clock(seconds))
    gains = draw.uniform(0.1, 1.0, 12) / np.arange(1, 13)
    tone = partials(cycles(float(draw.choice([50, 60, 100])), n), gains, draw.uniform(0, 3))
    return tone / max(float(np.sqrt(np.mean(tone**2))), 1e-6) + draw.uniform(0.1, 0.6) * pink(draw, seconds)


def wind(draw: Draw, seconds: float) -> Wave:
    """Low noise whose strength and colour come in gusts."""
    n = len(clock(seconds))
    gust = np.exp(draw.uniform(0.3, 0.9) * band_noise(draw, n, 0.2, 1.5)).astype(np.float32)
    low = band_noise(draw, n, 30, between(draw, 120, 500), 1.0)
    return np.asarray(
        gust * (low + draw.uniform(0.05, 0.5) * gust * band_noise(draw, n, 300, between(draw, 900, 3000), 1.0)),
        dtype=np.float32,
    )


def speech(draw: Draw, seconds: float) -> Wave:
    """Speech-like: syllables of moving vowels between bursts of breath, without words."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.15)
    pitch, size = between(draw, 85, 290), draw.uniform(0.9, 1.2)
    vowel = VOWELS[int(draw.integers(len(VOWELS)))]
    while at < seconds - 0.05:
        n = len(clock(draw.uniform(0.09, 0.3)))
        after = VOWELS[int(draw.integers(len(VOWELS)))]
        x = np.linspace(0, 1, n)
        path = size * (vowel + (after - vowel) * x[:, None])
        line = pitch * (1 + draw.uniform(-0.2, 0.2) + draw.uniform(-0.2, 0.2) * x)
        syllable = voiced(draw, line, path, (70, 90, 150)) * swell(n, 0.03, 0.04)
        lay(track, syllable / max(float(np.abs(syllable).max()), 1e-6), at, draw.uniform(0.4, 1.0))
        at += n / RATE
        if draw.random() < 0.45:
            m = len(clock(draw.uniform(0.03, 0.11)))
            low = between(draw, 1500, 4500)
            lay(track, band_noise(draw, m, low, 7800) * swell(m, 0.01, 0.02), at, draw.uniform(0.02, 0.12))
            at += m / RATE
        if draw.random() < 0.12:
            at += draw.uniform(0.1, 0.4)
        vowel = after
    return track


def babble(draw: Draw, seconds: float) -> Wave:
    """Several who speak at once."""
    return np.asarray(
        np.sum([draw.uniform(0.4, 1.0) * speech(draw, seconds) for _ in range(3)], axis=0, dtype=np.float32),
        dtype=np.float32,
    )


BACKGROUNDS: dict[str, Callable[[Draw, float], Wave]] = {
    "white": white, "pink": pink, "hum": hum, "wind": wind, "babble": babble,
}  # fmt: skip


def background(draw: Draw, seconds: float, kind: str | None = None) -> Wave:
    """Noise float32[n], rms 1, of a kind of `BACKGROUNDS` or of any."""
    wave = BACKGROUNDS[kind or str(draw.choice(list(BACKGROUNDS)))](draw, seconds)
    return (wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)).astype(np.float32)


def mix(sound: Wave, noise: Wave, snr_db: float) -> Wave:
    """float32[n]: a sound in noise; the powers are means over the whole of each. The noise is cut or repeated to n.

    A silent sound leaves the noise as it is.
    """
    noise = np.resize(noise, len(sound))
    loud, soft = float(np.mean(np.square(sound))), float(np.mean(np.square(noise)))
    if loud < 1e-12:
        return noise.astype(np.float32)
    gain = np.sqrt(loud / max(soft, 1e-12) / 10 ** (snr_db / 10))
    return np.asarray((sound + gain * noise).astype(np.float32), dtype=np.float32)


def record(draw: Draw, wave: Wave) -> Wave:
    """float32[n]: as a microphone gives it: its band, its level, and at times its clipping."""
    if draw.random() < 0.4:
        wave = band_pass(wave, between(draw, 20, 200), between(draw, 3000, 7900))
    wave = wave / max(float(np.abs(wave).max(initial=0.0)), 1e-9)
    if draw.random() < 0.1:
        wave = np.clip(wave * draw.uniform(1.2, 3.0), -1, 1)
    return np.asarray(wave * 10 ** (draw.uniform(-40, 0) / 20), dtype=np.float32)


def _blips(draw: Draw, seconds: float) -> Wave:
    """Single notes, glides and bursts of any pitch, without the order that makes a tune or an alarm."""
    track = np.zeros_like(clock(seconds))
    for _ in range(int(draw.integers(1, 4))):
        n = len(clock(min(between(draw, 0.05, 1.0), seconds)))
        x = np.arange(n) / RATE
        start, end = between(draw, 60, 6500), between(draw, 60, 6500)
        line = start * (end / start) ** (x / x[-1])
        gains = draw.uniform(0, 1, 4) ** 2 / np.arange(1, 5) * (np.arange(1, 5) * max(start, end) < 7500)
        gains[0] = 1.0
        rough = 1 + draw.uniform(0, 1) * np.sin(2 * np.pi * between(draw, 30, 300) * x)
        lay(track, (partials(cycles(line, n), gains) * rough * swell(n, 0.02, 0.05)).astype(np.float32),
            draw.uniform(0, seconds / 2), draw.uniform(0.4, 1))  # fmt: skip
    return track


def _bursts(draw: Draw, seconds: float) -> Wave:
    """Coloured noise that swells and dies in its own time: rustling, scraping, breath, thunder."""
    track = np.zeros_like(clock(seconds))
    for _ in range(int(draw.integers(1, 6))):
        n = len(clock(min(between(draw, 0.08, 1.5), seconds)))
        low = between(draw, 40, 3000)
        burst = band_noise(draw, n, low, min(7900, low * between(draw, 1.5, 12)), draw.uniform(0, 1))
        lay(track, burst * swell(n, between(draw, 0.03, 0.4), between(draw, 0.03, 0.6)), draw.uniform(0, seconds * 0.7),
            draw.uniform(0.3, 1))  # fmt: skip
    return track


def _crackle(draw: Draw, seconds: float) -> Wave:
    """Clicks without a beat: fire, static, gravel."""
    track, rate = np.zeros_like(clock(seconds)), between(draw, 15, 200)
    click = band_noise(draw, 160, between(draw, 300, 2000), between(draw, 2500, 7900)) * np.exp(-np.arange(160) / 25)
    for _ in range(int(rate * seconds)):
        lay(track, click.astype(np.float32), draw.uniform(0, seconds), float(draw.pareto(2.5)) + 0.05)
    return track


def _chord(draw: Draw, seconds: float) -> Wave:
    """Several steady tones that belong to nothing."""
    n = len(clock(seconds))
    tones = [np.sin(cycles(between(draw, 90, 6000), n)) * draw.uniform(0.3, 1) for _ in range(int(draw.integers(1, 5)))]
    return np.sum(tones, axis=0, dtype=np.float32) * swell(n, between(draw, 0.02, 0.8), between(draw, 0.02, 0.8))


def _typing(draw: Draw, seconds: float) -> Wave:
    """Keys: a click down and a softer one up, in an uneven hand."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.2)
    t = clock(0.05)
    while at < seconds:
        click = band_noise(draw, len(t), 1200, 6500) * np.exp(-t / 0.004) + 0.5 * np.sin(2 * np.pi * 420 * t) * np.exp(
            -t / 0.01
        )
        lay(track, click.astype(np.float32), at, draw.uniform(0.5, 1))
        lay(track, click.astype(np.float32), at + draw.uniform(0.05, 0.09), 0.35)
        at += between(draw, 0.07, 0.45)
    return track


def _saw(draw: Draw, seconds: float) -> Wave:
    """Sawing: rasping strokes to and fro."""
    t, every = clock(seconds), between(draw, 0.35, 0.8)
    stroke = np.abs(np.sin(np.pi * t / every + draw.uniform(0, 3)))
    teeth = np.abs(np.sin(cycles(between(draw, 60, 160) * (0.3 + stroke), len(t))))
    return np.asarray(band_noise(draw, len(t), 900, 6000) * stroke**1.5 * (0.4 + teeth), dtype=np.float32)


def _cough(draw: Draw, seconds: float) -> Wave:
    """A burst of breath that turns into a rough voice; one to three."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.2)
    for _ in range(int(draw.integers(1, 4))):
        n = len(clock(draw.uniform(0.2, 0.4)))
        x = np.linspace(0, 1, n)
        breath = band_noise(draw, n, 400, 5000) * np.exp(-6 * x)
        line = between(draw, 90, 220) * (1.2 - 0.5 * x) * (1 + 0.08 * band_noise(draw, n, 20, 100))
        rough = voiced(draw, line, np.tile([650.0, 1200.0, 2500.0], (n, 1)), (150, 200, 300)) * np.exp(-5 * x)
        lay(track, (breath + 0.5 * rough / max(float(np.abs(rough).max()), 1e-6)).astype(np.float32), at)
        at += draw.uniform(0.35, 0.6)
    return track


def _ticking(draw: Draw, seconds: float) -> Wave:
    """A clock: two small metal clicks in turn."""
    track, at, every = np.zeros_like(clock(seconds)), draw.uniform(0, 0.2), between(draw, 0.2, 0.5)
    t, hertz, side = clock(0.04), np.array([2100.0, 3400.0, 5200.0]) * draw.uniform(0.7, 1.3), 0
    while at < seconds:
        tick = modes(
            t, hertz * (1.0 if side % 2 else 0.88), np.array([1.0, 0.7, 0.5]), np.array([6.0, 4.0, 3.0]) / 1000
        )
        lay(track, tick, at, 1.0 if side % 2 else 0.7)
        at, side = at + every, side + 1
    return track


UNKNOWN: dict[str, Callable[[Draw, float], Wave]] = {
    "speech": speech, "babble": babble, "blips": _blips, "bursts": _bursts, "crackle": _crackle, "chord": _chord,
}  # fmt: skip
"""What is no sound of the vocabulary, for training."""
UNKNOWN_HELD: dict[str, Callable[[Draw, float], Wave]] = {
    "typing": _typing, "sawing": _saw, "coughing": _cough, "ticking": _ticking,
}  # fmt: skip
"""The same for tests: kinds that training never hears."""


def unknown(draw: Draw, seconds: float, kind: str | None = None) -> Wave:
    """float32[n], peak 1: a sound that the vocabulary has no word for; of any kind of `UNKNOWN` where none is named."""
    makers = UNKNOWN | UNKNOWN_HELD
    wave = makers[kind or str(draw.choice(list(UNKNOWN)))](draw, seconds)
    if draw.random() < 0.5:
        wave = room(draw, wave)
    return peak(wave)
