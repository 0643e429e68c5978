"""Episodes of a robot: observations perceived while the giver waits, so that tokens know all of them.

`live.py` never makes a giver wait and drops what it cannot follow; a policy's observation is neither dropped nor
answered before it was perceived. Only the disk is not waited for: a thread stores behind, and everyone who asks for
tokens waits for what was taken up before.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import MnemeError, SettingsError
from ..memory.forget import Receipt
from ..memory.memory import Recorder
from ..records import Answer, Lane, MemoryTokens, Moment, Observation, Picture, Vector
from .mneme import Mneme
from .observed import check
from .perceive import Perception, Senses
from .state import Prompt, State

log = logging.getLogger(__name__)

LANES: tuple[Lane, ...] = ("vision", "state")
"""What a robot perceives by default; reading captions too would cost some tenths of a second a picture."""
KNOWN_LANES: tuple[Lane, ...] = ("vision", "caption", "state")
BEHIND = 64
"""Observations that storing may be behind perceiving, of all episodes; then the robot waits for the disk."""
HOUR_NS = 3600 * 1_000_000_000
CLOCK_1970_NS = 10**17
"""Times above are taken for wall-clock time: no robot has been switched on for three years."""


class Episodes:
    """The episodes of one robot, or of several at a time, in one memory: streams `<stream>-1`, `<stream>-2`, ..."""

    def __init__(
        self,
        mneme: Mneme,
        *,
        stream: str = "robot",
        lanes: Sequence[Lane] = LANES,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """clock: nanoseconds, for observations that do not say when they were made.

        Takes the writer's lock and loads the models, so that the first observation does not wait for them. Errors:
        `LockedError`, `SettingsError` for a lane that a robot does not have, `MnemeError` for a name that is none.
        """
        for lane in lanes:
            if lane not in KNOWN_LANES:
                raise SettingsError(f"a robot has no lane {lane!r}", f"choose from {', '.join(KNOWN_LANES)}")
        check(Observation(f"{stream}-1", 0))
        mneme.hold()
        self.mneme, self.lanes, self.clock = mneme, tuple(lanes), clock
        self._stream = stream
        named = re.compile(re.escape(stream) + r"-(\d+)", re.ASCII)
        numbers = [int(m[1]) for state in mneme.streams() if (m := named.fullmatch(state.stream.id))]
        self._number = max(numbers, default=0)
        self._storing = ThreadPoolExecutor(1, "store")
        self._behind: deque[Future[Any]] = deque()
        warm_up(mneme)

    def begin(self) -> Episode:
        """An episode; its stream begins, and has a name, with its first observation."""
        return Episode(self)

    def close(self) -> None:
        """Waits until everything is stored. End the episodes first."""
        self._storing.shutdown(wait=True)

    def name(self) -> str:
        """The next free name. In the storing thread only."""
        self._number += 1
        return f"{self._stream}-{self._number}"

    def store(self, work: Callable[[], Any]) -> Future[Any]:
        """Does it in the storing thread, in order; waits where that is too far behind."""
        while len(self._behind) >= BEHIND:
            self._behind.popleft().exception()
        done = self._storing.submit(work)
        self._behind.append(done)
        return done


@dataclass(slots=True, eq=False)
class _Running:
    """An episode that has begun."""

    stream: str
    perception: Perception
    recorder: Recorder
    zero_ns: int
    """The giver's time at the stream's zero; 0 where it gives stream time, or none."""
    clock_ns: int
    """Our clock at the stream's zero."""
    last_ns: int = -1
    prompt: str | None = None
    stored: Future[Any] | None = None


class Episode:
    """One episode after another; used by one thread at a time."""

    def __init__(self, episodes: Episodes) -> None:
        """Use `Episodes.begin`."""
        self._all = episodes
        self._running: _Running | None = None

    @property
    def stream(self) -> str | None:
        """The name of the stream, once it has begun."""
        return None if self._running is None else self._running.stream

    def observe(
        self,
        images: Mapping[str, Picture],
        state: Vector | None = None,
        prompt: str | None = None,
        t_ns: int | None = None,
    ) -> None:
        """Perceive an observation, and have it stored.

        images: camera -> uint8[H, W, 3]. state: float32[n]. prompt: remembered when it changes. t_ns: nanoseconds
        since the episode's zero or of the giver's own clock, later than the last; None: now.
        Errors: `MnemeError` for what cannot be perceived, or where storing an earlier observation failed.
        """
        check(Observation("-", t_ns or 0, images, text=prompt))
        running = self._running or self._begin(t_ns)
        now_ns = self._time(running, t_ns)
        if running.stored is not None and running.stored.done():
            running.stored.result()  # raises what went wrong with the last one
        told = prompt if prompt and prompt != running.prompt else None
        running.last_ns, running.prompt = now_ns, prompt or running.prompt
        moments = running.perception.push(Observation(running.stream, now_ns, images, state=state, text=told))
        running.stored = self._all.store(lambda: _remember(running.recorder, moments))

    def tokens(self, budget: int, query: str | Picture | None = None, stream: str | None = None) -> MemoryTokens:
        """Memory tokens (`Mneme.tokens`) that know every observation before.

        stream: of which stream; None: this episode, whose times are told by the giver's clock; `*`: the whole memory.
        """
        self.settle()
        mneme, running = self._all.mneme, self._running
        if stream == "*":
            return mneme.tokens(budget, query)
        if running is None:
            return mneme.tokens(budget, query, stream=stream) if stream else _nothing(mneme, budget, query)
        tokens = mneme.tokens(budget, query, stream=stream or running.stream)
        zero_ns = running.zero_ns if stream in (None, running.stream) else 0
        return replace(tokens, t_ns=np.where(tokens.mask, tokens.t_ns + zero_ns, 0))

    def ask(self, question: str, stream: str | None = None) -> Answer:
        """The memory's answer, which knows what was observed up to about a second ago.

        stream: look only in this one; None or `*`: in all. Errors: `QuestionError`, `MnemeError`.
        """
        self.flush()
        return self._all.mneme.ask(question, stream=None if stream == "*" else stream)

    def forget(self, **target: Any) -> Receipt:
        """Erases something, as `Mneme.forget`, from what was observed before this too; episodes go on.

        Errors: `MnemeError` where there is nothing of it, or where an earlier observation could not be stored.
        """
        self.settle()
        done = self._all.store(lambda: self._all.mneme.forget(**target))  # after all that waits to be stored
        receipt: Receipt = done.result()
        return receipt

    def settle(self) -> None:
        """Waits until what was observed is taken up. Errors: `MnemeError` where it could not be stored."""
        if self._running is not None and self._running.stored is not None:
            self._running.stored.result()

    def flush(self) -> None:
        """Stores what was taken up: for a pause, or before a question. Errors: `MnemeError`."""
        if self._running is not None:
            self._running.stored = self._all.store(self._running.recorder.flush)
            self._running.stored.result()

    def end(self) -> None:
        """The episode is over: closes its stream and waits until all is stored. What is observed next begins another.

        Errors: `MnemeError` where it could not be stored.
        """
        running, self._running = self._running, None
        if running is None:
            return
        moments: list[Moment] = []

        def finish() -> None:
            try:
                _remember(running.recorder, moments)
                running.recorder.finish(running.last_ns + 1)
            finally:
                self._all.mneme.release(running.recorder)

        try:
            moments += running.perception.finish()
        finally:
            running.perception.close()
            self._all.store(finish).result()

    def _time(self, running: _Running, t_ns: int | None) -> int:
        """Stream time of an observation that was made at `t_ns` of the giver's clock, or now."""
        if t_ns is None and running.last_ns < 0:
            return 0
        if t_ns is None:
            return max(self._all.clock() - running.clock_ns, running.last_ns + 1)
        if t_ns - running.zero_ns <= running.last_ns:
            last_ns = running.last_ns + running.zero_ns
            raise MnemeError(f"memory/t_ns is {t_ns}, after {last_ns}", "give observations in order of time")
        return t_ns - running.zero_ns

    def _begin(self, t_ns: int | None) -> _Running:
        """Begins with an observation that was made at `t_ns` of the giver's clock, or now."""
        episodes, mneme = self._all, self._all.mneme
        zero_ns = t_ns if t_ns is not None and t_ns > HOUR_NS else 0
        clock_ns = episodes.clock() - ((t_ns or 0) - zero_ns)
        epoch_ns = zero_ns if zero_ns > CLOCK_1970_NS else 0

        def record() -> tuple[str, Senses, Recorder]:
            from ..operators.change import LAG

            name = episodes.name()
            # Moments come at once, with the change of the picture `LAG` looks ago: tokens are not to wait for it.
            late = mneme.boundaries(change_lag=LAG)
            seen = [lane for lane in episodes.lanes if lane != "state"]
            return name, *mneme.record(name, seen, source="robot", epoch_ns=epoch_ns, boundaries=late)

        name, senses, recorder = episodes.store(record).result()
        body = (State(name, mneme.interval_ns),) if "state" in episodes.lanes else ()
        told = Prompt(name, mneme.profile.text, mneme.interval_ns)
        perception = Perception(replace(senses, eyes=(*senses.eyes, *body), ears=(*senses.ears, told), lag=0))
        self._running = _Running(name, perception, recorder, zero_ns, clock_ns)
        return self._running


def _remember(recorder: Recorder, moments: Sequence[Moment]) -> None:
    for moment in moments:
        recorder.observe(moment)


def _nothing(mneme: Mneme, budget: int, query: str | Picture | None) -> MemoryTokens:
    """The tokens of an episode that has not begun: all padding."""
    whole = mneme.tokens(budget, query)  # refuses what makes no sense
    n = len(whole.mask)
    return replace(
        whole,
        tokens=np.zeros_like(whole.tokens),
        mask=np.zeros(n, np.bool_),
        tier=("",) * n,
        t_ns=np.zeros(n, np.int64),
        place=(None,) * n,
        source=((),) * n,
    )


def warm_up(mneme: Mneme) -> None:
    """Loads what perceiving and asking for tokens need."""
    from ..operators import merge, potentiate  # noqa: F401  tokens of a longer past are condensed with torch
    from ..operators.change import SceneChange

    black = np.zeros((64, 64, 3), np.uint8)
    SceneChange().look(black)
    mneme.profile.vision.encode([black])
    mneme.profile.text.encode(["pick up the red block"])
    mneme.tokens(1)
