"""Watch: source -> perceive -> memory.

Two stages: `perceived` reads a source ahead in a thread and looks and listens in two more; `Remembering` takes what it
gives into a memory. `watch` joins them in one process, `actors.py` as Ray actors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from ..memory.memory import Ack, Memory, Recorder
from ..records import NS_PER_S, Moment, Observation, Stream
from .credits import Prefetch
from .perceive import Perception, Senses, hold
from .sources import Source, SourceInfo

AHEAD = 24
"""Observations that decoding, and perception, may be ahead of the stage behind it."""
WARM_NS = 50 * NS_PER_S
"""The senses remember no longer: the floor of sounds is of 10 s, an utterance of 20, the first piece of a text that
stands of 45. Begun anew so long before the end of the last closed event, they perceive behind it what they had."""
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
    dropped: int = 0
    """Observations of a live source that were left out because perception or the disk was slower than it."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What passes from perceiving to remembering."""

    moments: tuple[Moment, ...]
    """In order of time."""
    frames: int
    """Pictures looked at so far."""
    dropped: int
    """Observations left out so far."""


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
    remembering = Remembering(memory, recorder, source.info.duration_ns, progress=progress, acknowledged=acknowledged)
    with closing(perceived(source, senses, interval_ns, start_of(recorder))) as steps:
        for step in steps:
            remembering.take(step)
    return remembering.finish()


def perceived(source: Source, senses: Senses, interval_ns: int, start_ns: int = 0) -> Generator[Step, None, None]:
    """What the senses make of a source from `start_ns` to its end; close it to end its threads.

    It runs ahead of who takes the steps by a bounded number of observations (`pictures_ahead`): then a file waits, and
    a live source drops.
    """
    frames = 0

    def counted(observations: Iterator[Observation]) -> Iterator[Observation]:
        nonlocal frames
        for observation in observations:
            frames += len(observation.images)
            yield observation

    ahead = pictures_ahead(source)
    with (
        Prefetch(source.observations(start_ns), ahead, live=source.info.live) as read,
        Perception(senses, ahead) as perception,
    ):
        for observation in hold(counted(iter(read)), interval_ns):
            if moments := perception.push(observation):
                yield Step(tuple(moments), frames, read.dropped)
        # The header knows how long the stream is, unless the file was cut off.
        moments = perception.finish(None if source.truncated else source.info.duration_ns)
        yield Step(tuple(moments), frames, read.dropped)


class Remembering:
    """Takes the steps of one source into a memory."""

    def __init__(
        self,
        memory: Memory,
        recorder: Recorder,
        duration_ns: int | None,
        *,
        progress: Callable[[Progress], None] | None = None,
        acknowledged: Callable[[Ack], None] | None = None,
    ) -> None:
        """The time of watching counts from here."""
        self._memory = memory
        self._recorder = recorder
        self._duration_ns = duration_ns
        self._progress = progress
        self._acknowledged = acknowledged
        self._started = time.perf_counter()
        self._start_ns = self._end_ns = start_of(recorder)
        self._frames = self._dropped = self._percepts = 0

    def take(self, step: Step) -> None:
        """Remember the next step. Errors: `MnemeError` from the memory; what was acknowledged before stays."""
        self._frames, self._dropped = step.frames, step.dropped
        for moment in step.moments:
            self._note(self._recorder.observe(moment))
            self._end_ns = max(self._end_ns, moment.t_ns)
            if self._progress is not None:
                self._progress(Progress(moment.t_ns, self._duration_ns, self._frames, self._percepts))

    def finish(self) -> Watched:
        """The source has come to its end: close what is open, and say what was done."""
        self._note([self._recorder.finish(self._end_ns)])
        seconds = time.perf_counter() - self._started
        stream = self._recorder.stream.id
        return Watched(
            stream,
            self._end_ns / 1e9,
            self._frames,
            self._recorder.state.events,
            len(self._memory.snapshot().percepts(stream=stream)),
            (self._end_ns - self._start_ns) / 1e9 / max(seconds, 1e-9),
            folder_bytes(self._memory),
            self._dropped,
        )

    def _note(self, acks: list[Ack]) -> None:
        for ack in acks:
            self._percepts += len(ack.percepts)
            if self._acknowledged is not None:
                self._acknowledged(ack)


def start_of(recorder: Recorder) -> int:
    """Where to read the source of a recording from, in nanoseconds: 0, or where one that goes on has to begin anew."""
    return max(0, min(recorder.resume_ns, recorder.state.closed_ns - WARM_NS))


def pictures_ahead(source: Source) -> int:
    """Observations that each queue may hold: fewer where pictures are large, so that memory stays bounded."""
    size = 3 * (source.info.width or 0) * (source.info.height or 0)
    return max(2, min(AHEAD, QUEUE_BYTES // max(size, 1)))


def folder_bytes(memory: Memory) -> int:
    """Bytes of all files of a memory, without the videos that were handed to it (`sources/`)."""
    files = (f for f in memory.root.rglob("*") if f.is_file())
    return sum(f.stat().st_size for f in files if f.relative_to(memory.root).parts[0] != "sources")


def stream_of(source: Source, profile: str) -> Stream:
    """The record of a source as the manifest lists it."""
    return stream_of_info(source.info, profile)


def stream_of_info(info: SourceInfo, profile: str) -> Stream:
    """The same, of what is known of a source before it is read."""
    return Stream(info.stream, printable(info.source), info.digest, profile=profile)


def printable(name: str) -> str:
    """A name with what is not Unicode (bytes of a file name, lone surrogates) replaced."""
    return name.encode("utf-8", "replace").decode("utf-8")
