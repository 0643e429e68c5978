"""One stream, one memory: however often it is recorded, at whatever pace, and wherever the recording was broken off."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

from mneme.encoders.profiles import Embedded
from mneme.memory import token_state
from mneme.memory.exchange import content_hash
from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.recorder import Recorder
from mneme.memory.semantic import usual
from mneme.memory.settings import Detector, MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.pipeline.opening import begin, open_to_write
from mneme.pipeline.senses import DEFAULT_LANES, senses_of
from mneme.pipeline.sources import open_source
from mneme.pipeline.watch import Progress, watch
from mneme.records import NS_PER_S, Event, Moment, Percept, Picture, Pose, Space, Stream, Vector
from tests.recording import CutsAt
from tests.test_watch import SIZE, bell

DETECTORS: tuple[Detector, ...] = get_args(Detector)
LENGTH_S, FPS = 120, 4
END_NS = LENGTH_S * NS_PER_S
SPACES = (Space("looks", 16, "v1"), Space("sounds", 8, "v1"))
DAY = Stream("day", "/generated", "seed 4")
NEAR = 1e-3
"""How far vectors may differ."""


def unit(vector: Any) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def generated() -> list[Moment]:
    """Scenes seen by two cameras, hard cuts and soft ones, onsets of sounds, sentences that come when they have ended.

    Poses are there for most moments, some of them too vague to tell of a place.
    """
    rng = np.random.default_rng(4)
    scenes, noises, rooms = rng.normal(size=(5, 2, 16)), rng.normal(size=(5, 8)), rng.uniform(-15, 15, (5, 2))
    here, until_ns, spoken_ns = 0, 0, 0
    late: list[Percept] = []
    stream = []
    for k in range(LENGTH_S * FPS):
        t, step, change = k * NS_PER_S // FPS, NS_PER_S // FPS, 0.02
        if t >= until_ns:
            here, until_ns = int(rng.integers(5)), t + int(rng.uniform(5, 20) * NS_PER_S)
            change = 0.9 if rng.random() < 0.8 else 0.1
        seen = [
            Percept("day", "vision", t, t + step, camera=camera, space="looks", text=f"a thing {here}; room {here % 3}",
                    vector=unit(scenes[here, i] + 0.5 * rng.normal(size=16)), origin="eye")
            for i, camera in enumerate(("left", "right")) if rng.random() < 0.8
        ]  # fmt: skip
        if rng.random() < 0.04:
            which, length = int(rng.integers(5)), int(rng.uniform(0.2, 2) * NS_PER_S)
            vector = unit(noises[which] + 0.1 * rng.normal(size=8))
            late.append(Percept("day", "sound", t, t + length, space="sounds", vector=vector, text=f"noise {which}"))
        if t >= spoken_ns and rng.random() < 0.05:
            spoken_ns = t + int(rng.uniform(1, 6) * NS_PER_S)
            late.append(Percept("day", "speech", t, spoken_ns, text=f"sentence {k} about {here}"))
        ended = [percept for percept in late if percept.t1_ns <= t]
        late = [percept for percept in late if percept.t1_ns > t]
        x, y = rooms[here] + 0.3 * rng.normal(size=2)
        vague = float(rng.uniform(0, 3)) if rng.random() < 0.2 else 0.1
        pose = Pose(float(x), float(y), 0.0, 0.0, vague) if rng.random() < 0.7 else None
        loudness = -70.0 if change > 0.5 and rng.random() < 0.5 else -20.0
        settled_ns = min([t, *(percept.t0_ns for percept in late)])
        stream.append(Moment("day", t, (*seen, *ended), change, loudness, settled_ns, pose))
    return stream


STREAM = generated()


def settings_of(detector: Detector, **kinds: Any) -> MemorySettings:
    return MemorySettings(boundaries=detector, prototypes=12, summary_s=60.0, same_event=0.7, **kinds)


def record(
    memory: Memory, *, until_ns: int | None = None, every: int = 8, sleep_s: Sequence[int] = (), again: bool = False
) -> Recorder:
    """Records what is left of the stream, up to its end or to where it breaks off.

    every: seconds of the stream between two commits of one pace. sleep_s: when it sleeps, as far as it has not yet.
    """
    now_ns = [0]
    recorder = memory.recorder(DAY, replace=again, monotonic=lambda: now_ns[0])
    slept_ns = recorder.state.seen_ns
    for moment in (m for m in STREAM if m.t_ns >= recorder.resume_ns):
        if until_ns is not None and moment.t_ns >= until_ns:
            return recorder
        now_ns[0] = moment.t_ns // every
        if moment.t_ns > slept_ns and moment.t_ns in {t * NS_PER_S for t in sleep_s}:
            memory.sleep()
        recorder.observe(moment)
    recorder.finish(END_NS)
    return recorder


def die(memory: Memory) -> None:
    """The process ends here: nothing is flushed, and the system gives its lock back."""
    memory._lock.release()  # type: ignore[union-attr]


def breaks(seed: int, count: int) -> list[int]:
    chance = random.Random(seed)
    return sorted(chance.randrange(NS_PER_S, END_NS) for _ in range(count))


def told(root: Path) -> dict[str, Any]:
    """All that a memory remembers, but vectors."""
    snapshot = StoredSnapshot(root)
    return {
        "percepts": [(p.id, p.lane, p.camera, p.t0_ns, p.t1_ns, p.text, p.place) for p in snapshot.percepts()],
        "events": [(e.id, e.t0_ns, e.t1_ns, e.gist, e.percepts, e.place, e.lanes) for e in snapshot.events()],
        "links": [sorted((link.kind, link.event) for link in e.links) for e in snapshot.events()],
        "places": [(p.id, p.first_ns, p.last_ns, p.visits, p.moves) for p in snapshot.places()],
        "summaries": snapshot.summaries(),
        "hash": content_hash(snapshot),
    }


def vectors(root: Path) -> list[Vector]:
    """Of percepts, of events, and of long-term memory."""
    snapshot = StoredSnapshot(root)
    seen = [p.vector for p in snapshot.percepts(with_vectors=True) if p.vector is not None]
    meant = [vector for event in snapshot.events() for _, vector in sorted(event.vectors.items())]
    states = snapshot.streams()
    kept = [bank for state in states for _, bank in sorted(token_state.restored(snapshot, state).banks.items())]
    return seen + meant + [part.mean for bank in kept for prototype in bank.prototypes for part in prototype.parts]


def assert_same(one: Path, other: Path) -> None:
    a, b = told(one), told(other)
    for what, known in a.items():
        assert b[what] == known, what
    for left, right in zip(vectors(one), vectors(other), strict=True):
        np.testing.assert_allclose(left, right, atol=NEAR)
    assert Memory.open(other).check().problems == ()


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> Detector:
    kind: Detector = request.param
    return kind


@pytest.fixture(scope="module")
def whole(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stream, recorded in one go, with a sleep in the middle and one at the end."""
    root = tmp_path_factory.mktemp("whole") / detector
    with Memory.create(root, "embedded", SPACES, settings=settings_of(detector)) as memory:
        record(memory, sleep_s=(70,))
        memory.sleep()
    return root


def test_a_second_run_at_another_pace_gives_the_same_content(detector: Detector, whole: Path, tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", SPACES, settings=settings_of(detector)) as memory:
        record(memory, every=60, sleep_s=(70,))
        memory.sleep()
    assert_same(whole, tmp_path / "m")
    assert len(told(whole)["events"]) > 4
    assert any(told(whole)["links"])
    assert {summary.kind for summary in told(whole)["summaries"]} >= {"span", "usual"}


def test_a_run_that_is_broken_again_and_again_gives_the_same_content(
    detector: Detector, whole: Path, tmp_path: Path
) -> None:
    root, settings = tmp_path / "m", settings_of(detector)
    Memory.create(root, "embedded", SPACES, settings=settings).close()
    resumed = []
    for until_ns in breaks(seed=1, count=4):
        memory = Memory.open(root, "w", settings=settings)
        resumed.append(record(memory, until_ns=until_ns, sleep_s=(70,)).resume_ns)
        die(memory)
    with Memory.open(root, "w", settings=settings) as memory:
        resumed.append(record(memory, sleep_s=(70,)).resume_ns)
        memory.sleep()
    assert len(set(resumed)) > 2  # it went on from many places
    assert_same(whole, root)


def test_what_a_budget_makes_it_forget_changes_no_event_and_no_link(tmp_path: Path) -> None:
    """What goes depends on the bytes on the disk, and so on the pace of commits; what stays is what it was."""
    runs = []
    for every, budget_mb in ((8, None), (8, 0.25), (60, 0.25)):
        root = tmp_path / f"{every} {budget_mb}"
        with Memory.create(root, "embedded", SPACES, settings=settings_of("change")) as memory:
            record(memory, every=every, sleep_s=(70,))
            assert (memory.sleep(budget_mb=budget_mb).forgotten > 0) is (budget_mb is not None)
        runs.append(told(root))
    whole, *pressed = runs
    for run in pressed:
        assert [event[:4] for event in run["events"]] == [event[:4] for event in whole["events"]]
        assert run["links"] == whole["links"]
        assert set(run["percepts"]) < set(whole["percepts"])


def test_where_things_usually_are_does_not_depend_on_the_order_of_rows() -> None:
    """Two cameras see a thing at once, each in a room of its own; tables give rows in any order."""
    events = [Event("day", t, t + 10, i) for i, t in enumerate((0, 10))]
    rows = [{"t0_ns": t, "text": f"a mug; {room}", "place": place} for t in (3, 12)
            for room, place in (("hall", None), ("kitchen", None), ("hall", "garden"))]  # fmt: skip
    told = [usual(StreamState(DAY), events, pa.Table.from_pylist(each), {}) for each in (rows, rows[::-1])]
    assert told[0] == told[1]
    assert len(told[0]) == 1


def checkpoints(root: Path) -> list[Path]:
    """The files of what recordings that go on know beyond rows."""
    named = {state.checkpoint for state in StoredSnapshot(root).streams()} - {None}
    return [root / str(path) for path in named]


def test_only_a_stream_that_goes_on_has_a_checkpoint_and_only_one(tmp_path: Path) -> None:
    root, settings = tmp_path / "m", settings_of("both")
    memory = Memory.create(root, "embedded", SPACES, settings=settings)
    recorder = record(memory, until_ns=END_NS // 2)
    state = StoredSnapshot(root).streams()[0]
    assert state.events > 2
    assert sorted((root / "tokens").iterdir()) == sorted(
        {*checkpoints(root), *({root / state.tokens} if state.tokens else ())}
    )
    memory.release(recorder)
    record(memory)
    assert checkpoints(root) == []


def test_without_its_checkpoint_a_recording_goes_on_from_its_last_closed_event(tmp_path: Path) -> None:
    """As in a memory of an earlier release, after a power failure, or where the detector is another now."""
    for name, detector in (("gone", "surprise"), ("torn", "surprise"), ("another", "change")):
        root = tmp_path / name
        memory = Memory.create(root, "embedded", SPACES, settings=settings_of("surprise"))
        acknowledged = record(memory, until_ns=END_NS // 2).state
        die(memory)
        events = StoredSnapshot(root).events()
        [file] = checkpoints(root)
        if name == "gone":
            file.unlink()
        elif name == "torn":
            file.write_bytes(file.read_bytes()[:-64] + bytes(64))
        with Memory.open(root, "w", settings=settings_of(detector)) as memory:  # type: ignore[arg-type]
            assert record(memory).resume_ns == events[-1].t0_ns
            assert memory.check().problems == ()
            ids = [event.id for event in memory.snapshot().events()]
            assert ids[: acknowledged.events] == [event.id for event in events]


def test_boundaries_that_were_corrected_are_the_same_after_a_break(tmp_path: Path) -> None:
    settings, ends = settings_of("both", min_event_s=0.5, max_event_s=20.0), []
    for name in ("whole", "broken"):
        root = tmp_path / name
        with Memory.create(root, "embedded", SPACES, settings=settings) as memory:
            record(memory)
            for at_s in (31.3, 32.6, 90.1):
                event = next(e for e in memory.snapshot().events() if e.t0_ns < at_s * NS_PER_S < e.t1_ns)
                memory.correct(event.id, round(at_s * NS_PER_S))
            memory.correct(memory.snapshot().events()[4].id)
        for until_ns in breaks(seed=6, count=2) if name == "broken" else ():
            memory = Memory.open(root, "w", settings=settings)
            record(memory, until_ns=until_ns, again=True)
            die(memory)
        with Memory.open(root, "w", settings=settings) as memory:
            record(memory, again=True)
        ends.append([event.t1_ns for event in StoredSnapshot(root).events()])
    assert {round(at_s * NS_PER_S) for at_s in (31.3, 32.6, 90.1)} <= set(ends[0])
    assert_same(tmp_path / "whole", tmp_path / "broken")


def places_of(
    root: Path, moments: Sequence[Moment], settings: MemorySettings, stops_s: Sequence[float]
) -> list[str | None]:
    """The places of what is seen in 12 s with a cut at 4 s and at 8 s, recorded with a break at each of the stops."""
    for stop_s in (*stops_s, 12):
        memory = (
            Memory.create(root, "embedded", SPACES, settings=settings)
            if not root.exists()
            else Memory.open(root, "w", settings=settings)
        )
        recorder = memory.recorder(DAY, boundaries=CutsAt(4, 8), monotonic=lambda: 0)
        for moment in moments:
            if recorder.resume_ns <= moment.t_ns < stop_s * NS_PER_S:
                recorder.observe(moment)
        if stop_s == 12:
            recorder.finish(12 * NS_PER_S)
        die(memory)
    return [percept.place for percept in StoredSnapshot(root).percepts()]


def seen_at(t: int, camera: str, vector: Vector, **kinds: Any) -> Moment:
    now = t * NS_PER_S
    seen = Percept("day", "vision", now, now + NS_PER_S, camera=camera, space="looks", vector=vector)
    return Moment("day", now, (seen,), 0.0, -20.0, max(0, now - NS_PER_S), **kinds)


def test_a_place_that_was_left_before_a_cut_is_left_after_a_break_too(tmp_path: Path) -> None:
    sure, vague = Pose(0.0, 0.0, 0.0, 0.0, 0.1), Pose(9.0, 0.0, 0.0, 0.0, 5.0)
    poses = [sure, sure, vague, vague, None, None, None, None, sure, sure, sure, sure]
    moments = [seen_at(t, "left", np.eye(16, dtype=np.float32)[t], pose=pose) for t, pose in enumerate(poses)]
    settings = settings_of("change")
    whole = places_of(tmp_path / "whole", moments, settings, ())
    assert [place is not None for place in whole] == [True] * 2 + [False] * 6 + [True] * 4
    assert places_of(tmp_path / "broken", moments, settings, (6, 9, 11)) == whole


def test_the_camera_that_tells_places_apart_is_the_same_after_a_break(tmp_path: Path) -> None:
    kitchen, garden = np.eye(16, dtype=np.float32)[:2]
    moments = [seen_at(t, "left" if t % 4 else "right", kitchen if t % 4 else garden) for t in range(1, 12)]
    settings = settings_of("change", place_likeness=0.7)
    whole = places_of(tmp_path / "whole", moments, settings, ())
    assert len({*whole} - {None}) == 1
    assert places_of(tmp_path / "broken", moments, settings, (7, 11)) == whole


def test_what_is_erased_while_it_is_recorded_is_in_no_checkpoint(tmp_path: Path) -> None:
    root, settings = tmp_path / "m", settings_of("surprise")
    with Memory.create(root, "embedded", SPACES, settings=settings) as memory:
        seen = [
            p for m in STREAM for p in m.percepts if p.space == "looks" and 30 * NS_PER_S <= p.t0_ns < 50 * NS_PER_S
        ]
        recorder = memory.recorder(DAY, monotonic=lambda: 0)
        erased, checked = False, 0
        for moment in STREAM:
            recorder.observe(moment)
            if moment.t_ns == 52 * NS_PER_S:
                assert holds(checkpoints(root), seen)
                assert memory.forget(stream="day", t0_ns=30 * NS_PER_S, t1_ns=50 * NS_PER_S).verified
                erased = True
            checked += erased and bool(checkpoints(root))
            assert not erased or not holds(checkpoints(root), seen)
        assert checked > 10  # there were some, of later events
        recorder.finish(END_NS)
        assert memory.check().problems == ()


def holds(files: Sequence[Path], percepts: Sequence[Percept]) -> bool:
    """Whether a file has one of their vectors."""
    sought = {percept.vector.tobytes() for percept in percepts if percept.vector is not None}
    frames = [row for file in files for row in load_file(file).get("frames", ())]
    return any(row.tobytes() in sought for row in frames)


CUES = "1\n00:00:03,000 --> 00:00:05,500\nThe ferry leaves.\n\n2\n00:00:13,000 --> 00:00:15,000\nMind the step.\n"


def pan(seed: int, sign: str = "") -> Callable[[float], Picture]:
    """A painted wall of one colour along which the camera goes, 60 pixels a second, with a sign that stands."""
    rng = np.random.default_rng(seed)
    colours = np.clip(rng.integers(40, 215, 3) + rng.integers(-60, 61, (12, 32, 3)), 0, 255).astype(np.uint8)
    wall = Image.fromarray(colours).resize((SIZE[0] + 240, SIZE[1]), Image.Resampling.BICUBIC)

    def draw(t_s: float) -> Picture:
        left = int(t_s % 4 * 60)
        picture = wall.crop((left, 0, left + SIZE[0], SIZE[1]))
        if sign:
            pen = ImageDraw.Draw(picture)
            pen.rectangle((60, 190, 420, 244), fill=(15, 15, 15))
            pen.text((80, 198), sign, font=ImageFont.load_default(size=30), fill=(255, 255, 255))
        return np.asarray(picture, dtype=np.uint8)

    return draw


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, make_video: Any) -> Path:
    """20 s in five scenes, with a sign, two subtitles beside it, and a bell."""
    folder = tmp_path_factory.mktemp("film")
    (folder / "pier.srt").write_text(CUES, encoding="utf-8")
    scenes = [pan(0, "PIER 3 NORVIK"), pan(1), pan(2), pan(3), pan(4)]
    path: Path = make_video(
        folder / "pier.mp4", seconds=20, fps=10, size=SIZE, scenes=scenes, sound=bell, numbered=False
    )
    return path


@pytest.fixture(scope="module")
def profile() -> Embedded:
    return Embedded()


class Broken(Exception):
    """The process ends here."""


def watched(root: Path, film: Path, detector: Detector, profile: Embedded, until_ns: int | None = None) -> Recorder:
    """Watches what is left of the film with the real senses, up to its end or to where it breaks off."""

    def progress(so_far: Progress) -> None:
        if until_ns is not None and so_far.t_ns >= until_ns:
            raise Broken

    source = open_source(film)
    interval_ns = NS_PER_S // 5
    memory = open_to_write(root, profile.name, profile.spaces, MemorySettings(boundaries=detector))
    recorder = begin(memory, source.info, profile.name)
    senses = senses_of(source.info, profile, DEFAULT_LANES, interval_ns, words=True)
    try:
        watch(source, memory, recorder, senses, interval_ns, progress=progress)
        memory.close()
    except Broken:
        die(memory)
    finally:
        source.close()
    return recorder


def test_a_film_whose_watching_is_broken_gives_the_same_memory(
    film: Path, detector: Detector, profile: Embedded, tmp_path: Path
) -> None:
    watched(tmp_path / "whole", film, detector, profile)
    chance = random.Random(detector)
    stops = sorted(chance.randrange(2 * NS_PER_S, 20 * NS_PER_S) for _ in range(2))
    for until_ns in stops:
        watched(tmp_path / "broken", film, detector, profile, until_ns)
    watched(tmp_path / "broken", film, detector, profile)
    assert {lane for *_, lanes in told(tmp_path / "whole")["events"] for lane in lanes} == {
        "vision",
        "sound",
        "speech",
        "caption",
    }
    assert len(told(tmp_path / "whole")["events"]) > 2
    assert_same(tmp_path / "whole", tmp_path / "broken")
