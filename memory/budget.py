"""What is forgotten when a memory has no more room: the weakest percepts, each place keeping its fair share.

Of a percept the thumbnail goes first, then its tokens, then the row; of events their percepts go and their gists stay.
A percept's rank is its strength among those of its place, from 0 to 1: with a cut at c thumbnails of ranks up to c go,
tokens up to c / 2, rows up to c / 4, so that something is left of many rather than all of few. Places share what stays
by max-min fairness (`operators/fair.py`): one that was visited rarely keeps everything, however much the others hold
(the quota of "Spatially-Aware Transformer", Cho et al. 2024, in bytes and without a fixed number of places).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..operators.fair import fair_shares
from . import tables
from .changes import Changes
from .consolidate import rows_by_id, with_column
from .settings import MemorySettings
from .store import StoredSnapshot
from .strength import LIFE, Law, strengths

_STAGES = (1.0, 2.0, 4.0)
"""How much later than the thumbnail a percept loses its tokens and its row."""
_COLUMNS = [*LIFE, "id", "t0_ns", "place", "thumbnail", "token_count", "space"]
_ROW = 300
"""Bytes of a row without its vector, at least."""
_TOGETHER = 4000
"""Percepts that one commit takes away or changes, about."""
_IDS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Forgetting:
    """What goes: one commit after another, then files."""

    commit: int
    """Of the snapshot that it was planned on."""
    steps: tuple[Changes, ...]
    thumbnails: tuple[str, ...]
    """Files, inside the memory, that no row of the snapshot's streams names afterwards."""
    percepts: int
    """Rows that go."""
    tokens: int
    """Percepts that lose their tokens and stay."""
    rows_held: int = 0
    """Of `row_bytes`, what could go, about: of all percepts that may be forgotten."""
    pictures_held: int = 0
    """Bytes of their thumbnails, about."""


def forgetting(
    snapshot: StoredSnapshot, settings: MemorySettings, now_ns: int, free: int, row_bytes: int, picture_bytes: int
) -> Forgetting:
    """What to forget so that about `free` bytes go. Pure and deterministic; nothing is written.

    row_bytes: what the rows of percepts take, tokens included. picture_bytes: what a thumbnail takes on average. Of a
    stream that has not ended its last closed event and what is open stay: going on needs them.
    """
    rows = snapshot.rows(tables.PERCEPTS, _COLUMNS)
    loose = _loose(snapshot, rows) if len(rows) else np.zeros(0, np.bool_)
    if not loose.any():
        return Forgetting(snapshot.commit, (), (), 0, 0)
    dims = {space.name: space.dim for space in snapshot.manifest.spaces}
    width = np.array([2 * dims.get(name or "", 0) for name in rows["space"].to_pylist()], np.int64)
    tokens = rows["token_count"].fill_null(0).to_numpy() * width
    pictures = np.where(rows["thumbnail"].is_valid().to_numpy(zero_copy_only=False), picture_bytes, 0)
    each = max(_ROW, (row_bytes - int(tokens.sum())) // len(rows))
    parts = np.stack([pictures, tokens, np.full(len(rows), each)], axis=1).astype(np.int64)[loose]  # [n, 3]
    rows, rows_held, pictures_held = rows.filter(loose), int(parts[:, 1:].sum()), int(parts[:, 0].sum())
    if free <= 0:
        return Forgetting(snapshot.commit, (), (), 0, 0, rows_held, pictures_held)
    states = {state.stream.id: state for state in snapshot.streams()}
    strength = strengths(rows, states, now_ns, cast("Law", settings.law))
    gone = _gone(rows, strength, parts, free)
    ids = np.array(rows["id"].to_pylist(), object)
    paths = rows["thumbnail"].to_numpy(zero_copy_only=False)
    lost = gone[:, 2]
    thinner = (gone[:, :2] & (parts[:, :2] > 0)).any(axis=1) & ~lost
    named = (gone[:, 0] | lost) & (parts[:, 0] > 0)
    steps = [*_without(snapshot, set(ids[lost])), *_thinner(snapshot, list(ids[thinner]), gone[thinner, 1])]
    return Forgetting(
        snapshot.commit,
        tuple(steps),
        tuple(sorted(paths[named])),
        int(lost.sum()),
        int((gone[:, 1] & (parts[:, 1] > 0) & ~lost).sum()),
        rows_held,
        pictures_held,
    )


def _loose(snapshot: StoredSnapshot, rows: Any) -> NDArray[np.bool_]:
    """Which percepts may go."""
    starts: dict[str, int] = {}
    for event in snapshot.events():
        starts[event.stream] = event.t0_ns  # in order of time: the last one's stays
    ends = {s.stream.id: (1 << 62 if s.done else starts.get(s.stream.id, 0)) for s in snapshot.streams()}
    before = np.array([ends.get(name, 0) for name in rows["stream"].to_pylist()], np.int64)
    return np.asarray((rows["t0_ns"].to_numpy() < before) & (rows["t1_ns"].to_numpy() <= before))


def _gone(rows: Any, strength: NDArray[np.float64], parts: NDArray[np.int64], free: int) -> NDArray[np.bool_]:
    """bool[n, 3]: which parts of which percepts go."""
    places = rows["place"].fill_null("").combine_chunks().dictionary_encode()
    group = places.indices.to_numpy(zero_copy_only=False)
    order = np.lexsort((np.array(rows["id"].to_pylist()), rows["t0_ns"].to_numpy(), strength))
    gone = np.zeros(parts.shape, np.bool_)
    names = places.dictionary.to_pylist()
    held = np.bincount(group, weights=parts.sum(axis=1), minlength=len(names))
    by_name = sorted(range(len(names)), key=lambda i: names[i])
    shares = dict(
        zip(by_name, fair_shares([held[i] for i in by_name], max(0.0, held.sum() - free)), strict=True)
    )  # fmt: skip
    for i in by_name:
        if held[i] <= shares[i]:
            continue
        mine = order[group[order] == i]  # weakest first
        ranks = (np.arange(len(mine)) + 1) / len(mine)
        keys = (ranks[:, None] * np.array(_STAGES)).ravel()
        sizes = parts[mine].ravel()
        first = np.argsort(keys, kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[first]), held[i] - shares[i])) + 1
        taken = np.zeros(len(keys), np.bool_)
        taken[first[:enough]] = True
        gone[mine] = taken.reshape(-1, 3)
    return gone


def _without(snapshot: StoredSnapshot, lost: set[str]) -> Iterator[Changes]:
    """Percepts go, and out of the lists of their events; an event's percepts go in one step."""
    changed = [event for event in snapshot.events() if not lost.isdisjoint(event.percepts)] if lost else []
    together: list[str] = []
    events: list[Any] = []
    for i, event in enumerate(changed):
        together += [id for id in event.percepts if id in lost]
        events.append(event)
        if len(together) >= _TOGETHER or i == len(changed) - 1:
            rows = rows_by_id(snapshot, tables.EVENTS, [e.id for e in events])
            lists = [[id for id in listed if id not in lost] for listed in rows["percepts"].to_pylist()]
            filters = [
                tables.among("id", together[first : first + _IDS]) + f" AND {_shown(snapshot)}"
                for first in range(0, len(together), _IDS)
            ]
            yield Changes(
                {tables.PERCEPTS: filters},
                {tables.EVENTS: with_column(rows, "percepts", lists)},
                note={"forgotten": len(together)},
            )
            together, events = [], []


def _thinner(snapshot: StoredSnapshot, ids: Sequence[str], tokens: NDArray[np.bool_]) -> Iterator[Changes]:
    """Percepts that lose their thumbnail, and some their tokens too."""
    bare = dict(zip(ids, tokens.tolist(), strict=True))
    listed = list(bare)
    for first in range(0, len(listed), _TOGETHER):
        rows = rows_by_id(snapshot, tables.PERCEPTS, listed[first : first + _TOGETHER])
        stripped = [bare[id] for id in rows["id"].to_pylist()]
        rows = with_column(rows, "thumbnail", [None] * len(rows))
        for name in tables.DETAIL:
            if name in rows.column_names:
                kept = [None if gone else cell for gone, cell in zip(stripped, rows[name].to_pylist(), strict=True)]
                rows = with_column(rows, name, kept)
        yield Changes(put={tables.PERCEPTS: rows}, note={"thinned": len(rows)})


def _shown(snapshot: StoredSnapshot) -> str:
    """The filter for the takes that the snapshot shows: another take may have the ids."""
    takes = [tables.of_take(state.stream.id, state.take) for state in snapshot.streams()]
    return f"({' OR '.join(takes)})" if takes else "false"
