"""The synthetic world keeps its word: its truth is what it shows, says and asks."""

from __future__ import annotations

import json
import shutil
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.vlogs.places import PLACES
from benchmarks.vlogs.plan import QUIET_S, Plan, draw_plan, read_facts
from benchmarks.vlogs.questions import LIMITS, SENSES, Question, draw_questions
from benchmarks.vlogs.scene import Scene, View
from benchmarks.vlogs.slots import Deck, Filling, clock_words, number_words
from benchmarks.vlogs.sound import SOUNDS
from benchmarks.vlogs.video import build, frames, subtitles
from benchmarks.vlogs.voice import RATE, Espeak


class Hum:
    """A narrator that needs no program: a tone as long as the words would take."""

    def say(self, text: str, voice: str) -> NDArray[np.float32]:
        n = round(len(text) / 14 * RATE)
        return np.sin(np.arange(n) * 0.03 + len(voice)).astype(np.float32)


@cache
def plan(seed: int, slides: int = 0, minutes: float = 3.0) -> Plan:
    return draw_plan(seed, Hum(), minutes, slides)


PLANS = [(1, 0), (2, 0), (3, 4), (4, 3)]


def test_the_same_seed_gives_the_same_plan_and_questions() -> None:
    again = draw_plan(1, Hum())
    assert (again.shots, again.lines, again.signs, again.noises) == (
        plan(1).shots, plan(1).lines, plan(1).signs, plan(1).noises,
    )  # fmt: skip
    assert draw_questions(again) == draw_questions(plan(1))
    assert draw_plan(2, Hum()).lines != again.lines


@pytest.mark.parametrize(("seed", "slides"), PLANS)
def test_a_line_either_runs_over_a_cut_or_leaves_it_quiet(seed: int, slides: int) -> None:
    drawn = plan(seed, slides)
    for item in (*drawn.lines, *drawn.noises):
        for cut_s in drawn.cuts_s:
            crosses = item.start_s < cut_s < item.end_s
            assert crosses or min(abs(item.start_s - cut_s), abs(item.end_s - cut_s)) > QUIET_S - 0.3
    assert any(line.start_s < cut_s < line.end_s for line in drawn.lines for cut_s in drawn.cuts_s)


@pytest.mark.parametrize(("seed", "slides"), PLANS)
def test_what_sounds_never_overlaps(seed: int, slides: int) -> None:
    drawn = plan(seed, slides)
    spans = sorted((item.start_s, item.end_s) for item in (*drawn.lines, *drawn.noises))
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(("seed", "slides"), PLANS)
def test_a_sign_stands_four_to_eight_seconds_inside_its_shot(seed: int, slides: int) -> None:
    drawn = plan(seed, slides)
    for sign in (sign for sign in drawn.signs if sign.slide is None):
        assert 4.0 <= sign.end_s - sign.start_s <= 8.2
        assert all(abs(t - cut_s) >= 1.5 for t in (sign.start_s, sign.end_s) for cut_s in drawn.cuts_s)


def test_a_place_is_visited_again_and_some_place_never() -> None:
    for seed, slides in PLANS:
        shots = plan(seed, slides).shots
        first = {shot.id: shot for shot in shots}
        again = [shot for shot in shots if shot.revisit_of]
        assert again
        assert all(first[str(shot.revisit_of)].view == shot.view for shot in again)
        assert all(a.view != b.view for a, b in pairwise(shots))
        assert set(PLACES) - {shot.view.place for shot in shots}


@pytest.mark.parametrize(("seed", "slides"), PLANS)
def test_answers_stand_in_what_their_evidence_says(seed: int, slides: int) -> None:
    drawn = plan(seed, slides)
    told = [(x.start_s, x.end_s, x.text.lower()) for x in (*drawn.lines, *drawn.signs)]
    for asked in draw_questions(drawn):
        if asked.category not in ("speech-what", "caption-what", "cross-modal") or not SENSES.isdisjoint(asked.needs):
            continue
        words = " ".join(text for a, b, text in told if any(a < t1 and b > t0 for t0, t1 in asked.evidence))
        assert any(accepted.lower() in words for accepted in asked.accept), asked


@pytest.mark.parametrize(("seed", "slides"), PLANS)
def test_near_misses_name_what_the_video_never_holds(seed: int, slides: int) -> None:
    drawn = plan(seed, slides)
    held = " ".join(x.text.lower() for x in drawn.lines) + " ".join(x.text.lower() for x in drawn.signs)
    asked = [q for q in draw_questions(drawn) if q.unanswerable]
    assert len(asked) >= 8
    absent = set(read_values("name")) - {name for name in read_values("name") if name.lower() in held}
    named = [q for q in asked if any(name in q.question.split() for name in read_values("name"))]
    assert all(any(name in q.question for name in absent) for q in named)


def read_values(kind: str) -> list[str]:
    deck = Deck(np.random.default_rng(0))
    return sorted({deck.deal(kind).text for _ in range(80)} | {deck.deal(kind).other for _ in range(80)})


def test_people_put_each_kind_of_question_in_many_ways() -> None:
    asked: dict[str, set[str]] = {category: set() for category in LIMITS}
    for seed in range(8):
        for question in draw_questions(plan(seed, slides=3 * (seed % 2))):
            asked[question.category].add(question.question)
    assert {category: len(texts) for category, texts in asked.items() if len(texts) < 6} == {}
    assert len({t["say"] for place in read_facts("facts").values() for t in place}) >= 40


def test_a_count_has_as_many_spans_as_its_answer() -> None:
    counts: list[Question] = [q for q in draw_questions(plan(3, 4)) if q.category == "count"]
    assert counts
    assert all(len(q.evidence) == int(q.answer) for q in counts)


def test_values_are_said_as_people_say_them() -> None:
    assert [number_words(n) for n in (7, 19, 40, 42)] == ["seven", "nineteen", "forty", "forty-two"]
    assert [clock_words(9, 5), clock_words(18, 0)] == ["nine oh five", "eighteen o'clock"]


def test_a_value_is_the_same_in_a_sentence_and_its_questions_and_its_miss_is_another() -> None:
    deck = Deck(np.random.default_rng(3))
    filling = Filling(deck)
    said, asked, missed = (filling.fill(t) for t in ("{name} waits", "Where is {name}?", "{name.other}"))
    assert said.split()[0] in asked
    later = {deck.deal("name").text for _ in range(60)}
    assert missed not in later | {said.split()[0]}


def test_a_scene_moves_while_its_place_stays() -> None:
    scene = Scene(View("harbour", 3, (("boat", "red"),)), 160, 90)
    first, soon, other = scene.frame(0.0), scene.frame(0.5), Scene(View("library", 3), 160, 90).frame(0.0)
    assert np.array_equal(first, scene.frame(0.0))
    near, far = (float(np.abs(first.astype(float) - x).mean()) for x in (soon, other))
    assert 0.5 < near < far / 2


@pytest.mark.parametrize("key", SOUNDS)
def test_a_sound_lasts_and_does_not_clip(key: str) -> None:
    wave = SOUNDS[key][1](np.random.default_rng(0))
    assert wave.dtype == np.float32
    assert len(wave) > RATE
    assert np.abs(wave).max() == pytest.approx(1.0)


def test_subtitles_have_one_cue_a_phrase() -> None:
    drawn = plan(1)
    text = subtitles(drawn.lines)
    assert text.count(" --> ") == sum(len(line.parts) for line in drawn.lines)
    assert drawn.lines[0].parts[0][2] in text


def test_a_sign_changes_the_frame_while_it_stands_and_only_then() -> None:
    drawn = plan(1)
    sign = drawn.signs[0]
    shown = {
        round(k / 5, 1): frame
        for k, frame in zip(range(int(sign.end_s * 5) + 10), frames(drawn, 5, 160, 90), strict=False)
    }
    shot = next(shot for shot in drawn.shots if shot.start_s <= sign.start_s < shot.end_s)
    scene = Scene(shot.view, 160, 90)
    for t_s, differs in (
        (sign.start_s - 0.2, False),
        (sign.start_s, True),
        (sign.end_s - 0.2, True),
        (sign.end_s, False),
    ):
        bare = scene.frame(round(t_s, 1) - shot.start_s + shot.clock_s)
        assert (not np.array_equal(shown[round(t_s, 1)], bare)) is differs


def test_a_video_is_as_long_as_its_truth_says(tmp_path: Path) -> None:
    drawn = draw_plan(6, Hum(), minutes=0.6, name="tiny")
    path = build(drawn, tmp_path, fps=5, width=160, height=90)
    truth = json.loads((tmp_path / "tiny.json").read_text())
    assert len(truth["boundaries_s"]) == len(truth["segments"]) - 1
    assert all((tmp_path / q["image"]).is_file() for q in truth["questions"] if "image" in q)
    assert sum(q["category"] == "image-query" and q["unanswerable"] for q in truth["questions"]) == 1
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == round(drawn.duration_s * 5)
    with av.open(str(path)) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0))
    assert heard / RATE == pytest.approx(drawn.duration_s, abs=0.1)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_espeak_says_more_words_longer() -> None:
    narrator = Espeak()
    short, long = narrator.say("Hello.", "en-us"), narrator.say("Hello, the ferry leaves at nine fifteen.", "en-us")
    assert 0.2 * RATE < len(short) < len(long)
    assert np.abs(long).max() > 0.1
