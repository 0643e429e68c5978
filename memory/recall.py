"""Recall: one ranking of percepts from words and vectors together.

Each cue ranks on its own: words by BM25, each vector by cosine in its space. Cosines of different spaces and BM25
cannot be compared, so ranks are fused, not scores (reciprocal rank fusion, Cormack et al. 2009, SIGIR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..operators.retrieve import rank_fusion
from ..records import Lane, Percept, Vector
from .snapshot import Snapshot

_DEPTH = 4
"""Each cue is asked for this many times the limit: what several cues find somewhere down beats what one finds high."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is looked for, and where. Without a cue, what lies in the span, in order of time."""

    words: str | None = None
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    """space -> float32[d]"""
    lanes: tuple[Lane, ...] | None = None
    stream: str | None = None
    span_ns: tuple[int, int] | None = None
    """[t0_ns, t1_ns): percepts that overlap it."""
    limit: int = 20


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """A percept that was recalled."""

    percept: Percept
    score: float
    """Of the fused ranking; 0 of what was found by its time alone."""
    similarity: float | None = None
    """Its best cosine to a vector of the query, where one found it."""
    words_score: float | None = None
    """Its BM25 score, where words found it."""


def recall(snapshot: Snapshot, query: Query) -> list[Recalled]:
    """The percepts that fit the query best, at most `limit`, best first; all filters hold for every one."""
    t0_ns, t1_ns = query.span_ns if query.span_ns is not None else (None, None)
    if query.words is None and not query.vectors:
        listed = snapshot.percepts(lanes=query.lanes, stream=query.stream, t0_ns=t0_ns, t1_ns=t1_ns)
        return [Recalled(percept, score=0.0) for percept in listed[: query.limit]]
    depth = _DEPTH * query.limit
    percepts: dict[str, Percept] = {}
    similarity: dict[str, float] = {}
    words_score: dict[str, float] = {}
    rankings: list[list[str]] = []
    for space, vector in query.vectors.items():
        near = snapshot.nearest(
            space, vector, limit=depth, lanes=query.lanes, stream=query.stream, t0_ns=t0_ns, t1_ns=t1_ns
        )
        rankings.append([hit.percept.id for hit in near])
        for hit in near:
            percepts[hit.percept.id] = hit.percept
            similarity[hit.percept.id] = max(hit.similarity, similarity.get(hit.percept.id, -1.0))
    if query.words is not None and query.words.strip():
        matched = snapshot.matching(
            query.words, limit=depth, lanes=query.lanes, stream=query.stream, t0_ns=t0_ns, t1_ns=t1_ns
        )
        rankings.append([hit.percept.id for hit in matched])
        for hit in matched:
            percepts[hit.percept.id] = hit.percept
            words_score[hit.percept.id] = hit.similarity
    fused = rank_fusion(rankings)
    return [
        Recalled(percepts[id], score, similarity.get(id), words_score.get(id)) for id, score in fused[: query.limit]
    ]
