"""How words sound: pronunciations, and finding a name in a transcript that spelt it as other words.

Pronunciations are PocketSphinx's dictionary (a CMUdict of 134,000 words, ARPAbet without stress); a word it lacks is
split into two that it has, or read by the rules of `spell_out`. Likeness is a weighted edit distance over phones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from .runtime import package_file

Phones = tuple[str, ...]

VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
PAIRS = frozenset(
    frozenset(pair.split())
    for pair in ("B P", "D T", "G K", "V F", "Z S", "ZH SH", "DH TH", "JH CH", "B V", "W V", "N M", "N NG", "S SH")
)
"""Consonants that are taken for one another: voiced and unvoiced, and neighbours in place."""

NEAR_VOWELS, NEAR_CONSONANTS, FAR, UNLIKE = 0.35, 0.5, 1.0, 1.2
"""Costs of putting one phone for another: two vowels, a pair, two other consonants, a vowel for a consonant."""
SKIP, SKIP_WEAK = 0.8, 0.5
"""Costs of leaving a phone out or putting one in; weak are those that fluent speech swallows."""
WEAK = frozenset({"AH", "HH", "D", "T"})

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LONGEST_RUN = 1.6
"""Phones of a run of words, against those of the name, up to which it may still be the name."""
SHORTEST_PART = 3
"""Letters of either half where an unknown word is split into two known ones."""
COMMON = 4096
"""Words whose phones are kept."""

GRAPHEMES = {
    "tch": "CH", "sch": "SH", "igh": "AY", "eau": "OW",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "gh": "", "ck": "K", "qu": "K W", "wh": "W", "kn": "N", "wr": "R",
    "ng": "NG", "dg": "JH", "sz": "SH", "zh": "ZH", "kh": "K", "rh": "R",
    "ee": "IY", "ea": "IY", "ie": "IY", "ei": "AY", "ey": "IY", "ai": "EY", "ay": "EY", "oo": "UW", "ou": "AW",
    "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "eu": "Y UW", "ew": "UW", "ue": "UW",
    "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R", "ur": "ER",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IH", "z": "Z",
}  # fmt: skip
LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}
FINAL = {"a": "AH", "i": "IY", "o": "OW", "u": "UW", "y": "IY"}
SILENT_START = {"kn": "N", "gn": "N", "ps": "S", "wr": "R", "x": "Z", "y": "Y"}


def spell_out(word: str) -> Phones:
    """The phones of a word of a to z by the commonest rules of English spelling.

    The longest grapheme wins; doubled consonants sound once; c and g are soft before e, i and y; a vowel before a
    single consonant and another vowel is long, and a last e is then silent; a last vowel is full.
    """
    phones: list[str] = []
    at = 0
    for start, sound in SILENT_START.items():
        if word.startswith(start):
            phones, at = sound.split(), len(start)
            break
    while at < len(word):
        letter, rest = word[at], word[at + 1 :]
        if letter == "e" and not rest and len(phones) > 1:
            break
        if letter == rest[:1] and letter not in "aeiou":
            at += 1
            continue
        size = next(n for n in (3, 2, 1) if n <= len(rest) + 1 and word[at : at + n] in GRAPHEMES)
        # "er" is one sound at the end and before a consonant; before a vowel its letters part ("Kokoro").
        if size == 2 and rest[0] == "r" and rest[1:2] and rest[1] in "aeiouy":
            size = 1
        sound = GRAPHEMES[word[at : at + size]]
        if size == 1 and letter in "cg" and rest[:1] and rest[0] in "eiy":
            sound = "S" if letter == "c" else "JH"
        elif size == 1 and not rest:
            sound = FINAL.get(letter, sound)
        elif size == 1 and letter in LONG and re.match(r"[^aeiouyx][aeiouy]", rest):
            sound = LONG[letter]
        phones += sound.split()
        at += size
    return tuple(phones)


class Pronouncer:
    """Pronunciations and their likeness; the dictionary is read at the first word that is asked for."""

    def __init__(self, dictionary: Path | None = None) -> None:
        """`dictionary`: a file in CMUdict's form, by default PocketSphinx's; `MissingError` where that is not."""
        mend = "pip install 'pocketsphinx>=5.1,<6'"
        place = ("model", "en-us", "cmudict-en-us.dict")
        self._path = dictionary or package_file("pocketsphinx", *place, mend=mend)
        self._known: dict[str, str] = {}
        self.phones = lru_cache(COMMON)(self._phones)
        """phones(word) -> its ARPAbet phones, without stress; empty where it has no letter or digit."""

    def likeness(self, a: str, b: str) -> float:
        """How alike two words (or several, with spaces) sound: 1 the same, 0 nothing in common."""
        first, second = self.phones(a), self.phones(b)
        if not first or not second:
            return 0.0
        return max(0.0, 1.0 - distance(first, second) / max(len(first), len(second)))

    def find(self, name: str, words: Sequence[str]) -> tuple[float, int, int]:
        """The run of words [start, end) that sounds most like `name`: (likeness, start, end).

        (0.0, 0, 0) where there is no word, or `name` has no sound. Of equals the shortest, then the first.
        """
        wanted = self.phones(name)
        best = (0.0, 0, 0)
        spoken = [self.phones(word) for word in words]
        if not wanted:
            return best
        skips = [_skip(phone) for phone in wanted]
        costs: dict[str, list[float]] = {}
        for start in range(len(spoken)):
            row = list(accumulate(skips, initial=0.0))
            length = 0
            for end in range(start, len(spoken)):
                length += len(spoken[end])
                if end > start and length > LONGEST_RUN * len(wanted):
                    break
                for phone in spoken[end]:
                    if phone not in costs:
                        costs[phone] = [substitution(phone, want) for want in wanted]
                    row = _next_row(row, _skip(phone), costs[phone], skips)
                likeness = max(0.0, 1.0 - row[-1] / max(len(wanted), length))
                if (likeness, start - end) > (best[0], best[1] - best[2] + 1):
                    best = (likeness, start, end + 1)
        return best

    def locate(self, phrase: str, words: Sequence[str]) -> tuple[float, int, int]:
        """Where a whole phrase may have been said: (likeness, start, end) of a run of words.

        As `find`, but the run that costs least is sought in one pass that may begin at any word (Sellers 1980, "The
        Theory and Computation of Evolutionary Distances"): O(phones of `words` x phones of `phrase`).
        """
        wanted = self.phones(phrase)
        best = (0.0, 0, 0)
        if not wanted:
            return best
        skips = [_skip(phone) for phone in wanted]
        fresh = list(accumulate(skips, initial=0.0))
        row, starts = fresh, [0] * len(fresh)
        lengths = [0]  # phones before each word
        for at, word in enumerate(words):
            starts = [at if new < old else start for new, old, start in zip(fresh, row, starts, strict=True)]
            row = [min(new, old) for new, old in zip(fresh, row, strict=True)]
            for phone in self.phones(word):
                row, starts = _next_row_from(row, starts, _skip(phone), [substitution(phone, w) for w in wanted], skips)
            lengths.append(lengths[-1] + len(self.phones(word)))
            length = lengths[-1] - lengths[starts[-1]]
            likeness = max(0.0, 1.0 - row[-1] / max(len(wanted), length))
            if likeness > best[0]:
                best = (likeness, starts[-1], at + 1)
        return best

    def _phones(self, word: str) -> Phones:
        known = self._dictionary()
        phones: list[str] = []
        for part in re.findall(r"[a-z']+|\d", word.lower().replace("’", "'")):
            text = DIGITS[int(part)] if part.isdigit() else part.strip("'")
            if text in known:
                phones += known[text].split()
            else:
                text = text.replace("'", "")
                phones += self._compound(text) or spell_out(text)
        return tuple(phones)

    def _compound(self, word: str) -> list[str]:
        """The phones of two dictionary words that make up `word`, split as evenly as can be; empty if none do."""
        splits = range(SHORTEST_PART, len(word) - SHORTEST_PART + 1)
        for at in sorted(splits, key=lambda i: abs(2 * i - len(word))):
            first, second = self._known.get(word[:at]), self._known.get(word[at:])
            if first and second and (VOWELS & set(first.split())) and (VOWELS & set(second.split())):
                return first.split() + second.split()
        return []

    def _dictionary(self) -> dict[str, str]:
        if not self._known:
            lines = self._path.read_text(encoding="utf-8").splitlines()
            self._known = dict(line.split(" ", 1) for line in lines if " " in line)
        return self._known


@lru_cache(COMMON)
def substitution(a: str, b: str) -> float:
    """Cost of phone `b` for phone `a`."""
    if a == b:
        return 0.0
    if (a in VOWELS) != (b in VOWELS):
        return UNLIKE
    if a in VOWELS:
        return NEAR_VOWELS
    return NEAR_CONSONANTS if frozenset((a, b)) in PAIRS else FAR


def distance(a: Phones, b: Phones) -> float:
    """Weighted edit distance of two phone strings (Wagner and Fischer 1974)."""
    skips = [_skip(phone) for phone in b]
    row = list(accumulate(skips, initial=0.0))
    for phone in a:
        row = _next_row(row, _skip(phone), [substitution(phone, other) for other in b], skips)
    return row[-1]


def _skip(phone: str) -> float:
    return SKIP_WEAK if phone in WEAK else SKIP


def _next_row_from(
    row: list[float], starts: list[int], skip: float, costs: list[float], skips: list[float]
) -> tuple[list[float], list[int]]:
    """As `_next_row`, with the word at which each cell's alignment began."""
    left, start = row[0] + skip, starts[0]
    out, begun = [left], [start]
    for j, (cost, leave) in enumerate(zip(costs, skips, strict=True)):
        left, start = min((left + leave, start), (row[j + 1] + skip, starts[j + 1]), (row[j] + cost, starts[j]))
        out.append(left)
        begun.append(start)
    return out, begun


def _next_row(row: list[float], skip: float, costs: list[float], skips: list[float]) -> list[float]:
    """One more phone of the first string: the costs of all prefixes of the second."""
    left = row[0] + skip
    out = [left]
    for above, diagonal, cost, leave in zip(row[1:], row, costs, skips, strict=False):
        left = min(above + skip, left + leave, diagonal + cost)
        out.append(left)
    return out
