"""Time travel: a memory says what it knew then, or how far back it can say it."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mneme.errors import MnemeError
from mneme.memory.as_of import AsOf
from mneme.memory.check import check
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.records import NS_PER_S, Moment
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, s, say

MINUTE = 60 * NS_PER_S
PERCEPTS = [look(1, RED), say(2, 4, "one"), look(11, GREEN), say(12, 14, "two"), say(18, 23, "across"), look(25, BLUE)]


def recorded(root: Path, **settings: Any) -> list[int]:
    """A day of three events, a commit a minute of wall-clock time; the numbers of the commits."""
    clock = itertools.count(0, MINUTE)
    made = MemorySettings(commit_every_s=0.0, **settings)
    numbers = []
    with Memory.create(root, "embedded", [SPACE], settings=made, clock=lambda: next(clock)) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20))
        for moment in moments(PERCEPTS, 30, late_s=6):
            if recorder.observe(moment):
                numbers.append(memory.snapshot().commit)
        recorder.finish(s(30))
        numbers.append(memory.snapshot().commit)
    return numbers


def shown(snapshot: StoredSnapshot) -> tuple[Any, ...]:
    percepts = [(p.id, p.text) for p in snapshot.percepts()]
    return snapshot.commit, percepts, [(e.id, e.gist, e.percepts) for e in snapshot.events()], snapshot.streams()


def test_every_commit_can_be_seen_again_by_its_number_and_by_its_time(tmp_path: Path) -> None:
    clock, seen = itertools.count(0, MINUTE), {}
    settings = MemorySettings(commit_every_s=0.0, fragments=8)
    memory = Memory.create(tmp_path / "m", "embedded", [SPACE], settings=settings, clock=lambda: next(clock))
    recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20))
    for moment in moments(PERCEPTS, 30, late_s=6):
        if not recorder.observe(moment):
            continue
        if (snapshot := memory.snapshot()).commit not in seen:
            seen[snapshot.commit] = (snapshot.entry.committed_ns, shown(snapshot))
    recorder.finish(s(30))
    memory.close()
    assert len(seen) > 6
    reader = Memory.open(tmp_path / "m")
    for number, (at_ns, before) in seen.items():
        assert shown(reader.snapshot(AsOf("commit", number))) == before
        assert shown(reader.snapshot(AsOf("wall", at_ns + MINUTE // 2))) == before
        assert check(reader.snapshot(AsOf("commit", number))).problems == ()


def test_a_time_of_the_stream_shows_what_had_ended_by_then(tmp_path: Path) -> None:
    recorded(tmp_path / "m")
    memory = Memory.open(tmp_path / "m")

    def texts(t_s: float) -> list[str]:
        return [p.text for p in memory.snapshot(AsOf("stream", s(t_s))).percepts() if p.text]

    assert [texts(3), texts(4), texts(14), texts(22.5), texts(23)] == [
        [], ["one"], ["one", "two"], ["one", "two"], ["one", "two", "across"],
    ]  # fmt: skip
    assert [e.t1_ns for e in memory.snapshot(AsOf("stream", s(15), "day")).events()] == [s(10)]


def test_an_event_in_which_something_still_went_on_was_not_closed(tmp_path: Path) -> None:
    recorded(tmp_path / "m")
    memory = Memory.open(tmp_path / "m")
    during, after = (memory.snapshot(AsOf("stream", s(t))) for t in (22, 24))
    assert [e.t1_ns for e in during.events()] == [s(10)]
    assert [e.t1_ns for e in after.events()] == [s(10), s(20)]
    for snapshot in (during, after):
        state = snapshot.streams()[0]
        assert (state.events, state.done) == (len(snapshot.events()), False)
        assert not [problem for problem in check(snapshot).problems if "event" in problem]


def test_a_past_that_was_cleaned_up_is_refused_with_how_far_the_history_goes_back(tmp_path: Path) -> None:
    numbers = recorded(tmp_path / "m", fragments=4, horizon_s=0.0, history_share=0.0)
    memory = Memory.open(tmp_path / "m")
    last = numbers[-1]
    assert memory.snapshot(AsOf("commit", last)).commit == last
    with pytest.raises(MnemeError, match=r"reaches back to commit #\d+ \(1970-01-01T00:\d\d:00\+00:00\)") as refused:
        memory.snapshot(AsOf("commit", 1))
    first = int(str(refused.value).split("#")[1].split(" ")[0])
    assert 1 < first <= last
    assert memory.snapshot(AsOf("commit", first)).commit == first
    with pytest.raises(MnemeError, match="reaches back"):
        memory.snapshot(AsOf("commit", first - 1))


@pytest.mark.parametrize(
    ("as_of", "fault"),
    [
        (AsOf("commit", 0), "there is no commit #0"),
        (AsOf("commit", 999), "this memory has #1 to #"),
        (AsOf("wall", -1), "this memory was begun at 1970-01-01"),
        (AsOf("stream", s(31)), "remembered up to 30.0 s"),
        (AsOf("stream", s(1), "night"), "there is no stream 'night'"),
    ],
)
def test_a_past_that_never_was_is_refused_in_a_line(tmp_path: Path, as_of: AsOf, fault: str) -> None:
    recorded(tmp_path / "m")
    with pytest.raises(MnemeError, match=fault):
        Memory.open(tmp_path / "m").snapshot(as_of)


@pytest.mark.parametrize(
    ("text", "as_of"),
    [
        ("#12", AsOf("commit", 12)),
        ("12:30", AsOf("stream", s(750))),
        (" 1:02:03.5 ", AsOf("stream", s(3723.5))),
        ("90s", AsOf("stream", s(90))),
        ("2026-11-21T10:00+00:00", AsOf("wall", s(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()))),
    ],
)
def test_a_moment_is_read_as_a_person_writes_it(text: str, as_of: AsOf) -> None:
    assert AsOf.read(text) == as_of
    with pytest.raises(MnemeError, match="names no moment"):
        AsOf.read(text + "?")


def test_fifty_logged_answers_are_given_again_after_sleep_and_restart(tmp_path: Path, remember: Any) -> None:
    from mneme.pipeline.mneme import open_memory

    things = ["kettle", "ladder", "violin", "compass", "lantern", "hammer", "blanket", "mirror", "basket", "pencil"]
    folder, logged = tmp_path / "m", []

    def told(memory: Any, thing: str, as_of: str | None = None) -> tuple[Any, ...]:
        answer = memory.ask(f"where did you leave the {thing}?", as_of=as_of)
        return answer.text, answer.abstained, answer.confidence, answer.evidence

    for day in range(5):  # each day some things are elsewhere
        spoken = [(10.0 * i + 5, 10.0 * i + 9, f"I left the {thing} on shelf {day * 7 + i}.") for i, thing in
                  enumerate(things[day : day + 6])]  # fmt: skip
        remember(folder, spoken, stream=f"day{day}", end_s=120.0)
        with open_memory(folder) as memory:
            number = Memory.open(folder).snapshot().commit
            logged += [(f"#{number}", thing, told(memory, thing)) for thing in things]
    assert len(logged) == 50
    assert len({answer for _, _, answer in logged}) > 15
    with open_memory(folder) as memory:
        slept = memory.sleep()
        assert (slept.renewed > 0, slept.summarised > 0) == (True, True)
        remember_more = told(memory, "kettle")
    with open_memory(folder) as memory:
        for as_of, thing, answer in logged:
            assert told(memory, thing, as_of) == answer
        assert told(memory, "kettle") == remember_more


def test_the_command_line_asks_the_past_sleeps_and_tells_the_timeline(tmp_path: Path, remember: Any) -> None:
    from typer.testing import CliRunner

    from mneme.ui.cli import app

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--memory", str(tmp_path / "m"), "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else (done.exit_code, done.stderr)

    remember(tmp_path / "m", [(5, 9, "I left the kettle on the stove.")], stream="one", end_s=60.0)
    early = Memory.open(tmp_path / "m").snapshot().commit
    remember(tmp_path / "m", [(5, 9, "I left the violin in the attic.")], stream="two", end_s=60.0)
    question = ("ask", "where did you leave the violin?")
    assert "attic" in run(*question)["answer"]
    assert run(*question, "--as-of", f"#{early}")["abstained"]
    assert run(*question, "--as-of", "0:59", "--stream", "two")["abstained"] is False
    assert run(*question, "--as-of", "0:07", "--stream", "two")["abstained"]
    assert run(*question, "--as-of", "someday") == (2, run(*question, "--as-of", "someday")[1])
    assert "names no moment" in run(*question, "--as-of", "someday")[1]
    slept = run("sleep")
    assert slept["bytes_after"] > 0
    told = run("timeline", "--stream", "two")
    assert [(stretch["stream"], stretch["slept"], len(stretch["events"])) for stretch in told] == [("two", True, 1)]
    assert "attic" in told[0]["text"]


def test_a_place_as_of_a_time_does_not_tell_where_the_stream_went_later(tmp_path: Path) -> None:
    settings = MemorySettings(commit_every_s=1e6)  # one commit holds all of it
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=settings) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(100), monotonic=lambda: 0)
        for t in range(60):
            seen = look(t, (RED, GREEN, BLUE)[t // 20], place="hall" if t // 20 != 1 else "vault")
            recorder.observe(Moment("day", s(t), (seen,), settled_ns=max(0, s(t - 2))))
        recorder.finish(s(60))

        def known(at: str) -> list[tuple[str, int, float, int]]:
            places = memory.snapshot(AsOf.read(at)).places()
            return [(p.name, p.visits, p.last_ns / NS_PER_S, len(p.moves)) for p in places]

        assert known("10s") == [("hall", 1, 0.0, 0)]  # what is like the sight before is not kept
        assert known("30s") == [("hall", 1, 0.0, 1), ("vault", 1, 20.0, 0)]
        assert known("50s") == [("hall", 2, 40.0, 1), ("vault", 1, 20.0, 1)]
        assert [(p.visits, p.last_ns) for p in memory.snapshot().places()] == [(2, s(59)), (1, s(39))]
