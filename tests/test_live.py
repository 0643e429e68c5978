"""Live streams: pushed from any thread, never waited for, durable within a second, each with its own faults."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mneme
from mneme.errors import LockedError, MnemeError, SourceError
from mneme.pipeline.cameras import Camera, CameraThread, StreamTime, parse_source
from mneme.pipeline.live import Ack, Live
from mneme.pipeline.newest import NewestQueue
from mneme.pipeline.observed import Standing, Thinner
from mneme.records import NS_PER_S, Observation, Picture
from tests.waiting import wait_for

TICK = NS_PER_S // 5


def picture(number: int, side: int = 96) -> Picture:
    """A coarse pattern that is another one for each number."""
    coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3))
    return np.kron(coarse, np.ones((side // 6, side // 6, 1))).astype(np.uint8)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with mneme.open(tmp_path / "memory") as memory, Live(memory) as made:
        made.push(Observation("warm", 0, {"": picture(0)}))  # loads the encoders
        wait_for(lambda: made.status("warm").acked_t_ns > 0)
        yield made


def feed(live: Live, stream: str, seconds: float, *, rate: int = 30, t0_ns: int = 0) -> int:
    """Pushes pictures (another scene every 2 s) and captions as fast as they come in life; the time of the last."""
    t_ns = t0_ns
    for number in range(round(seconds * rate)):
        t_ns = t0_ns + number * NS_PER_S // rate
        scene = number // (2 * rate)
        words = f"scene number {scene} begins" if number % (2 * rate) == 0 else None
        live.push(Observation(stream, t_ns, {"front": picture(100 + scene)}, text=words))
        time.sleep(1 / rate)
    return t_ns


def test_what_is_pushed_is_durable_within_a_second_also_when_the_stream_pauses(live: Live) -> None:
    acks: list[Ack] = []
    live.subscribe("yard", acks.append)
    last_ns = feed(live, "yard", 3.0)
    stopped = time.monotonic()
    wait_for(lambda: live.status("yard").acked_t_ns > last_ns)
    assert time.monotonic() - stopped < 2.0
    status = live.status("yard")
    assert (status.received, status.dropped, status.error) == (90, 0, None)
    assert status.percepts == sum(len(ack.percepts) for ack in acks) > 0
    times = [ack.acked_t_ns for ack in acks]
    assert times == sorted(times)
    stored = live._mneme._reader().snapshot().percepts(stream="yard")  # what a reader sees
    assert {p.text for p in stored if p.lane == "speech"} == {"scene number 0 begins", "scene number 1 begins"}
    assert any(p.lane == "vision" for p in stored)


def test_a_stream_that_paused_goes_on_and_its_end_closes_its_last_event(live: Live) -> None:
    paused_ns = feed(live, "door", 1.0)
    wait_for(lambda: live.status("door").acked_t_ns > paused_ns)
    last_ns = feed(live, "door", 5.0, t0_ns=paused_ns + NS_PER_S)
    live.end("door")
    events = live._mneme.events("door")
    assert [event.t0_ns for event in events[1:]] == [event.t1_ns for event in events[:-1]]
    assert events[0].t0_ns == 0
    assert events[-1].t1_ns >= last_ns
    live.push(Observation("door", last_ns + NS_PER_S, {"": picture(1)}))
    wait_for(lambda: live.status("door").error is not None)
    assert "watched already" in (live.status("door").error or "")


def test_two_streams_are_perceived_side_by_side_and_a_fault_stays_with_its_own(live: Live) -> None:
    with pytest.raises(MnemeError, match="uint8"):
        live.push(Observation("bad", 0, {"": np.zeros((64, 64, 3), np.float32)}))  # type: ignore[dict-item]
    threads = [threading.Thread(target=feed, args=(live, name, 2.0)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(MnemeError, match="went back"):
        live.push(Observation("left", 0, text="too late"))
    for name in ("left", "right"):
        wait_for(lambda name=name: live.status(name).acked_t_ns > NS_PER_S)  # type: ignore[misc]
        assert live.status(name).received == 60
    answer = live._mneme.ask("What was said about scene number 0?", stream="left")
    assert not answer.abstained
    assert {e.stream for e in answer.evidence} == {"left"}


def test_a_giver_never_waits_and_what_is_dropped_is_the_oldest_and_counted(tmp_path: Path) -> None:
    with mneme.open(tmp_path / "memory") as memory, Live(memory, ahead=4) as live:
        longest = 0.0
        for number in range(60):  # the encoders are still being loaded
            before = time.monotonic()
            live.push(Observation("flood", number * TICK, {"": picture(number, 240)}, text=f"word {number}"))
            longest = max(longest, time.monotonic() - before)
        assert longest < 0.5
        wait_for(lambda: live.status("flood").acked_t_ns > 59 * TICK)
        status = live.status("flood")
        assert status.received == 60
        assert 0 < status.dropped < 60
        stored = memory._reader().snapshot().percepts(stream="flood", lanes=("speech",))
        assert [p.text for p in stored] == [f"word {number}" for number in range(60)]  # words outlast the pictures


def test_a_stream_goes_on_after_a_restart_and_refuses_what_it_remembers(tmp_path: Path) -> None:
    with mneme.open(tmp_path / "memory") as memory, Live(memory) as live:
        last_ns = feed(live, "yard", 3.0)
    with mneme.open(tmp_path / "memory") as memory, Live(memory) as live:
        faults: list[str] = []
        live.subscribe("yard", lambda _ack: None, faults.append)
        live.push(Observation("yard", 0, text="told again"))
        wait_for(lambda: bool(faults))
        assert "is remembered up to" in faults[0]
        live.push(Observation("yard", last_ns + NS_PER_S, text="told anew"))
        wait_for(lambda: live.status("yard").acked_t_ns > last_ns + NS_PER_S)
        texts = {p.text for p in memory._reader().snapshot().percepts(stream="yard")}
        assert "told anew" in texts
        assert "told again" not in texts
        with pytest.raises(LockedError, match="is being written by process"), mneme.open(memory.path) as second:
            Live(second)


def test_a_full_queue_loses_pictures_before_sound() -> None:
    queue = NewestQueue(ahead=2, most_bytes=1 << 20)
    sound = np.zeros(160, np.float32)
    assert [queue.put(Observation("s", t, {"": picture(t)}, sound=sound)) for t in range(4)] == [0, 0, 1, 1]
    items: list[Any] = [queue.get(0) for _ in range(4)]
    assert [item.t_ns for item in items if item.sound is not None] == [0, 1, 2, 3]
    assert [item.t_ns for item in items if item.images] == [2, 3]
    assert queue.get(0) is None


def test_pictures_are_thinned_to_the_ticks_and_cameras_brought_together() -> None:
    thinner = Thinner(TICK)
    taken = [thinner.take(Observation("s", n * NS_PER_S // 30, {"a": picture(n)})) for n in range(30)]
    assert sum(bool(t and t.images) for t in taken) == 5
    assert thinner.take(Observation("s", 2 * NS_PER_S, {"b": picture(1)})).images == {}  # type: ignore[union-attr]
    both = thinner.take(Observation("s", 2 * NS_PER_S + 1, {"a": picture(2)}))
    assert both is not None
    assert list(both.images) == ["a", "b"]
    assert thinner.take(Observation("s", 2 * NS_PER_S + 2, text="words")) is not None


def test_a_picture_stands_until_the_next_but_not_while_the_stream_was_away() -> None:
    standing = Standing(TICK)
    standing.note(Observation("s", 0, {"": picture(0)}))
    assert [o.t_ns for o in standing.until(NS_PER_S, behind=False)] == [TICK, 2 * TICK, 3 * TICK, 4 * TICK]
    assert list(standing.until(100 * NS_PER_S, behind=False)) == []
    standing.note(Observation("s", 100 * NS_PER_S, {"": picture(0)}))
    assert list(standing.until(102 * NS_PER_S, behind=True)) == []


class Sender:
    """A camera on this machine: a film as MPEG-TS over TCP at the pace of life, `times` in a row."""

    def __init__(self, film: Path, seconds: float, times: int = 1) -> None:
        self._data, self._seconds, self._times = film.read_bytes(), seconds, times
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        step = 188 * 7
        with self._listening:
            for _ in range(self._times):
                connection, _ = self._listening.accept()
                began = time.monotonic()
                with connection, suppress(OSError):  # whoever watched has gone
                    for at in range(0, len(self._data), step):
                        connection.sendall(self._data[at : at + step])
                        due = began + self._seconds * (at + step) / len(self._data)
                        time.sleep(max(0.0, due - time.monotonic()))


@pytest.fixture
def film(tmp_path: Path, make_video: Any) -> Path:
    """Three seconds of three scenes and a tone, whose clock begins at 1000 s."""
    scenes = [picture(number) for number in range(3)]
    return Path(
        make_video(tmp_path / "film.ts", seconds=3, fps=25, size=(96, 96), scenes=scenes, sound="tone", start_s=1000.0)
    )


def test_a_network_camera_gives_pictures_at_the_ticks_and_sound_at_16_khz_and_is_found_again(film: Path) -> None:
    sender = Sender(film, 3.0, times=2)
    camera = Camera(parse_source(f"gate={sender.url}"), interval_ns=TICK, start_ns=7 * NS_PER_S)
    seen: list[Observation] = []
    for observation in camera.observations():
        seen.append(observation)
        if camera.reconnects and observation.t_ns > seen[0].t_ns + 4 * NS_PER_S and observation.images:
            camera.close()
    assert {o.stream for o in seen} == {"gate"}
    times = [o.t_ns for o in seen]
    assert times == sorted(times)
    assert 7 * NS_PER_S <= times[0] < 8 * NS_PER_S
    pictures = [o for o in seen if o.images]
    assert 15 <= len(pictures) <= 25
    sounds = [o.sound for o in seen if o.sound is not None]
    heard = np.concatenate(sounds[1:6])
    assert np.argmax(np.abs(np.fft.rfft(heard))) * 16000 / len(heard) == pytest.approx(440, abs=5)
    assert float(np.sqrt(np.mean(heard**2))) == pytest.approx(0.354, abs=0.03)
    assert camera.reconnects >= 1
    gap = max(b - a for a, b in pairwise(times))
    assert gap > 0.3 * NS_PER_S  # the time in which it was away has passed in the stream too


def test_a_camera_is_remembered_and_keeps_its_time_over_a_restart(tmp_path: Path, film: Path) -> None:
    with mneme.open(tmp_path / "memory") as memory, Live(memory) as live:
        sender = Sender(film, 3.0)
        address = parse_source(f"gate={sender.url}")
        thread = CameraThread(address, live, TICK, lambda: 1_700_000_000 * NS_PER_S)
        wait_for(lambda: live.status("gate").received > 10)
        sender.thread.join()
        wait_for(lambda: live.status("gate").acked_t_ns > 2 * NS_PER_S)
        thread.close()
    with mneme.open(tmp_path / "memory") as memory, Live(memory) as live:
        state = memory.known("gate")
        assert state is not None
        assert (state.stream.source, state.stream.epoch_ns) == (sender.url, 1_700_000_000 * NS_PER_S)
        assert live.begin("gate", "there", 1_700_000_060 * NS_PER_S) == 60 * NS_PER_S


def test_a_clock_that_jumps_goes_on_by_the_time_that_passed() -> None:
    now = [0]
    clock = StreamTime(5 * NS_PER_S, lambda: now[0])
    assert clock.at(Fraction(90_000)) == 5 * NS_PER_S
    assert clock.at(Fraction(90_001)) == 6 * NS_PER_S
    now[0] = NS_PER_S // 4
    assert clock.at(Fraction(3)) == 6 * NS_PER_S + NS_PER_S // 4
    assert clock.at(Fraction(4)) == 7 * NS_PER_S + NS_PER_S // 4


@pytest.mark.parametrize("text", ["", "x", "file:///etc/passwd", "rtsp://", "987", "gate=", "rtsp://[", "http://a:b"])
def test_what_is_no_live_source_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SourceError, match="give"):
        parse_source(text)


def test_a_password_stays_out_of_names_and_of_the_manifest() -> None:
    address = parse_source("rtsp://me:secret@cam.local:554/door?key=secret")
    assert (address.name, address.shown) == ("cam.local:554/door", "rtsp://cam.local:554/door")
