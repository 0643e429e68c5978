"""Searching a large memory: through indexes it finds what a scan finds, and nothing that a filter leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from mneme.memory import indexes, manifest
from mneme.memory.indexes import index
from mneme.memory.ledger import StreamState
from mneme.memory.nearest import FEW, ruler_ns, share_of
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.memory.writer import Writer
from mneme.records import NS_PER_S, Lane, Percept, Space, Stream, Vector
from mneme.ui.cli import LANCE_SAYS

SPACES = [Space("looks", 32, "test")]
ROWS = 3 * FEW
LANES: tuple[Lane, ...] = ("vision", "sound", "caption")


def unit(rows: Vector) -> Vector:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def percepts() -> list[Percept]:
    """One a second, of up to five seconds; each near one of 300 scenes; a lane in ten is rare."""
    draw = np.random.default_rng(3)
    scenes = unit(draw.standard_normal((300, 32)))
    vectors = unit(scenes[draw.integers(0, 300, ROWS)] + 0.1 * draw.standard_normal((ROWS, 32)))
    lanes = draw.choice(3, ROWS, p=[0.6, 0.3, 0.1])
    ends = draw.integers(0, 5 * NS_PER_S, ROWS)
    return [
        Percept("life", LANES[lanes[i]], i * NS_PER_S, i * NS_PER_S + int(ends[i]), space="looks", vector=vectors[i])
        for i in range(ROWS)
    ]


@pytest.fixture(scope="module")
def root(percepts: list[Percept], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same percepts, with indexes."""
    root = tmp_path_factory.mktemp("large") / "m"
    writer = made(root, percepts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "INDEXED_FROM", 1000)
        assert "vector_looks" in index(writer)
    return root


def made(root: Path, percepts: list[Percept]) -> Writer:
    from mneme.memory.memory import Memory

    Memory.create(root, "embedded", SPACES).close()
    writer = Writer(root, MemorySettings(), lambda: 0)
    state = StreamState(Stream("life", "/x", "d"), seen_ns=ROWS * NS_PER_S)
    writer.commit("observe", [(percept, None) for percept in percepts], [], state)
    return writer


def overlaps(percept: Percept, t0_ns: int | None, t1_ns: int | None) -> bool:
    """What `Snapshot` promises of a span."""
    return (t0_ns is None or percept.t1_ns > t0_ns or percept.t0_ns >= t0_ns) and (
        t1_ns is None or percept.t0_ns < t1_ns
    )


def best(percepts: list[Percept], query: Vector, count: int) -> list[str]:
    scored = sorted(percepts, key=lambda p: -float(np.asarray(p.vector) @ query))
    return [percept.id for percept in scored[:count]]


def test_a_span_of_an_indexed_memory_holds_exactly_what_overlaps_it(percepts: list[Percept], root: Path) -> None:
    snapshot, draw = StoredSnapshot(root), np.random.default_rng(5)
    spans: list[tuple[int | None, int | None]] = []
    for begin, length in draw.integers(-NS_PER_S, 40 * NS_PER_S, (20, 2)):
        spans.append((5000 * NS_PER_S + int(begin), 5000 * NS_PER_S + int(begin + length)))
    spans += [(7 * NS_PER_S, 7 * NS_PER_S), (9 * NS_PER_S, 4 * NS_PER_S), (None, NS_PER_S), (1, None), (-5, 5)]
    for t0_ns, t1_ns in spans:
        right = {p.id for p in percepts if overlaps(p, t0_ns, t1_ns)}
        assert {p.id for p in snapshot.percepts(t0_ns=t0_ns, t1_ns=t1_ns)} == right


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
def test_within_any_span_of_time_the_nearest_are_those_of_a_scan(
    percepts: list[Percept], root: Path, share: float
) -> None:
    snapshot, draw = StoredSnapshot(root), np.random.default_rng(7)
    t0_ns, t1_ns = 1000 * NS_PER_S, (1000 + int(share * ROWS)) * NS_PER_S
    within = [p for p in percepts if overlaps(p, t0_ns, t1_ns)]
    hits = 0
    for _ in range(10):
        query = unit(np.asarray(percepts[int(draw.integers(ROWS))].vector) + 0.05 * draw.standard_normal(32))
        found = snapshot.nearest("looks", query, limit=10, t0_ns=t0_ns, t1_ns=t1_ns)
        assert all(overlaps(hit.percept, t0_ns, t1_ns) for hit in found)
        assert [hit.similarity for hit in found] == sorted((hit.similarity for hit in found), reverse=True)
        hits += len({hit.percept.id for hit in found} & set(best(within, query, 10)))
    assert hits >= 95


def test_the_share_of_a_large_span_is_known_without_counting_its_rows(root: Path) -> None:
    snapshot = StoredSnapshot(root)
    for share in (0.3, 0.5, 0.9, 1.0):
        judged = share_of(snapshot._ruler_ns, None, int(share * ROWS) * NS_PER_S)
        assert judged == pytest.approx(share, abs=0.02)
    assert share_of(snapshot._ruler_ns, 0, ROWS // 10 * NS_PER_S) is None  # to be counted
    assert share_of(snapshot._ruler_ns[:0], None, None) is None


@pytest.mark.parametrize("episodes", [1, 16, 64, 128, 500])
def test_the_share_of_a_span_is_known_of_many_streams_of_one_length(tmp_path: Path, episodes: int) -> None:
    begins = np.tile(np.arange(64_000 // episodes), episodes)
    table = lancedb.connect(tmp_path).create_table("some", pa.table({"t0_ns": begins}))
    longest = int(begins[-1]) + 1
    for share in (0.4, 0.7):
        assert share_of(ruler_ns(table), 0, int(share * longest)) == pytest.approx(share, abs=0.1)
    assert share_of(ruler_ns(table), 0, longest // 10) is None


@pytest.mark.parametrize("lane", LANES)
def test_within_a_lane_however_rare_the_nearest_are_those_of_a_scan(
    percepts: list[Percept], root: Path, lane: Lane
) -> None:
    snapshot, draw = StoredSnapshot(root), np.random.default_rng(8)
    within = [p for p in percepts if p.lane == lane]
    hits = 0
    for _ in range(10):
        query = unit(draw.standard_normal(32))  # like nothing that there is: its nearest lie in many cells
        found = snapshot.nearest("looks", query, limit=10, lanes=[lane])
        assert {hit.percept.lane for hit in found} == {lane}
        hits += len({hit.percept.id for hit in found} & set(best(within, query, 10)))
    assert hits >= 95


def test_what_scores_the_same_comes_in_order_of_time_through_an_index_too(tmp_path: Path) -> None:
    one = unit(np.ones(32))
    writer = made(tmp_path / "m", [])
    percepts = [Percept("life", "vision", i, i + 1, space="looks", vector=one) for i in range(2 * FEW)]
    writer.commit("observe", [(p, None) for p in reversed(percepts)], [], StreamState(Stream("life", "/x", "d")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "INDEXED_FROM", 1000)
        index(writer)
    found = StoredSnapshot(tmp_path / "m").nearest("looks", one, limit=5, t1_ns=FEW // 2)
    assert [hit.percept.t0_ns for hit in found] == [0, 1, 2, 3, 4]


def test_the_longest_percept_is_noted_and_of_a_memory_that_lacks_the_note_it_is_looked_up(tmp_path: Path) -> None:
    root = tmp_path / "m"
    state = StreamState(Stream("life", "/x", "d"), seen_ns=1)
    writer = made(root, [])
    long = Percept("life", "vision", 0, 70 * NS_PER_S, space="looks", vector=unit(np.ones(32)))
    writer.commit("observe", [(long, None)], [], state)
    assert manifest.read(root).longest_ns == 128 * NS_PER_S
    manifest.write(root, replace(manifest.read(root), longest_ns=None))  # as an earlier release left it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "INDEXED_FROM", 1)
        index(Writer(root, MemorySettings(), lambda: 0))
    assert manifest.read(root).longest_ns == 128 * NS_PER_S
    assert [p.id for p in StoredSnapshot(root).percepts(t0_ns=69 * NS_PER_S, t1_ns=80 * NS_PER_S)] == [long.id]


COMPACTS = """
import sys
import lancedb, numpy, pyarrow
from lancedb.index import IvfSq

def rows(count):
    drawn = numpy.random.default_rng(count).random(count * 8, numpy.float32)
    return pyarrow.table({"v": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(drawn), 8)})

table = lancedb.connect(sys.argv[1]).create_table("some", rows(4000))
table.create_index("v", config=IvfSq(distance_type="cosine", target_partition_size=250))
table.add(rows(3))
"""


@pytest.mark.parametrize("settled", ["table.optimize()", "table.to_lance().optimize.optimize_indices()"])
def test_the_command_line_does_not_repeat_what_lance_says_of_every_cell(tmp_path: Path, settled: str) -> None:
    said = {}
    for level in ("warn", LANCE_SAYS):
        command = [sys.executable, "-c", COMPACTS + settled, str(tmp_path / str(len(said)))]
        done = subprocess.run(
            command, env=os.environ | {"LANCEDB_LOG": level, "LANCE_LOG": level}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said[level] = done.stderr.count("is empty")
    assert said["warn"] > 5  # else there is nothing to keep back any more
    assert said[LANCE_SAYS] == 0
