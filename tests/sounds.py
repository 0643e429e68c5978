"""Sounds made here, and how a listener is driven through them."""

from __future__ import annotations

import numpy as np

from mneme.encoders.base import Heard, Listener
from mneme.records import SOUND_RATE, Vector, samples_to_ns


def noise(seconds: float, db: float = -68.0, seed: int = 1) -> Vector:
    random = np.random.default_rng(seed)
    return (random.standard_normal(int(seconds * SOUND_RATE)) * 10 ** (db / 20)).astype(np.float32)


def scene(seconds: float, sounds: dict[float, Vector], db: float = -68.0) -> Vector:
    """Sounds laid into noise at their seconds."""
    out = noise(seconds, db)
    for start_s, sound in sounds.items():
        at = int(start_s * SOUND_RATE)
        out[at : at + len(sound)] += sound
    return out


def listen(listener: Listener, samples: Vector, chunk: int = 1600, start_ns: int = 0) -> list[Heard]:
    out: list[Heard] = []
    for at in range(0, len(samples), chunk):
        before = listener.settled_ns
        heard = listener.push(start_ns + samples_to_ns(at), samples[at : at + chunk])
        assert all(h.t0_ns >= before for h in heard)
        out += heard
    return out + listener.flush()
