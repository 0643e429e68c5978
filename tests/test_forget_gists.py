"""Erasure and correction of events whose percepts the budget forgot: what they still tell is reached, and only that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mneme.errors import MnemeError
from mneme.memory import semantic, tables, token_state
from mneme.memory.budget import _without as without
from mneme.memory.changes import Changes
from mneme.memory.duplicates import SAME
from mneme.memory.memory import Memory
from mneme.memory.semantic import Summary
from mneme.memory.verify import Search, verify
from mneme.records import Link, Percept
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s, say

CANARY = "the vault code is osprey"
PERCEPTS = (
    look(1, RED),
    say(2, 4, "good morning to everybody here"),
    look(12, GREEN),
    say(13, 15, CANARY),
    look(22, BLUE),
    say(23, 25, "we are leaving the hall now"),
)


def lived(root: Path, percepts: tuple[Percept, ...] = PERCEPTS, *bare: int) -> Memory:
    """A memory of a day of events that end at 10, 20, 30 and 40 s; the budget forgot the percepts of the bare ones."""
    memory = Memory.create(root, "embedded", [SPACE])
    recorder = memory.recorder(DAY, boundaries=CutsAt(10, 20, 30))
    record(recorder, moments(percepts, 40))
    recorder.finish(s(40))
    for at in bare:
        forgotten(memory, set(memory.snapshot().events()[at].percepts))
    return memory


def forgotten(memory: Memory, percepts: set[str]) -> None:
    """The budget forgets these."""
    assert memory._writer is not None
    for changes in without(memory.snapshot(), percepts):
        memory._writer.apply("sleep", changes)


def told(memory: Memory) -> list[tuple[str, list[str]]]:
    return [(event.gist, list(event.vectors)) for event in memory.snapshot().events()]


def fed(memory: Memory) -> set[str]:
    """The events that long-term memory holds something of."""
    state = memory.snapshot().streams()[0]
    longterm = token_state.load(memory.root, state.tokens or "")
    return {id for bank in longterm.banks.values() for prototype in bank.prototypes for id in prototype.events}


def put(memory: Memory, table: str, rows: Any) -> None:
    assert memory._writer is not None
    memory._writer.apply("sleep", Changes(put={table: rows}))


@pytest.mark.parametrize("by", ["event", "span", "text", "a span that takes a neighbour's percept"])
def test_an_event_of_which_only_the_gist_is_left_is_forgotten(tmp_path: Path, by: str) -> None:
    with lived(tmp_path / "m", PERCEPTS, 1) as memory:
        events = memory.snapshot().events()
        assert events[1].gist == CANARY
        assert events[1].id in fed(memory)
        search = Search(spans=(), never=" the vault code is osprey ")
        assert any("says it" in found for found in verify(memory.root, search).found)
        asked: dict[str, Any] = {"event": {"event": events[1].id}, "text": {"text": CANARY},
                                 "span": {"stream": "day", "t0_ns": s(10), "t1_ns": s(20)}}.get(
                                     by, {"stream": "day", "t0_ns": s(12), "t1_ns": s(24)})  # fmt: skip
        receipt = memory.forget(**asked)
        assert receipt.verified, receipt.searched.found
        assert receipt.events == (2 if "neighbour" in by else 1)
        last = "" if "neighbour" in by else events[2].gist
        assert told(memory)[:2] == [(events[0].gist, ["looks"]), ("", [])]
        assert told(memory)[2][0] == last
        assert events[1].id not in fed(memory)
        assert verify(memory.root, search).found == ()
        assert memory.check().problems == ()


def test_what_a_partly_forgotten_event_tells_of_an_erased_time_goes_and_its_other_percepts_stay(tmp_path: Path) -> None:
    said = (look(11, RED), say(12, 13, "open the door"), look(15, GREEN), say(16, 18, CANARY))
    with lived(tmp_path / "m", said) as memory:
        snapshot = memory.snapshot()
        left = [p.id for p in snapshot.percepts() if p.t0_ns < s(15)]
        forgotten(memory, {p.id for p in snapshot.percepts() if p.t0_ns >= s(15)})
        assert memory.forget(stream="day", t0_ns=s(15), t1_ns=s(19)).percepts == 0
        event = memory.snapshot().events()[1]
        assert (event.gist, list(event.percepts)) == ("open the door", left)
        assert event.vectors["looks"] @ RED > 0.99


def test_a_time_of_which_an_event_tells_nothing_is_nothing_to_forget(tmp_path: Path) -> None:
    with lived(tmp_path / "m", PERCEPTS, 1) as memory:
        for t0_s, t1_s in ((5, 6), (26, 27), (31, 39)):
            with pytest.raises(MnemeError, match="nothing is remembered"):
                memory.forget(stream="day", t0_ns=s(t0_s), t1_ns=s(t1_s))
        assert len(memory.manifest.erased) == 0


def test_a_search_finds_an_event_that_still_tells_of_what_was_erased(tmp_path: Path) -> None:
    with lived(tmp_path / "m", PERCEPTS, 1) as memory:
        [span] = memory.forget(stream="day", t0_ns=s(22), t1_ns=s(23)).spans
        wider = Search(spans=[type(span)(span.stream, s(12), s(13), span.digest)])
        found = verify(memory.root, wider).found
    [left] = found
    assert left.endswith(f"event {memory.snapshot().events()[1].id} still tells of what was erased")


def test_a_place_of_which_only_an_event_is_left_is_forgotten(tmp_path: Path) -> None:
    with lived(tmp_path / "m", (look(2, RED, place="hall"), look(12, GREEN, place="Vault")), 1) as memory:
        assert memory.snapshot().events()[1].place == "Vault"
        assert memory.forget(place="vault").verified
        assert [event.place for event in memory.snapshot().events()] == ["hall", None, None, None]
        assert [place.key for place in memory.snapshot().places()] == ["hall"]


def test_words_that_only_a_summary_says_go_with_it(tmp_path: Path) -> None:
    with lived(tmp_path / "m") as memory:
        first = memory.snapshot().events()[0]
        made = [Summary("usual", "day", 0, 0, s(10), "red mug", "red mug; usually Anna's room", 1,
                        (("Anna's room", 1),), events=(first.id,))]  # fmt: skip
        put(memory, tables.SUMMARIES, semantic.rows_of(made))
        receipt = memory.forget(text="anna s room")
        assert (receipt.verified, receipt.percepts, receipt.gists) == (True, 0, 1)
        assert memory.snapshot().summaries() == []
        assert memory.snapshot().events()[0].gist == first.gist


def linked(root: Path) -> Memory:
    """The first event and the second are the same; of the first only gist and vector are left."""
    percepts = (look(1, RED), say(2, 4, "breakfast with grandmother"), look(12, RED), say(13, 15, "breakfast again"),
                look(22, BLUE), say(23, 25, "something else"))  # fmt: skip
    memory = lived(root, percepts)
    assert memory.sleep().linked == 1
    forgotten(memory, set(memory.snapshot().events()[0].percepts))
    return memory


def test_an_event_that_was_tied_to_a_forgotten_one_loses_the_tie_and_nothing_else(tmp_path: Path) -> None:
    with linked(tmp_path / "m") as memory:
        before = memory.snapshot().events()
        assert [link.kind for link in before[0].links] == [SAME]
        receipt = memory.forget(stream="day", t0_ns=s(12), t1_ns=s(16))
        assert (receipt.verified, receipt.links) == (True, 2)
        after = memory.snapshot().events()
        assert (after[0].gist, after[0].links) == ("breakfast with grandmother", ())
        assert after[0].vectors["looks"].tobytes() == before[0].vectors["looks"].tobytes()
        assert [event.gist for event in after] == ["breakfast with grandmother", "", "something else", ""]
        assert before[0].id in fed(memory)


def test_a_gist_that_says_what_only_the_erased_said_loses_those_words(tmp_path: Path) -> None:
    from dataclasses import replace

    import pyarrow as pa

    with lived(tmp_path / "m", PERCEPTS, 0) as memory:
        first, second, *_ = memory.snapshot().events()
        retold = replace(first, gist=f"a morning · {CANARY}", links=(Link("summary", second.id),))
        schema = tables.schemas([SPACE])[tables.EVENTS]
        put(memory, tables.EVENTS, pa.Table.from_pylist([tables.event_row(retold, 0)], schema=schema))
        assert memory.forget(event=second.id).verified
        made = memory.snapshot().events()[0]
        assert (made.gist, made.links, list(made.vectors)) == ("a morning", (), ["looks"])


def test_merging_keeps_what_is_left_of_events_whose_percepts_were_forgotten(tmp_path: Path) -> None:
    with linked(tmp_path / "m") as memory:
        before = memory.snapshot().events()
        [made] = memory.correct(before[0].id)
        assert made.gist == "breakfast with grandmother · breakfast again"
        assert (made.lanes, set(made.percepts)) == (before[1].lanes, set(before[1].percepts))
        assert made.vectors["looks"] @ RED > 0.999
        assert memory.check().problems == ()
        [made] = memory.correct(made.id)
        assert made.gist == "breakfast with grandmother · breakfast again · something else"
        assert (made.vectors["looks"] @ RED) / (made.vectors["looks"] @ BLUE) == pytest.approx(2)  # 20 s and 10 s
        assert fed(memory) == {made.id}


def test_splitting_gives_both_halves_what_cannot_be_told_apart(tmp_path: Path) -> None:
    said = (look(11, RED), say(12, 13, "open the door"), look(15, GREEN), say(16, 18, CANARY))
    with lived(tmp_path / "m", said) as memory:
        snapshot = memory.snapshot()
        forgotten(memory, {p.id for p in snapshot.percepts() if p.t0_ns >= s(15)})
        whole = memory.snapshot().events()[1]
        one, other = memory.correct(whole.id, s(14))
        assert (one.gist, other.gist) == (f"open the door · {CANARY}", CANARY)
        assert one.vectors["looks"] @ RED > 0.999
        assert other.vectors["looks"] @ whole.vectors["looks"] > 0.999
        assert fed(memory) == {one.id}  # a token that stands for both looks is of the time in their middle
        [again] = memory.correct(one.id)
        assert (again.id, again.gist, again.lanes) == (whole.id, whole.gist, whole.lanes)


def test_long_term_memory_that_holds_nothing_any_more_is_no_obstacle(tmp_path: Path) -> None:
    said = (look(1, RED), look(4, GREEN), say(12, 14, "good morning to all"), say(22, 24, "and farewell"))
    with lived(tmp_path / "m", said) as memory:
        assert memory.forget(stream="day", t0_ns=s(4), t1_ns=s(5)).verified
        assert memory.manifest.erasing is None
        state = memory.snapshot().streams()[0]
        assert token_state.load(memory.root, state.tokens or "").banks == {}
        assert memory.forget(text="farewell").verified
