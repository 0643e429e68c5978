"""Memory tokens of one memory, question after question: what was read for one is used again for the next."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..encoders.profiles import Embedded
from ..errors import MnemeError, SettingsError
from ..memory.frames import FrameCache
from ..records import Lane, MemoryTokens, Percept, Picture
from .recollect import checked, recollect, space_of

if TYPE_CHECKING:
    from ..memory.memory import Memory
    from ..memory.store import StoredSnapshot

_QUERIES = 32
"""Queries whose hits are kept while the memory stands at one commit: a robot repeats its query at every step."""


class TokenReader:
    """Answers `Mneme.tokens`; safe from any thread, one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache = FrameCache()
        self._hits: OrderedDict[Any, list[Percept]] = OrderedDict()

    def gather(
        self,
        memory: Memory,
        profile: Embedded,
        budget: int,
        query: str | Path | Picture | None,
        lane: Lane,
        stream: str | None,
    ) -> MemoryTokens:
        """See `Mneme.tokens`."""
        from ..memory.tokens import MOST, gather

        try:
            count = operator.index(budget)
        except TypeError:
            count = 0
        if isinstance(budget, bool) or not 1 <= count <= MOST:
            raise SettingsError(
                f"a budget of {budget!r} tokens makes no sense", f"give a whole number from 1 to {MOST}"
            )
        space = memory.manifest.space(space_of(profile, lane).name)
        asked = None if query is None else checked(query)
        # Before the snapshot: what is stored meanwhile is then seen twice, and never not at all.
        recorders = memory.recorders
        pending = [percept for recorder in recorders for percept in recorder.pending]

        def gathered(snapshot: StoredSnapshot) -> MemoryTokens:
            known = {state.stream.id for state in snapshot.streams()} | {recorder.stream.id for recorder in recorders}
            if stream is not None and stream not in known:
                raise MnemeError(
                    f"there is no stream {stream!r} in this memory", f"it knows {', '.join(sorted(known)) or 'none'}"
                )
            with self._lock:
                hits = None
                if asked is not None:
                    key = (snapshot.commit, asked if isinstance(asked, str) else _digest(asked), lane, stream, count)
                    if key not in self._hits:
                        self._hits[key] = recollect(asked, snapshot, profile, lane, stream, count)
                        while len(self._hits) > _QUERIES:
                            self._hits.popitem(last=False)
                    hits = self._hits[key]
                return gather(
                    snapshot,
                    lane=lane,
                    space=space,
                    budget=count,
                    hits=hits,
                    stream=stream,
                    pending=pending,
                    cache=self._cache,
                )

        return memory.reading(gathered)


def _digest(picture: Picture) -> tuple[Any, ...]:
    import hashlib

    return (picture.shape, hashlib.blake2b(picture.tobytes(), digest_size=16).digest())
