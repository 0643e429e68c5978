"""Scoring of answers and event boundaries against a truth file, as issue 2 lays it down; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mneme.records import Answer, to_s

Question = Mapping[str, Any]
Truth = Mapping[str, Any]

WITHIN = frozenset(("speech", "caption", "image", "time"))
"""What a question may need and still be within the scope of the profile without pretrained towers."""
BY_TIME = frozenset(("speech-when", "caption-when", "image-query"))
"""Categories that are answered by a moment alone."""
TOLERANCE_S = 1.0
_NUMBERS = {
    word: n
    for n, words in enumerate(
        ("zero no none never", "one once", "two twice", "three thrice", "four", "five", "six", "seven", "eight", "nine",
         "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
         "twenty")
    )
    for word in words.split(" ")
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """One question's outcome."""

    id: str
    category: str
    question: str
    within: bool
    """Whether it needs no more than speech, captions, pictures and time."""
    answerable: bool
    right: bool
    refused: bool
    expected: str
    got: str
    spans_s: tuple[tuple[float, float], ...]
    """The evidence that was cited, best first."""


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Event boundaries found within a second of a cut, each cut and each find used once."""

    hits: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        return self.hits / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.hits / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """2 hits / (found + true); 1 where there is nothing to find and nothing was found."""
        return 2 * self.hits / (self.found + self.true) if self.found + self.true else 1.0


def is_within(question: Question) -> bool:
    """Whether a question's needs stay within speech, caption, image and time."""
    return set(question["needs"]) <= WITHIN


def judge(question: Question, answer: Answer) -> Verdict:
    """Scores one answer.

    Unanswerable: the answer abstains. Count: its first number is the true one. Everything else: the best evidence
    overlaps a true span within 1 s and is no longer than max(10 s, 1.5 x that span); unless the question is answered by
    a moment alone, an accepted string stands in the answer as well.
    """
    spans = tuple((to_s(e.t0_ns), to_s(e.t1_ns)) for e in answer.evidence)
    if question["unanswerable"]:
        right = answer.abstained
    elif answer.abstained:
        right = False
    elif question["category"] == "count":
        right = first_number(answer.text) == first_number(str(question["answer"]))
    else:
        right = bool(spans) and any(_supports(spans[0], (t0, t1)) for t0, t1 in question["evidence"])
        if question["category"] not in BY_TIME:
            right = right and any(accepted.lower() in answer.text.lower() for accepted in question["accept"])
    return Verdict(
        id=question["id"],
        category=question["category"],
        question=question["question"] + (f" [{question['image']}]" if question.get("image") else ""),
        within=is_within(question),
        answerable=not question["unanswerable"],
        right=right,
        refused=answer.abstained,
        expected=question["answer"],
        got=answer.text,
        spans_s=spans,
    )


def score(questions: Sequence[Question], answers: Sequence[Answer]) -> list[Verdict]:
    """One verdict a question, in order."""
    return [judge(question, answer) for question, answer in zip(questions, answers, strict=True)]


def first_number(text: str) -> int | None:
    """The first number in a text, in digits or in words up to twenty (and once, twice); None without one."""
    for word in re.findall(r"\d+|[a-z]+", text.lower()):
        if word.isdigit():
            return int(word)
        if word in _NUMBERS:
            return _NUMBERS[word]
    return None


def score_boundaries(found_s: Sequence[float], truth: Truth) -> Boundaries:
    """Compares boundaries (seconds) with the hard cuts.

    Those found inside a segment whose clip is `house` (a walk through rooms) and matched by no cut count for nothing.
    """
    left = sorted(found_s)
    hits = 0
    for cut_s in sorted(truth["boundaries_s"]):
        near = next((t for t in left if abs(t - cut_s) <= TOLERANCE_S + 1e-9), None)
        if near is not None:
            left.remove(near)
            hits += 1
    houses = [(s["start_s"], s["end_s"]) for s in truth["segments"] if s["clip"] == "house"]
    false = sum(not any(t0 < t < t1 for t0, t1 in houses) for t in left)
    return Boundaries(hits, hits + false, len(truth["boundaries_s"]))


def voice_of(question: Question, truth: Truth) -> str:
    """`human` where every line that bears a question out is a recorded human voice, else `synthetic`."""
    lines = [x for x in truth["speech"] if any(x["start_s"] < b and x["end_s"] > a for a, b in question["evidence"])]
    return "human" if lines and all(not line["synthetic"] for line in lines) else "synthetic"


def _supports(cited: tuple[float, float], true: tuple[float, float]) -> bool:
    overlaps = cited[0] <= true[1] + TOLERANCE_S and cited[1] >= true[0] - TOLERANCE_S
    return overlaps and cited[1] - cited[0] <= max(10.0, 1.5 * (true[1] - true[0])) + 1e-6
