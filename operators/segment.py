"""Where one event ends and the next begins: the default causal detector, and the published scans and rules.

The default: a visual change closes the event, a silence moves the cut by less than a second, and no cut is forced
within five minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .surprise import surprise, surprise_boundaries

if TYPE_CHECKING:
    import torch

__all__ = [
    "BoundarySettings",
    "CausalBoundaries",
    "causal_boundaries",
    "clip_boundaries",
    "hippomm_boundaries",
    "surprise",
    "surprise_boundaries",
]

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BoundarySettings:
    """When an event closes."""

    change: float = 0.5
    """Score of `SceneChange` from which a change closes the event."""
    change_lag: int = 0
    """Pushes by which the score comes late (`change.LAG` when it is pushed as `SceneChange` tells it): the cut is set
    where the change was, not where it was told. Perception puts each change back in its place, so none is late."""
    min_event_ns: int = 2 * NS
    """A change earlier than this after the last cut closes nothing."""
    max_event_ns: int = 300 * NS
    """From this length on the event is closed at the next moment, or at the silence nearest to it."""
    silence_db: float = -40.0
    """Loudness (dBFS) under which a moment is silent (HippoMM's figure)."""
    shift_ns: int = 600_000_000
    """A cut amid sound moves to the nearest silence within this; with the sampling it stays within a second."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    t_ns: int
    change: float


class CausalBoundaries:
    """Decides cuts online from change and loudness, each final once told.

    `push` is called once a moment, in order of time. A cut at t is told by the first push at or after t + `shift_ns`
    that also knows the change there: about one second late at five moments a second. O(1) a push.
    """

    def __init__(self, settings: BoundarySettings | None = None) -> None:
        self.settings = settings or BoundarySettings()
        self.resume(None)

    def resume(self, closed_ns: int | None) -> None:
        """Start afresh at a known cut, or (None) at whatever time is pushed first."""
        self._cut_ns = closed_ns
        self._pending: _Candidate | None = None
        self._moments: deque[tuple[int, float | None]] = deque()  # (t_ns, loudness since the moment before)

    def state(self) -> dict[str, Any]:
        """All that it knows, as plain values: what `restore` goes on from."""
        pending = None if self._pending is None else [self._pending.t_ns, self._pending.change]
        return {"change": {"cut_ns": self._cut_ns, "pending": pending, "moments": [list(m) for m in self._moments]}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on as the one whose state it was. KeyError, TypeError or ValueError of what is none, nothing changed."""
        known = state["change"]
        pending = None if known["pending"] is None else _Candidate(*known["pending"])
        moments = deque((int(t_ns), loudness) for t_ns, loudness in known["moments"])
        self._cut_ns, self._pending, self._moments = known["cut_ns"], pending, moments

    @property
    def settled_ns(self) -> int:
        """No cut before this will still come."""
        if self._cut_ns is None:
            return 0
        if self._pending is not None:
            next_ns = self._pending.t_ns
        elif self._moments:
            next_ns = self._moments[max(0, len(self._moments) - max(1, self.settings.change_lag))][0]
        else:
            next_ns = self._cut_ns
        return max(self._earliest(self._cut_ns), next_ns - self.settings.shift_ns)

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        """Take a moment; the cut times in ns decided now: later than all told before, in order.

        `change` in [0, 1] is of the moment `change_lag` pushes ago, or None without a picture. `loudness_db` is of the
        sound since the moment before, or None without sound. Raises `ValueError` for a time that does not advance.
        """
        s = self.settings
        if self._moments and t_ns <= self._moments[-1][0]:
            raise ValueError(f"time does not advance: {t_ns} ns after {self._moments[-1][0]} ns")
        if self._cut_ns is None:
            self._cut_ns = t_ns
        self._moments.append((t_ns, loudness_db))
        decided = self._decide(t_ns)
        if len(self._moments) > s.change_lag:
            told_ns = self._moments[-1 - s.change_lag][0]
            self._propose(told_ns, change or 0.0)
        while len(self._moments) > s.change_lag + 1 and self._moments[1][0] < t_ns - 2 * s.shift_ns - self._span():
            self._moments.popleft()
        return decided

    def flush(self) -> list[int]:
        """The stream has ended: what was proposed is decided now."""
        return self._decide(None)

    def _earliest(self, cut_ns: int) -> int:
        return cut_ns + self.settings.min_event_ns

    def _span(self) -> int:
        """Time over which changes are not told yet."""
        lag = min(self.settings.change_lag, len(self._moments) - 1)
        return self._moments[-1][0] - self._moments[-1 - lag][0]

    def _propose(self, t_ns: int, change: float) -> None:
        assert self._cut_ns is not None
        s = self.settings
        if t_ns < self._earliest(self._cut_ns):
            return
        forced = self._pending is None and t_ns - self._cut_ns >= s.max_event_ns
        if forced or (change >= s.change and (self._pending is None or change > self._pending.change)):
            self._pending = _Candidate(t_ns, change if change >= s.change else 0.0)

    def _decide(self, now_ns: int | None) -> list[int]:
        """The pending candidate, once no stronger one and no nearer silence can still come."""
        if self._pending is None or self._cut_ns is None:
            return []
        if now_ns is not None and now_ns - self._span() < self._pending.t_ns + self.settings.shift_ns:
            return []
        self._cut_ns = self._quiet_near(self._pending.t_ns, self._earliest(self._cut_ns))
        self._pending = None
        return [self._cut_ns]

    def _quiet_near(self, t_ns: int, earliest_ns: int) -> int:
        """`t_ns`, or where a silence nearest to it within `shift_ns` begins or ends; not before `earliest_ns`."""
        best_ns, best_gap = t_ns, self.settings.shift_ns + 1
        moments = list(self._moments)
        for (begin, _), (end, loudness) in pairwise(moments):
            if loudness is None or loudness >= self.settings.silence_db:
                continue
            nearest = max(earliest_ns, min(max(t_ns, begin), end))
            if nearest <= end and abs(nearest - t_ns) < best_gap:
                best_ns, best_gap = nearest, abs(nearest - t_ns)
        return best_ns


def causal_boundaries(
    change: Sequence[float] | NDArray[np.floating],
    t_ns: Sequence[int] | NDArray[np.int64],
    loudness_db: Sequence[float] | NDArray[np.floating] | None = None,
    settings: BoundarySettings | None = None,
) -> list[int]:
    """The cuts of `CausalBoundaries` in whole arrays [T]; NaN stands for what is not there."""
    if len(change) != len(t_ns) or (loudness_db is not None and len(loudness_db) != len(t_ns)):
        raise ValueError(f"change[{len(change)}], t_ns[{len(t_ns)}] and loudness_db differ in length")
    online = CausalBoundaries(settings)
    cuts: list[int] = []
    for i, t in enumerate(t_ns):
        level = math.nan if loudness_db is None else float(loudness_db[i])
        score = float(change[i])
        cuts += online.push(int(t), None if math.isnan(score) else score, None if math.isnan(level) else level)
    return cuts + online.flush()


def hippomm_boundaries(
    similarity: Sequence[float] | NDArray[np.floating] | None,
    t_ns: Sequence[int] | NDArray[np.int64] | None,
    sound: NDArray[np.floating] | None = None,
    rate: int = 16_000,
    *,
    min_ns: int = 5 * NS,
    max_ns: int = 10 * NS,
    same: float = 0.95,
    silence_db: float = -40.0,
) -> list[tuple[int, int]]:
    """HippoMM's temporal segmentation as published: [start, end) in ns, end to end.

    `similarity[T]`: SSIM of frame i with frame i - 1, at `t_ns[T]`; `sound[n]` at `rate`. From the last cut, the
    longest allowed span is scanned backwards for the last frame whose similarity is below `same`; a window of 0.5 s
    with an RMS level below `silence_db`, searched backwards too, overrides it; the span is at least `min_ns`. Times
    count from the first frame; without frames the sound gives the length. O(T + n) per segment.

    Not the default: silence overrides sight and the greatest length forces cuts.
    """
    if t_ns is not None and len(t_ns):
        if similarity is None or len(similarity) != len(t_ns):
            raise ValueError(f"similarity and t_ns[{len(t_ns)}] differ in length")
        times = np.asarray(t_ns, np.int64) - int(t_ns[0])
        total = int(times[-1])
    elif sound is not None:
        times = np.zeros(0, np.int64)
        total = round(len(sound) * NS / rate)
    else:
        raise ValueError("neither frames nor sound to segment")
    segments: list[tuple[int, int]] = []
    start = 0
    while start < total:
        end = latest = min(start + max_ns, total)
        for i in range(len(times) - 1, 0, -1):
            if start < times[i] <= latest and similarity is not None and similarity[i] < same:
                end = int(times[i])
                break
        if sound is not None:
            quiet_ns = _last_silence(sound, rate, start, latest, silence_db)
            end = end if quiet_ns is None else quiet_ns
        end = min(max(end, start + min_ns), total)
        segments.append((start, end))
        start = end
    return segments


def _last_silence(sound: NDArray[np.floating], rate: int, start_ns: int, end_ns: int, silence_db: float) -> int | None:
    """Where the last silent window of 0.5 s of [start_ns, end_ns) begins; never at its very start."""
    piece = np.asarray(sound[start_ns * rate // NS : end_ns * rate // NS], np.float64)
    window = rate // 2
    for at in range(len(piece) - window, 0, -window):
        rms = math.sqrt(float(np.mean(piece[at : at + window] ** 2)))
        if 20 * math.log10(rms + 1e-10) < silence_db:
            return start_ns + at * NS // rate
    return None


def clip_boundaries(
    features: torch.Tensor, min_length: int = 3, max_length: int = 16, same: float = 0.9
) -> list[tuple[int, int]]:
    """Clips [start, end) of frames, end to end, as OmniLive cuts them (IXC2.5-OL, streaming perception).

    Frame i of `features` [T, D] starts a clip when the open one has `min_length` frames and either `max_length` or a
    cosine of frames i - 1 and i of at most `same`. O(T D).
    """
    if features.ndim != 2:
        raise ValueError(f"features are [T, D], not {list(features.shape)}")
    import torch

    rows = torch.nn.functional.normalize(features.float(), dim=1)
    alike = (rows[1:] * rows[:-1]).sum(dim=1).tolist()
    if not len(features):
        return []
    starts = [0]
    for i in range(1, len(features)):
        length = i - starts[-1]
        if length >= min_length and (length >= max_length or not alike[i - 1] > same):
            starts.append(i)
    return list(zip(starts, [*starts[1:], len(features)], strict=True))
