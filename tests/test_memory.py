"""The life of a stream in a memory: events, pattern separation, interruption, replacement."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MemoryFormatError, MnemeError
from mneme.memory import ledger
from mneme.memory.episodic import ExtractiveSummariser, build_event
from mneme.memory.memory import Memory
from mneme.memory.pace import Pace
from mneme.memory.recorder import Ack, Recorder
from mneme.memory.resume import Seam
from mneme.memory.sensory import SensoryRing
from mneme.records import NS_PER_S, Moment, Percept, Space, Stream, Vector

SPACE = Space("looks", 3, "v1")
DAY = Stream("day", "/videos/day.mp4", "digest-1")
RED, GREEN, BLUE = (np.eye(3, dtype=np.float32)[i] for i in range(3))


class CutsAt:
    """Boundaries known beforehand; each is decided `late` seconds after its time, as a causal detector would."""

    def __init__(self, *cuts_s: float, late_s: float = 1.0) -> None:
        self._cuts = [s(cut) for cut in cuts_s]
        self._late = s(late_s)
        self.settled_ns = 0

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        del change, loudness_db
        before, self.settled_ns = self.settled_ns, max(0, t_ns - self._late)
        return [cut for cut in self._cuts if before <= cut < self.settled_ns]

    def flush(self) -> list[int]:
        return []

    def resume(self, closed_ns: int) -> None:
        self.settled_ns = closed_ns


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def look(t_s: float, vector: Vector, **kinds: Any) -> Percept:
    return Percept("day", "vision", s(t_s), s(t_s + 1), space="looks", vector=vector, origin="colours", **kinds)


def say(t0_s: float, t1_s: float, text: str) -> Percept:
    return Percept("day", "speech", s(t0_s), s(t1_s), text=text, origin="subtitles")


def moments(percepts: Iterable[Percept], until_s: int, late_s: float = 2.0) -> list[Moment]:
    """One moment a second; a percept comes complete with the first moment after its end."""
    known = list(percepts)
    return [
        Moment("day", s(t), tuple(p for p in known if s(t - 1) < p.t1_ns <= s(t)), settled_ns=max(0, s(t - late_s)))
        for t in range(until_s + 1)
    ]


def record(recorder: Recorder, stream: Iterable[Moment]) -> list[Ack]:
    return [ack for moment in stream for ack in recorder.observe(moment)]


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory.create(tmp_path / "m", "embedded", [SPACE])


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


@pytest.mark.parametrize("stop_s", [0, 1, 3, 6, 9, 11, 14])
def test_an_interrupted_stream_ends_as_if_it_had_not_been(tmp_path: Path, stop_s: int) -> None:
    rng = np.random.default_rng(3)
    colours = [RED, GREEN, BLUE]
    percepts = [look(t, colours[rng.integers(3)]) for t in range(16)] + [say(t, t + 2.5, f"w{t}") for t in range(13)]
    stream = moments(percepts, 16, late_s=4)

    def watch(memory: Memory, upto_s: int = 17) -> None:
        recorder = memory.recorder(DAY, boundaries=CutsAt(4, 9, 12), monotonic=itertools.count(0, s(1)).__next__)
        record(recorder, (m for m in stream if recorder.resume_ns <= m.t_ns < s(upto_s)))
        if upto_s > 16:
            recorder.finish(s(16))

    whole = Memory.create(tmp_path / "whole", "embedded", [SPACE])
    watch(whole)
    broken = Memory.create(tmp_path / "broken", "embedded", [SPACE])
    watch(broken, stop_s)
    broken._lock.release()  # type: ignore[union-attr]  # the process dies here: nothing is flushed
    with Memory.open(tmp_path / "broken", "w") as again:
        watch(again)
        one, other = whole.snapshot(), again.snapshot()
        assert [p.id for p in one.percepts()] == [p.id for p in other.percepts()]
        assert [(e.id, e.percepts, e.gist) for e in one.events()] == [
            (e.id, e.percepts, e.gist) for e in other.events()
        ]
        for a, b in zip(one.events(), other.events(), strict=True):
            np.testing.assert_allclose(a.vectors["looks"], b.vectors["looks"], atol=1e-6)
        assert again.check().ok


def test_a_stream_that_was_watched_is_refused_by_name(memory: Memory) -> None:
    memory.recorder(DAY, boundaries=CutsAt()).finish(s(3))
    with pytest.raises(MnemeError, match="'day' was watched already"):
        memory.recorder(DAY)


def test_a_begun_stream_goes_on_only_from_the_same_source(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(4, 7))
    record(recorder, moments([say(1, 2, "one"), say(5, 6, "two")], 10))
    with pytest.raises(MnemeError, match="is being recorded"):
        memory.recorder(DAY, boundaries=CutsAt())
    root = memory.root
    memory.close()
    with Memory.open(root, "w") as again:
        with pytest.raises(MnemeError, match="begun from another source"):
            again.recorder(Stream("day", "/videos/other.mp4", "digest-2"), boundaries=CutsAt())
        assert again.recorder(DAY, boundaries=CutsAt()).resume_ns == s(4)


def test_replacing_takes_the_old_away_only_when_the_new_comes(memory: Memory) -> None:
    other = Stream("day", "/videos/new.mp4", "digest-2")
    recorder = memory.recorder(DAY, boundaries=CutsAt(2))
    record(recorder, moments([say(1, 2, "the old words")], 6))
    recorder.finish(s(6))
    old = memory.snapshot()
    recorder = memory.recorder(other, replace=True, boundaries=CutsAt())
    assert recorder.resume_ns == 0
    assert [p.text for p in memory.snapshot().percepts()] == ["the old words"]
    record(recorder, moments([say(1, 2, "the new words")], 6))
    recorder.finish(s(5))
    now = memory.snapshot()
    assert [p.text for p in now.percepts()] == ["the new words"]
    assert [event.t1_ns for event in now.events()] == [s(5)]
    assert now.streams()[0].stream.digest == memory.manifest.streams[0].digest == "digest-2"
    assert [p.text for p in old.percepts()] == ["the old words"]
    assert memory.check().ok


def replace_day(memory: Memory, stream: Stream, percepts: list[Percept], upto_s: int, end_s: int = 12) -> Recorder:
    """Replaces the stream with these percepts, or goes on with that; `upto_s` before `end_s`: breaks off there."""
    ticks = itertools.count(0, s(1)).__next__
    recorder = memory.recorder(stream, replace=True, boundaries=CutsAt(4, 7), monotonic=ticks)
    record(recorder, (m for m in moments(percepts, end_s) if recorder.resume_ns <= m.t_ns <= s(upto_s)))
    if upto_s >= end_s:
        recorder.finish(s(end_s))
    return recorder


OLD = [say(1, 2, "the old words"), say(5, 6, "gate"), look(3, RED), look(8, BLUE)]
NEW = [say(1, 2, "the new words"), say(5, 6, "gate"), look(3, GREEN), look(9, RED)]
ANEW = Stream("day", "/videos/day.mp4", "digest-2")


def seen(memory: Memory) -> list[object]:
    """All that readers can find of a memory, by every way of looking."""
    snapshot = memory.snapshot()
    [speech] = snapshot.percepts(lanes=["speech"], t0_ns=s(5))
    found = snapshot.get(speech.id)
    return [
        [(p.id, p.text, None if p.vector is None else p.vector.tolist()) for p in snapshot.percepts(with_vectors=True)],
        [(e.id, e.percepts, e.gist) for e in snapshot.events()],
        [p.text for p in snapshot.neighbours(speech, 9)],
        [hit.percept.text for hit in snapshot.matching("old new gate words")],
        [(hit.percept.id, round(hit.similarity, 3)) for hit in snapshot.nearest("looks", RED)],
        None if found is None else found.id,
        [(state.stream, state.events, state.closed_ns, state.done) for state in snapshot.streams()],
    ]


def test_readers_see_the_old_stream_whole_until_the_new_one_is_done(memory: Memory) -> None:
    replace_day(memory, DAY, OLD, 12)
    old = seen(memory)
    recorder = memory.recorder(ANEW, replace=True, boundaries=CutsAt(4, 7))
    for moment in moments(NEW, 12):
        for _ in recorder.observe(moment):
            assert seen(memory) == old
            assert memory.check().ok
    assert recorder.state.events == 2
    recorder.finish(s(12))
    assert memory.check().ok
    fresh = Memory.create(memory.root.with_name("fresh"), "embedded", [SPACE])
    replace_day(fresh, ANEW, NEW, 12)
    assert seen(memory) == seen(fresh)
    assert len(memory.snapshot().matching("old")) == 0


@pytest.mark.parametrize("stop_s", [1, 4, 7, 9, 11])
def test_an_interrupted_replacement_leaves_the_old_stream_and_goes_on(tmp_path: Path, stop_s: int) -> None:
    memory = Memory.create(tmp_path / "m", "embedded", [SPACE])
    replace_day(memory, DAY, OLD, 12)
    old = seen(memory)
    acked = replace_day(memory, ANEW, NEW, stop_s).state
    memory._lock.release()  # type: ignore[union-attr]  # the process dies here: nothing is flushed
    with Memory.open(tmp_path / "m", "w") as again:
        assert seen(again) == old
        assert again.check().problems == ()
        with pytest.raises(MnemeError, match="watched already"):
            again.recorder(DAY)
        going_on = replace_day(again, ANEW, NEW, 12)
        assert (going_on.resume_ns > 0) is (acked.events > 1)
        assert again.check().problems == ()
        fresh = Memory.create(tmp_path / "fresh", "embedded", [SPACE])
        replace_day(fresh, ANEW, NEW, 12)
        assert seen(again) == seen(fresh)


def test_another_replacement_throws_an_interrupted_one_away(memory: Memory) -> None:
    replace_day(memory, DAY, OLD, 12)
    old = seen(memory)
    memory.release(replace_day(memory, ANEW, NEW, 11))
    third = Stream("day", "/videos/third.mp4", "digest-3")
    started = replace_day(memory, third, OLD, 2)
    assert (started.resume_ns, started.state.events) == (0, 0)
    assert seen(memory) == old
    assert memory.check().problems == ()
    memory.release(started)
    replace_day(memory, third, OLD, 12)
    assert memory.snapshot().streams()[0].stream == third
    assert memory.snapshot().count_rows() == {"percepts": 4, "events": 3}
    assert memory.check().problems == ()


def test_a_replacement_keeps_its_thumbnails_apart_from_the_old_ones(memory: Memory) -> None:
    for shade in (0, 255):
        recorder = memory.recorder(DAY, replace=True, boundaries=CutsAt())
        record(recorder, moments([look(0, RED, picture=np.full((9, 16, 3), shade, np.uint8))], 3))
        if shade == 0:
            recorder.finish(s(3))
    report = memory.check()
    assert report.problems == ()
    assert report.orphans == ()
    assert report.percepts == 1


def test_what_lies_across_the_seam_of_an_interruption_is_kept_behind_it(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(4, 8))
    record(recorder, moments([say(1, 3, "one"), say(5, 7.5, "two")], 11))
    memory.release(recorder)
    assert recorder.state.closed_ns == s(8)
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    heard_as_one = [say(5, 13, "two and three"), replace(look(7.5, RED), t1_ns=s(9))]
    record(recorder, (m for m in moments(heard_as_one, 20) if m.t_ns >= recorder.resume_ns))
    recorder.finish(s(20))
    spoken = memory.snapshot().percepts()
    assert [(p.t0_ns, p.t1_ns, p.text) for p in spoken][2:] == [(s(8), s(13), "two and three")]
    assert memory.snapshot().events()[-1].gist == "two and three"
    assert memory.check().problems == ()


def test_the_seam_takes_nothing_that_is_stored_already() -> None:
    def sign(t0_s: float, t1_s: float, text: str) -> Percept:
        return Percept("day", "caption", s(t0_s), s(t1_s), text=text, origin="rapidocr")

    seam = Seam(s(40), [sign(30, 60, "GATE 42"), say(41, 50, "hello there")])
    assert seam.join(sign(25, 55, "GATE 42")) is None  # its pieces only fall otherwise
    assert seam.join(say(39, 50, "well hello there")) is None  # the same voice, heard a little otherwise
    assert seam.join(sign(25, 40, "PLATFORM 3")) is None
    assert seam.join(sign(41, 55, "GATE 42")) is not None
    one, other = seam.join(sign(25, 55, "PLATFORM 3")), seam.join(sign(35, 55, "TO OSLO"))
    assert one is not None
    assert other is not None
    assert (one.t0_ns, one.t1_ns, one.text) == (s(40), s(55), "PLATFORM 3")
    assert one.id != other.id


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


def test_a_released_stream_can_go_on_in_the_same_process(memory: Memory) -> None:
    stream = moments([say(t, t + 0.5, f"word {t}") for t in range(12)], 12)
    first = memory.recorder(DAY, boundaries=CutsAt(4), monotonic=lambda: 0)
    record(first, stream[:10])
    memory.release(first)
    assert [p.text for p in memory.snapshot().percepts()] == [f"word {t}" for t in range(8)]
    with pytest.raises(MnemeError, match="was released"):
        first.observe(stream[10])
    second = memory.recorder(DAY, boundaries=CutsAt(4))
    record(second, stream)
    second.finish(s(12))
    memory.release(second)
    assert len(memory.snapshot().percepts()) == 12
    assert memory.check().problems == ()


def test_what_cannot_be_stored_on_release_is_only_logged(memory: Memory, caplog: Any, monkeypatch: Any) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(), monotonic=lambda: 0)
    record(recorder, moments([say(t, t + 0.5, f"word {t}") for t in range(9)], 9))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger, "append", full)
    memory.release(recorder)
    monkeypatch.undo()
    assert "will be seen again" in caplog.text
    again = memory.recorder(DAY, boundaries=CutsAt())
    record(again, moments([say(t, t + 0.5, f"word {t}") for t in range(9)], 9))
    again.finish(s(9))
    assert len(memory.snapshot().percepts()) == 9


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


def test_replacing_a_picture_leaves_the_old_one_to_old_snapshots(memory: Memory) -> None:
    for shade in (0, 255):
        recorder = memory.recorder(DAY, replace=True, boundaries=CutsAt())
        record(recorder, moments([look(0, RED, picture=np.full((9, 16, 3), shade, np.uint8))], 3))
        recorder.finish(s(3))
    [percept] = memory.snapshot().percepts()
    report = memory.check()
    assert report.ok
    assert report.orphans == (f"thumbnails/{percept.id[:2]}/{percept.id}.jpg",)
    assert percept.thumbnail not in report.orphans


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
