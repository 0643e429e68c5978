"""Sleep: what is the same is tied, what was recalled lasts, what has no room goes, and nobody notices while it happens.

Run as a program (`test_sleep.py FOLDER`) it is the sleeper that a test kills.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MnemeError, SettingsError
from mneme.memory import indexes, recall_log, semantic, tables
from mneme.memory.as_of import AsOf
from mneme.memory.budget import Forgetting, forgetting
from mneme.memory.changes import Changes
from mneme.memory.consolidate import plan
from mneme.memory.duplicates import SAME
from mneme.memory.indexes import index
from mneme.memory.ledger import StreamState, append
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot, connect
from mneme.memory.strength import LAWS
from mneme.memory.tokens import gather
from mneme.memory.usage import measured
from mneme.memory.writer import Writer
from mneme.records import NS_PER_S, Moment, Percept, Picture, Space, Stream, Vector

SPACES = (Space("looks", 64, "v1"),)
DAY_NS = 86_400 * NS_PER_S
NOON = 1_700_000_000 * NS_PER_S
SCENE_S = 20
ROOMS = ("kitchen", "study", "kitchen", "study", "kitchen", "hall", "study", "kitchen")


class EveryScene:
    """A cut each `SCENE_S`, decided a second late."""

    def __init__(self) -> None:
        self.settled_ns = 0

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        del change, loudness_db
        before, self.settled_ns = self.settled_ns, max(0, t_ns - NS_PER_S)
        cuts = range(0, self.settled_ns, SCENE_S * NS_PER_S)
        return [cut for cut in cuts if cut > 0 and before <= cut]

    def flush(self) -> list[int]:
        return []

    def resume(self, closed_ns: int) -> None:
        self.settled_ns = closed_ns


def vector_of(rng: np.random.Generator, room: str) -> Vector:
    own = np.random.default_rng(sum(map(ord, room))).normal(size=64)
    seen = own + rng.normal(size=64) * 0.7
    return np.asarray(seen / np.linalg.norm(seen), np.float32)


def moments(name: str, scenes: int, pictures: bool = True) -> Iterator[Moment]:
    """One sight a second of rooms that come again and again, of the attic only once."""
    rng = np.random.default_rng(3)
    for t in range(scenes * SCENE_S):
        room = "attic" if t // SCENE_S == 3 else ROOMS[t // SCENE_S % len(ROOMS)]
        vector, now = vector_of(rng, room), t * NS_PER_S
        picture: Picture | None = rng.integers(0, 255, (72, 128, 3)).astype(np.uint8) if pictures else None
        tokens = np.tile(vector, (4, 1)).astype(np.float16)
        sight = Percept(name, "vision", now, now + NS_PER_S, space="looks", vector=vector, tokens=tokens, place=room,
                        picture=picture, text=f"a red mug, a {room} lamp; {room}")  # fmt: skip
        said = [Percept(name, "speech", now, now + NS_PER_S, text=f"we are in the {room}")] if t % 7 == 0 else []
        yield Moment(name, now, (sight, *said), 0.0, -60.0, settled_ns=max(0, now - NS_PER_S))


def lived(root: Path, scenes: int = 8, name: str = "day", epoch_ns: int = NOON, **settings: Any) -> Memory:
    """A memory, open for writing, that was in some rooms."""
    made = MemorySettings(separation=1.1, commit_every_s=10.0, **settings)
    now = lambda: NOON + DAY_NS  # noqa: E731
    memory = (
        Memory.open(root, "w", settings=made, clock=now)
        if (root / "manifest.json").exists()
        else Memory.create(root, "embedded", SPACES, settings=made, clock=now)
    )
    stream = Stream(name, "/x", "digest " + name, epoch_ns)
    clock = iter(range(0, 1 << 60, NS_PER_S))
    recorder = memory.recorder(stream, boundaries=EveryScene(), monotonic=lambda: next(clock))
    for moment in moments(name, scenes):
        recorder.observe(moment)
    recorder.finish(scenes * SCENE_S * NS_PER_S)
    return memory


def content(snapshot: StoredSnapshot) -> tuple[Any, ...]:
    percepts = [(p.id, p.text, p.thumbnail, p.place) for p in snapshot.percepts()]
    return percepts, [(e.id, e.gist, e.percepts, e.links, e.strength) for e in snapshot.events()], snapshot.summaries()


def same(changes: Changes) -> tuple[Any, ...]:
    return {name: list(each) for name, each in changes.drop.items()}, {
        name: rows.sort_by("id").to_pylist() for name, rows in changes.put.items()
    }


def dropped(going: Forgetting) -> set[str]:
    """Ids of the percepts that go."""
    return {
        id for step in going.steps for each in step.drop.get(tables.PERCEPTS, ()) for id in re.findall(r"\w{20}", each)
    }


def test_two_plans_of_one_snapshot_are_the_same_and_write_nothing(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        snapshot, settings = memory.snapshot(), MemorySettings(same_event=0.9)
        recalled = {snapshot.percepts()[3].id: [NOON]}
        one, other = (plan(snapshot, settings, recalled) for _ in range(2))
        assert same(one.changes) == same(other.changes)
        assert one.linked > 0
        gone, again = (forgetting(snapshot, settings, NOON, 20_000, 100_000, 3000) for _ in range(2))
        assert [same(step) for step in gone.steps] == [same(step) for step in again.steps]
        assert gone.thumbnails == again.thumbnails != ()
        assert memory.snapshot().commit == snapshot.commit


def test_events_that_are_the_same_are_linked_both_ways_and_stronger_once(tmp_path: Path) -> None:
    with lived(tmp_path / "m", same_event=0.9) as memory:
        slept = memory.sleep()
        assert slept is not None
        events = {event.id: event for event in memory.snapshot().events()}
        tied = {id: {link.event for link in event.links if link.kind == SAME} for id, event in events.items()}
        places = {id: event.place for id, event in events.items()}
        assert slept.linked == 3 + 1  # four kitchens are tied three times, two studies once; the attic was a study
        assert all(id in tied[other] for id, others in tied.items() for other in others)
        assert all(places[id] == places[other] for id, others in tied.items() for other in others)
        assert all((event.strength > 1) == bool(tied[id]) for id, event in events.items())
        before = content(memory.snapshot())
        again = memory.sleep()
        assert again is not None
        assert (again.linked, again.summarised, again.renewed) == (0, 0, 0)
        assert content(memory.snapshot()) == before
        assert memory.check().problems == ()


def test_spans_recurring_events_and_usual_places_are_summarised(tmp_path: Path) -> None:
    with lived(tmp_path / "m", scenes=10, same_event=0.9, summary_s=60.0) as memory:
        memory.sleep()
        snapshot = memory.snapshot()
    spans = snapshot.summaries("span")
    events = snapshot.events()
    assert [summary.events for summary in spans] == [
        tuple(event.id for event in events if event.t0_ns // (60 * NS_PER_S) == k) for k in range(4)
    ]
    assert "attic" in spans[1].text
    assert all(len(summary.text) <= 300 for summary in spans)
    kitchens = next(summary for summary in snapshot.summaries("recurring") if "kitchen" in summary.text)
    assert kitchens.count == 5
    mug = next(summary for summary in snapshot.summaries("usual") if summary.name == "red mug")
    assert mug.places == (("kitchen", 5), ("study", 3), ("attic", 1), ("hall", 1))
    assert mug.text == "red mug; usually kitchen (5 of 10)"
    assert sum(mug.hours) == 200
    assert mug.hours[NOON // (3600 * NS_PER_S) % 24] > 0


def test_a_summary_goes_with_the_events_it_came_from_and_sleep_makes_the_others_again(tmp_path: Path) -> None:
    with lived(tmp_path / "m", summary_s=60.0) as memory:
        memory.sleep()
        first = memory.snapshot().events()[0].id
        assert memory._writer is not None
        memory._writer.apply("repair", Changes({tables.SUMMARIES: semantic.derived_from([first])}))
        left = memory.snapshot().summaries()
        assert left
        assert not [summary for summary in left if first in summary.events]
        before = {summary.id for summary in left}
        memory.sleep()
        assert {summary.id for summary in memory.snapshot().summaries()} > before


def test_what_was_recalled_is_renewed_once_and_outlasts_what_was_not(tmp_path: Path) -> None:
    with lived(tmp_path / "m", budget_mb=None) as memory:
        sights = memory.snapshot().percepts(lanes=["vision"])
        kept = [p.id for p in sights if p.place == "kitchen"][:3]
        for _ in range(3):
            memory.recalled(kept)
        taken = recall_log.take(memory.root)
        assert {id: len(times) for id, times in taken.items()} == dict.fromkeys(kept, 3)
        slept = memory.sleep()  # goes on with what was taken and not folded: as after a crash
        assert slept is not None
        assert slept.renewed == 3 + len({p.t0_ns // (SCENE_S * NS_PER_S) for p in sights if p.id in kept})
        rows = memory.snapshot().rows(tables.PERCEPTS, ["id", "strength", "recalls", "recalled_ns"]).to_pylist()
        now = NOON + DAY_NS
        for row in rows:
            there = row["id"] in kept
            assert (row["strength"], row["recalls"], row["recalled_ns"]) == ((4.0, 3, now) if there else (1.0, 0, None))
        for law in LAWS:
            going = forgetting(memory.snapshot(), MemorySettings(law=law), now + DAY_NS, 10**5, 10**5, 500)
            lost = {
                id for step in going.steps for each in step.drop.get(tables.PERCEPTS, ()) for id in kept if id in each
            }
            assert going.percepts > 20
            assert not lost


def test_a_folder_that_cannot_be_written_to_is_answered_from_and_not_logged(tmp_path: Path) -> None:
    lived(tmp_path / "m", scenes=1).close()
    (tmp_path / "m" / "recalls").write_text("in the way")
    reader = Memory.open(tmp_path / "m")
    reader.recalled([reader.snapshot().percepts()[0].id])
    assert recall_log.take(tmp_path / "m") == {}


def test_the_recall_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_log, "MOST_BYTES", 200)
    logged = [recall_log.append(tmp_path, [f"{i:020d}"], NOON + i) for i in range(20)]
    assert logged.count(True) == 4
    assert len(recall_log.take(tmp_path)) == 4
    recall_log.done(tmp_path)
    assert recall_log.append(tmp_path, ["x"], NOON)


def test_a_memory_is_inside_its_budget_after_sleep_and_what_is_left_is_whole(tmp_path: Path) -> None:
    root = tmp_path / "m"
    lived(root, scenes=16).close()
    whole = measured(root).total
    budget = whole * 0.35
    settings = MemorySettings(budget_mb=budget / 1e6)
    with Memory.open(root, "w", settings=settings, clock=lambda: NOON + DAY_NS) as memory:
        before = memory.snapshot()
        gists, places = [e.gist for e in before.events()], {p.place for p in before.percepts()}
        slept = memory.sleep()
        assert slept is not None
        assert (slept.bytes_before > budget, slept.bytes_after <= budget) == (True, True)
        assert slept.forgotten > 0
        after = memory.snapshot()
        assert [e.gist for e in after.events()] == gists
        assert {p.place for p in after.percepts()} == places
        report = memory.check()
        assert (report.problems, report.orphans) == ((), ())
        assert gather(after, lane="vision", space=SPACES[0], budget=16).mask.any()
        with pytest.raises(MnemeError, match="reaches back to commit"):
            memory.snapshot(AsOf("commit", before.commit))
    assert measured(root).total <= budget


def test_a_rare_place_keeps_its_fair_share(tmp_path: Path) -> None:
    with lived(tmp_path / "m", scenes=24) as memory:
        snapshot = memory.snapshot()
        sights = snapshot.percepts(lanes=["vision"])
        held = {place: sum(p.place == place for p in sights) for place in ("attic", "kitchen")}
        rows, now = 480 * 2000, NOON + DAY_NS
        going = forgetting(snapshot, MemorySettings(), now, round(rows * 0.7), rows, 0)
        lost = dropped(going)
        left = {place: sum(p.place == place and p.id not in lost for p in sights) for place in held}
        assert held["kitchen"] > 10 * held["attic"] / 2
        assert left["attic"] == held["attic"]
        assert left["kitchen"] < held["kitchen"] / 3


def test_recording_under_a_budget_forgets_by_itself(tmp_path: Path) -> None:
    with lived(tmp_path / "m", scenes=12, budget_mb=1.2, fragments=16) as memory:
        kinds = connect(tmp_path / "m").open_table(tables.LEDGER).to_arrow()["kind"].to_pylist()
        assert "sleep" in kinds
        assert len(memory.snapshot().events()) == 12
    assert measured(tmp_path / "m").total <= 1.2e6
    assert Memory.open(tmp_path / "m").check().problems == ()


def test_a_reader_sees_one_snapshot_while_a_memory_sleeps_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "m"
    lived(root, scenes=12).close()
    budget = measured(root).total * 0.4 / 1e6
    reader = Memory.open(root)
    states, done = set(), threading.Event()

    def look(snapshot: StoredSnapshot) -> tuple[int, int, int]:
        first = {p.id for p in snapshot.percepts()}
        listed = {id for event in snapshot.events() for id in event.percepts}
        assert listed == first
        return snapshot.commit, len(first), len(listed)

    def watch() -> None:
        while not done.is_set():
            states.add(reader.reading(look))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with Memory.open(root, "w", settings=MemorySettings(budget_mb=budget), clock=lambda: NOON + DAY_NS) as memory:
        memory.sleep()
    done.set()
    watcher.join()
    states.add(reader.reading(look))
    assert len(states) > 1
    assert len({commit for commit, _, _ in states}) == len(states)


def test_sleep_that_an_erasure_overtook_does_not_bring_anything_back(tmp_path: Path, monkeypatch: Any) -> None:
    from mneme.memory import sleep as sleeping

    with lived(tmp_path / "m", same_event=0.9) as memory:
        writer, gone = memory._writer, memory.snapshot().events()[0]
        assert writer is not None
        real, calls = sleeping.plan, []

        def slow(snapshot: StoredSnapshot, *rest: Any) -> Any:
            made = real(snapshot, *rest)
            if not calls:
                writer.apply("forget", Changes({tables.EVENTS: [f"id = '{gone.id}'"]}))
            calls.append(made)
            return made

        monkeypatch.setattr(sleeping, "plan", slow)
        memory.sleep()
        assert len(calls) == 2
        assert gone.id not in {event.id for event in memory.snapshot().events()}


def test_killed_in_its_sleep_a_memory_loses_nothing(tmp_path: Path, kills: int) -> None:
    root, chance = tmp_path / "m", random.Random(2)
    lived(root, scenes=8).close()
    snapshot = StoredSnapshot(root)
    events = [(event.id, event.gist) for event in snapshot.events()]
    ids = {percept.id for percept in snapshot.percepts()}
    for _ in range(kills // 2):
        with subprocess.Popen([sys.executable, __file__, str(root)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0, 0.6))
            assert child.poll() is None
            child.kill()
        memory = Memory.open(root)
        assert memory.check().problems == ()
        assert [(event.id, event.gist) for event in memory.snapshot().events()] == events
        assert {percept.id for percept in memory.snapshot().percepts()} == ids
    with Memory.open(root, "w") as memory:
        memory.sleep()
        assert memory.snapshot().summaries()


def test_a_memory_of_an_earlier_release_gets_its_summaries_when_it_is_written(tmp_path: Path) -> None:
    root = tmp_path / "m"
    lived(root, scenes=4).close()
    database = connect(root)
    database.drop_table(tables.SUMMARIES)
    entry = StoredSnapshot(root).entry
    old = {name: state for name, state in entry.tables.items() if name != tables.SUMMARIES}
    append(
        database.open_table(tables.LEDGER), tables.schemas(SPACES)[tables.LEDGER],
        replace(entry, commit=entry.commit + 1, tables=old),
    )  # fmt: skip
    reader = Memory.open(root)
    assert reader.snapshot().summaries() == []
    assert reader.check().ok
    with Memory.open(root, "w") as memory:
        memory.sleep()
        assert memory.snapshot().summaries()
        assert memory.check().ok


def test_a_memory_sleeps_by_itself_at_a_pace_until_it_is_closed(tmp_path: Path) -> None:
    memory = lived(tmp_path / "m", scenes=4, sleep_every_s=0.05)
    until = time.monotonic() + 60
    while not memory.snapshot().summaries() and time.monotonic() < until:
        time.sleep(0.05)
    memory.close()
    assert Memory.open(tmp_path / "m").snapshot().summaries()
    assert not [thread for thread in threading.enumerate() if thread.name == "mneme-sleep"]
    assert Memory.open(tmp_path / "m").check().ok


def test_a_law_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no law of decay 'oblivion'"):
        Memory.create(tmp_path / "m", "embedded", SPACES, settings=MemorySettings(law="oblivion"))


def test_a_large_memory_gets_indexes_and_finds_with_them_what_a_scan_finds(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(indexes, "INDEXED_FROM", 1000)
    rng = np.random.default_rng(1)
    Memory.create(tmp_path / "m", "embedded", SPACES).close()
    writer = Writer(tmp_path / "m", MemorySettings(), lambda: NOON)
    vectors = [vector_of(rng, f"room {i % 40}") for i in range(3000)]
    percepts = [(Percept("day", "vision", i, i + 1, space="looks", vector=v), None) for i, v in enumerate(vectors)]
    writer.commit("observe", percepts, [], StreamState(Stream("day", "/x", "d"), seen_ns=3000))
    queries = [vector_of(rng, f"room {i}") for i in range(10)]
    scanned = [
        [hit.percept.id for hit in StoredSnapshot(tmp_path / "m").nearest("looks", q, limit=10)] for q in queries
    ]
    assert index(writer) == ("t0_ns", "t1_ns", "id", "lane", "stream", "vector_looks")
    assert index(writer) == ()
    writer.commit("observe", [(Percept("day", "vision", 9000, 9001, space="looks", vector=queries[0]), None)], [],
                  StreamState(Stream("day", "/x", "d"), seen_ns=9000))  # fmt: skip
    snapshot = StoredSnapshot(tmp_path / "m")
    found = [[hit.percept for hit in snapshot.nearest("looks", q, limit=10)] for q in queries]
    alike = [len({p.id for p in hits} & set(ids)) for hits, ids in zip(found, scanned, strict=True)]
    assert sum(alike) >= 95
    assert found[0][0].t0_ns == 9000  # what came since is found beside the index
    few = snapshot.nearest("looks", queries[1], limit=10, t1_ns=100)
    assert [hit.percept.t0_ns for hit in few] == sorted(
        range(100), key=lambda i: -float(vectors[i] @ queries[1])
    )[:10]  # fmt: skip
    assert Memory.open(tmp_path / "m").snapshot().commit == writer.entry.commit


def sleep_again_and_again(root: Path) -> None:
    """Sleeps, forgetting what was made before, until it is killed."""
    with Memory.open(root, "w") as memory:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        writer: Writer | None = memory._writer
        while writer is not None:
            memory.recalled([percept.id for percept in memory.snapshot().percepts()][:9])
            memory.sleep()
            writer.apply("repair", Changes({tables.SUMMARIES: ["true"]}))


if __name__ == "__main__":
    sleep_again_and_again(Path(sys.argv[1]))
