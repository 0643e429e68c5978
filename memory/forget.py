"""Forgetting on request: what a person asks to have erased goes from every tier, and from the disk.

One commit takes it out of the tables; then older versions, indexes, files and what the ledger says of it go, and the
next writer finishes that if a crash cuts it off. The spans stand in the manifest from then on: what lies in them is
not taken in again, from whatever copy of the source. The source's own file is not touched. At the end the whole folder
is searched for what was erased, and the receipt says what came of it. Erasure overrides history: no past that shows
the erased can be asked for any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MnemeError
from ..records import Percept, Stream
from . import checkpoint, ledger, purge, tables, token_state
from .episodic import Summariser
from .erased import FOREVER, Erased, joined, span_of
from .reach import Reach, reach
from .rebuilt import telling
from .recorder import Recorder
from .target import Target, phrase, sources, spans_of
from .verify import Search, Searched, verify
from .writer import Writer


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased: for the person who asked. Nothing of it quotes what is gone, but for `asked`."""

    asked: Mapping[str, Any]
    """The request, in the asker's words; the ledger has only its kind."""
    spans: tuple[Erased, ...]
    percepts: int
    events: int
    """Events that lost percepts, or the words and vectors that percepts had left which the budget forgot before; they
    stay as spans of time, or go with their stream."""
    thumbnails: int
    prototypes: int
    """Of long-term memory: gone, or made anew without the events that lost percepts."""
    gists: int
    """Gists and summaries that were made anew, or went."""
    links: int
    places: int
    """Places that went, are counted anew, or lost their name."""
    commit: int
    ledger_sha256: str
    """Of the commit's row in the ledger (`ledger.digest`)."""
    verified: bool
    searched: Searched


def forget(target: Target, writer: Writer, recorders: Sequence[Recorder], summarise: Summariser) -> Receipt:
    """Erases what the target names; nothing is left of it when this returns a verified receipt. O(rows).

    recorders: those of streams that have not ended, all of them: none begins meanwhile. They go on afterwards.

    Raises `MnemeError` where there is nothing of the kind, or where the disk fails; then either nothing was changed or
    the erasure counts, and the next writer finishes it.
    """
    with ExitStack() as held:
        for recorder in recorders:
            held.enter_context(recorder.held())
        held.enter_context(writer.alone())
        for recorder in recorders:
            recorder.flush()
        pending = [(recorder.stream, percept) for recorder in recorders for percept in recorder.waiting()]
        stood = [span for recorder in recorders for span in recorder.stood(target.place)] if target.place else []
        spans, gone = _bounded(target, spans_of(target, writer, pending, stood), writer, recorders)
        said = phrase(target.text or "")
        reached = reach(spans, gone, writer, summarise, said)
        waiting = _within(pending, spans)
        held_back = waiting or stood or any(recorder.tells(said) for recorder in recorders)
        if reached.empty and not gone and not held_back:
            fault = "these words stand nowhere in this memory" if said else "nothing is remembered of that"
            raise MnemeError(fault, "nothing was changed")
        staying = {name: state for name, state in writer.streams.items() if name not in gone}
        streams, prototypes = token_state.without(writer.root, staying, reached.events)
        streams = checkpoint.without(streams, [*spans, *_whole(reached.renamed, writer)])
        watched = [source.source for state in staying.values() for source in sources(state)]
        watched += [recorder.stream.source for recorder in recorders]
        counts = {
            "percepts": len(reached.percepts | waiting),
            "events": len(reached.events),
            "thumbnails": len(reached.thumbnails),
            "prototypes": prototypes,
            "gists": reached.gists,
            "links": reached.links,
            "places": reached.places,
        }
        note = {
            "asked": target.kind,
            "spans": [span.plain() for span in spans],
            "gone": sorted(gone),
            "copies": sorted(purge.unnamed_copies(writer.root, watched)),
            **counts,
        }
        entry = writer.erase(replace(reached.changes, streams=streams, note=note), spans)
        for recorder in recorders:
            recorder.erase(said)
        searched = verify(writer.root, _search(reached, spans, said, watched))
        if searched.clean:
            writer.erasure_ends()
    return Receipt(
        asked=_asked(target),
        spans=tuple(spans),
        **counts,
        commit=entry.commit,
        ledger_sha256=ledger.digest(entry),
        verified=searched.clean,
        searched=searched,
    )


def _bounded(
    target: Target, spans: Sequence[Erased], writer: Writer, recorders: Sequence[Recorder]
) -> tuple[tuple[Erased, ...], frozenset[str]]:
    """The spans, and the streams that go whole: those of the source but for what is being recorded, which stays, empty.

    Of a live source what comes after this moment is another matter: its span ends with what was perceived.
    """
    if target.kind != "stream":
        return tuple(spans), frozenset()
    recorded = {recorder.stream.id for recorder in recorders}
    alike = {name for name, state in writer.streams.items() if any(span.concerns(state.stream) for span in spans)}
    gone = frozenset(({target.stream or ""} | alike) - recorded)
    made = []
    for span in spans:
        if not span.digest:
            own = f"stream = {tables.literal(span.stream)}"
            rows = writer.read(tables.PERCEPTS, own, ["t0_ns", "t1_ns"]).to_pylist()
            held = [p for r in recorders if r.stream.id == span.stream for p in r.waiting()]
            ends = [max(row["t1_ns"], row["t0_ns"] + 1) for row in rows] + [max(p.t1_ns, p.t0_ns + 1) for p in held]
            known = (r.moment_ns for r in recorders if r.stream.id == span.stream)
            ends += [t_ns + 1 for t_ns in known if t_ns is not None]  # what was said by then may be told later
            state = writer.streams.get(span.stream)
            span = replace(span, t1_ns=max([*ends, state.seen_ns if state else 0, 1]))
        made.append(span)
    return joined(made), gone


def _within(pending: Sequence[tuple[Stream, Percept]], spans: Sequence[Erased]) -> frozenset[str]:
    """Ids of percepts that recorders hold in memory only, and that go."""
    return frozenset(
        percept.id
        for source, percept in pending
        if any(span.concerns(source) and span.meets(percept.t0_ns, percept.t1_ns) for span in spans)
    )


def _whole(streams: Collection[str], writer: Writer) -> list[Erased]:
    """All of the sources of some streams: what their recordings had put down names places as they were called."""
    known = [writer.streams[name] for name in sorted(streams) if name in writer.streams]
    return [span_of(source, 0, FOREVER) for state in known for source in sources(state)]


def _search(reached: Reach, spans: Sequence[Erased], said: str, watched: Sequence[str]) -> Search:
    return Search(reached.percepts, spans, reached.vectors, telling(reached.words), said, watched)


def _asked(target: Target) -> dict[str, Any]:
    fields = ("stream", "t0_ns", "t1_ns", "event", "place", "text")
    return {name: value for name in fields if (value := getattr(target, name)) is not None}
