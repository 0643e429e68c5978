"""The indexes of a large memory are in segments: they know all rows soon, nobody waits long, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from math import isqrt
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lancedb.index import IvfSq

from benchmarks.scanner import Canaries
from benchmarks.scanner import scan as scan_files
from mneme.errors import MnemeError
from mneme.memory import indexes, segments
from mneme.memory.as_of import AsOf
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.records import Moment, Percept, Space, Stream
from tests.recording import CutsAt, s

SPACE = Space("looks", 16, "v1")
SETTINGS = MemorySettings(fragments=4, commit_every_s=0.0)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories of twenty rows count as large, segments of ten as full."""
    monkeypatch.setattr(segments, "LARGE", 20)
    monkeypatch.setattr(segments, "FULL", 10)
    monkeypatch.setattr(segments, "MANY", 4)


def seen(k: int) -> Percept:
    drawn = np.random.default_rng(k).standard_normal(SPACE.dim)
    vector = np.asarray(drawn / np.linalg.norm(drawn), np.float32)
    return Percept(f"yard {k // 20}", "vision", s(k), s(k + 1), space="looks", vector=vector, text=f"thing number {k}")


def watched(memory: Memory, first: int, last: int) -> None:
    """An event every four seconds, in a commit of its own, with a percept a second; a stream for each twenty."""
    for start in range(first, last, 20):
        stream = Stream(f"yard {start // 20}", "camera", "")
        recorder = memory.recorder(stream, boundaries=CutsAt(*range(start + 4, start + 20, 4), late_s=0.0))
        for k in range(start, start + 20, 4):
            recorder.observe(Moment(stream.id, s(k), tuple(seen(k + i) for i in range(4)), settled_ns=s(k)))
        recorder.finish(s(start + 20))


def segments_of(memory: Memory) -> dict[str, int]:
    """Column -> the segments of its index."""
    table = memory.snapshot()._percepts
    return {index.columns[0]: index.num_segments for index in table.list_indices()}


def assert_holds(memory: Memory, count: int) -> None:
    """Each percept is there once, and is found by its words and by its vector."""
    snapshot = memory.snapshot()
    assert [p.text for p in snapshot.percepts(lanes=["vision"])] == [f"thing number {k}" for k in range(count)]
    for k in range(0, count, 7):
        asked = seen(k).vector
        assert asked is not None
        assert snapshot.nearest("looks", asked, limit=1)[0].percept.text == f"thing number {k}"
        assert snapshot.matching(str(k), limit=1)[0].percept.text == f"thing number {k}"
        kept = snapshot.get(seen(k).id)
        assert isinstance(kept, Percept)
        assert kept.vector is not None
        np.testing.assert_allclose(kept.vector, asked, atol=1e-6)


@pytest.mark.usefixtures("large")
def test_while_a_large_memory_is_recorded_its_words_are_indexed_in_segments(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        assert segments_of(memory)["text"] == 1
        watched(memory, 20, 60)
        assert 1 < segments_of(memory)["text"] <= 4
        table = memory.snapshot()._percepts
        assert table.stats()["fragment_stats"]["num_fragments"] < 12
        assert table.index_stats("text_idx").num_unindexed_rows <= 4 * SETTINGS.fragments
        assert_holds(memory, 60)
        assert memory.check().ok


def test_what_the_segments_hold_scores_as_it_would_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(root: Path) -> list[tuple[str | None, float]]:
        with Memory.create(root, "embedded", [SPACE], settings=SETTINGS) as memory:
            watched(memory, 0, 60)
            assert memory._writer is not None
            memory._writer.compact()
            found = memory.snapshot().matching("number 33", limit=60)
            return [(hit.percept.text, round(hit.similarity, 4)) for hit in found]

    whole = scores(tmp_path / "whole")
    for name, value in (("LARGE", 20), ("FULL", 10)):
        monkeypatch.setattr(segments, name, value)
    assert scores(tmp_path / "segmented") == whole


@pytest.mark.usefixtures("large")
def test_a_sleep_with_nothing_to_wait_for_it_unites_the_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "INDEXED_FROM", 20)
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 60)
        memory.sleep()
        assert segments_of(memory).keys() >= {"text", "t0_ns", "lane", "vector_looks"}
        monkeypatch.setattr(segments, "MANY", 1000)
        watched(memory, 60, 140)
        assert set(segments_of(memory).values()) != {1}
        assert_holds(memory, 140)
        monkeypatch.setattr(segments, "MANY", 2)
        memory.sleep()
        assert set(segments_of(memory).values()) == {1}
        assert_holds(memory, 140)


def unchanging(count: int, room: int) -> Any:
    """Rows of a camera in one room: all of them belong into a cell or two."""
    scene = 3 * np.random.default_rng(room).standard_normal(SPACE.dim)
    drawn = np.random.default_rng(count).standard_normal((count, SPACE.dim)) * 0.3 + scene
    flat = pa.array(drawn.astype(np.float32).ravel())
    return pa.table({"v": pa.FixedSizeListArray.from_arrays(flat, SPACE.dim)})


@pytest.mark.parametrize("split", [False, True])
def test_a_cell_that_grows_beyond_the_others_keeps_nothing_from_being_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: bool
) -> None:
    """split: LanceDB divided it, as it does where it is asked to optimize; such segments cannot be merged."""
    for name, value in (("LARGE", 300), ("FULL", 300), ("MANY", 3)):
        monkeypatch.setattr(segments, name, value)
    table = lancedb.connect(tmp_path).create_table("some", pa.concat_tables(unchanging(50, room) for room in range(10)))
    table.create_index("v", config=IvfSq(distance_type="cosine", target_partition_size=2 * isqrt(500)))
    count = 500
    for k in range(24):
        count += 100
        table.add(unchanging(100, k // 3 % 6))
        segments.settle(table)
        settled = table.version
        segments.clean(table, timedelta(0))
        assert (table.version, len(table.list_versions())) == (settled, 1)
        if split:
            table.optimize()
        known = table.index_stats("v_idx")
        assert (known.num_indexed_rows, known.num_unindexed_rows) == (count, 0)
        asked = np.ones(SPACE.dim, np.float32)
        assert len(table.search(asked).nprobes(count).limit(count).to_arrow()) == count
    [index] = table.list_indices()
    assert split or index.num_segments <= 5


@pytest.mark.usefixtures("large")
def test_what_is_erased_is_in_no_segment(tmp_path: Path) -> None:
    root = tmp_path / "m"
    with Memory.create(root, "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 60)
        assert segments_of(memory)["text"] > 1
    lost, vector = seen(47), seen(47).vector
    assert vector is not None
    canaries = Canaries(["thing number 47"], [vector], ids=frozenset([lost.id]))
    before = scan_files(root, canaries)
    assert all(before[kind] for kind in ("words", "vectors", "ids"))
    with Memory.open(root, "w", settings=SETTINGS) as memory:
        assert memory.forget(text="thing number 47").percepts == 1
        assert [p.text for p in memory.snapshot().percepts()].count("thing number 47") == 0
        watched(memory, 60, 80)
        assert memory.snapshot().matching("46", limit=1)[0].percept.text == "thing number 46"
        assert memory.check().ok
    assert {kind: n for kind, n in scan_files(root, canaries).items() if n} == {}


@pytest.mark.usefixtures("large")
def test_a_past_before_the_segments_were_written_can_still_be_asked_for(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 40)
        before = memory.snapshot()
        answers = [(hit.percept.id, hit.similarity) for hit in before.matching("number 7")]
        watched(memory, 40, 60)
        then = memory.snapshot(AsOf("commit", before.commit))
        assert len(then.percepts()) == 40
        assert [(hit.percept.id, hit.similarity) for hit in then.matching("number 7")] == answers


@pytest.mark.usefixtures("large")
def test_a_disk_that_fills_up_meanwhile_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        with monkeypatch.context() as patch:

            def half(table: Any) -> None:
                table.to_lance().optimize.compact_files()
                raise OSError(28, "No space left on device")

            patch.setattr(segments, "_settle_large", half)
            watched(memory, 20, 40)
            assert_holds(memory, 40)
            assert memory._writer is not None
            with pytest.raises(MnemeError, match="the disk is full"):
                memory._writer.compact()
        watched(memory, 40, 60)
        assert_holds(memory, 60)
        assert memory.check().ok


def test_the_newest_segment_is_written_anew_until_it_is_full_and_full_ones_are_merged() -> None:
    full = segments.FULL
    assert segments.anew([1_000_000]) == 0
    assert segments.anew([1_000_000, full - 1]) == 1
    assert segments.anew([1_000_000, full]) == 0
    assert segments.anew([1_000_000, *[full] * 7]) == 0
    assert segments.anew([1_000_000, *[full] * 8]) == 8
    assert segments.anew([1_000_000, 8 * full, *[full] * 7, 5]) == 1
    assert segments.anew([]) == 0


@given(st.lists(st.integers(1, 3000), max_size=400))
def test_however_rows_come_segments_are_few_and_most_are_written_a_few_times(commits: list[int]) -> None:
    rows, written = [100_000], 0
    for came in commits:
        count = segments.anew(rows)
        rows[len(rows) - count :] = [sum(rows[len(rows) - count :]) + came]
        written += rows[-1] if count > 1 else 0
    came = sum(commits)
    assert sum(rows) == 100_000 + came
    assert len(rows) <= 2 + segments.MANY + came // (segments.MANY * segments.FULL)
    assert written <= 100_000 + came  # by merges: once each, and what was there once
