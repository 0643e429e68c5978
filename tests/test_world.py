"""The world's stories keep their word: what the truth says is what is seen, heard, told and asked."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.scoring import judge
from benchmarks.vlog import find_videos
from benchmarks.world.asking import ASKING
from benchmarks.world.floorplan import draw_floorplan
from benchmarks.world.percepts import moments, sight_of
from benchmarks.world.picture import draw_shot
from benchmarks.world.quiz import LIMITS, Chronicle, draw_questions, stamp
from benchmarks.world.story import Story, draw_story
from benchmarks.world.truth import Presence, Visit
from benchmarks.world.video import frames, observations, shot_at, sound_of, write_world
from benchmarks.world.vocabulary import ROOMS
from mneme.pipeline.subtitles import read_side_car
from mneme.records import SOUND_RATE, Answer, Evidence, to_ns, to_s

SEEDS = (1, 2, 3)


@cache
def visits(seed: int, minutes: float = 10.0) -> tuple[Visit, ...]:
    return tuple(draw_story(seed, minutes).visits())


@cache
def questions(seed: int, minutes: float = 30.0) -> list[dict[str, Any]]:
    return draw_questions(draw_story(seed, minutes))


def say(figure: str) -> None:
    """A figure for whoever runs this with -s: timings never decide a test."""
    sys.stdout.write(f"\n{figure}\n")


# Floor plans


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_every_room_of_a_floor_plan_can_be_reached_through_doors_in_shared_walls(count: int) -> None:
    plan = draw_floorplan(5, count)
    assert len(plan.rooms) == count
    for room in plan.rooms:
        way = plan.path(0, room.id)
        assert (way[0], way[-1]) == (0, room.id)
        for a, b in pairwise(way):
            door = plan.door(a, b)
            assert plan.rooms[a].holds(door.x, door.y)
            assert plan.rooms[b].holds(door.x, door.y)


def test_rooms_do_not_overlap_and_have_looks_of_their_own() -> None:
    rooms = draw_floorplan(6, 12).rooms
    assert len({room.look for room in rooms}) == len(rooms)
    assert {room.kind for room in rooms} == set(ROOMS)
    for a in rooms:
        assert [b.id for b in rooms if b.holds(a.x, a.y)] == [a.id]


def test_several_rooms_of_one_kind_are_there_where_they_are_asked_for() -> None:
    kinds = [room.kind for room in draw_floorplan(1, 10, twins=0.5).rooms]
    assert len(set(kinds)) < len(kinds)
    with pytest.raises(ValueError, match="at least one room"):
        draw_floorplan(1, 0)


# Stories


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    assert tuple(draw_story(1, 10.0).visits()) == visits(1)
    assert visits(2) != visits(1)
    assert draw_questions(draw_story(1, 30.0)) == questions(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_visits_follow_without_a_gap_through_doors_and_the_camera_never_jumps(seed: int) -> None:
    plan, told = draw_story(seed, 10.0).plan, visits(seed)
    assert (told[0].t0_ns, told[-1].t1_ns) == (0, to_ns(600))
    for before, after in pairwise(told):
        assert before.t1_ns == after.t0_ns
        assert after.room.id in plan.next_to(before.room.id)
        left, entered = before.pose(before.t1_ns), after.pose(after.t0_ns)
        assert (left.x, left.y) == pytest.approx((entered.x, entered.y))
    for visit in told:
        poses = [visit.pose(t) for t in np.linspace(visit.t0_ns, visit.t1_ns, 9).astype(int).tolist()]
        assert all(visit.room.holds(p.x, p.y) for p in poses)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thing_is_in_one_place_at_a_time_and_a_deed_is_seen_when_it_is_told(seed: int) -> None:
    for visit in visits(seed):
        for t_ns in visit.edges_ns():
            items = [p.item for p in visit.present(t_ns)]
            assert len(items) == len(set(items))
        for deed in visit.happenings:
            before, after = ({p.item for p in visit.present(t)} for t in (deed.t_ns - 1, deed.t_ns))
            gone = deed.deed in ("taken", "hidden", "went")
            assert (deed.item in before, deed.item in after) == ((True, False) if gone else (False, True))


def test_objects_are_carried_to_other_rooms_between_visits() -> None:
    rooms: dict[int, set[int]] = {}
    for visit in visits(1, 30.0):
        for presence in visit.presences:
            rooms.setdefault(presence.item, set()).add(visit.room.id)
    assert sum(len(found) > 1 for item, found in rooms.items() if item >= 0) >= 5


def test_a_day_long_story_is_told_lazily_and_has_its_night() -> None:
    story = draw_story(4, 24 * 60)
    started = time.perf_counter()
    first = list(islice(story.visits(), 50))
    say(f"50 of a day's visits in {time.perf_counter() - started:.3f} s")
    assert first[0].light == "day"
    assert story.is_night(to_ns(23 * 3600))
    assert not story.is_night(to_ns(12 * 3600))
    assert first == list(islice(draw_story(4, 24 * 60).visits(), 50))


# Pictures and sound


def _clear(visit: Visit, t_ns: int) -> Any:
    return replace(shot_at(visit, t_ns), noise=0.0, blur=0.0, gain=1.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_shows_what_the_truth_says_where_it_says(seed: int) -> None:
    side, seen = 64, 0
    for visit in visits(seed):
        t_ns = (visit.t0_ns + visit.t1_ns) // 2
        shot = _clear(visit, t_ns)
        assert {p.thing for p in shot.placed} == {p.thing for p in visit.present(t_ns)} == set(shot.scene.things)
        whole = draw_shot(shot, side).astype(int)
        for placed in shot.placed:
            without = draw_shot(replace(shot, placed=tuple(p for p in shot.placed if p is not placed)), side)
            changed = np.abs(whole - without).max(axis=2) > 24
            rows, columns = np.nonzero(changed)
            assert changed.sum() >= 8, placed
            half = placed.size / 2 * side + 2
            assert abs(columns - placed.x * side).max() <= half
            assert placed.y * side - 2 * half <= rows.min() <= rows.max() <= placed.y * side + 2
            seen += 1
    assert seen > 30


def test_what_is_taken_away_is_gone_from_the_picture() -> None:
    visit, deed = next((v, h) for v in visits(1) for h in v.happenings if h.deed == "taken")
    before, after = ({p.thing for p in shot_at(visit, t).placed} for t in (deed.t_ns - 1, deed.t_ns))
    assert before - after == {deed.thing}


def test_nights_are_dark_and_signs_stand_still_while_they_are_read() -> None:
    story = draw_story(2, 10.0)
    light: dict[str, list[float]] = {"day": [], "night": []}
    for _, visit, picture in frames(story, 0.5, 64):
        light[visit.light].append(float(picture.mean()))
    assert max(light["night"]) < min(light["day"])
    for visit in visits(2):
        assert not visit.signs or visit.sway[0] == visit.sway[1]
        for sign in visit.signs:
            assert shot_at(visit, sign.t0_ns).sign == sign.text
            assert shot_at(visit, sign.t1_ns).sign == ""


def test_frames_are_the_same_again_and_fast_enough_to_be_printed() -> None:
    story = draw_story(3, 1.0)
    for side in (64, 256):
        started, count = time.perf_counter(), 0
        for _ in frames(story, 10, side):
            count += 1
        say(f"{count / (time.perf_counter() - started):.0f} frames a second at {side} pixels")
        assert count == 600
    a, b = (list(islice((p for *_, p in frames(story, 2, 64)), 20)) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_is_heard_when_the_truth_says_and_nothing_else_is(seed: int) -> None:
    story = draw_story(seed, 10.0)
    heard = 0
    for visit in visits(seed):
        sound = sound_of(story, visit)
        assert len(sound) == (visit.t1_ns - visit.t0_ns) * SOUND_RATE // 1_000_000_000
        quiet = np.ones(len(sound), bool)
        for noise in visit.sounds:
            a, b = ((t - visit.t0_ns) * SOUND_RATE // 1_000_000_000 for t in (noise.t0_ns, noise.t1_ns))
            quiet[a:b] = False
            assert np.sqrt(np.mean(sound[a:b] ** 2)) > 3 * np.sqrt(np.mean(sound[:a] ** 2))
            heard += 1
        assert np.sqrt(np.mean(sound[quiet] ** 2)) == pytest.approx(10**-2.5, rel=0.1)
    assert heard >= 5


def test_lines_and_sounds_of_a_story_never_overlap() -> None:
    spans = sorted((x.t0_ns, x.t1_ns) for v in visits(1, 30.0) for x in (*v.lines, *v.sounds))
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


def test_a_video_holds_the_pictures_the_sound_and_the_words_of_its_story(tmp_path: Path) -> None:
    story = draw_story(1, 0.8)
    path = write_world(story, tmp_path, draw_questions(story), fps=5, side=128)
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    drawn = [picture for *_, picture in frames(story, 5, 128)]
    assert len(shown) == len(drawn) == 240
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(shown, drawn, strict=True)) < 12
    assert samples / SOUND_RATE == pytest.approx(48.0, abs=0.2)
    cues = [(cue.t0_ns, cue.t1_ns, cue.text) for cue in read_side_car(path.with_suffix(".srt"))]
    assert cues == [(x.t0_ns, x.t1_ns, x.text) for v in story.visits() for x in v.lines]
    assert [(video, len(truth["questions"])) for video, truth, _ in find_videos(tmp_path)] == [
        (path, len(draw_questions(story)))
    ]


def test_observations_carry_every_sample_every_line_and_the_pose() -> None:
    story = draw_story(2, 1.0)
    observed = list(observations(story, "home", fps=5.0, side=64))
    heard = np.concatenate([o.sound for o in observed if o.sound is not None])
    assert np.array_equal(heard, np.concatenate([sound_of(story, v) for v in story.visits()]))
    assert [o.text for o in observed if o.text] == [x.text for v in story.visits() for x in v.lines]
    assert all(o.pose is not None for o in observed)


# Percepts


def test_percepts_name_what_is_in_view_in_order_of_time() -> None:
    story = draw_story(1, 3.0)

    def embed(texts: Any) -> Any:
        return np.ones((len(texts), 4), np.float32) / 2

    told = list(moments(story, "home", embed, "words"))
    assert [m.t_ns for m in told] == sorted(m.t_ns for m in told)
    percepts = [p for m in told for p in m.percepts]
    assert len({p.id for p in percepts}) == len(percepts)
    for visit in story.visits():
        sights = [p for p in percepts if p.lane == "vision" and visit.t0_ns <= p.t0_ns < visit.t1_ns]
        for p in sights:
            assert p.text == sight_of(visit, p.t0_ns) == sight_of(visit, p.t1_ns - 1)
            assert (p.text or "").split("; ")[-1].removesuffix(", at night") == visit.room.kind
    words = {lane: [p.text for p in percepts if p.lane == lane] for lane in ("speech", "caption")}
    assert words["speech"] == [x.text for v in story.visits() for x in v.lines]
    assert words["caption"] == [x.text for v in story.visits() for x in v.signs]


# Questions


@pytest.mark.parametrize("seed", range(6))
def test_half_an_hour_gives_forty_questions_of_every_category(seed: int) -> None:
    asked = questions(seed)
    assert len(asked) >= 40
    assert {q["category"] for q in asked} == set(LIMITS)
    assert len({q["question"] for q in asked}) == len({q["id"] for q in asked}) == len(asked)
    assert {q["kind"] for q in asked} <= set(ASKING) | {"speech fact", "never said"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_of_a_question_is_judged_right_and_its_opposite_wrong(seed: int) -> None:
    for q in questions(seed):
        refusal = Answer("I found no evidence for that.", abstained=True, confidence=0.0)
        cited = tuple(Evidence("w", to_ns(a), min(to_ns(b), to_ns(a + 9)), "vision", "", 1.0) for a, b in q["evidence"])
        told = Answer(f"{q['answer']}: {q['accept'][0]}", abstained=False, confidence=1.0, evidence=cited)
        assert judge(q, refusal).right is q["unanswerable"]
        assert judge(q, told).right is not q["unanswerable"], q
        beside = tuple(replace(e, t0_ns=e.t0_ns + to_ns(1e6), t1_ns=e.t1_ns + to_ns(1e6)) for e in cited)
        if q["category"] not in ("count", "absence"):
            assert not judge(q, replace(told, evidence=beside)).right


def _present(seed: int, span: list[float]) -> set[tuple[str, str]]:
    """(colour, kind) in view within a span."""

    def within(p: Presence) -> bool:
        return p.t0_ns < to_ns(span[1]) and to_ns(span[0]) < p.t1_ns

    return {(p.thing.colour, p.thing.kind) for v in visits(seed, 30.0) for p in v.presences if within(p)}


@pytest.mark.parametrize("seed", SEEDS)
def test_where_something_was_is_the_room_of_every_moment_that_must_be_cited(seed: int) -> None:
    for q in questions(seed):
        if q["category"] == "where":
            for a, b in q["evidence"]:
                there = {v.room.kind for v in visits(seed, 30.0) if to_s(v.t0_ns) < b and a < to_s(v.t1_ns)}
                assert there == {q["answer"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_asked_for_in_vain_never_was(seed: int) -> None:
    told = Chronicle.of(draw_story(seed, 30.0))
    for q in questions(seed):
        if q["kind"] == "never thing":
            assert not [t for t in told.things if f"{t[0]} {t[1]}" in q["question"]]
        if q["kind"] == "never said":
            assert q["question"] not in [line.fact.asked for line, _ in told.lines]
        if q["kind"] == "never sign":
            assert not [sign for sign, _ in told.signs if sign.text in q["question"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_count_is_the_number_of_its_moments_and_an_order_that_of_its_times(seed: int) -> None:
    for q in questions(seed):
        if q["category"] == "count":
            assert int(q["answer"]) == len(q["evidence"])
        if q["kind"] == "order thing":
            first = min(q["support"])
            assert first in q["evidence"]
            assert any(
                q["accept"][0].endswith(kind) or colour in q["accept"][0] for colour, kind in _present(seed, first)
            )


def test_a_time_in_a_question_reads_as_clocks_do() -> None:
    assert (stamp(to_ns(65)), stamp(to_ns(3725))) == ("1:05", "1:02:05")


def test_a_story_too_short_to_tell_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.1 minutes"):
        draw_story(1, 0.05)
    assert isinstance(draw_story(1, 0.1), Story)
    assert draw_questions(draw_story(1, 0.1))
