"""What a snapshot of a memory finds, and what it refuses."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mneme.errors import LockedError, MemoryFormatError, MnemeError
from mneme.memory import manifest
from mneme.memory.ledger import StreamState, TableState, append
from mneme.memory.lock import WriterLock
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot, connect
from mneme.memory.tables import schemas
from mneme.memory.writer import Writer
from mneme.records import NS_PER_S, Event, Percept, Space, Stream, Vector

SPACES = (Space("words", 4, "w1"), Space("Looks-v2", 3, "w2"))
ODD = 'it\'s \\ "x";\n-- été'


def unit(*numbers: float) -> Vector:
    vector = np.array(numbers, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def said(t_s: float, text: str, stream: str = "day", vector: Vector | None = None) -> Percept:
    t_ns = round(t_s * NS_PER_S)
    return Percept(stream, "speech", t_ns, t_ns + NS_PER_S, text=text, origin="subtitles",
                   space=None if vector is None else "words", vector=vector)  # fmt: skip


def seen(t_s: float, vector: Vector, stream: str = "day") -> Percept:
    t_ns = round(t_s * NS_PER_S)
    return Percept(stream, "vision", t_ns, t_ns + NS_PER_S, camera="left", space="Looks-v2", vector=vector,
                   tokens=np.arange(6, dtype=np.float16).reshape(2, 3), origin="colours", confidence=0.5)  # fmt: skip


def commit(root: Path, *percepts: Percept, events: tuple[Event, ...] = ()) -> Writer:
    """One commit a stream, in a memory of no further writer."""
    if not (root / "manifest.json").exists():
        Memory.create(root, "embedded", SPACES).close()
    writer = Writer(root, MemorySettings(), itertools.count().__next__)
    for stream, group in itertools.groupby(percepts, lambda p: p.stream):
        state = StreamState(Stream(stream, "/x", "d"), seen_ns=100 * NS_PER_S)
        writer.commit("observe", [(p, None) for p in group], [e for e in events if e.stream == stream], state)
    return writer


def test_a_percept_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    stored = seen(2.0, unit(1, 2, 3))
    commit(tmp_path / "m", said(1.0, "hello"), stored)
    bare, full = (StoredSnapshot(tmp_path / "m").percepts(lanes=["vision"], with_vectors=v)[0] for v in (False, True))
    assert bare.vector is None
    assert bare.tokens is None
    assert full.id == stored.id
    assert (full.camera, full.space, full.origin, full.confidence) == ("left", "Looks-v2", "colours", 0.5)
    np.testing.assert_array_equal(full.vector, stored.vector)
    np.testing.assert_array_equal(full.tokens, stored.tokens)


def test_a_percept_that_is_described_twice_comes_back_so_and_is_found_in_both_spaces(tmp_path: Path) -> None:
    windows = np.arange(6, dtype=np.float16).reshape(2, 3)
    stored = replace(
        said(1.0, "a red mug; kitchen", vector=unit(1, 0, 0, 0)), lane="vision",
        also={"Looks-v2": unit(1, 2, 3)}, look=windows,
    )  # fmt: skip
    commit(tmp_path / "m", stored, said(2.0, "hello", vector=unit(0, 1, 0, 0)))
    snapshot = StoredSnapshot(tmp_path / "m")
    twice, once = snapshot.percepts(with_vectors=True)
    assert (twice.space, twice.id, dict(once.also), once.look) == ("words", stored.id, {}, None)
    np.testing.assert_array_equal(twice.also["Looks-v2"], unit(1, 2, 3))
    np.testing.assert_array_equal(twice.look, windows)
    for space, query in (("words", unit(1, 0, 0, 0)), ("Looks-v2", unit(1, 2, 3))):
        assert snapshot.nearest(space, query, lanes=["vision"])[0].percept.id == stored.id
    assert snapshot.lanes_of("words") == {"vision", "speech"}
    assert snapshot.lanes_of("Looks-v2") == {"vision"}


def test_a_memory_of_an_earlier_release_is_read_as_it_is_and_gets_its_new_column_when_it_is_written(
    tmp_path: Path,
) -> None:
    root = tmp_path / "m"
    writer = commit(root, seen(1.0, unit(1, 2, 3)))
    table = connect(root).open_table("percepts")
    table.drop_columns(["look"])
    versions = {"percepts": TableState(table.version, table.count_rows())}
    ledgered = replace(writer.entry, commit=writer.entry.commit + 1, tables={**writer.entry.tables, **versions})
    append(connect(root).open_table("ledger"), schemas(SPACES)["ledger"], ledgered)
    old = StoredSnapshot(root).percepts(with_vectors=True)
    assert [(p.look, p.tokens is None) for p in old] == [(None, False)]
    twice = replace(seen(2.0, unit(3, 2, 1)), also={"words": unit(1, 0, 0, 0)}, look=np.ones((1, 4), np.float16))
    Memory.open(root, "w").close()
    commit(root, twice)
    assert [p.look is None for p in StoredSnapshot(root).percepts(with_vectors=True)] == [True, False]
    assert Memory.open(root).check().ok


def test_filters_are_a_conjunction_and_spans_are_half_open(tmp_path: Path) -> None:
    commit(tmp_path / "m", *(said(t, f"word {t}") for t in range(6)), said(2, "other", stream="night"))
    snapshot = StoredSnapshot(tmp_path / "m")
    found = snapshot.percepts(stream="day", t0_ns=2 * NS_PER_S, t1_ns=4 * NS_PER_S)
    assert [p.text for p in found] == ["word 2", "word 3"]
    assert snapshot.percepts(lanes=[]) == []
    assert snapshot.percepts(origins=["rapidocr"]) == []
    assert len(snapshot.percepts(origins=["subtitles"], lanes=["speech", "caption"])) == 7


def test_an_instant_is_found_at_its_time(tmp_path: Path) -> None:
    commit(tmp_path / "m", Percept("day", "sound", 5, 5, origin="onset"))
    snapshot = StoredSnapshot(tmp_path / "m")
    assert len(snapshot.percepts(t0_ns=5, t1_ns=6)) == 1
    assert snapshot.percepts(t0_ns=6) == []
    assert snapshot.percepts(t1_ns=5) == []


def test_names_with_quotes_are_names_and_not_code(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "mine", stream=ODD), said(1, "theirs", stream="x"))
    snapshot = StoredSnapshot(tmp_path / "m")
    assert [p.text for p in snapshot.percepts(stream=ODD)] == ["mine"]
    assert snapshot.percepts(stream="' OR '1'='1") == []
    assert snapshot.get("' OR '1'='1") is None
    assert [f.percept.text for f in snapshot.matching("mine theirs", stream=ODD)] == ["mine"]


def test_nearest_is_the_exact_cosine_within_the_filters(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    vectors = [unit(*rng.normal(size=4)) for _ in range(200)]
    commit(tmp_path / "m", *(said(t, "", vector=v) for t, v in enumerate(vectors)), seen(3, unit(1, 0, 0)))
    query = unit(*rng.normal(size=4))
    found = StoredSnapshot(tmp_path / "m").nearest("words", query, limit=5, t0_ns=50 * NS_PER_S)
    expected = sorted(range(50, 200), key=lambda i: -float(vectors[i] @ query))[:5]
    assert [f.percept.t0_ns // NS_PER_S for f in found] == expected
    np.testing.assert_allclose([f.similarity for f in found], [vectors[i] @ query for i in expected], atol=1e-5)


def test_equal_similarities_come_in_order_of_time(tmp_path: Path) -> None:
    same = unit(1, 1, 0, 0)
    commit(tmp_path / "m", *(said(t, "tick tock", vector=same) for t in range(99, -1, -1)))
    snapshot = StoredSnapshot(tmp_path / "m")
    assert [f.percept.t0_ns // NS_PER_S for f in snapshot.nearest("words", same, limit=4)] == [0, 1, 2, 3]
    assert [f.percept.t0_ns // NS_PER_S for f in snapshot.matching("tock", limit=4)] == [0, 1, 2, 3]


def test_a_vector_of_another_space_is_refused_with_the_mend(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "hello"))
    snapshot = StoredSnapshot(tmp_path / "m")
    with pytest.raises(MemoryFormatError, match=r"no space 'clip'.*reencode"):
        snapshot.nearest("clip", unit(1, 0, 0, 0))
    with pytest.raises(MemoryFormatError, match="4 dimensions"):
        snapshot.nearest("words", unit(1, 0, 0))


def test_words_are_found_before_and_after_they_are_indexed(tmp_path: Path) -> None:
    root = tmp_path / "m"
    commit(root, said(1, "a red mug stands on the table"), said(2, "the dog barks")).compact()
    commit(root, said(3, "two mugs in the kitchen"), said(4, "nothing here"))
    snapshot = StoredSnapshot(root)
    assert {f.percept.t0_ns // NS_PER_S for f in snapshot.matching("Where are the MUGS?")} == {1, 3}
    assert snapshot.matching("where is the") == []
    assert snapshot.matching("") == []
    assert snapshot.matching("mug", t0_ns=3 * NS_PER_S)[0].percept.text == "two mugs in the kitchen"
    assert snapshot.matching('") AND (* OR ^mug~2')[0].percept.text is not None


def test_rarer_words_weigh_more(tmp_path: Path) -> None:
    commit(tmp_path / "m", *(said(t, "the train leaves") for t in range(20)), said(30, "the platform changed"))
    assert StoredSnapshot(tmp_path / "m").matching("train platform")[0].percept.text == "the platform changed"


def test_neighbours_are_those_of_the_lane_on_both_sides(tmp_path: Path) -> None:
    far = [said(t, f"{t}") for t in (0, 40, 50, 60, 4000)]
    commit(tmp_path / "m", *far, seen(51, unit(1, 0, 0)))
    snapshot = StoredSnapshot(tmp_path / "m")
    assert [p.text for p in snapshot.neighbours(far[2], 1)] == ["40", "60"]
    assert [p.text for p in snapshot.neighbours(far[2], 9)] == ["0", "40", "60", "4000"]
    assert snapshot.neighbours(said(55, "never stored"), 2) == []


def test_an_event_comes_back_whole_and_in_order(tmp_path: Path) -> None:
    events = tuple(
        Event("day", t * NS_PER_S, (t + 5) * NS_PER_S, t // 5, percepts=(f"p{t}",), lanes=("speech",), gist=f"gist {t}",
              vectors={"words": unit(1, t, 0, 0)}, place="kitchen")
        for t in (5, 0)
    )  # fmt: skip
    commit(tmp_path / "m", said(1, "x"), events=events)
    snapshot = StoredSnapshot(tmp_path / "m")
    first, second = snapshot.events()
    assert (first.t0_ns, second.gist, second.place, second.percepts) == (0, "gist 5", "kitchen", ("p5",))
    np.testing.assert_allclose(second.vectors["words"], unit(1, 5, 0, 0))
    assert "Looks-v2" not in second.vectors
    found = snapshot.get(second.id)
    assert isinstance(found, Event)
    assert found.gist == "gist 5"
    assert snapshot.events("night") == []


def test_a_snapshot_does_not_move_when_the_writer_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "m"
    writer = commit(root, said(1, "before"))
    old = StoredSnapshot(root)
    state = StreamState(Stream("day", "/x", "d"), seen_ns=9 * NS_PER_S)
    writer.commit("observe", [(said(2, "after"), None)], [], state)
    writer.compact()
    assert [p.text for p in old.percepts()] == ["before"]
    assert old.matching("after") == []
    assert [p.text for p in StoredSnapshot(root).percepts()] == ["before", "after"]


def test_a_folder_that_is_not_a_memory_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    (tmp_path / "file").write_text("x")
    for path, fault in (("none", "no memory at"), ("photos", "is not a memory"), ("file", "is a file")):
        with pytest.raises(MemoryFormatError, match=fault) as raised:
            Memory.open(tmp_path / path)
        assert "\n" not in str(raised.value)
    for path, fault in (("photos", "holds other things"), ("file", "is a file"), ("file/below", "a file stands")):
        with pytest.raises(MnemeError, match=fault):
            Memory.create(tmp_path / path, "embedded", SPACES)


def test_a_memory_of_another_version_or_with_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "hello"))
    path = tmp_path / "m" / "manifest.json"
    good = path.read_text()
    path.write_text(json.dumps(json.loads(good) | {"version": 2}))
    with pytest.raises(MemoryFormatError, match=r"version 2.*reads version 1"):
        Memory.open(tmp_path / "m")
    for broken in ("", "[]", '{"format": "other"}', good[:40], '{"format": "mneme", "version": 1, "profile": "p"}'):
        path.write_text(broken)
        with pytest.raises(MemoryFormatError, match="cannot be understood"):
            Memory.open(tmp_path / "m", "w")


def test_keys_of_a_later_release_survive_in_the_manifest(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "hello"))
    path = tmp_path / "m" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colours": [["day", 0, 5]]}))
    commit(tmp_path / "m", said(1, "hello", stream="night"))
    known = json.loads(path.read_text())
    assert known["colours"] == [["day", 0, 5]]
    assert [stream["id"] for stream in known["streams"]] == ["day", "night"]


def test_a_creation_that_was_cut_off_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "lock").touch()
    (tmp_path / "m" / "manifest.json.new").write_text('{"format"')
    Memory.create(tmp_path / "m", "embedded", SPACES).close()
    assert Memory.open(tmp_path / "m").check().ok


def test_a_reader_of_a_memory_in_the_making_is_told_who_makes_it(tmp_path: Path) -> None:
    root = tmp_path / "m"
    root.mkdir()
    lock = WriterLock(root, 0)
    manifest.write(root, manifest.Manifest("embedded", SPACES))
    with pytest.raises(LockedError, match=r"is being made by process \d+ .*; try again"):
        Memory.open(root).snapshot()
    lock.release()
    with pytest.raises(MemoryFormatError, match="was cut off before its first commit"):
        Memory.open(root).snapshot()
    Memory.open(root, "w").close()
    assert Memory.open(root).check().ok


def test_spaces_that_would_share_a_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MemoryFormatError, match="share a column"):
        Memory.create(tmp_path / "m", "embedded", [Space("a-b", 2, ""), Space("A.b", 2, "")])


def test_a_second_writer_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    memory = Memory.create(tmp_path / "m", "embedded", SPACES)
    with pytest.raises(LockedError, match=r"process \d+ on .* since \d{4}-"):
        Memory.open(tmp_path / "m", "w")
    Memory.open(tmp_path / "m").close()
    memory.close()
    Memory.open(tmp_path / "m", "w").close()


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from mneme.memory.lock import WriterLock;"
        "WriterLock(Path(sys.argv[1]), 0); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert died.returncode == -9
    assert json.loads((tmp_path / "lock").read_text())["since"].startswith("1970")
    WriterLock(tmp_path, 0).release()


def test_reading_does_not_bring_torch_in(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "hello there"))
    program = (
        "import sys; from mneme.memory.memory import Memory;"
        "assert 'lancedb' not in sys.modules; memory = Memory.open(sys.argv[1]);"
        "assert memory.snapshot().matching('hello'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "m"], check=True)


def test_a_sight_that_surely_says_something_else_is_kept_however_alike_it_looks() -> None:
    from mneme.memory.working import OpenEvent
    from mneme.operators.separate import Separator

    event = OpenEvent("day", 0, 0, Separator)
    looks = [("a red mug; kitchen", 0.9), ("a red mug; kitchen", 0.9), ("; kitchen", 0.9), ("a mug; kitchen", 0.2)]
    sights = [replace(seen(t, unit(1, 2, 3)), text=text, confidence=sure) for t, (text, sure) in enumerate(looks)]
    assert [event.add(sight) for sight in sights] == [True, False, True, False]


def test_between_two_commits_a_snapshot_is_made_once_and_after_one_anew(tmp_path: Path) -> None:
    commit(tmp_path / "m", said(1, "hello"))
    with Memory.open(tmp_path / "m") as memory:
        first = memory.snapshot()
        assert memory.snapshot() is first
        commit(tmp_path / "m", said(1, "good night", stream="night"))
        second = memory.snapshot()
        assert second is not first
        assert second.commit > first.commit
        assert [state.stream.id for state in second.streams()] == ["day", "night"]
