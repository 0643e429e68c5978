"""Threads share a memory: who closes it, erases or names beside one that records waits for it, and nothing is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory import memory as memory_module
from mneme.memory import naming, tables
from mneme.memory.changes import Changes
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.settings import MemorySettings
from mneme.memory.sleep import Sleeper, Slept
from mneme.memory.writer import Writer
from mneme.records import Moment, Percept, Stream
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

_SOON = 0.5
"""Seconds in which another thread would come to do harm: a test needs them to be able to fail, not to pass."""


class Doing(list[object]):
    """What came of what another thread does: nothing yet, a result, or the error."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self._do = do
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.append(self._do())
        except Exception as error:
            self.append(error)

    def is_done(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


@contextmanager
def beside(do: Callable[[], object]) -> Iterator[Doing]:
    """Another thread does it meanwhile."""
    doing = Doing(do)
    yield doing
    assert doing.is_done(60)


def three_events(memory: Memory) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30))
    record(recorder, moments([say(2, 4, "good morning"), say(13, 15, "words again"), look(22, BLUE)], 40))
    recorder.finish(s(40))


class Slow:
    """A summariser that says when it was asked first and answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Event(), threading.Event()

    def __call__(self, percepts: Sequence[Percept]) -> str:
        self.asked.set()
        assert self.let.wait(60)
        return f"what a language model says of {len(percepts)}"


def test_closing_waits_for_a_sleep_and_nothing_is_committed_after_it(memory: Memory) -> None:
    three_events(memory)
    slow, root = Slow(), memory.root
    with beside(lambda: memory.sleep(slow)) as slept:
        assert slow.asked.wait(60)
        with beside(memory.close) as closed:
            assert not closed.is_done(_SOON)
            with pytest.raises(MnemeError, match="was closed"):
                memory.recorder(replace(DAY, id="another"))
            slow.let.set()
    assert closed == [None]
    assert isinstance(slept[0], Slept)
    with Memory.open(root, "w") as again:
        recorder = again.recorder(Stream("b", "/b", "db"), boundaries=CutsAt(10))
        record(recorder, [Moment("b", s(t), (), settled_ns=s(t)) for t in range(5)])
        recorder.finish(s(5))
        assert again.check().ok


def test_a_sleep_that_does_not_stop_cannot_write_beside_the_next_writer(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory_module, "_PATIENCE_S", 0.1)
    three_events(memory)
    slow, root = Slow(), memory.root
    with beside(lambda: memory.sleep(slow)) as slept:
        assert slow.asked.wait(60)
        with caplog.at_level(logging.WARNING):
            memory.close()
        assert "is closed before it has slept" in caplog.text
        with Memory.open(root, "w") as again:
            recorder = again.recorder(Stream("b", "/b", "db"), boundaries=CutsAt(10))
            record(recorder, [Moment("b", s(t), (), settled_ns=s(t)) for t in range(5)])
            before = again.snapshot().commit
            slow.let.set()
            assert slept.is_done(60)
            assert isinstance(slept[0], MnemeError)
            assert again.snapshot().commit == before
            recorder.finish(s(5))
            assert again.check().ok
    with Memory.open(root, "w") as again:
        assert again.check().ok


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.apply("sleep", Changes()),
        lambda writer: writer.erase(Changes(), ()),
        lambda writer: writer.erasure_ends(),
        lambda writer: writer.correct(Changes(), ()),
        lambda writer: writer.compact(),
        lambda writer: writer.reindex(id),
        lambda writer: writer.read(tables.PERCEPTS),
    ],
    ids=["apply", "erase", "erasure_ends", "correct", "compact", "reindex", "read"],
)
def test_a_closed_writer_refuses_in_one_line(tmp_path: Path, write: Callable[[Writer], object]) -> None:
    Memory.create(tmp_path / "m", "embedded", [SPACE]).close()
    writer, given_back = Writer(tmp_path / "m", MemorySettings(), lambda: 0), []
    writer.close(lambda: given_back.append(True))
    commit = writer.entry.commit
    with pytest.raises(MnemeError, match="was closed"):
        write(writer)
    assert (given_back, writer.entry.commit) == ([True], commit)


def test_the_lock_is_given_back_only_when_a_commit_is_done(tmp_path: Path) -> None:
    Memory.create(tmp_path / "m", "embedded", [SPACE]).close()
    writer = Writer(tmp_path / "m", MemorySettings(), lambda: 0)
    begun, done = threading.Event(), list[str]()
    with (
        beside(lambda: begun.wait(60) and writer.close(lambda: done.append("given back"))) as closed,
        writer.alone(),
    ):
        begun.set()
        assert not closed.is_done(_SOON)
        writer.apply("sleep", Changes())
        done.append("committed")
    assert done == ["committed", "given back"]


def test_what_is_erased_does_not_come_back_through_a_recorder_in_the_making(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "the vault code is osprey"
    film = moments([look(1, RED), say(2, 4, "good morning"), say(13, 15, told), look(22, BLUE)], 80)
    recorder = memory.recorder(DAY, boundaries=CutsAt(60))
    record(recorder, film[:30])
    memory.release(recorder)
    made, begun, erased = Recorder.__init__, threading.Event(), threading.Event()

    def slowly(self: Recorder, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        begun.set()
        erased.wait(_SOON)

    monkeypatch.setattr(Recorder, "__init__", slowly)
    with beside(lambda: memory.recorder(DAY, boundaries=CutsAt(60))) as recorders:
        assert begun.wait(60)
        assert memory.forget(text=told).verified
        erased.set()
    again = recorders[0]
    assert isinstance(again, Recorder)
    record(again, [moment for moment in film if moment.t_ns >= s(30)])
    again.finish(s(80))
    assert [p.text for p in memory.snapshot().percepts(lanes=["speech"])] == ["good morning"]
    assert [event.gist for event in memory.snapshot().events()] == ["good morning", ""]
    assert memory.check().ok


def test_of_two_who_ask_at_once_for_a_recorder_of_a_stream_one_gets_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, both = Recorder.__init__, threading.Barrier(2)

    def together(self: Recorder, *args: Any, **named: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(_SOON)
        made(self, *args, **named)

    monkeypatch.setattr(Recorder, "__init__", together)
    with beside(lambda: memory.recorder(DAY)) as one, beside(lambda: memory.recorder(DAY)) as other:
        pass
    came = sorted([*one, *other], key=lambda each: type(each).__name__)
    assert isinstance(came[1], Recorder)
    assert "is being recorded" in str(came[0])


def in_the_hall() -> list[Moment]:
    return [
        Moment("day", s(t), (look(t, (RED, GREEN, BLUE)[t // 10 % 3], place="hall"),), settled_ns=max(0, s(t - 2)))
        for t in range(60)
    ]


@pytest.mark.parametrize("between", ["reading and storing", "storing and telling"])
def test_the_name_a_person_gives_a_place_stays_beside_a_recorder(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30))
    record(recorder, in_the_hall()[:15])
    named, apply, begun, ended = naming.named, Writer.apply, threading.Event(), threading.Event()

    def wait_after(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **kinds: Any) -> Any:
            came = do(*args, **kinds)
            begun.set()
            ended.wait(_SOON)
            return came

        return done

    if between == "reading and storing":
        monkeypatch.setattr(naming, "named", wait_after(named))
    else:
        monkeypatch.setattr(Writer, "apply", wait_after(apply))

    def goes_on() -> None:
        assert begun.wait(60)
        record(recorder, in_the_hall()[15:])
        recorder.finish(s(60))
        ended.set()

    with beside(goes_on) as went:
        memory.name_place("hall", "Grandmother's room")
    assert went == [None]
    (place,) = memory.snapshot().places()
    assert (place.name, place.last_ns) == ("Grandmother's room", s(59))


def test_naming_erasing_recording_and_closing_at_once_come_to_an_end(memory: Memory) -> None:
    recorder, root = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30)), memory.root
    film = in_the_hall()
    record(recorder, film[:15])
    stop, refused = threading.Event(), list[str]()

    def again_and_again(do: Callable[[int], object]) -> Callable[[], object]:
        def run() -> None:
            for i in range(1000):
                if stop.is_set():
                    return
                try:
                    do(i)
                except MnemeError as error:
                    refused.append(str(error))

        return run

    def another(i: int) -> None:
        memory.release(memory.recorder(Stream(f"s{i}", f"/s{i}", f"d{i}")))

    with (
        beside(again_and_again(lambda i: memory.name_place("hall", f"room {i}"))) as named,
        beside(again_and_again(lambda i: memory.forget(stream="day", t0_ns=s(i % 15), t1_ns=s(i % 15 + 1)))) as erased,
        beside(again_and_again(another)) as begun,
        beside(again_and_again(lambda _: memory.sleep())) as slept,
    ):
        for moment in film[15:]:
            recorder.observe(moment)
        memory.close()
        stop.set()
    assert [named, erased, begun, slept] == [[None]] * 4
    assert not any("\n" in each for each in refused)
    with Memory.open(root, "w") as again:
        assert again.check().ok


@pytest.mark.parametrize(
    "harm",
    [
        {"vector": np.array([np.nan, 0, 1], np.float32)},
        {"vector": np.array([np.inf, 0, 1], np.float32)},
        {"vector": None, "space": None, "also": {"looks": np.array([0, np.nan, 1], np.float32)}},
        {"tokens": np.full((2, 3), np.nan, np.float16)},
        {"confidence": float("nan")},
        {"text": "caf\udce9"},
        {"origin": "\ud800"},
        {"camera": "\ud800"},
        {"place": "caf\udce9"},
        {"t1_ns": 2**63},
        {"t0_ns": -(2**64)},
    ],
    ids=str,
)
def test_a_percept_that_cannot_be_stored_is_refused_alone_and_the_stream_goes_on(
    memory: Memory, harm: dict[str, Any]
) -> None:
    recorder = memory.recorder(DAY, boundaries=CutsAt())
    broken = replace(Percept("day", "sound", s(1), s(2), space="looks", vector=RED), **harm)
    with pytest.raises(MnemeError) as refused:
        recorder.observe(Moment("day", s(2), (broken,), settled_ns=0))
    assert "\n" not in str(refused.value)
    str(refused.value).encode()
    record(recorder, moments([say(3, 4, "and on it goes")], until_s=6)[3:])
    recorder.finish(s(6))
    assert [p.text for p in memory.snapshot().percepts()] == ["and on it goes"]


def test_streams_and_requests_that_are_no_text_or_out_of_all_time_are_refused_in_one_line(memory: Memory) -> None:
    for stream in (Stream("caf\udce9", "/v", "d"), Stream("b", "/caf\udce9", "d"), Stream("b", "/v", "d", 2**63)):
        with pytest.raises(MnemeError):
            memory.recorder(stream)
    three_events(memory)
    with pytest.raises(MnemeError, match="out of all time"):
        memory.forget(stream="day", t0_ns=s(12), t1_ns=2**63)
    with pytest.raises(MnemeError, match="no text"):
        memory.forget(text="caf\udce9")
    for read in (memory.snapshot().matching, memory.snapshot().get):
        with pytest.raises(MnemeError, match="is no text"):
            read("caf\udce9")
    recorder = memory.recorder(Stream("b", "/b", "db"))
    with pytest.raises(MnemeError, match="out of all time"):
        recorder.finish(2**63)
    recorder.finish(s(1))
    assert len(memory.snapshot().percepts()) == 3


def test_the_nightly_sleep_goes_on_after_an_error_of_any_kind(caplog: pytest.LogCaptureFixture) -> None:
    turns, enough = [], threading.Event()

    def sleep(stopped: Callable[[], bool]) -> None:
        turns.append(stopped())
        if len(turns) > 2:
            enough.set()
        raise ConnectionError("the language model is down")

    sleeper = Sleeper(sleep, 0.01)
    assert enough.wait(10)
    sleeper.stop()
    assert "the language model is down" in caplog.text
