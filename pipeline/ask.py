"""Ask: question -> route -> recall -> evidence -> reason, over one snapshot of a memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..encoders.base import TextEncoder
from ..memory.snapshot import Snapshot
from ..records import Answer, Evidence, Percept, Picture
from .evidence import Finder, ReasonSettings
from .ground import Ear, Grounder, Likeness
from .places import PlaceNames
from .question import read
from .reason import Reasoner, Support
from .sight import Sight, conclude_picture

SOFT_FLOOR, SOFT_FULL = 0.45, 0.80
"""Cosines of all-MiniLM-L6-v2 between single words: unrelated ones stay under the first, synonyms reach the second."""


@dataclass(frozen=True, slots=True)
class Faculties:
    """What a question needs besides the memory: loaded once a process, shared by all questions."""

    text: TextEncoder
    ear: Callable[[], Ear]
    sight: Callable[[], Sight]


def word_likeness(text: TextEncoder) -> Callable[[Sequence[str], Sequence[str]], Likeness]:
    """Soft likeness between two sets of words: their cosine, scaled from `SOFT_FLOOR`..`SOFT_FULL` to 0..1."""

    def between(asked: Sequence[str], there: Sequence[str]) -> Likeness:
        vectors = text.encode([*asked, *there]).vectors
        cosines = vectors[: len(asked)] @ vectors[len(asked) :].T  # [asked, there]
        scaled = np.clip((cosines - SOFT_FLOOR) / (SOFT_FULL - SOFT_FLOOR), 0.0, 1.0)
        rows = {w: i for i, w in enumerate(asked)}
        columns = {w: i for i, w in enumerate(there)}

        def likeness(a: str, b: str) -> float:
            return float(scaled[rows[a], columns[b]]) if a in rows and b in columns else 0.0

        return likeness

    return between


def ask(
    question: str,
    snapshot: Snapshot,
    faculties: Faculties,
    reasoner: Reasoner,
    settings: ReasonSettings,
    *,
    image: Picture | None = None,
    stream: str | None = None,
    root: Path | None = None,
) -> Answer:
    """Answer a question from a snapshot.

    `image`: uint8[H, W, 3], a picture that the question is about. `stream`: look only there. `root`: the memory's
    folder, against which thumbnails resolve. Errors: `QuestionError` for an empty or endless question.
    """
    started = time.perf_counter()
    parsed = read(question)
    grounder = Grounder(word_likeness(faculties.text), faculties.ear)
    finder = Finder(
        snapshot,
        lambda texts: faculties.text.encode(texts).vectors,
        faculties.text.spec.space.name,
        grounder,
        settings,
        stream,
        root,
    )
    if image is not None:
        conclusion = conclude_picture(image, faculties.sight(), finder)
    else:
        conclusion = reasoner.conclude(parsed, finder)
    reasoned = time.perf_counter()
    cited = () if conclusion.abstained else conclusion.support
    names = PlaceNames(snapshot.places(stream)) if any(s.percept.place is not None for s in cited) else PlaceNames(())
    evidence = tuple(_evidence(s, snapshot, root, names) for s in cited)
    finished = time.perf_counter()
    timings = {
        "recall": finder.recall_s * 1e3,
        "reason": (reasoned - started - finder.recall_s) * 1e3,
        "evidence": (finished - reasoned) * 1e3,
        "total": (finished - started) * 1e3,
    }
    return Answer(conclusion.text, conclusion.abstained, round(conclusion.confidence, 3), evidence, timings)


def _evidence(support: Support, snapshot: Snapshot, root: Path | None, names: PlaceNames) -> Evidence:
    """A support as evidence; one without a picture of its own gets the sight that it was said or heard over."""
    percept = support.percept
    thumbnail = percept.thumbnail
    around: list[Percept] = []
    if thumbnail is None or percept.place is not None:
        around = snapshot.percepts(
            lanes=("vision",), stream=support.stream, t0_ns=support.t0_ns - _AROUND_NS, t1_ns=support.t1_ns + _AROUND_NS
        )
    if thumbnail is None:
        near = [p for p in around if p.thumbnail]
        if near:
            before = [p for p in near if p.t0_ns <= support.t0_ns]  # a sight holds until the next one
            thumbnail = (before[-1] if before else near[0]).thumbnail
    path = str((root / thumbnail).resolve()) if root is not None and thumbnail else thumbnail
    return Evidence(
        support.stream,
        support.t0_ns,
        support.t1_ns,
        percept.lane,
        support.text,
        round(support.score, 3),
        path,
        names.title(percept, around),
        percept.id,
    )


_AROUND_NS = 30 * 1_000_000_000
