"""What the routes of a served memory share: the memory, its live streams, their sources and counters."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MnemeError
from ..memory.forget import Receipt
from ..memory.target import Target
from ..pipeline.cameras import CameraThread, parse_source
from ..pipeline.live import Live
from ..pipeline.mneme import Mneme, open_memory
from ..records import Answer, Event, Evidence, Lane, MemoryTokens, Picture, to_ns, to_s
from .metrics import Metrics
from .problems import BusyError, NotFoundError, ServerError

log = logging.getLogger(__name__)

ALL = "mneme"
"""The model of the OpenAI door that asks all streams."""
SETTLING_S = 30.0
"""For so long an erasure waits for what live streams were sent before it was asked for."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: everything a server is started with that is no address."""

    path: str
    token: str | None = None
    sources: tuple[str, ...] = ()
    config: str | None = None
    profile: str | None = None


class Door:
    """Holds the writer's lock of one memory from construction to `close`. Threads may share all methods."""

    def __init__(self, served: Served) -> None:
        """Errors: `LockedError`, `MemoryFormatError`, `SourceError`, `SettingsError`."""
        addresses = [parse_source(text) for text in served.sources]
        names = [address.name for address in addresses]
        if len(set(names)) < len(names):
            raise MnemeError("two sources have one name", "name them: --source gate=rtsp://...")
        config = None if served.config is None else Path(served.config)
        self.memory: Mneme = open_memory(served.path, served.profile, config=config)
        try:
            self.live = Live(self.memory)
            self.cameras: list[CameraThread] = []
            self.metrics = Metrics(self.live, self.cameras, self.memory.path)
            self._connected: set[str] = set()
            self._lock = threading.Lock()
            for address in addresses:
                self.cameras.append(CameraThread(address, self.live, self.memory.interval_ns, time.time_ns))
        except BaseException:
            self.memory.close()
            raise

    def close(self) -> None:
        """Stores what is open and gives the lock back."""
        for camera in self.cameras:
            camera.close()
        try:
            self.live.close()
        finally:
            self.memory.close()

    def ask(self, question: str, stream: str | None, image: Picture | None, door: str) -> Answer:
        """Errors: `QuestionError`, `NotFoundError` of an unknown stream."""
        self._refuse_unknown(stream)
        with self.metrics.ask_seconds.labels(door).time():
            return self.memory.ask(question, image, stream)

    def events(self, stream: str | None, limit: int, after: str | None) -> tuple[list[Event], str | None]:
        """A page of the closed events behind the one of id `after`, and the id that the next page goes on from."""
        self._refuse_unknown(stream)
        found = self.memory.events(stream)
        first = 0
        if after is not None:
            first = next((i + 1 for i, event in enumerate(found) if event.id == after), -1)
            if first < 0:
                raise NotFoundError(f"there is no event {after[:40]!r} here", "begin without `after`")
        page = found[first : first + limit]
        return page, page[-1].id if first + limit < len(found) else None

    def tokens(self, budget: int, query: str | None, lane: Lane, stream: str | None) -> MemoryTokens:
        """Errors: `NotFoundError` of an unknown stream, `MnemeError`."""
        self._refuse_unknown(stream)
        return self.memory.tokens(budget, query, lane, stream)

    def forget(
        self,
        stream: str | None = None,
        t0_s: float | None = None,
        t1_s: float | None = None,
        event: str | None = None,
        place: str | None = None,
        text: str | None = None,
    ) -> Receipt:
        """Erase one of these for good, as `Mneme.forget`; live streams go on.

        What they were sent before this was asked for is perceived first: else it would come back a moment later.

        Errors, with which nothing is changed: `MnemeError` of what says nothing, or two things; `NotFoundError` where
        there is nothing of it, `BusyError` where a live stream is too far behind. `ServerError` of a disk that fails:
        then nothing is changed either, or the erasure counts and the memory's next writer finishes it.
        """
        t0_ns, t1_ns = (None if t is None else to_ns(t) for t in (t0_s, t1_s))
        Target(stream, t0_ns, t1_ns, event, place, text)  # refused before anything waits for it
        behind = self.live.settle(None if stream is None else [stream], SETTLING_S)
        if behind:
            raise BusyError(
                f"stream {behind[0]!r} is behind and may still hold it", "nothing was changed; try again in a moment"
            )
        self._refuse_unknown(stream)
        try:
            receipt = self.memory.forget(stream, t0_s, t1_s, event, place, text)
        except MnemeError as error:
            if type(error) is not MnemeError:
                raise
            kind = NotFoundError if error.__cause__ is None else ServerError
            raise kind(error.fault, error.mend) from error
        self.metrics.erasures.inc()
        if not receipt.verified:
            log.warning("an erasure left something on the disk: %s", receipt.searched.told)
        return receipt

    def streams(self) -> list[str]:
        """The streams that can be asked."""
        return [state.stream.id for state in self.memory.streams()]

    def connect(self, stream: str) -> None:
        """One connection a stream: two would go back in each other's time. Errors: `MnemeError`."""
        with self._lock:
            if stream in self._connected:
                raise MnemeError(f"stream {stream!r} is sent by another connection", "give another name")
            self._connected.add(stream)

    def disconnect(self, stream: str) -> None:
        with self._lock:
            self._connected.discard(stream)

    def _refuse_unknown(self, stream: str | None) -> None:
        if stream is not None and stream not in (known := self.streams()):
            raise NotFoundError(
                f"there is no stream {stream[:80]!r} in this memory", f"it knows {', '.join(known[:20]) or 'none'}"
            )


def plain_answer(answer: Answer) -> dict[str, Any]:
    """An answer as JSON."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "evidence": [plain_evidence(item) for item in answer.evidence],
        "timings_ms": {name: round(value, 1) for name, value in answer.timings_ms.items()},
    }


def plain_evidence(item: Evidence) -> dict[str, Any]:
    """Without the thumbnail, whose path means nothing elsewhere."""
    return {
        "stream": item.stream,
        "t0_s": to_s(item.t0_ns),
        "t1_s": to_s(item.t1_ns),
        "lane": item.lane,
        "text": item.text,
        "score": item.score,
        "place": item.place,
        "source": item.source,
    }


def plain_event(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "id": event.id,
        "stream": event.stream,
        "t0_s": to_s(event.t0_ns),
        "t1_s": to_s(event.t1_ns),
        "gist": event.gist,
        "place": event.place,
        "lanes": list(event.lanes),
    }


def plain_tokens(tokens: MemoryTokens, *, arrays: bool) -> dict[str, Any]:
    """Memory tokens with their arrays as they are, or as lists."""
    numbers = {"tokens": tokens.tokens, "mask": tokens.mask, "t_ns": tokens.t_ns}
    return {
        "lane": tokens.lane,
        "space": tokens.space,
        **(numbers if arrays else {name: array.tolist() for name, array in numbers.items()}),
        "tier": list(tokens.tier),
        "place": list(tokens.place),
        "source": [[[event, weight] for event, weight in sources] for sources in tokens.source],
    }
