"""Grounding: does this evidence really speak of what the question names?

Similarity ranks well but cannot abstain: "gate 24" is close to GATE 42, Berlin to Paris, the garage's passcode to the
side door's. So a question's phrase becomes a claim of terms, and the terms that tell things apart (numbers, names,
quotations, colours and weekdays, the words that qualify a noun) must stand in the evidence itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, Protocol

from ..records import Percept
from .align import align
from .numbers import Number, find_numbers, readings
from .question import Phrase
from .words import STOP, Word, content_flags, contrasts, excludes, split

Kind = Literal["name", "number", "contrast", "plain", "light"]
Likeness = Callable[[str, str], float]
"""How alike two words are, 0 to 1."""

RECOGNISED = frozenset({"pocketsphinx", "whisper"})
"""Origins whose words were guessed from sound: a name there may match by sound."""


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
class Term:
    """One word of a claim."""

    word: Word
    kind: Kind
    number: Number | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring content words, the last of them the head: "spare key", "side door"."""

    terms: tuple[Term, ...]
    optional: bool = False
    """The type that is asked for ("which subject"), or the look of a scene that words cannot ground."""


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
        )


@dataclass(frozen=True, slots=True)
class Grounding:
    """How far a passage holds a claim: 0 to 1, and the words of the claim that it lacks."""

    score: float
    missing: tuple[str, ...] = ()


_ASKED = ("which", "what", "whose")
_VISUAL = frozenset(["in", "over", "on", "above", "behind", "at"])
_LANE_NOUN = frozenset(
    ["caption", "captions", "slide", "slides", "sign", "signs", "text", "title", "video", "scene", "clip"]
)


def claim_of(phrase: Phrase) -> Claim:
    """The claim of a phrase: its quotes, and the chunks of content words around its function words."""
    quotes = tuple(tuple(split(q)) for q in phrase.quotes)
    numbers = {(n.start, n.end): n for n in find_numbers(phrase.text)}
    words = split(phrase.text)
    content = content_flags(words)
    chunks: list[Chunk] = []
    open_terms: list[Term] = []
    asked = visual = False  # of the chunk that is open
    previous: Word | None = None
    lane_noun_before = False

    def close() -> None:
        if open_terms:
            chunks.append(Chunk(tuple(open_terms), asked or visual))
            open_terms.clear()

    for index, word in enumerate(words):
        lower = word.lower
        number = next((n for (a, b), n in numbers.items() if a <= word.start < b), None)
        gap = phrase.text[previous.end : word.start] if previous else ""
        if any(c in gap for c in ",;:!?()"):
            close()
        if number is not None:
            if word.start == number.start:
                open_terms.append(Term(word, "number", number))
        elif _is_name(word, index, content[index]):
            open_terms.append(Term(word, "name"))
        elif not content[index]:
            close()
            visual = (lower in _VISUAL and lane_noun_before) or (visual and lower in ("the", "a", "an", "this", "that"))
            asked = lower in _ASKED or (asked and lower in ("and", "or"))
        else:
            open_terms.append(Term(word, "contrast" if contrasts(lower) else "plain"))
        lane_noun_before = lower in _LANE_NOUN or (
            lane_noun_before and lower in ("is", "shown", "the", "a", "over", "in")
        )
        previous = word
    close()
    quote_numbers = tuple(n for q in phrase.quotes for n in find_numbers(q))
    return Claim(" ".join([phrase.text, *phrase.quotes]).strip(), quotes, quote_numbers, tuple(chunks))


def _is_name(word: Word, index: int, content: bool) -> bool:
    """Capitalised inside the sentence, a single capital letter, or letters with digits (P2, 3B)."""
    if word.has_digit:
        return True
    if index == 0 or not word.surface[0].isupper() or word.surface == "I":
        return False
    titled = word.lower in ("mr", "mrs", "ms", "dr", "doctor")
    return not titled and (content or index > 1)


class Grounder:
    """Scores passages against claims; `similar` gives likeness of words by meaning (embedded), `ear` by sound."""

    def __init__(self, similar: Callable[[Sequence[str], Sequence[str]], Likeness], ear: Callable[[], Ear]) -> None:
        self._similar = similar
        self._ear = ear
        self._cache: dict[tuple[str, str, str], float] = {}

    def soften(self, claim: Claim, passages: Sequence[Passage]) -> Likeness:
        """Likeness between the plain words of a claim and all content words of some passages, embedded in one batch."""
        asked = sorted({t.word.lower for c in claim.chunks for t in c.terms if t.kind in ("plain", "contrast")})
        there = sorted({w.lower for p in passages for w in p.words if w.lower not in STOP and not w.has_digit})
        return self._similar(asked, there) if asked and there else _never

    def ground(self, claim: Claim, passage: Passage, soft: Likeness) -> Grounding:
        """The claim against one passage."""
        missing: list[str] = []
        scores: list[tuple[float, float]] = []  # (score, weight)
        for quote in claim.quotes:
            score = self._quoted_aloud(quote, passage) if passage.recognised else self._quoted(quote, passage)
            scores.append((score, 3.0))
            if score == 0.0:
                missing.append(" ".join(w.surface for w in quote))
        for number in claim.quote_numbers:
            if not number.stands_in(passage.numbers):
                missing.append(number.surface)
        for chunk in claim.chunks:
            support, absent = self._support(chunk, passage, soft)
            if chunk.optional:
                scores.append((support, 0.35))
            else:
                scores.append((support, 1.0))
                missing.extend(absent)
        if not scores:
            return Grounding(0.0)
        score = sum(s * w for s, w in scores) / sum(w for _, w in scores)
        if len(missing) == 1 and self._forgiven(claim, missing[0], passage):
            missing = []
        return Grounding(score, tuple(missing))

    def _forgiven(self, claim: Claim, lacking: str, passage: Passage) -> bool:
        """A sign says "PLATFORM 5 VIENNA" and no more: a plain word may lack where the asked type and a name stand."""
        terms = [t for c in claim.chunks for t in c.terms]
        asked = any(t.word.stem in passage.stems for c in claim.chunks if c.optional for t in c.terms)
        anchored = any(t.kind in ("name", "number") and t.word.surface != lacking for t in terms)
        plain = all(t.kind == "plain" for t in terms if t.word.surface == lacking)
        return asked and anchored and plain and bool(terms)

    def _quoted(self, quote: Sequence[Word], passage: Passage) -> float:
        """How much of a quotation stands in the passage; 0 under `QUOTED`."""
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

    def _support(self, chunk: Chunk, passage: Passage, soft: Likeness) -> tuple[float, list[str]]:
        """(score, what is missing) of one chunk: names, numbers and modifiers are needed, the head may be close."""
        scores: list[float] = []
        absent: list[str] = []
        named = self._named_aloud(chunk, passage)
        for position, term in enumerate(chunk.terms):
            score = self._term(term, passage, soft)
            if term.kind == "name":
                score = max(score, 0.8 * named)
            needed = term.kind in ("name", "number") or len(chunk.terms) == 1 or position < len(chunk.terms) - 1
            floor = 0.5 if term.kind in ("name", "number", "contrast") else 0.3
            if score < floor and needed:
                absent.append(term.word.surface)
            scores.append(score)
        return sum(scores) / len(scores), absent

    def _term(self, term: Term, passage: Passage, soft: Likeness) -> float:
        word = term.word
        if term.number is not None:
            return 1.0 if term.number.stands_in(passage.numbers) else 0.0
        if word.stem in passage.stems or word.lower in passage.lower:
            return 1.0
        if word.has_digit or len(word.surface) == 1:
            return 0.0
        slip = 0.0 if passage.recognised or len(word.surface) < 5 else self._best(self._printed, word, passage)
        if slip >= 0.8:  # of the reader of captions
            return 0.9
        if passage.recognised:
            spoken = [w.lower for w in passage.words]  # "Dashwood" may stand there as "dash would"
            heard = self._cached("spoken", word.lower, passage.text, lambda: self._ear().find(word.lower, spoken)[0])
            if heard >= 0.75:
                return 0.8 * heard
        if term.kind == "name":
            return 0.0
        if excludes(word.lower, passage.lower):
            return 0.0
        return max((soft(word.lower, w.lower) for w in passage.words if w.lower not in STOP), default=0.0)

    @staticmethod
    def _best(likeness: Callable[[Word, Word], float], word: Word, passage: Passage) -> float:
        return max((likeness(word, w) for w in passage.words), default=0.0)

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
