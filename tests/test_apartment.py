"""The apartment's benchmark: the same story as percepts and as pixels, judged alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.apartment import draw_apartment, measure_pixels
from benchmarks.apartment_questions import Asked, Judged, faults, judge, named, questions
from benchmarks.world.film import Film, watch_film
from mneme.memory.memory import Memory
from mneme.memory.spatial import PlaceSettings
from mneme.memory.whereabouts import Whereabouts
from mneme.records import NS_PER_S, Answer, Evidence, Moment, Observation, Percept, Pose, Space, Stream

STORY = draw_apartment(3, 2)


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film") / "posed.mneme"
    watch_film(STORY, folder, posed=True, side=96)
    return folder


def sights(folder: Path) -> list[Percept]:
    with Memory.open(folder) as memory:
        return memory.snapshot().percepts(lanes=("vision",))


# A story as a source


def same(a: Observation, b: Observation) -> bool:
    pictures = a.images.keys() == b.images.keys() and all(np.array_equal(a.images[k], b.images[k]) for k in a.images)
    return pictures and (a.t_ns, a.text, a.text_until_ns, a.pose) == (b.t_ns, b.text, b.text_until_ns, b.pose)


def test_a_film_shows_a_picture_a_second_and_tells_each_line_when_it_begins() -> None:
    film = Film(STORY, "s", fps=1.0, side=64, posed=True)
    seen = list(film.observations())
    assert [o.t_ns for o in seen] == sorted(o.t_ns for o in seen)
    pictures = [o for o in seen if o.images]
    assert [o.t_ns for o in pictures] == [k * NS_PER_S for k in range(120)]
    assert {o.images[""].shape for o in pictures} == {(64, 64, 3)}
    assert all(o.pose is not None for o in pictures)
    told = [(o.t_ns, o.text) for o in seen if o.text]
    assert told == [(line.t0_ns, line.text) for visit in STORY.visits() for line in visit.lines] != []


def test_a_film_that_is_read_on_from_a_time_is_the_film_from_there() -> None:
    film = Film(STORY, "s", fps=1.0, side=64)
    whole = [o for o in film.observations() if o.t_ns >= 30 * NS_PER_S]
    onward = list(film.observations(30 * NS_PER_S))
    assert len(onward) == len(whole) > 80
    assert all(same(a, b) for a, b in zip(onward, whole, strict=True))


def test_a_film_without_poses_has_none() -> None:
    assert all(o.pose is None for o in Film(STORY, "s", side=64).observations())


# Where the sights of a film are


def test_every_sight_of_a_film_with_poses_has_a_place(posed: Path) -> None:
    assert len(sights(posed)) > 10
    assert [p.t0_ns / NS_PER_S for p in sights(posed) if p.place is None] == []


def test_what_settles_at_once_is_in_the_places_where_it_was() -> None:
    here, there = Pose(0, 0, 0, 0), Pose(10, 0, 0, 0)
    where = Whereabouts("s", PlaceSettings())
    where.settle(0, 0)
    for second, pose in enumerate((here, here, there, there, here)):
        where.observe(Moment("s", second * NS_PER_S, pose=pose))
    where.settle(5 * NS_PER_S, 5 * NS_PER_S)  # as where a cut was awaited that did not come
    places = [where.at(second * NS_PER_S) for second in range(5)]
    assert None not in places
    assert places[0] == places[1] == places[4] != places[2] == places[3]


def test_the_first_sight_behind_a_cut_is_where_the_cut_was(tmp_path: Path) -> None:
    """The camera walks on while the cut is still awaited."""
    space = Space("x", 2, "x")
    with Memory.create(tmp_path / "m", "embedded", (space,)) as memory:
        recorder = memory.recorder(Stream("s", "here", ""))
        for second in range(40):
            t_ns, late = second * NS_PER_S, second >= 20
            angle = second * 0.7  # unlike the one before, so that each is kept
            sight = Percept(
                "s", "vision", t_ns, t_ns + NS_PER_S, space="x",
                vector=np.array([np.cos(angle), np.sin(angle)], np.float32),
            )  # fmt: skip
            change = 1.0 if second == 20 else 0.0
            pose = Pose(0.0 if second < 20 else 10.0 * (second - 19), 0, 0, 0)
            recorder.observe(Moment("s", t_ns, (sight,), change, -30.0 if late else -50.0, t_ns, pose))
        recorder.finish(40 * NS_PER_S)
        snapshot = memory.snapshot()
        kept = snapshot.percepts()
        starts = [event.t0_ns for event in snapshot.events()]
    assert len(starts) > 1
    assert [p.t0_ns / NS_PER_S for p in kept if p.place is None] == []


# What is asked and judged


def seen(t_s: int, text: str) -> Percept:
    return Percept("s", "vision", t_s * NS_PER_S, (t_s + 1) * NS_PER_S, text=text)


def span(t0_s: int, t1_s: int) -> tuple[int, int]:
    return t0_s * NS_PER_S, t1_s * NS_PER_S


def test_a_question_is_named_where_a_sight_of_its_moment_says_the_whole_name() -> None:
    asked = [
        Asked("where", "", ("kitchen",), (span(0, 1),), "red mug"),
        Asked("where", "", ("kitchen",), (span(5, 6),), "red mug"),
        Asked("before", "", ("kitchen",), (span(0, 1),), "red mu"),
        Asked("rare when", "", ("",), (span(0, 1),)),
    ]
    assert named([seen(0, "a small red mug; kitchen")], asked) == {"where": 0.5, "before": 0.0}


def test_a_wrong_answer_is_perceptions_fault_where_nothing_names_the_thing_or_something_else_was_taken_for_it() -> None:
    sights = [seen(0, "a red mug; kitchen"), seen(9, "a red mug; garden"), seen(20, "a red mug; office")]

    def wrong(kind: str, moment: tuple[int, int], cites_s: int) -> Judged:
        asked = Asked(kind, "", ("kitchen",), (moment,), "red mug", (span(0, 1), span(20, 21), moment))
        cited = Evidence("s", cites_s * NS_PER_S, (cites_s + 1) * NS_PER_S, "vision", "", 1.0)
        return Judged(asked, Answer("In the garden.", False, 1.0, (cited,), {}), False)

    judged = [wrong("where", span(4, 5), 9), wrong("where", span(0, 1), 9), wrong("before", span(0, 1), 20)]
    assert faults(sights, judged) == {"where": {"not named": 1, "taken for it": 1}, "before": {"else": 1}}


def test_an_answer_is_right_that_names_the_room_first_and_cites_the_moment() -> None:
    asked = Asked("where", "", ("kitchen",), ((0, NS_PER_S),), "red mug")

    def answered(text: str, t0_s: int, abstained: bool = False) -> bool:
        cited = Evidence("s", t0_s * NS_PER_S, (t0_s + 1) * NS_PER_S, "vision", "", 1.0)
        return judge(asked, Answer(text, abstained, 1.0, (cited,), {})).right

    assert answered("In the kitchen, then in the garden.", 0)
    assert not answered("In the garden, then in the kitchen.", 0)
    assert not answered("In the kitchen.", 7)
    assert not answered("In the kitchen.", 0, abstained=True)


def test_the_figures_from_pixels_say_what_was_fed_and_are_judged_as_those_from_percepts(tmp_path: Path) -> None:
    result = measure_pixels(STORY, tmp_path, posed=True)
    assert (result["posed"], result["fps"]) == (True, 1.0)
    assert result["sound"]
    assert result["slept"]["sound"]
    assert result["places"] > 3
    kinds = {each.kind for each in questions(STORY)}
    assert result["right"].keys() == result["fifo"]["right"].keys() == result["slept"]["right"].keys() == kinds
    for kind, share in result["named"].items():
        assert result["right"][kind]["right"] <= share + 1e-9  # what the eye never said is not answered
    assert result["named"]["where"] > 0.2
    assert result["right"]["where"]["right"] > 0.2
