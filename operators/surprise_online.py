"""Event boundaries by surprise, online (EM-LLM, Fountas et al. 2024): where what is seen was not to be expected.

The published method judges a text that is there as a whole; here vectors come one by one, and a cut is final once told.
A frame whose surprise exceeds mu + gamma sigma of those before it begins an event; the boundary is then moved back to
the cut of the similarity graph that best parts the two events (`refine`), as soon as the frames that this looks at
have come: half as many after it as the open event has before it, and no more than `delay` frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SurpriseSettings:
    """When surprise closes an event."""

    gamma: float = 2.0
    """Standard deviations above the mean."""
    temperature: float = 0.1
    window: int = 64
    """Frames that the next one is weighed against."""
    history: int = 128
    """Surprises that a threshold is taken from."""
    least: int = 8
    """Frames of an event, at least, and surprises before the first boundary."""
    delay: int = 16
    """Frames that a boundary waits for its refinement, at most."""
    delay_ns: int = 4 * NS
    """And how long."""
    min_event_ns: int = 2 * NS
    max_event_ns: int = 300 * NS


class SurpriseBoundaries:
    """Cuts from vectors that come in order of time, each final once told; O((window + history + delay) d) a vector."""

    def __init__(self, settings: SurpriseSettings | None = None) -> None:
        self.settings = settings or SurpriseSettings()
        self.resume(None)

    def resume(self, closed_ns: int | None) -> None:
        """Start afresh at a known cut, or (None) at whatever comes first."""
        held = max(self.settings.window + 2, self.settings.history)
        self._cut_ns = closed_ns
        self._frames: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=held)
        self._surprises: deque[float] = deque(maxlen=self.settings.history)
        self._pending: tuple[int, int] | None = None
        """Time of a surprising frame, and how many frames came since."""
        self._now_ns = 0 if closed_ns is None else closed_ns

    def state(self) -> dict[str, Any]:
        """All that later cuts depend on, as plain values and arrays: what `restore` goes on from.

        Frames: those since the cut, and as many as the next one is weighed against; at most `window + 2` where the
        event is short.
        """
        first = len(self._frames) - self.settings.window - 2
        cut_ns = self._cut_ns or 0
        held = [(t, v) for i, (t, v) in enumerate(self._frames) if i >= first or t >= cut_ns]
        return {
            "surprise": {
                "cut_ns": self._cut_ns,
                "now_ns": self._now_ns,
                "pending": None if self._pending is None else list(self._pending),
                "surprises": list(self._surprises),
                "times": [t for t, _ in held],
            },
            "frames": np.stack([v for _, v in held]) if held else np.zeros((0, 1), np.float32),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on as the one whose state it was. KeyError, TypeError or ValueError of what is none, nothing changed."""
        known, frames = state["surprise"], np.asarray(state["frames"], np.float32)
        pending = None if known["pending"] is None else (int(known["pending"][0]), int(known["pending"][1]))
        held = list(zip(map(int, known["times"]), frames, strict=True))
        told, cut_ns, now_ns = list(map(float, known["surprises"])), known["cut_ns"], int(known["now_ns"])
        self.resume(cut_ns)
        self._frames.extend(held)
        self._surprises.extend(told)
        self._pending, self._now_ns = pending, now_ns

    def keep(self, stays: Callable[[int], bool]) -> None:
        """Lets go of frames whose time does not stay."""
        self._frames = deque((frame for frame in self._frames if stays(frame[0])), maxlen=self._frames.maxlen)

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        if self._cut_ns is None:
            return 0
        at_ns = self._now_ns if self._pending is None else self._pending[0]
        before = [t_ns for t_ns, _ in self._frames if t_ns < at_ns or self._pending is None][-self.settings.delay :]
        return max(self._cut_ns, min([at_ns, *before[:1]]), at_ns - self.settings.delay_ns)

    def look(self, t_ns: int, vector: NDArray[np.float32]) -> None:
        """What is seen, float32[d] of unit length, told before the moment is pushed; a late one is passed over."""
        if self._frames and t_ns <= self._frames[-1][0]:
            return
        if self._cut_ns is None:
            self._cut_ns = t_ns
        self._frames.append((t_ns, vector))
        told = self._told()
        if self._pending is not None:
            self._pending = (self._pending[0], self._pending[1] + 1)
        elif t_ns - self._cut_ns >= self.settings.min_event_ns and self._is_surprising(told):
            self._pending = (t_ns, 0)
        if told is not None:
            self._surprises.append(told)

    def push(self, t_ns: int, change: float | None = None, loudness_db: float | None = None) -> list[int]:
        """Take a moment; the cuts in ns that are decided now: later than all told before. Sight alone counts."""
        del change, loudness_db
        s = self.settings
        if self._cut_ns is None:
            self._cut_ns = t_ns
        self._now_ns = max(self._now_ns, t_ns)
        if self._pending is None and t_ns - self._cut_ns >= s.max_event_ns:
            self._pending = (t_ns, s.delay)
        return self._decide(t_ns)

    def flush(self) -> list[int]:
        """The stream has ended: what waits is decided now."""
        return [] if self._pending is None else self._close()

    def _decide(self, t_ns: int) -> list[int]:
        if self._pending is None:
            return []
        at_ns, since = self._pending
        before = sum(1 for t, _ in self._frames if self._cut_ns is not None and self._cut_ns <= t < at_ns)
        if since < min(self.settings.delay, before // 2) and t_ns - at_ns < self.settings.delay_ns:
            return []
        return self._close()

    def _close(self) -> list[int]:
        assert self._pending is not None
        assert self._cut_ns is not None
        self._cut_ns = max(self._refined(self._pending[0]), self._cut_ns + self.settings.min_event_ns)
        self._pending = None
        return [self._cut_ns]

    def _refined(self, at_ns: int) -> int:
        """The boundary moved back by at most `delay` frames to the best cut since the one before it."""
        import torch

        from .refine import refine_boundaries

        assert self._cut_ns is not None
        mine = [(t, v) for t, v in self._frames if t >= self._cut_ns]
        index = next((i for i, (t, _) in enumerate(mine) if t >= at_ns), len(mine))
        if not 2 * self.settings.least <= index < len(mine):
            return at_ns
        keys = torch.from_numpy(np.stack([v for _, v in mine]))
        moved = refine_boundaries(keys, torch.tensor([index]), min_size=self.settings.least).tolist()
        if not moved:
            return at_ns
        first = max(moved[0], index - self.settings.delay)
        return next(t for t, _ in mine[first:] if t >= at_ns - self.settings.delay_ns)

    def _told(self) -> float | None:
        """The surprise of the newest frame: the last value of `surprise.surprise`, of which this computes no other."""
        rows = list(self._frames)[-self.settings.window - 2 :]
        if len(rows) < 3:
            return None
        wide = np.stack([v for _, v in rows]).astype(np.float64)
        wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
        *others, step = np.delete(wide, -2, axis=0) @ wide[-2] / self.settings.temperature
        return float(np.logaddexp.reduce([step, *(score for score in others if not np.isnan(score))]) - step)

    def _is_surprising(self, told: float | None) -> bool:
        if told is None or len(self._surprises) < self.settings.least:
            return False
        import torch

        from .surprise import surprising

        history: Tensor = torch.tensor([list(self._surprises)])
        return bool(surprising(torch.tensor([told]), history, self.settings.gamma)[0])
