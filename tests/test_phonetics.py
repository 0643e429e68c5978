"""Names are found by their sound, in transcripts that spelt them as other words."""

from __future__ import annotations

import pytest

from mneme.encoders.phonetics import Pronouncer, distance, spell_out
from mneme.errors import MissingError


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return Pronouncer()


def test_a_known_word_has_the_phones_of_the_dictionary(pronouncer: Pronouncer) -> None:
    assert pronouncer.phones("Library") == ("L", "AY", "B", "R", "EH", "R", "IY")


def test_a_number_is_read_digit_by_digit(pronouncer: Pronouncer) -> None:
    assert pronouncer.phones("42") == pronouncer.phones("four two")


def test_what_has_no_letter_has_no_phones(pronouncer: Pronouncer) -> None:
    assert pronouncer.phones("?!") == ()
    assert pronouncer.likeness("?!", "word") == 0.0


def test_an_unknown_word_made_of_two_known_ones_sounds_like_both(pronouncer: Pronouncer) -> None:
    assert pronouncer.phones("snowkettle") == pronouncer.phones("snow") + pronouncer.phones("kettle")


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("lindqvist", "L IH N D K V IH S T"),
        ("kokoro", "K OW K OW R OW"),
        ("gemmace", "JH EH M EY S"),
        ("schutz", "SH AH T Z"),
        ("knapper", "N AE P ER"),
        ("xylo", "Z AY L OW"),
    ],
)
def test_other_words_are_read_by_the_rules_of_spelling(word: str, phones: str) -> None:
    assert spell_out(word) == tuple(phones.split())


def test_every_word_of_letters_can_be_spelt_out() -> None:
    for word in ("a", "e", "qq", "zzz", "ghgh", "yyyy", "strengths", "oooo", "xerxes", "ptgr"):
        assert all(phone.isupper() for phone in spell_out(word))


def test_distance_is_symmetric_and_zero_only_for_the_same(pronouncer: Pronouncer) -> None:
    words = [pronouncer.phones(word) for word in ("cat", "cad", "cut", "catalogue", "dog")]
    for a in words:
        assert distance(a, a) == 0.0
        for b in words:
            assert distance(a, b) == pytest.approx(distance(b, a))
            assert (distance(a, b) > 0) == (a != b)


def test_words_that_sound_alike_are_more_alike_than_words_that_do_not(pronouncer: Pronouncer) -> None:
    assert pronouncer.likeness("passcode", "pass code") == 1.0
    assert pronouncer.likeness("Lindqvist", "linguist") > 0.7
    assert pronouncer.likeness("bat", "pat") > pronouncer.likeness("bat", "rat")
    assert pronouncer.likeness("Rome", "Madrid") < 0.5
    assert pronouncer.likeness("cat", "dog") < 0.5


def test_a_name_is_found_where_it_was_spelt_as_other_words(pronouncer: Pronouncer) -> None:
    words = ["and", "mr", "john", "dash", "would", "had", "then", "leisure"]
    likeness, start, end = pronouncer.find("Dashwood", words)
    assert words[start:end] == ["dash", "would"]
    assert likeness > 0.9


def test_a_name_of_several_words_is_found_whole(pronouncer: Pronouncer) -> None:
    words = ["then", "mister", "john", "dash", "would", "spoke"]
    likeness, start, end = pronouncer.find("John Dashwood", words)
    assert (start, end) == (2, 5)
    assert likeness > 0.9


def test_a_name_that_was_not_said_is_not_like_anything_that_was(pronouncer: Pronouncer) -> None:
    words = ["what", "is", "the", "weather", "in", "paris"]
    assert pronouncer.find("Berlin", words)[0] < 0.65
    assert pronouncer.find("Paris", words) == (1.0, 5, 6)


def test_no_words_hold_no_name(pronouncer: Pronouncer) -> None:
    assert pronouncer.find("Paris", []) == (0.0, 0, 0)
    assert pronouncer.find("--", ["paris"]) == (0.0, 0, 0)


def test_without_its_package_the_dictionary_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mneme.encoders.runtime.find_spec", lambda _name: None)
    with pytest.raises(MissingError, match="pocketsphinx"):
        Pronouncer()
