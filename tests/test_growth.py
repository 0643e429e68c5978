"""What grows with a memory's age: its ledger, ties among many events, tokens after a commit, the same words all day."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory import ledger, tables
from mneme.memory.as_of import AsOf
from mneme.memory.duplicates import SAME, ties
from mneme.memory.frames import FrameCache
from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.nearest import _DEEPEST, matching_rows
from mneme.memory.settings import MemorySettings
from mneme.memory.store import connect
from mneme.memory.tokens import gather
from mneme.memory.usage import bytes_in
from mneme.records import NS_PER_S, Event, Link, Percept
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

OLD = 600


def aged(root: Path) -> Memory:
    """A memory whose ledger has `OLD` commits of a second each, one of them an erasure, and then some more."""
    clock = itertools.count(10**18, NS_PER_S)
    settings = MemorySettings(horizon_s=0.0, history_share=0.0, fragments=1000)
    memory = Memory.create(root, "embedded", [SPACE], settings=settings, clock=lambda: next(clock))
    record(memory.recorder(DAY, boundaries=CutsAt(10)), moments([say(1, 2, "one")], 3))
    writer, schema = memory._writer, tables.schemas([SPACE])[tables.LEDGER]
    assert writer is not None
    entry = writer.entry
    text = json.dumps(ledger.to_plain({f"film{i}": StreamState(replace(DAY, id=f"film{i}")) for i in range(5)}))
    row = {"tables": [{"table": name, "version": t.version, "rows": t.rows} for name, t in entry.tables.items()]}
    numbers = range(entry.commit + 1, entry.commit + OLD + 1)
    rows = [
        row | {"commit": n, "committed_ns": next(clock), "kind": "forget" if n == 100 else "observe", "tokens": None,
               "streams": text.replace("film0", f"film0-{n}"), "note": json.dumps({"number": n})}
        for n in numbers
    ]  # fmt: skip
    import pyarrow as pa

    writer._tables[tables.LEDGER].add(pa.Table.from_pylist(rows, schema=schema))
    memory.adopt(StreamState(DAY, seen_ns=s(5), take=0), [(say(4, 5, "two"), None)])
    memory.adopt(StreamState(DAY, seen_ns=s(6), take=0), [(say(5, 6, "three"), None)])
    return memory


def told(root: Path) -> list[tuple[Any, ...]]:
    rows = connect(root).open_table(tables.LEDGER).to_arrow().to_pylist()
    return [(row["commit"], row["committed_ns"], row["kind"], row["note"]) for row in rows]


def test_rows_of_the_ledger_that_the_history_gave_up_keep_their_number_and_lose_what_is_large(tmp_path: Path) -> None:
    root = tmp_path / "m"
    with aged(root) as memory:
        writer = memory._writer
        assert writer is not None
        reader = Memory.open(root)
        seen, before = [p.text for p in reader.snapshot().percepts()], told(root)
        erasure = ledger.digest(ledger.at(connect(root).open_table(tables.LEDGER), 100))
        writer.compact(history=False)
        size = bytes_in(root / tables.FOLDER / f"{tables.LEDGER}.lance")
        after = told(root)
        assert after[: len(before)] == before
        assert [row[0] for row in after] == [*range(1, len(after) + 1)]
        table = connect(root).open_table(tables.LEDGER)
        kept = table.to_arrow().to_pylist()
        assert all(row["streams"] == "{}" for row in kept[: OLD - 1])
        assert [row["commit"] for row in kept[: OLD - 1] if row["tables"]] == [100]
        assert ledger.digest(ledger.at(table, 100)) == erasure
        assert "day" in kept[-1]["streams"]
        assert size < 60_000  # they took 100 kB and more
        assert [p.text for p in reader.snapshot().percepts()] == seen
        version = table.version
        writer.compact()
        assert connect(root).open_table(tables.LEDGER).version <= version + 4  # not written anew for a few more
    with Memory.open(root, "w") as memory:
        assert memory.check().problems == ()
        memory.adopt(StreamState(DAY, seen_ns=s(9), take=0), [(say(8, 9, "four"), None)])
        assert len(memory.snapshot().percepts()) == len(seen) + 1


@pytest.mark.parametrize(
    "as_of",
    [AsOf("commit", 50), AsOf("commit", 100), AsOf("wall", 10**18 + 50 * NS_PER_S), AsOf("stream", s(1), "day")],
)
def test_a_past_whose_row_was_shortened_is_refused_with_how_far_the_history_reaches(
    tmp_path: Path, as_of: AsOf
) -> None:
    root = tmp_path / "m"
    with aged(root) as memory:
        assert memory._writer is not None
        memory._writer.compact(history=False)
    reader = Memory.open(root)
    with pytest.raises(MnemeError, match=r"reaches back to commit #\d+ ") as refused:
        reader.snapshot(as_of)
    first = int(str(refused.value).split("#")[1].split(" ")[0])
    assert first > OLD
    assert reader.snapshot(AsOf("commit", first)).commit == first


def alike(count: int, noise: float, dims: int = 64) -> list[Event]:
    rng = np.random.default_rng(0)
    base = rng.normal(size=dims)
    made = base + noise * rng.normal(size=(count, dims))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return [seen(i, v) for i, v in enumerate(made)]


def seen(i: int, vector: Any) -> Event:
    return Event("cam", s(60 * i), s(60 * i + 60), i, (), ("vision",), {"looks": np.asarray(vector, np.float32)})


def test_events_that_are_all_alike_are_one_group_after_one_sleep() -> None:
    events = alike(400, noise=0.15)
    made, groups = ties(events, 0.95)
    assert (len(made), groups) == (399, [[*range(400)]])
    again = [replace(e, links=tuple(Link(SAME, t.other) for t in made if t.one == e.id)) for e in events]
    assert ties(again, 0.95) == ([], [[*range(400)]])


def test_equal_events_are_tied_to_the_earliest() -> None:
    events = [seen(i, [1.0, 0.0]) for i in range(5)]
    made, groups = ties(events, 0.95)
    assert groups == [[0, 1, 2, 3, 4]]
    assert {tie.one for tie in made} | {tie.other for tie in made} == {event.id for event in events}
    assert all(events[0].id in (tie.one, tie.other) for tie in made)


def test_the_order_of_events_does_not_matter_to_ties() -> None:
    events = alike(60, noise=0.22) + [replace(e, stream="other") for e in alike(30, noise=0.3)]
    made, groups = ties(events, 0.95)
    mixed = [events[i] for i in np.random.default_rng(1).permutation(len(events))]
    other, regrouped = ties(mixed, 0.95)
    assert [(t.one, t.other, t.weight) for t in made] == [(t.one, t.other, t.weight) for t in other]
    assert {frozenset(events[i].id for i in g) for g in groups} == {
        frozenset(mixed[i].id for i in g) for g in regrouped
    }
    assert 1 < len(groups) < len(events)


def test_a_slow_change_is_not_one_thing_from_end_to_end() -> None:
    degrees = np.deg2rad(np.arange(0, 180, 12))  # each is alike to the next: cosine 0.978
    events = [seen(i, v) for i, v in enumerate(np.stack([np.cos(degrees), np.sin(degrees)], axis=1))]
    _, groups = ties(events, 0.95)
    assert len(groups) >= 4
    assert max(map(len, groups)) <= 4


def test_tokens_after_a_commit_read_only_the_events_closed_since(tmp_path: Path, monkeypatch: Any) -> None:
    reads: list[int] = []
    real = FrameCache.see
    cache = FrameCache()

    def see(self: FrameCache, events: list[Event], commit: int) -> None:
        if self is cache:
            reads.append(commit)
        real(self, events, commit)

    def right(memory: Memory) -> None:
        kept = gather(memory.snapshot(), lane="vision", space=SPACE, budget=8, cache=cache)
        fresh = gather(memory.snapshot(), lane="vision", space=SPACE, budget=8)
        assert np.array_equal(kept.tokens, fresh.tokens)
        assert (kept.source, kept.tier, kept.place) == (fresh.source, fresh.tier, fresh.place)

    monkeypatch.setattr(FrameCache, "see", see)
    settings = MemorySettings(commit_every_s=0.0, same_event=0.9)
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=settings) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(4, 8, 12))
        colours = [look(t, (RED, GREEN, BLUE)[t // 4 % 3]) for t in range(0, 16, 2)]
        for moment in moments(colours, 18):
            recorder.observe(moment)
            right(memory)
        assert len(reads) == 1
        recorder.finish(s(18))
        right(memory)
        assert len(reads) == 1
        memory.sleep()
        right(memory)
        again = memory.recorder(DAY, replace=True, boundaries=CutsAt(6))
        record(again, moments([look(t, BLUE) for t in range(9)], 10))
        again.finish(s(10))
        right(memory)
        memory.forget(stream="day", t0_ns=0, t1_ns=s(3))
        right(memory)
        assert len(reads) == 4


def test_of_rows_with_the_same_words_only_so_many_are_fetched(tmp_path: Path) -> None:
    count = _DEEPEST + 2000
    said = [(Percept("day", "speech", s(t), s(t + 1), text="a red mug; kitchen"), None) for t in range(count)]
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        memory.adopt(StreamState(DAY, seen_ns=s(count), done=True), said)
        assert memory._writer is not None
        memory._writer.compact()
        table = memory._writer._tables[tables.PERCEPTS]
        once, again = (matching_rows(table, "red mug", 20, None)[0]["id"].to_pylist() for _ in range(2))
    assert len(once) == _DEEPEST
    assert once == again
