"""The contract of `pipeline/reason.py`, run by every registered reasoner on a real small memory.

A reasoner that asks a model is given a local one, which answers from the evidence it is sent and from nothing else.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mneme.encoders.profiles import Embedded
from mneme.errors import SettingsError
from mneme.memory.memory import Memory
from mneme.pipeline.ask import word_likeness
from mneme.pipeline.evidence import Finder, ReasonSettings
from mneme.pipeline.ground import Grounder
from mneme.pipeline.question import read
from mneme.pipeline.reason import REASONERS, Conclusion, Reasoner, make_reasoner
from mneme.records import to_ns, to_s

SPOKEN = [
    (4.0, 8.0, "The bakery at the harbour opens at half past six every morning."),
    (20.0, 23.0, "The key for the boat shed hangs behind the blue door."),
    (40.0, 44.0, "The ferry to Norvik leaves at nine fifteen from pier three."),
    (70.0, 73.5, "Captain Lindqvist has sailed for forty-one years."),
]
SHOWN = [(18.0, 27.0, "BOAT SHED 12"), (38.0, 46.0, "PIER 3 NORVIK 09:15")]
END_S = 100.0

ANSWERABLE = [  # question, words of its evidence, and when they come
    ("Where does the key for the boat shed hang?", "behind the blue door", 20.0),
    ("When does the bakery open?", "half past six", 4.0),
    ("When is the sign PIER 3 NORVIK 09:15 shown?", "PIER 3 NORVIK 09:15", 38.0),
    ("What is said while the sign BOAT SHED 12 is on screen?", "behind the blue door", 20.0),
    ("Which is mentioned first: the bakery or the ferry?", "The bakery", 4.0),
    ("What is said at 1:11?", "Lindqvist", 70.0),
]
UNANSWERABLE = [
    "Where does the key for the garage hang?",
    "From which pier does the ferry to Oslo leave?",
    "When is the sign PIER 5 NORVIK 09:15 shown?",
    "What is said at 59:00?",
    "Which comes first: the bakery or the cinema?",
]


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The URL of a model that knows by heart which words answer a question, and says so only if it is sent them."""
    wanted = {question: words for question, words, _ in ANSWERABLE}

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked, *pieces = [p["text"] for p in request["messages"][-1]["content"] if p["type"] == "text"]
            words = wanted.get(asked.removeprefix("Question: "))
            numbers = [re.match(r"\[\d+\]", piece) for piece in pieces if words is not None and words in piece]
            said = f"{words} {numbers[0].group()}" if numbers and numbers[0] else "NOT FOUND"
            message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
            reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [message]}
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module", params=sorted(REASONERS))
def reasoner(request: pytest.FixtureRequest, model: str) -> Reasoner:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BASE_URL", "MODEL", "KEY"):  # the environment would win over the settings
            patch.delenv(f"MNEME_OPENAI_{name}", raising=False)
        return make_reasoner(request.param, {"openai": {"base_url": model, "model": "m"}})


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory, remember: Any) -> Path:
    folder: Path = remember(tmp_path_factory.mktemp("memory") / "harbour.mneme", SPOKEN, SHOWN, end_s=END_S)
    return folder


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory, remember: Any) -> Path:
    folder: Path = remember(tmp_path_factory.mktemp("memory") / "nothing.mneme")
    return folder


@pytest.fixture(scope="module")
def profile() -> Embedded:
    return Embedded()


def conclude(reasoner: Reasoner, question: str, folder: Path, profile: Embedded) -> Conclusion:
    """What `pipeline.ask.ask` has a reasoner do, before anything is made of it."""
    grounder = Grounder(word_likeness(profile.text), lambda: profile.ear)
    with Memory.open(folder) as memory:
        finder = Finder(
            memory.snapshot(),
            lambda texts: profile.text.encode(texts).vectors,
            profile.text.spec.space.name,
            grounder,
            ReasonSettings(),
            root=folder,
        )
        return reasoner.conclude(read(question), finder)


@pytest.mark.parametrize(("question", "words", "t0_s"), ANSWERABLE)
def test_an_answer_rests_on_spans_of_stored_percepts(
    reasoner: Reasoner, harbour: Path, profile: Embedded, question: str, words: str, t0_s: float
) -> None:
    conclusion = conclude(reasoner, question, harbour, profile)
    assert not conclusion.abstained, conclusion.text
    assert 0 < conclusion.confidence <= 1
    assert words.lower() in " ".join([conclusion.text, *(s.text for s in conclusion.support)]).lower()
    assert to_s(conclusion.support[0].t0_ns) == t0_s
    with Memory.open(harbour) as memory:
        stored = {percept.id: percept for percept in memory.snapshot().percepts()}
    for support in conclusion.support:
        percept = stored[support.percept.id]
        assert support.stream == percept.stream
        assert 0 <= support.t0_ns <= percept.t0_ns < percept.t1_ns <= support.t1_ns <= to_ns(END_S)
        assert 0 < support.score <= 1
        assert support.text


@pytest.mark.parametrize("question", UNANSWERABLE)
def test_an_abstention_has_no_support_and_no_confidence(
    reasoner: Reasoner, harbour: Path, profile: Embedded, question: str
) -> None:
    conclusion = conclude(reasoner, question, harbour, profile)
    assert conclusion.abstained, conclusion.text
    assert conclusion.support == ()
    assert conclusion.confidence == 0.0
    assert conclusion.text, "it says why"


@pytest.mark.parametrize("question", [ANSWERABLE[0][0], "How many signs are shown?", "What is this about?"])
def test_a_memory_that_holds_nothing_is_asked_in_vain(
    reasoner: Reasoner, nothing: Path, profile: Embedded, question: str
) -> None:
    conclusion = conclude(reasoner, question, nothing, profile)
    assert conclusion.abstained, conclusion.text
    assert conclusion.support == ()
    assert conclusion.confidence == 0.0


def test_a_count_of_scenes_rests_on_them_too(reasoner: Reasoner, harbour: Path, profile: Embedded) -> None:
    conclusion = conclude(reasoner, "How many scenes are there?", harbour, profile)
    assert conclusion.abstained or conclusion.support


def test_the_same_question_gets_the_same_conclusion(reasoner: Reasoner, harbour: Path, profile: Embedded) -> None:
    first, second = (conclude(reasoner, ANSWERABLE[0][0], harbour, profile) for _ in range(2))
    assert (first.text, first.confidence) == (second.text, second.confidence)
    assert [s.percept.id for s in first.support] == [s.percept.id for s in second.support]


def test_a_reasoner_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="extractive, openai") as refused:
        make_reasoner("oracle", {})
    assert "'oracle'" in str(refused.value)
