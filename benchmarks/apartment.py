"""An apartment that is lived in: twelve rooms, sixty objects that are moved about, one room that is visited twice only.

python -m benchmarks.apartment [--seed S] [--hours H | --minutes M] [--posed] [--json] [--keep DIR]

What is measured: "where is X" and "where was X before" of every object, against where it was seen last and in which
room before that; and what is still known of the rare room when percepts are left a tenth of their disk, beside a
memory of as many percepts that keeps the newest (FIFO). Fed as percepts in the world's words: what is wrong is
not perception's fault. With `--posed` the percepts do not name their rooms, the camera's poses do.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mneme
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.tables import FOLDER as TABLES
from mneme.memory.tables import PERCEPTS
from mneme.memory.usage import bytes_in
from mneme.records import Answer, Percept, to_s

from .controls import asker
from .machine import machine
from .world.percepts import remember
from .world.story import Story, draw_story
from .world.vocabulary import ROOMS

ROOM_COUNT, OBJECTS = 12, 60
SHARE = 0.1
"""Of their disk that is left to the percepts when the rare room is asked for."""
AIM = 0.8
"""Share of its budget that sleep leaves full."""
_ROOM = re.compile(rf"\b({'|'.join(sorted(ROOMS, key=len, reverse=True))})\b")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what is right."""

    kind: str
    """where, before, rare where, rare when, rare things."""
    text: str
    accept: tuple[str, ...]
    """One of them must be named; of rooms, as the first room that is named."""
    spans: tuple[Span, ...]
    """One of them must be cited first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, judged."""

    asked: Asked
    answer: Answer
    right: bool


def draw_apartment(seed: int, minutes: float) -> Story:
    """The story of the apartment."""
    return draw_story(seed, minutes, rooms=ROOM_COUNT, objects=OBJECTS, rare=True)


def questions(story: Story) -> list[Asked]:
    """Every object's questions, and the rare room's, with their truth from the visits."""
    seen: dict[tuple[str, str], list[tuple[str, Span]]] = defaultdict(list)
    rare: list[Span] = []
    there: set[tuple[str, str]] = set()
    for visit in story.visits():
        for p in visit.presences:
            if p.item >= 0:
                seen[p.thing.colour, p.thing.kind].append((visit.room.kind, (p.t0_ns, p.t1_ns)))
        if visit.room.id == story.rare:
            rare.append((visit.t0_ns, visit.t1_ns))
            there |= {(p.thing.colour, p.thing.kind) for p in visit.presences if p.item >= 0}
    asked: list[Asked] = []
    rare_room = "" if story.rare is None else story.plan.rooms[story.rare].kind
    for (colour, kind), sightings in sorted(seen.items()):
        runs = _runs(sightings)
        room, spans = runs[-1]
        where = "rare where" if room == rare_room else "where"
        asked.append(Asked(where, f"Where is the {colour} {kind}?", (room,), spans))
        if len(runs) > 1:
            room, spans = runs[-2]
            asked.append(Asked("before", f"Where was the {colour} {kind} before?", (room,), spans))
    if rare:
        asked.append(Asked("rare when", f"When was I last in the {rare_room}?", ("",), (rare[-1],)))
        names = tuple(f"{colour} {kind}" for colour, kind in sorted(there))
        asked.append(Asked("rare things", f"What happened in the {rare_room}?", names, tuple(rare)))
    return asked


def _runs(sightings: Sequence[tuple[str, Span]]) -> list[tuple[str, tuple[Span, ...]]]:
    """(room, the sightings there) in order of time; one after another in the same room are together."""
    runs: list[tuple[str, list[Span]]] = []
    for room, span in sorted(sightings, key=lambda sighting: sighting[1]):
        if not runs or runs[-1][0] != room:
            runs.append((room, []))
        runs[-1][1].append(span)
    return [(room, tuple(spans)) for room, spans in runs]


def judge(asked: Asked, answer: Answer) -> Judged:
    """Right: it names what is asked for, before any other room, and cites a moment that shows it."""
    text = answer.text.lower()
    if asked.accept[0] in ROOMS:
        first = _ROOM.search(text)
        named = first is not None and first.group(1) in asked.accept
    else:
        named = any(words in text for words in asked.accept)
    cited = [(e.t0_ns, e.t1_ns) for e in answer.evidence[:1]]
    shown = any(a < max(t1, t0 + 1) and t0 < max(b, a + 1) for a, b in cited for t0, t1 in asked.spans)
    return Judged(asked, answer, named and shown and not answer.abstained)


def ask_all(answer: Callable[[str], Answer], asked: Iterable[Asked]) -> list[Judged]:
    """Every question, asked and judged."""
    return [judge(each, answer(each.text)) for each in asked]


def shares(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """kind -> (share right, asked)"""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for each in judged:
        kinds[each.asked.kind].append(each.right)
    return {
        kind: {"right": round(sum(rights) / len(rights), 4), "asked": len(rights)} for kind, rights in kinds.items()
    }


def newest(folder: Path, count: int) -> Callable[[Percept], bool]:
    """Keeps the newest percepts, so many of them."""
    with Memory.open(folder) as memory:
        listed = sorted(memory.snapshot().percepts(), key=lambda p: p.t0_ns)
    kept = {p.id for p in listed[max(0, len(listed) - count) :]}
    return lambda percept: percept.id in kept


def measure(story: Story, folder: Path, *, posed: bool = False) -> dict[str, Any]:
    """Makes the memory of an apartment in `folder` and asks it; the figures, ready for JSON."""
    memory = folder / "apartment.mneme"
    started = time.perf_counter()
    remember(story, memory, posed=posed)
    made_s = time.perf_counter() - started
    asked = questions(story)
    with mneme.open(memory) as opened:
        judged = ask_all(opened.ask, asked)
        places = opened.places()
        report = opened.check()
    milliseconds = sorted(each.answer.timings_ms["total"] for each in judged)
    slept = asleep(memory, asked)
    keeps = newest(memory, slept["percepts"])
    fifo = asker(memory, lambda _question: keeps)
    return {
        "machine": machine(),
        "seed": story.seed,
        "hours": to_s(story.length_ns) / 3600,
        "posed": posed,
        "sound": report.ok,
        "percepts": report.percepts,
        "events": report.events,
        "places": len(places),
        "bytes": bytes_in(memory),
        "remembered_s": round(made_s, 1),
        "ask_ms": {"median": milliseconds[len(milliseconds) // 2], "most": milliseconds[-1]},
        "right": shares(judged),
        "slept": slept,
        "fifo": {
            "percepts": slept["percepts"],
            "right": shares(ask_all(lambda text: fifo({"question": text}, None), asked)),
        },
        "wrong": [
            {"question": e.asked.text, "expected": e.asked.accept[:3], "got": e.answer.text[:200]}
            for e in judged if not e.right
        ],
    }  # fmt: skip


def asleep(memory: Path, asked: Sequence[Asked]) -> dict[str, Any]:
    """A copy of the memory, put on a budget by sleep that leaves its percepts a tenth of their bytes, and asked again.

    What sleep does not forget (gists, long-term memory, places, summaries) is counted as it is; a budget has to hold
    the tables twice, as compaction writes them anew before the old ones go, and sleep aims below it.
    """
    copy = memory.with_name("slept.mneme")
    shutil.copytree(memory, copy)
    with Memory.open(copy, "w", settings=MemorySettings(budget_mb=bytes_in(memory) / 1e6)) as opened:
        opened.sleep()  # old versions go first
    whole, tables = bytes_in(copy), bytes_in(copy / TABLES)
    percepts = bytes_in(copy / TABLES / f"{PERCEPTS}.lance")
    budget = (whole - tables + 2 * (tables - (1 - SHARE) * percepts)) / AIM
    with Memory.open(copy, "w", settings=MemorySettings(budget_mb=budget / 1e6)) as opened:
        slept = opened.sleep()
    with mneme.open(copy) as asleep_now:
        judged = ask_all(asleep_now.ask, asked)
        report = asleep_now.check()
    return {
        "budget": round(budget),
        "bytes": {"before": whole, "after": bytes_in(copy)},
        "bytes_of_percepts": {"before": percepts, "after": bytes_in(copy / TABLES / f"{PERCEPTS}.lance")},
        "sound": report.ok,
        "percepts": report.percepts,
        "forgotten": slept.forgotten if slept is not None else 0,
        "right": shares(judged),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--minutes", type=float, help="instead of --hours")
    parser.add_argument("--posed", action="store_true", help="places from poses, not from the percepts' own words")
    parser.add_argument("--keep", type=Path, help="keep the memory in this folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    story = draw_apartment(given.seed, given.minutes or 60 * given.hours)
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        result = measure(story, Path(folder), posed=given.posed)
    print(json.dumps(result, indent=1 if given.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
