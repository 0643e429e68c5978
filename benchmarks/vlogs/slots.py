"""Values that fill the sentences of the world: names, towns, numbers, hours, each with a near miss used nowhere."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

_LISTS: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "slots.toml").read_text(encoding="utf-8"))
_ONES = _LISTS["ones"]
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def number_words(n: int) -> str:
    """0 to 99 as they are said: 42 -> forty-two."""
    if not 0 <= n <= 99:
        raise ValueError(f"{n} is not within 0..99")
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")


def clock_words(hour: int, minute: int) -> str:
    """A time of day as it is said: 9:05 -> nine oh five, 18:00 -> eighteen o'clock."""
    if minute == 0:
        return f"{number_words(hour)} o'clock"
    return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is written, as it is spoken, and one of its kind that this video never uses."""

    text: str
    words: str
    other: str = ""

    @property
    def plain(self) -> str:
        """The spoken form without its commas."""
        return self.words.replace(",", "")

    @property
    def spaced(self) -> str:
        """The written form, digit by digit."""
        return " ".join(self.text)

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)


def _same(texts: Iterable[str]) -> list[tuple[str, str]]:
    return [(text, text) for text in texts]


def _pools() -> dict[str, list[tuple[str, str]]]:
    clocks = [(h, m) for h in range(7, 22) for m in range(0, 60, 5)]
    codes = [f"{n:04d}" for n in range(1203, 9900, 37) if len(set(f"{n:04d}")) == 4]
    return {
        **{kind: _same(_LISTS[kind]) for kind in ("name", "town", "colour", "day")},
        "n": [(str(n), number_words(n)) for n in range(13, 99) if n % 10],
        "clock": [(f"{h:02d}:{m:02d}", clock_words(h, m)) for h, m in clocks],
        "code": [(code, ", ".join(_ONES[int(d)] for d in code)) for code in codes],
    }


_POOLS = _pools()
"""kind -> (written, spoken) of every value"""


class Deck:
    """Deals values in an order of its own; a third of each pool is kept for near misses and never dealt as a value."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._values: dict[str, Iterator[tuple[str, str]]] = {}
        self._misses: dict[str, Iterator[tuple[str, str]]] = {}
        for kind, pool in _POOLS.items():
            order = [pool[i] for i in rng.permutation(len(pool))]
            kept = max(1, len(pool) // 3)
            self._misses[kind], self._values[kind] = cycle(order[:kept]), cycle(order[kept:])

    def deal(self, kind: str) -> Value:
        """The next value of a kind ("name", or "name2" where a sentence has two), and its near miss."""
        kind = kind.rstrip(string.digits)
        if kind not in self._values:
            raise KeyError(f"no such slot: {kind}")
        text, words = next(self._values[kind])
        return Value(text, words, next(self._misses[kind])[0])


class Filling(dict[str, Value]):
    """The values of one sentence: drawn at first use, the same in its questions."""

    def __init__(self, deck: Deck) -> None:
        super().__init__()
        self._deck = deck

    def __missing__(self, key: str) -> Value:
        self[key] = self._deck.deal(key)
        return self[key]

    def fill(self, template: str) -> str:
        """A template with its slots filled: "pier {n.words}" -> "pier forty-two"."""
        return string.Formatter().vformat(template, (), self)
