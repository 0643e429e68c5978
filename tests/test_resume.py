"""A stream that is interrupted, released or replaced, and what goes on from there."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory import ledger
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.resume import Seam
from mneme.records import Percept, Stream
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say


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
    assert memory.snapshot().count_rows() == {"percepts": 4, "events": 3, "places": 0}
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
