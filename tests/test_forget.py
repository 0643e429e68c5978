"""Erasure: what was asked to be forgotten is nowhere, the rest is as before, and a crash changes nothing of that.

Run as a program (`python -m tests.test_forget FOLDER`) it is the eraser that the tests kill.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.scanner import Canaries
from benchmarks.scanner import scan as scan_files
from mneme.errors import MnemeError
from mneme.memory import ledger, purge, tables
from mneme.memory.changes import Changes
from mneme.memory.forget import Receipt
from mneme.memory.frames import FrameCache
from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.store import StoredSnapshot, connect
from mneme.memory.target import phrase
from mneme.memory.tokens import gather
from mneme.memory.verify import Search, Searched, verify
from mneme.pipeline.readers import Readers
from mneme.records import Link, Moment, Stream
from mneme.ui.cli import app
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

HERE = Path(__file__).parents[1]
CANARY = "the vault code is osprey"
SECRET = np.full((18, 32, 3), 200, np.uint8)
PLAIN = np.random.default_rng(1).integers(0, 255, (18, 32, 3)).astype(np.uint8)
PERCEPTS = (
    look(1, RED, picture=PLAIN),
    say(2, 4, "good morning to everybody"),
    look(12, GREEN, picture=SECRET, place="vault"),
    say(13, 15, CANARY),
    look(22, BLUE, picture=PLAIN, place="hall"),
    say(23, 25, "we are leaving the hall"),
)


def recorder(memory: Memory, stream: Stream = DAY, **kinds: Any) -> Recorder:
    return memory.recorder(stream, boundaries=CutsAt(10, 20, 30), **kinds)


def remember(root: Path) -> Path:
    """Three events: a greeting, the canary at 12 to 15 s in the place `vault`, a farewell."""
    with Memory.create(root, "embedded", [SPACE]) as memory:
        recording = recorder(memory)
        record(recording, moments(PERCEPTS, 40))
        recording.finish(s(40))
    return root


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remember(tmp_path_factory.mktemp("template") / "m")


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "m")
    return tmp_path / "m"


def scan(root: Path) -> Searched:
    return verify(root, Search(never=phrase(CANARY)))


def texts(root: Path) -> list[str | None]:
    return [percept.text for percept in StoredSnapshot(root).percepts()]


def forget(root: Path, **what: Any) -> Receipt:
    with Memory.open(root, "w") as memory:
        receipt = memory.forget(**what)
        assert memory.check().problems == ()
    return receipt


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    return list(connect(root).open_table(name).to_arrow().to_pylist())


@pytest.mark.parametrize("by", ["span", "event", "place"])
def test_what_is_forgotten_is_nowhere_and_the_rest_is_as_before(root: Path, by: str) -> None:
    before = StoredSnapshot(root)
    events, kept = before.events(), [p.id for p in before.percepts() if p.t0_ns not in (s(12), s(13))]
    answers = [hit.percept.id for hit in before.matching("hall")]
    asked = {"span": {"stream": "day", "t0_ns": s(12), "t1_ns": s(16)}, "event": {"event": events[1].id},
             "place": {"place": "Vault"}}[by]  # fmt: skip
    assert any("says it" in found for found in scan(root).found)
    receipt = forget(root, **asked)
    assert (receipt.verified, receipt.percepts, receipt.events, receipt.thumbnails) == (True, 2, 1, 1)
    assert receipt.places == 1  # the other lost nothing
    assert scan(root).found == ()
    after = StoredSnapshot(root)
    assert [p.id for p in after.percepts()] == kept
    assert after.matching("osprey") == []
    assert after.nearest("looks", GREEN)[0].similarity < 0.01
    assert [hit.percept.id for hit in after.matching("hall")] == answers
    assert [(e.id, e.t0_ns, e.t1_ns) for e in after.events()] == [(e.id, e.t0_ns, e.t1_ns) for e in events]
    assert [e.gist for e in after.events()] == [events[0].gist, "", *(e.gist for e in events[2:])]
    assert [place.key for place in after.places()] == ["hall"]


def test_words_are_found_exactly_whatever_their_case_and_take_with_them_what_was_seen_meanwhile(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recording = recorder(memory)
        shown = [look(3, RED), look(12, GREEN), say(11, 14, CANARY), say(16, 18, "an unvaulted code")]
        record(recording, moments(shown, 40))
        recording.finish(s(40))
        with pytest.raises(MnemeError, match="stand nowhere"):
            memory.forget(text="vault osprey")
        receipt = memory.forget(text="The VAULT, code")
        assert (receipt.verified, receipt.percepts) == (True, 2)
        assert [p.text for p in memory.snapshot().percepts()] == [None, "an unvaulted code"]
        assert json.dumps([row["note"] for row in rows(memory.root, tables.LEDGER)]).casefold().count("vault") == 0


def test_the_receipt_is_that_of_the_ledger(root: Path) -> None:
    receipt = forget(root, text=CANARY)
    entry = ledger.at(connect(root).open_table(tables.LEDGER), receipt.commit)
    assert (entry.kind, ledger.digest(entry)) == ("forget", receipt.ledger_sha256)
    assert (entry.note["asked"], entry.note["percepts"]) == ("text", 1)
    forget(root, stream="day")
    assert ledger.digest(ledger.at(connect(root).open_table(tables.LEDGER), receipt.commit)) == receipt.ledger_sha256


def test_a_stream_that_is_forgotten_leaves_no_name_of_its_source_and_is_not_watched_again(root: Path) -> None:
    copy = root / "sources" / "abc" / "day.mp4"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"video")
    other = Stream("other", str(copy), "digest-2")
    with Memory.open(root, "w") as memory:
        recording = recorder(memory, other)
        recording.observe(Moment("other", 0, (replace(say(0, 1, "kept"), stream="other"),)))
        recording.finish(s(2))
        assert memory.forget(stream="day").verified
        assert [state.stream.id for state in memory.snapshot().streams()] == ["other"]
        with pytest.raises(MnemeError, match="was erased from this memory on request"):
            recorder(memory, replace(DAY, id="another name"))
        assert copy.exists()
        assert memory.forget(stream="other").verified
    assert not copy.exists()
    assert texts(root) == []
    assert list((root / "thumbnails").glob("*/*")) == []
    told = json.dumps(rows(root, tables.LEDGER)) + (root / "manifest.json").read_text()
    assert "/videos/day.mp4" not in told
    with Memory.open(root, "w") as memory:  # the name is free for another source
        recorder(memory, replace(DAY, digest="digest-3")).finish(s(1))


@pytest.mark.parametrize("way", ["replaced", "under another name", "resumed"])
def test_what_was_erased_is_not_taken_in_again(root: Path, tmp_path: Path, way: str) -> None:
    if way == "resumed":
        root = tmp_path / "begun"
        with Memory.create(root, "embedded", [SPACE]) as memory:
            record(recorder(memory), moments(PERCEPTS, 28))
    with Memory.open(root, "w") as memory:
        memory.forget(stream="day", t0_ns=s(13), t1_ns=s(15))
        stream = DAY if way != "under another name" else replace(DAY, id="copy")
        recording = recorder(memory, stream, replace=way == "replaced")
        again = [
            replace(m, stream=stream.id, percepts=tuple(replace(p, stream=stream.id) for p in m.percepts))
            for m in moments(PERCEPTS, 40)
            if m.t_ns >= recording.resume_ns
        ]
        record(recording, again)
        recording.finish(s(40))
        assert memory.check().problems == ()
        there = [p.t0_ns for p in memory.snapshot().percepts(stream=stream.id)]
        assert there == [p.t0_ns for p in PERCEPTS if p.text != CANARY]
    assert not any("says it" in found for found in scan(root).found)


def test_a_stream_that_is_being_recorded_loses_it_too_and_goes_on(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recording = recorder(memory)
        coming = moments([*PERCEPTS, say(26, 28, "said at last")], 40)
        record(recording, coming[:26])  # what was said at 23 s has only just arrived
        assert "we are leaving the hall" in [p.text for p in recording.pending]
        assert memory.forget(text="leaving the hall").percepts == 1
        assert memory.forget(text=CANARY).percepts == 1
        assert [p.text for p in recording.pending if p.text] == []
        assert recording.sensory.between(0, s(40))
        assert not any(p.text for m in recording.sensory.between(s(20), s(40)) for p in m.percepts)
        record(recording, coming[26:])
        recording.finish(s(40))
        assert memory.check().problems == ()
        said = [p.text for p in memory.snapshot().percepts(lanes=("speech",))]
        assert said == ["good morning to everybody", "said at last"]
        assert memory.snapshot().events()[2].gist == "said at last"


def test_nothing_found_is_said_and_nothing_is_changed(root: Path) -> None:
    before = StoredSnapshot(root).commit
    with Memory.open(root, "w") as memory:
        for nothing in ({"text": "never said"}, {"place": "moon"}, {"event": "00"}, {"stream": "night"},
                        {"stream": "day", "t0_ns": s(5), "t1_ns": s(6)}):  # fmt: skip
            with pytest.raises(MnemeError):
                memory.forget(**nothing)  # type: ignore[arg-type]
        for wrong in ({}, {"text": "a", "stream": "day"}, {"text": "?!"}, {"t0_ns": 1, "text": "a"},
                      {"stream": "day", "t0_ns": 2, "t1_ns": 1}):  # fmt: skip
            with pytest.raises(MnemeError):
                memory.forget(**wrong)  # type: ignore[arg-type]
        assert memory.snapshot().commit == before
        assert (memory.manifest.erased, memory.manifest.erasing) == ((), None)


def test_what_was_derived_from_a_forgotten_event_is_made_anew_and_the_ties_go(root: Path) -> None:
    first, second, third, *_ = StoredSnapshot(root).events()
    summary = replace(
        first, gist=f"a morning, and {CANARY}", links=(Link("summary", second.id), Link("same", third.id))
    )
    with Memory.open(root, "w") as memory:
        import pyarrow as pa

        schema = tables.schemas([SPACE])[tables.EVENTS]
        put = pa.Table.from_pylist([tables.event_row(summary, 0) | {"strength": 3.0}], schema=schema)
        assert memory._writer is not None
        memory._writer.apply("sleep", Changes(put={tables.EVENTS: put}, note={"gist": CANARY, "count": 2}))
        receipt = memory.forget(event=second.id)
    assert (receipt.verified, receipt.links, receipt.gists) == (True, 1, 2)
    made = StoredSnapshot(root).events()[0]
    assert (made.gist, made.links, made.strength) == (first.gist, (Link("same", third.id),), 3.0)
    assert scan(root).found == ()
    notes = [json.loads(row["note"]) for row in rows(root, tables.LEDGER) if row["kind"] == "sleep"]
    assert notes == [{"count": 2}]


def test_rows_that_were_replaced_long_ago_do_not_stay_in_a_large_file(tmp_path: Path) -> None:
    """Lance leaves a few deleted rows of a large fragment where they are, also those of an earlier change."""
    root = tmp_path / "m"
    with Memory.create(root, "embedded", [SPACE]) as memory:
        recording = recorder(memory)
        said = [say(t / 10, t / 10 + 0.05, f"sentence {t}") for t in range(1, 300)]
        record(recording, moments([*said, say(33, 34, CANARY)], 40))
        recording.finish(s(40))
        event = memory.snapshot().events()[3]
        assert memory._writer is not None
        memory._writer.compact()
        receipt = memory.forget(event=event.id)
        assert receipt.verified
    assert scan(root).found == ()
    assert len(texts(root)) == 299
    assert not list(root.rglob("_deletions/*"))


def test_every_file_decoded_shows_the_canaries_before_and_none_of_them_after(root: Path) -> None:
    snapshot = StoredSnapshot(root)
    lost = [p for p in snapshot.percepts(with_vectors=True) if s(12) <= p.t0_ns < s(16)]
    canaries = Canaries([CANARY], [GREEN], pictures=[SECRET], ids=frozenset(p.id for p in lost))
    before = scan_files(root, canaries)
    assert all(before[kind] for kind in ("words", "vectors", "ids", "index", "thumbnails", "tokens"))
    assert forget(root, stream="day", t0_ns=s(12), t1_ns=s(16)).prototypes == 1
    assert not any(scan_files(root, canaries).values())


def test_what_a_copy_of_a_row_left_where_another_has_no_value_goes_too(tmp_path: Path) -> None:
    """Lance fills the place of a null with bytes of another row when it merges fragments; no decoding shows them."""
    root = tmp_path / "m"
    with Memory.create(root, "embedded", [SPACE]) as memory:
        assert memory._writer is not None
        state = StreamState(DAY, seen_ns=s(40))
        for t in range(0, 40, 2):
            pair = [(look(t, RED), None), (say(t + 1, t + 2, CANARY if t == 20 else f"sentence {t}"), None)]
            memory._writer.commit("observe", pair, [], replace(state, seen_ns=s(t + 2)))
        memory._writer.compact()
        assert memory.forget(text=CANARY).verified
    assert not [path for path in root.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_a_search_finds_what_is_left_over(root: Path) -> None:
    receipt = forget(root, text=CANARY)
    assert receipt.searched.found == ()
    data = root / "tables" / "percepts.lance" / "data"
    shutil.copy(next(data.glob("*.lance")), data / "left.lance")
    (root / "thumbnails" / "ab").mkdir()
    (root / "thumbnails" / "ab" / "left.jpg").write_bytes(b"")
    found = verify(root, Search()).found
    assert found == ("percepts: no version names data/left.lance", "no percept names thumbnails/ab/left.jpg")
    with Memory.open(root, "w") as memory:
        memory.forget(place="hall")
    assert verify(root, Search()).clean


def test_a_reader_of_the_past_is_told_in_one_line_and_reads_on_anew(root: Path) -> None:
    reader = Memory.open(root)
    old = reader.snapshot()
    assert CANARY in reader.reading(lambda snapshot: [p.text for p in snapshot.percepts()])
    forget(root, text=CANARY)
    with pytest.raises(MnemeError, match="try again"):
        old.percepts(lanes=("caption",))
    assert CANARY not in reader.reading(lambda snapshot: [p.text for p in snapshot.percepts()])


def test_tokens_of_another_process_forget_what_they_read_before(root: Path) -> None:
    def given() -> np.ndarray[Any, Any]:
        return gather(StoredSnapshot(root), lane="vision", space=SPACE, budget=8, cache=cache).tokens

    cache = FrameCache()
    assert (given() @ GREEN).max() > 0.9
    forget(root, place="vault")
    assert (given() @ GREEN).max() < 0.1
    assert not any(cache.percepts.get(key) for key in cache.percepts if (cache.percepts[key].vector == GREEN).all())


def test_an_erasure_waits_for_the_answers_that_began_before_it_and_for_no_later_one() -> None:
    readers, let_go, ended = Readers(), threading.Event(), threading.Event()

    def answer() -> None:
        with readers.one():
            begun.set()
            let_go.wait(10)

    def erase() -> None:
        readers.drain()
        ended.set()

    begun = threading.Event()
    threads = [threading.Thread(target=answer)]
    threads[0].start()
    begun.wait(10)
    assert not readers.drain(0.05)
    threads.append(threading.Thread(target=erase))
    threads[1].start()
    time.sleep(0.05)
    with readers.one():
        assert not ended.is_set()
        let_go.set()
        assert ended.wait(10)
    for thread in threads:
        thread.join()


def test_the_command_prints_a_receipt_or_one_line(root: Path) -> None:
    run = CliRunner().invoke
    nothing = run(app, ["forget", "-m", str(root), "--text", "never said"])
    assert (nothing.exit_code, nothing.output.count("\n")) == (2, 1)
    done = run(app, ["forget", "-m", str(root), "--stream", "day", "--from", "0:12", "--to", "16s", "--json"])
    receipt = json.loads(done.output)
    assert (done.exit_code, receipt["verified"], receipt["percepts"]) == (0, True, 2)
    assert receipt["spans"] == [{"stream": "day", "t0_s": 12.0, "t1_s": 16.0, "digest": "digest-1", "epoch_ns": 0}]
    assert run(app, ["forget", "-m", str(root), "--stream", "day", "--from", "soon"]).exit_code == 2
    assert "nothing of it is left" in run(app, ["forget", "-m", str(root), "--stream", "day"]).output


@pytest.mark.parametrize("step", ["rewrite", "rewrite_ledger", "only_newest", "remove_orphans"])
def test_an_erasure_that_is_cut_off_after_its_commit_is_finished_by_the_next_writer(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, Memory.open(root, "w") as memory:
        broken.setattr(purge, step, die)
        with pytest.raises(KeyboardInterrupt):
            memory.forget(stream="day")
    assert texts(root) == []
    assert not scan(root).clean
    with Memory.open(root, "w") as memory:
        assert memory.manifest.erasing is None
        assert memory.check().problems == ()
    assert scan(root).found == ()
    assert "/videos/day.mp4" not in json.dumps(rows(root, tables.LEDGER))


def test_killed_at_any_moment_a_memory_is_the_old_one_or_the_erased_one(
    template: Path, tmp_path: Path, kills: int
) -> None:
    chance = random.Random(5)
    whole, seen = texts(template), set()
    for kill in range(kills // 2):
        root = tmp_path / str(kill)
        shutil.copytree(template, root)
        program = [sys.executable, "-m", "tests.test_forget", str(root)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=HERE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 1.2))
            child.kill()
        old = CANARY in texts(root)
        assert texts(root) == [text for text in whole if old or text != CANARY]
        assert Memory.open(root).check().problems == ()
        seen.add(old)
        with Memory.open(root, "w") as memory:
            assert memory.manifest.erasing is None
            assert len(memory.manifest.erased) == (0 if old else 1)
            if old:
                assert memory.forget(text=CANARY).verified
        assert scan(root).found == ()
    assert False in seen


if __name__ == "__main__":
    with Memory.open(sys.argv[1], "w") as opened:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        opened.forget(text=CANARY)
