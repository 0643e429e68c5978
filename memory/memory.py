"""A memory: the folder as one thing that is created, opened, recorded into, read and checked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar

from ..errors import MemoryFormatError, MnemeError
from ..records import Event, Percept, Place, Space, Stream, to_ns
from . import intake, manifest, naming, pictures, recall_log, tables, token_state
from .as_of import AsOf
from .boundaries import Boundaries, make_boundaries
from .check import Report, check
from .correction import correct, stream_of
from .episodic import ExtractiveSummariser, Summariser
from .faults import is_vanished, mended
from .forget import Receipt, forget
from .latest import Latest
from .ledger import StreamState
from .lock import WriterLock
from .longterm import longterm_of
from .manifest import Manifest
from .pace import Pace
from .recorder import Ack, Recorder
from .repair import Repaired, repair
from .settings import MemorySettings
from .sleep import Sleeper, Slept, make_room, sleep
from .spatial import PlaceSettings
from .store import StoredSnapshot, connect
from .strength import check_law
from .target import Target
from .usage import PRESSING
from .writer import Writer

_log = logging.getLogger(__name__)
_TRIES = 5
_STEP = 0.02
"""Share of the budget that is used up before a memory that stays full sleeps again."""
_PATIENCE_S = 30.0
"""How long closing waits for a sleep that was asked to stop; after that nothing of it is stored any more."""
T = TypeVar("T")

__all__ = ["Ack", "Memory", "Receipt", "Recorder", "Report"]


class Memory:
    """Open for reading (any number at a time, beside a writer too) or for writing (one at a time).

    Threads may share it. Whoever needs more than one of its locks takes them in this order: the memory's own
    (`_changing`), the turns of recorders, the writer's.
    """

    def __init__(
        self,
        root: Path,
        settings: MemorySettings,
        lock: WriterLock | None,
        writer: Writer | None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Use `create` or `open`."""
        self.root = root
        self._clock = clock
        self._settings = settings
        self._lock = lock
        self._writer = writer
        self._database = writer.database if writer else connect(root)
        self._latest = Latest(root, self._database)
        self._sleeping = threading.Lock()
        self._closing = threading.Event()
        self._changing = threading.RLock()
        """Of those that begin, end or change recordings from outside: one at a time."""
        self._pressed_at = 0.0
        self._sleeper: Sleeper | None = None
        self._broom = pictures.Broom()
        if writer is not None:
            check_law(settings.law)
            writer.pressed = lambda: self._make_room(self._closing.is_set)
            if settings.sleep_every_s > 0:
                self._sleeper = Sleeper(lambda stopped: self.sleep(stopped=stopped), settings.sleep_every_s)
        self._recorders: dict[str, Recorder] = {}
        """By stream: those whose stream has not ended."""
        self._pace = Pace(to_ns(settings.commit_every_s))

    @classmethod
    def create(
        cls,
        path: Path | str,
        profile: str,
        spaces: Sequence[Space],
        *,
        settings: MemorySettings | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> Memory:
        """Makes a memory in a new or empty folder and opens it for writing.

        clock: wall-clock nanoseconds since 1970, for the ledger. Raises `MemoryFormatError` where something else
        stands at `path`, `LockedError` where another process makes one there, `MnemeError` where it cannot be written.
        """
        root = Path(path).absolute()
        with mended("creating a memory at", root):
            manifest.refuse_foreign(root)
            tables.check_spaces(spaces)
            root.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(root, clock())
            try:
                manifest.refuse_foreign(root)
                manifest.write(root, Manifest(profile, tuple(spaces)))
            except BaseException:
                lock.release()
                raise
            return cls._writing(root, lock, settings or MemorySettings(), clock)

    @classmethod
    def open(
        cls,
        path: Path | str,
        mode: Literal["r", "w"] = "r",
        *,
        settings: MemorySettings | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> Memory:
        """Opens a memory. Writing recovers it first, where the last writer died within a commit.

        Raises `MemoryFormatError` of a folder that is not one or of another version, `LockedError` of a second writer.
        """
        root = Path(path).absolute()
        with mended("opening", root):
            manifest.read(root)
            if mode == "r":
                return cls(root, settings or MemorySettings(), None, None, clock)
            return cls._writing(root, WriterLock(root, clock()), settings or MemorySettings(), clock)

    @classmethod
    def _writing(cls, root: Path, lock: WriterLock, settings: MemorySettings, clock: Callable[[], int]) -> Memory:
        try:
            return cls(root, settings, lock, Writer(root, settings, clock), clock)
        except BaseException:
            lock.release()
            raise

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands on the disk."""
        return manifest.read(self.root)

    @property
    def recorders(self) -> list[Recorder]:
        """Those whose stream has not ended."""
        return list(self._recorders.values())

    def recorder(
        self,
        stream: Stream,
        *,
        replace: bool = False,
        boundaries: Boundaries | None = None,
        summarise: Summariser | None = None,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> Recorder:
        """A recorder for the stream: fresh, or going on where an interrupted one left off.

        replace: record it anew; what the memory holds of a stream of that name stays what readers see until the new
        one has ended, and goes in that commit. What is acknowledged until then is durable: after an interruption the
        same call goes on from it, one with another source (digest) throws it away.
        boundaries: by default those that the settings name. monotonic: nanoseconds, for the pace
        of commits; one clock for all recorders of a memory.

        Raises `MnemeError` of a stream that was watched already, that another source began, or that has a recorder.
        """
        intake.refuse_unreadable(stream)
        with self._changing:
            writer = self._written()
            self._refuse(stream, replace, writer)
            from ..operators.separate import Separator  # brings torch, which reading has no use for

            kept = self._settings
            places = PlaceSettings(kept.place_radius_m, kept.place_likeness, kept.places)
            with writer.alone():  # sleep and others change what it begins from
                recorder = Recorder(
                    writer,
                    stream,
                    pace=self._pace,
                    monotonic_ns=monotonic,
                    boundaries=boundaries or make_boundaries(kept),
                    separator=lambda: Separator(kept.separation),
                    summarise=summarise or ExtractiveSummariser(kept.gist_chars),
                    places=places,
                    longterm=longterm_of(kept),
                    replacing=replace,
                    ended=lambda: self._recorders.pop(stream.id, None),
                )
            self._recorders[stream.id] = recorder
        return recorder

    def _refuse(self, stream: Stream, replace: bool, writer: Writer) -> None:
        """The errors of `recorder`."""
        recorded = stream.id in self._recorders  # looked for first: one that ends meanwhile is done by then
        if stream.profile != writer.manifest.profile:
            raise MemoryFormatError(
                f"{self.root} was made with profile {writer.manifest.profile!r}, not {stream.profile!r}",
                "open it with its own profile or re-encode it (mneme reencode)",
            )
        if any(span.whole for span in writer.erased(stream)):
            raise MnemeError(
                f"what {stream.source} shows was erased from this memory on request", "watch it into another one"
            )
        known = writer.streams.get(stream.id)
        if known is not None and not replace:
            if known.done:
                raise MnemeError(f"stream {stream.id!r} was watched already", "replace it or give another name")
            if known.stream.digest != stream.digest:
                raise MnemeError(
                    f"stream {stream.id!r} was begun from another source ({known.stream.source})",
                    "replace it or give another name",
                )
        if recorded:
            raise MnemeError(f"stream {stream.id!r} is being recorded", "finish or release that recorder first")

    def release(self, recorder: Recorder) -> None:
        """Lets go of a recorder whose stream will not be recorded to its end now; another one may go on with it.

        Stores what it has taken up; where that fails a warning is logged, and going on perceives it again. Does
        nothing with a recorder whose stream has ended, or that was released already.
        """
        name = recorder.stream.id
        with self._changing:
            if self._recorders.get(name) is not recorder:
                return
            try:
                recorder.flush()
            except MnemeError as error:
                _log.warning("what was seen last of stream %r is not stored and will be seen again: %s", name, error)
            finally:
                recorder.release()
                self._recorders.pop(name, None)

    def adopt(
        self,
        state: StreamState,
        percepts: Sequence[tuple[Percept, bytes | None]],
        events: Sequence[Event] = (),
        places: Sequence[Place] = (),
    ) -> None:
        """Stores rows of a stream that another memory recorded, as they are: percepts, each with its JPEG, and others.

        Durable on return. For a memory that is being made; what is adopted is not separated or cut again. Raises
        `MnemeError` of a memory that is open for reading, or where it cannot be stored.
        """
        self._written().commit("observe", percepts, events, token_state.unnamed(state), places=places)

    def forget(
        self,
        *,
        stream: str | None = None,
        t0_ns: int | None = None,
        t1_ns: int | None = None,
        event: str | None = None,
        place: str | None = None,
        text: str | None = None,
        summarise: Summariser | None = None,
    ) -> Receipt:
        """Erases a stream (or a span of it), an event, a place or words: one of them, in every tier and old version.

        See `target.Target` for what each means and `forget.forget` for what it does. Percepts that are held by
        recorders go too. Raises `MnemeError` of a memory that is open for reading, and where there is nothing of it.
        """
        intake.refuse_unreadable_request(t0_ns, t1_ns, stream, event, place, text)
        target = Target(stream, t0_ns, t1_ns, event, place, text)
        summarise = summarise or ExtractiveSummariser(self._settings.gist_chars)
        with self._changing:  # who begins to record reads either all of it or nothing
            return forget(target, self._written(), self.recorders, summarise)

    def correct(
        self,
        event: str,
        at_ns: int | None = None,
        *,
        with_next: bool = True,
        summarise: Summariser | None = None,
    ) -> tuple[Event, ...]:
        """Says where an event ends: splits it at a time, or (None) makes it and the one after it (or before it) one.

        The events that came of it; later ones of the stream get other ids. Durable, and honoured whenever the same
        source is watched again. Raises `MnemeError` of a memory that is open for reading, of an event that is not
        known, of a stream that is being recorded or replaced, where no event is beside it, and of a time outside it.
        """
        summarise = summarise or ExtractiveSummariser(self._settings.gist_chars)
        with self._changing, (writer := self._written()).alone():  # no recorder begins meanwhile
            stream = stream_of(self.snapshot(), event)
            if stream in self._recorders:
                raise MnemeError(f"stream {stream!r} is being recorded", "correct it when it has ended or was released")
            return correct(writer, event, at_ns, with_next, summarise, longterm_of(self._settings))

    def name_place(self, place: str, name: str) -> Place:
        """Gives a place (by its id, its key or its name) a name that a person chose; "": takes it away. Durable.

        Watching the stream anew keeps it. Raises `MnemeError` of a memory that is open for reading, of a place that is
        not known or not one alone, and of what is no name.
        """
        with self._changing, ExitStack() as still:  # what a recorder stores meanwhile would have the old name
            writer = self._written()
            for recorder in self.recorders:
                still.enter_context(recorder.held())
            still.enter_context(writer.alone())
            named, changes = naming.named(self.snapshot(), place, name)
            writer.apply("name", changes)
            own = self._recorders.get(named.stream)
            if own is not None:
                own.rename(named)
        return named

    def snapshot(self, as_of: AsOf | None = None) -> StoredSnapshot:
        """The memory as it stands at its latest commit, or stood then; `MnemeError` of a past that is not kept."""
        return self._latest.get() if as_of is None else StoredSnapshot(self.root, self._database, as_of)

    def reading(self, read: Callable[[StoredSnapshot], T], as_of: AsOf | None = None) -> T:
        """What `read` makes of a snapshot; of a later one, made anew, where its files went away meanwhile.

        Nobody waits for readers: sleep that needs the room and erasure remove old versions at once. What `read` gives
        is of one snapshot alone.
        """
        for _ in range(_TRIES):
            try:
                return read(self.snapshot(as_of))
            except MnemeError as error:
                if error.__cause__ is None or not is_vanished(error.__cause__):
                    raise
                self._latest.drop()
        return read(self.snapshot(as_of))

    def recalled(self, ids: Iterable[str]) -> None:
        """Notes that an answer rests on these percepts and events, which renews them in sleep; never fails."""
        recall_log.append(self.root, ids, self._clock())

    def sleep(
        self,
        summarise: Summariser | None = None,
        *,
        budget_mb: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Slept:
        """Consolidates and, where there is a budget, forgets what has no room; what that came to.

        Beside recorders and readers, from any thread: nobody waits but for single commits. summarise: puts gists into
        a few words, by default their own. budget_mb: instead of the settings', this once. stopped: asked between
        steps. Raises `MnemeError` of a memory that is open for reading or closed meanwhile, or where the disk fails.
        """
        settings = self._settings if budget_mb is None else replace(self._settings, budget_mb=budget_mb)

        def shall_stop() -> bool:
            return self._closing.is_set() or stopped()

        with self._sleeping:
            writer, idle = self._written(), not self._recorders
            words = None if summarise is None else self._until_closed(summarise)
            with mended("sweeping", self.root):
                pictures.sweep(writer)
            return sleep(writer, settings, self._clock(), words, idle=idle, stopped=shall_stop)

    def _until_closed(self, summarise: Summariser) -> Summariser:
        """The summariser, which may take its time over each of many texts; none is begun once the memory closes."""

        def asked(percepts: Sequence[Percept]) -> str:
            self._written()
            return summarise(percepts)

        return asked

    def _written(self) -> Writer:
        """The writer; `MnemeError` of a memory that is open for reading, or that is closed or about to be."""
        writer = self._writer
        if self._closing.is_set():
            raise MnemeError(f"{self.root} was closed", "open it again")
        if writer is None:
            raise MnemeError(f"{self.root} is open for reading", 'open it with mode "w"')
        return writer

    def _make_room(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Forgets because the budget presses, unless somebody sleeps; not again before some of it was used up."""
        budget = (self._settings.budget_mb or 0) * 1e6
        if self._writer is None or self._writer.gauge is None or not self._sleeping.acquire(blocking=False):
            return
        try:
            if self._writer.gauge.usage.peak > max(self._pressed_at, PRESSING * budget):
                make_room(self._writer, self._settings, self._clock(), remove=self._broom.take, stopped=stopped)
                self._pressed_at = self._writer.gauge.usage.peak + _STEP * budget
        finally:
            self._sleeping.release()

    def check(self) -> Report:
        """Whether what is stored is what the format promises."""
        return check(self.snapshot())

    def repair(self) -> Repaired:
        """Mends what `check` finds and can be mended. Raises `MnemeError` of a memory that is open for reading."""
        return repair(self._written())

    def close(self) -> None:
        """Stores what recorders have taken up, compacts for the readers to come, gives the lock back.

        From any thread: a sleep is asked to stop and waited for, and nothing that another thread is about commits once
        the lock was given back; that thread gets a `MnemeError`. A second call does nothing. Raises `MnemeError` where
        something could not be stored.
        """
        self._closing.set()
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.stop()
        if self._sleeping.acquire(timeout=_PATIENCE_S):
            self._sleeping.release()
        else:
            _log.warning("%s is closed before it has slept; what the sleep was about is not stored", self.root)
        with self._changing:
            if self._writer is not None:
                self._close(self._writer)

    def _close(self, writer: Writer) -> None:
        try:
            for recorder in self.recorders:
                recorder.flush()
            writer.tidy()
            self._make_room()
        finally:
            for recorder in self.recorders:
                recorder.release()
            self._recorders.clear()
            self._broom.close()
            writer.close(self._lock.release if self._lock is not None else lambda: None)
            self._writer = self._lock = None

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
