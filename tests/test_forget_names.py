"""Erasure reaches names of places, copies of sources, what is told late, and what a killed writer leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.target import phrase
from mneme.memory.verify import Search, verify
from mneme.records import Moment, Pose, Stream
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

HERE = Path(__file__).parents[1]
PERCEPTS = (look(1, RED), say(2, 4, "hello, these are my words"), look(12, GREEN))


def watch(memory: Memory, stream: Stream, until_s: int = 20, **kinds: bool) -> None:
    """The stream to its end at 20 s, or broken off before."""
    recorder = memory.recorder(stream, boundaries=CutsAt(10), **kinds)
    for moment in moments(PERCEPTS, until_s):
        own = tuple(replace(percept, stream=stream.id) for percept in moment.percepts)
        recorder.observe(replace(moment, stream=stream.id, percepts=own))
    if until_s < 20:
        memory.release(recorder)
    else:
        recorder.finish(s(until_s))


def dropped(root: Path, digest: str) -> Stream:
    """The day as the memory's own copy of a video."""
    path = root / "sources" / digest / "day.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"pixels")
    return replace(DAY, source=str(path), digest=digest)


def copies(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob("sources/*/*"))


def test_a_memory_that_was_moved_knows_its_own_copy_of_a_video(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        watch(memory, dropped(tmp_path / "m", "aaa"))
    (tmp_path / "m").rename(tmp_path / "moved")
    (tmp_path / "way").symlink_to(tmp_path / "moved")
    with Memory.open(tmp_path / "way", "w") as memory:
        memory.forget(stream="day", t0_ns=s(2), t1_ns=s(4))
        assert copies(tmp_path / "moved") == ["aaa"]
        assert memory.forget(stream="day").verified
    assert copies(tmp_path / "moved") == []


@pytest.mark.parametrize("until_s", [15, 20])
def test_copies_of_a_replaced_stream_and_of_one_that_replaces_it_go_too(tmp_path: Path, until_s: int) -> None:
    """until_s: before its end, so that the replacement is not done, or to it."""
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        watch(memory, dropped(memory.root, "aaa"))
        watch(memory, dropped(memory.root, "bbb"), until_s, replace=True)
        watch(memory, replace(dropped(memory.root, "ccc"), id="other"), 15)
        dropped(memory.root, "left")
        assert verify(memory.root, Search()).found[-1:] == ("no stream names the copy sources/left",)
        assert memory.forget(stream="day").verified
        assert copies(memory.root) == ["ccc"]


def test_a_copy_that_is_just_being_watched_stays(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        watch(memory, DAY)
        memory.recorder(replace(dropped(memory.root, "new"), id="other"), boundaries=CutsAt(10))
        assert memory.forget(stream="day").verified
        assert copies(memory.root) == ["new"]


def test_of_a_live_stream_goes_what_was_said_before_the_request_and_is_told_later(tmp_path: Path) -> None:
    live = Stream("day", "rtsp://camera", "", epoch_ns=1)
    percepts = [look(1, RED), say(2, 4, "good morning"), say(30, 33, "my number is four two"), say(35, 37, "goodbye")]
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(live, boundaries=CutsAt(300))
        for moment in moments(percepts, 40, late_s=8.0):
            if moment.t_ns == s(33):
                assert memory.forget(stream="day").verified
            recorder.observe(moment)
        memory.release(recorder)
        assert [p.text for p in memory.snapshot().percepts()] == ["goodbye"]


def test_words_go_from_keys_and_names_of_places(tmp_path: Path) -> None:
    percepts = [look(1, RED, place="Anna Schmidt's room"), say(2, 4, "this is what Anna Schmidt's sister told"),
                look(12, GREEN, place="Anna Schmidt's room"), look(22, BLUE, place="hall")]  # fmt: skip
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30))
        record(recorder, moments(percepts, 40))
        recorder.finish(s(40))
        memory.name_place("hall", "Lobby")
        search = Search(never=phrase("anna schmidt"))
        kinds = {found.split(": ")[-1].split(" ")[0] for found in verify(memory.root, search).found}
        assert {"percept", "event", "place"} <= kinds
        assert memory.forget(text="Anna Schmidt").verified
        assert verify(memory.root, search).found == ()
        places = memory.snapshot().places()
        [hers] = [place for place in places if place.key == place.id]
        assert sorted(place.name for place in places) == ["", "Lobby"]
        assert [p.place for p in memory.snapshot().percepts()] == [hers.id, hers.id, "hall"]
        assert [e.place for e in memory.snapshot().events()] == [hers.id, hers.id, "hall", None]
        assert memory.check().problems == ()
        memory.name_place("hall", "Anna Schmidt's office")
        receipt = memory.forget(text="Anna Schmidt")
        assert (receipt.verified, receipt.places, receipt.percepts, receipt.spans) == (True, 1, 0, ())
        assert sorted(place.name for place in memory.snapshot().places()) == ["", ""]
        with pytest.raises(MnemeError, match="stand nowhere"):
            memory.forget(text="Anna Schmidt")


@pytest.mark.parametrize("at_s", [13, 16, 22, 38])
def test_words_go_from_names_of_places_that_a_recorder_has_not_stored_yet(tmp_path: Path, at_s: int) -> None:
    """at_s: when they are asked to go; hers is known from a percept that waits, an open event or a closed one."""
    hers = "Anna Schmidt's room"
    percepts = [look(1, RED, place=hers), look(3, GREEN, place=hers), look(12, BLUE, place=hers),
                look(13, RED, place="hall"), look(22, BLUE, place="hall"), look(32, GREEN, place="hall")]  # fmt: skip
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30))
        for moment in moments(percepts, 40, late_s=4.0):
            recorder.observe(moment)
            if moment.t_ns == s(at_s):
                assert memory.forget(text="Anna Schmidt").verified
        recorder.finish(s(40))
        snapshot = memory.snapshot()
        assert len(snapshot.percepts()) == 6
        assert "hall" in {place.name for place in snapshot.places()}
        assert "Schmidt" not in repr([*snapshot.percepts(), *snapshot.events(), *snapshot.places()])
        assert memory.check().problems == ()


def test_a_place_whose_name_was_erased_stays_one_nameless_place_though_its_source_calls_it_so_again(
    tmp_path: Path,
) -> None:
    hers = "Anna Schmidt's room"
    percepts = [look(1, RED, place="hall"), look(12, GREEN, place=hers), say(14, 15, "in here"),
                look(22, BLUE, place="hall"), look(32, GREEN, place=hers)]  # fmt: skip
    rooms = []
    for at_s in (13, 18, 25):
        with Memory.create(tmp_path / f"{at_s}", "embedded", [SPACE]) as memory:
            recorder = memory.recorder(DAY, boundaries=CutsAt(20, 30))
            for moment in moments(percepts, 40, late_s=4.0):
                recorder.observe(moment)
                if moment.t_ns == s(at_s):
                    memory.forget(text="Anna Schmidt")
            recorder.finish(s(40))
            snapshot = memory.snapshot()
            assert "Schmidt" not in repr([*snapshot.percepts(), *snapshot.events(), *snapshot.places()])
            [room] = [place for place in snapshot.places() if place.key == place.id]
            assert (room.name, room.visits, room.first_ns) == ("", 2, s(12))
            assert [p.place for p in snapshot.percepts()] == ["hall", room.id, room.id, "hall", room.id]
            rooms.append(room.id)
    assert len(set(rooms)) == 1


def test_words_go_from_a_place_that_only_a_sight_which_was_not_kept_told_of(tmp_path: Path) -> None:
    percepts = [look(1, RED, place="hall"), look(3, RED, place="Anna Schmidt's room"), look(14, BLUE, place="hall")]
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20))
        for moment in moments(percepts, 30, late_s=4.0):
            recorder.observe(moment)
            if moment.t_ns == s(8):
                assert memory.forget(text="Anna Schmidt").verified
        recorder.finish(s(30))
        assert sorted(place.name for place in memory.snapshot().places()) == ["", "hall"]
        with pytest.raises(MnemeError, match="stand nowhere"):
            memory.forget(text="Anna Schmidt")


def test_words_are_found_where_none_stands_apart(tmp_path: Path) -> None:
    assert phrase("红色杯子") in phrase("我的红色杯子在哪里")
    assert phrase("杯红") not in phrase("我的红色杯子在哪里")
    assert phrase("パスワード") in phrase("僕のパスワードは秘密")
    assert phrase("รหัส") in phrase("นี่คือรหัสลับ")
    assert phrase("iPhone 手机") in phrase("我的iPhone手机。")
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10))
        record(recorder, moments([say(2, 4, "我的红色杯子在哪里"), say(12, 14, "没有别的")], 20))
        recorder.finish(s(20))
        assert memory.forget(text="红色杯子").verified
        assert [p.text for p in memory.snapshot().percepts()] == ["没有别的"]


@pytest.mark.parametrize("again", [False, True])
def test_a_room_in_which_nothing_new_was_seen_is_forgotten_by_its_name(tmp_path: Path, again: bool) -> None:
    """The second room looks like the first, so that no percept of it was stored. again: it was visited twice."""
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(50, 100))
        for t in range(80):
            x = 10.0 if 20 <= t < 40 or (again and 60 <= t < 70) else 0.0
            recorder.observe(Moment("day", s(t), (look(t, RED),), settled_ns=max(0, s(t - 4)), pose=Pose(x, 0, 0, 0)))
        recorder.finish(s(80))
        first, second = memory.snapshot().places()
        assert second.visits == 1 + again
        memory.name_place(second.id, "bedroom")
        receipt = memory.forget(place="Bedroom")
        assert (receipt.verified, receipt.places) == (True, 2)  # the other knows no more that somebody went there
        [left] = memory.snapshot().places()
        assert (left.id, left.moves, left.visits) == (first.id, (), first.visits)
        assert memory.check().problems == ()
        with pytest.raises(MnemeError, match="there is no place 'bedroom'"):
            memory.forget(place="bedroom")


@pytest.mark.parametrize("named", [False, True])
def test_a_room_that_a_robot_stands_in_is_forgotten_up_to_this_moment(tmp_path: Path, named: bool) -> None:
    """It has been there since t = 23, in an event that is still open; boundaries are told ten seconds late."""

    def moment(t: int) -> Moment:
        vector = np.eye(3, dtype=np.float32)[t % 3]
        percept = look(t, vector, place="bedroom" if named else None) if t >= 23 else look(t, vector)
        return Moment("day", s(t), (percept,), settled_ns=max(0, s(t - 4)), pose=Pose(0.0 if t < 23 else 10.0, 0, 0, 0))

    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(10, 26, late_s=10.0))
        for t in range(60):
            recorder.observe(moment(t))
        second = memory.snapshot().places()[-1] if not named else None
        room = "Bedroom" if second is None else second.key
        receipt = memory.forget(place=room)
        assert receipt.verified
        assert [(span.t0_ns, span.t1_ns) for span in receipt.spans] == [(s(23), s(59) + 1)]
        for t in range(60, 70):
            recorder.observe(moment(t))
        recorder.finish(s(70))
        times = [p.t0_ns for p in memory.snapshot().percepts()]
        assert set(times).isdisjoint(s(t) for t in range(23, 60))
        assert {s(10), s(11), s(12)} <= set(times)
        assert s(60) in times  # what came after it was asked
        assert memory.check().problems == ()


def walked(memory: Memory, rooms: dict[int, str], seconds: int, *, named: bool) -> Recorder:
    """A recorder that is a second from `seconds`: rooms by the time of arrival; only the first shows something new."""
    recorder = memory.recorder(DAY, boundaries=CutsAt(late_s=10.0))
    for t in range(seconds):
        room = rooms[max(begin for begin in rooms if begin <= t)]
        percept = look(t, RED, place=room) if named else look(t, RED)
        pose = None if named else Pose(10.0 * sorted(set(rooms.values())).index(room), 0, 0, 0)
        recorder.observe(Moment("day", s(t), (percept,), settled_ns=max(0, s(t - 4)), pose=pose))
    return recorder


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("rooms", "spans"),
    [
        ({0: "a", 20: "b", 30: "a"}, [(20, 30)]),  # it has left, within the event that is open
        ({0: "a", 20: "b"}, [(20, 50)]),  # it is there, and nothing new is
        ({0: "a", 20: "b", 30: "a", 47: "b"}, [(20, 30), (47, 50)]),  # it came back, which has not settled
    ],
)
def test_of_an_open_event_a_room_is_forgotten_whenever_it_was_entered(
    tmp_path: Path, rooms: dict[int, str], spans: list[tuple[int, int]], named: bool
) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = walked(memory, rooms, 50, named=named)
        room = "b" if named else recorder._whereabouts._map.places[1].id
        receipt = memory.forget(place=room)
        assert receipt.verified
        found = [(span.t0_ns / s(1), span.t1_ns / s(1)) for span in receipt.spans]
        assert found == [(t0, pytest.approx(t1, abs=1.001)) for t0, t1 in spans]
        recorder.finish(s(50))
        assert [(place.first_ns, place.visits >= 1) for place in memory.snapshot().places()] == [(0, True)]
        with pytest.raises(MnemeError, match="there is no place"):
            memory.forget(place=room)


def test_who_knows_no_place_keeps_no_room_of_another_from_being_forgotten(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt())
        record(recorder, moments([look(1, RED, place="bath")], 5))
        recorder.finish(s(5))
        memory.recorder(Stream("night", "y", "e"), boundaries=CutsAt()).observe(Moment("night", 0, settled_ns=0))
        assert memory.forget(place="bath").percepts == 1
        with pytest.raises(MnemeError, match="there is no place 'bath'"):
            memory.forget(place="bath")


def test_a_room_is_forgotten_before_any_event_in_it_has_closed(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(late_s=10.0))
        for t in range(20):
            percept = look(t, np.eye(3, dtype=np.float32)[t % 3], place="hall" if t < 16 else "bath")
            recorder.observe(Moment("day", s(t), (percept,), settled_ns=max(0, s(t - 4))))
        assert [(span.t0_ns, span.t1_ns) for span in memory.forget(place="bath").spans] == [(s(16), s(19) + 1)]
        recorder.finish(s(20))
        assert {p.place for p in memory.snapshot().percepts()} == {"hall"}
        with pytest.raises(MnemeError, match="there is no place 'bath'"):
            memory.forget(place="bath")


def test_erasing_a_word_in_one_room_leaves_the_other_rooms_as_they_were(tmp_path: Path) -> None:
    """The second room looks like the first, so that no percept of it was stored."""
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(50, 100))
        for t in range(80):
            x, vector = (0.0, RED) if t < 20 else (10.0, RED) if t < 40 else (20.0, BLUE)
            said = (say(t - 3, t - 2, "a word said at home"),) if t == 10 else ()
            recorder.observe(Moment("day", s(t), (look(t, vector), *said), settled_ns=max(0, s(t - 4)),
                                    pose=Pose(x, 0, 0, 0)))  # fmt: skip
        recorder.finish(s(80))
        places = memory.snapshot().places()
        memory.name_place(places[1].id, "kitchen")
        before = [(p.id, p.name, p.visits, p.first_ns, p.last_ns, p.x) for p in memory.snapshot().places()]
        assert places[1].key not in {p.place for p in memory.snapshot().percepts()}
        receipt = memory.forget(text="a word said at home")
        assert receipt.verified
        assert [(p.id, p.name, p.visits, p.first_ns, p.last_ns, p.x) for p in memory.snapshot().places()] == before
        assert memory.forget(stream="day", t0_ns=s(40), t1_ns=s(80)).verified
        left = memory.snapshot().places()
        assert [place.id for place in left] == [place.id for place in places[:2]]
        assert not any(id == places[2].id for place in left for id, _ in place.moves)


def test_a_writer_that_was_killed_leaves_no_word_of_its_command_behind(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from mneme.memory.memory import Memory; "
        "from tests.recording import SPACE; "
        f"Memory.create(Path(sys.argv[3]), 'embedded', [SPACE]); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "forget",
        "-m",
        str(tmp_path / "m"),
        "--text",
        "the vault code",
        "--x=osprey",
    ]
    done = subprocess.run(command, cwd=HERE, env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    told = (tmp_path / "m" / "lock").read_text()
    assert '"command": "-c forget"' in told
    assert not any(word in told for word in ("vault", "osprey", str(tmp_path)))
