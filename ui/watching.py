"""Videos that the page was given: watched one after another in a thread, each with how far it is or why it failed.

The writer's lock is taken for as long as one video is watched, so that others may write in between.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import MemoryFormatError, MnemeError
from ..pipeline.mneme import open_memory
from ..pipeline.watch import printable

if TYPE_CHECKING:
    from ..pipeline.watch import Progress

log = logging.getLogger(__name__)

SOURCES = "sources"
"""Folder inside the memory of what was dropped on the page: `sources/<hash of the bytes>/<name>`."""
KEPT = 6
"""Finished videos whose line is still shown."""
LEAVE_S = 20.0
"""Seconds that the end of the page waits for the video that is watched: opening a very long file cannot be stopped."""

State = Literal["waiting", "watching", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """One video that the page was given."""

    number: int
    stream: str
    state: State = "waiting"
    share: float | None = None
    """How much of it was watched, 0 to 1; None where its length is not known."""
    percepts: int = 0
    line: str = ""
    """Of a finished one: what became of it, or the fault and its mend."""


class _Stopped(Exception):
    """The page ends while a video is watched; watching it again goes on from there."""


class Watching:
    """The queue and its thread; `close` ends both and stores what was taken in."""

    def __init__(self, path: Path, config: Path | None = None) -> None:
        """path: the memory's folder; config: a settings file."""
        self.path = path
        self._config = config
        self._jobs: dict[int, Job] = {}
        self._given: queue.Queue[tuple[int, str, str | None] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._count = 0
        self._thread: threading.Thread | None = None

    def add(self, source: str | Path, stream: str | None = None) -> Job:
        """Put a video (a path on this machine) into the queue; `stream` names it, by default the file's name."""
        with self._lock:
            self._count += 1
            name = printable(stream or Path(source).stem or "?")
            job = self._jobs[self._count] = Job(self._count, name)
            for number in [n for n, j in self._jobs.items() if j.state in ("done", "failed")][:-KEPT]:
                del self._jobs[number]
            self._given.put((job.number, str(source), stream))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="page watching", daemon=True)
                self._thread.start()
        return job

    def jobs(self) -> tuple[Job, ...]:
        """Those that wait, are watched, or ended lately; the newest first."""
        with self._lock:
            return tuple(reversed(self._jobs.values()))

    def close(self) -> None:
        """Stop watching, store what was seen so far and give the lock back; a second call does nothing."""
        self._stopping.set()
        self._given.put(None)
        if self._thread is not None:
            self._thread.join(LEAVE_S)

    def _run(self) -> None:
        while (given := self._given.get()) is not None and not self._stopping.is_set():
            number, source, stream = given
            self._note(number, state="watching")
            try:
                self._note(number, state="done", share=1.0, line=self._watch(number, source, stream))
            except _Stopped:
                return
            except MnemeError as error:
                self._note(number, state="failed", line=str(error))
                self._drop(source)
            except Exception:
                log.exception("watching %r", source)
                self._note(number, state="failed", line="it could not be watched; look into the log of mneme page")

    def _watch(self, number: int, source: str, stream: str | None) -> str:
        def progress(seen: Progress) -> None:
            if self._stopping.is_set():
                raise _Stopped
            share = min(1.0, seen.t_ns / seen.duration_ns) if seen.duration_ns else None
            self._note(number, share=share, percepts=seen.percepts)

        with open_memory(self.path, config=self._config) as memory:
            done = memory.watch(source, stream=stream, progress=progress)
        return f"{_count(done.events, 'event')}, {done.realtime_factor:.1f} times as fast as real time"

    def _drop(self, source: str) -> None:
        """A file that was dropped on the page and did not become a stream is not kept."""
        folder = Path(source).parent
        if folder.parent != self.path / SOURCES:
            return
        try:
            with open_memory(self.path, config=self._config) as memory:
                named = {state.stream.source for state in memory.streams()}
        except MemoryFormatError:
            named = set()
        except MnemeError as error:
            log.warning("%s is kept: %s", source, error)
            return
        if source not in named:
            Path(source).unlink(missing_ok=True)
            with suppress(OSError):  # the same bytes may stand there by another name
                folder.rmdir()

    def _note(self, number: int, **latest: object) -> None:
        with self._lock:
            self._jobs[number] = replace(self._jobs[number], **latest)  # type: ignore[arg-type]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
