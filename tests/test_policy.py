"""The robot's door: openpi's protocol in front of a memory, and a policy server behind it.

`MNEME_OBSERVATIONS=300 pytest tests/test_policy.py` sends the whole ten seconds at 30 Hz, four times over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="the robot's door: pip install 'mneme[robot]'")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_plainly

import mneme
from mneme.deploy.openpi import pack, unpack
from mneme.deploy.policy import address_of, run, serve
from mneme.errors import LockedError, MnemeError, SettingsError
from mneme.pipeline.episode import Episodes
from tests.waiting import wait_for

HERTZ = 30
OBSERVATIONS = int(os.environ.get("MNEME_OBSERVATIONS", "60"))
HORIZON = 10
OPENPI = "the real openpi-client: pip install --no-deps openpi-client (it pins numpy<2) and dm-tree"
RUN = (
    "import sys; from pathlib import Path; from mneme.deploy.policy import run;"
    "run(Path(sys.argv[1]), port=0, upstream=sys.argv[2] or None, ready=lambda a: print(a, flush=True))"
)


def room(number: int, shift: int = 0) -> Any:
    """A view uint8[224, 224, 3] of a room, from a place `shift` pixels along: each has its own colours and stripes."""
    rng = np.random.default_rng(number)
    colours = rng.integers(0, 2, (3, 3)) * 200 + rng.integers(0, 50, (3, 3))
    stripes = rng.integers(0, 3, 84)
    wall = np.repeat(colours[stripes].astype(np.uint8)[None], 28, axis=0).repeat(8, axis=0).repeat(8, axis=1)
    return np.ascontiguousarray(wall[:, shift : shift + 224])


def libero(step: int, number: int = 0) -> dict[str, Any]:
    view = room(number, step % 400)
    return {
        "observation/image": view,
        "observation/wrist_image": np.ascontiguousarray(view[::-1]),
        "observation/state": np.sin(np.arange(8) + step / 20),
        "prompt": "pick up the red block",
    }


@contextmanager
def door(folder: Path, port: int = 0, stream: str = "robot", **options: Any) -> Iterator[str]:
    """The address of a server in this process."""
    started: list[str] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with serve(episodes, port=port, **options) as server:
            started.append(address_of(server))
            await stop.wait()

    with mneme.open(folder) as memory:
        episodes = Episodes(memory, stream=stream)
        thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
        thread.start()
        wait_for(lambda: bool(started) or not thread.is_alive())
        assert started
        try:
            yield started[0]
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            episodes.close()


class Robot:
    """A connection as any openpi client makes it, without the library."""

    def __init__(self, address: str, **headers: str) -> None:
        self._stack = ExitStack()
        opening = connect(address, compression=None, max_size=None, additional_headers=headers)
        self.connection = self._stack.enter_context(opening)
        self.metadata = unpack(self.connection.recv())

    def __enter__(self) -> Robot:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def says(self, message: Any) -> Any:
        self.connection.send(message if isinstance(message, bytes | str) else pack(message))
        said = self.connection.recv(timeout=30)
        return said if isinstance(said, str) else unpack(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("robot") / "m"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with door(folder) as served:
        yield served


class PolicyServer:
    """A policy server as openpi's: says `actions` [H, 7] to each observation and keeps what it was asked."""

    def __init__(self, port: int = 0, *, fails: bool = False, silent: bool = False) -> None:
        self.asked: list[dict[str, Any]] = []
        self.said: list[bytes] = []
        self._fails, self._silent = fails, silent
        self._server = serve_plainly(self._serve, "127.0.0.1", port, compression=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> PolicyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    def _serve(self, connection: Any) -> None:
        connection.send(pack({"model": "blind", "action_horizon": HORIZON}))
        for frame in connection:
            if self._fails:
                connection.send("Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: no such joint")
                connection.close(1011)
                return
            self.asked.append(unpack(frame))
            if self._silent:
                continue
            steps = 100.0 * len(self.asked) + np.arange(HORIZON)
            reply = {
                "actions": np.repeat(steps[:, None], 7, axis=1).astype(np.float32),
                "policy_timing": {"infer_ms": 1.0},
                "server_timing": {"infer_ms": 2.0, "prev_total_ms": 3.0},
            }
            self.said.append(pack(reply))
            connection.send(self.said[-1])


class Health:
    """Asks /healthz ten times a second and keeps how long each answer took."""

    def __init__(self, address: str) -> None:
        self.url = address.replace("ws://", "http://") + "/healthz"
        self.seconds: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def once(self) -> tuple[int, bytes]:
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            return answer.status, answer.read()

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.1):
            started = time.perf_counter()
            assert self.once() == (200, b"OK\n")
            self.seconds.append(time.perf_counter() - started)


@contextmanager
def process(folder: Path, upstream: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`run` in a process of its own, ended by SIGTERM."""
    running = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), upstream], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        yield running.stdout.readline().strip(), running
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=30)
        assert (running.returncode, errors) == (0, "")
    finally:
        running.kill()
        running.communicate()


def at_thirty_hertz(send: Callable[[dict[str, Any]], Any]) -> float:
    """Sends the observations when they are due; the share of the time given that it took."""
    started = time.perf_counter()
    for step in range(OBSERVATIONS):
        time.sleep(max(0.0, started + step / HERTZ - time.perf_counter()))
        send(libero(step))
    return (time.perf_counter() - started) * HERTZ / OBSERVATIONS


def test_the_real_openpi_client_keeps_thirty_hertz_while_health_is_answered(tmp_path: Path) -> None:
    client = pytest.importorskip("openpi_client.websocket_client_policy", reason=OPENPI)
    broker = pytest.importorskip("openpi_client.action_chunk_broker", reason=OPENPI)
    with PolicyServer() as policy, process(tmp_path / "m", policy.url) as (address, _), Health(address) as health:
        plain = client.WebsocketClientPolicy(address)
        assert plain.get_server_metadata()["model"] == "blind"
        replies: list[dict[str, Any]] = []
        assert at_thirty_hertz(lambda o: replies.append(plain.infer(o))) < 1.5
        assert [reply["actions"][0, 0] for reply in replies] == [100.0 * (i + 1) for i in range(OBSERVATIONS)]
        assert set(replies[-1]) == {"actions", "policy_timing", "server_timing"}

        policy.asked.clear()
        chunked = broker.ActionChunkBroker(client.WebsocketClientPolicy(address), HORIZON)
        steps: list[float] = []
        assert at_thirty_hertz(lambda o: steps.append(chunked.infer(o)["actions"][0])) < 1.5
        assert steps == [100.0 * (i // HORIZON + 1) + i % HORIZON for i in range(OBSERVATIONS)]
        assert len(policy.asked) == OBSERVATIONS // HORIZON
    assert sorted(health.seconds)[int(0.9 * len(health.seconds))] < 0.1
    with mneme.open(tmp_path / "m") as memory:
        assert memory.check().ok
        assert [(s.stream.id, s.done) for s in memory.streams()] == [("robot-1", True), ("robot-2", True)]
        assert {lane for event in memory.events() for lane in event.lanes} == {"vision", "state", "speech"}


def test_without_a_policy_behind_it_a_reply_has_no_actions(tmp_path: Path) -> None:
    client = pytest.importorskip("openpi_client.websocket_client_policy", reason=OPENPI)
    broker = pytest.importorskip("openpi_client.action_chunk_broker", reason=OPENPI)
    with process(tmp_path / "m") as (address, _):
        plain = client.WebsocketClientPolicy(address)
        replies: list[dict[str, Any]] = []
        assert at_thirty_hertz(lambda o: replies.append(plain.infer(o))) < 1.5
        assert {key for reply in replies for key in reply} == {"server_timing"}
        assert set(replies[-1]["server_timing"]) == {"infer_ms", "prev_total_ms"}
        chunked = broker.ActionChunkBroker(client.WebsocketClientPolicy(address), HORIZON)
        assert at_thirty_hertz(chunked.infer) < 1.5


def test_tokens_know_the_observation_that_they_are_asked_with(address: str) -> None:
    with Robot(address) as robot:
        for step, number in enumerate([1, 2, 3]):
            t_ns = 1_000 + step * 200_000_000
            reply = robot.says({"image": room(number), "memory/t_ns": t_ns, "memory/budget": 4})
            assert set(reply) == {"memory/tokens", "memory/mask", "memory/t_ns", "server_timing"}
            tokens, mask, times = reply["memory/tokens"], reply["memory/mask"], reply["memory/t_ns"]
            assert (tokens.dtype, tokens.shape) == (np.float32, (4, robot.metadata["memory/dim"]))
            assert (mask.dtype, times.dtype) == (bool, np.int64)
            assert times[mask].max() == t_ns
            assert not tokens[~mask].any()


def test_times_come_back_in_the_robots_own_clock(address: str) -> None:
    wall_ns = 1_800_000_000 * 10**9
    with Robot(address) as robot:
        robot.says({"image": room(1), "memory/t_ns": wall_ns})
        reply = robot.says({"image": room(2), "memory/t_ns": wall_ns + 10**9, "memory/budget": 32})
        times = reply["memory/t_ns"][reply["memory/mask"]]
        assert {times.min(), times.max()} == {wall_ns, wall_ns + 10**9}
        refusal = robot.says({"image": room(3), "memory/t_ns": wall_ns})
        assert "memory/t_ns" in refusal


def test_an_episode_does_not_see_another_unless_it_asks_to(address: str) -> None:
    def known(robot: Robot, **more: str) -> int:
        reply = robot.says({"memory/budget": 64} | {f"memory/{key}": value for key, value in more.items()})
        return int(reply["memory/mask"].sum())

    with Robot(address) as first, Robot(address) as second:
        first.says({"image": room(4)})
        assert known(first) > 0
        assert known(second) == 0
        assert known(second, stream="*") > 0
        second.says({"image": room(5)})
        first.says({"memory/reset": True})
        assert known(first) == 0
        assert known(second) > 0


def test_a_reset_and_a_closed_connection_end_an_episode_and_the_next_takes_the_next_name(tmp_path: Path) -> None:
    with door(tmp_path / "m", stream="arm") as address:
        with Robot(address) as robot:
            robot.says({"image": room(1)})
            robot.says({"image": room(2), "memory/reset": True})
        with Robot(address):
            pass  # one that only looks in begins no episode
    with door(tmp_path / "m", stream="arm") as address, Robot(address) as robot:
        robot.says({"image": room(3)})
    with mneme.open(tmp_path / "m") as memory:
        assert [(s.stream.id, s.done, s.events) for s in memory.streams()] == [(f"arm-{n}", True, 1) for n in (1, 2, 3)]
        assert memory.check().ok


def test_going_into_another_room_begins_another_event(folder: Path, address: str) -> None:
    with Robot(address) as robot:
        for step in range(40):
            robot.says({"image": room(7 if step < 20 else 8, step % 20), "memory/t_ns": step * 200_000_000})
        robot.says({"memory/reset": True})
    with mneme.open(folder) as memory:
        events = memory.events(memory.streams()[-1].stream.id)
    assert len(events) == 2
    assert events[0].t1_ns / 1e9 == pytest.approx(4.0, abs=1.0)


def test_a_reader_asks_beside_the_robot_and_so_does_the_robot(folder: Path, address: str) -> None:
    with Robot(address) as robot, mneme.open(folder) as page:
        robot.says({"image": room(1), "prompt": "bring the green kettle to the sink"})
        answer = robot.says({"memory/ask": "What should be brought to the sink?"})["memory/answer"]
        assert "green kettle" in answer["answer"]
        assert not answer["abstained"]
        assert answer["evidence"][0]["lane"] == "speech"
        question = "What should be brought to the sink?"
        wait_for(lambda: not page.ask(question).abstained, 10)  # a pause: what is open is stored
        assert "green kettle" in page.ask(question).text
        robot.says({"image": room(2)})


def test_what_a_robot_was_told_is_forgotten_while_it_and_another_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    with door(folder) as address, Robot(address) as robot, Robot(address) as other:
        robot.says({"image": room(1), "prompt": "bring the green kettle to the sink"})
        other.says({"image": room(2), "prompt": "open the blue window"})
        with Robot(address) as person:  # without an observation: no episode
            receipt = person.says({"memory/forget": {"text": "green kettle"}})["memory/receipt"]
        assert receipt["verified"]
        assert receipt["percepts"] >= 1
        assert [span["stream"] for span in receipt["spans"]] == ["robot-1"]
        robot.says({"image": room(3)})
        answer = robot.says({"memory/ask": "What should be brought to the sink?"})["memory/answer"]
        assert "kettle" not in answer["answer"]
        assert "blue window" in other.says({"memory/ask": "What should be opened?"})["memory/answer"]["answer"]
        fault = other.says({"memory/forget": {"text": "green kettle"}})
        assert fault.startswith("these words stand nowhere in this memory")
    with mneme.open(folder) as memory:
        assert [state.stream.id for state in memory.streams()] == ["robot-1", "robot-2"]
        assert not any("kettle" in event.gist for event in memory.events())
    assert not any(b"kettle" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_second_writer_is_refused_with_the_name_of_the_first(folder: Path, address: str) -> None:  # noqa: ARG001
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        run(folder, port=0)


def test_a_policy_behind_gets_no_key_of_the_memory_and_its_words_come_back_as_they_are(tmp_path: Path) -> None:
    with PolicyServer() as policy, door(tmp_path / "m", upstream=policy.url) as address, Robot(address) as robot:
        assert robot.metadata["action_horizon"] == HORIZON
        robot.connection.send(pack({**libero(0), "memory/t_ns": 5}))
        assert robot.connection.recv() == policy.said[0]
        assert set(policy.asked[0]) == set(libero(0))
        reply = robot.says({**libero(1), "memory/budget": 8})
        assert set(reply) == {*unpack(policy.said[1]), "memory/tokens", "memory/mask", "memory/t_ns"}
        assert reply["actions"][0, 0] == 200.0
        asked = len(policy.asked)
        robot.says({"memory/budget": 8})  # a question is no observation
        assert len(policy.asked) == asked


def test_a_policy_that_is_down_is_named_and_tried_again_and_the_memory_goes_on(tmp_path: Path) -> None:
    with PolicyServer() as policy:
        port = policy.port
    with door(tmp_path / "m", upstream=policy.url) as address, Robot(address) as robot:
        fault = robot.says(libero(0))
        assert policy.url in fault
        assert "\n" not in fault
        with PolicyServer(port) as back:
            assert robot.says(libero(1))["actions"].shape == (HORIZON, 7)
            assert len(back.asked) == 1
        assert policy.url in robot.says(libero(2))
    with mneme.open(tmp_path / "m") as memory:
        assert "red block" in memory.events()[0].gist


def test_a_policys_traceback_reaches_the_robot_as_one_line(tmp_path: Path) -> None:
    with PolicyServer(fails=True) as policy, door(tmp_path / "m", upstream=policy.url) as address:
        with Robot(address) as robot:
            fault = robot.says(libero(0))
        assert policy.url in fault
        assert "no such joint" in fault
        assert "Traceback" not in fault
        assert "\n" not in fault


def test_a_policy_that_never_answers_keeps_neither_the_memory_nor_the_end_waiting(tmp_path: Path) -> None:
    with PolicyServer(silent=True) as policy:
        with door(tmp_path / "m", upstream=policy.url) as address, Robot(address) as robot:
            robot.connection.send(pack(libero(0)))
            wait_for(lambda: bool(policy.asked), 10)
            assert Health(address).once() == (200, b"OK\n")
        with mneme.open(tmp_path / "m") as memory:
            assert "red block" in memory.events()[0].gist


@pytest.mark.parametrize(
    "message",
    [
        "words",
        b"",
        b"\xc1garbage",
        pack([1, 2]),
        pack({"image": "a path"}),
        pack({"image": np.zeros((2, 2, 3), np.uint8)}),
        pack({"memory/budget": 0}),
        pack({"memory/budget": 1 << 20}),
        pack({"memory/budget": 4, "memory/stream": "nowhere"}),
        pack({"memory/budget": 4, "memory/query": "?"}),
        pack({"memory/ask": ""}),
        pack({"image": room(1), "memory/t_ns": -1}),
        pack({"memory/forget": "everything"}),
        pack({"memory/forget": {}}),
        pack({"memory/forget": {"stream": "robot-1", "t0_s": "now"}}),
        pack({"memory/forget": {"stream": "nobody"}}),
        pack({"memory/forget": {"text": "one", "place": "two"}}),
    ],
    ids=range(17),
)
def test_what_cannot_be_understood_is_told_in_a_text_frame_and_closes_with_1011(address: str, message: Any) -> None:
    with Robot(address) as robot:
        fault = robot.says(message)
        assert isinstance(fault, str)
        assert "\n" not in fault
        assert "Traceback" not in fault
        with pytest.raises(ConnectionClosed) as closed:
            robot.connection.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    with Robot(address) as another:
        assert "server_timing" in another.says({"image": room(1)})


def test_a_message_beyond_64_megabytes_is_refused_and_the_server_goes_on(address: str) -> None:
    with Robot(address) as robot, pytest.raises(ConnectionClosed) as closed:
        robot.says(bytes((64 << 20) + 1))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert Health(address).once() == (200, b"OK\n")


def test_a_token_is_wanted_but_for_health(tmp_path: Path) -> None:
    with door(tmp_path / "m", token="secret") as address:
        assert Health(address).once() == (200, b"OK\n")
        for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": "secret"}):
            with pytest.raises(InvalidStatus) as refusal:
                Robot(address, **headers)
            assert refusal.value.response.status_code == 401
        with Robot(address + "/any/path", Authorization="Api-Key secret") as robot:
            assert "server_timing" in robot.says({"image": room(1)})


def test_a_page_in_a_browser_cannot_write_into_the_memory(address: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        Robot(address, Origin="http://elsewhere.example")
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"upstream": "http://127.0.0.1"}, "http://127.0.0.1"),
        ({"lanes": ["smell"]}, "smell"),
        ({"stream": "a\nb"}, "stream"),
        ({"token": ""}, "token"),
        ({"host": "no.such.host.invalid"}, "no.such.host.invalid"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_one_line(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(MnemeError, match=named) as refusal:
        run(tmp_path / "m", port=0, **options)
    assert isinstance(refusal.value, SettingsError) or "host" in options or "stream" in options


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, address: str) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(MnemeError, match=f"port {port} of 127.0.0.1 is taken"):
        run(tmp_path / "m", port=port)
