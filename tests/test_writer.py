"""The writer's promise: what it acknowledged is there, what it did not is not."""

from __future__ import annotations

import itertools
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MemoryFormatError
from mneme.memory import ledger, tables
from mneme.memory.changes import Changes
from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot, connect
from mneme.memory.writer import Writer
from mneme.records import Event, Percept, Space, Stream

STATE = StreamState(Stream("day", "/x", "d"))


def words(*texts: str, start: int = 0) -> list[tuple[Percept, bytes | None]]:
    return [(Percept("day", "speech", start + i, start + i + 1, text=text), None) for i, text in enumerate(texts)]


def texts(root: Path) -> list[str | None]:
    return [percept.text for percept in StoredSnapshot(root).percepts()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Memory.create(tmp_path / "m", "embedded", [Space("words", 4, "")], clock=lambda: 0).close()
    return tmp_path / "m"


def writer(root: Path, **settings: Any) -> Writer:
    return Writer(root, MemorySettings(**settings), itertools.count(1000).__next__)


def test_a_commit_is_one_ledger_row_that_names_every_table(root: Path) -> None:
    event = Event("day", 0, 10, 0, percepts=("a",))
    entry = writer(root).commit("observe", words("one", "two"), [event], replace(STATE, seen_ns=7, closed_ns=10))
    read = StoredSnapshot(root).entry
    assert read == entry
    assert (read.commit, read.committed_ns, read.kind) == (2, 1000, "observe")
    assert {name: state.rows for name, state in read.tables.items()} == {
        "percepts": 2, "events": 1, "places": 0, "summaries": 0,
    }  # fmt: skip
    assert (read.streams["day"].seen_ns, read.streams["day"].closed_ns) == (7, 10)


def test_rows_without_a_ledger_row_are_not_seen_and_then_taken_back(root: Path, monkeypatch: Any) -> None:
    first = writer(root)
    first.commit("observe", words("kept"), [], STATE)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "append", die)
    with pytest.raises(KeyboardInterrupt):
        first.commit("observe", words("lost", start=5), [Event("day", 0, 9, 0)], STATE)
    assert connect(root).open_table(tables.PERCEPTS).count_rows() == 2
    assert texts(root) == ["kept"]
    monkeypatch.undo()
    again = writer(root)
    assert again.entry.kind == "recover"
    assert connect(root).open_table(tables.PERCEPTS).count_rows() == 1
    again.commit("observe", words("next", start=5), [], STATE)
    assert texts(root) == ["kept", "next"]
    assert StoredSnapshot(root).matching("lost") == []


def test_a_writer_that_failed_once_goes_on_without_half_a_commit(root: Path, monkeypatch: Any) -> None:
    one = writer(root)
    real = ledger.append
    broken = iter([True, False, False])

    def sometimes(*row: Any) -> None:
        if next(broken):
            raise OSError(28, "No space left on device")
        real(*row)

    monkeypatch.setattr(ledger, "append", sometimes)
    with pytest.raises(Exception, match="the disk is full"):
        one.commit("observe", words("first try"), [], STATE)
    one.commit("observe", words("second try"), [], STATE)
    assert texts(root) == ["second try"]


def test_opening_twice_does_not_commit_anything(root: Path) -> None:
    before = StoredSnapshot(root).commit
    assert writer(root).entry.commit == before


def test_a_table_is_compacted_before_it_has_too_many_fragments(root: Path) -> None:
    one = writer(root, fragments=8)
    for i in range(30):
        one.commit("observe", words(f"word{i}", start=i), [], STATE)
        for name in (tables.PERCEPTS, tables.LEDGER):
            assert connect(root).open_table(name).stats()["fragment_stats"]["num_fragments"] <= 9
    assert len(texts(root)) == 30
    assert [f.percept.text for f in StoredSnapshot(root).matching("word17")] == ["word17"]
    assert Memory.open(root).check().ok


def test_a_compaction_without_room_does_not_end_the_recording(root: Path, monkeypatch: Any, caplog: Any) -> None:
    from lancedb.table import LanceTable

    tries: list[str] = []

    def full(table: Any, **_: object) -> None:
        tries.append(table.name)
        raise RuntimeError("lance error: No space left on device (os error 28)")

    one = writer(root, fragments=8)
    monkeypatch.setattr(LanceTable, "optimize", full)
    for i in range(16):
        one.commit("observe", words(f"word{i}", start=i), [], STATE)
    assert len(texts(root)) == 16
    assert 1 <= len(tries) <= 3
    assert "the disk is full" in caplog.text
    monkeypatch.undo()
    for i in range(16, 24):
        one.commit("observe", words(f"word{i}", start=i), [], STATE)
    assert connect(root).open_table(tables.PERCEPTS).stats()["fragment_stats"]["num_fragments"] <= 8
    assert len(texts(root)) == 24
    assert Memory.open(root).check().problems == ()


@pytest.mark.parametrize("left", ["nothing", "no version", "half a version"])
@pytest.mark.parametrize("table", [tables.LEDGER, tables.PERCEPTS])
def test_a_creation_that_was_cut_off_within_a_table_is_made_good(root: Path, table: str, left: str) -> None:
    folder = root / tables.FOLDER
    shutil.rmtree(folder / "ledger.lance")
    connect(root).create_table(tables.LEDGER, schema=tables.schemas([])[tables.LEDGER])
    versions = sorted((folder / f"{table}.lance" / "_versions").glob("*"))
    for version in versions:
        version.write_bytes(version.read_bytes()[:50]) if left == "half a version" else version.unlink()
    if left == "nothing":
        shutil.rmtree(folder / f"{table}.lance")
        (folder / f"{table}.lance").mkdir()
    writer(root).commit("observe", words("begun after all"), [], STATE)
    assert [found.percept.text for found in StoredSnapshot(root).matching("begun")] == ["begun after all"]
    assert Memory.open(root).check().problems == ()


@pytest.mark.parametrize("table", [tables.LEDGER, tables.PERCEPTS])
def test_a_table_that_was_lost_is_said_and_nothing_is_made_anew(root: Path, table: str) -> None:
    writer(root).commit("observe", words("precious"), [], STATE)
    lost = root / tables.FOLDER / f"{table}.lance"
    for version in (lost / "_versions").glob("*"):
        version.unlink()
    before = sorted(root.rglob("*"))
    with pytest.raises(MemoryFormatError, match=f"'{table}' of .* cannot be read"):
        writer(root)
    assert sorted(root.rglob("*")) == before


def test_a_thumbnail_that_was_half_written_is_swept_away(root: Path) -> None:
    half, whole = root / "thumbnails" / "ab" / "abc.new", root / "thumbnails" / "cd" / "cde.jpg"
    for path in (half, whole):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"JPEG")
    StoredSnapshot(root)
    assert half.exists()
    writer(root)
    assert not half.exists()
    assert whole.exists()


def test_versions_within_the_horizon_outlive_a_compaction_and_older_ones_go(root: Path) -> None:
    for horizon_s, still_there in ((600.0, True), (0.0, False)):
        one = writer(root, horizon_s=horizon_s)
        one.commit("observe", words("a"), [], STATE)
        old = StoredSnapshot(root)
        before = len(old.percepts())
        one.commit("observe", words("b"), [], STATE)
        one.compact()
        # Lance counts ages in whole seconds of its own clock, so a second run after the margin does the pruning.
        if not still_there:
            threading.Event().wait(2.2)
            one.commit("observe", words("c"), [], STATE)
            one.compact()
        versions = {v["version"] for v in connect(root).open_table(tables.PERCEPTS).list_versions()}
        assert (old.entry.tables[tables.PERCEPTS].version in versions) is still_there
        if still_there:
            assert len(old.percepts()) == before


def test_readers_beside_a_writer_see_only_whole_commits(root: Path) -> None:
    one = writer(root, fragments=4)
    done = threading.Event()
    faults: list[str] = []
    sizes: list[int] = []

    def read() -> None:
        while not done.is_set():
            snapshot = StoredSnapshot(root)
            found = snapshot.percepts()
            if len(found) % 3 or len(found) != snapshot.entry.tables[tables.PERCEPTS].rows:
                faults.append(f"{len(found)} rows at commit {snapshot.commit}")
            sizes.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for i in range(20):
            one.commit("observe", words("x", "y", "z", start=3 * i), [], STATE)
    finally:
        done.set()
        reader.join()
    assert faults == []
    assert sizes == sorted(sizes)
    assert sizes


def test_threads_share_a_writer(root: Path) -> None:
    one = writer(root)

    def record(name: str) -> None:
        state = StreamState(Stream(name, "/x", "d"))
        for i in range(5):
            one.commit("observe", [(Percept(name, "speech", i, i + 1, text=name), None)], [], replace(state, seen_ns=i))

    threads = [threading.Thread(target=record, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = StoredSnapshot(root)
    assert [state.seen_ns for state in snapshot.streams()] == [4, 4, 4]
    assert len(snapshot.percepts()) == 15
    assert snapshot.commit == 1 + 15


def test_tokens_and_vectors_of_both_kinds_fit_one_commit(root: Path) -> None:
    vector = np.array([1, 0, 0, 0], np.float32)
    rows = [
        (Percept("day", "vision", 0, 1, space="words", vector=vector, tokens=np.ones((3, 4), np.float16)), None),
        (Percept("day", "speech", 1, 2, text="bare"), None),
    ]
    writer(root).commit("observe", rows, [], STATE)
    first, second = StoredSnapshot(root).percepts(with_vectors=True)
    assert first.tokens is not None
    assert first.tokens.shape == (3, 4)
    assert (second.tokens, second.vector) == (None, None)


def event_rows(*events: Event) -> Any:
    import pyarrow as pa

    schema = tables.schemas([Space("words", 4, "")])[tables.EVENTS]
    return pa.Table.from_pylist([tables.event_row(event, 0) for event in events], schema=schema)


def test_changes_drop_rows_and_put_others_in_their_place_in_one_commit(root: Path) -> None:
    one = writer(root)
    old, other = Event("day", 0, 10, 0, gist="old"), Event("day", 10, 20, 1, gist="other")
    one.commit("observe", words("gone", "kept"), [old, other], replace(STATE, closed_ns=20, events=2))
    gone = words("gone")[0][0].id
    put = event_rows(replace(old, gist="new"), Event("day", 20, 30, 2, gist="more"))
    changes = Changes({tables.PERCEPTS: [f"id = {tables.literal(gone)}"]}, {tables.EVENTS: put}, note={"why": "test"})
    entry = one.apply("sleep", changes)
    assert (entry.kind, entry.note) == ("sleep", {"why": "test"})
    assert texts(root) == ["kept"]
    assert [event.gist for event in StoredSnapshot(root).events()] == ["new", "other", "more"]
    assert StoredSnapshot(root).entry == entry


def test_changes_that_were_cut_off_before_the_ledger_count_for_nothing(root: Path, monkeypatch: Any) -> None:
    one = writer(root)
    one.commit("observe", words("a", "b"), [Event("day", 0, 10, 0, gist="old")], STATE)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "append", die)
    put = event_rows(Event("day", 0, 10, 0, gist="new"))
    with pytest.raises(KeyboardInterrupt):
        one.apply("forget", Changes({tables.PERCEPTS: ["true"]}, {tables.EVENTS: put}))
    monkeypatch.undo()
    assert texts(root) == ["a", "b"]
    assert writer(root).entry.kind == "recover"
    assert texts(root) == ["a", "b"]
    assert [event.gist for event in StoredSnapshot(root).events()] == ["old"]
