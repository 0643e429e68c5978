"""The life of a stream in a memory: events, pattern separation, acknowledgement, what may be stored."""

from __future__ import annotations

import gc
import itertools
import weakref
from pathlib import Path

import numpy as np
import pytest

from mneme.errors import MemoryFormatError, MnemeError
from mneme.memory.episodic import ExtractiveSummariser, build_event
from mneme.memory.memory import Memory
from mneme.memory.pace import Pace
from mneme.memory.sensory import SensoryRing
from mneme.records import NS_PER_S, Moment, Percept, Stream
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say


def test_events_tile_the_stream_and_a_percept_belongs_where_it_starts(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(4, 7))
    record(recorder, moments([look(1, RED), say(3, 5.5, "over the cut"), look(4, RED), look(8, BLUE)], 10))
    ack = recorder.finish(s(10))
    first, second, third = memory.snapshot().events()
    assert [(e.t0_ns, e.t1_ns, e.ordinal) for e in (first, second, third)] == [
        (0, s(4), 0), (s(4), s(7), 1), (s(7), s(10), 2)]  # fmt: skip
    assert first.gist == "over the cut"
    assert first.lanes == ("vision", "speech")
    assert len(second.percepts) == 1
    np.testing.assert_allclose(third.vectors["looks"], BLUE)
    assert ack.acked_t_ns == s(10)
    assert memory.check().ok


def test_an_event_waits_for_the_words_that_began_in_it(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(4))
    early, late = moments([say(3, 7, "a long sentence")], 12, late_s=5)[:9], moments([], 12)[9:]
    record(recorder, early)
    assert memory.snapshot().events() == []
    record(recorder, late)
    assert [event.gist for event in memory.snapshot().events()] == ["a long sentence"]


def test_a_sight_like_one_of_its_event_is_not_kept_again(memory: Memory) -> None:
    nearly = np.array([0.99, 0.1, 0], np.float32) / np.float32(np.hypot(0.99, 0.1))
    sights = [look(0, RED), look(1, nearly), look(2, GREEN), look(3, RED), look(5, RED)]
    twice = [say(1, 2, "yes"), say(3, 4, "yes")]
    recorder = memory.recorder(DAY, boundaries=CutsAt(4))
    record(recorder, moments(sights + twice, 8))
    recorder.finish(s(8))
    kept = memory.snapshot().percepts(lanes=["vision"])
    assert [p.t0_ns // NS_PER_S for p in kept] == [0, 2, 5]
    assert len(memory.snapshot().percepts(lanes=["speech"])) == 2


def test_an_acknowledged_percept_is_on_the_disk(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(), monotonic=itertools.count(0, s(1)).__next__)
    said = [say(t, t + 0.5, f"word {t}") for t in range(10)]
    for moment in moments(said, 12):
        for ack in recorder.observe(moment):
            stored = {p.id for p in memory.snapshot().percepts()}
            assert {p.id for p in ack.percepts} <= stored
            assert {p.id for p in said if p.t0_ns < ack.acked_t_ns} <= stored


def test_a_stream_commits_at_most_once_a_second_between_events(memory: Memory) -> None:
    clock = itertools.count(0, s(0.1))  # every look at the clock is 0.1 s later
    recorder = memory.recorder(DAY, boundaries=CutsAt(late_s=0), monotonic=clock.__next__)
    before = memory.snapshot().commit
    record(recorder, moments([say(t, t + 0.5, f"word {t}") for t in range(40)], 40))
    assert 0 < memory.snapshot().commit - before <= next(clock) / s(1) + 1


def test_what_was_taken_up_is_stored_on_closing(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(), monotonic=lambda: 0)
        record(recorder, moments([say(t, t + 0.5, f"word {t}") for t in range(10)], 10))
    assert len(Memory.open(tmp_path / "m").snapshot().percepts()) == 9


def test_a_cue_beyond_the_end_of_a_short_film_lies_in_its_last_event(memory: Memory) -> None:
    for stream, cue in (("a", (1.5, 3.0)), ("b", (1.0, 1.0)), ("c", (1.5, 1.5))):
        recorder = memory.recorder(Stream(stream, "/short.mp4", stream))
        late = Percept(stream, "speech", s(cue[0]), s(cue[1]), text="late", origin="subtitles")
        recorder.observe(Moment(stream, 0, (late,), 0.0, -20.0))
        recorder.observe(Moment(stream, s(1), (), 0.0, -20.0, settled_ns=s(1)))
        recorder.finish(s(1))
        [event] = memory.snapshot().events(stream)
        assert event.t1_ns == max(late.t1_ns, late.t0_ns + 1)
    assert memory.check().problems == ()


def test_a_recorder_is_forgotten_when_its_stream_has_ended(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    record(recorder, moments([look(0, RED)], 3))
    recorder.finish(s(3))
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert gone() is None


def test_streams_side_by_side_share_the_pace_and_each_has_its_turn(memory: Memory) -> None:
    now = 0
    recorders = {
        name: memory.recorder(Stream(name, "/x", name), boundaries=CutsAt(late_s=0), monotonic=lambda: now)
        for name in ("a", "b", "c")
    }
    acks: list[tuple[int, str]] = []
    for step in range(100):  # ten seconds in which all three always have something to store, always in this order
        now = s(step / 10)
        for name, recorder in recorders.items():
            words = Percept(name, "speech", max(0, now - s(0.1)), now, text=f"{step}", origin="subtitles")
            acks += [(now, name) for _ in recorder.observe(Moment(name, now, (words,), settled_ns=now))]
    assert len(acks) == 10
    assert {name: sum(ack[1] == name for ack in acks) for name in recorders} == {"a": 4, "b": 3, "c": 3}


def test_a_slow_stream_has_its_turn_and_a_stalled_one_does_not_hold_the_others() -> None:
    pace, turns = Pace(s(1)), []
    assert pace.due(0, 0)  # asks, and is never heard of again
    for tick in range(0, 200):
        now = s(tick / 10)
        for name in (1, 2, 3) if tick % 17 == 0 else (1, 2):  # 3 asks every 1.7 s
            if pace.due(name, now):
                pace.committed(name, now)
                turns.append((now, name))
    assert turns[0][0] <= s(4)
    assert all(later - earlier >= s(1) for (earlier, _), (later, _) in itertools.pairwise(turns))
    assert all(sum(turn[1] == name for turn in turns) >= 3 for name in (1, 2, 3))


def test_nothing_is_written_by_a_recorder_of_a_closed_memory(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    memory.close()
    with pytest.raises(MnemeError, match="was released"):
        recorder.observe(moments([], 1)[0])
    memory.release(recorder)


def test_a_picture_becomes_a_small_thumbnail(memory: Memory) -> None:
    from PIL import Image

    picture = np.zeros((720, 1280, 3), np.uint8)
    picture[..., 0] = 200
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    record(recorder, moments([look(0, RED, picture=picture)], 3))
    recorder.finish(s(3))
    [percept] = memory.snapshot().percepts()
    assert percept.thumbnail == f"thumbnails/{percept.id[:2]}/{percept.id}.jpg"
    with Image.open(memory.root / percept.thumbnail) as image:
        assert image.size == (480, 270)
        assert np.asarray(image)[90, 160, 0] == pytest.approx(200, abs=8)


def test_check_names_what_is_missing(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    record(recorder, moments([look(0, RED, picture=np.zeros((9, 16, 3), np.uint8))], 3))
    recorder.finish(s(3))
    [percept] = memory.snapshot().percepts()
    (memory.root / str(percept.thumbnail)).unlink()
    report = memory.check()
    assert not report.ok
    assert (report.percepts, report.events, report.last_t_ns) == (1, 1, s(3))
    assert report.problems == (f"thumbnail {percept.thumbnail} of a percept is missing",)


def test_what_does_not_belong_to_the_memory_is_refused(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    with pytest.raises(MemoryFormatError, match="no space 'clip'"):
        recorder.observe(Moment("day", 0, (Percept("day", "vision", 0, 1, space="clip", vector=RED),)))
    with pytest.raises(MnemeError, match="3 dimensions"):
        recorder.observe(Moment("day", 0, (look(0, np.ones(5, np.float32)),)))
    with pytest.raises(MnemeError, match="stream 'night'"):
        recorder.observe(Moment("day", 0, (Percept("night", "speech", 0, 1),)))
    with pytest.raises(MemoryFormatError, match="made with profile 'embedded'"):
        memory.recorder(Stream("x", "", "", profile="clip"))
    with pytest.raises(MnemeError, match="open for reading"):
        Memory.open(memory.root).recorder(DAY)


def test_a_gist_is_captions_then_speech_each_once_in_whole_words() -> None:
    caption = Percept("day", "caption", s(5), s(6), text="GATE 42\nto Oslo")
    gist = ExtractiveSummariser(40)
    assert gist([say(0, 1, "hello"), say(1, 2, "Hello"), caption]) == "GATE 42 to Oslo · hello"
    assert gist([look(0, RED)]) == ""
    long = gist([say(0, 1, "word " * 30)])
    assert long.endswith("word…")
    assert len(long) <= 40


def test_an_event_is_the_same_in_whatever_order_its_percepts_came() -> None:
    percepts = [look(0, RED), look(1, GREEN, place="hall"), look(2, BLUE, place="hall"), look(3, RED, place="attic")]
    one, other = (build_event("day", 0, s(4), 0, p, ExtractiveSummariser()) for p in (percepts, percepts[::-1]))
    assert (one.percepts, one.place) == (other.percepts, "hall")
    np.testing.assert_array_equal(one.vectors["looks"], other.vectors["looks"])
    assert np.linalg.norm(one.vectors["looks"]) == pytest.approx(1)


def test_the_sensory_ring_is_bounded_in_time_and_in_bytes() -> None:
    ring = SensoryRing(seconds=3, capacity_bytes=1000)
    for t in range(10):
        ring.push(Moment("day", s(t), (look(t, RED),)))
    assert [m.t_ns for m in ring.between(0, s(99))] == [s(7), s(8), s(9)]
    assert [m.t_ns for m in ring.between(s(8), s(9))] == [s(8)]
    ring.push(Moment("day", s(10), (look(10, RED, picture=np.zeros((16, 20, 3), np.uint8)),)))
    assert [m.t_ns for m in ring.between(0, s(99))] == [s(8), s(9), s(10)]
    ring.push(Moment("day", s(10), (look(10, RED, picture=np.zeros((16, 21, 3), np.uint8)),)))
    assert ring.bytes == 0
    assert len(ring) == 0
