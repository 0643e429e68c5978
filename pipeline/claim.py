"""What a phrase of a question claims: terms that must stand in the evidence, some of them at all costs.

A phrase is read in chunks, runs of content words between function words ("spare key", "side door"). What tells
things apart (names, numbers, weekdays, nouns that qualify) is needed; what is said in many ways (verbs, qualities, the
type that is asked for, the head of "population of Reykjavik") is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .lexicon import ATTRIBUTES, QUALITIES, VERBS
from .numbers import Number, find_numbers
from .question import Phrase
from .words import Word, content_flags, contrasts, split, stem

Kind = Literal["name", "number", "contrast", "plain", "verb", "quality", "attribute"]
HARD: frozenset[Kind] = frozenset({"name", "number", "contrast", "plain"})
"""Kinds that tell one thing from another."""
WEIGHT: dict[Kind, float] = {
    "name": 1.0,
    "number": 1.0,
    "contrast": 1.0,
    "plain": 1.0,
    "verb": 0.4,
    "quality": 0.3,
    "attribute": 0.3,
}
OPTIONAL_WEIGHT = 0.35


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a claim."""

    word: Word
    kind: Kind
    number: Number | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring content words, the last of them the head."""

    terms: tuple[Term, ...]
    optional: bool = False
    """The type that is asked for ("which subject"), or the look of a scene, which words cannot ground."""
    yields: bool = False
    """A complement follows ("population of ..."): where that is grounded, this may be said otherwise."""

    @property
    def weight(self) -> float:
        return OPTIONAL_WEIGHT if self.optional else max(WEIGHT[t.kind] for t in self.terms)

    def needs(self, index: int) -> bool:
        """Whether a term must stand in the evidence: hard ones, but for the head that others qualify."""
        if self.optional or self.terms[index].kind not in HARD:
            return False
        others = any(t.kind in HARD for i, t in enumerate(self.terms) if i != index)
        return self.terms[index].kind in ("name", "number") or index < len(self.terms) - 1 or not others


@dataclass(frozen=True, slots=True)
class Claim:
    """What must be found in the evidence."""

    text: str
    quotes: tuple[tuple[Word, ...], ...]
    quote_numbers: tuple[Number, ...]
    chunks: tuple[Chunk, ...]

    @property
    def empty(self) -> bool:
        return not self.quotes and not self.chunks

    @property
    def vague(self) -> bool:
        """Nothing in it is needed: then its verbs are, or what else it has."""
        return not self.quotes and not any(c.needs(i) for c in self.chunks for i in range(len(c.terms)))

    @property
    def fallback(self) -> Kind:
        """The kind that is needed where nothing harder is."""
        kinds = {t.kind for c in self.chunks if not c.optional for t in c.terms}
        return "verb" if "verb" in kinds else "attribute" if "attribute" in kinds else "quality"


_ASKED = ("which", "what", "whose")
_ARTICLES = ("the", "a", "an", "this", "that")
_VISUAL = frozenset(("in", "over", "on", "above", "behind", "at"))
_LANE_NOUN = frozenset(
    ("caption", "captions", "slide", "slides", "sign", "signs", "text", "title", "video", "scene", "clip")
)
_COMPLEMENT = frozenset(("of", "for", "to", "in", "on", "at", "from", "with", "about", "between", "behind"))
_BEFORE_NOUN = frozenset(
    (
        "a an the this that these those my your his her its their our of in on at for with by from about which what "
        "whose many much every each some any no between behind"
    ).split()
)


def claim_of(phrase: Phrase) -> Claim:
    """The claim of a phrase: its quotes, and the chunks of content words between its function words.

    Words that mostly belong to the frame ("camera", "recording") count where nothing harder is named.
    """
    claim = _claim(phrase, light=False)
    named = any(not chunk.optional for chunk in claim.chunks)
    return _claim(phrase, light=True) if claim.vague and named else claim


def _claim(phrase: Phrase, light: bool) -> Claim:
    quotes = tuple(tuple(split(q)) for q in phrase.quotes)
    numbers = {(n.start, n.end): n for n in find_numbers(phrase.text)}
    words = split(phrase.text)
    content = content_flags(words, light)
    chunks: list[Chunk] = []
    scenery: list[Chunk] = []  # how the scene of a caption looks: counts only where there is nothing else
    terms: list[Term] = []
    asked = visual = lane_noun = False  # of the chunk that is open; whether a word for a caption stands before it
    previous: Word | None = None

    def close(complement: bool = False) -> None:
        if terms:
            yields = complement and terms[-1].kind == "plain"
            (scenery if visual else chunks).append(Chunk(tuple(terms), asked or visual, yields))
            terms.clear()

    for index, word in enumerate(words):
        lower = word.lower
        number = next((n for (a, b), n in numbers.items() if a <= word.start < b), None)
        if previous and any(c in phrase.text[previous.end : word.start] for c in ",;:!?()"):
            close()
        if number is not None:
            if word.start == number.start:
                terms.append(Term(word, "number", number))
        elif content[index] or _is_name(word, index, content[index]):
            terms.append(Term(word, _kind(word, index, content[index], previous)))
        else:
            close(lower in _COMPLEMENT)
            visual = (lower in _VISUAL and lane_noun) or (visual and lower in _ARTICLES)
            asked = lower in _ASKED or (asked and lower in ("and", "or"))
        lane_noun = lower in _LANE_NOUN or (lane_noun and lower in ("is", "shown", "over", "in", *_ARTICLES))
        previous = word
    close()
    quote_numbers = tuple(n for q in phrase.quotes for n in find_numbers(q))
    return Claim(" ".join([phrase.text, *phrase.quotes]).strip(), quotes, quote_numbers, tuple(chunks or scenery))


def _kind(word: Word, index: int, content: bool, previous: Word | None) -> Kind:
    if _is_name(word, index, content):
        return "name"
    if contrasts(word.lower):
        return "contrast"
    if word.lower in QUALITIES:
        return "quality"
    if word.lower in ATTRIBUTES:
        return "attribute"
    after_determiner = previous is not None and previous.lower in _BEFORE_NOUN
    return "verb" if word.stem in _verb_stems() and not after_determiner else "plain"


@lru_cache(maxsize=1)
def _verb_stems() -> frozenset[str]:
    return frozenset(stem(verb) for verb in VERBS)


def _is_name(word: Word, index: int, content: bool) -> bool:
    """Capitalised inside the sentence, a single capital letter, or letters with digits (P2, 3B)."""
    if word.has_digit:
        return True
    if index == 0 or not word.surface[0].isupper() or word.surface == "I":
        return False
    titled = word.lower in ("mr", "mrs", "ms", "dr", "doctor")
    return not titled and (content or index > 1)
