"""Watching many files with a pool of workers: starts the actors, hands out the sources, starts again what died."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..config import load, read_file
from ..encoders.profiles import make_profile
from ..errors import LockedError, MnemeError, SettingsError
from ..memory.lock import holder_of, is_held
from ..memory.memory import Ack
from ..memory.settings import MemorySettings
from ..records import Lane
from .actors import GO_ON, MemoryActor, News, Request, SourceActor
from .cluster import cluster, settled
from .opening import chosen_profile, wanted_lanes
from .pool import EncoderActor
from .sources import SourceSettings
from .watch import Progress, Watched, printable

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""A source whose actor died so often is given up: something in it kills whoever reads it."""
POLL_S = 0.2
"""How often the writer is asked what has happened."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that could not be watched to its end, and why."""

    source: str
    stream: str
    error: MnemeError


def watch_many(
    sources: Sequence[str],
    path: Path,
    workers: int = 2,
    *,
    profile: str | None = None,
    stream: str | None = None,
    fps: float | None = None,
    subtitles: Path | None = None,
    words: bool = True,
    lanes: Sequence[Lane] | None = None,
    replace: bool = False,
    config: Path | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    acknowledged: Callable[[str, Ack], None] | None = None,
    notice: Callable[[str], None] | None = None,
    verbose: bool = False,
) -> list[Watched | Failed]:
    """Watch files into the memory at `path`, up to two a worker at a time; what became of each, in their order.

    workers: encoder actors. stream, subtitles: of one source only; several are named by their files, and take the
    subtitles that stand beside or inside each. words: whether subtitles are what is spoken. progress, acknowledged:
    called in this thread with the stream's name. notice: a line for people while there is nothing else to show.

    Errors, before anything is watched: `SettingsError` of settings and names that clash, `LockedError`,
    `MissingError` without Ray. A source that fails does so alone.
    """
    requests = requests_of(
        sources,
        stream=stream,
        fps=fps,
        subtitles=subtitles,
        words=words,
        lanes=lanes,
        replace=replace,
        settings=load("watch", SourceSettings, read_file(config)),
    )
    if workers < 1:
        raise SettingsError(f"{workers} workers watch nothing", "give 1 or more")
    path = path.absolute()
    chosen = chosen_profile(path, profile, read_file(config))
    make_profile(chosen, config)  # refuses an unknown one; loads nothing yet
    if is_held(path):  # told at once; the memory actor takes the lock
        raise LockedError(f"{path} is being written by {holder_of(path)}", "wait for it or end it")
    say = notice or (lambda _line: None)
    started = time.perf_counter()
    say(f"starting {workers} workers")
    with (
        cluster(verbose=verbose) as ray,
        Crew(ray, path, chosen, workers, load("memory", MemorySettings, read_file(config))) as crew,
    ):
        say(f"{workers} workers ready in {time.perf_counter() - started:.1f} s")
        return crew.watch(requests, progress=progress, acknowledged=acknowledged)


def requests_of(
    sources: Sequence[str],
    *,
    settings: SourceSettings,
    stream: str | None = None,
    fps: float | None = None,
    subtitles: Path | None = None,
    words: bool = True,
    lanes: Sequence[Lane] | None = None,
    replace: bool = False,
) -> list[Request]:
    """One request a source. Errors: `SettingsError` where two would have one name, and of what only one can have."""
    from dataclasses import replace as changed

    if len(sources) > 1 and (stream is not None or subtitles is not None):
        option = "--stream" if stream is not None else "--subtitles"
        raise SettingsError(f"{option} is of one source, and there are several", "watch them one at a time")
    chosen, read = wanted_lanes(lanes), settings if fps is None else changed(settings, fps=fps)
    names: dict[str, str] = {}
    for source in sources:
        name = printable(stream or Path(source).stem)
        if name in names:
            raise SettingsError(
                f"{names[name]} and {source} would both be remembered as {name!r}",
                "watch one of them alone, with --stream",
            )
        names[name] = source
    beside = None if subtitles is None else subtitles.absolute()
    return [Request(_anywhere(source), name, chosen, read, beside, words, replace) for name, source in names.items()]


def _anywhere(source: str) -> str:
    """The same source for an actor, whose working folder is another."""
    return source if "://" in source or source.isdigit() else str(Path(source).expanduser().absolute())


class Crew:
    """The actors of one watch. `encoders` and `memory` are their handles."""

    def __init__(self, ray: Any, path: Path, profile: str, workers: int, settings: MemorySettings) -> None:
        """Starts them. Errors: `LockedError`, `MemoryFormatError`."""
        self._ray = ray
        # Actors claim no CPUs: there are more of them than cores, and each is mostly waiting for another.
        encoder = ray.remote(EncoderActor).options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
        self.encoders = [encoder.remote(profile) for _ in range(workers)]
        self._contents = settled(self.encoders[0].contents.remote())
        self.memory = ray.remote(MemoryActor).options(num_cpus=0).remote(path, self._contents, settings)
        self._source = ray.remote(SourceActor).options(num_cpus=0)
        self._idle: list[Any] = []
        """Source actors that have watched one source and can watch another."""
        try:
            settled(self.memory.open.remote())
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stores what was taken up, however it ends."""
        try:
            settled(self.memory.close.remote())
        except self._ray.exceptions.RayActorError:
            log.debug("the memory actor had ended before it was closed")
        finally:
            self._end()

    def watch(
        self,
        requests: Sequence[Request],
        *,
        progress: Callable[[str, Progress], None] | None = None,
        acknowledged: Callable[[str, Ack], None] | None = None,
    ) -> list[Watched | Failed]:
        """What became of each request, in their order."""
        waiting = deque(_Watch(number, request) for number, request in enumerate(requests))
        running: dict[Any, _Watch] = {}
        results: dict[int, Watched | Failed] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * len(self.encoders):
                    watch = waiting.popleft()
                    running[self._start(watch, list(running.values()))] = watch
                ended, _ = self._ray.wait(list(running), timeout=POLL_S)
                _tell(self._news(), progress, acknowledged)
                for reference in ended:
                    watch = running.pop(reference)
                    if (result := self._result(reference, watch)) is None:
                        waiting.appendleft(watch)
                    else:
                        results[watch.number] = result
            _tell(self._news(), progress, acknowledged)
        finally:
            for watch in running.values():
                self._ray.kill(watch.actor)
        return [results[number] for number in range(len(requests))]

    def _start(self, watch: _Watch, beside: Sequence[_Watch]) -> Any:
        """Starts an actor for the source, with the encoder that the fewest use; the reference of its result."""
        used = [other.encoder for other in beside]
        watch.encoder = min(range(len(self.encoders)), key=used.count)
        watch.attempt += 1
        watch.actor = self._idle.pop() if self._idle else self._source.remote(self._contents, self.memory)
        return watch.actor.watch.remote(watch.request, watch.attempt, self.encoders[watch.encoder])

    def _result(self, reference: Any, watch: _Watch) -> Watched | Failed | None:
        """What became of an attempt; None: its actor died, and it is worth another."""
        source, stream = watch.request.source, watch.request.stream
        result: Watched | Failed
        try:
            result = settled(reference)
        except MnemeError as error:
            result = Failed(source, stream, error)
        except self._ray.exceptions.RayActorError:
            self._ray.kill(watch.actor)  # it may only be out of reach
            if watch.attempt < ATTEMPTS:
                log.warning("the actor that watched %s ended; it goes on in a new one", source)
                return None
            fault = f"the actor that watched {source} ended {ATTEMPTS} times"
            return Failed(source, stream, MnemeError(fault, "see whether the file plays"))
        self._idle.append(watch.actor)
        return result

    def _news(self) -> News:
        try:
            news: News = settled(self.memory.news.remote())
        except self._ray.exceptions.RayActorError as error:
            raise MnemeError("the actor that writes the memory ended", GO_ON) from error
        return news

    def _end(self) -> None:
        for actor in (*self._idle, *self.encoders, self.memory):
            self._ray.kill(actor)


@dataclass(slots=True, eq=False)
class _Watch:
    """A request, and the actor that is at work on it."""

    number: int
    request: Request
    attempt: int = 0
    encoder: int = 0
    actor: Any = None


def _tell(
    news: News, progress: Callable[[str, Progress], None] | None, acknowledged: Callable[[str, Ack], None] | None
) -> None:
    if acknowledged is not None:
        for stream, ack in news.acks:
            acknowledged(stream, ack)
    if progress is not None:
        for stream, made in news.progress:
            progress(stream, made)
    for line in news.warnings:
        log.warning("%s", line)
