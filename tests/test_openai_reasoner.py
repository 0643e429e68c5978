"""The openai reasoner against a real local HTTP server that records what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import mneme
from mneme.errors import MissingError, SettingsError


class Endpoint:
    """An OpenAI-compatible endpoint that answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.reply = "It hangs behind the blue door [1]."
        self.status = 200
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                endpoint.keys.append(self.headers["Authorization"])
                body = json.dumps(
                    {
                        "id": "1",
                        "object": "chat.completion",
                        "created": 0,
                        "model": "m",
                        "choices": [
                            {
                                "index": 0,
                                "finish_reason": "stop",
                                "message": {"role": "assistant", "content": endpoint.reply},
                            }
                        ],
                    }
                ).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    made = Endpoint()
    monkeypatch.setenv("MNEME_OPENAI_BASE_URL", made.url)
    monkeypatch.setenv("MNEME_OPENAI_MODEL", "a-vlm")
    monkeypatch.setenv("MNEME_OPENAI_KEY", "secret")
    yield made
    made.close()


@pytest.fixture
def shed(tmp_path: Path, remember: Any) -> Path:
    folder: Path = remember(
        tmp_path / "shed.mneme",
        [
            (20.0, 23.0, "The key for the boat shed hangs behind the blue door."),
            (40.0, 43.0, "The ferry leaves at nine."),
        ],
        [(18.0, 27.0, "BOAT SHED 12")],
    )
    return folder


def ask(folder: Path, question: str) -> mneme.Answer:
    with mneme.open(folder) as memory:
        return memory.ask(question, reasoner="openai")


def test_evidence_goes_in_as_text_parts_and_the_citation_comes_back(endpoint: Endpoint, shed: Path) -> None:
    answer = ask(shed, "Where does the key for the boat shed hang?")
    assert answer.text == "It hangs behind the blue door [1]."
    assert answer.evidence[0].text == "The key for the boat shed hangs behind the blue door."
    (request,) = endpoint.requests
    assert request["model"] == "a-vlm"
    assert endpoint.keys == ["Bearer secret"]
    parts = request["messages"][1]["content"]
    assert parts[0]["text"].startswith("Question: Where does the key")
    assert any("behind the blue door" in part.get("text", "") and "0:20-0:23" in part["text"] for part in parts[1:])


def test_pictures_of_the_evidence_go_in_as_image_parts(endpoint: Endpoint, tmp_path: Path, text_tower: Any) -> None:
    import numpy as np

    from mneme.encoders.profiles import Embedded
    from mneme.memory.memory import Memory
    from mneme.records import Moment, Percept, Stream, to_ns

    picture = np.full((90, 160, 3), 200, dtype=np.uint8)
    percept = Percept(
        "film",
        "caption",
        to_ns(1),
        to_ns(5),
        space="minilm",
        text="BOAT SHED 12",
        origin="rapidocr",
        vector=text_tower.encode(["BOAT SHED 12"]).vectors[0],
        picture=picture,
    )
    with Memory.create(tmp_path / "seen.mneme", "embedded", Embedded().spaces) as memory:
        recorder = memory.recorder(Stream("film", "/nowhere", "d"))
        recorder.observe(Moment("film", to_ns(1), (percept,), 0.0, None, to_ns(1)))
        recorder.finish(to_ns(10))
    ask(tmp_path / "seen.mneme", "When is BOAT SHED 12 shown?")
    images = [p for p in endpoint.requests[0]["messages"][1]["content"] if p["type"] == "image_url"]
    assert len(images) == 1
    assert images[0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_a_model_that_does_not_find_it_is_an_abstention(endpoint: Endpoint, shed: Path) -> None:
    endpoint.reply = "NOT FOUND"
    answer = ask(shed, "Who painted the boat shed?")
    assert answer.abstained
    assert answer.evidence == ()


def test_an_endpoint_that_fails_is_one_line_that_names_it(endpoint: Endpoint, shed: Path) -> None:
    endpoint.status = 401
    with pytest.raises(MissingError, match="gave no answer") as failed:
        ask(shed, "Where does the key for the boat shed hang?")
    assert endpoint.url in str(failed.value)
    assert "\n" not in str(failed.value)


def test_without_an_endpoint_the_error_names_the_settings(shed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MNEME_OPENAI_BASE_URL", raising=False)
    with pytest.raises(SettingsError, match="MNEME_OPENAI_BASE_URL"):
        ask(shed, "Where does the key hang?")
