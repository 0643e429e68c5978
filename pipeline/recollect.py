"""From a query, words or a picture, to the percepts that it brings back: the seeds of recalled tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..encoders.profiles import Embedded
from ..errors import QuestionError, SettingsError
from ..memory.recall import Query, recall
from ..memory.snapshot import Snapshot
from ..records import LANES, Lane, Percept, Picture, Space
from .picture import MAX_PIXELS, read_picture
from .question import MAX_CHARS
from .sight import look_of

SEEDS = 8
"""Hits in other lanes, of which each brings back what the wanted lane held meanwhile."""
MOST_HITS = 1024
WORDS: tuple[Lane, ...] = ("speech", "caption")


def space_of(profile: Embedded, lane: str) -> Space:
    """The space in which a lane is perceived. Errors: `SettingsError` for an unknown lane or one without encoder."""
    if lane not in LANES:
        raise SettingsError(f"there is no lane {lane!r}", f"choose from {', '.join(LANES)}")
    if lane == "state":
        raise SettingsError(f"profile {profile.name!r} has no encoder for the lane 'state'", "choose another lane")
    if lane == "vision":
        return profile.vision.spec.space
    return profile.sound.spec.space if lane == "sound" else profile.text.spec.space


def checked(query: str | Path | Picture) -> str | Picture:
    """Words without needless space, or a picture uint8[H, W, 3], read where it is a path. Errors: `QuestionError`."""
    if isinstance(query, Path):
        return read_picture(query)
    if isinstance(query, str):
        words = " ".join(query.encode("utf-8", "replace").decode("utf-8").split())
        if not any(c.isalnum() for c in words):
            raise QuestionError("the query is empty", 'ask with words, e.g. "red mug", or leave it out')
        if len(words) > MAX_CHARS:
            raise QuestionError(f"the query has {len(words)} characters", f"ask with at most {MAX_CHARS}")
        return words
    if not (isinstance(query, np.ndarray) and query.dtype == np.uint8 and query.ndim == 3 and query.shape[2] == 3):
        raise QuestionError("the query is neither words nor a picture", "give a string, or uint8[H, W, 3]")
    if min(query.shape[:2]) < 16 or query.shape[0] * query.shape[1] > MAX_PIXELS:
        raise QuestionError(
            f"the picture is {query.shape[1]}x{query.shape[0]}", "give one between 16 pixels and 100 Mpixel"
        )
    return query


def recollect(
    query: str | Picture, snapshot: Snapshot, profile: Embedded, lane: Lane, stream: str | None, limit: int
) -> list[Percept]:
    """Percepts that a checked query brings back, best first, without vectors.

    Words are looked for in speech and captions, by meaning and by letter; a picture among what was seen. Of the lane
    itself where the query can be put into its space (at most `limit`), else of another lane (`SEEDS`).
    """
    if isinstance(query, str):
        text = profile.text
        own = lane in WORDS
        asked = Query(
            words=query,
            vectors={text.spec.space.name: text.encode([query]).vectors[0]},
            lanes=(lane,) if own else WORDS,
            stream=stream,
            limit=min(limit, MOST_HITS) if own else SEEDS,
        )
        return [hit.percept for hit in recall(snapshot, asked)]
    most = min(limit, MOST_HITS) if lane == "vision" else SEEDS
    look = look_of(profile)
    if look is None:
        raise SettingsError(f"profile {profile.name!r} cannot recognise a picture", "give the query in words")
    best: dict[str, tuple[float, Percept]] = {}
    for view in look.encode_query(query).vectors:
        for hit in snapshot.nearest(look.spec.space.name, view, limit=most, lanes=("vision",), stream=stream):
            known = best.get(hit.percept.id)
            if known is None or known[0] < hit.similarity:
                best[hit.percept.id] = (hit.similarity, hit.percept)
    ranked = sorted(best.values(), key=lambda pair: (-pair[0], pair[1].t0_ns, pair[1].id))
    return [percept for _, percept in ranked[:most]]
