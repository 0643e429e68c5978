"""What a check finds is mended where nothing has to be invented, and said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mneme.memory import tables
from mneme.memory.changes import Changes
from mneme.memory.consolidate import rows_by_id, with_column
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.memory.writer import Writer
from mneme.ui.cli import app
from tests.recording import DAY, GREEN, RED, CutsAt, look, moments, record, s, say


@pytest.fixture
def root(memory: Memory) -> Path:
    """A whole memory of two events, with one picture."""
    picture = np.full((40, 60, 3), 90, np.uint8)
    recorder = memory.recorder(DAY, boundaries=CutsAt(10))
    record(recorder, moments([look(1, RED, picture=picture), look(12, GREEN), say(4, 6, "hello")], until_s=20))
    recorder.finish(s(20))
    memory.close()
    return memory.root


def harmed(root: Path, harm: str) -> None:
    """The memory with something wrong in it, as no release of ours would leave it."""
    writer = Writer(root, MemorySettings(), lambda: 0)
    snapshot = StoredSnapshot(root)
    first, second = snapshot.events()
    if harm == "a picture is lost":
        next((root / "thumbnails").glob("*/*.jpg")).unlink()
    elif harm == "a picture belongs to nothing":
        (root / "thumbnails" / "ff").mkdir(exist_ok=True)
        (root / "thumbnails" / "ff" / "ff00.jpg").write_bytes(b"x")
    elif harm == "an event lists what is not there":
        rows = with_column(rows_by_id(snapshot, tables.EVENTS, [first.id]), "percepts", [["0" * 20]])
        writer.apply("sleep", Changes(put={tables.EVENTS: rows}))
    elif harm == "an event misses what is there":
        rows = with_column(rows_by_id(snapshot, tables.EVENTS, [second.id]), "percepts", [[]])
        writer.apply("sleep", Changes(put={tables.EVENTS: rows}))
    elif harm == "a row stands twice":
        rows: Any = writer.read(tables.PERCEPTS, "text = 'hello'")
        writer._tables[tables.PERCEPTS].add(rows)
        writer._append_entry("sleep", writer.streams)


HARMS = ["a picture is lost", "an event lists what is not there", "an event misses what is there", "a row stands twice"]


@pytest.mark.parametrize("harm", HARMS)
def test_what_a_check_finds_is_mended_and_the_rest_stays_as_it_was(root: Path, harm: str) -> None:
    before = [(p.id, p.text) for p in StoredSnapshot(root).percepts()]
    lists = [event.percepts for event in StoredSnapshot(root).events()]
    harmed(root, harm)
    with Memory.open(root) as memory:
        assert not memory.check().ok
    with Memory.open(root, "w") as memory:
        done = memory.repair()
    assert done.ok, done.left
    assert len(done.mended) == 1
    with Memory.open(root) as memory:
        assert memory.check().ok
    assert [(p.id, p.text) for p in StoredSnapshot(root).percepts()] == before
    assert [event.percepts for event in StoredSnapshot(root).events()] == lists


def test_pictures_that_belong_to_nothing_go(root: Path) -> None:
    harmed(root, "a picture belongs to nothing")
    with Memory.open(root, "w") as memory:
        assert len(memory.repair().mended) == 1
        assert memory.check().orphans == ()


def test_long_term_memory_that_cannot_be_read_is_fed_anew(root: Path) -> None:
    states = [state for state in StoredSnapshot(root).streams() if state.tokens is not None]
    assert states, "a stream that ended has its long-term memory on the disk"
    (root / str(states[0].tokens)).write_bytes(b"no tokens")
    with Memory.open(root) as memory:
        assert any("cannot be read" in problem for problem in memory.check().problems)
    with Memory.open(root, "w") as memory:
        done = memory.repair()
    assert (done.ok, len(done.mended)) == (True, 1)


def test_the_command_says_what_it_mended_and_that_there_is_nothing_to_mend(root: Path) -> None:
    harmed(root, "an event misses what is there")
    run = CliRunner().invoke
    done = run(app, ["repair", "-m", str(root), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (0, True)
    again = run(app, ["repair", "-m", str(root)])
    assert (again.exit_code, again.stdout) == (0, "nothing to mend\n")
    nowhere = run(app, ["repair", "-m", str(root / "nowhere")])
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (2, 1)
