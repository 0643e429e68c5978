"""A served memory forgets while it is being filled: nothing of it comes back, and what is sent goes on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest
from starlette.testclient import TestClient
from websockets.sync.client import ClientConnection

from mneme.deploy import problems
from mneme.deploy.door import Door, Served
from mneme.deploy.http import make_app
from mneme.errors import MnemeError
from mneme.memory.forget import Receipt
from mneme.memory.memory import Memory
from mneme.pipeline.words import stem
from mneme.records import NS_PER_S, Observation, Percept
from tests.test_serve import Server, check_problem, free_port, noise, noise_array, start, wait_for_ack
from tests.waiting import wait_for

DOCS = Path(__file__).parents[1] / "docs" / "serve.md"
CANARY = "the vault code is osprey"
ASKED = "What was said about the vault code?"
SPOKEN = [
    (12.0, 15.0, "the red mug is on the kitchen table"),
    (60.0, 63.0, "my number is four four two"),
    (100.0, 103.0, CANARY),
]


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory, remember: Any) -> Path:
    """A memory of one stream that has ended."""
    return Path(remember(tmp_path_factory.mktemp("kitchen") / "memory", spoken=SPOKEN, stream="kitchen"))


@pytest.fixture(scope="module")
def server(kitchen: Path) -> Iterator[Server]:
    folder = kitchen.with_name("served")
    shutil.copytree(kitchen, folder)
    short = tempfile.mkdtemp(prefix="mn", dir="/tmp")  # Ray's sockets want a short path
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": short}
    port = free_port()
    process = start(folder, port, environment)
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert "serving" in lines[1], process.communicate()
    with httpx.Client(timeout=60) as client:
        yield Server(f"http://127.0.0.1:{port}", folder, process, environment, client)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture
def door(kitchen: Path, tmp_path: Path) -> Iterator[Door]:
    """What stands behind the routes, in this process."""
    shutil.copytree(kitchen, tmp_path / "m")
    opened = Door(Served(str(tmp_path / "m")))
    yield opened
    opened.close()


@pytest.fixture
def client(door: Door) -> Iterator[TestClient]:
    with TestClient(make_app(door, None), raise_server_exceptions=False) as made:  # one event loop for all threads
        yield made


def send(socket_: ClientConnection, second: int, text: str | None = None) -> None:
    words = {} if text is None else {"text": text}
    socket_.send(msgpack.packb({"t_ns": second * NS_PER_S, "images": {"": noise(second // 4)}} | words))


def said(server: Server, question: str) -> str:
    reply = server.post("/v1/ask", json={"question": question})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["answer"]) + str(reply.json()["evidence"])


def percepts(door: Door, stream: str) -> list[Percept]:
    return door.memory._reader().snapshot().percepts(stream=stream)


def push(door: Door, second: float, text: str | None = None, shown: int | None = None) -> None:
    images = {} if shown is None else {"": noise_array(shown)}
    door.live.push(Observation("yard", round(second * NS_PER_S), images, text=text))


def test_words_are_forgotten_while_their_stream_is_being_sent_and_it_goes_on(server: Server) -> None:
    with server.stream("yard") as socket_:
        for second in range(6):
            send(socket_, second, "the vault code of the yard is heron" if second == 3 else None)
        wait_for_ack(socket_, 3 * NS_PER_S)
        assert "heron" in said(server, ASKED)
        done = server.post("/v1/forget", json={"text": "code of the yard is Heron"})
        assert done.status_code == 200, done.text
        receipt = done.json()
        assert receipt["verified"] is True
        assert receipt["searched"]["found"] == []
        assert receipt["percepts"] >= 1
        assert receipt["asked"] == {"text": "code of the yard is Heron"}
        assert [span["stream"] for span in receipt["spans"]] == ["yard"]
        assert "heron" not in said(server, ASKED)
        send(socket_, 8, "the ladder leans at the shed")
        wait_for_ack(socket_, 8 * NS_PER_S)
    assert "shed" in said(server, "Where does the ladder lean?")
    assert "heron" not in said(server, ASKED)
    assert "mneme_erasures_total 1.0" in server.get("/metrics").text
    check_problem(server.post("/v1/forget", json={"text": "code of the yard is Heron"}), 404)


def test_words_that_were_sent_just_before_are_forgotten_too(server: Server) -> None:
    with server.stream("porch") as socket_:
        send(socket_, 1, "the spare key is below the cormorant")
        socket_.send(msgpack.packb({"t_ns": -1}))
        assert "error" in msgpack.unpackb(socket_.recv(timeout=20))  # so the words have been taken in
        done = server.post("/v1/forget", json={"text": "below the cormorant"})
        assert done.status_code == 200, done.text
        send(socket_, 3, "the doorbell rings")
        wait_for_ack(socket_, 3 * NS_PER_S)
    assert "doorbell" in said(server, "What rings?")
    assert "cormorant" not in said(server, "Where is the spare key?")


def test_a_span_is_forgotten_and_what_is_sent_for_it_later_is_not_taken_in(server: Server) -> None:
    with server.stream("gate") as socket_:
        for second in range(4):
            send(socket_, second, "a parcel for the magpie" if second == 2 else None)
        wait_for_ack(socket_, 2 * NS_PER_S)
        assert "magpie" in said(server, "Who is the parcel for?")
        done = server.post("/v1/forget", json={"stream": "gate", "t0_s": 2, "t1_s": 7.5})
        assert done.json()["verified"] is True
        assert [(span["t0_s"], span["t1_s"]) for span in done.json()["spans"]] == [(2.0, 7.5)]
        send(socket_, 6, "the parcel is for the magpie all the same")
        send(socket_, 9, "the gate is closed by the gardener")
        wait_for_ack(socket_, 9 * NS_PER_S)
    assert "gardener" in said(server, "Who closed the gate?")
    assert "magpie" not in said(server, "Who is the parcel for?")


def test_without_the_token_nothing_is_forgotten(server: Server) -> None:
    check_problem(server.client.post(server.url + "/v1/forget", json={"text": CANARY}), 401)
    assert "osprey" in said(server, ASKED)


def test_the_command_of_the_docs_works(server: Server) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    command = blocks[0].replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert '"verified":true' in done.stdout
    assert "four four two" not in said(server, "What is my number?")
    assert "table" in said(server, "Where is the red mug?")


def test_a_live_stream_that_is_forgotten_whole_begins_anew_where_it_is(door: Door) -> None:
    for second in range(5):
        push(door, second, f"word {second}", shown=second)
    wait_for(lambda: door.live.status("yard").acked_t_ns > 4 * NS_PER_S)
    assert percepts(door, "yard")
    receipt = door.forget(stream="yard")
    assert receipt.verified
    assert percepts(door, "yard") == []
    assert "kitchen" in door.streams()
    push(door, 6, "the swing is empty")
    push(door, 7, shown=9)
    wait_for(lambda: door.live.status("yard").acked_t_ns > 7 * NS_PER_S)
    assert door.live.status("yard").error is None
    assert [p.text for p in percepts(door, "yard") if p.lane == "speech"] == ["the swing is empty"]
    assert {p.t0_ns for p in percepts(door, "yard") if p.lane == "vision"} == {7 * NS_PER_S}
    assert door.memory.check().ok


def test_a_picture_that_was_shown_before_does_not_stand_on_after_it(door: Door) -> None:
    push(door, 1, shown=3)
    assert door.forget(stream="yard").thumbnails == 1
    push(door, 4, "still nobody")  # until here the picture would be taken to have stood
    wait_for(lambda: door.live.status("yard").acked_t_ns > 4 * NS_PER_S)
    assert [p.lane for p in percepts(door, "yard")] == ["speech"]
    assert list((door.memory.path / "thumbnails").glob("*/*")) == []


def test_what_waits_to_be_perceived_when_it_is_forgotten_does_not_come_back(door: Door) -> None:
    for number in range(40):  # the encoders are still being loaded: nothing of it is perceived yet
        push(door, number / 5, f"word {number}", shown=number)
    assert percepts_or_none(door) == []
    receipt = door.forget(stream="yard", t0_s=0.0, t1_s=6.0)
    assert receipt.percepts > 30
    push(door, 5.0 + 39 / 5, "behind it")
    wait_for(lambda: door.live.status("yard").acked_t_ns > 12 * NS_PER_S)
    words = [p.text for p in percepts(door, "yard") if p.lane == "speech"]
    assert words == [*(f"word {number}" for number in range(30, 40)), "behind it"]
    assert all(p.t0_ns >= 6 * NS_PER_S for p in percepts(door, "yard"))


def percepts_or_none(door: Door) -> list[Percept]:
    return percepts(door, "yard") if "yard" in door.streams() else []


def test_a_stream_that_is_too_far_behind_is_named_and_comes_so_far_later(door: Door, client: TestClient) -> None:
    writer = door.memory._reader()._writer
    assert writer is not None
    with writer.alone():  # nothing can be stored meanwhile
        push(door, 0, "the first word", shown=1)
        assert door.live.settle(["elsewhere"], 0.0) == []
        assert door.live.settle(None, 0.5) == ["yard"]
    assert door.live.settle(None, 30.0) == []
    assert [p.text for p in percepts(door, "yard") if p.text] == ["the first word"]
    check = problems.of(problems.BusyError("stream 'yard' is behind", "try again"))
    assert (check.status_code, client.get("/healthz").status_code) == (503, 200)


def test_erasures_take_turns_beside_streams_that_are_sent_and_questions(door: Door, client: TestClient) -> None:
    stop = threading.Event()

    def sending() -> None:
        second = 0.0
        while not stop.wait(0.05):
            push(door, second, f"line {round(second * 10)} of the poem", shown=int(second))
            second += 0.1

    def forget(body: dict[str, Any]) -> httpx.Response:
        return client.post("/v1/forget", json=body)

    def ask(question: str) -> httpx.Response:
        return client.post("/v1/ask", json={"question": question})

    thread = threading.Thread(target=sending)
    thread.start()
    try:
        wait_for(lambda: door.live.status("yard").percepts > 20)
        bodies: list[dict[str, Any]] = [{"text": CANARY}, {"text": "four four two"}, {"text": "line 3 of the poem"}]
        with ThreadPoolExecutor(6) as pool:
            erased = [pool.submit(forget, body) for body in bodies]
            asked = [pool.submit(ask, "Where is the red mug?") for _ in range(3)]
            receipts = [future.result() for future in erased]
            answers = [future.result() for future in asked]
    finally:
        stop.set()
        thread.join()
    assert [receipt.status_code for receipt in receipts] == [200, 200, 200], [receipt.text for receipt in receipts]
    assert len({receipt.json()["commit"] for receipt in receipts}) == 3
    assert all("table" in answer.json()["answer"] for answer in answers)
    assert door.live.status("yard").error is None
    assert "osprey" not in ask(ASKED).text
    assert door.memory.check().ok


def test_a_question_does_not_wait_for_an_erasure_and_is_answered_from_what_is_still_there(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let, erase = threading.Event(), threading.Event(), Memory.forget

    def slowly(self: Memory, **what: Any) -> Receipt:
        begun.set()
        assert let.wait(60)
        return erase(self, **what)

    monkeypatch.setattr(Memory, "forget", slowly)
    with ThreadPoolExecutor(2) as pool:
        try:
            erasing = pool.submit(door.memory.forget, text=CANARY)
            assert begun.wait(60)
            asked = pool.submit(door.memory.ask, ASKED)
            assert CANARY in str(asked.result(60).evidence)
        finally:
            let.set()
        assert erasing.result(60).verified
    assert CANARY not in str(door.memory.ask(ASKED).evidence)


def test_questions_that_are_asked_at_once_do_not_mix_their_words() -> None:
    """An erasure empties the cache of stems, so that all of them stem anew."""
    words = [
        f"{prefix}{word}" for prefix in ("", "re", "un") for word in ("nationalities", "deployed", "running", "ox")
    ]
    stems = [stem(word) for word in words]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(20):
                stem.cache_clear()
                assert all(made == stems for made in pool.map(lambda _: [stem(word) for word in words], range(4)))
    finally:
        sys.setswitchinterval(before)


NOWHERE: dict[str, dict[str, Any]] = {
    "event": {"event": "00"},
    "stream": {"stream": "cellar"},
    "words": {"text": "never said by anybody"},
    "place": {"place": "moon"},
    "empty span": {"stream": "kitchen", "t0_s": 500.0, "t1_s": 501.0},
}
SAYS_NOTHING: dict[str, dict[str, Any]] = {
    "nothing": {},
    "two things": {"stream": "kitchen", "text": CANARY},
    "no words": {"text": "?!"},
    "a time alone": {"t0_s": 1.0, "text": CANARY},
    "backwards": {"stream": "kitchen", "t0_s": 20.0, "t1_s": 10.0},
}
MALFORMED: dict[str, dict[str, Any]] = {
    "another name for a time": {"json": {"stream": "kitchen", "from": 10}},
    "before the beginning": {"json": {"stream": "kitchen", "t0_s": -1.0}},
    "a time as text": {"json": {"stream": "kitchen", "t0_s": "0:10"}},
    "not a number": {"content": b'{"stream": "kitchen", "t1_s": NaN}'},
    "endless": {"content": b'{"stream": "kitchen", "t1_s": 1e400}'},
    "empty name": {"json": {"stream": ""}},
    "a list": {"json": {"stream": ["kitchen"]}},
    "no object": {"json": ["kitchen"]},
}


def test_what_cannot_be_forgotten_is_a_problem_document_and_changes_nothing(door: Door, client: TestClient) -> None:
    before = percepts(door, "kitchen")
    for name, body in NOWHERE.items():
        assert client.post("/v1/forget", json=body).status_code == 404, name
    for name, body in SAYS_NOTHING.items():
        assert client.post("/v1/forget", json=body).status_code == 400, name
    for name, arguments in MALFORMED.items():
        refused = client.post("/v1/forget", headers={"Content-Type": "application/json"}, **arguments)
        assert refused.status_code == 422, name
        check_problem(refused, 422)
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/forget", headers=headers, content=b"{bad").status_code == 400
    check_problem(client.post("/v1/forget", json={"event": "00"}), 404)
    assert [p.id for p in percepts(door, "kitchen")] == [p.id for p in before]
    assert "mneme_erasures_total 0.0" in client.get("/metrics").text


def test_an_event_is_forgotten_by_its_id(door: Door, client: TestClient) -> None:
    events = client.get("/v1/events").json()["events"]
    event = next(event for event in events if "osprey" in event["gist"])
    assert client.post("/v1/forget", json={"event": event["id"]}).json()["verified"] is True
    assert "osprey" not in str(client.get("/v1/events").json())
    assert all(p.text != CANARY for p in percepts(door, "kitchen"))


def test_a_receipt_that_is_not_verified_is_an_error_that_holds_it(door: Door, client: TestClient) -> None:
    left = door.memory.path / "tables" / "percepts.lance" / "data" / "left.txt"
    left.write_text(CANARY)
    refused = client.post("/v1/forget", json={"text": CANARY})
    assert refused.status_code == 500
    document = refused.json()
    assert "no version names data/left.txt" in document["detail"]
    assert "serve the memory anew" in document["detail"]
    assert document["receipt"]["verified"] is False
    assert document["receipt"]["percepts"] == 1
    assert all(p.text != CANARY for p in percepts(door, "kitchen"))  # it is erased all the same


def test_a_disk_that_fails_is_no_fault_of_the_request(door: Door, client: TestClient) -> None:
    (door.memory.path / "thumbnails" / "ab" / "left.jpg").mkdir(parents=True)  # cannot be removed as a file
    refused = client.post("/v1/forget", json={"text": CANARY})
    assert refused.status_code == 500
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert "erasing from" in refused.json()["detail"]
    with pytest.raises(MnemeError):
        door.forget(text=CANARY)
