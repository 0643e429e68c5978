"""Asking a real memory: answers in the words of the evidence, spans that resolve, and abstention that holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mneme
from mneme.errors import MnemeError, QuestionError
from mneme.memory.memory import Memory
from mneme.records import Answer, to_s

SPOKEN = [
    (4.0, 8.0, "The bakery at the harbour opens at half past six every morning."),
    (20.0, 23.0, "The key for the boat shed hangs behind the blue door."),
    (23.5, 26.0, "Do not forget to lock it."),
    (40.0, 44.0, "The ferry to Norvik leaves at nine fifteen from pier three."),
    (70.0, 73.5, "Captain Lindqvist has sailed for forty-one years."),
    (90.0, 94.0, "Mind the step,"),
    (94.5, 96.0, "the stairs are wet."),
    (120.0, 124.0, "Last year the club repaired eighty-five boats."),
    (140.0, 143.0, "[music] the [/b] version 1.2.3 million of the shanty"),
    (150.0, 153.0, "The tide turns at noon, so come early."),
]
SHOWN = [
    (18.0, 27.0, "BOAT SHED 12"),
    (38.0, 46.0, "PIER 3 NORVIK 09:15"),
    (60.0, 80.0, "Our Crew\nCaptain: A. Lindqvist\nCook: M. Okafor\nCabin 218, lower deck"),
    (110.0, 130.0, "The Workshop\n85 boats repaired\n12 volunteers"),
]


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory, remember: Any) -> Iterator[mneme.Mneme]:
    with mneme.open(remember(tmp_path_factory.mktemp("memory") / "harbour.mneme", SPOKEN, SHOWN)) as memory:
        yield memory


def ask(folder: Path, question: str, **options: Any) -> Answer:
    with mneme.open(folder) as memory:
        return memory.ask(question, **options)


@pytest.mark.parametrize(
    ("question", "words", "t_s"),
    [
        ("When does the bakery open?", "half past six", 4.0),
        ("When does someone mention the key of the boat shed?", "0:20", 20.0),
        ("Where does the key for the boat shed hang?", "behind the blue door", 20.0),
        ("How long has Captain Lindqvist sailed?", "forty-one", 70.0),
        ("When is 'the stairs are wet' said?", "1:34", 94.5),
        ("When is 'Mind the step, the stairs are wet' said?", "1:30", 90.0),
        ("When is the sign PIER 3 NORVIK 09:15 shown?", "0:38", 38.0),
        ("In which cabin is the captain, according to the slide?", "218", 60.0),
        ("Who is the cook, according to the slide?", "Okafor", 60.0),
        ("How many volunteers are there, according to the slide?", "12:", 110.0),
        ("What is said while the sign BOAT SHED 12 is on screen?", "behind the blue door", 20.0),
        ("Which sign is on screen while the ferry to Norvik is mentioned?", "PIER 3 NORVIK", 38.0),
        ("What is said right after the ferry to Norvik is mentioned?", "Lindqvist", 70.0),
        ("What is said right before 'Mind the step'?", "forty-one years", 70.0),
        ("Which slide follows 'Our Crew'?", "The Workshop", 110.0),
        ("Which is mentioned first: the tide or the bakery?", "the bakery", 4.0),
        ("Is the bakery mentioned before or after the tide?", "Before", 4.0),
        ("Is the tide mentioned before the bakery?", "No", 4.0),
        ("How many slides are shown?", "2 slides", 60.0),
        ("What is the first thing said?", "bakery", 4.0),
        ("What is the last thing said?", "tide", 150.0),
        ("What is said at 1:11?", "Lindqvist", 70.0),
    ],
)
def test_a_question_is_answered_in_the_words_of_its_evidence(
    harbour: mneme.Mneme, question: str, words: str, t_s: float
) -> None:
    answer = harbour.ask(question)
    assert not answer.abstained, answer.text
    assert words in answer.text
    assert to_s(answer.evidence[0].t0_ns) == t_s
    assert 0 < answer.confidence <= 1


@pytest.mark.parametrize(
    "question",
    [
        "Where does the key for the garage hang?",
        "When does the ferry to Bergen leave?",
        "From which pier does the ferry to Oslo leave?",
        "When is the sign PIER 5 NORVIK 09:15 shown?",
        "How many boats were repaired in Denmark?",
        "When is the red door mentioned?",
        "What does the narrator say about the weather?",
        "When does a voice say 'all aboard the night train'?",
        "When is a bicycle race shown?",
        "Which sound is heard while the bakery is mentioned?",
        "What is said at 59:00?",
        "Which comes first: the bakery or the cinema?",
    ],
)
def test_what_the_memory_does_not_hold_is_not_answered(harbour: mneme.Mneme, question: str) -> None:
    answer = harbour.ask(question)
    if answer.abstained:
        assert answer.evidence == ()
        assert answer.confidence == 0.0
    else:  # sounds have no words yet: the moment may be shown, at a confidence that says so
        assert answer.confidence < 0.35


WORDS = st.sampled_from(
    "when what which how many much is was the a said shown sign slide speaker before after while first last or bakery "
    "boats 9:15 42 'mind PIER Lindqvist at 1:30 between and 0:10 often does time ? , : «» ’ \u202e \ud800 "
    "99999999999999999999 "
    "1.2.3 million zero thousand red not é 漢字 [bold]".split()
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORDS, min_size=1, max_size=14))
def test_no_question_however_odd_ends_in_anything_but_an_answer_or_one_line(
    harbour: mneme.Mneme, words: list[str]
) -> None:
    try:
        answer = harbour.ask(" ".join(words))
    except QuestionError:  # a question without a word in it
        assert not any(c.isalnum() for word in words for c in word)
        return
    assert answer.text
    assert answer.abstained == (not answer.evidence)


def test_every_citation_resolves_to_a_percept(harbour: mneme.Mneme) -> None:
    answer = harbour.ask("How many slides are shown?")
    with Memory.open(harbour.path) as memory:
        known = {p.id for p in memory.snapshot().percepts()}
    assert {e.source for e in answer.evidence} <= known


def test_a_name_in_recognised_speech_is_found_by_its_sound(tmp_path: Path, remember: Any) -> None:
    folder = remember(
        tmp_path / "heard.mneme",
        [(10.0, 14.0, "and mister john dash would had then leisure to consider")],
        origin="pocketsphinx",
    )
    answer = ask(folder, "When is Mr. John Dashwood mentioned?")
    assert not answer.abstained
    assert to_s(answer.evidence[0].t0_ns) == 10.0


def test_the_same_question_gets_the_same_answer(harbour: mneme.Mneme) -> None:
    first, second = (harbour.ask("Which slide follows 'Our Crew'?") for _ in range(2))
    assert (first.text, first.confidence, first.evidence) == (second.text, second.confidence, second.evidence)


def test_asking_one_stream_looks_at_no_other(tmp_path: Path, remember: Any) -> None:
    folder = remember(tmp_path / "two.mneme", [(5.0, 8.0, "The parrot is called Arturo.")], stream="first")
    remember(folder, [(5.0, 8.0, "The cat sleeps on the roof.")], stream="second")
    assert not ask(folder, "What is the parrot called?", stream="first").abstained
    assert ask(folder, "What is the parrot called?", stream="second").abstained
    with pytest.raises(MnemeError, match="no stream 'third'"):
        ask(folder, "What is the parrot called?", stream="third")


def test_an_empty_memory_has_nothing_to_say(tmp_path: Path, remember: Any) -> None:
    folder = remember(tmp_path / "empty.mneme")
    for question in ("When is anything said?", "How many slides are shown?", "What is the first thing said?"):
        assert ask(folder, question).abstained


def test_a_picture_question_on_a_memory_that_saw_nothing_abstains(harbour: mneme.Mneme) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert harbour.ask("When is this seen?", image=picture).abstained


def test_a_file_that_is_no_picture_is_refused_in_one_line(harbour: mneme.Mneme, tmp_path: Path) -> None:
    fake = tmp_path / "fake.jpg"
    fake.write_text("not a picture")
    with pytest.raises(QuestionError, match="not a picture"):
        harbour.ask("When is this seen?", image=fake)
    with pytest.raises(QuestionError, match="there is no picture"):
        harbour.ask("When is this seen?", image=tmp_path / "missing.jpg")
