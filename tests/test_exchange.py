"""A memory goes out as plain files that others read, and comes back as the same memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mneme.errors import LockedError, MemoryFormatError, MnemeError
from mneme.memory import exchange, manifest
from mneme.memory.exchange import bring_in, content_hash, export
from mneme.memory.lock import WriterLock
from mneme.memory.memory import Memory
from mneme.memory.store import StoredSnapshot
from mneme.memory.writer import Writer
from mneme.ui.cli import app
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

PICTURE = np.full((40, 60, 3), 120, np.uint8)


@pytest.fixture
def full(memory: Memory) -> Path:
    """A memory of pictures, words, two events and a link."""
    seen = [look(1, RED, picture=PICTURE, text="a red mug; kitchen", place="kitchen"), look(12, GREEN), look(15, BLUE)]
    recorder = memory.recorder(DAY, boundaries=CutsAt(10))
    record(recorder, moments([*seen, say(4, 6, "über den Dächern, 東京")], until_s=20))
    recorder.finish(s(20))
    memory.sleep()
    memory.close()
    return memory.root


def told(root: Path) -> Any:
    snapshot = StoredSnapshot(root)
    percepts = snapshot.percepts(with_vectors=True)
    return (
        [(p.id, p.text, p.place, p.thumbnail, None if p.vector is None else p.vector.tolist()) for p in percepts],
        [(e.id, e.gist, e.percepts, e.strength, e.links) for e in snapshot.events()],
        [(place.id, place.name) for place in snapshot.places()],
        [(state.stream, state.seen_ns, state.closed_ns, state.done) for state in snapshot.streams()],
    )


def test_what_is_imported_is_the_memory_that_was_exported(full: Path, tmp_path: Path) -> None:
    out = export(StoredSnapshot(full), tmp_path / "out")
    back = bring_in(tmp_path / "out", tmp_path / "again", clock=lambda: 1)
    assert told(tmp_path / "again") == told(full)
    assert back.content_sha256 == out.content_sha256 == content_hash(StoredSnapshot(full))
    assert out.rows["percepts"] == 4
    with Memory.open(tmp_path / "again") as again:
        report = again.check()
        assert (report.ok, report.orphans) == (True, ())
        assert [hit.percept.text for hit in again.snapshot().matching("Dächern")] == ["über den Dächern, 東京"]
    picture = next(p.thumbnail for p in StoredSnapshot(full).percepts() if p.thumbnail)
    assert (tmp_path / "again" / picture).read_bytes() == (full / picture).read_bytes()


def test_pandas_and_duckdb_read_what_was_exported(full: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    pyarrow = pytest.importorskip("pyarrow")
    export(StoredSnapshot(full), tmp_path / "out")
    frame = pandas.read_feather(tmp_path / "out" / "percepts.arrow")
    assert set(frame["lane"]) == {"vision", "speech"}
    events = pyarrow.ipc.open_file(tmp_path / "out" / "events.arrow").read_all()  # noqa: F841  duckdb reads the name
    assert duckdb.sql("select max(t1_ns) from events").fetchall() == [(s(20),)]


def test_the_same_stream_gives_the_same_content_and_another_does_not(tmp_path: Path) -> None:
    hashes = []
    for name, vector, words in (("a", RED, "one"), ("b", RED, "one"), ("c", RED, "two")):
        with Memory.create(tmp_path / name, "embedded", [SPACE]) as made:
            recorder = made.recorder(DAY, boundaries=CutsAt())
            record(recorder, moments([look(1, vector), say(2, 3, words)], until_s=5))
            recorder.finish(s(5))
        hashes.append(content_hash(StoredSnapshot(tmp_path / name)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_export_goes_into_an_empty_folder_only(full: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(MnemeError, match="is not an empty folder"):
        export(StoredSnapshot(full), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("harm", ["missing", "changed", "foreign", "outside"])
def test_an_export_that_is_not_as_it_was_written_leaves_no_memory_behind(full: Path, tmp_path: Path, harm: str) -> None:
    export(StoredSnapshot(full), tmp_path / "out")
    events = tmp_path / "out" / "events.arrow"
    stated = json.loads((tmp_path / "out" / "export.json").read_text())
    if harm == "missing":
        events.unlink()
    elif harm == "changed":
        events.write_bytes(events.read_bytes()[:-9] + b"123456789")
    elif harm == "foreign":
        stated["format"] = "something else"
    else:
        stated["files"]["../../etc/passwd"] = "0"
    (tmp_path / "out" / "export.json").write_text(json.dumps(stated))
    with pytest.raises(MemoryFormatError):
        bring_in(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_commands_say_what_they_did_and_refuse_in_one_line(full: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["export", "-m", str(full), "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout)
    done = run(app, ["import", str(tmp_path / "out"), "-m", str(tmp_path / "again"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["content_sha256"] == first["content_sha256"]
    again = run(app, ["import", str(tmp_path / "out"), "-m", str(tmp_path / "again")])
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    nothing = run(app, ["import", str(tmp_path), "-m", str(tmp_path / "third")])
    assert nothing.exit_code == 2
    assert "has no export.json" in nothing.stderr


def test_an_import_leaves_alone_what_another_process_made_there_meanwhile(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(StoredSnapshot(full), tmp_path / "out")
    look_first, made = manifest.refuse_foreign, []

    def look_then(root: Path) -> None:
        look_first(root)
        if not made:
            made.append(root)
            with Memory.create(root, "embedded", [SPACE]) as other:
                recorder = other.recorder(DAY, boundaries=CutsAt(10))
                record(recorder, moments([say(2, 4, "acknowledged words")], until_s=20))
                recorder.finish(s(20))

    monkeypatch.setattr(manifest, "refuse_foreign", look_then)
    with pytest.raises(MemoryFormatError, match="there is a memory at"):
        bring_in(tmp_path / "out", tmp_path / "again")
    assert [p.text for p in StoredSnapshot(tmp_path / "again").percepts()] == ["acknowledged words"]


def test_an_import_leaves_alone_what_another_process_is_making(full: Path, tmp_path: Path) -> None:
    export(StoredSnapshot(full), tmp_path / "out")
    (tmp_path / "again").mkdir()
    held = WriterLock(tmp_path / "again", 0)
    with pytest.raises(LockedError):
        bring_in(tmp_path / "out", tmp_path / "again")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["lock"]
    held.release()
    bring_in(tmp_path / "out", tmp_path / "again")
    assert told(tmp_path / "again") == told(full)


@pytest.mark.parametrize("dies", ["building", "moving"])
def test_an_import_that_was_cut_off_is_no_memory_and_the_next_one_makes_it(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    export(StoredSnapshot(full), tmp_path / "out")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(exchange, "_clear", lambda _: None)  # as where the process is killed: it tidies nothing away
        if dies == "building":
            cut.setattr(Writer, "compact", die)
        else:
            cut.setattr(exchange, "flush_names", die)
        with pytest.raises(KeyboardInterrupt):
            bring_in(tmp_path / "out", tmp_path / "again")
    assert (tmp_path / "again" / "import.new").exists()
    with pytest.raises(MemoryFormatError):
        Memory.open(tmp_path / "again")
    bring_in(tmp_path / "out", tmp_path / "again")
    assert told(tmp_path / "again") == told(full)
    assert not (tmp_path / "again" / "import.new").exists()


@pytest.mark.parametrize("key", ["profile", "spaces", "streams", "rows", "content_sha256"])
def test_an_export_that_says_too_little_is_refused_in_one_line(full: Path, tmp_path: Path, key: str) -> None:
    export(StoredSnapshot(full), tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "export.json").read_text())
    del stated[key]
    (tmp_path / "out" / "export.json").write_text(json.dumps(stated))
    with pytest.raises(MemoryFormatError, match=f"lacks '{key}'"):
        bring_in(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again").exists()
