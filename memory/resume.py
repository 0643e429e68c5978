"""Where an interrupted recording is joined to what it had stored.

On going on, the senses begin anew some time before the last closed event's end, the seam. Most of what they find
before it is what the interrupted run found, and stored; but a span that lies across the seam may be cut otherwise now
(an utterance that was heard in two is heard as one), and then nothing that is stored holds the part behind the seam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..records import Lane, Percept

_WORDS_AND_SOUND: frozenset[Lane] = frozenset({"speech", "caption", "sound"})
"""A sight or a state is of its instant: one that begins before the seam is no loss behind it."""
_CLIPPED = 1 << 16
"""Ordinals of clipped percepts begin here, out of the way of what starts at the seam by itself."""


class Seam:
    """The end of the last closed event, and what is stored that reaches beyond it."""

    def __init__(self, at_ns: int, stored: Iterable[Percept] = ()) -> None:
        """stored: at least every stored percept of the stream that ends or starts behind `at_ns`."""
        self.at_ns = at_ns
        self._stored = [percept for percept in stored if percept.t1_ns > at_ns]
        self._ordinal = max((percept.ordinal for percept in self._stored), default=0) | _CLIPPED

    def keep(self, stays: Callable[[Percept], bool]) -> None:
        """Lets go of stored percepts that do not stay."""
        self._stored = [percept for percept in self._stored if stays(percept)]

    def join(self, percept: Percept) -> Percept | None:
        """The percept as it has to be remembered, or None of one that is remembered, or was left out, already.

        What starts behind the seam is taken as it is. Of words and sound that lie across it, the part behind is kept
        unless stored percepts of the same thing cover at least half of that part.
        """
        if percept.t0_ns >= self.at_ns:
            return percept
        if percept.lane not in _WORDS_AND_SOUND or percept.t1_ns <= self.at_ns:
            return None
        same = [other for other in self._stored if _thing(other) == _thing(percept)]
        spans = [min(other.t1_ns, percept.t1_ns) - max(other.t0_ns, self.at_ns) for other in same]
        if 2 * sum(span for span in spans if span > 0) >= percept.t1_ns - self.at_ns:
            return None
        self._ordinal += 1
        return replace(percept, t0_ns=self.at_ns, ordinal=self._ordinal)


def _thing(percept: Percept) -> tuple[str, ...]:
    """What makes two percepts of overlapping spans the same thing. One voice is heard at a time, in whatever words."""
    words = "" if percept.lane == "speech" else percept.text or ""
    return (percept.lane, percept.camera, percept.origin, words)
