"""The disk budget: it speaks of what a memory makes, and percepts do not pay for what others take."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.memory import purge, tables, usage
from mneme.memory import writer as writing
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.sleep import _going
from mneme.memory.usage import Usage, measured
from mneme.records import NS_PER_S
from tests.recording import DAY, SPACE, CutsAt, moments, record, s, say

MB = 10**6
SAID = 60


@pytest.fixture
def talked(tmp_path: Path) -> Path:
    """A memory of a minute of talk in six events."""
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(*range(10, SAID, 10)))
        record(recorder, moments([say(t, t + 1, f"word{t} spoken") for t in range(SAID)], SAID))
        recorder.finish(s(SAID))
    return tmp_path / "m"


def slept(root: Path, budget_mb: float) -> tuple[int, int]:
    """How many percepts a sleep forgot, and how many are left."""
    with Memory.open(root, "w", settings=MemorySettings(budget_mb=budget_mb)) as memory:
        return memory.sleep().forgotten, len(memory.snapshot().percepts())


def test_a_copy_of_a_source_takes_no_room_from_what_is_remembered(talked: Path, caplog: Any) -> None:
    before = measured(talked)
    copy = talked / purge.COPIES / "0123" / "day.mp4"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(bytes(3 * MB))
    assert usage._COPIES == purge.COPIES
    assert (measured(talked).total, measured(talked).copies) == (before.total, 3 * MB)
    with caplog.at_level(logging.WARNING):
        assert slept(talked, 2.0) == (0, SAID)
    assert not caplog.records


def test_percepts_stay_where_forgetting_them_would_not_help_and_a_line_says_what_takes_the_room(
    talked: Path, caplog: Any
) -> None:
    (talked / "recalls").mkdir(exist_ok=True)
    (talked / "recalls" / "other.bin").write_bytes(bytes(3 * MB))
    with caplog.at_level(logging.WARNING):
        assert slept(talked, 2.0) == (0, SAID)
    (line,) = {record.getMessage() for record in caplog.records}
    assert "most is token state and logs (3.0 MB)" in line
    assert "set [memory] budget_mb to" in line
    assert "\n" not in line


def planned(root: Path, others: int, percepts: int, budget: int) -> float:
    """The share of percepts that goes where they, another table and the budget are of so many bytes."""
    with Memory.open(root, "w") as memory:
        sizes = Usage({tables.PERCEPTS: percepts, tables.LEDGER: others}, 0, 0)
        snapshot = memory.snapshot()
        going = _going(snapshot, MemorySettings(), s(SAID) + NS_PER_S, sizes, budget)
        return going.percepts / len(snapshot.percepts())


def test_percepts_pay_for_themselves_and_not_for_what_others_take(talked: Path) -> None:
    assert planned(talked, others=MB, percepts=20 * MB, budget=20 * MB) > 0.4  # of 41 MB at the peak to 16
    assert planned(talked, others=11 * MB, percepts=MB, budget=20 * MB) == 0  # 22 MB without any percept
    assert 0 < planned(talked, others=11 * MB, percepts=20 * MB, budget=20 * MB) < 1  # they are bounded all the same
    assert 0 < planned(talked, others=9 * MB, percepts=6 * MB, budget=20 * MB) < 1  # 18 MB without: they keep some


def test_the_old_files_of_a_table_go_before_the_next_is_written_anew(talked: Path, monkeypatch: Any) -> None:
    real, versions = writing.settle, []

    def settle(table: Any) -> None:
        others = [writer._tables[name] for name in tables.VERSIONED]
        versions.append([len(each.list_versions()) for each in others])
        real(table)

    with Memory.open(talked, "w", settings=MemorySettings(budget_mb=50.0)) as memory:
        writer = memory._writer
        assert writer is not None
        recorder = memory.recorder(DAY, replace=True, boundaries=CutsAt(5))
        record(recorder, moments([say(t, t + 1, f"other{t}") for t in range(10)], 10))
        recorder.finish(s(10))
        before = [p.id for p in memory.snapshot().percepts()]
        monkeypatch.setattr(writing, "settle", settle)
        writer.compact(history=False)
        counts = np.array(versions[: len(tables.VERSIONED) + 1])
        assert counts[0, :2].min() > 1
        assert counts[1:, 0].tolist() == [1] * 4  # of percepts
        assert counts[2:, 1].tolist() == [1] * 3  # of events
        assert [p.id for p in memory.snapshot().percepts()] == before
    assert Memory.open(talked).check().ok


def test_the_room_of_a_compaction_is_the_largest_table() -> None:
    sizes = Usage({"percepts": 8, "ledger": 5, "events": 1}, thumbnails=10, rest=2, copies=100)
    assert (sizes.tables, sizes.total, sizes.peak) == (14, 26, 34)
