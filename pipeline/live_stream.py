"""One live stream: a thread that perceives what is pushed and remembers it, and tells what became durable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import MnemeError
from ..memory.boundaries import Around, Boundaries
from ..memory.memory import Ack, Recorder
from ..records import Lane, Moment, Observation
from .newest import NewestQueue
from .observed import Standing, Thinner
from .perceive import Perception

if TYPE_CHECKING:
    from .mneme import Mneme

log = logging.getLogger(__name__)

TICK_S = 0.1
PAUSE_S = 0.5
"""Seconds without an observation after which what is open is stored."""
REST_S = 300.0
"""Seconds without an observation after which the thread and the senses are let go; the stream may still go on."""
QUEUE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How far a live stream is."""

    received: int = 0
    dropped: int = 0
    """Observations that lost their pictures, or everything, because the senses were behind."""
    acked_t_ns: int = 0
    """Every percept that starts before this is durable."""
    percepts: int = 0
    """Stored so far, since the stream was begun here."""
    error: str | None = None
    """The last fault, in one line."""
    last_t_ns: int = 0
    """The newest observation's time."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What the manifest is told of a stream when it is first recorded."""

    source: str = "observed"
    epoch_ns: int = 0
    """Wall-clock time of the stream's zero, or 0 where nobody knows."""


class Pausing(Around):
    """Boundaries that a pause settles: what stands before it is decided, as far as it was seen.

    A cut that is told after all (a change just before the pause) is moved behind it.
    """

    def __init__(self, inner: Boundaries) -> None:
        super().__init__(inner)
        self._paused_ns = 0

    @property
    def settled_ns(self) -> int:
        return max(self._inner.settled_ns, self._paused_ns)

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        return [max(cut_ns, self._paused_ns) for cut_ns in self._inner.push(t_ns, change, loudness_db)]

    def flush(self) -> list[int]:
        return [max(cut_ns, self._paused_ns) for cut_ns in self._inner.flush()]

    def pause(self, t_ns: int) -> None:
        self._paused_ns = max(self._paused_ns, t_ns)


class LiveStream:
    """Made by `Live`; runs from its first observation until it is ended, closed, or has rested."""

    def __init__(
        self,
        name: str,
        mneme: Mneme,
        lanes: Sequence[Lane],
        ahead: int,
        *,
        tell: Callable[[str, Ack | str], None],
        beside: Callable[[], int],
        after: LiveStream | None,
        begun: Begun,
    ) -> None:
        """tell: is given each `Ack`, and each fault in words. beside: how many streams are live now.

        after: an earlier run of this stream, which lets go of it first.
        """
        self.name = name
        self._mneme, self._lanes, self._tell, self._beside = mneme, lanes, tell, beside
        self._begun, self._after = begun, after
        self._queue = NewestQueue(ahead, QUEUE_BYTES)
        self._thinner = Thinner(mneme.interval_ns)
        self._standing = Standing(mneme.interval_ns)
        self._boundaries = Pausing(mneme.boundaries())
        self._taking = threading.Lock()
        self._noting = threading.Lock()
        self._status = LiveStatus() if after is None else replace(after.status, error=None)
        self._stopping: str | None = None
        self._settling: list[tuple[int, threading.Event]] = []
        self._put_s = self._acked_s = time.monotonic()
        self._seen_ns = 0
        """Time of the last observation that was perceived."""
        self._settled_ns = 0
        self._first_ns = 0
        """What comes before this is remembered already, or was left out."""
        self.broken: MnemeError | None = None
        """Why the stream could not be opened."""
        self._thread = threading.Thread(target=self._run, name=f"live {name}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> LiveStatus:
        return self._status

    @property
    def over(self) -> bool:
        """Whether everything is stored and the stream is let go."""
        return not self._thread.is_alive()

    @property
    def leaving(self) -> bool:
        """Whether it takes nothing more."""
        return self._stopping is not None

    def push(self, observation: Observation) -> bool | None:
        """False: something was dropped for it. None: the stream is being let go; push to the next one."""
        with self._taking:
            if self._stopping is not None:
                return None
            last_ns = self._status.last_t_ns
            if observation.t_ns < last_ns:
                raise MnemeError(
                    f"stream {self.name!r} went back from {last_ns} ns to {observation.t_ns} ns",
                    "give its observations in order of time, or begin another stream",
                )
            thinned = self._thinner.take(observation)
            dropped = 0 if thinned is None else self._queue.put(thinned)
            self._put_s = time.monotonic()
            self._note(last_t_ns=observation.t_ns, received=1, dropped=dropped)
            return dropped == 0

    def settle(self) -> threading.Event:
        """Has all that was pushed perceived and stored, as before a pause; its pictures are not shown again later.

        The event is set when that is done. Where the stream is let go first, that does the same, and it is not set.
        """
        done = threading.Event()
        with self._taking:
            self._thinner.part()
            self._settling.append((self._status.last_t_ns, done))
        return done

    def stop(self, *, end: bool) -> None:
        """Take nothing more. end: the stream is over; else it may go on later. `join` waits until all is stored."""
        with self._taking:
            self._stopping = self._stopping or ("end" if end else "close")
        self._queue.close()

    def join(self) -> None:
        """Until everything is stored."""
        self._thread.join()

    def _run(self) -> None:
        if self._after is not None:
            self._after.join()
            self._after = None
        recorder: Recorder | None = None

        def begin() -> None:
            nonlocal recorder
            senses, recorder = self._mneme.record(
                self.name, self._lanes, boundaries=self._boundaries, source=self._begun.source,
                epoch_ns=self._begun.epoch_ns,
            )  # fmt: skip
            self._first_ns = recorder.state.seen_ns
            self._note(last_t_ns=self._first_ns, acked_t_ns=self._first_ns)
            with Perception(senses) as perception:
                self._serve(perception, recorder)

        fault = self._guarded(begin)
        if recorder is not None:
            opened = recorder
            self._guarded(lambda: self._mneme.release(opened))
        elif fault is not None:
            with self._taking:
                self._stopping = "close"
            self.broken = fault

    def _serve(self, perception: Perception, recorder: Recorder) -> None:
        paused, again_s = True, 0.0
        while True:
            observation = self._queue.get(TICK_S)
            if observation is not None:
                paused = False
                self._guarded(partial(self._take, perception, recorder, observation))
            due = self._due()
            if due:
                paused = paused or self._guarded(partial(self._pause, perception, recorder)) is None
                self._standing = Standing(self._mneme.interval_ns)
                for done in due:
                    done.set()
            if observation is not None:
                continue
            if self._stopping is not None:
                break
            now_s = time.monotonic()
            if not paused and now_s - self._put_s > PAUSE_S and now_s > again_s:
                paused, again_s = self._guarded(partial(self._pause, perception, recorder)) is None, now_s + 1.0
            if paused and now_s - self._put_s > REST_S:
                with self._taking:
                    self._stopping = None if len(self._queue) else "close"
        if not paused:
            self._guarded(partial(self._pause, perception, recorder))
        if self._stopping == "end":
            self._guarded(lambda: self._heard([recorder.finish(self._status.last_t_ns + 1)]))

    def _due(self) -> list[threading.Event]:
        """Of those who wait in `settle`, those whose observations have been taken."""
        with self._taking:
            taken = not len(self._queue)
            due = [done for t_ns, done in self._settling if taken or t_ns < self._seen_ns]
            self._settling = [waiting for waiting in self._settling if waiting[1] not in due]
            return due

    def _take(self, perception: Perception, recorder: Recorder, observation: Observation) -> None:
        if observation.t_ns < self._first_ns:
            self._note(dropped=1)
            if self._status.error is None:
                raise MnemeError(
                    f"stream {self.name!r} is remembered up to {self._first_ns} ns, and {observation.t_ns} ns came",
                    "go on from there, or begin another stream",
                )
            return
        for shown in self._standing.until(observation.t_ns, behind=len(self._queue) > 0):
            self._remember(perception.push(shown), recorder)
        self._standing.note(observation)
        self._seen_ns = observation.t_ns
        self._remember(perception.push(observation), recorder)
        if time.monotonic() - self._acked_s > 1.0 + self._beside():
            # Nothing new for a while (a still scene). Where nothing waits to be stored, all that is settled is stored.
            settled_ns = min(self._settled_ns, self._boundaries.settled_ns)
            self._heard(recorder.flush() or [Ack(settled_ns, ())])

    def _pause(self, perception: Perception, recorder: Recorder) -> None:
        """What the senses still hold is complete, and everything is stored; the stream may go on."""
        with self._taking:
            until_ns = (self._seen_ns if len(self._queue) else self._status.last_t_ns) + 1
        held = perception.finish(self._seen_ns)
        # The end of a sound lies ahead of pictures that may still come: the pause is where the observations stopped.
        for moment in held:
            early = replace(moment, t_ns=min(moment.t_ns, self._seen_ns), settled_ns=min(moment.settled_ns, until_ns))
            self._remember([early], recorder)
        self._boundaries.pause(until_ns)
        self._remember([Moment(self.name, self._seen_ns, settled_ns=until_ns)], recorder)
        self._heard(recorder.flush() or [Ack(until_ns, ())])

    def _remember(self, moments: list[Moment], recorder: Recorder) -> None:
        for moment in moments:
            self._settled_ns = moment.settled_ns
            self._heard(recorder.observe(moment))

    def _heard(self, acks: list[Ack]) -> None:
        for ack in acks:
            told = replace(ack, acked_t_ns=max(ack.acked_t_ns, self._status.acked_t_ns))
            if told.percepts or told.acked_t_ns > self._status.acked_t_ns:
                self._acked_s = time.monotonic()
                self._note(acked_t_ns=told.acked_t_ns, percepts=len(told.percepts))
                self._tell(self.name, told)

    def _guarded(self, work: Callable[[], None]) -> MnemeError | None:
        """Does it; a fault is told and stays with this stream, which goes on with what comes next."""
        try:
            work()
        except MnemeError as error:
            fault = error
        except Exception:
            log.exception("live stream %r", self.name)
            fault = MnemeError(f"stream {self.name!r} could not be remembered", "look into the log of this process")
        else:
            return None
        with self._noting:
            self._status = replace(self._status, error=str(fault))
        self._tell(self.name, str(fault))
        return fault

    def _note(
        self, *, last_t_ns: int = 0, acked_t_ns: int = 0, received: int = 0, dropped: int = 0, percepts: int = 0
    ) -> None:
        with self._noting:
            old = self._status
            self._status = replace(
                old,
                received=old.received + received,
                dropped=old.dropped + dropped,
                percepts=old.percepts + percepts,
                acked_t_ns=max(old.acked_t_ns, acked_t_ns),
                last_t_ns=max(old.last_t_ns, last_t_ns),
            )
