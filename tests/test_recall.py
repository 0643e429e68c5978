"""What is recalled first, from words, vectors, lanes and time."""

from __future__ import annotations

import numpy as np
import pytest

from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.recall import Query, recall
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.memory.writer import Writer
from mneme.records import NS_PER_S, Lane, Percept, Space, Stream

MUG, DOG, CAR = (np.eye(3, dtype=np.float32)[i] for i in range(3))
STORED: tuple[tuple[Lane, int, str | None, np.ndarray], ...] = (
    ("speech", 1, "I left the red mug by the sink", MUG),
    ("speech", 2, "what a lovely cup", MUG),
    ("speech", 3, "the dog wants out", DOG),
    ("caption", 4, "RED DOOR", CAR),
    ("caption", 50, "MUG SALE", CAR),
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> StoredSnapshot:
    root = tmp_path_factory.mktemp("recall") / "m"
    Memory.create(root, "embedded", [Space("words", 3, "")]).close()
    percepts = [
        Percept("day", lane, t * NS_PER_S, (t + 1) * NS_PER_S, text=text, space="words", vector=vector)
        for lane, t, text, vector in STORED
    ]
    writer = Writer(root, MemorySettings(), lambda: 0)
    writer.commit("observe", [(p, None) for p in percepts], [], StreamState(Stream("day", "", "")))
    return StoredSnapshot(root)


def test_what_words_and_meaning_both_find_comes_first(snapshot: StoredSnapshot) -> None:
    found = recall(snapshot, Query(words="red mug", vectors={"words": MUG}))
    assert found[0].percept.text == "I left the red mug by the sink"
    assert found[0].similarity == pytest.approx(1)
    assert found[0].words_score is not None
    assert found[0].score > found[1].score
    alone = next(hit for hit in found if hit.percept.text == "what a lovely cup")
    assert alone.words_score is None
    assert alone.similarity == pytest.approx(1)


def test_each_cue_works_alone(snapshot: StoredSnapshot) -> None:
    assert {hit.percept.text for hit in recall(snapshot, Query(words="mug"))} == {
        "I left the red mug by the sink", "MUG SALE"}  # fmt: skip
    assert recall(snapshot, Query(vectors={"words": DOG}))[0].percept.text == "the dog wants out"
    assert recall(snapshot, Query(words="zebra")) == []


def test_filters_hold_for_every_cue(snapshot: StoredSnapshot) -> None:
    query = Query(words="red mug", vectors={"words": MUG}, lanes=("caption",), span_ns=(0, 10 * NS_PER_S))
    assert [hit.percept.text for hit in recall(snapshot, query)] == ["RED DOOR"]
    assert recall(snapshot, Query(words="mug", stream="night")) == []


def test_a_span_alone_gives_what_lies_in_it_in_order(snapshot: StoredSnapshot) -> None:
    found = recall(snapshot, Query(span_ns=(2 * NS_PER_S, 5 * NS_PER_S), limit=2))
    assert [hit.percept.t0_ns // NS_PER_S for hit in found] == [2, 3]


def test_no_more_than_the_limit_is_recalled(snapshot: StoredSnapshot) -> None:
    assert len(recall(snapshot, Query(words="red mug", vectors={"words": MUG}, limit=3))) == 3
