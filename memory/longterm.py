"""Long-term memory of one stream: a fixed number of prototypes a lane and space, made of its events as they close.

An event's tokens are chosen by the working bank (`token_bank`), read the prototypes, whose use grows by the attention
they get, and are consolidated with them (`consolidations`). What an event gave can be taken out again (`erase`).

Feeding is a function of the closed events and their percepts alone, in the order of the events. So what stands on the
disk may be some events behind: whoever loads it feeds it those (`token_state`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import MnemeError
from ..records import Event, Lane, Percept, Vector
from .consolidations import ATTENTIVE, WAYS, Bounds
from .prototypes import BYTES, Candidates, Parts, Prototype
from .settings import MemorySettings, Way
from .token_bank import TEMPERATURE, candidates_of

LANES: frozenset[Lane] = frozenset({"vision", "sound"})
"""The lanes that have long-term prototypes: words are few, and are found by themselves."""
_READ = 30
"""Prototypes that one token gives its attention to, at most (XMem's top-k)."""

Key = tuple[Lane, str]
"""Lane and space."""


@dataclass(frozen=True, slots=True)
class LongTermSettings:
    """How the past is kept; what is stored already is not made anew when they change."""

    consolidation: Way = "merge"
    bounds: Bounds = field(default_factory=Bounds)


def longterm_of(settings: MemorySettings) -> LongTermSettings:
    """What the settings of a memory say of it."""
    bounds = Bounds(prototypes=settings.prototypes, events=settings.prototype_events)
    return LongTermSettings(settings.consolidation, bounds)


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """The prototypes of one lane and space; never changed, only followed by another."""

    prototypes: tuple[Prototype, ...] = ()

    @property
    def bytes(self) -> int:
        """Of the vectors that it holds."""
        return sum(p.vectors * len(p.looked_up) * BYTES for p in self.prototypes)

    def fed(self, new: Candidates, settings: LongTermSettings) -> Bank:
        """The bank after an event."""
        attentive = settings.consolidation in ATTENTIVE
        held = self._read(new.vectors) if attentive else list(self.prototypes)
        return Bank(tuple(WAYS[settings.consolidation](held, new, settings.bounds)))

    def nearest(self, query: Vector) -> list[tuple[str, float]]:
        """(event, cosine) of all that is held, keys and what each event gave, the most alike first."""
        vectors = [(part.event, part.mean) for p in self.prototypes for part in p.parts]
        vectors += [(p.owner, p.key) for p in self.prototypes if p.key is not None and p.owner is not None]
        if not vectors:
            return []
        rows = np.stack([vector for _, vector in vectors])
        alike = rows @ query / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(query), 1e-12)
        return [(vectors[i][0], float(alike[i])) for i in np.argsort(-alike, kind="stable").tolist()]

    def without(self, events: Collection[str]) -> Bank:
        """The bank as the other events make it."""
        return Bank(tuple(left for p in self.prototypes if (left := p.without(events)) is not None))

    def renamed(self, names: Mapping[str, str]) -> Bank:
        """The same bank, with events under other ids."""
        return Bank(tuple(p.renamed(names) for p in self.prototypes))

    def handed_on(self, gone: Collection[str], made: Sequence[Event]) -> Bank:
        """The same bank, with what these events gave given by those that lie over its time, end to end, instead."""
        return Bank(tuple(_handed_on(p, gone, made) for p in self.prototypes))

    def _read(self, tokens: Vector) -> list[Prototype]:
        """The prototypes after tokens[n, d] gave them their attention, softmax(cos / T) over the nearest."""
        if not self.prototypes:
            return []
        import torch

        from ..operators.affinity import similarity, top_k_affinity, usage

        keys = torch.nn.functional.normalize(torch.from_numpy(np.stack([p.looked_up for p in self.prototypes])), dim=1)
        n, dim = keys.shape
        shrinkage = torch.full((n,), dim**0.5 / (2 * TEMPERATURE))
        affinity = top_k_affinity(similarity(keys, torch.from_numpy(tokens), shrinkage), _READ)
        given = usage(affinity, n).tolist()
        return [
            replace(p, use=p.use + more, life=p.life + len(tokens))
            for p, more in zip(self.prototypes, given, strict=True)
        ]


class LongTerm:
    """The banks of one recording of a stream. Not for two threads at once."""

    def __init__(
        self,
        settings: LongTermSettings | None = None,
        banks: Mapping[Key, Bank] | None = None,
        events: int = 0,
        frozen: bool = False,
    ) -> None:
        """events: how many of the stream's closed events it has taken up, from the first on.

        frozen: shared by readers; `feed` and `erase` raise `MnemeError`.
        """
        self.settings = settings or LongTermSettings()
        self.banks: dict[Key, Bank] = dict(banks or {})
        self.events = events
        self.frozen = frozen

    def copy(self) -> LongTerm:
        """One that can be fed while this one stays as it is. O(banks)."""
        return LongTerm(self.settings, self.banks, self.events)

    def feed(self, event: Event, percepts: Iterable[Percept]) -> None:
        """Takes up a closed event with its percepts, in order of time (`episodic.in_order`). Bounded time and memory.

        Events come in order, each once; one that was taken up already is passed over.
        """
        self._refuse_frozen()
        if event.ordinal < self.events:
            return
        self._take_up(event, percepts)
        self.events = event.ordinal + 1

    def recast(
        self, gone: Sequence[Event], names: Mapping[str, str], made: Sequence[tuple[Event, Iterable[Percept]]]
    ) -> None:
        """Events were cut otherwise (`correction`): what `gone` gave goes, what was made of them is fed now.

        names: ids of later events -> their new ones. Of `gone` it has taken up the first at least; made: each with its
        percepts, in order.
        """
        known = sum(event.ordinal < self.events for event in gone)
        self.erase({event.id for event in gone})
        self.banks = {key: bank.renamed(names) for key, bank in self.banks.items()}
        for event, percepts in made:
            self._take_up(event, percepts)
        self.events += len(made) - known

    def handed_on(self, gone: Sequence[Event], names: Mapping[str, str], made: Sequence[Event]) -> None:
        """As `recast`, of events whose percepts are not all there any more: what they gave stays, and is of `made`.

        It has taken up all of `gone`.
        """
        self._refuse_frozen()
        ids = {event.id for event in gone}
        self.banks = {key: bank.handed_on(ids, made).renamed(names) for key, bank in self.banks.items()}
        self.events += len(made) - len(gone)

    def _take_up(self, event: Event, percepts: Iterable[Percept]) -> None:
        by_key: dict[Key, list[Percept]] = {}
        for percept in percepts:
            if percept.lane in LANES and percept.space is not None and percept.vector is not None:
                by_key.setdefault((percept.lane, percept.space), []).append(percept)
        for key, members in sorted(by_key.items()):
            new = candidates_of(event.id, members)
            if new is not None:
                self.banks[key] = self.banks.get(key, Bank()).fed(new, self.settings)

    def erase(self, events: Collection[str]) -> int:
        """Takes out what these events (ids) gave; how many prototypes are gone or made anew without them."""
        self._refuse_frozen()
        touched = 0
        for bank in self.banks.values():
            touched += sum(bool(p.events & set(events)) or p.owner in events for p in bank.prototypes)
        left = {key: bank.without(events) for key, bank in self.banks.items()}
        self.banks = {key: bank for key, bank in left.items() if bank.prototypes}
        return touched

    def prototypes(self, lane: Lane, space: str) -> Sequence[Prototype] | None:
        """Those of a lane and space; None where it holds none."""
        bank = self.banks.get((lane, space))
        return None if bank is None else bank.prototypes

    def _refuse_frozen(self) -> None:
        if self.frozen:
            raise MnemeError("this long-term memory is shared by readers", "copy it before it is changed")


def _handed_on(prototype: Prototype, gone: Collection[str], made: Sequence[Event]) -> Prototype:
    def instead(t_ns: int) -> str:
        return next((event.id for event in reversed(made) if event.t0_ns <= t_ns), made[0].id)

    if not prototype.events & set(gone) and prototype.owner not in gone:
        return prototype
    names = {part.event: instead(part.t_ns) for part in prototype.parts if part.event in gone}
    parts = [replace(part, event=names.get(part.event, part.event)) for part in prototype.parts]
    owner = prototype.owner
    if owner is not None and owner in gone:
        owner = names.get(owner, made[0].id)
    return replace(prototype, parts=Parts(), owner=owner).fed(parts)
