"""What a policy or a VLM is handed of a memory: the budget rule, and tokens end to end."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mneme.errors import MemoryFormatError, MnemeError, QuestionError, SettingsError
from mneme.memory.condense import Token, deal, merged
from mneme.memory.frames import FrameCache
from mneme.memory.memory import Memory
from mneme.memory.tokens import gather, halves
from mneme.pipeline.mneme import open_memory
from mneme.records import NS_PER_S, MemoryTokens, Moment, Observation, Percept, Space, Stream
from mneme.ui.cli import app

DIM = 64
"""So many that no two sights drawn at random are alike enough for pattern separation."""
SPACE = Space("looks", DIM, "v1")
RNG = np.random.default_rng(7)
counts = st.lists(st.integers(0, 20), max_size=12)


class CutsAt:
    """Boundaries known beforehand."""

    def __init__(self, *cuts_s: int) -> None:
        self._cuts = [cut * NS_PER_S for cut in cuts_s]
        self.settled_ns = 0

    def push(self, t_ns: int, change: float | None, loudness_db: float | None) -> list[int]:
        del change, loudness_db
        before, self.settled_ns = self.settled_ns, t_ns
        return [cut for cut in self._cuts if before < cut <= t_ns]

    def flush(self) -> list[int]:
        return []

    def resume(self, closed_ns: int) -> None:
        self.settled_ns = closed_ns


def sight(t_s: float, stream: str = "day", tokens: int = 3, **kinds: Any) -> Percept:
    rows = RNG.standard_normal((tokens, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    t_ns = round(t_s * NS_PER_S)
    whole = rows.astype(np.float16) if tokens > 1 else None
    return Percept(stream, "vision", t_ns, t_ns + 1, space="looks", vector=rows[0], tokens=whole, **kinds)


def words(t_s: float, text: str, stream: str = "day") -> Percept:
    return Percept(stream, "speech", round(t_s * NS_PER_S), round((t_s + 2) * NS_PER_S), text=text)


def record(memory: Memory, seconds: int, cuts: Sequence[int], *, ends: bool = True, **kinds: Any) -> Any:
    """A sight a second, in events that end at the cuts."""
    stream = kinds.pop("stream", "day")
    said = kinds.pop("said", [])
    recorder = memory.recorder(Stream(stream, "/x", "d" + stream), boundaries=CutsAt(*cuts))
    for t in range(seconds):
        spoken = tuple(p for p in said if p.t0_ns == t * NS_PER_S)
        moment = Moment(stream, t * NS_PER_S, (sight(t, stream, **kinds), *spoken), 0.0, None, t * NS_PER_S)
        recorder.observe(moment)
    if ends:
        recorder.finish(seconds * NS_PER_S)
    return recorder


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as made:
        yield made


def tokens_of(memory: Memory, budget: int, **options: Any) -> MemoryTokens:
    return gather(memory.snapshot(), lane="vision", space=SPACE, budget=budget, **options)


def told(tokens: MemoryTokens, tier: str) -> list[int]:
    """Seconds of the tokens of a tier."""
    return [int(t // NS_PER_S) for t, each in zip(tokens.t_ns, tokens.tier, strict=True) if each == tier]


def sources_of(tokens: MemoryTokens, tier: str) -> list[tuple[tuple[str, float], ...]]:
    return [source for source, each in zip(tokens.source, tokens.tier, strict=True) if each == tier]


def assert_whole(tokens: MemoryTokens, budget: int) -> None:
    """What holds of all memory tokens, whatever the memory."""
    n = int(tokens.mask.sum())
    assert tokens.tokens.shape == (budget, DIM)
    assert tokens.tokens.dtype == np.float32
    assert tokens.mask.tolist() == [True] * n + [False] * (budget - n)
    assert len(tokens.tier) == len(tokens.place) == len(tokens.source) == len(tokens.t_ns) == budget
    assert set(tokens.tier[:n]) <= {"working", "recalled", "long"}
    assert set(tokens.tier[n:]) <= {""}
    assert not tokens.tokens[n:].any()
    assert np.allclose(np.linalg.norm(tokens.tokens[:n], axis=1), 1.0, atol=2e-3)
    assert (np.diff(tokens.t_ns[:n]) >= 0).all()
    for source in tokens.source[:n]:
        assert sum(share for _, share in source) == pytest.approx(1.0)
    assert set(tokens.source[n:]) <= {()}


@given(budget=st.integers(1, 500), working=st.integers(0, 700), past=st.integers(0, 700))
def test_each_half_keeps_its_share_and_what_one_cannot_use_flows_to_the_other(
    budget: int, working: int, past: int
) -> None:
    share, rest = halves(budget, working, past)
    assert share + rest == min(budget, working + past)
    assert min(working, budget - budget // 2) <= share <= working
    assert min(past, budget // 2) <= rest <= past


@given(wanted=counts, slots=st.integers(0, 100), data=st.data())
def test_every_one_gets_one_before_any_gets_two(wanted: list[int], slots: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(wanted))))
    dealt = deal(wanted, slots, order)
    assert sum(dealt) == min(slots, sum(wanted))
    assert all(0 <= got <= most for got, most in zip(dealt, wanted, strict=True))
    short = [got for got, most in zip(dealt, wanted, strict=True) if got < most]
    assert all(got <= min(short, default=got) + 1 for got in dealt)
    for a, b in pairwise(order):
        assert dealt[a] >= dealt[b] or dealt[a] == wanted[a]


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 400), keep=st.integers(0, 40), events=st.integers(1, 5))
def test_merging_loses_no_weight_and_no_source(n: int, keep: int, events: int) -> None:
    rows = np.random.default_rng(n).standard_normal((n, 8)).astype(np.float32)
    given_tokens = [
        Token(row, "day", i, None, ((f"e{i * events // n}", 1.0),), 1.0 + i % 3) for i, row in enumerate(rows)
    ]
    left = merged(given_tokens, keep)
    assert len(left) == min(n, keep)
    if left:
        assert sum(t.weight for t in left) == pytest.approx(sum(t.weight for t in given_tokens))
        for event in {event for t in given_tokens for event, _ in t.source}:
            before = sum(t.weight for t in given_tokens if t.source[0][0] == event)
            after = sum(t.weight * share for t in left for name, share in t.source if name == event)
            assert after == pytest.approx(before)
        assert [t.t_ns for t in left] == sorted(t.t_ns for t in left)


def test_an_empty_memory_gives_zeros_all_masked(memory: Memory) -> None:
    tokens = tokens_of(memory, 5)
    assert_whole(tokens, 5)
    assert not tokens.mask.any()


def test_every_budget_is_kept_and_filled_as_far_as_there_is_something(memory: Memory) -> None:
    record(memory, 30, [6, 14, 21])
    hits = memory.snapshot().percepts(lanes=("vision",), t0_ns=8 * NS_PER_S, t1_ns=11 * NS_PER_S)
    cache = FrameCache()
    for budget in (*range(1, 40), 64, 91, 200):
        for query in (None, hits):
            tokens = tokens_of(memory, budget, hits=query, cache=cache)
            assert_whole(tokens, budget)
            again = tokens_of(memory, budget, hits=query)
            assert np.array_equal(tokens.tokens, again.tokens)
            assert (tokens.tier, tokens.source) == (again.tier, again.source)
            if query is None:
                assert tokens.mask.sum() == min(budget, 90) or budget - tokens.mask.sum() < 2, budget


def test_with_room_for_all_every_percept_gives_all_its_tokens(memory: Memory) -> None:
    record(memory, 10, [6])
    tokens = tokens_of(memory, 64)
    assert told(tokens, "long") == sorted([*range(6)] * 3)
    assert told(tokens, "working") == sorted([*range(6, 10)] * 3)
    stored = memory.snapshot().percepts(lanes=("vision",), with_vectors=True)
    assert np.allclose(tokens.tokens[:30], np.concatenate([p.tokens for p in stored]))


def test_the_newest_stand_for_themselves_and_the_older_are_merged(memory: Memory) -> None:
    record(memory, 40, [], tokens=1)
    tokens = tokens_of(memory, 8)
    assert set(tokens.tier) == {"working"}
    stored = memory.snapshot().percepts(with_vectors=True)
    assert told(tokens, "working")[-4:] == [36, 37, 38, 39]
    assert np.allclose(tokens.tokens[-4:], [p.vector for p in stored[-4:]])
    assert all(t < 36 for t in told(tokens, "working")[:4])


def test_coverage_comes_before_detail_and_detail_goes_to_the_newest(memory: Memory) -> None:
    record(memory, 6, [])
    assert told(tokens_of(memory, 10), "working") == [0, 1, 2, 3, 4, 4, 4, 5, 5, 5]


def test_every_event_is_represented_before_any_twice(memory: Memory) -> None:
    record(memory, 30, [2, 4, 8, 16, 24], tokens=1)
    closed = [event.id for event in memory.snapshot().events()][:-1]
    for budget in (10, 12, 20):
        sources = sources_of(tokens_of(memory, budget), "long")
        got = [sum(share for source in sources for name, share in source if name == event) for event in closed]
        assert all(count == pytest.approx(round(count)) for count in got)
        assert min(got) >= 1
    few = sources_of(tokens_of(memory, 6), "long")
    assert len(few) == 3
    assert {name for source in few for name, _ in source} == {*closed}


def test_a_query_brings_the_hits_with_their_neighbours_in_time(memory: Memory) -> None:
    record(memory, 60, [40], tokens=1)
    snapshot = memory.snapshot()
    hits = [p for p in snapshot.percepts(lanes=("vision",)) if p.t0_ns // NS_PER_S in (10, 20, 30)]
    assert told(tokens_of(memory, 24, hits=hits[:2]), "recalled") == [9, 10, 11, 20, 21]  # three of ten: the best's
    recalled = tokens_of(memory, 40, hits=hits)
    assert told(recalled, "recalled") == [9, 10, 11, 19, 20, 21, 29, 30, 31]
    assert recalled.tier.count("working") == 20


def test_words_spoken_bring_back_what_was_seen_meanwhile(memory: Memory) -> None:
    said = words(11, "the red mug")
    record(memory, 30, [20], said=[said])
    seen = told(tokens_of(memory, 40, hits=[said]), "recalled")
    assert {11, 12} <= set(seen) <= {10, 11, 12, 13}


def test_what_stands_in_the_working_tier_is_not_recalled_too(memory: Memory) -> None:
    record(memory, 6, [])
    hits = memory.snapshot().percepts(lanes=("vision",))
    tokens = tokens_of(memory, 18, hits=hits)
    assert tokens.tier == ("working",) * 18
    assert told(tokens, "working") == sorted([*range(6)] * 3)


def test_what_is_not_stored_yet_is_working_memory(memory: Memory) -> None:
    recorder = record(memory, 12, [5], ends=False)
    stored = memory.snapshot().percepts(lanes=("vision",))
    assert len(stored) < 12
    tokens = tokens_of(memory, 64, pending=recorder.pending)
    assert told(tokens, "working") == sorted([*range(5, 12)] * 3)
    assert {s[0][0] for s, tier in zip(tokens.source, tokens.tier, strict=True) if tier == "working"} == {"open:day"}


def test_what_was_read_before_a_commit_is_right_after_it(memory: Memory) -> None:
    cache = FrameCache()
    recorder = memory.recorder(Stream("day", "/x", "d"), boundaries=CutsAt(7, 15), monotonic=lambda: 0)
    for t in range(24):
        recorder.observe(Moment("day", t * NS_PER_S, (sight(t),), 0.0, None, t * NS_PER_S))
        if t % 4 == 3:
            recorder.flush()
        kept = tokens_of(memory, 30, pending=recorder.pending, cache=cache)
        fresh = tokens_of(memory, 30, pending=recorder.pending)
        assert np.array_equal(kept.tokens, fresh.tokens), t
        assert (kept.tier, kept.source, kept.t_ns.tolist()) == (fresh.tier, fresh.source, fresh.t_ns.tolist())


def test_a_replaced_stream_gives_the_tokens_of_its_new_recording(memory: Memory) -> None:
    cache = FrameCache()
    record(memory, 10, [4])
    before = tokens_of(memory, 20, cache=cache)
    recorder = memory.recorder(Stream("day", "/x", "other"), replace=True, boundaries=CutsAt(4))
    for t in range(10):
        recorder.observe(Moment("day", t * NS_PER_S, (sight(t),), 0.0, None, t * NS_PER_S))
    recorder.flush()
    assert recorder.pending == ()
    assert np.array_equal(tokens_of(memory, 20, cache=cache).tokens, before.tokens)
    recorder.finish(10 * NS_PER_S)
    after = tokens_of(memory, 20, cache=cache)
    assert not np.allclose(after.tokens, before.tokens)
    assert np.array_equal(after.tokens, tokens_of(memory, 20).tokens)


def test_streams_are_never_merged_with_each_other(memory: Memory) -> None:
    record(memory, 30, [10, 20], tokens=1, stream="a")
    record(memory, 30, [10, 20], tokens=1, stream="b")
    stream_of = {event.id: event.stream for event in memory.snapshot().events()}
    tokens = tokens_of(memory, 6)
    for source in tokens.source:
        assert len({stream_of[name] for name, _ in source}) == 1
    alone = tokens_of(memory, 6, stream="b")
    assert {stream_of[name] for source in alone.source for name, _ in source} == {"b"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, make_video: Any) -> Path:
    """A memory of a film with three scenes, in the second of which something is said."""
    folder = tmp_path_factory.mktemp("tokens")
    checks = [np.kron(RNG.integers(0, 255, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(3)]
    (folder / "film.srt").write_text("1\n00:00:05,000 --> 00:00:06,500\nThe bakery opens at half past six.\n")
    film = make_video(folder / "film.mp4", seconds=12, size=(160, 120), scenes=checks, numbered=False)
    with open_memory(folder / "m.mneme") as memory:
        memory.watch(film)
    np.save(folder / "second.npy", checks[1])
    return folder


def test_a_watched_film_gives_tokens_of_its_scenes(watched: Path) -> None:
    with open_memory(watched / "m.mneme") as memory:
        tokens = memory.tokens(64)
        events = {event.id: event for event in memory.events()}
        assert tokens.tokens.shape == (64, 352)
        assert tokens.mask.any()
        assert (tokens.lane, tokens.space) == ("vision", "layout")
        for source, t_ns, real in zip(tokens.source, tokens.t_ns, tokens.mask, strict=True):
            assert not real or any(events[name].t0_ns <= t_ns < events[name].t1_ns for name, _ in source)
        speech = memory.tokens(4, lane="speech")
        assert int(speech.mask.sum()) == 1
        assert speech.space == "minilm"


def test_words_and_pictures_bring_back_their_scene(watched: Path) -> None:
    with open_memory(watched / "m.mneme") as memory:
        for query in ("bakery", np.load(watched / "second.npy")):
            tokens = memory.tokens(24, query)
            best = [t / NS_PER_S for t, tier in zip(tokens.t_ns, tokens.tier, strict=True) if tier == "recalled"]
            assert any(4.0 <= t < 8.0 for t in best), (type(query), best)


def test_what_a_live_stream_saw_last_is_in_the_tokens_at_once(tmp_path: Path) -> None:
    rooms = [np.kron(RNG.integers(0, 255, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8) for _ in range(5)]
    with open_memory(tmp_path / "m.mneme") as memory:
        seen: list[MemoryTokens] = []
        reader = threading.Thread(target=lambda: seen.extend(memory.tokens(32) for _ in range(5)))
        for i in range(40):
            memory.observe(Observation("robot", i * NS_PER_S // 5, {"eye": rooms[i // 8]}))
            if i == 10:
                reader.start()
        reader.join()
        assert len(seen) == 5
        tokens = memory.tokens(64, stream="robot")
        described = memory.profile.vision.encode([rooms[4]]).vectors[0]
        newest = tokens.tokens[[tier == "working" for tier in tokens.tier]]
        assert float((newest @ described).max()) > 0.98
        assert int(tokens.t_ns.max()) >= 6 * NS_PER_S
        with pytest.raises(MnemeError, match="robot"):
            memory.tokens(8, stream="nobody")


@pytest.mark.parametrize("budget", [0, -1, 65_537, True, 2.5, "8", None])
def test_a_budget_that_makes_no_sense_is_refused(watched: Path, budget: Any) -> None:
    with open_memory(watched / "m.mneme") as memory, pytest.raises(SettingsError, match="65536"):
        memory.tokens(budget)


def test_what_cannot_be_asked_for_is_refused(watched: Path, tmp_path: Path) -> None:
    with open_memory(watched / "m.mneme") as memory:
        with pytest.raises(SettingsError, match="smell"):
            memory.tokens(8, lane="smell")  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="state"):
            memory.tokens(8, lane="state")
        for query in ("", " ?! ", "a" * 3000, np.zeros((4, 4), np.uint8), np.zeros((8, 8, 3), np.uint8), 7):
            with pytest.raises(QuestionError):
                memory.tokens(8, query)  # type: ignore[arg-type]
        with pytest.raises(QuestionError, match="no picture"):
            memory.tokens(8, tmp_path / "none.png")
    with open_memory(tmp_path / "none.mneme") as memory, pytest.raises(MemoryFormatError):
        memory.tokens(8)


runner = CliRunner()


def test_the_command_writes_a_file_that_numpy_reads_without_pickle(watched: Path, tmp_path: Path) -> None:
    out = tmp_path / "tokens.npz"
    out.write_bytes(b"an earlier one")
    told = runner.invoke(
        app,
        ["tokens", "-m", str(watched / "m.mneme"), "--budget", "24", "--query", "bakery", "--out", str(out), "--json"],
    )
    assert told.exit_code == 0, told.output
    line = json.loads(told.output)
    with np.load(out, allow_pickle=False) as file:
        assert {"tokens", "mask", "tier", "t_ns", "place", "source"} <= set(file.files)
        assert file["tokens"].shape == (24, 352)
        assert int(file["mask"].sum()) == line["tokens"]
        assert file["t_ns"].dtype == np.int64
        assert file["tier"].tolist().count("recalled") == line["tiers"]["recalled"]
        sources = [json.loads(str(source)) for source in file["source"]]
        assert all(sum(share for _, share in s) == pytest.approx(1.0) for s in sources[: line["tokens"]])
    assert [p.name for p in tmp_path.iterdir()] == ["tokens.npz"]


def test_the_command_refuses_in_one_line(watched: Path, tmp_path: Path) -> None:
    there = ["--memory", str(watched / "m.mneme"), "--out", str(tmp_path / "t.npz")]
    cases = {
        "65536": [*there, "--budget", "0"],
        "smell": [*there, "--budget", "8", "--lane", "smell"],
        "film": [*there, "--budget", "8", "--stream", "other"],
        "--image": [*there, "--budget", "8", "--query", "a", "--image", "b.png"],
        "is a folder": ["--memory", str(watched / "m.mneme"), "--budget", "8", "--out", str(tmp_path)],
        "there is no folder": [
            "--memory",
            str(watched / "m.mneme"),
            "--budget",
            "8",
            "--out",
            str(tmp_path / "a" / "b"),
        ],
    }
    for word, arguments in cases.items():
        done = runner.invoke(app, ["tokens", *arguments])
        assert done.exit_code == 2, (word, done.output, done.exception)
        assert len(done.stderr.strip().splitlines()) == 1
        assert word in done.stderr
    assert not (tmp_path / "t.npz").exists()


def test_the_page_of_the_documentation_runs_as_it_stands(
    watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "tokens.md").read_text(encoding="utf-8")
    (tmp_path / "kitchen.mneme").symlink_to(watched / "m.mneme")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(console|python)\n(.*?)```", page, re.DOTALL)
    commands = [line for kind, block in blocks if kind == "console" for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        done = runner.invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
    scope: dict[str, Any] = {}
    for kind, block in blocks:
        if kind == "python":
            exec(block, scope)
    assert scope["tokens"].shape == (8, 384)
    assert scope["real"].shape[1] == 352
