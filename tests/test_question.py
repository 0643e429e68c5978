"""How questions are read: the route, where the answer lies, and what must be grounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mneme.errors import QuestionError
from mneme.pipeline.question import MAX_CHARS, read


@pytest.mark.parametrize(
    ("question", "route", "target"),
    [
        ("When does a voice mention the lighthouse?", "when", ("speech",)),
        ("When is the sign DOCK 7 shown?", "when", ("caption",)),
        ("Where in the video is the harbour mentioned?", "when", ("speech",)),
        ("At what time does the bakery open, according to the sign?", "what", ("caption",)),
        ("What is the code for the boat shed?", "what", ()),
        ("What does the narrator say about the tide?", "what", ("speech",)),
        ("What is said while the sign DOCK 7 is on screen?", "while", ("speech",)),
        ("While the sign DOCK 7 is on screen, what is said?", "while", ("speech",)),
        ("Which slide is shown when 'mind the step' is said?", "while", ("caption",)),
        ("What is said right after 'mind the step'?", "after", ("speech",)),
        ("Which slide comes before 'Results'?", "before", ("caption",)),
        ("Which slide follows 'Results'?", "after", ("caption",)),
        ("After the bakery is mentioned, what is said next?", "after", ("speech",)),
        ("What should be returned before noon?", "what", ()),
        ("Which comes first: the bakery or the lighthouse?", "order", ()),
        ("Which sign appears last, DOCK 7 or HALL B?", "order", ("caption",)),
        ("Is the bakery mentioned before or after the lighthouse?", "order", ("speech",)),
        ("How many signs are shown?", "count", ("caption",)),
        ("How often is the tide mentioned?", "count", ("speech",)),
        ("How many boats does the club have?", "what", ()),
        ("What is the first thing said?", "first", ("speech",)),
        ("What is the last slide?", "last", ("caption",)),
        ("What is said at 1:30?", "at", ("speech",)),
        ("What is shown between 0:20 and 0:40?", "at", ("vision",)),
        ("What is the video about?", "summary", ()),
    ],
)
def test_a_question_is_read_by_its_form(question: str, route: str, target: tuple[str, ...]) -> None:
    parsed = read(question)
    assert (parsed.route, parsed.target) == (route, target)


def test_what_stands_in_quotes_or_capitals_is_to_be_found_as_it_stands() -> None:
    assert read("When is 'mind the step' said?").about.quotes == ("mind the step",)
    assert read("When is GATE 42 BOARDING 18:05 shown?").about.quotes == ("GATE 42 BOARDING 18:05",)


def test_a_name_is_not_taken_for_a_word_of_the_frame() -> None:
    """The slide's title says "Voice"; the question is about slides all the same."""
    parsed = read("Which slide comes first: Budget or Voice Commands?")
    assert [choice.lanes for choice in parsed.choices] == [("caption",), ("caption",)]


def test_a_stretch_of_stream_time_is_read_in_nanoseconds() -> None:
    assert read("What is said between 0:20 and 1:05?").span_ns == (20_000_000_000, 65_000_000_000)


@pytest.mark.parametrize("question", ["", "   ", "?!", "x" * (MAX_CHARS + 1), "why " * 2500])
def test_a_question_without_words_or_without_end_is_refused_in_one_line(question: str) -> None:
    with pytest.raises(QuestionError) as refused:
        read(question)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@given(st.text(min_size=1, max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = read(text)
    except QuestionError:
        return
    assert parsed.route


def test_what_is_said_about_a_time_of_day_is_no_question_about_what_went_on_meanwhile() -> None:
    assert read("What was said about when Yusuf gets up?").route == "what"
    assert read("What was said when Yusuf gets up?").route == "while"
