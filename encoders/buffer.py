"""A sound stream as absolute samples: index i stands at i / 16000 s, whatever chunks it came in.

Frames cut on this grid are the same for every chunking, and the same again when a stream is resumed half way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..records import NS_PER_S, SOUND_RATE, Vector, samples_to_ns
from .base import Heard

TOLERANCE = SOUND_RATE // 20
"""Chunks whose time is off by up to 50 ms still join: containers round the time of a chunk."""


def sample_at(t_ns: int) -> int:
    """The index of the sample nearest to `t_ns`."""
    step = NS_PER_S // SOUND_RATE
    return (t_ns + step // 2) // step


class SoundBuffer:
    """The samples of one unbroken stretch that are still needed, from a grid line of `grid` samples on."""

    def __init__(self, t_ns: int, grid: int) -> None:
        begin = sample_at(t_ns)
        self.start = begin - begin % grid
        """Absolute index of the first sample kept; before the stretch itself stand up to grid - 1 zeros."""
        self._samples = np.zeros(begin - self.start, dtype=np.float32)

    @property
    def end(self) -> int:
        """Absolute index after the last sample."""
        return self.start + len(self._samples)

    @property
    def end_ns(self) -> int:
        return samples_to_ns(self.end)

    def joins(self, t_ns: int) -> bool:
        """Whether a chunk at `t_ns` continues this stretch; otherwise sound is missing or the clock jumped."""
        return abs(sample_at(t_ns) - self.end) <= TOLERANCE

    def append(self, samples: Vector) -> None:
        """float32[n]"""
        self._samples = np.concatenate([self._samples, np.asarray(samples, dtype=np.float32)])

    def cut(self, start: int, end: int) -> Vector:
        """float32[end - start] between two absolute indices; zeros where nothing is kept."""
        out = np.zeros(end - start, dtype=np.float32)
        low, high = max(start, self.start), min(end, self.end)
        if low < high:
            out[low - start : high - start] = self._samples[low - self.start : high - self.start]
        return out

    def drop(self, before: int) -> None:
        """Forget the samples before an absolute index."""
        count = min(max(0, before - self.start), len(self._samples))
        self._samples = self._samples[count:]
        self.start += count


class StretchListener(ABC):
    """A `Listener` that hears one unbroken stretch at a time."""

    _buffer: SoundBuffer | None = None

    def push(self, t_ns: int, samples: Vector) -> list[Heard]:
        """float32[n] at 16 kHz; where the stream has a gap, what was open before it is complete."""
        out: list[Heard] = []
        if self._buffer is None or not self._buffer.joins(t_ns):
            out = self.flush()
            self._restart(t_ns)
        assert self._buffer is not None
        self._buffer.append(samples)
        return out + self._advance(self._buffer)

    @abstractmethod
    def flush(self) -> list[Heard]:
        """The stretch has ended: what is still open is complete now."""

    @abstractmethod
    def _restart(self, t_ns: int) -> None:
        """A stretch begins: make its buffer."""

    @abstractmethod
    def _advance(self, buffer: SoundBuffer) -> list[Heard]:
        """What has become complete with the sound that has come."""
