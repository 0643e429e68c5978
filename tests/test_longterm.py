"""Long-term memory: so many prototypes and no more, events taken out exactly, the same after a restart or a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mneme.errors import MemoryFormatError, MnemeError
from mneme.memory import token_state
from mneme.memory.consolidations import Bounds
from mneme.memory.longterm import LongTerm, LongTermSettings
from mneme.memory.memory import Memory
from mneme.memory.prototypes import half
from mneme.memory.settings import MemorySettings, Way
from mneme.memory.token_bank import TokenBank
from mneme.memory.tokens import gather
from mneme.records import NS_PER_S, Event, Moment, Percept, Space, Stream, Vector

WAYS: tuple[Way, ...] = get_args(Way)
DIM = 32
SPACE = Space("looks", DIM, "v1")
KEY: Any = ("vision", "looks")


def views(seed: int, count: int) -> Vector:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


PLACES = views(1, 12)


def seen(place: int, seed: int, count: int = 6) -> Vector:
    rows = PLACES[place] + 0.3 * views(seed, count)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def visit(ordinal: int, place: int, count: int = 6) -> tuple[Event, list[Percept]]:
    """An event of ten seconds, and what was seen in it."""
    t0 = ordinal * 10 * NS_PER_S
    percepts = [
        Percept("walk", "vision", t0 + i * NS_PER_S, t0 + i * NS_PER_S + 1, space="looks", vector=vector)
        for i, vector in enumerate(seen(place, 100 + ordinal, count))
    ]
    return Event("walk", t0, t0 + 10 * NS_PER_S, ordinal), percepts


def fed(way: Way, places: list[int], prototypes: int = 16, events: int = 3) -> LongTerm:
    memory = LongTerm(LongTermSettings(way, Bounds(prototypes, events, share=3, familiar=0.8)))
    for ordinal, place in enumerate(places):
        memory.feed(*visit(ordinal, place))
    return memory


def plain(memory: LongTerm) -> Any:
    """Everything that it holds, in comparable form."""
    return [
        (key, p.owner, None if p.key is None else p.key.tolist(), round(p.use, 9), p.life,
         [(part.event, part.mass, part.mean.tolist(), part.t_ns) for part in p.parts])
        for key, bank in sorted(memory.banks.items())
        for p in bank.prototypes
    ]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=8)
@given(places=st.lists(st.integers(0, 11), min_size=1, max_size=14), most=st.integers(1, 9), events=st.integers(1, 4))
def test_there_are_never_more_prototypes_than_allowed_nor_more_events_in_one(
    way: Way, places: list[int], most: int, events: int
) -> None:
    memory = fed(way, places, most, events)
    prototypes = memory.banks[KEY].prototypes
    assert 1 <= len(prototypes) <= most
    assert all(1 <= len(p.events) == len(p.parts) <= events for p in prototypes)
    assert plain(memory) == plain(fed(way, places, most, events))
    if len(places) * (2 if way in ("potentiation", "merge") else 6) >= most and way in ("merge", "fifo", "reservoir"):
        assert len(prototypes) == most


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=8)
@given(places=st.lists(st.integers(0, 3), min_size=2, max_size=10), data=st.data())
def test_an_event_is_taken_out_exactly_and_nothing_of_it_stays(
    way: Way, places: list[int], data: st.DataObject
) -> None:
    memory = fed(way, places, prototypes=64)
    gone = data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1))
    ids = {visit(ordinal, places[ordinal])[0].id for ordinal in gone}
    before = memory.banks[KEY].prototypes
    touched = memory.erase(ids)
    after = memory.prototypes(*KEY) or ()
    assert touched == sum(bool(p.events & ids) or p.owner in ids for p in before)
    assert len(after) == sum(p.owner not in ids and bool(p.events - ids) for p in before)
    kept = iter(after)
    for old in before:
        parts = [part for part in old.parts if part.event not in ids]
        if not parts or old.owner in ids:
            continue
        new = next(kept)
        told = sum(part.mass * part.mean.astype(np.float64) for part in parts) / sum(part.mass for part in parts)
        assert np.allclose(new.value, told, atol=1e-5)
        assert not new.events & ids
    traces = {
        half(percept.vector).tobytes()
        for ordinal in gone
        for percept in visit(ordinal, places[ordinal])[1]
        if percept.vector is not None
    }
    held = {v.tobytes() for p in after for v in [*(part.mean for part in p.parts), p.key] if v is not None}
    assert not held & traces
    assert not ids & {event for bank in memory.banks.values() for event, _ in bank.nearest(PLACES[0])}


def test_a_familiar_place_feeds_the_prototype_that_knows_it_until_it_is_closed() -> None:
    memory = fed("potentiation", [0, 0, 0, 0, 0, 1], events=3)
    by_place = [max(range(12), key=lambda i, p=p: float(PLACES[i] @ p.value)) for p in memory.banks[KEY].prototypes]
    assert set(by_place) == {0, 1}
    first = memory.banks[KEY].prototypes[0]
    assert [part.event for part in first.parts] == [visit(i, 0)[0].id for i in range(3)]
    assert first.use > memory.banks[KEY].prototypes[by_place.index(1)].use


def test_what_is_seen_again_and_again_outlives_what_was_seen_once() -> None:
    memory = fed("potentiation", [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8], prototypes=6, events=1)
    owners = [p.owner for p in memory.banks[KEY].prototypes]
    assert len(owners) == 6
    assert visit(0, 0)[0].id in owners  # the first of all, though most of what came once after it is gone


def test_the_working_bank_holds_what_the_event_kept_showing() -> None:
    bank = TokenBank(DIM, capacity=4)
    rare, often = views(9, 5), seen(0, 3, 40)
    for i in range(40):
        bank.push(often[i], i)
        if i % 8 == 0:
            bank.push(rare[i // 8], i)
        assert len(bank) <= 4
    kept = bank.candidates("e").vectors
    assert (kept @ PLACES[0] > 0.8).sum() >= 3


def test_a_state_is_read_back_as_it_was_written_and_refuses_changes_when_shared(tmp_path: Path) -> None:
    memory = fed("potentiation", [0, 1, 0, 2])
    path = token_state.save(tmp_path, "walk", memory)
    assert token_state.save(tmp_path, "walk", memory) == path
    assert len(list((tmp_path / "tokens").iterdir())) == 1
    shared = token_state.load(tmp_path, path)
    assert plain(shared) == plain(memory)
    assert shared.events == 4
    for change in (lambda: shared.feed(*visit(4, 0)), lambda: shared.erase({"x"})):
        with pytest.raises(MnemeError, match="shared"):
            change()
    (tmp_path / path).write_bytes(b"not a state")
    with pytest.raises(MemoryFormatError, match="cannot be read"):
        token_state.load(tmp_path, path)


class CutsEvery:
    """A boundary every ten seconds."""

    def __init__(self) -> None:
        self.settled_ns = 0

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        del change, loudness_db
        before, self.settled_ns = self.settled_ns, t_ns
        ten = 10 * NS_PER_S
        return list(range(before // ten * ten + ten, t_ns + 1, ten))

    def flush(self) -> list[int]:
        return []

    def resume(self, closed_ns: int) -> None:
        self.settled_ns = closed_ns


def record(memory: Memory, visits: int, first: int = 0, end: bool = False) -> Any:
    """The walk from one visit on."""
    recorder = memory.recorder(Stream("walk", "/walk", "d"), boundaries=CutsEvery())
    for ordinal in range(first, visits):
        for percept in visit(ordinal, ordinal * 5 % 12)[1]:
            recorder.observe(Moment("walk", percept.t0_ns, (percept,), 0.0, None, percept.t0_ns))
    if end:
        recorder.finish(visits * 10 * NS_PER_S)
    return recorder


def state_of(memory: Memory) -> tuple[Any, LongTerm]:
    snapshot = memory.snapshot()
    state = snapshot.streams()[0]
    return state, token_state.restored(snapshot, state)


def test_a_recording_feeds_it_and_a_broken_one_goes_on_to_the_same_state(tmp_path: Path) -> None:
    kept = MemorySettings(prototypes=8)
    with Memory.create(tmp_path / "whole", "embedded", [SPACE], settings=kept) as memory:
        record(memory, 40, end=True)
        state, whole = state_of(memory)
        assert state.tokens is not None
        assert whole.events == 40
        assert len(whole.banks[KEY].prototypes) == 8
    for broken in (3, 18, 33):
        root = tmp_path / f"broken{broken}"
        with Memory.create(root, "embedded", [SPACE], settings=kept) as memory:
            record(memory, broken)
        with Memory.open(root, "w", settings=kept) as memory:
            state, _ = state_of(memory)
            record(memory, 40, first=state.events - 1, end=True)
            _, again = state_of(memory)
        assert plain(again) == plain(whole), broken


def test_old_files_go_and_those_that_a_commit_names_stay(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=MemorySettings(prototypes=8)) as memory:
        record(memory, 40, end=True)
        state, _ = state_of(memory)
        files = {path.relative_to(memory.root).as_posix() for path in (memory.root / "tokens").iterdir()}
        assert state.tokens in files
        assert len(files) == 3  # after 16, 32 and all events
        assert token_state.sweep(memory.root, {state.tokens}, young_s=600.0) == 0
        assert token_state.sweep(memory.root, {state.tokens}) == 2
        assert memory.check().ok


def test_erasing_an_event_leaves_nothing_of_it_in_any_file(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        record(memory, 20, end=True)
        event = memory.snapshot().events()[3]
        receipt = memory.forget(event=event.id)
        assert receipt.prototypes > 0
        assert receipt.verified
        state, left = state_of(memory)
        assert [path.name for path in (memory.root / "tokens").iterdir()] == [Path(state.tokens or "").name]
        assert event.id not in {part.event for p in left.banks[KEY].prototypes for part in p.parts}
        assert event.id.encode() not in (memory.root / (state.tokens or "")).read_bytes()


def test_tokens_of_the_past_come_from_the_prototypes_with_their_events(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=MemorySettings(prototypes=8)) as memory:
        record(memory, 40, end=True)
        snapshot = memory.snapshot()
        events = {event.id: event for event in snapshot.events()}
        tokens = gather(snapshot, lane="vision", space=SPACE, budget=8)
        _, kept = state_of(memory)
        held = {event for p in kept.banks[KEY].prototypes for event in p.events}
        long = [source for source, tier in zip(tokens.source, tokens.tier, strict=True) if tier == "long"]
        assert 4 <= len(long) <= 8
        assert {name for source in long for name, _ in source} <= held
        assert {name for source in long for name, _ in source} <= events.keys()
        for source in long:
            assert sum(share for _, share in source) == pytest.approx(1.0)
        # More than there are prototypes for: from the events themselves, as without long-term memory.
        assert gather(snapshot, lane="vision", space=SPACE, budget=64).tier.count("long") > 8


def test_a_memory_without_its_file_still_gives_tokens(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=MemorySettings(prototypes=8)) as memory:
        record(memory, 20, end=True)
        for path in (memory.root / "tokens").iterdir():
            path.unlink()
        tokens = gather(memory.snapshot(), lane="vision", space=SPACE, budget=8)
        assert tokens.tier.count("long") >= 4


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_longterm import *
from mneme.memory import token_state
before = token_state.save
def killed(root, stream, memory):
    path = before(root, stream, memory)
    os.kill(os.getpid(), signal.SIGKILL)
    return path
token_state.save = killed
import mneme.memory.recorder as recorder
recorder.save = killed
with Memory.create({root!r}, "embedded", [SPACE], settings=MemorySettings(prototypes=8)) as memory:
    record(memory, 40, end=True)
"""


def test_a_kill_between_the_file_and_its_commit_loses_nothing(tmp_path: Path) -> None:
    root = tmp_path / "m"
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(root))
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    kept = MemorySettings(prototypes=8)
    with Memory.open(root, "w", settings=kept) as memory:
        state, _ = state_of(memory)
        assert state.tokens is None
        record(memory, 40, first=state.events - 1, end=True)
        _, again = state_of(memory)
        assert memory.check().ok
    with Memory.create(tmp_path / "whole", "embedded", [SPACE], settings=kept) as memory:
        record(memory, 40, end=True)
        assert plain(state_of(memory)[1]) == plain(again)


def test_a_replaced_stream_has_the_prototypes_of_its_new_recording(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        record(memory, 20, end=True)
        recorder = memory.recorder(Stream("walk", "/walk", "other"), replace=True, boundaries=CutsEvery())
        event, percepts = visit(0, 7)
        for percept in percepts:
            recorder.observe(Moment("walk", percept.t0_ns, (replace(percept),), 0.0, None, percept.t0_ns))
        recorder.finish(event.t1_ns)
        _, kept = state_of(memory)
        assert {e for p in kept.banks[KEY].prototypes for e in p.events} == {event.id}
