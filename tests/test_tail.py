"""The tail of a large memory: while something is recorded its small files are put together, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory import tables, tail, writer
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.records import Moment, Percept, Stream
from tests.recording import SPACE, CutsAt, s

SETTINGS = MemorySettings(fragments=4, commit_every_s=0.0)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Memories of twenty rows count as large; which tables are compacted whole is noted."""
    settled: list[str] = []
    settle = writer.settle

    def noted(table: Any) -> None:
        settled.append(table.name)
        settle(table)

    monkeypatch.setattr(tail, "LARGE", 20)
    monkeypatch.setattr(writer, "settle", noted)
    return settled


def seen(k: int) -> Percept:
    vector = np.array([np.cos(k / 20), np.sin(k / 20), 0.0], np.float32)
    return Percept(f"yard {k // 20}", "vision", s(k), s(k + 1), space="looks", vector=vector, text=f"thing number {k}")


def watched(memory: Memory, first: int, last: int) -> None:
    """An event a second, each with one percept, in a commit of its own; a stream for each twenty."""
    for start in range(first, last, 20):
        stream = Stream(f"yard {start // 20}", "camera", "")
        recorder = memory.recorder(stream, boundaries=CutsAt(*range(1, last), late_s=0.0))
        for k in range(start, start + 20):
            recorder.observe(Moment(stream.id, s(k), (seen(k),), settled_ns=s(k)))
        recorder.finish(s(start + 20))


def test_small_files_of_a_large_memory_are_put_together_without_its_indexes(tmp_path: Path, large: list[str]) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        large.clear()
        watched(memory, 20, 60)
        assert large.count(tables.EVENTS) > 3
        assert large.count(tables.PERCEPTS) < large.count(tables.EVENTS) / 3
        table = memory.snapshot()._percepts
        assert table.stats()["fragment_stats"]["num_fragments"] < 30
        assert memory.check().ok
        snapshot = memory.snapshot()
        assert [p.text for p in snapshot.percepts()] == [f"thing number {k}" for k in range(60)]
        asked = seen(57).vector
        assert asked is not None
        assert snapshot.nearest("looks", asked, limit=1)[0].percept.text == "thing number 57"
        assert snapshot.matching("57", limit=1)[0].percept.text == "thing number 57"
        kept = snapshot.get(seen(57).id)
        assert isinstance(kept, Percept)
        assert kept.vector is not None
        np.testing.assert_allclose(kept.vector, asked, atol=1e-6)


def test_after_so_many_times_the_indexes_are_brought_up_to_date_all_the_same(
    tmp_path: Path, large: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_GATHERED", 2)
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        large.clear()
        watched(memory, 20, 60)
        assert 2 <= large.count(tables.PERCEPTS) < large.count(tables.EVENTS)


def test_a_past_before_the_files_were_put_together_can_still_be_asked_for(tmp_path: Path, large: list[str]) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        before = memory.snapshot()
        watched(memory, 20, 40)
        assert large.count(tables.EVENTS) > large.count(tables.PERCEPTS)
        assert len(before.percepts()) == 20


def test_a_disk_that_fills_up_meanwhile_loses_nothing(
    tmp_path: Path, large: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del large
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=SETTINGS) as memory:
        watched(memory, 0, 20)
        gather = tail.Tail.gather

        def half(_: tail.Tail, table: Any) -> None:
            table.delete("true")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tail.Tail, "gather", half)
        watched(memory, 20, 40)
        assert len(memory.snapshot().percepts()) == 40
        monkeypatch.setattr(tail.Tail, "gather", gather)
        watched(memory, 40, 60)
        assert len(memory.snapshot().percepts()) == 60
        assert memory.check().ok
    with pytest.raises(MnemeError):
        memory.sleep()
