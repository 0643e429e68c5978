"""What sleep makes of episodes: summaries of spans, what recurs, where and when things usually are.

Three kinds of rows in the table `summaries`, all made from events and the words of sights alone, each naming the events
that it came from, so that it can be made again when one of them goes (`derived_from`):

- `span`: a stretch of a stream, the second level above the gists of its events;
- `recurring`: events that are the same again and again, told once;
- `usual`: one thing, in how many events it was seen in which place, and at which hours of the day.

They are a table of their own, versioned with the others: so a past (`as_of`) has its own summaries, and erasure reaches
them like any row. The extractive summary is SumBasic (Nenkova & Vanderwende 2005): parts of gists whose words are
frequent, each word's weight squared once it is said.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..records import Event, Percept, identify
from . import tables
from .episodic import Summariser
from .ledger import StreamState

Kind = Literal["span", "recurring", "usual"]
_HOUR_NS = 3_600_000_000_000
_PARTS = 400
"""Parts of gists that are weighed for one summary, at most, spread evenly over it."""
_RECURS = 3
"""Events that are the same make something recurring from this many on."""
_THINGS = 2000
"""Things of a stream whose usual place is kept, at most: those seen in most events."""
_ARTICLE = re.compile(r"^(?:an?|the|some)\s+", re.IGNORECASE)
_BETWEEN = " · "


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of `summaries`."""

    kind: Kind
    stream: str
    take: int
    t0_ns: int
    t1_ns: int
    name: str
    """Of what: a thing, or empty."""
    text: str
    count: int
    """Events that it came from."""
    places: tuple[tuple[str, int], ...] = ()
    """Of a thing: (place, events in which it was seen there), most first."""
    hours: tuple[int, ...] = ()
    """Of a thing: sightings in each of the 24 hours of the day (UTC), where the stream's clock is known."""
    events: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return identify(self.stream, self.kind, self.name, self.t0_ns, self.t1_ns, 0)


class Digest:
    """A `Summariser` of many gists: the parts that say most of what the others say, in order of time."""

    def __init__(self, chars: int = 300) -> None:
        self._chars = chars

    def __call__(self, percepts: Sequence[Percept]) -> str:
        parts = list(dict.fromkeys(part for p in percepts for part in (p.text or "").split(_BETWEEN) if part.strip()))
        if len(parts) > _PARTS:
            parts = [parts[round(i)] for i in np.linspace(0, len(parts) - 1, _PARTS)]
        words = [_content(part) for part in parts]
        counts = Counter(word for each in words for word in each)
        weight = {word: count / max(1, counts.total()) for word, count in counts.items()}
        chosen: list[int] = []
        room = self._chars
        while True:
            fitting = [i for i in range(len(parts)) if i not in chosen and len(parts[i]) <= room]
            if not fitting:
                break
            best = max(fitting, key=lambda i: (sum(weight[w] for w in words[i]) / max(1, len(words[i])), -i))
            chosen.append(best)
            room -= len(parts[best]) + len(_BETWEEN)
            weight |= {word: weight[word] ** 2 for word in words[best]}
        if not chosen and parts:
            return parts[0][: self._chars - 1].rstrip() + "…"
        return _BETWEEN.join(parts[i] for i in sorted(chosen))


def spans(state: StreamState, events: Sequence[Event], length_ns: int, summarise: Summariser) -> list[Summary]:
    """Summaries of the stretches [k length, (k + 1) length) of a stream that are closed; an event is where it starts.

    events: all of the stream, in order of time. Stretches without a word have none.
    """
    made = []
    stretches: dict[int, list[Event]] = {}
    for event in events:
        stretches.setdefault(event.t0_ns // length_ns, []).append(event)
    for k, inside in sorted(stretches.items()):
        if not state.done and state.closed_ns < (k + 1) * length_ns:
            continue
        text = told_of(inside, summarise)
        if text:
            ids = tuple(event.id for event in inside)
            t0_ns, t1_ns = inside[0].t0_ns, inside[-1].t1_ns
            made.append(Summary("span", state.stream.id, state.take, t0_ns, t1_ns, "", text, len(ids), events=ids))
    return made


def recurring(groups: Iterable[Sequence[Event]], takes: Mapping[str, int], summarise: Summariser) -> list[Summary]:
    """One summary for each group of events that are the same; it stands with the stream of the first."""
    made = []
    for group in groups:
        ordered = sorted(group, key=lambda event: (event.stream, event.t0_ns))
        text = told_of(ordered, summarise) if len(ordered) >= _RECURS else ""
        if text:
            first = ordered[0]
            ids = tuple(event.id for event in ordered)
            own = [event for event in ordered if event.stream == first.stream]
            made.append(
                Summary("recurring", first.stream, takes[first.stream], first.t0_ns, own[-1].t1_ns, "", text, len(ids),
                        events=ids)
            )  # fmt: skip
    return made


def usual(state: StreamState, events: Sequence[Event], sights: Any, names: Mapping[str, str]) -> list[Summary]:
    """Where, and at which hours, the things of a stream are seen; those seen in two events at least.

    sights: a `pyarrow.Table` with t0_ns, text and place of the stream's sights that have words ("a red mug, a blue
    chair; kitchen"). Where a sight has no place, the room that it says is its place. names: what places are called.
    events: all of the stream, in order of time.
    """
    starts = [event.t0_ns for event in events]
    seen: dict[str, dict[int, str]] = {}
    hours: dict[str, list[int]] = {}
    columns = (sights[name].to_pylist() for name in ("t0_ns", "text", "place"))
    for t_ns, text, place in sorted(zip(*columns, strict=True), key=lambda row: (row[0], row[1], row[2] or "")):
        at = bisect_right(starts, t_ns) - 1
        if at < 0 or t_ns >= events[at].t1_ns:
            continue
        things, _, room = text.partition(";")
        where = (names.get(place) or place) if place else room.strip()
        for thing in _things(things):
            seen.setdefault(thing, {})[at] = where  # in an event the last place counts
            if state.stream.epoch_ns:
                hours.setdefault(thing, [0] * 24)[(state.stream.epoch_ns + t_ns) // _HOUR_NS % 24] += 1
    kept = sorted((thing for thing in seen if len(seen[thing]) > 1), key=lambda thing: (-len(seen[thing]), thing))
    return [_usual(state, events, thing, seen[thing], hours.get(thing, [])) for thing in kept[:_THINGS]]


def derived_from(events: Iterable[str]) -> list[str]:
    """Filters for the rows of `summaries` that came from one of these events: with such an event they have to go.

    Sleep makes them again from what remains, as it makes all of them: from the rows of events and percepts alone.
    """
    listed = sorted(events)
    return [
        f"array_has_any(events, make_array({', '.join(map(tables.literal, listed[first : first + 500]))}))"
        for first in range(0, len(listed), 500)
    ]


def rows_of(summaries: Sequence[Summary]) -> Any:
    """A `pyarrow.Table` of the schema of `summaries`."""
    import pyarrow as pa

    rows = [
        asdict(each) | {"id": each.id, "places": [{"place": place, "count": count} for place, count in each.places]}
        for each in summaries
    ]
    return pa.Table.from_pylist(rows, schema=tables.schemas(())[tables.SUMMARIES])


def summaries_of(rows: Any) -> list[Summary]:
    """Summaries from a `pyarrow.Table` of whole rows, in order of stream, kind, time and name."""
    found = []
    for row in rows.to_pylist():
        del row["id"]
        row["places"] = tuple((place["place"], place["count"]) for place in row["places"])
        found.append(Summary(**row | {"hours": tuple(row["hours"]), "events": tuple(row["events"])}))
    return sorted(found, key=lambda s: (s.stream, s.kind, s.t0_ns, s.t1_ns, s.name))


def _usual(
    state: StreamState, events: Sequence[Event], thing: str, seen: Mapping[int, str], hours: Sequence[int]
) -> Summary:
    places = Counter(place for place in seen.values() if place)
    ranked = tuple(sorted(places.items(), key=lambda item: (-item[1], item[0])))
    best = f"; usually {ranked[0][0]} ({ranked[0][1]} of {len(seen)})" if ranked else ""
    ids = tuple(events[at].id for at in sorted(seen))
    t0_ns, t1_ns = events[min(seen)].t0_ns, events[max(seen)].t1_ns
    return Summary(
        "usual", state.stream.id, state.take, t0_ns, t1_ns, thing, thing + best, len(seen), ranked, tuple(hours), ids
    )


def told_of(events: Sequence[Event], summarise: Summariser) -> str:
    """A summary of gists: to the summariser each is a caption over its event."""
    return summarise([Percept(e.stream, "caption", e.t0_ns, e.t1_ns, e.ordinal, text=e.gist) for e in events if e.gist])


def _things(listed: str) -> Iterator[str]:
    for part in dict.fromkeys(listed.split(",")):
        thing = _ARTICLE.sub("", " ".join(part.split())).casefold()
        if thing:
            yield thing


def _content(part: str) -> list[str]:
    """Words that carry what is said: of four letters or more."""
    return [word for word in re.findall(r"\w+", part.casefold()) if len(word) > 3]
