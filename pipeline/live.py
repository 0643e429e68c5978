"""Live streams: observations pushed from any thread into one memory, without ever making the giver wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import MnemeError
from ..memory.memory import Ack
from ..records import Lane, Observation
from .live_stream import TICK_S, Begun, LiveStatus, LiveStream
from .observed import check
from .senses import DEFAULT_LANES

if TYPE_CHECKING:
    from .mneme import Mneme

__all__ = ["Ack", "Live", "LiveStatus"]

log = logging.getLogger(__name__)

STREAMS = 64
"""Streams that may be live at a time: each has its senses and threads."""
KNOWN = 1024
"""Streams of which the status is kept."""


class Live:
    """Any number of live streams into one memory.

    A stream begins with its first observation. Each is perceived in a thread of its own; where that falls behind, the
    oldest pictures are dropped and counted. What is taken in is committed within about a second, also when the stream
    pauses. A fault of one stream (`LiveStatus.error`) stays with it. Threads may share all methods.

        with mneme.open("yard.mneme") as memory, Live(memory) as live:
            live.subscribe("gate", lambda ack: print(ack.acked_t_ns))
            live.push(Observation("gate", t_ns, {"front": picture}))
    """

    def __init__(self, mneme: Mneme, *, lanes: Sequence[Lane] = DEFAULT_LANES, ahead: int = 64) -> None:
        """ahead: observations with pictures that may wait to be perceived, a stream.

        Takes the writer's lock: `LockedError` where another process writes.
        """
        mneme.hold()
        self._mneme, self._lanes, self._ahead = mneme, lanes, ahead
        self._lock = threading.Lock()
        self._live: dict[str, LiveStream] = {}
        self._begun: dict[str, Begun] = {}
        self._past: dict[str, LiveStatus] = {}
        self._listeners: dict[str, list[tuple[Callable[[Ack], None], Callable[[str], None] | None]]] = {}
        self._closed = False

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def push(self, observation: Observation) -> bool:
        """Take an observation and return at once; False where something older was dropped for it (and counted).

        Arrays are kept, not copied. Pictures are looked at `fps` times a second (section `watch` of the settings).
        Errors: `MnemeError` for what is no observation, goes back in time, or belongs to a stream that cannot be
        recorded (it has ended, or there are too many).
        """
        check(observation)
        while True:
            taken = self._stream(observation.stream).push(observation)
            if taken is not None:
                return taken

    def begin(self, stream: str, source: str, now_ns: int) -> int:
        """Name the source of a stream that is told by the clock; its stream time at `now_ns`.

        now_ns: wall-clock nanoseconds since 1970. The first time, that is the stream's zero; later its time goes on.
        """
        known = self._mneme.known(stream)
        epoch_ns = known.stream.epoch_ns if known is not None and known.stream.epoch_ns else now_ns
        with self._lock:
            self._begun[stream] = Begun(source, epoch_ns)
        return max(0, now_ns - epoch_ns, known.seen_ns if known is not None else 0)

    def subscribe(
        self, stream: str, callback: Callable[[Ack], None], failed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """Call back with each commit of a stream, and with each fault in words; the result ends that.

        The callbacks run in the stream's thread: let them be short. The stream need not have begun.
        """
        entry = (callback, failed)
        with self._lock:
            self._listeners.setdefault(stream, []).append(entry)

        def end() -> None:
            with self._lock:
                listening = self._listeners.get(stream, [])
                if entry in listening:
                    listening.remove(entry)
                if not listening:
                    self._listeners.pop(stream, None)

        return end

    def streams(self) -> list[str]:
        """Those that are live, or were since this was made, by name."""
        with self._lock:
            return sorted({*self._live, *self._past})

    def status(self, stream: str) -> LiveStatus:
        """How far a stream is; all zeros where none of that name has begun."""
        with self._lock:
            live = self._live.get(stream)
            return live.status if live is not None else self._past.get(stream, LiveStatus())

    def settle(self, streams: Collection[str] | None, timeout_s: float) -> list[str]:
        """Waits until all that was pushed before is perceived and stored, in these streams (None: all that are live).

        Sounds, words and captions end there, as before a pause, and go on as others. The names of those that did not
        come so far in time.
        """
        until_s = time.monotonic() + timeout_s
        with self._lock:
            running = [live for name, live in self._live.items() if streams is None or name in streams]
        behind = []
        for live, done in [(live, live.settle()) for live in running]:
            while not (done.wait(TICK_S) or live.over):
                if time.monotonic() > until_s:
                    behind.append(live.name)
                    break
        return behind

    def end(self, stream: str) -> None:
        """The episode is over: waits until what is open is stored, and closes the stream for good."""
        self._stop(stream, end=True)

    def close(self) -> None:
        """Waits until what is open is stored, and lets go of all streams, which may go on later. Then push refuses."""
        with self._lock:
            self._closed = True
            live = list(self._live)
        for stream in live:
            with self._lock:
                running = self._live.get(stream)
            if running is not None:
                running.stop(end=False)
        for stream in live:
            self._stop(stream, end=False)

    def _stop(self, stream: str, *, end: bool) -> None:
        with self._lock:
            running = self._live.get(stream)
        if running is None:
            return
        running.stop(end=end)
        running.join()
        with self._lock:
            if self._live.get(stream) is running:
                self._shelve(stream, running)

    def _stream(self, name: str) -> LiveStream:
        """The stream of that name, begun where it is none. A fault of opening it is raised once, then tried anew."""
        with self._lock:
            if self._closed:
                raise MnemeError("this memory takes no live streams any more", "open it again")
            running = self._live.get(name)
            if running is not None and running.broken is not None:
                self._shelve(name, running)
                raise running.broken
            if running is None or running.leaving:
                if running is None and sum(not s.over for s in self._live.values()) >= STREAMS:
                    raise MnemeError(f"{STREAMS} streams are live already", "end one of them")
                running = LiveStream(
                    name, self._mneme, self._lanes, self._ahead,
                    tell=self._tell, beside=self._count, after=running, begun=self._begun.get(name, Begun()),
                )  # fmt: skip
                self._live[name] = running
            return running

    def _shelve(self, name: str, stream: LiveStream) -> None:
        """Keeps the status of a stream that is let go. The lock is held."""
        del self._live[name]
        self._past.pop(name, None)
        self._past[name] = stream.status
        if len(self._past) > KNOWN:
            del self._past[next(iter(self._past))]

    def _count(self) -> int:
        return len(self._live)

    def _tell(self, stream: str, told: Ack | str) -> None:
        with self._lock:
            listening = list(self._listeners.get(stream, ()))
        for callback, failed in listening:
            try:
                if isinstance(told, Ack):
                    callback(told)
                elif failed is not None:
                    failed(told)
            except Exception:
                log.exception("a subscriber of stream %r", stream)
