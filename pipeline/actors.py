"""Watching many files at once: the stages of `watch.py` as Ray actors.

One actor a source decodes it and holds its senses; a pool of actors encodes for all of them (`pool.py`); one actor is
the memory's single writer. What a source perceived goes to the writer by object reference, and a source is at most
`CREDITS` steps ahead of it. A file watched here and one watched in one process leave the same memory.

An encoder that dies is started again by Ray and its calls are made again. A source that dies is started again by the
conductor and goes on from its last closed event. The writer's end is the end of the watch: what was acknowledged stays.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import MnemeError
from ..memory.memory import Ack, Memory, Recorder
from ..memory.settings import MemorySettings
from ..records import NS_PER_S, Lane
from .cluster import settled
from .credits import Credits
from .opening import begin, exists, open_to_write
from .pool import Contents, PooledProfile
from .senses import senses_of
from .sources import SourceInfo, SourceSettings, open_source
from .watch import Progress, Remembering, Step, Watched, perceived, start_of

CREDITS = 16
"""Steps (about a picture each) that a source may be ahead of the writer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A source that is to be watched, and how."""

    source: str
    stream: str
    lanes: tuple[Lane, ...]
    settings: SourceSettings
    subtitles: Path | None = None
    words: bool = True
    """Whether subtitles, where there are some, are what is spoken."""
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Which attempt at which stream: what comes late from an attempt that died is not taken for the next one's."""

    stream: str
    attempt: int


@dataclass(frozen=True, slots=True)
class News:
    """What has happened since the writer was last asked."""

    acks: tuple[tuple[str, Ack], ...]
    progress: tuple[tuple[str, Progress], ...]
    """The latest of each stream."""
    warnings: tuple[str, ...]


class SourceActor:
    """The body of a source actor: reads and perceives a source at a time, and sends what it perceived to the writer."""

    def __init__(self, contents: Contents, memory: Any) -> None:
        import cv2

        cv2.setNumThreads(1)  # the streams share the cores, not the pictures
        self._contents = contents
        self._memory = memory
        self._warnings = Warnings()

    def watch(self, request: Request, attempt: int, encoder: Any) -> Watched:
        """Watches to the end. Errors: `SourceError` from the source, `MnemeError` from the memory."""
        from ray import put
        from ray.exceptions import RayActorError

        run, profile = Run(request.stream, attempt), PooledProfile(encoder, self._contents)
        try:
            source = open_source(
                request.source, stream=request.stream, subtitles=request.subtitles, settings=request.settings
            )
            with closing(source):
                start_ns = settled(self._memory.begin.remote(run, source.info, request.replace))
                interval_ns = round(NS_PER_S / request.settings.fps)
                senses = senses_of(source.info, profile, request.lanes, interval_ns, words=request.words)
                credits = Credits[Any](CREDITS, settled)
                with closing(perceived(source, senses, interval_ns, start_ns)) as steps:
                    for step in steps:
                        credits.spend(partial(self._memory.take.remote, run, put(step)))
                credits.settle()
                done: Watched = settled(self._memory.finish.remote(run))
                return done
        except RayActorError as error:
            raise MnemeError("the actor that writes the memory ended", GO_ON) from error
        finally:
            self._memory.release.remote(run, self._warnings.take())


GO_ON = "run the same command again: it goes on from the last closed event of each file"


class MemoryActor:
    """The body of the memory actor: the single writer. It holds the lock and the recorders, and commits."""

    def __init__(self, path: Path, contents: Contents, settings: MemorySettings) -> None:
        self._path = path
        self._contents = contents
        self._settings = settings
        self._memory: Memory | None = None
        self._begun: dict[str, tuple[Run, SourceInfo, Recorder, Remembering]] = {}
        self._warnings = Warnings()
        self._acks: list[tuple[str, Ack]] = []
        self._progress: dict[str, Progress] = {}
        self._told: list[str] = []

    def open(self) -> None:
        """Takes the writer's lock, where there is a memory; one that is not there is made when a source begins.

        Errors: `LockedError`, `MemoryFormatError`.
        """
        if exists(self._path):
            self._memory = self._open()

    def begin(self, run: Run, info: SourceInfo, anew: bool) -> int:
        """A stream begins, or goes on: where to read it from, nanoseconds."""
        before = self._begun.get(run.stream)
        if before is not None and before[0].attempt > run.attempt:
            raise MnemeError(f"an earlier attempt at {info.source} came too late", GO_ON)
        self._release(run.stream)
        for other, of, _, _ in self._begun.values():
            if of.digest == info.digest:
                raise MnemeError(
                    f"{info.source} holds the same as {of.source}", f"it is remembered once, as {other.stream!r}"
                )
        self._memory = self._memory or self._open()
        recorder = begin(self._memory, info, self._contents.profile, replace=anew)
        remembering = Remembering(
            self._memory,
            recorder,
            info.duration_ns,
            progress=partial(self._progress.__setitem__, run.stream),
            acknowledged=lambda ack: self._acks.append((run.stream, ack)),
        )
        self._begun[run.stream] = run, info, recorder, remembering
        return start_of(recorder)

    def take(self, run: Run, step: Step) -> None:
        """The next step of a run; of one that is over, nothing."""
        begun = self._begun.get(run.stream)
        if begun is not None and begun[0] == run:
            begun[3].take(step)

    def finish(self, run: Run) -> Watched:
        """The source has come to its end."""
        return self._begun.pop(run.stream)[3].finish()

    def release(self, run: Run, warnings: tuple[str, ...]) -> None:
        """The run is over, whole or not: stores what was taken up of it."""
        self._told += warnings
        if run.stream in self._begun and self._begun[run.stream][0] == run:
            self._release(run.stream)

    def news(self) -> News:
        """What has happened since the last call."""
        news = News(tuple(self._acks), tuple(self._progress.items()), tuple(self._told) + self._warnings.take())
        self._acks, self._told = [], []
        self._progress.clear()
        return news

    def close(self) -> None:
        """Stores what was taken up and gives the lock back."""
        self._begun.clear()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _open(self) -> Memory:
        return open_to_write(self._path, self._contents.profile, self._contents.spaces, self._settings)

    def _release(self, stream: str) -> None:
        begun = self._begun.pop(stream, None)
        if begun is not None and self._memory is not None:
            self._memory.release(begun[2])


class Warnings(logging.Handler):
    """Keeps what is logged in an actor, whose standard error nobody sees, for the conductor to log again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        logging.getLogger(__name__.split(".", maxsplit=1)[0]).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def take(self) -> tuple[str, ...]:
        """The lines since the last call."""
        lines, self._lines = tuple(self._lines), []
        return lines
