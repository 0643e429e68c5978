"""From a phrase to the spans that hold it: recall widely, read neighbours together, ground strictly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..memory.recall import Query, recall
from ..operators.retrieve import cross_modal_windows
from ..records import NS_PER_S, Lane, Percept, Vector
from .claim import Claim, claim_of
from .ground import Grounder, Likeness, Passage
from .question import Phrase

if TYPE_CHECKING:
    from ..memory.snapshot import Snapshot

JOIN_NS = 3 * NS_PER_S // 2
"""Speech percepts with a shorter pause between them are read as one text."""


REACH_NS = 4 * NS_PER_S
"""Time that one more neighbour may take: how far around a hit its neighbours are looked for."""


@dataclass(frozen=True, slots=True)
class ReasonSettings:
    """How strict the extractive reasoner is."""

    recall_limit: int = 24
    """Percepts that recall gives to be read closely."""
    max_joined: int = 4
    """Neighbouring percepts that are read as one text, at most."""
    accept: float = 0.5
    """Least score at which something counts as found."""
    semantic_share: float = 0.3
    """Share of sentence similarity in the score; the rest is grounding."""
    semantic_floor: float = 0.15
    semantic_full: float = 0.65
    """Cosines of all-MiniLM-L6-v2 between unrelated texts stay under the floor, paraphrases reach the full mark."""


@dataclass(frozen=True, slots=True)
class Found:
    """A span that may hold a phrase."""

    percepts: tuple[Percept, ...]
    score: float
    """0 to 1: grounding and similarity together."""
    missing: tuple[str, ...] = ()
    """What the phrase names and this span does not hold."""

    @property
    def t0_ns(self) -> int:
        return min(p.t0_ns for p in self.percepts)

    @property
    def t1_ns(self) -> int:
        return max(p.t1_ns for p in self.percepts)

    @property
    def stream(self) -> str:
        return self.percepts[0].stream

    @property
    def lane(self) -> Lane:
        return self.percepts[0].lane

    @property
    def text(self) -> str:
        return (
            " ".join((p.text or "") for p in self.percepts) if len(self.percepts) > 1 else self.percepts[0].text or ""
        )


class Finder:
    """Finds phrases in one snapshot, for one question."""

    def __init__(
        self,
        snapshot: Snapshot,
        embed: Callable[[Sequence[str]], np.ndarray],
        space: str,
        grounder: Grounder,
        settings: ReasonSettings,
        stream: str | None = None,
        root: Path | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.stream = stream
        self.root = root
        """The memory's folder, against which thumbnails resolve."""
        self.settings = settings
        self._embed = embed
        self._space = space
        self._grounder = grounder
        self.recall_s = 0.0
        """Time spent in recall, for the timings of an answer."""

    def find(self, phrase: Phrase, lanes: Sequence[Lane], span_ns: tuple[int, int] | None = None) -> list[Found]:
        """Spans that hold `phrase`, best first, accepted or not (see `accepted`)."""
        claim = claim_of(phrase)
        if claim.empty:
            return []
        started = time.perf_counter()
        vector: Vector = self._embed([claim.text])[0]
        query = Query(
            words=claim.text,
            vectors={self._space: vector},
            lanes=tuple(lanes),
            stream=self.stream,
            span_ns=span_ns,
            limit=self.settings.recall_limit,
        )
        hits = [hit for hit in recall(self.snapshot, query) if hit.percept.text]
        self.recall_s += time.perf_counter() - started
        if not hits:
            return []
        cosine = {hit.percept.id: hit.similarity for hit in hits}
        passages = self._passages([hit.percept for hit in hits], claim)
        soft = self._grounder.soften(claim, passages)
        found = [self._weigh(claim, passage, soft, cosine) for passage in passages]
        return _best_spans(found)

    def accepted(self, found: Sequence[Found]) -> list[Found]:
        """Those that lack nothing and score well."""
        return [f for f in found if not f.missing and f.score >= self.settings.accept]

    def between(self, lanes: Sequence[Lane], stream: str, t0_ns: int, t1_ns: int) -> list[Percept]:
        """Percepts with words of some lanes that overlap a span, in order of time."""
        percepts = self.snapshot.percepts(lanes=tuple(lanes), stream=stream, t0_ns=t0_ns, t1_ns=t1_ns)
        return [p for p in percepts if p.text]

    def cosines(self, asked: str, there: Sequence[str]) -> np.ndarray:
        """float32[n]: the cosines of a word or phrase with others, in the text tower's space."""
        vectors = self._embed([asked, *there])
        return np.asarray(vectors[1:] @ vectors[0])

    def nearest_ids(self, text: str, lanes: Sequence[Lane]) -> set[str]:
        """Ids of the percepts of some lanes that are nearest to a text; none of a lane in another space."""
        started = time.perf_counter()
        hits = self.snapshot.nearest(
            self._space,
            self._embed([text])[0],
            limit=self.settings.recall_limit,
            lanes=tuple(lanes),
            stream=self.stream,
        )
        self.recall_s += time.perf_counter() - started
        return {hit.percept.id for hit in hits}

    def _weigh(self, claim: Claim, passage: Passage, soft: Likeness, cosine: dict[str, float | None]) -> Found:
        s = self.settings
        near = max((cosine.get(p.id) or 0.0 for p in passage.percepts), default=0.0)
        grounding = self._grounder.ground(claim, passage, soft, near)
        semantic = min(max((near - s.semantic_floor) / (s.semantic_full - s.semantic_floor), 0.0), 1.0)
        score = (1 - s.semantic_share) * grounding.score + s.semantic_share * semantic
        # What a recogniser is unsure of counts less, but not little: its confidence orders, and is not calibrated.
        score *= min(max(float(np.mean([p.confidence for p in passage.percepts])) + 0.5, 0.8), 1.0)
        # Of two spans that hold it, the shorter and the simpler.
        length_s = (max(p.t1_ns for p in passage.percepts) - min(p.t0_ns for p in passage.percepts)) / NS_PER_S
        score -= 0.02 * (len(passage.percepts) - 1) + 0.03 * float(np.log2(max(length_s / 8, 1.0)))
        return Found(passage.percepts, float(score), grounding.missing)

    def _passages(self, percepts: Sequence[Percept], claim: Claim) -> list[Passage]:
        """Each hit alone and, in speech, with its neighbours across short pauses (a cue is not a sentence)."""
        passages: dict[tuple[str, ...], tuple[Percept, ...]] = {(p.id,): (p,) for p in percepts}
        most = self.settings.max_joined
        spoken = [p for p in percepts if p.lane == "speech"]
        if sum(len(c.terms) for c in claim.chunks) < 2 and not claim.quotes:
            spoken = []
        for stream in sorted({p.stream for p in spoken}):
            hits = [p for p in spoken if p.stream == stream]
            # Hits stand close together: their surroundings are read once a window, not once a hit.
            windows = cross_modal_windows([(p.t0_ns, p.t1_ns) for p in hits], radius_ns=most * REACH_NS)
            around = [p for t0, t1 in windows for p in self.between(("speech",), stream, t0, t1)]
            for hit in hits:
                run = run_around(around, hit.id)
                for size in range(2, most + 1):
                    for start in range(len(run) - size + 1):
                        window = tuple(run[start : start + size])
                        if any(p.id == hit.id for p in window):
                            passages.setdefault(tuple(p.id for p in window), window)
        return [Passage.of(window) for window in passages.values()]


def run_around(percepts: Sequence[Percept], centre: str) -> list[Percept]:
    """The percepts that pauses shorter than `JOIN_NS` join to the one with id `centre`."""
    ordered = sorted(percepts, key=lambda p: (p.t0_ns, p.t1_ns, p.id))
    at = next((i for i, p in enumerate(ordered) if p.id == centre), None)
    if at is None:
        return []
    joined = [b.t0_ns - a.t1_ns < JOIN_NS for a, b in pairwise(ordered)]
    first = last = at
    while first > 0 and joined[first - 1]:
        first -= 1
    while last < len(joined) and joined[last]:
        last += 1
    return ordered[first : last + 1]


def _best_spans(found: list[Found]) -> list[Found]:
    """Best first; a span that shares a percept with a better one is dropped."""
    found.sort(key=lambda f: (bool(f.missing), -f.score, f.t0_ns, f.percepts[0].id))
    kept: list[Found] = []
    taken: set[str] = set()
    for item in found:
        ids = {p.id for p in item.percepts}
        if not ids & taken:
            kept.append(item)
            taken |= ids
    return kept
