"""Recording one stream: moments in, events and acknowledgements out.

Events tile the stream: [0, cut), [cut, cut), ... [cut, end); a percept belongs to the event in which it starts. A
percept is taken up once no cut before its start can still come, and stored within a second of that (of n streams that
are recorded side by side, within n). An event is closed once no percept that starts in it can still come (speech and
captions arrive complete, seconds late).

An interrupted recording goes on from its last closed event: what starts before its end is remembered already; what an
interrupted run stored after it is recognised by id; what else it knew there stands in a file (`checkpoint`). So the
memory is the same as without the interruption, but where the senses, begun anew, cut a span across that end otherwise
than before (`resume.Seam`).

A replacement is recorded beside the stream that it replaces, unseen by readers, and takes its place in the commit that
ends it. Interrupted, it goes on like any other recording.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

from ..errors import MnemeError
from ..records import Event, Moment, Percept, Place, Stream
from . import checkpoint
from .boundaries import Boundaries, Lasting, looking
from .checkpoint import Checkpoint
from .corrected import honouring
from .episodic import Summariser, in_order
from .erased import Erased, span_of
from .faults import mended
from .intake import refuse_far, refuse_unstorable
from .ledger import Kind, StreamState
from .longterm import LongTerm, LongTermSettings
from .pace import Pace
from .resume import Seam
from .sensory import SensoryRing
from .spatial import PlaceSettings
from .store import StoredSnapshot
from .token_state import EVERY, restored, save
from .unsaid import percept_without
from .whereabouts import Whereabouts
from .working import OpenEvent, Separator
from .writer import Writer


@dataclass(frozen=True, slots=True)
class Ack:
    """One commit: every percept that starts before `acked_t_ns` is durable.

    Of a replacement too: it survives a crash and is gone on from, though readers see it only when it is done.
    """

    acked_t_ns: int
    percepts: tuple[Percept, ...]
    """Those of this commit."""


class Recorder:
    """Writes one stream into a memory; made by `Memory.recorder`."""

    def __init__(
        self,
        writer: Writer,
        stream: Stream,
        *,
        pace: Pace,
        monotonic_ns: Callable[[], int],
        boundaries: Boundaries,
        separator: Callable[[], Separator],
        summarise: Summariser,
        places: PlaceSettings,
        longterm: LongTermSettings | None = None,
        replacing: bool = False,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """replacing: record a take that will replace the stream of that name, where there is one.

        ended: called once the stream has ended and is stored.
        """
        self.stream = stream
        self.sensory = SensoryRing()
        self._writer = writer
        self._spaces = {space.name: space.dim for space in writer.manifest.spaces}
        self._monotonic_ns = monotonic_ns
        self._boundaries = honouring(boundaries, writer.corrections(stream))
        self._looking = looking(self._boundaries)
        self._summarise = summarise
        self._pace = pace
        self._ended = ended
        self._longterm_settings = longterm or LongTermSettings()
        self._longterm: LongTerm | None = None
        """What the closed events left, once it was needed."""
        known = writer.streams.get(stream.id)
        self._replacing = replacing and known is not None
        self._state = _go_on(stream, known, replacing)
        self._resume_ns, stored, known_places = self._left_off()
        named = self._snapshot().places(stream.id) if self._replacing else []
        knew = checkpoint.load(writer.root, self._state)
        left = None if knew is None else knew.left
        self._whereabouts = Whereabouts(stream.id, places, known_places, self._state.closed_ns, named, left)
        self._seam = Seam(self._state.closed_ns, stored)
        if self._state.closed_ns:
            _go_on_from(self._boundaries, self._state.closed_ns, knew)
        self._checkpoints: dict[int, Checkpoint] = {}
        """Cut -> what was known when it was told: of the open events but the first."""
        behind = [percept for percept in stored if percept.t0_ns >= self._state.closed_ns]
        first = OpenEvent(stream.id, self._state.closed_ns, self._state.events, separator, behind)
        self._open = [first]
        """Unclosed events in order; each but the last ends where the next begins."""
        self._arrived: list[Percept] = []
        """Not yet taken up: a cut before them can still come."""
        self._unstored: list[tuple[Percept, bytes | None]] = []
        self._seen_ns = self._state.seen_ns
        self._moment_ns: int | None = None
        self._released = False
        self._turn = threading.RLock()
        """Taken before the writer's own: an erasure waits for the moment that is being taken, and the next for it."""

    @property
    def resume_ns(self) -> int:
        """Where to read the source from: the start of the last closed event, so that the senses warm up; else 0."""
        return self._resume_ns

    @property
    def state(self) -> StreamState:
        """How far the stream is durable."""
        return self._state

    @property
    def moment_ns(self) -> int | None:
        """The time of the newest moment that it took; None before the first."""
        return self._moment_ns

    @property
    def pending(self) -> tuple[Percept, ...]:
        """What it holds and has not stored yet, with vectors and tokens; may be read from another thread.

        Nothing of a replacement: readers see the stream that it replaces until it is done.
        """
        if self._replacing or self._released:
            return ()
        arrived = tuple(self._arrived)  # first: what is taken up meanwhile stands in both, not in neither
        return (*(percept for percept, _ in tuple(self._unstored)), *arrived)

    def observe(self, moment: Moment) -> list[Ack]:
        """Takes the next moment of the stream; the commits that it brought about. Raises `MnemeError`.

        A moment of the same time as the one before brings more percepts, but no change and loudness of its own.
        After an error nothing is lost: what was not stored is tried again with the next moment.
        """
        with self._turn:
            return self._observe(moment)

    def _observe(self, moment: Moment) -> list[Ack]:
        self._refuse_foreign(moment)
        moment = self._without_erased(moment)
        self.sensory.push(moment)
        self._whereabouts.observe(moment)
        joined = [p for percept in moment.percepts if (p := self._seam.join(percept)) is not None]
        self._arrived.extend(p for p in joined if p.t0_ns >= self._state.closed_ns)
        if self._looking is not None:
            for percept in moment.percepts:
                if percept.lane == "vision" and percept.vector is not None:
                    self._looking.look(percept.t0_ns, percept.vector)
        if moment.t_ns != self._moment_ns:
            self._cut(self._boundaries.push(moment.t_ns, moment.change, moment.loudness_db), going_on=True)
        self._moment_ns = moment.t_ns
        settled_ns = min(moment.settled_ns, self._boundaries.settled_ns)
        kept_ns = min(settled_ns, self._state.closed_ns)  # what was since then can be forgotten by its place
        self._whereabouts.settle(min(self._boundaries.settled_ns, moment.t_ns + 1), kept_ns)
        self._take_up(self._boundaries.settled_ns)
        self._seen_ns = max(self._seen_ns, settled_ns)
        if self._closable(moment.settled_ns) or (self._unstored and self._pace.due(id(self), self._monotonic_ns())):
            return [self._commit(self._closable(moment.settled_ns))]
        return []

    def finish(self, t_end_ns: int) -> Ack:
        """The stream has ended at `t_end_ns`: closes what is open. Give late percepts with a last moment before.

        What starts at the end or after it (the last picture, a cue beyond the film) puts the last event's end off
        until its own.
        """
        with self._turn:
            return self._finish(t_end_ns)

    def _finish(self, t_end_ns: int) -> Ack:
        self._refuse_ended()
        refuse_far(self.stream.id, t_end_ns)
        self._cut([cut_ns for cut_ns in self._boundaries.flush() if cut_ns < t_end_ns])
        self._whereabouts.settle(None)
        late = [max(p.t1_ns, p.t0_ns + 1) for p in (*self._arrived, *self._open[-1].members) if p.t0_ns >= t_end_ns]
        end_ns = max([t_end_ns, self._open[-1].t0_ns, *late])
        self._take_up(None)
        self._seen_ns = max(self._seen_ns, end_ns)
        ends = [event.t0_ns for event in self._open[1:]] + ([end_ns] if end_ns > self._open[-1].t0_ns else [])
        self._whereabouts.cut(ends[-1] if ends else end_ns)
        ack = self._commit(ends, done=True)
        self._ended()
        return ack

    def flush(self) -> list[Ack]:
        """Stores what was taken up and not stored yet, without closing an event: before a pause."""
        with self._turn:
            return [self._commit([])] if self._unstored and not self._released else []

    def held(self) -> AbstractContextManager[object]:
        """While it is entered, no other thread gives this recorder anything."""
        return self._turn

    def waiting(self) -> list[Percept]:
        """What it holds and has not stored, of a replacement too; while it is `held`."""
        return [*(percept for percept, _ in self._unstored), *self._arrived]

    def stood(self, place: str) -> list[Erased]:
        """Since the last closed event: its times in a place of that id, key or name; while it is `held`."""
        until_ns = self._seen_ns if self._moment_ns is None else self._moment_ns + 1
        return [span_of(self.stream, t0_ns, t1_ns) for t0_ns, t1_ns in self._whereabouts.stood(place, until_ns)]

    def tells(self, said: str) -> bool:
        """Whether a place is called by a phrase in what it holds and has not stored; while it is `held`."""
        waiting = any(percept_without(said, percept).place != percept.place for percept in self.waiting())
        return waiting or self._whereabouts.tells(said)

    def erase(self, said: str = "") -> None:
        """Lets go of what was erased of its source, of which the writer knows; what it had taken up is stored before.

        What it learns from the rest is learned anew: what pattern separation compares with, and the places. said: a
        phrase that no place may be called by.
        """
        spans = self._writer.erased(self.stream)

        def left(percept: Percept) -> Percept | None:
            gone = any(span.meets(percept.t0_ns, percept.t1_ns) for span in spans)
            return None if gone else percept_without(said, percept)

        def left_of(moment: Moment) -> Moment:
            rest = self._without_erased(moment)
            return replace(rest, percepts=tuple(percept_without(said, percept) for percept in rest.percepts))

        self._arrived = [rest for percept in self._arrived if (rest := left(percept)) is not None]
        self._seam.keep(lambda percept: left(percept) is not None)
        self.sensory.keep(left_of)
        for event in self._open:
            event.keep(left)
        kept = self._writer.streams.get(self.stream.id)
        while kept is not None and kept.take != self._state.take:
            kept = kept.successor
        self._state = replace(
            self._state,
            tokens=None if kept is None else kept.tokens,
            checkpoint=None if kept is None else kept.checkpoint,
        )
        if spans and isinstance(self._boundaries, Lasting):
            self._boundaries.keep(lambda t_ns: not any(span.meets(t_ns, t_ns) for span in spans))
        if spans or said:
            self._checkpoints = {}
        self._longterm = None  # what is left of it stands on the disk
        places = self._left_off()[2]
        self._whereabouts.erase(places, lambda t_ns: any(span.meets(t_ns, t_ns) for span in spans), said)

    def _without_erased(self, moment: Moment) -> Moment:
        """The moment without percepts, and the place, of what was erased on request."""
        spans = self._writer.erased(self.stream)
        if not spans:
            return moment
        left = tuple(p for p in moment.percepts if not any(span.meets(p.t0_ns, p.t1_ns) for span in spans))
        there = any(span.meets(moment.t_ns, moment.t_ns) for span in spans)
        return replace(moment, percepts=left, pose=None if there else moment.pose)

    def release(self) -> None:
        """Takes and stores nothing more: its memory has let go of it."""
        self._released = True
        self._pace.forget(id(self))

    def _cut(self, cuts: list[int], *, going_on: bool = False) -> None:
        """going_on: the stream has not ended, and may be interrupted."""
        known = self._boundaries.state() if cuts and going_on and isinstance(self._boundaries, Lasting) else {}
        for cut_ns in cuts:
            if cut_ns > self._open[-1].t0_ns:
                self._open.append(self._open[-1].split(cut_ns))
                self._whereabouts.cut(cut_ns)
                if going_on:
                    self._checkpoints[cut_ns] = Checkpoint(cut_ns, known, self._whereabouts.left(cut_ns))

    def _take_up(self, before_ns: int | None) -> None:
        """Gives each arrived percept that starts before that time (None: all) to the event in which it starts."""
        ready = [p for p in self._arrived if before_ns is None or p.t0_ns < before_ns]
        if not ready:
            return
        for percept in in_order(ready):
            given, where = percept.place, self._whereabouts
            percept = replace(percept, place=where.at(percept.t0_ns) if given is None else where.key_of(given))
            event = next(event for event in reversed(self._open) if event.t0_ns <= percept.t0_ns)
            if event.add(percept):
                jpeg = None if percept.picture is None else self._writer.encode(percept.picture)
                self._unstored.append((replace(percept, picture=None), jpeg))
        self._arrived = [p for p in self._arrived if before_ns is not None and p.t0_ns >= before_ns]

    def _closable(self, settled_ns: int) -> list[int]:
        """Ends of the open events to which nothing can be added any more."""
        ends = [event.t0_ns for event in self._open[1:]]
        return [end for end in ends if end <= min(settled_ns, self._boundaries.settled_ns)]

    def _commit(self, ends: list[int], done: bool = False) -> Ack:
        """Stores what was taken up, and closes the first events of the open ones at these ends."""
        closing = self._open[: len(ends)]
        events: list[Event] = [event.close(end, self._summarise) for event, end in zip(closing, ends, strict=True)]
        longterm = self._fed(list(zip(events, closing, strict=True))) if events else self._longterm
        fed = 0 if longterm is None else longterm.events
        written = fed // EVERY > self._state.events // EVERY or (done and longterm is not None)
        with mended("writing", self._writer.root, kept=True):
            tokens = save(self._writer.root, self.stream.id, longterm) if longterm and written else self._state.tokens
            knew = self._checkpoint(ends, done)
        state = replace(
            self._state,
            seen_ns=max(self._seen_ns, *ends, 0),
            closed_ns=ends[-1] if ends else self._state.closed_ns,
            events=self._state.events + len(ends),
            done=done,
            tokens=tokens,
            checkpoint=knew,
        )
        kind: Kind = "replace" if self._replacing and done else "observe"
        places = self._whereabouts.changed(ends[-1]) if ends else []
        self._writer.commit(kind, self._unstored, events, state, places=places)
        percepts = tuple(percept for percept, _ in self._unstored)
        before, self._state, self._unstored, self._longterm = self._state.checkpoint, state, [], longterm
        if before is not None and before != knew:
            with self._writer.alone(), suppress(OSError):  # nobody lists the files there meanwhile
                (self._writer.root / before).unlink(missing_ok=True)
        if ends:
            self._checkpoints = {cut: known for cut, known in self._checkpoints.items() if cut > ends[-1]}
            self._whereabouts.stored(ends[-1], places)
        self._open = self._open[len(ends) :]
        self._pace.committed(id(self), self._monotonic_ns())
        return Ack(state.seen_ns, percepts)

    def _checkpoint(self, ends: list[int], done: bool) -> str | None:
        """The file of what was known at the last of these ends, written; without ends the one that there is."""
        if done or not ends:
            return None if done else self._state.checkpoint
        known = self._checkpoints.get(ends[-1])
        return None if known is None else checkpoint.save(self._writer.root, self.stream.id, known)

    def _fed(self, closed: list[tuple[Event, OpenEvent]]) -> LongTerm:
        """Long-term memory with these events too; the one that is held stays as it is until they are stored."""
        if self._longterm is None and self._state.take in self._writer.takes(self.stream.id):
            snapshot = self._snapshot().ahead() if self._replacing else self._snapshot()
            self._longterm = restored(snapshot, self._state, self._longterm_settings)
        longterm = LongTerm(self._longterm_settings) if self._longterm is None else self._longterm.copy()
        for event, opened in closed:
            longterm.feed(event, in_order(opened.members))
        return longterm

    def rename(self, place: Place) -> None:
        """A person gave one of the stream's places another name; that is stored already."""
        self._whereabouts.rename(place)

    def _snapshot(self) -> StoredSnapshot:
        return StoredSnapshot(self._writer.root, self._writer.database)

    def _left_off(self) -> tuple[int, list[Percept], list[Place]]:
        """Where the last closed event begins, what is stored that reaches behind its end or starts there, places."""
        if self._state.take not in self._writer.takes(self.stream.id):
            return 0, [], []
        snapshot = self._snapshot().ahead() if self._replacing else self._snapshot()
        starts = [event.t0_ns for event in snapshot.events(self.stream.id)]
        stored = snapshot.percepts(stream=self.stream.id, t0_ns=self._state.closed_ns, with_vectors=True)
        return (starts[-1] if starts else 0), stored, snapshot.places(self.stream.id)

    def _refuse_ended(self) -> None:
        if self._state.done:
            raise MnemeError(f"stream {self.stream.id!r} has ended", "open a recorder for the next one")
        if self._released:
            raise MnemeError(f"this recorder of stream {self.stream.id!r} was released", "make another one to go on")

    def _refuse_foreign(self, moment: Moment) -> None:
        self._refuse_ended()
        refuse_unstorable(moment, self._spaces)
        if self._moment_ns is not None and moment.t_ns < self._moment_ns:
            raise MnemeError(
                f"stream {self.stream.id!r} went back from {self._moment_ns} ns to {moment.t_ns} ns",
                "give its moments in order of time",
            )
        for percept in moment.percepts:
            if percept.stream != self.stream.id:
                raise MnemeError(
                    f"a percept of stream {percept.stream!r} came to {self.stream.id!r}", "name them alike"
                )
            own = {} if percept.vector is None else {percept.space or "": percept.vector}
            for space in (*own, *percept.also):
                self._writer.manifest.space(space)  # raises, naming the mend
            if percept.also.keys() & own.keys() or (percept.look is not None and len(percept.also) != 1):
                raise MnemeError(
                    f"a percept at {percept.t0_ns} ns is described twice in one space, or has a look without a space",
                    "give a second description in a space of its own",
                )


def _go_on(stream: Stream, known: StreamState | None, replacing: bool) -> StreamState:
    """The state from which a recording of the stream starts, fresh or where one of the same take was interrupted."""
    if known is None:
        return StreamState(stream)
    if not replacing:
        return replace(known, stream=stream, successor=None)
    if known.successor is not None and known.successor.stream.digest == stream.digest:
        return replace(known.successor, stream=stream)
    return StreamState(stream, take=max(known.takes) + 1)


def _go_on_from(boundaries: Boundaries, closed_ns: int, knew: Checkpoint | None) -> None:
    """Boundaries behind the last closed event: as they were when they told its end, or begun anew there."""
    boundaries.resume(closed_ns)
    if knew is not None and isinstance(boundaries, Lasting):
        try:
            boundaries.restore(knew.boundaries)
        except (KeyError, TypeError, ValueError):  # of another detector: the settings have changed
            boundaries.resume(closed_ns)
