"""What a two-tower model sees and hears is put into the nearest of everyday names, and what is unlikely is not said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mneme.encoders.base import Encoded, EncoderSpec
from mneme.encoders.everyday import COLOURS, ROOMS, SOUNDS, THINGS
from mneme.encoders.zero_shot import NamedSight, NamedSound
from mneme.records import Picture, Space, Vector

DIM = 2048
SPACE = Space("toy", DIM, "")


class Words:
    """A text tower in which a text is the sum of its words, each a fixed random direction."""

    spec = EncoderSpec("words", None, SPACE)

    def encode(self, batch: Sequence[str]) -> Encoded:
        rows = np.stack([sum((self._of(word) for word in text.split()), np.zeros(DIM)) for text in batch])
        return Encoded((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))

    def _of(self, word: str) -> np.ndarray:
        return np.random.default_rng(list(word.encode())).normal(size=DIM) / np.sqrt(DIM)


class Given:
    """A tower of pictures or sounds that gives the vectors it was told to."""

    def __init__(self, *texts: str) -> None:
        self.vectors = Words().encode(texts).vectors
        self.spec = EncoderSpec("given", "vision", SPACE)

    def encode(self, batch: Sequence[Picture | Vector]) -> Encoded:
        return Encoded(self.vectors[: len(batch)])


PICTURES = [np.zeros((8, 8, 3), np.uint8)] * 4
SAMPLES = [np.zeros(8, np.float32)] * 4


def test_a_sight_is_named_with_its_colour_and_its_room() -> None:
    seen = NamedSight(Given("red mug kitchen", "dog", "blue car garage"), Words(), 30.0).encode(PICTURES[:3])
    assert seen.words == ("a red mug; kitchen", "a dog", "a blue car; garage")
    assert all(0 < sure <= 1 for sure in seen.confidences)


def test_two_things_of_one_picture_are_both_named() -> None:
    seen = NamedSight(Given("sofa violin bedroom"), Words(), 30.0).encode(PICTURES[:1])
    assert seen.words[0] is not None
    assert set(seen.words[0].partition(";")[0].split(", ")) == {"a sofa", "a violin"}


def test_what_is_like_nothing_in_the_list_or_like_nothing_at_all_is_not_named() -> None:
    seen = NamedSight(Given("quux zyzzy frobnicate", "nothing"), Words(), 30.0).encode(PICTURES[:2])
    assert seen.words == (None, None)
    heard = NamedSound(Given("quux zyzzy", "silence"), Words(), 30.0).encode(SAMPLES[:2])
    assert heard.words == (None, None)


def test_a_sound_is_named() -> None:
    heard = NamedSound(Given("a dog barking", "thunder"), Words(), 30.0).encode(SAMPLES[:2])
    assert heard.words == ("a dog barking", "thunder")


def test_an_empty_batch_stays_empty() -> None:
    assert NamedSight(Given("dog"), Words(), 30.0).encode([]).words == ()


@pytest.mark.parametrize("names", [THINGS, COLOURS, ROOMS, SOUNDS])
def test_no_name_stands_twice(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
