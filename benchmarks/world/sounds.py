"""How the world sounds: each sound of the vocabulary synthesised from what makes it in nature, new with every draw.

Bells and glass are modes that ring, knocks and steps are blows, dogs and cats are voices through a moving mouth,
water is bubbles (van den Doel 2005, "Physically Based Models for Liquid Sounds"), engines are pulse trains.
"""

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
    resonate,
    room,
    swell,
)  # fmt: skip
from .animals import bird, cat, dog

Maker = Callable[[Draw, float], Wave]


def _bell(draw: Draw, seconds: float) -> Wave:
    """Church, hand, door or bicycle bell: the ratios of a tuned bell (hum, prime, tierce, quint, nominal), detuned."""
    track, pitch = np.zeros_like(clock(seconds)), between(draw, 220, 1800)
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17]) * draw.uniform(0.985, 1.015, 9)
    gains, ring = draw.uniform(0.2, 1.0, 9) / ratios**0.5, between(draw, 0.25, 1.5)
    every, at, low = between(draw, 0.15, 1.2), 0.0, draw.choice([1.0, 1.0, 0.79, 0.67])
    for blow in range(int(draw.integers(1, 7))):
        tune = float(low) if blow % 2 else 1.0
        hertz = pitch * tune * ratios
        left = clock(max(0.05, seconds - at))
        lay(track, modes(left, hertz, gains, ring / ratios**0.8), at, draw.uniform(0.7, 1.0))
        at += every
        if at > seconds - 0.1:
            break
    return track


def _alarm(draw: Draw, seconds: float) -> Wave:
    """Beeps of one pitch (or two in turn), steady to the millisecond: clocks, detectors, reversing lorries."""
    t = clock(seconds)
    pitch, on, off = between(draw, 600, 3600), between(draw, 0.05, 0.4), between(draw, 0.04, 0.4)
    group, gap = int(draw.choice([1, 1, 2, 3, 4])), between(draw, 0.2, 0.7)
    cycle = group * (on + off) + (gap if group > 1 else 0.0)
    at = t % cycle
    count = np.minimum(at // (on + off), group - 1)
    gate = (at - count * (on + off) < on) & (at < group * (on + off))
    other = float(draw.choice([1.0, 1.0, 1.0, 1.19, 0.8]))
    hertz = np.where(count % 2 == 1, pitch * other, pitch)
    odd, sharp = draw.uniform(0, 0.5), draw.uniform(0.0, 0.4)
    smooth = np.convolve(gate, np.ones(48) / 48, "same")
    return partials(cycles(hertz, len(t)), [1.0, sharp * 0.3, odd, sharp * 0.2, odd / 2]) * smooth.astype(np.float32)


def _blow(draw: Draw, hertz: float, dull: float) -> Wave:
    """A blow on wood: few modes, dead within a tenth of a second, and the click of the knuckle."""
    t = clock(0.25)
    ratios = np.array([1.0, 1.6, 2.3, 3.4, 4.7]) * draw.uniform(0.95, 1.05, 5)
    wave = modes(t, hertz * ratios, np.array([1.0, 0.7, 0.5, 0.35, 0.2]), dull / ratios**0.7)
    click = band_noise(draw, len(t), 300, between(draw, 1500, 5000)) * np.exp(-t / draw.uniform(0.002, 0.006))
    return np.asarray(wave + draw.uniform(0.1, 0.4) * click.astype(np.float32), dtype=np.float32)


def _knock(draw: Draw, seconds: float) -> Wave:
    """Two to six blows in a row on a door, and perhaps the same again."""
    track, hertz, dull = np.zeros_like(clock(seconds)), between(draw, 90, 420), between(draw, 0.015, 0.045)
    every, at = between(draw, 0.11, 0.28), draw.uniform(0, 0.05)
    while at < seconds - 0.05:
        for _ in range(int(draw.integers(2, 7))):
            lay(track, _blow(draw, hertz * draw.uniform(0.97, 1.03), dull), at, draw.uniform(0.6, 1.0))
            at += every * draw.uniform(0.93, 1.07)
        at += draw.uniform(0.5, 1.5)
    return track


def _glass(draw: Draw, seconds: float) -> Wave:
    """A crash and its shards: hundreds of small high modes, dense at first, then single tinkles."""
    t = clock(seconds)
    crash = band_noise(draw, len(t), 1200, 7800) * np.exp(-t / between(draw, 0.02, 0.08))
    track = np.asarray(0.35 * crash, dtype=np.float32)
    spread = between(draw, 0.12, 0.6)
    for _ in range(int(draw.integers(18, 40))):
        at = min(draw.exponential(spread), seconds - 0.01)
        few = int(draw.integers(2, 5))
        hertz, ring = np.exp(draw.uniform(np.log(1800), np.log(7400), few)), draw.uniform(0.006, 0.06, few)
        lay(track, modes(clock(min(0.2, seconds)), hertz, draw.uniform(0.3, 1, few), ring), at, draw.uniform(0.1, 0.8))
    lay(track, _blow(draw, between(draw, 200, 700), 0.02), 0.0, draw.uniform(0.0, 0.8))
    return track


def _water(draw: Draw, seconds: float) -> Wave:
    """A tap: the hiss of the stream, and bubbles, each a short tone that rises as it nears the surface."""
    n = len(clock(seconds))
    hiss = band_noise(draw, n, between(draw, 300, 1200), between(draw, 3000, 7500), draw.uniform(0.0, 1.0))
    stir = 1 + draw.uniform(0.05, 0.3) * band_noise(draw, n, 0.5, 6.0)
    track = np.asarray(draw.uniform(0.1, 0.5) * hiss * stir, dtype=np.float32)
    low, high = between(draw, 300, 700), between(draw, 1200, 3500)
    for _ in range(int(draw.uniform(35, 90) * seconds)):
        hertz = between(draw, low, high)
        t = clock(draw.uniform(0.012, 0.05) * (600 / hertz) ** 0.3)
        decay = 0.13 * hertz + 0.0072 * hertz**1.5
        bubble = np.sin(2 * np.pi * hertz * (1 + 1.5 * draw.random() * t / t[-1] * 0.4) * t) * np.exp(-decay * 0.25 * t)
        lay(track, bubble.astype(np.float32), draw.uniform(0, seconds), between(draw, 0.3, 1.6))
    return track


def _motor(draw: Draw, seconds: float) -> Wave:
    """Firing strokes of an unsteady engine, or the whirr of an electric one; the hum of the load, and its noise."""
    n = len(clock(seconds))
    electric = draw.random() < 0.35
    speed = between(draw, 110, 260) if electric else between(draw, 22, 95)
    drift = 1 + draw.uniform(0.003, 0.05) * band_noise(draw, n, 0.1, 3.0)
    rise = np.linspace(1, between(draw, 0.8, 1.3), n) if draw.random() < 0.3 else 1.0
    phase = cycles(speed * drift * rise, n)
    many = int(min(20, 3500 / speed))
    buzz = partials(phase, draw.uniform(0.3, 1, many) / np.arange(1, many + 1) ** draw.uniform(0.5, 1.1), 1.0)
    body = resonate(buzz, [between(draw, 80, 300), between(draw, 400, 1500)], [80, 300], [2.0, 1.0]) + 0.4 * buzz
    rough = 1 + draw.uniform(0.0, 0.6) * np.sin(phase / (4 if draw.random() < 0.5 else 2))
    air = band_noise(draw, n, 60, between(draw, 900, 5000), draw.uniform(0.5, 1.5))
    body = body / max(float(np.sqrt(np.mean(body**2))), 1e-6)
    return np.asarray((body + draw.uniform(0.1, 0.5) * air) * rough, dtype=np.float32)


SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))


def _music(draw: Draw, seconds: float) -> Wave:
    """A tune over a scale, plucked, blown or bowed, with chords or a bass beneath it."""
    track, beat = np.zeros_like(clock(seconds)), 60 / between(draw, 80, 210)
    scale, key = SCALES[int(draw.integers(3))], between(draw, 130, 330)
    plucked, many = draw.random() < 0.6, int(draw.integers(3, 9))
    gains = draw.uniform(0.2, 1.0, many) / np.arange(1, many + 1) ** draw.uniform(0.8, 1.8)
    ring, shake, chords = between(draw, 0.15, 0.8), draw.uniform(0, 0.008), draw.random() < 0.6

    def note(step: int, length: float) -> Wave:
        t = clock(length)
        hertz = key * 2 ** ((scale[step % len(scale)] + 12 * (step // len(scale))) / 12)
        wave = partials(cycles(hertz * (1 + shake * np.sin(2 * np.pi * 5.5 * t)), len(t)), gains)
        return wave * (np.exp(-t / ring) * swell(len(t), 0.004, 0.02) if plucked else swell(len(t), 0.03, 0.05))

    at, step = 0.0, int(draw.integers(4, 10))
    while at < seconds - 0.05:
        length = beat * float(draw.choice([0.5, 0.5, 1.0, 1.0, 2.0]))
        lay(track, note(step, length if not plucked else length + 0.15), at, draw.uniform(0.7, 1.0))
        if chords and draw.random() < 0.5:
            for other in (-len(scale), -len(scale) + 2, -len(scale) + 4):
                lay(track, note(step + other, 2 * beat), at, 0.35)
        at += length
        step = int(np.clip(step + draw.integers(-3, 4), 0, 2 * len(scale)))
    return track


def _footsteps(draw: Draw, seconds: float) -> Wave:
    """Steps at a walk: the heel's thud, the toe after it, the scrape of the sole; left and right differ a little."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.1)
    every, hertz = between(draw, 0.36, 0.72), between(draw, 60, 160)
    hard, scrape, toe = draw.uniform(0.1, 0.9), draw.uniform(0.1, 0.6), draw.uniform(0.06, 0.13)
    bright = between(draw, 1500, 5000)
    for step in range(40):
        if at > seconds - 0.05:
            break
        t = clock(0.28)
        side = 1.0 if step % 2 else draw.uniform(0.92, 1.08)
        thud = np.sin(2 * np.pi * hertz * side * t) * np.exp(-t / 0.022)
        heel = band_noise(draw, len(t), 400, bright * side) * np.exp(-t / between(draw, 0.003, 0.009))
        sole = band_noise(draw, len(t), 1500, 7000) * np.exp(-(((t - toe) / 0.035) ** 2))
        tap = np.where(t > toe, heel[np.maximum(0, np.arange(len(t)) - round(toe * RATE))], 0)
        wave = thud + hard * heel + 0.5 * hard * tap + scrape * 0.3 * sole
        lay(track, wave.astype(np.float32), at, draw.uniform(0.7, 1.0))
        at += every * draw.uniform(0.95, 1.05)
    return track


def _siren(draw: Draw, seconds: float) -> Wave:
    """Wail, yelp or two tones: a loud tone with its harmonics that never stops, only moves."""
    t, kind = clock(seconds), draw.random()
    low, high, start = between(draw, 380, 700), between(draw, 900, 1700), draw.random()
    if kind < 0.45:  # wail
        swing = 0.5 - 0.5 * np.cos(2 * np.pi * (t / draw.uniform(1.6, 5.0) + start))
    elif kind < 0.7:  # yelp
        swing = ((t / draw.uniform(0.25, 0.5) + start) % 1.0).astype(np.float32)
    else:  # high and low in turn, without a pause
        high = low * draw.uniform(1.2, 1.5)
        swing = np.convolve(((t / draw.uniform(0.7, 1.2) + start) % 1.0) < 0.5, np.ones(160) / 160, "same")
    hertz = low * (high / low) ** swing
    gains = np.array([1.0, draw.uniform(0.1, 0.6), draw.uniform(0.2, 0.7), draw.uniform(0, 0.3), draw.uniform(0, 0.3)])
    return partials(cycles(hertz * draw.uniform(0.97, 1.03), len(t)), gains) * swell(len(t), 0.05, 0.05)


def _whistle(draw: Draw, seconds: float) -> Wave:
    """Lips or a referee's whistle: one almost pure tone, held, in breath; the pea flutters it."""
    track, at = np.zeros_like(clock(seconds)), draw.uniform(0, 0.08)
    pea = draw.random() < 0.5
    tone, flutter = (between(draw, 2000, 3900), draw.uniform(22, 48)) if pea else (between(draw, 900, 2400), 5.5)
    while at < seconds - 0.15:
        n = len(clock(min(between(draw, 0.3, 1.3), seconds - at)))
        x = np.arange(n) / RATE
        glide = 1 + (0 if pea else draw.uniform(-0.25, 0.35)) * (x / x[-1]) ** draw.uniform(0.6, 2)
        wave = np.sin(cycles(tone * glide * (1 + (0.03 if pea else 0.008) * np.sin(2 * np.pi * flutter * x)), n))
        if pea:
            wave = wave * (1 + 0.6 * np.sin(2 * np.pi * flutter * x))
        breath = band_noise(draw, n, 0.6 * tone, min(1.7 * tone, 7500)) * draw.uniform(0.03, 0.15)
        lay(track, np.asarray((wave + breath) * swell(n, 0.03, 0.05), np.float32), at, draw.uniform(0.8, 1.0))
        at += n / RATE + between(draw, 0.08, 0.6)
        tone *= 1.0 if pea else between(draw, 0.8, 1.25)
    return track


def _drum(draw: Draw, seconds: float) -> Wave:
    """A beat: kick, snare and toms on a grid of eighths or sixteenths."""
    track, grid = np.zeros_like(clock(seconds)), 60 / between(draw, 90, 190) / 2
    t = clock(0.35)
    kick_hertz, fall = between(draw, 45, 80), between(draw, 0.02, 0.05)
    kick = np.sin(cycles(kick_hertz * (1 + 2.5 * np.exp(-t / fall)), len(t))) * np.exp(-t / between(draw, 0.06, 0.15))
    wires = band_noise(draw, len(t), 900, 7500) * np.exp(-t / between(draw, 0.03, 0.1))
    snare = 0.5 * wires + modes(
        t, between(draw, 150, 260) * np.array([1, 1.6]), np.array([1, 0.6]), np.array([0.05, 0.04])
    )
    tom_hertz = between(draw, 90, 200)
    tom = np.sin(cycles(tom_hertz * (1 + 0.5 * np.exp(-t / 0.04)), len(t))) * np.exp(-t / between(draw, 0.08, 0.2))
    hat = 0.35 * band_noise(draw, len(t), 4500, 7900) * np.exp(-t / between(draw, 0.01, 0.05))
    kit: list[Wave] = [w.astype(np.float32) for w in (kick, snare, tom, tom * 0.8, hat)]
    pattern = draw.integers(0, 6, 8)
    pattern[0], pattern[4] = 0, draw.choice([1, 2])
    for beat in range(int(seconds / grid) + 1):
        piece = int(pattern[beat % 8])
        if piece < len(kit):
            lay(track, kit[piece], beat * grid, draw.uniform(0.6, 1.0))
    return track


MAKERS: dict[str, Maker] = {
    "bell": _bell, "alarm": _alarm, "knock": _knock, "glass": _glass, "water": _water, "motor": _motor, "dog": dog,
    "cat": cat, "bird": bird, "music": _music, "footsteps": _footsteps, "siren": _siren, "whistle": _whistle,
    "drum": _drum,
}  # fmt: skip

SHORTEST_S = 0.5
"""What is asked for shorter is cut from one so long."""


def synthesise(name: str, draw: Draw, seconds: float = 2.0) -> Wave:
    """A sound of the vocabulary, float32[seconds * 16000], peak 1: another with every draw, in a room or close by.

    Raises KeyError for a name that `vocabulary.SOUNDS` does not have.
    """
    wave = MAKERS[name](draw, max(seconds, SHORTEST_S))
    if seconds < SHORTEST_S:  # the sound itself, not the pause before it
        start = int(np.argmax(np.abs(wave) > 0.05 * np.abs(wave).max()))
        wave = np.resize(wave[start:], round(seconds * RATE))
    if draw.random() < 0.6:
        wave = room(draw, wave)
    if draw.random() < 0.4:
        wave = band_pass(wave, between(draw, 30, 250), between(draw, 3000, 7800))
    return peak(wave)
