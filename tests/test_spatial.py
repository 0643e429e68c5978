"""Places: found again on every return, whatever the noise; the same after an interruption; answered by name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import mneme
from benchmarks.apartment import draw_apartment, measure
from mneme.errors import MnemeError
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.spatial import SLACK, Fix, PlaceMap, PlaceSettings
from mneme.pipeline.perceive import Perception, Senses
from mneme.records import NS_PER_S, Moment, Observation, Percept, Place, Pose, Stream, Vector, to_ns, to_s
from mneme.ui.cli import app
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, s

METRES = st.floats(-50, 50, allow_nan=False)
SPOTS = st.lists(st.tuples(METRES, METRES), min_size=1, max_size=60)
RADIUS = 2.0


def walk(spots: Iterable[tuple[float, float]], places: PlaceMap, from_s: float = 0.0) -> list[str | None]:
    """The place at each spot, one a second."""
    return [
        places.take(Fix(to_ns(from_s + t), pose=Pose(x, y, 1.5, 0.0))) for t, (x, y) in enumerate(spots)
    ]  # fmt: skip


def new_map(most: int = 256, places: Sequence[Place] = ()) -> PlaceMap:
    return PlaceMap("walk", PlaceSettings(RADIUS, most=most), places)


@given(SPOTS)
def test_the_same_walk_finds_the_same_places(spots: list[tuple[float, float]]) -> None:
    one, other = new_map(), new_map()
    assert walk(spots, one) == walk(spots, other)
    assert one.places == other.places


@given(SPOTS, st.data())
def test_a_return_to_where_a_place_was_founded_is_that_place_within_the_noise(
    spots: list[tuple[float, float]], data: st.DataObject
) -> None:
    places = new_map()
    walk(spots, places)
    place = data.draw(st.sampled_from(places.places))
    noise = data.draw(st.floats(0, 0.99 * SLACK * RADIUS))
    angle = data.draw(st.floats(0, 2 * math.pi))
    assert place.x is not None
    assert place.y is not None
    back = (place.x + noise * math.cos(angle), place.y + noise * math.sin(angle))
    assert walk([back], places, 1000.0) == [place.key]


@given(SPOTS, st.integers(1, 5))
def test_places_are_never_more_than_the_bound_and_never_nearer_than_the_radius(
    spots: list[tuple[float, float]], most: int
) -> None:
    places = new_map(most)
    found = walk(spots, places)
    assert len(places.places) <= most
    middles = [(p.x or 0.0, p.y or 0.0) for p in places.places]
    assert all(math.dist(a, b) > RADIUS for i, a in enumerate(middles) for b in middles[:i])
    for spot, key in zip(spots, found, strict=True):
        if key is not None:
            middle = next((p.x or 0.0, p.y or 0.0) for p in places.places if p.key == key)
            assert math.dist(spot, middle) <= (1 + SLACK) * RADIUS + 1e-9


@given(SPOTS, st.integers(0, 60))
def test_a_walk_that_goes_on_from_stored_places_is_the_walk_that_was_not_interrupted(
    spots: list[tuple[float, float]], cut: int
) -> None:
    whole = new_map()
    every = walk(spots, whole)
    first = new_map()
    before = walk(spots[:cut], first)
    then = new_map(places=first.places)
    assert before + walk(spots[cut:], then, float(min(cut, len(spots)))) == every
    assert then.places == whole.places


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_noise_a_tenth_of_the_distance_between_rooms_does_not_split_them(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rooms = [(0.0, 0.0), (6.0, 0.0), (0.0, 6.0), (6.0, 6.0)]
    places = new_map()
    keys: dict[int, set[str | None]] = {}
    for t in range(200):
        room = int(draw.integers(len(rooms)))
        x, y = draw.normal(rooms[room], 0.15)
        keys.setdefault(room, set()).update(walk([(float(x), float(y))], places, t))
    assert all(len(found) == 1 for found in keys.values())
    assert len(places.places) == len(keys)


def test_a_pose_that_may_be_anywhere_founds_no_place() -> None:
    places = new_map()
    for t, spread in enumerate((5.0, math.nan, math.inf)):
        assert places.take(Fix(s(t), pose=Pose(0, 0, 0, 0, spread))) is None
    assert places.take(Fix(s(4), pose=Pose(math.nan, 0, 0, 0))) is None
    assert places.places == []


def test_moves_and_visits_make_a_graph() -> None:
    places = new_map()
    kitchen, hall, again, still = walk([(0, 0), (10, 0), (0.1, 0), (0.2, 0)], places)
    assert kitchen == again == still != hall
    by_key = {place.key: place for place in places.places}
    assert (by_key[kitchen or ""].visits, by_key[hall or ""].visits) == (2, 1)
    assert by_key[kitchen or ""].moves == ((by_key[hall or ""].id, 1),)
    walk([(0, 0)], places, 500.0)
    assert {place.key: place.visits for place in places.places}[kitchen or ""] == 3  # after a long absence


# Looks


def glance(t_s: float, vector: Sequence[float], places: PlaceMap) -> str | None:
    unit: Vector = np.asarray(vector, np.float32) / np.float32(np.linalg.norm(vector))
    return places.take(Fix(s(t_s), space="looks", vector=unit))


def test_a_look_that_lasts_founds_a_place_and_is_known_again() -> None:
    places = PlaceMap("walk", PlaceSettings(likeness=0.9))
    first = [glance(t, (1, 0.1 * (t % 2), 0), places) for t in range(4)]
    assert first[0] is first[1] is None
    assert first[2] is not None
    second = [glance(10 + t, (0, 1, 0.1), places) for t in range(4)]
    assert second[2] is not None
    assert second[2] != first[2]
    assert [glance(20, (1, 0, 0.05), places), glance(21, (0, 1, 0), places)] == [first[2], second[2]]


def test_a_look_that_is_like_two_places_is_in_none() -> None:
    places = PlaceMap("walk", PlaceSettings(likeness=0.8))
    for t in range(4):
        glance(t, (1, 0, 0), places)
    for t in range(4):
        glance(10 + t, (0.6, 0.8, 0), places)
    assert len(places.places) == 2
    assert glance(20, (0.88, 0.46, 0), places) is None


@given(st.integers(0, 1000))
def test_vectors_that_do_not_separate_make_one_place_at_most(seed: int) -> None:
    draw = np.random.default_rng(seed)
    places = PlaceMap("walk", PlaceSettings(likeness=0.8))
    for t in range(60):
        glance(t, np.ones(32) + 0.2 * draw.standard_normal(32), places)
    assert len(places.places) <= 1


# Recorded


def posed(until_s: int, *, given_from_s: int = 10**9) -> list[Moment]:
    """A second each: four stays of 10 s, the third where the first was; sights with vectors that are always new."""
    spots = [(0.0, 0.0), (10.0, 0.0), (0.3, 0.2), (10.0, 9.0)]
    made = []
    for t in range(until_s):
        x, y = spots[t // 10 % 4]
        sight = look(t, (RED, GREEN, BLUE)[t % 3], text=f"a red mug {t}")
        pose = Pose(x, y, 1.5, 0.0) if t < given_from_s else None
        made.append(Moment("day", s(t), (sight,), settled_ns=max(0, s(t - 2)), pose=pose))
    return made


def record(memory: Memory, moments: Iterable[Moment], cuts: Sequence[float], *, replace: bool = False) -> Any:
    recorder = memory.recorder(DAY, boundaries=CutsAt(*cuts), replace=replace)
    for moment in moments:
        recorder.observe(moment)
    return recorder


def test_every_percept_gets_the_place_where_it_was_perceived(memory: Memory) -> None:
    with memory:
        record(memory, posed(40), (10, 20, 30)).finish(s(40))
        percepts = memory.snapshot().percepts()
        places = {place.key: place for place in memory.snapshot().places()}
        events = memory.snapshot().events()
        assert memory.check().ok
    assert [(p.visits, p.first_ns // NS_PER_S, p.last_ns // NS_PER_S) for p in places.values()] == [
        (2, 0, 29), (1, 10, 19), (1, 30, 39)
    ]  # fmt: skip
    by_stay = [{p.place for p in percepts if s(10 * k) <= p.t0_ns < s(10 * k + 10)} for k in range(4)]
    assert all(len(found) == 1 for found in by_stay)
    assert by_stay[0] == by_stay[2] != by_stay[1]
    assert [event.place for event in events] == [found.pop() for found in by_stay]


def test_a_percept_that_names_its_place_keeps_it_and_the_place_is_listed(memory: Memory) -> None:
    named = Moment("day", s(1), (look(1, RED, place="kitchen 3"), look(1.5, BLUE)), pose=Pose(1, 2, 0, 0.5))
    later = Moment("day", s(2), (look(2, GREEN, place="cellar 1"),), settled_ns=s(2))
    with memory:
        record(memory, [named, later], ()).finish(s(4))
        snapshot = memory.snapshot()
        assert [p.place for p in snapshot.percepts()] == ["kitchen 3", "kitchen 3", "cellar 1"]
        kitchen, cellar = snapshot.places()
    assert (kitchen.key, kitchen.name, kitchen.x, kitchen.moves) == ("kitchen 3", "kitchen 3", 1, ((cellar.id, 1),))


@pytest.mark.parametrize("broken_at", [5, 12, 19, 23, 31, 38])
def test_a_recording_that_was_broken_off_finds_the_same_places_as_one_that_was_not(
    tmp_path: Path, broken_at: int
) -> None:
    cuts = (8, 17, 24, 33)

    def content(memory: Memory) -> Any:
        snapshot = memory.snapshot()
        return (
            snapshot.places(),
            [(p.id, p.place) for p in snapshot.percepts()],
            [(e.id, e.place) for e in snapshot.events()],
        )

    with Memory.create(tmp_path / "whole", "embedded", [SPACE]) as whole:
        record(whole, posed(40), cuts).finish(s(40))
        wanted = content(whole)
    with Memory.create(tmp_path / "broken", "embedded", [SPACE]) as memory:
        record(memory, posed(broken_at), cuts)
    with Memory.open(tmp_path / "broken", "w") as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(*cuts))
        for moment in posed(40):
            if moment.t_ns >= recorder.resume_ns:
                recorder.observe(moment)
        recorder.finish(s(40))
        assert content(memory) == wanted


def test_a_name_that_a_person_gave_stays_when_the_stream_is_watched_anew(memory: Memory) -> None:
    with memory:
        record(memory, posed(40), (10, 20, 30)).finish(s(40))
        place = memory.snapshot().places()[1]
        assert memory.name_place(place.id, "Granny's corner").id == place.id
        anew = record(memory, [m for m in posed(40) if m.t_ns >= s(3)], (10, 20, 30), replace=True)
        assert memory.snapshot().places()[1].name == "Granny's corner"
        anew.finish(s(40))
        known = memory.snapshot().places()
        assert [p.name for p in known] == ["", "Granny's corner", ""]
        assert known[0].first_ns == s(3)
        assert memory.check().ok


def test_a_place_is_named_while_it_is_recorded(memory: Memory) -> None:
    with memory:
        recorder = record(memory, posed(25), (10, 20))
        memory.name_place(memory.snapshot().places()[0].id, "porch")
        for moment in posed(40)[25:]:
            recorder.observe(moment)
        recorder.finish(s(40))
        assert next((p.name, p.last_ns // NS_PER_S) for p in memory.snapshot().places()) == ("porch", 29)


def test_places_and_their_names_go_with_a_stream_into_another_memory(memory: Memory, tmp_path: Path) -> None:
    with memory, Memory.create(tmp_path / "other", "embedded", [SPACE]) as other:
        record(memory, posed(40), (10, 20, 30)).finish(s(40))
        memory.name_place(memory.snapshot().places()[0].id, "porch")
        snapshot = memory.snapshot()
        other.adopt(snapshot.streams()[0], [], [], snapshot.places())
        assert other.snapshot().places() == snapshot.places()
        assert other.snapshot().places()[0].name == "porch"


@pytest.mark.parametrize(("called", "name"), [("attic", "loft"), ("kitchen 3", "a;b"), ("kitchen 3", "x" * 81)])
def test_a_place_that_is_not_known_and_a_name_that_is_none_are_refused(memory: Memory, called: str, name: str) -> None:
    with memory:
        record(memory, [Moment("day", s(1), (look(1, RED, place="kitchen 3"),))], ()).finish(s(2))
        with pytest.raises(MnemeError):
            memory.name_place(called, name)


def test_looks_tell_places_apart_where_the_setting_asks_for_it(tmp_path: Path) -> None:
    def sights() -> list[Moment]:
        views = [RED] * 10 + [GREEN] * 10 + [RED] * 10
        return [Moment("day", s(t), (look(t, v, text=f"{t}"),), settled_ns=s(t)) for t, v in enumerate(views)]

    for likeness, count in ((0.0, 0), (0.9, 2)):
        made = MemorySettings(separation=1.1, place_likeness=likeness)
        with Memory.create(tmp_path / f"m{likeness}", "embedded", [SPACE], settings=made) as memory:
            record(memory, sights(), (10, 20)).finish(s(30))
            assert len(memory.snapshot().places()) == count
            places = [p.place for p in memory.snapshot().percepts()]
        if count:
            assert places[9] == places[29] != places[19]
            assert places[0] is None


def test_a_stream_that_never_says_where_it_is_has_no_places(memory: Memory) -> None:
    with memory:
        record(memory, [Moment("day", s(1), (look(1, RED),))], ()).finish(s(2))
        assert memory.snapshot().places() == []
        assert [p.place for p in memory.snapshot().percepts()] == [None]


# Asked

WALK = [  # (seconds, words, place that is named, x)
    (0, "a red mug, a blue chair; kitchen", None, 0.0),
    (4, "a red mug; kitchen", None, 0.2),
    (20, "a green ball; garage", None, 20.0),
    (24, "a green ball; garage", None, 20.4),
    (40, "a yellow lamp", None, 40.0),
    (60, "a red mug, a green ball; office", "office 7", 60.0),
    (80, "a blue chair; kitchen", None, 0.1),
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk through a flat, by poses; one corner has no name of its own."""
    from mneme.encoders.profiles import Embedded

    folder = tmp_path_factory.mktemp("flat") / "flat.mneme"
    with Memory.create(folder, "embedded", Embedded().spaces) as memory:
        recorder = memory.recorder(Stream("walk", "/nowhere", "d"), boundaries=CutsAt(20, 40, 60, 80))
        beside = {
            40: Percept("walk", "sound", s(41), s(42), text="bell", origin="ears", confidence=0.9),
            60: Percept("walk", "caption", s(62), s(64), text="FIRE EXIT", origin="rapidocr", confidence=0.9),
        }
        for t, words, place, x in WALK:
            percept = Percept("walk", "vision", s(t), s(t + 1), text=words, origin="eyes", confidence=0.9, place=place)
            recorder.observe(Moment("walk", s(t), (percept,), 0.0, -60.0, s(t), Pose(x, 0, 0, 0)))
            if t in beside:  # heard and read a little later
                late = s(t + 5)
                recorder.observe(Moment("walk", late, (beside[t],), 0.0, -60.0, s(t), Pose(x, 0, 0, 0)))
        recorder.finish(s(90))
        (corner,) = [place for place in memory.snapshot().places() if place.first_ns == s(40)]
        memory.name_place(corner.id, "Granny's corner")
    return folder


@pytest.mark.parametrize(
    ("question", "words", "t_s", "place"),
    [
        ("Where is the red mug?", "In the office", 60.0, "office 7"),
        ("Where is the green ball now?", "In the office", 60.0, "office 7"),
        ("Where was the red mug before?", "In the kitchen", 0.0, "kitchen"),
        ("Where was the green ball before that?", "In the garage", 20.0, "garage"),
        ("Where was the red mug before it was moved?", "In the kitchen", 0.0, "kitchen"),
        ("Where was the red mug before it was in the office?", "In the kitchen", 0.0, "kitchen"),
        ("Where is the yellow lamp?", "In Granny's corner", 40.0, "Granny's corner"),
        ("Where did I hear the bell?", "In Granny's corner", 41.0, "Granny's corner"),
        ("What happened in Granny's corner?", "a yellow lamp seen; bell heard", 40.0, "Granny's corner"),
        ("What happened in the office?", "FIRE EXIT", 60.0, "office 7"),
        ("What happened in office 7?", "a green ball, a red mug seen", 60.0, "office 7"),
        ("What happened in the kitchen?", "2 stays in the kitchen", 80.0, "kitchen"),
        ("When was I last in the kitchen?", "1:20", 80.0, "kitchen"),
        ("When was I last in Granny's corner?", "0:40", 40.0, "Granny's corner"),
        ("Which room did I visit after the garage?", "Granny's corner", 40.0, "Granny's corner"),
    ],
)
def test_a_question_about_a_place_is_answered_by_its_name(
    flat: Path, question: str, words: str, t_s: float, place: str
) -> None:
    with mneme.open(flat) as opened:
        answer = opened.ask(question)
    assert not answer.abstained, answer.text
    assert words in answer.text
    assert to_s(answer.evidence[0].t0_ns) == t_s
    assert answer.evidence[0].place == place


@pytest.mark.parametrize(
    "question",
    ["Where was the yellow lamp before?", "What happened in the cellar?", "When was I last in the attic?"],
)
def test_what_was_never_in_a_place_is_not_answered(flat: Path, question: str) -> None:
    with mneme.open(flat) as opened:
        assert opened.ask(question).abstained


def test_places_are_listed_named_and_found_on_the_command_line(flat: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy.mneme"
    shutil.copytree(flat, folder)

    def told(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["places", "--memory", str(folder), *arguments])
        return (done.exit_code, json.loads(done.stdout) if done.exit_code == 0 else done.stderr)

    code, listed = told("--json")
    assert code == 0
    assert [(p["name"], p["visits"]) for p in listed] == [
        ("kitchen", 2), ("garage", 1), ("Granny's corner", 1), ("office 7", 1)
    ]  # fmt: skip
    assert listed[0]["moves"] == [{"to": listed[1]["id"], "name": "garage", "count": 1}]
    assert [p["name"] for p in told("--json", "--find", "the kitchenette")[1]] == ["kitchen"]
    code, listed = told("--json", "--name", listed[1]["id"], "the cave")
    assert (listed[1]["name"], listed[1]["named"], listed[1]["room"]) == ("the cave", True, "garage")
    code, listed = told("--json", "--name", "the cave", "", "--find", "garage")
    assert (code, [(p["name"], p["named"]) for p in listed]) == (0, [("garage", False)])
    assert told("--name", "attic", "loft") == (
        2, "mneme: there is no place 'attic' in this memory; mneme places lists those that it knows\n"
    )  # fmt: skip


# Perceived


def test_a_pose_travels_with_its_observation_to_the_moment() -> None:
    senses = Senses("s", (), (), None)
    here = Pose(1, 2, 3, 0.5, 0.1)
    with Perception(senses) as perception:
        made = perception.push(Observation("s", 0, pose=here)) + perception.push(Observation("s", NS_PER_S))
    assert [moment.pose for moment in made] == [here, None]


# Lived in


def test_an_apartment_of_some_minutes_is_answered_and_its_rare_room_is_what_a_fifo_forgets(tmp_path: Path) -> None:
    result = measure(draw_apartment(3, 6), tmp_path, posed=True)
    assert result["sound"]
    assert {kind: share["right"] for kind, share in result["right"].items()} == dict.fromkeys(result["right"], 1.0)
    assert result["right"]["where"]["asked"] > 20
    assert result["fifo"]["right"]["rare where"]["right"] == 0.0
    assert result["slept"]["sound"]
