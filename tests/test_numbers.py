"""Numbers agree however they are spelt, and different numbers never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mneme.pipeline.numbers import find_numbers, readings

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spell(n: int) -> str:
    """An integer below a million in English words."""
    if n < 20:
        return UNITS[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{UNITS[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{UNITS[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    return f"{spell(n // 1000)} thousand" + (f" {spell(n % 1000)}" if n % 1000 else "")


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ("eighty-two million parameters", "82 million parameters"),
        ("the exam starts at nine fifteen", "9:15"),
        ("boarding at eighteen oh five", "18:05"),
        ("open from seven thirty", "OPEN 07:30"),
        ("seven, four, one, two", "code 7412"),
        ("below one thousand euros", "1,000 euros"),
        ("the fourteenth of May", "14 May"),
        ("twenty thirty-one", "Budget 2031"),
        ("nineteen ninety-five", "1995"),
        ("two hundred and fifty thousand", "250,000"),
    ],
)
def test_a_number_agrees_with_itself_in_words_and_in_digits(said: str, printed: str) -> None:
    (number,) = find_numbers(said)
    assert number.stands_in(readings(printed))
    assert any(n.stands_in(readings(said)) for n in find_numbers(printed))


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("gate 24", "GATE 42"),
        ("nine fifteen", "15:00"),
        ("9:15", "9:50"),
        ("forty two", "24"),
        ("17", "170"),
        ("5", "fifty"),
    ],
)
def test_different_numbers_do_not_agree(asked: str, there: str) -> None:
    (number,) = find_numbers(asked)
    assert not number.stands_in(readings(there))


@pytest.mark.parametrize("text", ["the next one", "no one knows", "room 3B", "level P2", "first and second", ""])
def test_what_is_not_a_number_is_not_read_as_one(text: str) -> None:
    assert find_numbers(text) == []


@given(st.integers(0, 999_999).filter(lambda n: n != 1))
def test_every_integer_is_read_back_from_its_words(n: int) -> None:
    (number,) = find_numbers(spell(n))
    assert str(n) in number.whole


@given(st.text(max_size=80))
def test_any_text_can_be_read_for_numbers(text: str) -> None:
    for number in find_numbers(text):
        assert text[number.start : number.end] == number.surface
        assert number.whole <= number.readings
