"""Questions about what was seen and heard: answered from the senses' own words, with the moment and the place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import mneme
from mneme.memory.memory import Memory
from mneme.pipeline.question import read
from mneme.pipeline.seen_question import read_seen
from mneme.pipeline.sighting import hearings, read_thing, read_words, visits
from mneme.records import Answer, Moment, Percept, Stream, to_ns, to_s
from tests.recording import CutsAt

SIGHTS = [  # (seconds, words, confidence); the sight at 6 s is misjudged
    (0, "a small red mug, a blue chair; kitchen", 0.9),
    (3, "a red mug; kitchen", 0.8),
    (6, "an orange mug, a blue chair; garage", 0.3),
    (7, "a small red mug, a blue chair; kitchen", 0.9),
    (20, "a brown guitar, a large sofa; living room", 0.8),
    (26, "a brown guitar, a brown dog walking; living room", 0.9),
    (40, "a blue ball, a yellow chair; garden", 0.9),
    (60, "a blue ball, a green bicycle; garage", 0.9),
    (64, "a green bicycle; garage", 0.7),
    (80, "a large red box, a blue hammer; workshop", 0.9),
    (90, None, 1.0),
    (100, "a small red mug; living room", 0.8),
]
SOUNDS = [
    (4.0, 5.0, "knock", 0.9),
    (28.0, 29.0, "dog", 0.9),
    (30.0, 31.5, "dog", 0.8),
    (82.0, 86.0, "motor", 0.9),
    (88.0, 89.0, "bell", 0.7),
    (104.0, 105.0, "dog", 0.9),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, text_tower: Any) -> Iterator[mneme.Mneme]:
    """A walk through a house, its sights and sounds in words, and one sentence of speech."""
    from mneme.encoders.profiles import Embedded

    folder = tmp_path_factory.mktemp("seen") / "house.mneme"
    made = [
        Percept("walk", "vision", to_ns(t), to_ns(t) + to_ns(0.2), text=words, origin="eyes", confidence=sure)
        for t, words, sure in SIGHTS
    ]
    made += [
        Percept("walk", "sound", to_ns(t0), to_ns(t1), text=name, origin="ears", confidence=sure)
        for t0, t1, name, sure in SOUNDS
    ]
    spoken = "The spare key hangs behind the blue door in the hallway."
    made.append(
        Percept("walk", "speech", to_ns(70), to_ns(73), space="minilm", vector=text_tower.encode([spoken]).vectors[0],
                text=spoken, origin="subtitles")
    )  # fmt: skip
    with Memory.create(folder, "embedded", Embedded().spaces) as memory:
        recorder = memory.recorder(Stream("walk", "/nowhere", "d"), boundaries=CutsAt(20, 40, 60, 80))
        for percept in sorted(made, key=lambda p: p.t0_ns):
            recorder.observe(Moment("walk", percept.t0_ns, (percept,), 0.0, -60.0, percept.t0_ns))
        recorder.finish(to_ns(110))
    with mneme.open(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    ("question", "words", "t_s"),
    [
        ("Where did I last see the red mug?", "In the living room", 100.0),
        ("Where did I see the guitar?", "In the living room", 20.0),
        ("In which room was the green bicycle?", "In the garage", 60.0),
        ("Where was the blue ball before it was in the garage?", "In the garden", 40.0),
        ("Where was the blue ball after it was in the garden?", "In the garage", 60.0),
        ("What colour was the chair in the kitchen?", "Blue", 0.0),
        ("What colour is the chair in the garden?", "Yellow", 40.0),
        ("What colour was the mug?", "Red", 0.0),
        ("When did I see the bicycle?", "1:00", 60.0),
        ("When did the dog bark?", "0:28", 28.0),
        ("When was a bell heard?", "1:28", 88.0),
        ("Where was the bell heard?", "In the workshop", 88.0),
        ("What could be heard in the workshop?", "Motor (heard in the workshop", 82.0),
        ("Which sound was heard while the guitar was in view?", "Dog", 28.0),
        ("Which sound came right after the motor?", "Bell", 88.0),
        ("Was there a guitar?", "Yes: a brown guitar is seen in the living room", 20.0),
        ("Did I see a couch?", "Yes: a large sofa", 20.0),
        ("Did you hear someone knocking at the door?", "Yes: knock", 4.0),
        ("How many rooms were there?", "5 rooms: kitchen (0:00), living room (0:20)", 0.0),
        ("How many rooms did I visit?", "5 rooms", 0.0),
        ("How many chairs did I see?", "2: a blue chair; kitchen; a yellow chair; garden", 0.0),
        ("How many times did the dog bark?", "2 times", 28.0),
        ("What was in the garage?", "A green bicycle (seen in the garage at 1:00-1:20); a blue ball", 60.0),
        ("What was next to the guitar?", "A large sofa", 20.0),
        ("What was the dog doing?", "Walking", 26.0),
        ("Which room did I visit after the garden?", "The garage", 60.0),
        ("Which room did I see first?", "The kitchen", 0.0),
        ("Which did I see first: the bicycle or the guitar?", "the guitar", 20.0),
        ("Was the guitar seen before the bicycle?", "Yes", 20.0),
        ("Did I hear the bell before the motor?", "No", 82.0),
        ("What was said while I was in the garage?", "behind the blue door", 70.0),
        ("Which sound was heard at 0:29?", "Dog", 28.0),
        ("Which room was I in at 0:30?", "living room", 20.0),
        ("How often was the living room seen?", "2 times", 20.0),
        ("What colour was the chair in the back garden?", "Yellow", 40.0),
    ],
)
def test_a_question_about_what_was_seen_or_heard_is_answered_with_moment_and_place(
    house: mneme.Mneme, question: str, words: str, t_s: float
) -> None:
    answer = house.ask(question)
    assert not answer.abstained, answer.text
    assert words.lower() in answer.text.lower()
    assert to_s(answer.evidence[0].t0_ns) == t_s
    assert 0 < answer.confidence <= 1


@pytest.mark.parametrize(
    "question",
    [
        "Was there a piano?",
        "Where did I see the green mug?",
        "Did I see a truck?",
        "When did the cat meow?",
        "When did the phone ring?",
        "Was there a guitar in the kitchen?",
        "What colour was the table in the kitchen?",
        "What was in the attic?",
        "Where did I see the large guitar case?",
        "How many times did the baby cry?",
    ],
)
def test_what_was_never_seen_or_heard_is_not_answered(house: mneme.Mneme, question: str) -> None:
    answer = house.ask(question)
    assert answer.abstained, answer.text
    assert answer.evidence == ()


def test_what_was_said_is_answered_from_speech(house: mneme.Mneme) -> None:
    for question in ("Where does the spare key hang?", "When is the spare key mentioned?"):
        assert [e.lane for e in house.ask(question).evidence] == ["speech"], question


def test_a_misjudged_sight_makes_neither_a_visit_nor_a_thing(house: mneme.Mneme) -> None:
    assert house.ask("Did I see an orange mug?").abstained
    assert "garage" not in house.ask("Where did I see the blue chair?").text


def sight(t_s: float, words: str | None, confidence: float = 0.9) -> Percept:
    return Percept("s", "vision", to_ns(t_s), to_ns(t_s) + 1, text=words, confidence=confidence)


def test_consecutive_sights_that_say_the_same_are_one_sighting() -> None:
    one = visits([sight(t, "a red mug; kitchen") for t in range(10)], [])
    assert [(v.room, len(v.things), v.things[0].spans) for v in one] == [("kitchen", 1, ((0, to_ns(9) + 1),))]


def test_two_of_a_kind_in_one_picture_are_two() -> None:
    both = visits([sight(0, "a red mug, a blue mug; kitchen"), sight(1, "a red mug; kitchen")], [])
    assert {seen.thing.colour for seen in both[0].things} == {"red", "blue"}


@pytest.mark.parametrize(
    ("words", "head", "colour", "trailing"),
    [
        ("a small red mug", "mug", "red", ""),
        ("a brown dog walking", "dog", "brown", "walking"),
        ("a violet striped book", "book", "purple", ""),
        ("a blue cup with dots", "cup", "blue", ""),
        ("a gold ring", "ring", "gold", ""),
    ],
)
def test_a_noun_phrase_is_read_in_its_parts(words: str, head: str, colour: str, trailing: str) -> None:
    thing = read_thing(words)
    assert thing is not None
    assert (thing.head.lower, thing.colour, thing.trailing) == (head, colour, trailing)


@pytest.mark.parametrize(
    ("words", "things", "room"),
    [("a red mug, a blue chair; The Kitchen", 2, "kitchen"), ("; cellar", 0, "cellar"), ("a mug", 1, ""), ("", 0, "")],
)
def test_a_percept_s_words_are_its_things_and_its_room(words: str, things: int, room: str) -> None:
    read_things, read_room = read_words(words)
    assert (len(read_things), read_room) == (things, room)


def test_a_sound_that_pauses_shortly_went_on() -> None:
    def bell(t_s: float) -> Percept:
        return Percept("s", "sound", to_ns(t_s), to_ns(t_s + 1), text="bell")

    assert [to_s(h.t0_ns) for h in hearings([bell(0), bell(2), bell(20)])] == [0.0, 20.0]


@pytest.mark.parametrize(
    "question",
    [
        "When does the speaker mention the red mug?",
        "Which sign is shown while the guitar is mentioned?",
        "What does the caption say?",
        "What does the speaker say about the kitchen?",
        "When is 'mind the step' heard?",
    ],
)
def test_questions_about_words_are_left_to_words(question: str) -> None:
    assert read_seen(read(question)) is None


def unchanged(one: Sequence[Answer], other: Sequence[Answer]) -> bool:
    return [(a.text, a.confidence, a.evidence) for a in one] == [(a.text, a.confidence, a.evidence) for a in other]


def test_the_same_question_gets_the_same_answer(house: mneme.Mneme, tmp_path: Path) -> None:
    del tmp_path
    questions = ["Where did I see the guitar?", "How many rooms were there?"]
    assert unchanged([house.ask(q) for q in questions], [house.ask(q) for q in questions])
