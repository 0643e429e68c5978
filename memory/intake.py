"""What a memory does not take in, said in one line before anything of it is taken: so that what comes next is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import MnemeError
from ..records import Moment, Percept, Stream

FARTHEST_NS = 2**62
"""Nanoseconds from a stream's zero, at most (146 years): sums and differences of two times still are int64."""


def refuse_unreadable(stream: Stream) -> None:
    """`MnemeError` of a stream whose name or source is no text, or whose zero is no int64."""
    _refuse_words(f"stream {stream.id!r} of {stream.source!r}", (stream.id, stream.source, stream.digest))
    if not -(2**63) <= stream.epoch_ns < 2**63:
        raise MnemeError(f"stream {stream.id!r} begins {stream.epoch_ns} ns after 1970", "give a time within 292 years")


def refuse_unreadable_request(t0_ns: int | None, t1_ns: int | None, *words: str | None) -> None:
    """`MnemeError` of times or words that stand in no memory."""
    _refuse_words("what is asked for", words)
    _refuse_times("what is asked for", *(t_ns for t_ns in (t0_ns, t1_ns) if t_ns is not None))


def refuse_unstorable(moment: Moment, spaces: Mapping[str, int]) -> None:
    """`MnemeError` of a moment of which something could never be stored: it would keep back all that comes after it.

    spaces: name -> dimensions, of the memory; a vector in another one is not looked at here.
    """
    _refuse_times(f"a moment of stream {moment.stream!r}", moment.t_ns, moment.settled_ns)
    for percept in moment.percepts:
        what = f"a percept ({percept.lane}) of stream {percept.stream!r}"
        _refuse_times(what, percept.t0_ns, percept.t1_ns)
        words = (percept.stream, percept.camera, percept.text, percept.origin, percept.place)
        _refuse_words(f"{what} at {percept.t0_ns} ns", words)
        for name, numbers in _numbers(percept):
            if not np.isfinite(numbers).all():
                raise MnemeError(
                    f"{what} at {percept.t0_ns} ns has {name} with numbers that are not finite",
                    "look at what the encoder was given",
                )
        for space, vector in _vectors(percept):
            dim = spaces.get(space)
            if dim is not None and vector.shape != (dim,):
                raise MnemeError(
                    f"a vector of {vector.shape} came for space {space!r} of {dim} dimensions",
                    "use the encoder that the memory was made with",
                )


def refuse_far(stream: str, t_ns: int) -> None:
    """`MnemeError` of a time of a stream that is not counted so far."""
    _refuse_times(f"a time of stream {stream!r}", t_ns)


def _vectors(percept: Percept) -> list[tuple[str, Any]]:
    own = [] if percept.vector is None else [(percept.space or "", percept.vector)]
    return [*own, *percept.also.items()]


def _numbers(percept: Percept) -> list[tuple[str, Any]]:
    found = [(f"a vector of space {space!r}", vector) for space, vector in _vectors(percept)]
    found += [("tokens", percept.tokens)] if percept.tokens is not None else []
    found += [("a look", percept.look)] if percept.look is not None else []
    return [*found, ("a confidence", percept.confidence)]


def _refuse_times(what: str, *times_ns: int) -> None:
    for t_ns in times_ns:
        if not -FARTHEST_NS <= t_ns <= FARTHEST_NS:
            raise MnemeError(f"{what} is of {t_ns} ns, which is out of all time", "give times from the stream's zero")


def _refuse_words(what: str, words: tuple[str | None, ...]) -> None:
    for each in words:
        try:
            (each or "").encode()
        except UnicodeEncodeError as error:
            mend = "give text: half of a pair of UTF-16 or bytes of another encoding stand in it"
            raise MnemeError(f"{what} holds {each!r:.60}, which is no text", mend) from error
