"""A served memory: one real server on Ray Serve for all of these, and the clients that people have."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgpack
import numpy as np
import openai
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from benchmarks.serving import push_and_ask
from mneme.deploy.openpi import unpack
from mneme.deploy.serve import run
from mneme.errors import MissingError, MnemeError, SourceError
from tests.waiting import wait_for

TOKEN = "secret"
DOCS = Path(__file__).parents[1] / "docs" / "serve.md"
SERVER = """
import sys
from pathlib import Path
from mneme.deploy.serve import run
from mneme.errors import MnemeError
path, port, token, *sources = sys.argv[1:]
try:
    run(Path(path), port=int(port), token=token, sources=sources, say=lambda line: print(line, flush=True))
except MnemeError as error:
    sys.exit(f"mneme: {error}")
"""


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    process: subprocess.Popen[str]
    environment: dict[str, str]
    client: httpx.Client
    """Without a token."""

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", **kwargs.pop("headers", {})}
        return self.client.post(self.url + path, headers=headers, **kwargs)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"})

    def stream(self, name: str) -> ClientConnection:
        url = self.url.replace("http", "ws", 1) + f"/v1/streams/{name}/observations"
        return connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, max_size=None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int, environment: dict[str, str], *sources: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVER, str(folder), str(port), TOKEN, *sources]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, remember: Any, make_video: Any) -> Iterator[Server]:
    """A memory that holds a few words, and a camera that sends for three seconds."""
    folder = tmp_path_factory.mktemp("served") / "memory"
    remember(folder, spoken=[(12.0, 15.0, "the red mug is on the kitchen table")], stream="kitchen")
    film = make_video(folder.parent / "film.ts", seconds=3, fps=25, size=(96, 96)).read_bytes()
    camera = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=send_film, args=(camera, film), daemon=True).start()
    short = tempfile.mkdtemp(prefix="mn", dir="/tmp")  # Ray's sockets want a short path
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": short}
    port = free_port()
    process = start(folder, port, environment, f"gate=tcp://127.0.0.1:{camera.getsockname()[1]}")
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert "serving" in lines[1], process.communicate()
    with httpx.Client(timeout=60) as client:
        yield Server(f"http://127.0.0.1:{port}", folder, process, environment, client)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    camera.close()
    shutil.rmtree(short, ignore_errors=True)


def send_film(camera: socket.socket, film: bytes) -> None:
    connection, _ = camera.accept()
    with connection:
        for at in range(0, len(film), 1316):
            connection.sendall(film[at : at + 1316])
            time.sleep(3 * 1316 / len(film))


def test_a_question_is_answered_with_its_evidence(server: Server) -> None:
    reply = server.post("/v1/ask", json={"question": "Where is the red mug?"})
    assert reply.status_code == 200
    answer = reply.json()
    assert "table" in answer["answer"]
    assert answer["evidence"][0] | {"stream": "kitchen", "t0_s": 12.0, "t1_s": 15.0} == answer["evidence"][0]
    assert server.post("/v1/ask", json={"question": "Who won the chess game?"}).json()["abstained"] is True


def test_events_come_in_pages(server: Server) -> None:
    with server.stream("pages") as socket_:
        for second in range(12):
            socket_.send(msgpack.packb({"t_ns": second * 10**9, "images": {"": noise(second // 4)}}))
        socket_.send(msgpack.packb({"end": True}))
        wait_for_ack(socket_, 11 * 10**9)

    def events() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = server.get("/v1/events?stream=pages").json()["events"]
        return listed

    wait_for(lambda: any(event["t1_s"] >= 11 for event in events()[-1:]), 60)  # the end is acknowledged, then closed
    everything = server.get("/v1/events?stream=pages").json()
    assert everything["next"] is None
    first = server.get("/v1/events?stream=pages&limit=1").json()
    assert first["events"] == everything["events"][:1]
    if first["next"] is not None:
        rest = server.get(f"/v1/events?stream=pages&after={first['next']}").json()
        assert rest["events"] == everything["events"][1:]


def test_tokens_come_as_json_or_as_openpi_arrays(server: Server) -> None:
    asked = {"budget": 4, "query": "red mug", "lane": "speech"}
    plain = server.post("/v1/tokens", json=asked).json()
    packed = unpack(server.post("/v1/tokens", json=asked, headers={"Accept": "application/msgpack"}).content)
    assert packed["tokens"].shape[0] == len(plain["mask"]) == 4
    assert packed["tokens"].dtype == np.float32
    assert np.allclose(packed["tokens"], plain["tokens"], atol=1e-6)
    assert packed["mask"].tolist() == plain["mask"]


def test_the_openai_client_asks_streaming_and_not(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
    assert {"mneme", "kitchen"} <= {model.id for model in client.models.list()}
    messages: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Where is the red mug?"}]
    whole = client.chat.completions.create(model="kitchen", messages=messages)
    text = whole.choices[0].message.content or ""
    assert "table" in text
    assert "kitchen 0:12" in text
    assert whole.model_extra is not None
    assert whole.model_extra["mneme"]["evidence"][0]["t0_s"] == 12.0
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    stream = client.chat.completions.create(
        model="mneme", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage == whole.usage
    with pytest.raises(openai.NotFoundError, match="no stream"):
        client.chat.completions.create(model="garage", messages=messages)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()


def test_a_picture_may_come_with_the_question_but_no_other_address(server: Server) -> None:
    file = io.BytesIO()
    Image.fromarray(noise_array(3)).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    assert server.post("/v1/ask", json={"question": "Did you see this?", "image": url}).status_code == 200
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
    body = {"model": "mneme", "messages": [{"role": "user", "content": [part]}]}
    refused = server.post("/v1/chat/completions", json=body)
    assert refused.status_code == 400
    assert "data URL" in refused.json()["error"]["message"]


def test_a_client_pushes_at_30_hz_and_asks_meanwhile(server: Server) -> None:
    figures = asyncio.run(push_and_ask(server.url, "belt", 300, 30.0, TOKEN))
    assert figures.errors == []
    assert figures.seconds < 12  # the server never made it wait
    assert figures.last_ack_after_s < 5
    assert figures.questions >= 4
    assert figures.answered == figures.questions
    metrics = server.get("/metrics").text
    assert 'mneme_observations_total{stream="belt"} 300.0' in metrics
    assert 'mneme_ask_seconds_count{door="ask"}' in metrics
    samples = [line for line in metrics.splitlines() if not line.startswith("#")]
    assert all(line.startswith("mneme_") for line in samples)


def test_a_live_source_is_watched(server: Server) -> None:
    wait_for(lambda: 'mneme_percepts_total{stream="gate"}' in server.get("/metrics").text)
    assert "gate" in [model["id"] for model in server.get("/v1/models").json()["data"]]


def test_without_the_token_only_health_and_readiness_answer(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        assert server.client.get(server.url + path).status_code == 200
    for path in ("/metrics", "/v1/events", "/v1/models", "/nowhere"):
        refused = server.client.get(server.url + path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        check_problem(refused, 401)
    check_problem(server.client.post(server.url + "/v1/ask", headers={"Authorization": "Bearer Secret"}), 401)
    with pytest.raises(InvalidStatus, match="401"):
        connect(server.url.replace("http", "ws", 1) + "/v1/streams/a/observations")


BAD: dict[str, dict[str, Any]] = {
    "malformed": {"content": b"{bad"},
    "no object": {"content": b"[1, 2]"},
    "empty": {"content": b""},
    "not utf-8": {"content": b"\xff\xfe\x00"},
    "deep": {"content": b"[" * 100_000},
    "wrong types": {"json": {"question": 5, "messages": "x", "model": [], "budget": "many"}},
    "nothing": {"json": {}},
    "unknown field": {"json": {"question": "x", "colour": "red", "budget": 2}},
    "lone surrogate": {"content": b'{"question": "\\ud800", "query": "\\ud800", "budget": 3}'},
    "endless": {"json": {"question": "why " * 10_000, "query": "why " * 10_000, "budget": 3}},
    "huge number": {"content": b'{"budget": 1' + b"0" * 400 + b"}"},
    "no picture": {"json": {"question": "this?", "image": "data:image/png;base64,AAAA", "budget": 0}},
    "unknown stream": {"json": {"question": "x", "stream": "nowhere", "budget": None}},
    "five megabytes": {"content": b"a" * 5_000_000},
    "chunked five megabytes": {"content": (b"a" * 50_000 for _ in range(100))},
}


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/tokens", "/v1/chat/completions"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_problem_document_and_the_server_goes_on(server: Server, path: str, name: str) -> None:
    arguments = dict(BAD[name])
    if name.startswith("chunked"):
        arguments["content"] = (b"a" * 50_000 for _ in range(100))
    refused = server.post(path, headers={"Content-Type": "application/json"}, **arguments)
    check_problem(refused, 413 if "megabytes" in name else None)
    assert server.client.get(server.url + "/healthz").status_code == 200


def test_unknown_paths_methods_and_parameters_are_problem_documents(server: Server) -> None:
    check_problem(server.get("/nowhere"), 404)
    check_problem(server.get("/v1/ask"), 405)
    check_problem(server.get("/v1/events?limit=none"), 422)
    check_problem(server.get("/v1/events?limit=0"), 422)
    check_problem(server.get("/v1/events?stream=nowhere"), 404)
    check_problem(server.get("/v1/events?after=nothing"), 404)
    check_problem(server.get("/v1/events?stream=%00"), 422)


def check_problem(reply: httpx.Response, status: int | None) -> None:
    assert 400 <= reply.status_code < 500
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    document = reply.json()
    assert {"type", "title", "status", "detail"} <= document.keys()
    assert document["status"] == reply.status_code
    assert status is None or reply.status_code == status
    assert "Traceback" not in reply.text


def test_a_bad_message_gets_an_error_and_the_connection_lives_on(server: Server) -> None:
    array = {"data": b"\0" * 12, "dtype": "<f4", "shape": [3]}
    bad = [
        b"\xc1", b"", msgpack.packb([1]), msgpack.packb({}), msgpack.packb({"t_ns": "now"}),
        msgpack.packb({"t_ns": -1}),
        msgpack.packb({"t_ns": 2**63}), msgpack.packb({"t_ns": True}), msgpack.packb({"t_ns": 1, "image": b""}),
        msgpack.packb({"t_ns": 1, "images": [b""]}), msgpack.packb({"t_ns": 1, "images": {"a": b"no jpeg"}}),
        msgpack.packb({"t_ns": 1, "images": {"a": array}}), msgpack.packb({"t_ns": 1, "sound": "loud"}),
        msgpack.packb({"t_ns": 1, "sound": array | {"shape": [4]}}), msgpack.packb({"t_ns": 1, "state": ["x"]}),
        msgpack.packb({"t_ns": 1, "state": array | {"dtype": "O"}}), msgpack.packb({"t_ns": 1, "pose": [1, 2]}),
        msgpack.packb({"t_ns": 1, "pose": {"x": 1}}), msgpack.packb({"t_ns": 1, "text": b"\xff"}),
        msgpack.packb({"t_ns": 1, "sound": array | {"dtype": "<f4", "data": b"\xff" * 12}}),
    ]  # fmt: skip
    with server.stream("strict") as socket_:
        socket_.send("text")
        assert "binary" in msgpack.unpackb(socket_.recv(timeout=20))["error"]
        for message in bad:
            socket_.send(message)
            reply = msgpack.unpackb(socket_.recv(timeout=20))
            assert reply.keys() == {"error"}, (message, reply)
            assert "log" not in reply["error"], (message, reply)
        whole = {
            "t_ns": 5,
            "images": {"front": noise(1), "wrist": plain(noise_array(2))},
            "sound": plain(np.zeros(1600, "f4")),
            "state": plain(np.ones(8, "f8")),
            "pose": [1.0, 2.0, 0.0, 0.5],
            "text": "all fields came",
        }
        socket_.send(msgpack.packb(whole))
        wait_for_ack(socket_, 5)
        with server.stream("strict") as second:
            assert "another connection" in msgpack.unpackb(second.recv(timeout=20))["error"]
    reply = server.post("/v1/ask", json={"question": "What was said about all fields?", "stream": "strict"}).json()
    assert "all fields came" in reply["answer"]


def test_a_message_above_16_megabytes_is_refused(server: Server) -> None:
    with server.stream("large") as socket_:
        socket_.send(msgpack.packb({"t_ns": 0, "text": "x" * 16_000_001}))
        assert "above" in msgpack.unpackb(socket_.recv(timeout=30))["error"]
    assert server.get("/healthz").status_code == 200


def test_the_commands_of_the_docs_work(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    address = server.url.removeprefix("http://")
    text = DOCS.read_text(encoding="utf-8").replace("127.0.0.1:8000", address)
    text = text.replace("streams/kitchen/", "streams/counter/")  # the kitchen of these tests has ended
    blocks = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    for language, block in sorted(blocks, key=lambda item: "websockets" not in item[1]):
        if language == "sh":
            done = subprocess.run(["bash", "-euc", block], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done
            assert "red mug is on the" in done.stdout
        else:
            exec(compile(block, str(DOCS), "exec"), {})
    assert "table" in capsys.readouterr().out


def test_a_second_writer_is_refused_with_the_holders_name(server: Server) -> None:
    second = start(server.folder, free_port(), server.environment)
    _, errors = second.communicate(timeout=60)
    assert second.returncode != 0
    assert "mneme serve" in errors
    assert str(server.folder) in errors
    assert f"ended by ending process {server.process.pid}" in errors
    assert errors.count("\n") == 1


def test_a_busy_port_a_bad_source_and_a_bad_token_are_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(MnemeError, match="cannot be listened at"):
        run(tmp_path / "other", port=int(server.url.rpartition(":")[2]))
    with pytest.raises(SourceError, match="not a live source"):
        run(tmp_path / "other", port=free_port(), sources=["nonsense"])
    with pytest.raises(MnemeError, match="token"):
        run(tmp_path / "other", port=free_port(), token="")


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mneme.deploy.serve.find_spec", lambda name: None if name == "ray" else object())
    with pytest.raises(MissingError, match=r"ray is not installed; pip install 'mneme\[serve\]'"):
        run(tmp_path / "memory")


def test_ctrl_c_stores_what_is_open_and_gives_the_lock_back(server: Server) -> None:
    """The last one: it ends the server."""
    with server.stream("last") as socket_:
        socket_.send(msgpack.packb({"t_ns": 10**9, "images": {"": noise(9)}, "text": "the lights go out"}))
        socket_.send(msgpack.packb({"t_ns": -1}))
        assert "error" in msgpack.unpackb(socket_.recv(timeout=20))  # so the first one has been taken in
        began = time.monotonic()
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does it: to every process of the group
        _, errors = server.process.communicate(timeout=60)
    assert server.process.returncode == 0, errors
    assert time.monotonic() - began < 30
    import mneme

    with mneme.open(server.folder) as memory:
        memory.hold()  # the lock is free
        assert memory.check().ok
        assert "lights" in memory.ask("What was said about the lights?", stream="last").text


def noise_array(number: int) -> Any:
    coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), dtype=np.uint8))


def noise(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise_array(number)).save(file, "JPEG")
    return file.getvalue()


def plain(array: Any) -> dict[str, Any]:
    return {"data": array.tobytes(), "dtype": array.dtype.str, "shape": list(array.shape)}


def wait_for_ack(socket_: ClientConnection, t_ns: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        reply = msgpack.unpackb(socket_.recv(timeout=30))
        assert "error" not in reply, reply
        if reply["acked_t_ns"] > t_ns:
            return
    raise AssertionError(f"{t_ns} ns were not acknowledged")
