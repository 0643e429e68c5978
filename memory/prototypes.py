"""Prototypes: the tokens of long-term memory, each the sum of what single events gave to it.

A prototype keeps the contribution of every event that fed it, its mass m_e and its weighted mean v_e, so that its value
sum_e m_e v_e / sum_e m_e is always what its events say, and one of them can be taken out again exactly. Where it was
made by copying a token as its key (XMem), it goes with the event that the token was of.

Vectors are rounded to float16 as they come in: what is held and what stands on the disk are the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Vector

BYTES = 2
"""Of a number of a vector."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one event gave to a prototype."""

    event: str
    mass: float
    """How many tokens of the event it stands for, above 0."""
    mean: Vector
    """float32[d], their weighted mean, of numbers that float16 holds."""
    t_ns: int
    """Their weighted mean time."""


class Parts(tuple[Part, ...]):
    """What the events gave, in the order in which they came; never nothing. It may not be changed: what it comes to is
    worked out once, however often the prototype's use is noted."""

    @cached_property
    def mean(self) -> Vector:
        """float32[d], by mass."""
        if len(self) == 1:
            return self[0].mean
        masses = np.array([part.mass for part in self])
        mean = masses @ np.stack([part.mean for part in self]).astype(np.float64) / masses.sum()
        return np.asarray(mean, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Prototype:
    """One token of long-term memory."""

    parts: Parts
    """Of each event that fed it one."""
    key: Vector | None = None
    """float32[d], the token that it was made of (XMem); None: it is looked up by its value."""
    owner: str | None = None
    """The event whose token the key is."""
    use: float = 1.0
    """Attention it has received, with 1 for the token that it was made of (XMem, section 3.3)."""
    life: float = 1.0
    """How many tokens could have given it some, with 1 for its own."""

    @property
    def usage(self) -> float:
        """Attention per token that could have given some: the least used go first."""
        return self.use / self.life

    @property
    def mass(self) -> float:
        """How many tokens it stands for."""
        return sum(part.mass for part in self.parts)

    @property
    def value(self) -> Vector:
        """float32[d], the mean of what its events gave it, by mass; not of unit length."""
        return self.parts.mean

    @property
    def looked_up(self) -> Vector:
        """float32[d], what it is found by."""
        return self.value if self.key is None else self.key

    @property
    def t_ns(self) -> int:
        """The mean time of what it holds."""
        first = self.parts[0].t_ns
        return first + round(sum((part.t_ns - first) * part.mass for part in self.parts) / self.mass)

    @property
    def events(self) -> frozenset[str]:
        """The events that fed it."""
        return frozenset(part.event for part in self.parts)

    @property
    def vectors(self) -> int:
        """How many vectors it takes to hold it."""
        return len(self.parts) + (self.key is not None)

    def fed(self, more: Iterable[Part]) -> Prototype:
        """The prototype with more parts; what one event gave in several is one part."""
        held = {part.event: part for part in self.parts}
        for part in more:
            held[part.event] = joined(held[part.event], part) if part.event in held else part
        return replace(self, parts=Parts(held.values()))

    def without(self, events: Collection[str]) -> Prototype | None:
        """The prototype as its other events make it; None where its key or all that it holds is of these."""
        left = Parts(part for part in self.parts if part.event not in events)
        if not left or self.owner in events:
            return None
        return self if len(left) == len(self.parts) else replace(self, parts=left)

    def renamed(self, names: Mapping[str, str]) -> Prototype:
        """The same prototype, with events under other ids."""
        parts = Parts(replace(part, event=names.get(part.event, part.event)) for part in self.parts)
        return replace(self, parts=parts, owner=self.owner and names.get(self.owner, self.owner))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The tokens of an event that has closed, in order of time."""

    event: str
    vectors: Vector
    """float32[n, d] of unit length."""
    t_ns: NDArray[np.int64]
    """int64[n]"""
    usage: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64[n], how far each was like what the event went on to show; empty: not known."""

    def part(self, rows: Sequence[int] | NDArray[Any], mean: Vector | None = None) -> Part:
        """What these of them give, their mean or the one given."""
        vectors = self.vectors[rows].mean(axis=0, dtype=np.float64) if mean is None else mean
        first = int(self.t_ns[rows].min())
        t_ns = first + round(float((self.t_ns[rows] - first).mean()))
        return Part(self.event, float(len(rows)), half(vectors), t_ns)


def joined(one: Part, other: Part) -> Part:
    """Two parts of one event as one."""
    mass = one.mass + other.mass
    mean = (one.mass * one.mean.astype(np.float64) + other.mass * other.mean) / mass
    return Part(one.event, mass, half(mean), one.t_ns + round((other.t_ns - one.t_ns) * other.mass / mass))


def merged(prototypes: Sequence[Prototype]) -> Prototype:
    """Several prototypes without keys as one: their parts, their use, and the longest of their lives."""
    first = prototypes[0]
    whole = first.fed(part for other in prototypes[1:] for part in other.parts)
    life = max(each.life for each in prototypes)
    return replace(whole, use=life * sum(each.usage for each in prototypes), life=life)


def half(vector: NDArray[Any]) -> Vector:
    """A vector rounded to what float16 holds, as float32."""
    return np.asarray(vector, dtype=np.float16).astype(np.float32)


def unit(vector: Any) -> Vector:
    """float[d] at unit length, as float32; zeros stay zeros."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
