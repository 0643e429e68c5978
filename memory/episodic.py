"""An episode from its percepts: what a closed event holds, and the words that stand for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from ..records import LANES, Event, Lane, Percept, Vector


class Summariser(Protocol):
    """Puts an episode into a few words; a language model may stand behind it."""

    def __call__(self, percepts: Sequence[Percept]) -> str:
        """At most a sentence or two about percepts in order of time, or "" of nothing to say."""
        ...


class ExtractiveSummariser:
    """The episode's own words: captions first, then what was spoken, each once, whole words, within a length.

    Of an episode without words what was seen and heard in it, in the senses' words.
    """

    def __init__(self, chars: int = 200) -> None:
        self._chars = chars

    def __call__(self, percepts: Sequence[Percept]) -> str:
        said = _words(percepts, ("caption", "speech")) or _words(percepts, ("vision", "sound"))
        gist = " · ".join(said.values())
        if len(gist) <= self._chars:
            return gist
        head, gap, _ = gist[: self._chars].rpartition(" ")
        return (head if gap else gist[: self._chars - 1]).rstrip(" ·") + "…"


def _words(percepts: Sequence[Percept], lanes: Sequence[Lane]) -> dict[str, str]:
    """The words of some lanes, each once, lane by lane in order of time."""
    said: dict[str, str] = {}
    for lane in lanes:
        for percept in percepts:
            if percept.lane == lane and percept.text:
                words = " ".join(percept.text.split())
                said.setdefault(words.casefold(), words)
    return said


def unit_mean(vectors: Sequence[Vector]) -> Vector:
    """The mean of float32[d] unit vectors, at unit length; summed in double so that order hardly matters."""
    mean = np.mean(np.stack(vectors), axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


def in_order(percepts: Iterable[Percept]) -> list[Percept]:
    """Percepts of one stream in order of time, lanes in order of their names within an instant."""
    return sorted(percepts, key=lambda p: (p.t0_ns, p.t1_ns, p.lane, p.camera, p.ordinal))


def vectors_of_members(ordered: Iterable[Percept]) -> dict[str, Vector]:
    """space -> the mean of what percepts hold in it, unit length, of percepts in order (`in_order`)."""
    by_space: dict[str, list[Vector]] = {}
    for percept in ordered:
        if percept.space is not None and percept.vector is not None:
            by_space.setdefault(percept.space, []).append(percept.vector)
        for space, vector in percept.also.items():
            by_space.setdefault(space, []).append(vector)
    return {space: unit_mean(vectors) for space, vectors in sorted(by_space.items())}


def build_event(
    stream: str, t0_ns: int, t1_ns: int, ordinal: int, percepts: Iterable[Percept], summarise: Summariser
) -> Event:
    """The closed event over [t0_ns, t1_ns): the same for the same percepts in whatever order."""
    ordered = in_order(percepts)
    places = Counter(percept.place for percept in ordered if percept.place is not None)
    present = {percept.lane for percept in ordered}
    return Event(
        stream=stream,
        t0_ns=t0_ns,
        t1_ns=t1_ns,
        ordinal=ordinal,
        percepts=tuple(percept.id for percept in ordered),
        lanes=tuple(lane for lane in LANES if lane in present),
        vectors=vectors_of_members(ordered),
        gist=summarise(ordered),
        place=places.most_common(1)[0][0] if places else None,
    )
