"""Watch: source -> perceive -> memory, in one process: a thread decodes, two perceive, the caller's remembers."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..memory.memory import Ack, Memory, Recorder
from ..records import Moment, Observation, Stream
from .perceive import Perception, Senses, hold
from .sources import Source

log = logging.getLogger(__name__)

AHEAD = 24
"""Observations that decoding, and perception, may be ahead of the stage behind it."""
QUEUE_BYTES = 128 << 20
"""Of pictures in each of the two queues."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a watch has come."""

    t_ns: int
    duration_ns: int | None
    frames: int
    percepts: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch did."""

    stream: str
    duration_s: float
    frames: int
    """Pictures that were looked at."""
    events: int
    percepts: int
    realtime_factor: float
    """Seconds of stream a second of watching."""
    bytes: int
    """What the memory takes on the disk now."""


def watch(
    source: Source,
    memory: Memory,
    recorder: Recorder,
    senses: Senses,
    interval_ns: int,
    *,
    progress: Callable[[Progress], None] | None = None,
    acknowledged: Callable[[Ack], None] | None = None,
) -> Watched:
    """Watch a source to its end, reading from where the recorder wants to resume.

    `interval_ns`: between two sampled pictures.

    Errors: `SourceError` from the source, `MnemeError` from the memory; what was acknowledged before stays.
    """
    started = time.perf_counter()
    frames = percepts = 0
    start_ns = end_ns = recorder.resume_ns

    def note(acks: list[Ack]) -> None:
        nonlocal percepts
        for ack in acks:
            percepts += len(ack.percepts)
            if acknowledged is not None:
                acknowledged(ack)

    def counted(observations: Iterator[Observation]) -> Iterator[Observation]:
        nonlocal frames
        for observation in observations:
            frames += len(observation.images)
            yield observation

    def remember(moments: list[Moment]) -> None:
        nonlocal end_ns
        for moment in moments:
            note(recorder.observe(moment))
            end_ns = max(end_ns, moment.t_ns)
            if progress is not None:
                progress(Progress(moment.t_ns, source.info.duration_ns, frames, percepts))

    ahead = pictures_ahead(source)
    with Prefetch(source.observations(start_ns), ahead) as read, Perception(senses, ahead) as perception:
        for observation in hold(counted(read), interval_ns):
            remember(perception.push(observation))
        # The header knows how long the stream is, unless the file was cut off.
        remember(perception.finish(None if source.truncated else source.info.duration_ns))
    note([recorder.finish(end_ns)])
    seconds = time.perf_counter() - started
    state = recorder.state
    total = len(memory.snapshot().percepts(stream=source.info.stream))
    return Watched(
        source.info.stream,
        end_ns / 1e9,
        frames,
        state.events,
        total,
        (end_ns - start_ns) / 1e9 / max(seconds, 1e-9),
        folder_bytes(memory),
    )


def pictures_ahead(source: Source) -> int:
    """Observations that each queue may hold: fewer where pictures are large, so that memory stays bounded."""
    size = 3 * (source.info.width or 0) * (source.info.height or 0)
    return max(2, min(AHEAD, QUEUE_BYTES // max(size, 1)))


def folder_bytes(memory: Memory) -> int:
    """Bytes of all files of a memory."""
    return sum(f.stat().st_size for f in memory.root.rglob("*") if f.is_file())


def stream_of(source: Source, profile: str) -> Stream:
    """The record of a source as the manifest lists it."""
    return Stream(source.info.stream, printable(source.info.source), source.info.digest, profile=profile)


def printable(name: str) -> str:
    """A name with what is not Unicode (bytes of a file name, lone surrogates) replaced."""
    return name.encode("utf-8", "replace").decode("utf-8")


class Prefetch:
    """Reads an iterator ahead in a thread, through a bounded queue; an error comes out where it happened."""

    def __init__(self, items: Iterator[Observation], ahead: int) -> None:
        self._items = items
        self._queue: queue.Queue[Observation | BaseException | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="decode", daemon=True)

    def __enter__(self) -> Iterator[Observation]:
        self._thread.start()
        return iter(self)

    def __iter__(self) -> Iterator[Observation]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():  # the reader may be waiting for room
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _read(self) -> None:
        try:
            for item in self._items:
                if self._stop.is_set():
                    return
                self._queue.put(item)
            self._queue.put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            self._queue.put(error)
