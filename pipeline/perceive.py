"""Perception of one stream: observations in, moments out.

Each lane is a small sense that takes observations in order and gives complete percepts, of the same instant or of some
seconds ago. Eyes and ears run in a thread each (pictures and sounds never wait for one another's models); the moments
come out in order of time and do not depend on which thread was faster.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..records import NS_PER_S, Moment, Observation, Percept, Pose, samples_to_ns
from .lanes import Sense

if TYPE_CHECKING:
    from ..operators.change import SceneChange

MOMENT_NS = NS_PER_S
"""Without pictures a moment is given out this often; and no moment waits longer for its change to be told."""


@dataclass(frozen=True, slots=True)
class Senses:
    """What one stream is perceived with."""

    stream: str
    eyes: tuple[Sense, ...]
    ears: tuple[Sense, ...]
    change: SceneChange | None
    """Gives the visual change of the picture `lag` pictures ago."""
    lag: int = 0


def hold(observations: Iterable[Observation], interval_ns: int) -> Iterator[Observation]:
    """Shows a picture again while none follows it: after 1 to 5 intervals, then once a second.

    A slide may be one frame for a minute. What is still must be seen to be still: captions settle, scenes change,
    events close by looking again.
    """
    shown: Observation | None = None
    again_ns = 0
    looks = 0
    for observation in observations:
        while shown is not None and again_ns < observation.t_ns - interval_ns // 2:
            yield replace(shown, t_ns=again_ns)
            looks += 1
            again_ns += interval_ns if looks < 5 else max(interval_ns, NS_PER_S)
        if observation.images:
            shown = Observation(observation.stream, observation.t_ns, observation.images)
            again_ns, looks = observation.t_ns + interval_ns, 0
        yield observation


class Perception:
    """Observations pushed in, moments given out; `ahead` observations at most are being worked on (1: none waits)."""

    def __init__(self, senses: Senses, ahead: int = 1) -> None:
        self._senses = senses
        self._ahead = ahead
        self._eyes = ThreadPoolExecutor(1, "eyes")
        self._ears = ThreadPoolExecutor(1, "ears")
        self._working: deque[tuple[Observation, Future[_Part], Future[_Part]]] = deque()
        self._waiting: deque[_Slot] = deque()  # those whose change is not known yet, and those behind them
        self._untold: deque[_Slot] = deque()  # of the last pictures, whose changes are told `lag` pictures later
        self._percepts: list[Percept] = []  # gathered since the last moment, as are the two below
        self._energy = 0.0
        self._samples = 0
        self._pose: Pose | None = None  # the newest since the last moment
        self._settled_ns = 0
        self._moment_ns = -MOMENT_NS
        self._end_ns = 0

    def __enter__(self) -> Perception:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads; what they have not begun is dropped."""
        self._eyes.shutdown(wait=True, cancel_futures=True)
        self._ears.shutdown(wait=True, cancel_futures=True)

    def push(self, observation: Observation) -> list[Moment]:
        """Take the next observation; the moments that are complete now."""
        self._working.append(
            (
                observation,
                self._eyes.submit(_look, self._senses, observation),
                self._ears.submit(_listen, self._senses, observation),
            )
        )
        return self._join(self._ahead - 1)

    def finish(self, end_ns: int | None = None) -> list[Moment]:
        """The stream has ended: the moments still open, and a last one with what the senses still held."""
        moments = self._join(0)
        last_ns = max(self._end_ns, end_ns or 0, self._moment_ns + 1)
        self._percepts += [p for sense in (*self._senses.eyes, *self._senses.ears) for p in sense.flush(last_ns)]
        self._settled_ns = last_ns
        moments += [slot.moment for slot in self._waiting]
        self._waiting.clear()
        return [*moments, self._moment(last_ns, None)]

    def _join(self, leave: int) -> list[Moment]:
        """Joins what eyes and ears made of each observation, until `leave` are still being worked on."""
        while len(self._working) > leave:
            observation, looking, listening = self._working.popleft()
            self._gather(observation, looking.result(), listening.result())
        ready = []
        while self._waiting and not self._waiting[0].pending:
            ready.append(self._waiting.popleft().moment)
        return ready

    def _gather(self, observation: Observation, seen: _Part, heard: _Part) -> None:
        """One moment a picture, with the sound since the moment before; without pictures one a second."""
        self._percepts += seen.percepts + heard.percepts
        self._energy += heard.energy
        self._samples += heard.samples
        self._pose = observation.pose or self._pose
        self._end_ns = max(self._end_ns, observation.t_ns + samples_to_ns(heard.samples))
        self._settled_ns = min(
            (part.settled_ns for part in (seen, heard) if part.settled_ns is not None), default=observation.t_ns
        )
        for slot in self._waiting:  # pictures have stopped coming: nothing will be told of the last ones
            if slot.pending and slot.moment.t_ns + MOMENT_NS * (self._senses.lag + 1) < observation.t_ns:
                slot.pending = False
        if seen.change is not None:
            slot = _Slot(self._moment(observation.t_ns, 0.0), True)
            self._waiting.append(slot)
            self._untold.append(slot)
            if len(self._untold) > self._senses.lag:
                told = self._untold.popleft()
                if told.pending:
                    told.moment, told.pending = replace(told.moment, change=seen.change), False
        elif observation.t_ns - self._moment_ns >= MOMENT_NS:
            self._waiting.append(_Slot(self._moment(observation.t_ns, None), False))

    def _moment(self, t_ns: int, change: float | None) -> Moment:
        """What was gathered since the last moment, as one at `t_ns`."""
        loudness = None if self._samples == 0 else level_db(self._energy / self._samples)
        moment = Moment(
            self._senses.stream, t_ns, tuple(self._percepts), change, loudness, self._settled_ns, self._pose
        )
        self._percepts, self._energy, self._samples, self._pose = [], 0.0, 0, None
        self._moment_ns = t_ns
        return moment


@dataclass(slots=True)
class _Slot:
    """A moment, and whether its visual change is still to be told."""

    moment: Moment
    pending: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """What the eyes or the ears made of one observation."""

    percepts: list[Percept]
    settled_ns: int | None
    change: float | None = None
    energy: float = 0.0
    """Sum of the squares of the sound."""
    samples: int = 0


def _look(senses: Senses, observation: Observation) -> _Part:
    percepts = [p for sense in senses.eyes for p in sense.take(observation)]
    change = None
    if senses.change is not None and observation.images:
        change = senses.change.look(next(iter(observation.images.values())))
    return _Part(percepts, min((s.settled_ns for s in senses.eyes), default=None), change)


def _listen(senses: Senses, observation: Observation) -> _Part:
    percepts = [p for sense in senses.ears for p in sense.take(observation)]
    settled_ns = min((s.settled_ns for s in senses.ears), default=None)
    if observation.sound is None:
        return _Part(percepts, settled_ns)
    energy = float(np.square(observation.sound, dtype=np.float64).sum())
    return _Part(percepts, settled_ns, None, energy, len(observation.sound))


def level_db(mean_square: float) -> float:
    """dBFS of a mean square, at least -120."""
    return max(10.0 * math.log10(max(mean_square, 1e-30)), -120.0)
