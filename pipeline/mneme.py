"""The face: a memory with perception and reasoning around it. It only delegates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ..config import load, read_file
from ..encoders.profiles import Embedded, make_profile
from ..errors import MnemeError
from ..memory.as_of import AsOf
from ..memory.boundaries import Boundaries, make_boundaries
from ..memory.ledger import StreamState
from ..memory.memory import Ack, Memory, Receipt, Recorder, Report
from ..memory.settings import MemorySettings
from ..memory.sleep import Slept
from ..memory.snapshot import Snapshot
from ..memory.timeline import Stretch, timeline
from ..records import NS_PER_S, Answer, Event, Lane, MemoryTokens, Observation, Picture, Place, Stream, to_ns
from .ask import Faculties, ask
from .evidence import ReasonSettings
from .opening import begin, chosen_profile, exists, open_to_write, wanted_lanes
from .perceive import Perception, Senses
from .picture import read_picture
from .places import Listed, listed
from .readers import Readers
from .reason import Reasoner, make_reasoner
from .senses import DEFAULT_LANES, senses_of, senses_of_observations
from .sight import sight_of
from .sighting import read_words
from .sources import SourceSettings, open_source
from .token_reader import TokenReader
from .watch import Progress, Watched, printable, watch
from .words import stem


def open_memory(path: str | Path, profile: str | None = None, *, config: Path | None = None) -> Mneme:
    """Open the memory in the folder `path`; one that is not there yet is created when something is first watched.

    `profile` matters only then (`auto`, or a name of `encoders.profiles`); afterwards the memory's own is used, and
    asking for another is an error. `config`: a settings file. Errors: `MemoryFormatError`, `SettingsError`.
    """
    return Mneme(Path(path), profile, read_file(config), config)


class Mneme:
    """One memory. Reading needs no lock; the first `watch` or `observe` takes the writer's, `close` gives it back."""

    def __init__(
        self, path: Path, profile: str | None, settings: Mapping[str, Any], config: Path | None = None
    ) -> None:
        """settings: what stands in the file `config`, or in the one that is found without."""
        self.path = path.absolute()
        self._settings = settings
        self._config = config
        self._wanted = profile
        self._memory: Memory | None = None
        self._writing = False
        self._profile: Embedded | None = None
        self._observed: dict[str, tuple[Perception, Recorder]] = {}
        self._reasoners: dict[str, Reasoner] = {}
        self._tokens = TokenReader()
        self._readers = Readers()
        self._changing = threading.RLock()
        """Of those that record, forget, or take or give back the writer's lock: one at a time. Taken before `_lock`."""
        self._lock = threading.RLock()
        """Of the fields above, for moments: who asks waits for nothing else."""
        self._memory_settings = load("memory", MemorySettings, settings)
        self._source_settings = load("watch", SourceSettings, settings)
        self._reason_settings = load("ask", ReasonSettings, settings)
        if exists(self.path):
            self._reader()

    def watch(
        self,
        source: str | Path,
        subtitles: str | Path | Literal[False] | None = None,
        stream: str | None = None,
        fps: float | None = None,
        *,
        lanes: Sequence[Lane] | None = None,
        replace: bool = False,
        progress: Callable[[Progress], None] | None = None,
        acknowledged: Callable[[Ack], None] | None = None,
    ) -> Watched:
        """Watch a file to its end and remember it.

        `subtitles`: an .srt or .vtt file; None: what stands beside or inside the file; False: none, words come from
        the sound. `stream`: the name to remember it by (default: the file's name without its ending). `fps`: pictures
        a second. `lanes`: perceive only these. `replace`: forget an earlier stream of that name. An interrupted watch
        of the same file goes on from its last closed event. Errors: `SourceError`, `LockedError`, `MnemeError`.
        """
        wanted = wanted_lanes(lanes)
        opened = open_source(
            source,
            stream=printable(stream or Path(source).stem),
            fps=fps,
            subtitles=Path(subtitles) if subtitles else None,
            settings=self._source_settings,
        )
        try:
            memory = self._writer()
            recorder = begin(memory, opened.info, self.profile.name, replace=replace)
            interval_ns = round(NS_PER_S / (fps or self._source_settings.fps))
            try:
                senses = senses_of(opened.info, self.profile, wanted, interval_ns, words=subtitles is not False)
                return watch(
                    opened, memory, recorder, senses, interval_ns, progress=progress, acknowledged=acknowledged
                )
            finally:
                memory.release(recorder)
        finally:
            opened.close()

    def observe(self, observation: Observation) -> list[Ack]:
        """Take one observation of a live stream; the commits that it brought about.

        Observations of a stream come in order of time. What is still open (an utterance, a caption) is stored by
        `close`, which leaves the stream open: it may go on later.
        """
        with self._changing:
            if observation.stream not in self._observed:
                senses, recorder = self.record(observation.stream)
                self._observed[observation.stream] = (Perception(senses), recorder)
            perception, recorder = self._observed[observation.stream]
            return [ack for moment in perception.push(observation) for ack in recorder.observe(moment)]

    def hold(self) -> None:
        """Take the writer's lock now, and make the memory where there is none. Errors: as `watch`."""
        self._writer()

    @property
    def interval_ns(self) -> int:
        """Time between two pictures of a stream that are looked at."""
        return round(NS_PER_S / self._source_settings.fps)

    def record(
        self,
        stream: str,
        lanes: Sequence[Lane] = DEFAULT_LANES,
        *,
        source: str = "observed",
        epoch_ns: int = 0,
        boundaries: Boundaries | None = None,
    ) -> tuple[Senses, Recorder]:
        """The senses and the recorder of a live stream, to be driven by one thread (`live.Live` does) and released.

        epoch_ns: wall-clock time of the stream's zero, or 0; a known stream keeps its own. Recorders of several
        streams may be used at a time. Errors: `LockedError`, `MnemeError` of a stream that has ended or is being
        recorded.
        """
        with self._changing:
            memory = self._writer()
            known = self.known(stream)
            if known is not None:
                epoch_ns = known.stream.epoch_ns or epoch_ns
            entry = Stream(stream, source, "", epoch_ns, self.profile.name)
            senses = senses_of_observations(stream, self.profile, lanes, self.interval_ns)
            return senses, memory.recorder(entry, boundaries=boundaries)

    def boundaries(self, change_lag: int = 0) -> Boundaries:
        """What closes the events of a stream, by the settings. change_lag: `operators.segment.BoundarySettings`."""
        return make_boundaries(self._memory_settings, change_lag)

    def release(self, recorder: Recorder) -> None:
        """Let go of a recorder that `record` gave: stores what it has taken up; the stream may go on later."""
        with self._changing:
            if self._memory is not None:
                self._memory.release(recorder)

    def known(self, stream: str) -> StreamState | None:
        """How far a stream is remembered, as of the last commit; None where there is none of that name."""
        return next((state for state in self.streams() if state.stream.id == stream), None)

    def streams(self) -> list[StreamState]:
        """The streams of the memory, by name."""
        return self._reader().snapshot().streams()

    def ask(
        self,
        question: str,
        image: str | Path | Picture | None = None,
        stream: str | None = None,
        reasoner: str = "extractive",
        as_of: AsOf | str | None = None,
    ) -> Answer:
        """Answer a question, with the spans that the answer rests on.

        `image`: a picture (a path, or uint8[H, W, 3]) that the question is about. `stream`: look only in this one.
        `as_of`: what the memory knew then (an `AsOf`, or as a person writes it: `#12`, a date and time, `12:30`).
        Errors: `QuestionError`, `MemoryFormatError` where there is no memory, `MnemeError` for an unknown stream.
        """
        picture = read_picture(image) if isinstance(image, str | Path) else image
        memory = self._reader()
        moment = AsOf.read(as_of, stream) if isinstance(as_of, str) else as_of

        def answer(snapshot: Snapshot) -> Answer:
            self._refuse_unknown(snapshot, stream)
            return ask(
                question,
                snapshot,
                faculties,
                reasoning,
                self._reason_settings,
                image=picture,
                stream=stream,
                root=self.path,
            )

        with self._readers.one():
            with self._lock:  # a reasoner knows what it was asked about last: `forget` lets go of it
                if reasoner not in self._reasoners:
                    self._reasoners[reasoner] = make_reasoner(reasoner, self._settings)
                reasoning = self._reasoners[reasoner]
            profile = self.profile
            faculties = Faculties(profile.text, lambda: profile.ear, lambda: sight_of(profile))
            answered = memory.reading(answer, moment)
            memory.recalled(evidence.source for evidence in answered.evidence)
        return answered

    def events(self, stream: str | None = None) -> list[Event]:
        """The closed events, in order of stream and time."""
        memory = self._reader()

        def closed(snapshot: Snapshot) -> list[Event]:
            self._refuse_unknown(snapshot, stream)
            return snapshot.events(stream)

        with self._readers.one():
            return memory.reading(closed)

    def timeline(self, stream: str | None = None) -> list[Stretch]:
        """The streams in two levels: stretches with their summaries, and the closed events under each."""
        snapshot = self._reader().snapshot()
        self._refuse_unknown(snapshot, stream)
        return timeline(snapshot, self._memory_settings, stream)

    def sleep(self, budget_mb: float | None = None) -> Slept:
        """Consolidate: tie what is the same, fold in what was recalled, summarise; forget what has no room.

        `budget_mb`: what the folder may take, for this time only (by default as the settings say). Readers are not
        held up. Errors: `LockedError` of a memory that another process writes, `MnemeError`.
        """
        self._reader()  # a memory that is not there yet has nothing to consolidate
        return self._writer().sleep(budget_mb=budget_mb)

    def places(self, stream: str | None = None) -> list[Listed]:
        """Where the streams were, with what the places are called, in order of stream and founding."""
        snapshot = self._reader().snapshot()
        self._refuse_unknown(snapshot, stream)
        return listed(snapshot, stream)

    def name_place(self, place: str, name: str) -> Place:
        """Call a place so, from now on and when its stream is watched anew; "" takes the name away.

        `place`: its id, or a name that is one place's alone. Errors: `LockedError`, `MnemeError`.
        """
        self._reader()  # a memory that is not there yet has no places
        return self._writer().name_place(place, name)

    def merge_events(self, event: str, with_next: bool = True) -> list[Event]:
        """Make an event (by its id) and the one after it, or else before it, one; what came of it.

        It stays so: later events of the stream get other ids, and watching the same source again honours it.
        `split_event` undoes it. Errors: `LockedError`, `MnemeError` of an unknown event, one without a neighbour, or a
        stream that is being recorded; nothing is changed then.
        """
        self._reader()  # a memory that is not there yet has no events
        return list(self._writer().correct(event, with_next=with_next))

    def split_event(self, event: str, at_s: float) -> list[Event]:
        """Make an event (by its id) two, the second from `at_s` seconds of the stream on. As `merge_events`."""
        self._reader()
        return list(self._writer().correct(event, to_ns(at_s)))

    def tokens(
        self,
        budget: int,
        query: str | Path | Picture | None = None,
        lane: Lane = "vision",
        stream: str | None = None,
    ) -> MemoryTokens:
        """The memory as exactly `budget` tokens of one lane: float32[budget, d], in order of time, padded and masked.

        Half is working memory (the open event; of a stream that this process records also what is not stored yet),
        half what `query` recalls (words, a picture uint8[H, W, 3] or the path of one) or, without one, the earlier
        events condensed; `memory/tokens.py` states the rule. `stream`: only of this one. Safe from any thread.
        Errors: `SettingsError` for a budget outside 1 to 65,536 or a lane that is not perceived, `QuestionError`,
        `MemoryFormatError` where there is no memory, `MnemeError` for an unknown stream.
        """
        memory, profile = self._reader(), self.profile
        with self._readers.one():
            return self._tokens.gather(memory, profile, budget, query, lane, stream)

    def forget(
        self,
        stream: str | None = None,
        t0_s: float | None = None,
        t1_s: float | None = None,
        event: str | None = None,
        place: str | None = None,
        text: str | None = None,
    ) -> Receipt:
        """Erase one of: a stream (or what overlaps [t0_s, t1_s) of it), an event by its id, a place, words.

        What overlaps goes in every lane, from every tier, index and old version, and is not taken in again from the
        same source; the source's file is not touched. Exact: `text` finds its words standing together in what was
        said, shown or seen, whatever their case, and nothing that only means the same. Readers are drained: when it
        returns, no answer of this process that shows what is gone is still to come.

        Errors: `MnemeError` where there is nothing of it (nothing is changed then), `LockedError`,
        `MemoryFormatError` where there is no memory.
        """
        t0_ns, t1_ns = (None if t is None else to_ns(t) for t in (t0_s, t1_s))
        with self._changing:
            memory = self._reader()
            eraser = memory if self._writing else Memory.open(self.path, "w", settings=self._memory_settings)
            try:
                receipt = eraser.forget(stream=stream, t0_ns=t0_ns, t1_ns=t1_ns, event=event, place=place, text=text)
            finally:
                if eraser is not memory:
                    eraser.close()
                with self._lock:
                    self._tokens = TokenReader()
                    self._reasoners.clear()
        stem.cache_clear()
        read_words.cache_clear()
        self._readers.drain()
        return receipt

    def check(self) -> Report:
        """Whether what is stored is what the format promises."""
        return self._reader().check()

    def close(self) -> None:
        """Store what is open and give the writer's lock back. A second call does nothing."""
        with self._changing:
            try:
                for perception, recorder in self._observed.values():
                    for moment in perception.finish():
                        recorder.observe(moment)
                    perception.close()
            finally:
                self._observed = {}
                with self._lock:
                    memory, self._memory, self._writing = self._memory, None, False
                if memory is not None:
                    memory.close()

    def __enter__(self) -> Mneme:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def profile(self) -> Embedded:
        """The encoders that this memory is perceived and asked with."""
        with self._lock:
            if self._profile is None:
                own = self._memory.manifest.profile if self._memory is not None else None
                name = own or chosen_profile(self.path, self._wanted, self._settings)
                self._profile = make_profile(name, self._config)
            return self._profile

    def _reader(self) -> Memory:
        with self._lock:
            if self._memory is None:
                self._memory = Memory.open(self.path, "r", settings=self._memory_settings)
                chosen_profile(self.path, self._wanted)
            return self._memory

    def _writer(self) -> Memory:
        with self._changing:
            if self._writing and self._memory is not None:
                return self._memory
            if exists(self.path):
                chosen_profile(self.path, self._wanted)  # refuses another than the memory's own
            writer = open_to_write(self.path, self.profile.name, self.profile.spaces, self._memory_settings)
            with self._lock:
                reader, self._memory, self._writing = self._memory, writer, True
            if reader is not None:
                reader.close()
            return writer

    def _refuse_unknown(self, snapshot: Snapshot, stream: str | None) -> None:
        known = [state.stream.id for state in snapshot.streams()]
        if stream is not None and stream not in known:
            raise MnemeError(f"there is no stream {stream!r} in this memory", f"it knows {', '.join(known) or 'none'}")
