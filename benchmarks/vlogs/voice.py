"""Narration: espeak-ng as a subprocess, trimmed to what is heard. Needed only to build videos."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
"""Samples a second of every sound in the world."""

VOICES = ("en-us", "en-us+f3", "en-gb", "en-gb+f2", "en-gb-scotland", "en-us+m3", "en-us+f4", "en-gb-x-rp+m2")


class Narrator(Protocol):
    """Says a sentence: float32[n] at `RATE`, trimmed."""

    def say(self, text: str, voice: str) -> NDArray[np.float32]: ...


class Espeak:
    """espeak-ng at a speaking rate in words a minute."""

    def __init__(self, words_a_minute: int = 155) -> None:
        if shutil.which("espeak-ng") is None:
            raise RuntimeError("espeak-ng is not installed; apt-get install espeak-ng (only building videos needs it)")
        self._rate = words_a_minute

    def say(self, text: str, voice: str) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "said.wav"
            command = ["espeak-ng", "-v", voice, "-s", str(self._rate), "-w", str(path), text]
            subprocess.run(command, check=True, capture_output=True)
            with wave.open(str(path)) as file:
                rate, pcm = file.getframerate(), file.readframes(file.getnframes())
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)
        return resample(trim(samples), rate)


def trim(sound: NDArray[np.float32], threshold: float = 0.008) -> NDArray[np.float32]:
    """Without the quiet before and after; `threshold` is of full scale."""
    loud = np.flatnonzero(np.abs(sound) > threshold)
    if loud.size == 0:
        raise ValueError("nothing is heard")
    return sound[loud[0] : loud[-1] + 1]


def resample(sound: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """To `RATE`, by lines between samples: upwards only, its images lie above speech."""
    n = round(len(sound) * RATE / rate)
    lines = np.interp(np.arange(n) * (rate / RATE), np.arange(len(sound)), sound)
    return np.asarray(lines, dtype=np.float32)
