"""Voice activity: Silero VAD in ONNX Runtime cuts a sound stream into utterances, online.

Silero Team, "Silero VAD" (https://github.com/snakers4/silero-vad), version 6, its sequence model: the same
probabilities as the streaming one, several frames a call. The hysteresis is theirs too.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..records import NS_PER_S, SOUND_RATE, samples_to_ns
from .base import Heard
from .buffer import SoundBuffer, StretchListener
from .runtime import onnx_session, package_file

FRAME = 512
"""Samples of a frame (32 ms): the model's own."""
CONTEXT = 64
"""Samples before a frame that the model is shown with it."""
BLOCK = 8 * FRAME
"""Samples of a call: one fixed shape."""
REST = 32 * BLOCK
"""Where no one speaks, the model's state is cleared on this grid (8.2 s), so that a resumed stream falls in step."""
STATE = 128

SPEECH, SILENCE = 0.5, 0.35
"""An utterance opens at the first probability and may close under the second."""
SHORTEST = -(-SOUND_RATE // (4 * FRAME))
"""Frames of speech that make an utterance (0.25 s); barks and clicks stay under it."""
PROBATION = SOUND_RATE // FRAME
"""Frames within which they must come (1 s)."""
PAUSE = -(-SOUND_RATE // (2 * FRAME))
"""Frames of silence that end an utterance (0.5 s)."""
LONGEST = 20 * SOUND_RATE // FRAME
"""Frames after which an utterance is cut, at its quietest point."""
EDGE = int(0.15 * SOUND_RATE)
"""Samples given with an utterance on either side of the voiced span."""
SMOOTH = 5
"""Frames over which loudness is averaged where the quietest point is sought."""
HISTORY_NS = 600 * NS_PER_S
"""How long spans of speech are known to `voiced`."""


class VoiceActivity(StretchListener):
    """A `Listener` for utterances without words: each `Heard` has its voiced span and its samples, edges included."""

    def __init__(self, threads: int = 1, model: Path | None = None) -> None:
        """Raises `MissingError` where ONNX Runtime or the model is not installed."""
        mend = "pip install 'silero-vad>=6.2.3'"
        model = model or package_file("silero_vad", "data", "silero_vad_16k_sequence.onnx", mend=mend)
        self._session = onnx_session(model, threads)
        self._history: deque[tuple[int, int]] = deque()
        self._restart(None)

    def _restart(self, t_ns: int | None) -> None:
        self._clear()
        self._open: int | None = None
        """Absolute index at which the open utterance starts."""
        self._joined = False
        """Whether it goes on from one that was cut for length."""
        self._heard: list[float] = []
        """The open utterance's probabilities, one a frame."""
        self._next = 0
        """Absolute index of the next frame."""
        if t_ns is not None:
            self._buffer = SoundBuffer(t_ns, BLOCK)
            self._next = self._buffer.start

    def _clear(self) -> None:
        self._h = np.zeros((1, 1, STATE), dtype=np.float32)
        self._c = np.zeros((1, 1, STATE), dtype=np.float32)

    @property
    def settled_ns(self) -> int:
        """No utterance that starts before this will still come."""
        return samples_to_ns(self._next if self._open is None else self._open)

    @property
    def decided_ns(self) -> int:
        """`voiced` will not change its mind about anything before this; at most 1.3 s behind the sound."""
        if self._open is None:
            return samples_to_ns(self._next)
        return samples_to_ns(self._last() if self._long_enough() else self._open)

    def voiced(self, t0_ns: int, t1_ns: int) -> float:
        """How much of [t0_ns, t1_ns) is speech, 0 to 1, as far as it is known; the last 10 minutes are kept."""
        spans = list(self._history)
        if self._open is not None and self._long_enough():
            spans.append((samples_to_ns(self._open), samples_to_ns(self._last())))
        shared = 0
        for start, end in reversed(spans):  # in order of time, the latest first
            if end <= t0_ns:
                break
            shared += max(0, min(end, t1_ns) - max(start, t0_ns))
        return shared / max(1, t1_ns - t0_ns)

    def flush(self) -> list[Heard]:
        """The stream has ended: the last frames are filled up with zeros, and an open utterance is complete."""
        if self._buffer is None:
            return []
        out: list[Heard] = []
        end = self._buffer.end
        if end > self._next:
            out = self._step(self._buffer, end)
        if self._open is not None:
            out += self._close(self._buffer, min(end, self._last()), end)
        self._next = end
        self._buffer = None
        return out

    def _advance(self, buffer: SoundBuffer) -> list[Heard]:
        out: list[Heard] = []
        while buffer.end - self._next >= BLOCK:
            out += self._step(buffer)
        return out

    def _step(self, buffer: SoundBuffer, end: int | None = None) -> list[Heard]:
        """One call of the model, and its frames one by one."""
        if self._open is None and self._next % REST == 0:
            self._clear()
        stretch = buffer.cut(self._next - CONTEXT, self._next + BLOCK)
        frames = np.lib.stride_tricks.sliding_window_view(stretch, CONTEXT + FRAME)[::FRAME]  # [8, 576]
        feed = {"input": np.ascontiguousarray(frames), "h": self._h, "c": self._c}
        speech, self._h, self._c = self._session.run(["speech_probs", "hn", "cn"], feed)
        out: list[Heard] = []
        for probability in speech:
            if end is not None and self._next >= end:
                break
            out += self._frame(buffer, float(probability))
        buffer.drop((self._next if self._open is None else self._open) - EDGE - CONTEXT)
        return out

    def _frame(self, buffer: SoundBuffer, speech: float) -> list[Heard]:
        if self._open is None and speech >= SPEECH:
            self._open, self._joined = self._next, False
        self._next += FRAME
        if self._open is None:
            return []
        self._heard.append(speech)
        if speech < SILENCE and self._next - self._last() >= PAUSE * FRAME:
            return self._close(buffer, self._last(), self._next)
        if len(self._heard) >= PROBATION and not self._long_enough():
            return self._close(buffer, self._last(), self._next)
        if len(self._heard) >= LONGEST:
            return self._split(buffer, self._open)
        return []

    def _last(self) -> int:
        """Absolute index after the last frame of speech in the open utterance."""
        assert self._open is not None
        silent = next((i for i, p in enumerate(reversed(self._heard)) if p >= SPEECH), len(self._heard))
        return self._open + (len(self._heard) - silent) * FRAME

    def _long_enough(self) -> bool:
        return self._joined or sum(p >= SPEECH for p in self._heard) >= SHORTEST

    def _close(self, buffer: SoundBuffer, last: int, known: int) -> list[Heard]:
        """The open utterance, or nothing where it is too short; `known`: where the frames seen so far end."""
        assert self._open is not None
        start, voiced = self._open, self._long_enough() and last > self._open
        heard = self._utterance(buffer, start, last, 0 if self._joined else EDGE, min(EDGE, known - last))
        self._open, self._joined, self._heard = None, False, []
        return [heard] if voiced else []

    def _split(self, buffer: SoundBuffer, start: int) -> list[Heard]:
        """Cut at the quietest point of the second half; the rest stays open."""
        sound = buffer.cut(start, self._next).reshape(-1, FRAME)
        power = np.convolve((sound * sound).mean(axis=1), np.full(SMOOTH, 1 / SMOOTH), mode="same")
        half = len(power) // 2
        at = half + int(np.argmin(power[half:-SMOOTH]))
        heard = self._utterance(buffer, start, start + at * FRAME, 0 if self._joined else EDGE, 0)
        self._open, self._joined, self._heard = start + at * FRAME, True, self._heard[at:]
        return [heard]

    def _utterance(self, buffer: SoundBuffer, start: int, end: int, before: int, after: int) -> Heard:
        frames = self._heard[: max(1, (end - start) // FRAME)]
        if self._long_enough():
            self._remember(samples_to_ns(start), samples_to_ns(end))
        samples: NDArray[np.float32] = buffer.cut(max(buffer.start, start - before), end + after)
        return Heard(samples_to_ns(start), samples_to_ns(end), None, float(np.mean(frames)), samples)

    def _remember(self, t0_ns: int, t1_ns: int) -> None:
        self._history.append((t0_ns, t1_ns))
        while self._history[0][1] < t1_ns - HISTORY_NS:
            self._history.popleft()
