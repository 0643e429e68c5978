"""Where events end is what a person says: merged and split, undone, and honoured when the source is watched again."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import mneme
from mneme.errors import MnemeError
from mneme.memory import corrected, semantic, tables, token_state
from mneme.memory.as_of import AsOf
from mneme.memory.changes import Changes
from mneme.memory.corrected import Corrected, Correction
from mneme.memory.duplicates import SAME
from mneme.memory.exchange import bring_in, export
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.semantic import Summary
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.pipeline.reencode import reencode
from mneme.records import Event, Link, Percept, Space, Stream
from mneme.ui.cli import app
from tests.naming import Naming
from tests.recording import DAY, SPACE, CutsAt, moments, record, s, say

CUTS = (4, 9, 14, 21, 26, 33)
END = 40
SETTINGS = MemorySettings(separation=1.1, commit_every_s=0.0)
"""Every sight is kept, so that what an event holds does not depend on where the one before it ended."""
_VECTORS = np.random.default_rng(5).normal(size=(END, 3)).astype(np.float32)


def sight(t: int) -> Percept:
    vector = _VECTORS[t] / np.linalg.norm(_VECTORS[t])
    place = "hall" if t < 20 else "attic"
    return Percept("day", "vision", s(t), s(t + 1), space="looks", vector=vector, origin="colours", place=place)


PERCEPTS = [sight(t) for t in range(END)] + [say(t + 0.5, t + 1.5, f"word {t}") for t in range(1, END - 2, 3)]


def watch(memory: Memory, *, upto_s: int = END, cuts: Sequence[float] = CUTS, **kinds: Any) -> Recorder:
    """Records the day, from its start or where it was left; `upto_s` before the end: breaks off there."""
    percepts = kinds.pop("percepts", PERCEPTS)
    recorder = memory.recorder(kinds.pop("stream", DAY), boundaries=CutsAt(*cuts), **kinds)
    named = (
        replace(m, stream=recorder.stream.id, percepts=tuple(replace(p, stream=recorder.stream.id) for p in m.percepts))
        for m in moments(percepts, END)
    )
    record(recorder, (m for m in named if recorder.resume_ns <= m.t_ns <= s(upto_s)))
    if upto_s >= END:
        recorder.finish(s(END))
    else:
        memory.release(recorder)
    return recorder


def lived(root: Path, **kinds: Any) -> Memory:
    memory = Memory.create(root, "embedded", [SPACE], settings=SETTINGS)
    watch(memory, **kinds)
    return memory


def told(memory: Memory, stream: str = "day") -> list[Any]:
    """All that an event is made of."""
    return [
        (e.id, e.t0_ns, e.t1_ns, e.ordinal, e.percepts, e.lanes, e.gist, e.place,
         {space: v.round(5).tolist() for space, v in e.vectors.items()})
        for e in memory.snapshot().events(stream)
    ]  # fmt: skip


def ends(memory: Memory, stream: str = "day") -> list[float]:
    return [event.t1_ns / s(1) for event in memory.snapshot().events(stream)]


def events(memory: Memory) -> list[Event]:
    return memory.snapshot().events("day")


def tie(memory: Memory, one: int, other: int) -> None:
    """Links two events of the day by hand, and makes the first stronger."""
    snapshot = memory.snapshot()
    found = snapshot.events("day")
    rows = snapshot.rows(tables.EVENTS).to_pylist()
    for this, that in ((one, other), (other, one)):
        row = next(row for row in rows if row["id"] == found[this].id)
        row["links"].append({"kind": SAME, "event": found[that].id, "weight": 0.97})
        row |= {"strength": 3.0, "recalls": 2, "recalled_ns": 77} if this == one else {}
    put(memory, tables.EVENTS, rows)


def put(memory: Memory, table: str, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    made = pa.Table.from_pylist(rows, schema=tables.schemas((SPACE,))[table])
    memory._writer.apply("sleep", Changes(put={table: made}))  # type: ignore[union-attr]


def test_two_events_become_one_and_nothing_else_changes_but_the_numbers_of_those_after_it(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        before, percepts = events(memory), [p.id for p in memory.snapshot().percepts()]
        [made] = memory.correct(before[1].id)
        after = events(memory)
        assert ends(memory) == [4, 14, 21, 26, 33, 40]
        assert after[1].id == made.id
        assert set(made.percepts) == {*before[1].percepts, *before[2].percepts}
        assert [e.ordinal for e in after] == list(range(6))
        assert after[0].id == before[0].id
        assert [e.gist for e in after[2:]] == [e.gist for e in before[3:]]
        assert [p.id for p in memory.snapshot().percepts()] == percepts
        assert memory.snapshot().streams()[0].events == 6
        assert memory.check().problems == ()
    with Memory.open(tmp_path / "m") as again:
        assert again.check().ok
        assert ends(again) == [4, 14, 21, 26, 33, 40]


def test_a_split_and_a_merge_undo_each_other(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        before = told(memory)
        one, other = memory.correct(events(memory)[3].id, s(17.5))
        assert (one.t1_ns, other.t0_ns) == (s(17.5), s(17.5))
        assert ends(memory) == [4, 9, 14, 17.5, 21, 26, 33, 40]
        assert memory.check().problems == ()
        memory.correct(other.id, with_next=False)
        assert told(memory) == before
        [made] = memory.correct(before[0][0])
        memory.correct(made.id, s(4))
        assert told(memory) == before
        assert memory.check().problems == ()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_corrected_watching_again_gives_the_events_that_the_corrections_made(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    with lived(tmp_path / "m") as memory:
        for _ in range(6):
            chosen = rng.choice(events(memory))
            if rng.random() < 0.5 and chosen.t1_ns - chosen.t0_ns >= s(4):
                memory.correct(chosen.id, rng.randrange(chosen.t0_ns + s(1.5), chosen.t1_ns - s(1.5), s(0.5)))
            else:
                memory.correct(chosen.id, with_next=chosen.t1_ns < s(END))
            assert memory.check().problems == ()
        corrected_so, vague = told(memory), [cut + rng.choice((-0.4, 0.0, 0.4)) for cut in CUTS]
        state = memory.snapshot().streams()[0]
        known = {e.id for e in events(memory)}
        longterm = token_state.load(memory.root, state.tokens or "")
        assert longterm.events == len(known)
        assert {e for bank in longterm.banks.values() for p in bank.prototypes for e in p.events} <= known
        with lived(tmp_path / "fresh", cuts=[end for end in ends(memory) if end < END]) as fresh:
            assert told(fresh) == corrected_so
        watch(memory, replace=True, stream=replace(DAY, source="/moved.mp4"))
        assert told(memory) == corrected_so
        watch(memory, replace=True, cuts=vague, upto_s=22)  # broken off, and gone on with
        watch(memory, replace=True, cuts=vague)
        said = {each.cut_ns: each.cut for each in memory.manifest.corrections}
        assert {cut for cut, kept in said.items() if kept} <= {s(end) for end in ends(memory)}
        assert not {s(end) for end in ends(memory)} & {cut for cut, kept in said.items() if not kept}
        assert len(ends(memory)) == len(corrected_so)
        assert memory.check().problems == ()


def test_an_interrupted_stream_that_was_corrected_goes_on(tmp_path: Path) -> None:
    with lived(tmp_path / "m", upto_s=24) as memory:
        assert ends(memory) == [4, 9, 14, 21]
        memory.correct(events(memory)[2].id)
        assert memory.check().problems == ()
        memory.correct(events(memory)[0].id, s(2))
        watch(memory)
        assert ends(memory) == [2, 4, 9, 21, 26, 33, 40]
        assert memory.check().problems == ()


def test_the_same_source_is_cut_so_under_another_name_and_another_source_is_not(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        memory.correct(events(memory)[1].id)
        watch(memory, stream=Stream("copy", "/copy.mp4", DAY.digest))
        watch(memory, stream=Stream("other", "/other.mp4", "digest-9"))
        assert ends(memory, "copy") == ends(memory) == [4, 14, 21, 26, 33, 40]
        assert ends(memory, "other") == [*CUTS, END]


def test_what_an_event_was_to_memory_stays_and_what_names_later_ones_follows(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        watch(memory, stream=Stream("other", "/other.mp4", "digest-9"))
        tie(memory, 2, 5)
        tie(memory, 4, 6)
        was = events(memory)
        names = [e.id for e in was]
        summaries = [
            Summary("span", "day", 0, 0, s(9), "", "early", 2, events=tuple(names[:2])),
            Summary("span", "day", 0, s(9), s(21), "", "middle", 2, events=tuple(names[2:4])),
            Summary("recurring", "other", 0, s(26), s(END), "", "late", 2, events=tuple(names[5:])),
        ]
        put(memory, tables.SUMMARIES, semantic.rows_of(summaries).to_pylist())
        memory.correct(names[2])
        now = events(memory)
        assert [e.strength for e in now] == [1, 1, 3, 3, 1, 1]
        assert [e.links for e in now] == [(), (), (), (Link(SAME, now[5].id, pytest.approx(0.97)),), (),
                                          (Link(SAME, now[3].id, pytest.approx(0.97)),)]  # fmt: skip
        rows = {row["id"]: row for row in memory.snapshot().rows(tables.EVENTS).to_pylist()}
        assert (rows[now[2].id]["recalls"], rows[now[2].id]["recalled_ns"]) == (2, 77)
        assert (rows[now[3].id]["recalls"], rows[now[0].id]["recalled_ns"]) == (2, None)
        assert {(each.text, each.events) for each in memory.snapshot().summaries()} == {
            ("early", (now[0].id, now[1].id)), ("late", (now[4].id, now[5].id))
        }  # fmt: skip
        memory.sleep()
        assert memory.check().problems == ()


def test_the_past_shows_the_events_as_they_were(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        before, commit = told(memory), memory.snapshot().commit
        memory.correct(events(memory)[1].id)
        memory.correct(events(memory)[0].id, s(2))
        past = memory.snapshot(AsOf("commit", commit))
        assert [e.id for e in past.events("day")] == [each[0] for each in before]
        assert past.streams()[0].events == len(before)
        assert told(memory) != before


def test_sleep_that_planned_before_a_correction_plans_anew(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        corrections = iter([None])

        def summarise(_: Sequence[Percept]) -> str:
            for _ in corrections:  # while it plans
                memory.correct(events(memory)[1].id)
            return "told"

        memory.sleep(summarise)
        known = {e.id for e in events(memory)}
        assert len(known) == len(CUTS)
        assert all(set(each.events) <= known for each in memory.snapshot().summaries())
        assert memory.check().problems == ()


def test_a_stream_that_is_erased_takes_its_corrections_along_and_a_span_does_not(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        watch(memory, stream=Stream("other", "/other.mp4", "digest-9"), percepts=[say(1, 2, "hello"), say(6, 7, "bye")])
        memory.correct(events(memory)[1].id)
        memory.correct(events(memory)[1].id, s(11))
        memory.correct(memory.snapshot().events("other")[0].id)
        assert memory.forget(stream="day", t0_ns=0, t1_ns=s(12)).verified
        assert {each.stream for each in memory.manifest.corrections} == {"day", "other"}
        assert memory.check().problems == ()
        assert memory.forget(stream="day").verified
        assert [(each.stream, each.cut_ns) for each in memory.manifest.corrections] == [("other", s(4))]
    with Memory.open(tmp_path / "m", "w") as again:
        assert [each.stream for each in again.manifest.corrections] == ["other"]


def test_corrections_go_with_a_memory_that_moves(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        memory.correct(events(memory)[1].id)
        memory.correct(events(memory)[0].id, s(2))
        before = [(e.id, e.gist, e.percepts) for e in events(memory)]
        said = memory.manifest.corrections
        export(memory.snapshot(), tmp_path / "out")
    assert len(said) == 2
    bring_in(tmp_path / "out", tmp_path / "copy")
    profile = Naming()
    reencode(tmp_path / "m", profile.name, profile=profile)  # type: ignore[arg-type]
    for root in (tmp_path / "copy", tmp_path / "m"):
        with Memory.open(root) as moved:
            assert moved.manifest.corrections == said
            assert [(e.id, e.gist, e.percepts) for e in events(moved)] == before
            assert moved.check().ok


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        (lambda m, _: m.correct("nothing"), "no event 'nothing'"),
        (lambda m, e: m.correct(e[-1].id), "has no event after it"),
        (lambda m, e: m.correct(e[0].id, with_next=False), "has no event before it"),
        (lambda m, e: m.correct(e[1].id, s(4)), "4 s is not inside"),
        (lambda m, e: m.correct(e[1].id, s(9)), "9 s is not inside"),
        (lambda m, e: m.correct(e[1].id, s(300)), "300 s is not inside"),
    ],
)
def test_what_cannot_be_corrected_is_said_and_nothing_is_changed(tmp_path: Path, what: Any, fault: str) -> None:
    with lived(tmp_path / "m") as memory:
        before = memory.snapshot().commit
        with pytest.raises(MnemeError, match=fault):
            what(memory, events(memory))
        assert (memory.snapshot().commit, memory.manifest.corrections) == (before, ())


def test_a_stream_that_is_being_recorded_or_replaced_is_not_corrected(tmp_path: Path) -> None:
    with lived(tmp_path / "m", upto_s=24) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(*CUTS))
        with pytest.raises(MnemeError, match="'day' is being recorded"):
            memory.correct(events(memory)[0].id)
        memory.release(recorder)
        watch(memory)
        watch(memory, replace=True, upto_s=24)
        with pytest.raises(MnemeError, match="'day' is just being replaced"):
            memory.correct(events(memory)[0].id)
        assert memory.manifest.corrections == ()
    with Memory.open(tmp_path / "m") as reader, pytest.raises(MnemeError, match="open for reading"):
        reader.correct(events(reader)[0].id)


def test_a_correction_whose_writer_died_before_the_manifest_is_honoured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = lived(tmp_path / "m")

    def dies(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory._writer, "_note_in_manifest", dies)
    with pytest.raises(KeyboardInterrupt):
        memory.correct(events(memory)[1].id)
    memory._lock.release()  # type: ignore[union-attr]
    assert memory.manifest.corrections == ()
    with Memory.open(tmp_path / "m", "w", settings=SETTINGS) as again:
        assert [(each.cut_ns, each.cut) for each in again.manifest.corrections] == [(s(9), False)]
        watch(again, replace=True)
        assert ends(again) == [4, 14, 21, 26, 33, 40]


def test_cuts_near_a_correction_go_and_the_persons_own_come_in_order_and_never_late() -> None:
    said = [Correction("day", s(10), False), Correction("day", s(20), True), Correction("day", s(30), True)]
    detector = Corrected(CutsAt(4, 10.9, 11.1, 19.2, 25), said)
    cuts: list[int] = []
    for t in range(28):
        settled = detector.settled_ns
        new = detector.push(s(t), None, None)
        assert all(settled <= cut <= s(t) for cut in new)
        cuts += new
    assert cuts == [s(4), s(11.1), s(20), s(25)]
    assert detector.flush() == [s(30)]
    later = Corrected(CutsAt(), said)
    later.resume(s(20))
    assert later.flush() == [s(30)]


def test_a_cut_that_stands_close_beside_a_correction_stays() -> None:
    with_digest, live = Stream("a", "/a", "d"), Stream("live", "camera", "")
    said = corrected.noted((), [corrected.correction_of(with_digest, s(4), True)])
    said = corrected.noted(said, [corrected.correction_of(replace(with_digest, id="b"), s(4), False)])
    assert [(each.stream, each.cut) for each in said] == [("b", False)]
    said = corrected.noted(said, [corrected.correction_of(live, s(4), False)])
    assert len(said) == 2
    assert len(corrected.concerning(said, replace(live, epoch_ns=5))) == 0


def test_a_piece_shorter_than_the_reach_of_a_correction_is_cut_again(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        memory.correct(events(memory)[1].id, s(4.5))
        assert ends(memory)[:3] == [4, 4.5, 9]
        before = told(memory)
        watch(memory, replace=True)
        assert told(memory) == before


def test_long_term_memory_that_is_behind_or_lost_is_no_obstacle(tmp_path: Path) -> None:
    cuts = tuple(range(2, END, 2))
    with lived(tmp_path / "m", cuts=cuts, upto_s=38) as memory:
        state = memory.snapshot().streams()[0]
        assert token_state.load(memory.root, state.tokens or "").events == 16 < state.events
        memory.correct(events(memory)[15].id)  # one that it took up, and one that it did not
        now = memory.snapshot().streams()[0]
        assert token_state.load(memory.root, now.tokens or "").events == 16
        assert token_state.restored(memory.snapshot(), now).events == now.events
        (memory.root / (now.tokens or "")).unlink()
        memory.correct(events(memory)[0].id)
        assert memory.snapshot().streams()[0].tokens is None
        assert memory.check().problems == ()


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A memory of the profile `embedded`, with its own space."""
    from mneme.encoders.profiles import Embedded

    spaces: list[Space] = list(Embedded().spaces)
    with Memory.create(tmp_path / "m", "embedded", spaces) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(60, 120), monotonic=itertools.count(0, s(9)).__next__)
        words = [say(t, t + 2, f"sentence number {t}") for t in range(5, 180, 10)]
        record(recorder, moments(words, 180))
        recorder.finish(s(180))
    return tmp_path / "m"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_command_merges_and_splits_and_prints_what_came_of_it(spoken: Path) -> None:
    listed = json.loads(run("events", "--memory", spoken, "--json").stdout)
    done = run("events", "--memory", spoken, "--merge", listed[0]["id"], "--json")
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.stdout)
    assert (made["t0_s"], made["t1_s"]) == (0, 120)
    done = run("events", "--memory", spoken, "--split", made["id"], "--at", "1:30")
    assert done.exit_code == 0, done.output
    assert "0.0-90.0 s" in done.stdout
    assert "90.0-120.0 s" in done.stdout
    listed = json.loads(run("events", "--memory", spoken, "--json").stdout)
    assert [each["t1_s"] for each in listed] == [90, 120, 180]
    assert listed[0]["id"] in run("events", "--memory", spoken).stdout
    with mneme.open(spoken) as memory:
        assert [e.t1_ns for e in memory.merge_events(listed[1]["id"], with_next=False)] == [s(120)]
        assert len(memory.split_event(memory.events()[0].id, 60.0)) == 2
        assert [e.t1_ns for e in memory.events()] == [s(60), s(120), s(180)]
        assert memory.check().ok


def test_the_command_refuses_in_one_line_and_changes_nothing(spoken: Path) -> None:
    listed = json.loads(run("events", "--memory", spoken, "--json").stdout)
    first, last = listed[0]["id"], listed[-1]["id"]
    before = StoredSnapshot(spoken).commit
    for arguments, fault in (
        (["--merge", "feed"], "no event 'feed'"),
        (["--merge", last], "has no event after it"),
        (["--split", first, "--at", "12:30"], "750 s is not inside"),
        (["--split", first, "--at", "soon"], "'soon' is no time"),
        (["--split", first], "give both"),
        (["--at", "0:10"], "give both"),
        (["--split", first, "--at", "0:10", "--merge", first], "one of them at a time"),
        (["--merge", first, "--stream", "day"], "leave --stream out"),
    ):
        done = run("events", "--memory", spoken, *arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert fault in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert StoredSnapshot(spoken).commit == before
