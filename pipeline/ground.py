"""Grounding: does this evidence really speak of what the question names?

Similarity ranks well but cannot abstain: "gate 24" is close to GATE 42, Berlin to Paris, the garage's passcode to the
side door's. So a question's phrase becomes a claim of terms, and the terms that tell things apart (numbers, names,
quotations, colours and weekdays, the words that qualify a noun) must stand in the evidence itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

from ..records import Percept
from .align import align
from .claim import HARD, Chunk, Claim, Kind, Term
from .lexicon import ALIKE, OPPOSITES
from .numbers import readings
from .words import STOP, Word, excludes, split

Likeness = Callable[[str, str], float]
"""How alike two words are, 0 to 1."""

RECOGNISED = frozenset({"pocketsphinx", "whisper"})
"""Origins whose words were guessed from sound: a name there may match by sound."""


SOFT_FLOOR, NAMED_FLOOR = 0.7, 0.5
"""Least likeness at which a needed word, and a needed name, counts as standing in the evidence."""
YIELD_NEAR = 0.45
"""Cosine from which the head of a grounded complement may be said otherwise."""
QUOTED = 0.6
"""Share of a quotation that must stand in the evidence."""
SOUNDS, MAY_SOUND, NAMED = 0.68, 0.60, 0.75
"""Likeness by sound at which a quotation surely, or perhaps, and a name of several words, was said."""


class Ear(Protocol):
    """What `encoders.phonetics.Pronouncer` gives."""

    def likeness(self, a: str, b: str) -> float: ...

    def find(self, name: str, words: Sequence[str]) -> tuple[float, int, int]:
        """(likeness, start, end) of the words that together sound most like the name."""
        ...

    def locate(self, phrase: str, words: Sequence[str]) -> tuple[float, int, int]:
        """The same for a phrase of several words."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """Neighbouring percepts of one lane and stream, read as one text."""

    percepts: tuple[Percept, ...]
    text: str
    words: tuple[Word, ...]
    lower: frozenset[str]
    stems: frozenset[str]
    numbers: frozenset[str]
    recognised: bool
    """Its words were guessed from sound."""
    printed: bool
    """Its words were read off a picture."""

    @classmethod
    def of(cls, percepts: Sequence[Percept]) -> Passage:
        text = "\n".join(p.text or "" for p in percepts)
        words = tuple(split(text))
        return cls(
            tuple(percepts),
            text,
            words,
            frozenset(w.lower for w in words),
            frozenset(w.stem for w in words),
            readings(text),
            any(p.origin in RECOGNISED for p in percepts),
            any(p.lane == "caption" for p in percepts),
        )


@dataclass(frozen=True, slots=True)
class Grounding:
    """How far a passage holds a claim: 0 to 1, and the words of the claim that it lacks."""

    score: float
    missing: tuple[str, ...] = ()


class Grounder:
    """Scores passages against claims; `similar` gives likeness of words by meaning (embedded), `ear` by sound."""

    def __init__(self, similar: Callable[[Sequence[str], Sequence[str]], Likeness], ear: Callable[[], Ear]) -> None:
        self._similar = similar
        self._ear = ear
        self._cache: dict[tuple[str, str, str], float] = {}

    def soften(self, claim: Claim, passages: Sequence[Passage]) -> Likeness:
        """Likeness between the plain words of a claim and all content words of some passages, embedded in one batch."""
        asked = sorted({t.word.lower for c in claim.chunks for t in c.terms if t.kind not in ("name", "number")})
        there = sorted({w.lower for p in passages for w in p.words if w.lower not in STOP and not w.has_digit})
        return self._similar(asked, there) if asked and there else _never

    def ground(self, claim: Claim, passage: Passage, soft: Likeness, near: float) -> Grounding:
        """The claim against one passage; `near`: the cosine of claim and passage as sentences."""
        missing: list[str] = []
        yielding: list[str] = []
        scores: list[tuple[float, float]] = []  # (score, weight)
        anchored = False  # something that tells things apart stands there
        verbatim = True
        for quote in claim.quotes:
            score = self._quoted_aloud(quote, passage) if passage.recognised else self._quoted(quote, passage)
            scores.append((score, 3.0))
            anchored |= score > 0
            verbatim &= score >= 0.95
            if score == 0.0:
                missing.append(" ".join(w.surface for w in quote))
        if not verbatim:
            missing += [number.surface for number in claim.quote_numbers if not number.stands_in(passage.numbers)]
        for chunk in claim.chunks:
            support, absent, opposed = self._support(chunk, passage, soft, claim.fallback if claim.vague else None)
            scores.append((support, chunk.weight))
            (yielding if chunk.yields else missing).extend(absent)
            missing += opposed
            anchored |= not absent and support >= 0.85 and any(t.kind in HARD for t in chunk.terms)
        if not scores:
            return Grounding(0.0)
        if len(missing) == 1 and self._forgiven(claim, missing[0], passage):
            missing = []
        if not (anchored and near >= YIELD_NEAR):
            missing += yielding
        return Grounding(sum(s * w for s, w in scores) / sum(w for _, w in scores), tuple(missing))

    def _forgiven(self, claim: Claim, lacking: str, passage: Passage) -> bool:
        """A sign says "PLATFORM 5 VIENNA" and no more: a plain word may lack where the asked type and a name stand."""
        terms = [t for c in claim.chunks for t in c.terms]
        asked = any(t.word.stem in passage.stems for c in claim.chunks if c.optional for t in c.terms)
        anchored = any(t.kind in ("name", "number") and t.word.surface != lacking for t in terms)
        plain = all(t.kind == "plain" for t in terms if t.word.surface == lacking)
        return asked and anchored and plain and bool(terms)

    def _quoted(self, quote: Sequence[Word], passage: Passage) -> float:
        """How much of a quotation stands in the passage; 0 under `QUOTED`, or where a letter or code of it lacks."""
        codes = {w.lower for w in quote if (w.has_digit and not w.surface[0].isdigit()) or len(w.surface) == 1}
        if codes - {"a", "i"} - passage.lower:
            return 0.0
        score = align(quote, passage.words, self._printed).score
        return score if score >= QUOTED else 0.0

    def _quoted_aloud(self, quote: Sequence[Word], passage: Passage) -> float:
        """The same in recognised speech, where a quotation may stand in other words that sound like it.

        Unrelated quotations of some length sound up to 0.6 alike; between there and `SOUNDS` a third of their content
        words must have been recognised too.
        """
        written = align(quote, passage.words, self._heard).score
        content = {w.stem for w in quote if w.lower not in STOP}
        share = len(content & passage.stems) / max(len(content), 1)
        if share < 1 / 3 and written < 0.3:
            return 0.0  # not worth the longer look
        phrase, words = " ".join(w.lower for w in quote), [w.lower for w in passage.words]
        spoken = self._cached("quoted", phrase, passage.text, lambda: self._ear().locate(phrase, words)[0])
        if written >= QUOTED or spoken >= SOUNDS or (spoken >= MAY_SOUND and share >= 1 / 3 and len(quote) >= 5):
            return max(written, spoken)
        return 0.0

    def _named_aloud(self, chunk: Chunk, passage: Passage) -> float:
        """How surely a name of several words was said, by the sound of all of it; 0 if it was not."""
        if not passage.recognised or sum(t.kind == "name" for t in chunk.terms) < 2:
            return 0.0
        name, words = " ".join(t.word.lower for t in chunk.terms if t.kind == "name"), [w.lower for w in passage.words]
        spoken = self._cached("quoted", name, passage.text, lambda: self._ear().locate(name, words)[0])
        return spoken if spoken >= NAMED else 0.0

    def _support(
        self, chunk: Chunk, passage: Passage, soft: Likeness, fallback: Kind | None
    ) -> tuple[float, list[str], list[str]]:
        """(score, needed words that lack, words whose opposites stand there); terms of `fallback` are needed."""
        scores: list[float] = []
        absent: list[str] = []
        opposed: list[str] = []
        named = self._named_aloud(chunk, passage)
        for index, term in enumerate(chunk.terms):
            score = max(self._term(term, passage, soft), 0.8 * named if term.kind == "name" else 0.0)
            floor = NAMED_FLOOR if term.kind in ("name", "number") else SOFT_FLOOR
            if score < floor and (chunk.needs(index) or (term.kind == fallback and not chunk.optional)):
                absent.append(term.word.surface)
            if score < 0.85 and term.kind != "number" and self._opposed(term.word, passage):
                opposed.append(term.word.surface)
            scores.append(score)
        return sum(scores) / len(scores), absent, opposed

    @staticmethod
    def _opposed(word: Word, passage: Passage) -> bool:
        """Whether what stands there excludes the word: its opposite, or another of its row (weekdays, colours)."""
        return excludes(word.lower, passage.lower) or bool(OPPOSITES.get(word.lower, _NONE) & passage.lower)

    def _term(self, term: Term, passage: Passage, soft: Likeness) -> float:
        word = term.word
        if term.number is not None:
            return 1.0 if term.number.stands_in(passage.numbers) else 0.0
        if word.stem in passage.stems or word.lower in passage.lower:
            return 1.0
        if word.has_digit or len(word.surface) == 1:
            return 0.0
        if term.kind != "name" and ALIKE.get(word.lower, _NONE) & passage.lower:
            return 0.9
        if passage.printed and len(word.surface) >= 5 and self._slip(term, passage):
            return 0.9
        if passage.recognised:
            spoken = [w.lower for w in passage.words]  # "Dashwood" may stand there as "dash would"
            heard = self._cached("spoken", word.lower, passage.text, lambda: self._ear().find(word.lower, spoken)[0])
            if heard >= 0.75:
                return 0.8 * heard
        if term.kind == "name" or self._opposed(word, passage):
            return 0.0
        return max((soft(word.lower, w.lower) for w in passage.words if w.lower not in STOP), default=0.0)

    def _slip(self, term: Term, passage: Passage) -> bool:
        """Whether a printed word is this one but for letters that its reader mistook; a name begins alike."""
        others = [w for w in passage.words if term.kind != "name" or w.lower[0] == term.word.lower[0]]
        return max((self._printed(term.word, w) for w in others), default=0.0) >= 0.8

    def _heard(self, a: Word, b: Word) -> float:
        """Equal stems, or words that sound alike."""
        if a.stem == b.stem:
            return 1.0
        if a.has_digit or b.has_digit or min(len(a.surface), len(b.surface)) < 3:
            return 0.0
        likeness = self._cached("heard", a.lower, b.lower, lambda: self._ear().likeness(a.lower, b.lower))
        return likeness if likeness >= 0.6 else 0.0

    def _printed(self, a: Word, b: Word) -> float:
        """Equal stems, or letters that a reader of captions may mistake."""
        if a.stem == b.stem:
            return 1.0
        if a.has_digit or b.has_digit or min(len(a.surface), len(b.surface)) < 4:
            return 0.0
        ratio = self._cached(
            "printed", a.lower, b.lower, lambda: SequenceMatcher(None, a.lower, b.lower, autojunk=False).ratio()
        )
        return ratio if ratio >= 0.8 else 0.0

    def _cached(self, way: str, a: str, b: str, likeness: Callable[[], float]) -> float:
        key = (way, a, b)
        if key not in self._cache:
            if len(self._cache) > 200_000:
                self._cache.clear()
            self._cache[key] = likeness()
        return self._cache[key]


def _never(_a: str, _b: str) -> float:
    return 0.0


_NONE: frozenset[str] = frozenset()
