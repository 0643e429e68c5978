"""Numbers as people say and print them: "eighty-two million" is 82000000, "nine fifteen" is 9:15, "07:30" is 7:30.

A number in a question must stand in the evidence, however either of them spells it; so every expression is given all
its readings, and two expressions agree when they share one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNIT_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_UNITS = {w: i for i, w in enumerate(_UNIT_WORDS.split())}
_TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_ORDINAL_WORDS = (
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth twentieth"
)
_ORDINALS = {w: i for i, w in enumerate(_ORDINAL_WORDS.split(), start=3)} | {"thirtieth": 30}
# "first" and "second" are left out: they count things less often than they order them
_SPOKEN = {**_UNITS, **_TENS, **_ORDINALS, **dict.fromkeys(_SCALES, 0), "oh": 0}

LONGEST = 18
"""Digits of what is read as a number; more are a serial, which is compared as it stands."""
_WORD = re.compile(r"\d+(?::\d\d)+|\d+(?:[.,]\d+)*(?:st|nd|rd|th)?(?![A-Za-z\d])|\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """A number expression: where it stands in the text, how it is written, and every way to read it."""

    start: int
    end: int
    surface: str
    readings: frozenset[str]
    """Canonical: integers and decimals without separators or leading zeros, clock times as h:mm."""
    whole: frozenset[str]
    """The readings that take in the whole expression: of "nine fifteen" 9:15 and 915, not 9."""

    def stands_in(self, others: frozenset[str]) -> bool:
        """Whether a text with these readings holds this number, whole."""
        return bool(self.whole & others)


def find_numbers(text: str) -> list[Number]:
    """Every number expression of `text`, in order; neighbouring number words make one expression.

    >>> [sorted(n.readings) for n in find_numbers("gate 42 boards at eighteen oh five")]
    [['42'], ['18', '1805', '18:05', '5']]
    """
    found: list[Number] = []
    run: list[tuple[int, int, str]] = []  # (start, end, word) of the number words read so far

    def close() -> None:
        while run and run[-1][2] == "and":
            run.pop()
        if run and not (len(run) == 1 and run[0][2] in ("one", "oh")):  # "the next one" counts nothing
            start, end = run[0][0], run[-1][1]
            found.append(Number(start, end, text[start:end], *_spoken([w for _, _, w in run])))
        run.clear()

    for match in _WORD.finditer(text):
        word = match.group().lower()
        gap = text[run[-1][1] : match.start()] if run else ""
        if run and not re.fullmatch(r"[\s,\-–]*", gap):
            close()
        spoken = word in _SPOKEN and (word not in _SCALES or bool(run))  # a scale alone follows digits: "82 million"
        if spoken or (run and word == "and" and run[-1][2] in _SCALES):
            run.append((match.start(), match.end(), word))
            continue
        if word in _SCALES and found and re.fullmatch(r"\s*", text[found[-1].end : match.start()]):
            last = found.pop()  # "82 million"
            scaled = {_plain(float(r) * _SCALES[word]) for r in last.readings if ":" not in r and r.count(".") < 2}
            surface = text[last.start : match.end()]
            found.append(Number(last.start, match.end(), surface, last.readings | scaled, frozenset(scaled)))
            continue
        close()
        readings = _written(word)
        if readings:
            found.append(Number(match.start(), match.end(), match.group(), readings, readings))
    close()
    return found


def readings(text: str) -> frozenset[str]:
    """All readings of all numbers in `text`, together."""
    return frozenset().union(*(n.readings for n in find_numbers(text)))


def _written(word: str) -> frozenset[str]:
    """Readings of one token written with digits ("07:30", "1,000", "14th"); empty for other tokens."""
    if re.fullmatch(r"\d{1,4}(?::\d\d)+", word):
        head, *rest = word.split(":")
        return frozenset({":".join([str(int(head)), *rest])})
    if not re.fullmatch(r"\d+(?:[.,]\d+)*(?:st|nd|rd|th)?", word):
        return frozenset()
    digits = re.sub(r"(st|nd|rd|th)$", "", word)
    if len(digits) > LONGEST:
        return frozenset()
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits):
        digits = digits.replace(",", "")
    digits = digits.replace(",", ".")
    return frozenset({_plain(float(digits))} if digits.count(".") <= 1 else {digits})


def _plain(value: float) -> str:
    if value >= 10.0**LONGEST:
        return f"{value:g}"
    return str(int(value)) if value == int(value) else str(value)


def _spoken(words: list[str]) -> tuple[frozenset[str], frozenset[str]]:
    """(all readings, whole readings) of a run of number words: one cardinal, a clock time, digit by digit."""
    values = _cardinals([w for w in words if w != "and"])
    parts = frozenset(str(v) for v in values)
    if len(values) == 1:
        return parts, parts
    whole = {"".join(str(v) for v in values)}
    hour, *minutes = values
    tens_and_units = len(minutes) == 1 and 10 <= minutes[0] < 60
    oh_and_unit = len(minutes) == 2 and minutes[0] == 0 and 0 < minutes[1] < 10
    if hour < 24 and (tens_and_units or oh_and_unit):
        whole.add(f"{hour}:{sum(minutes):02d}")
    return parts | whole, frozenset(whole)


def _cardinals(words: list[str]) -> list[int]:
    """Number words to the integers that they spell: twenty thirty one -> 20, 31; four two -> 4, 2."""
    values: list[int] = []
    total = current = 0
    open_to = 0  # the next part must be below this to join the current number; 0: none is open
    started = False
    for word in words:
        if word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                current = max(current, 1) * 100
            else:
                total, current = total + max(current, 1) * scale, 0
            open_to, started = scale, True
            continue
        value = _SPOKEN[word]
        joins = started and 0 < value < open_to
        if started and not joins:
            values.append(total + current)
            total = current = 0
        current += value
        started = True
        open_to = 10 if word in _TENS else 0
    if started:
        values.append(total + current)
    return values
