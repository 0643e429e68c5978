"""Boundaries: what closes an event, what does not, when a cut is told, and the published scans."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mneme.operators.change import LAG, SceneChange
from mneme.operators.segment import (
    BoundarySettings,
    CausalBoundaries,
    causal_boundaries,
    clip_boundaries,
    hippomm_boundaries,
)

S = 1_000_000_000
STEP = S // 5
H, W = 360, 640
Film = list[np.ndarray]


def world(seed: int, height: int = 700, width: int = 1400) -> np.ndarray:
    """A drawn scene: soft coloured ground with shapes on it."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 210, (5, 8, 3)).astype(np.uint8) // 2 + rng.integers(20, 110, 3).astype(np.uint8)
    picture = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(120):
        colour, at = rng.integers(0, 256, 3).tolist(), (int(rng.integers(width)), int(rng.integers(height)))
        if rng.random() < 0.5:
            cv2.circle(picture, at, int(rng.integers(8, 45)), colour, -1)
        else:
            cv2.rectangle(
                picture, at, (at[0] + int(rng.integers(10, 90)), at[1] + int(rng.integers(10, 90))), colour, -1
            )
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def pan(seed: int, looks: int, speed: int = 0) -> Film:
    """A camera over `world(seed)`, `speed` pixels a look."""
    scene = world(seed)
    xs = [100 + abs((speed * i + 600) % 1200 - 600) for i in range(looks)]
    return [scene[150 : 150 + H, x : x + W].copy() for x in xs]


def slide(title: str, lines: list[str], looks: int) -> Film:
    picture = np.full((H, W, 3), 250, np.uint8)
    cv2.rectangle(picture, (0, 0), (W, 14), (40, 80, 160), -1)
    cv2.putText(picture, title, (40, 75), cv2.FONT_HERSHEY_DUPLEX, 1.2, (20, 20, 20), 2, cv2.LINE_AA)
    for i, line in enumerate(lines):
        cv2.putText(
            picture, "- " + line, (60, 140 + 50 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20, 20, 20), 1, cv2.LINE_AA
        )
    return [picture] * looks


def captioned(film: Film, first: int, last: int) -> Film:
    film = [picture.copy() for picture in film]
    for picture in film[first:last]:
        cv2.rectangle(picture, (40, 280), (600, 340), (10, 10, 10), -1)
        cv2.putText(picture, "GATE 17 BOARDING", (60, 322), cv2.FONT_HERSHEY_DUPLEX, 1.0, (255, 255, 255), 2)
    return film


def scores(film: Film) -> np.ndarray:
    """[T], the score of each picture against the one before it."""
    change = SceneChange()
    told = [change.look(picture) for picture in [*film, *[film[-1]] * LAG]]
    return np.array(told[LAG:])


def cut_at(film: Film) -> list[int]:
    return np.flatnonzero(scores(film) >= 0.5).tolist()


SLIDES = [
    slide("Field Report", ["twelve stations", "open data licence", "fast and cheap"], 10),
    slide("Method", ["record at noon", "a grammar of words", "works offline"], 10),
    slide("Costs 2040", ["sensors 310 euros", "travel 77 euros", "total 387 euros"], 10),
]


def test_a_hard_cut_between_moving_scenes_is_seen_where_it_is() -> None:
    assert cut_at(pan(1, 15, 12) + pan(2, 15, 20) + pan(3, 15)) == [15, 30]


def test_a_new_slide_is_a_cut_though_few_pixels_change() -> None:
    assert cut_at(SLIDES[0] + SLIDES[1] + SLIDES[2]) == [10, 20]


@pytest.mark.parametrize(
    "film",
    [pan(4, 30), pan(5, 30, 14), SLIDES[0] * 3, [np.full((H, W, 3), (90, 120, 140), np.uint8)] * 30],
    ids=["still", "moving", "slide", "flat"],
)
def test_a_caption_that_comes_and_goes_is_no_cut(film: Film) -> None:
    assert cut_at(captioned(film, 8, 20)) == []


@pytest.mark.parametrize("speed", [4, 15, 40])
def test_a_camera_that_sets_off_and_stops_is_no_cut(speed: int) -> None:
    scene = world(6)
    xs = [50] * 8 + [50 + speed * i for i in range(15)] + [50 + speed * 15] * 8
    assert cut_at([scene[100 : 100 + H, x : x + W] for x in xs]) == []


@pytest.mark.parametrize("looks", [1, 2])
def test_a_flash_is_no_cut(looks: int) -> None:
    film = pan(7, 30, 3)
    for i in range(12, 12 + looks):
        film[i] = np.clip(film[i].astype(np.int16) + 140, 0, 255).astype(np.uint8)
    assert cut_at(film) == []


def test_a_lamp_that_goes_out_is_no_cut() -> None:
    film = pan(8, 30, 3)
    assert cut_at(film[:15] + [(picture * 0.5).astype(np.uint8) for picture in film[15:]]) == []


def test_noise_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    film = [np.clip(p + rng.normal(0, 15, p.shape), 0, 255).astype(np.uint8) for p in pan(9, 25, 5)]
    assert cut_at(film) == []


def test_a_cut_through_black_is_seen_when_the_new_scene_stands() -> None:
    assert cut_at(pan(1, 12, 6) + [np.zeros((H, W, 3), np.uint8)] * 3 + pan(2, 12, 6)) == [15]


def test_another_size_of_picture_starts_a_stream_anew() -> None:
    film = [cv2.resize(picture, (320, 240)) for picture in pan(2, 10)]
    assert cut_at(pan(1, 10) + film) == []
    with pytest.raises(ValueError, match="a picture is uint8"):
        SceneChange().look(np.zeros((360, 640), np.uint8))


def told(
    changes: dict[int, float], length: int, loudness: dict[int, float] | None = None, **settings: int
) -> list[int]:
    """Cuts, in moments of 0.2 s, where `changes` says at which moment which change was (and sound is loud)."""
    s = BoundarySettings(**settings)
    change = np.zeros(length)
    for at, score in changes.items():
        change[at + s.change_lag] = score
    level = np.full(length, -20.0)
    for at, db in (loudness or {}).items():
        level[at] = db
    return [cut // STEP for cut in causal_boundaries(change, np.arange(length) * STEP, level, s)]


def test_a_visual_change_closes_the_event() -> None:
    assert told({20: 0.9, 60: 0.6, 80: 0.4}, 100) == [20, 60]


def test_a_cut_amid_speech_moves_to_the_pause_beside_it() -> None:
    assert told({20: 1.0}, 60, {23: -60.0}) == [22]  # moment 23 holds the sound from 22 to 23
    assert told({20: 1.0}, 60, {18: -60.0}) == [18]


def test_a_pause_further_than_a_second_moves_nothing() -> None:
    assert told({20: 1.0}, 60, {26: -60.0, 14: -60.0}) == [20]


def test_a_cut_in_silence_stays_where_it_is() -> None:
    assert told({20: 1.0}, 60, dict.fromkeys(range(15, 30), -60.0)) == [20]


def test_two_changes_within_the_least_length_are_one_event() -> None:
    assert told({20: 1.0, 25: 1.0, 31: 1.0}, 60) == [20, 31]


def test_the_stronger_of_two_changes_close_together_is_the_cut() -> None:
    assert told({20: 0.6, 22: 0.9}, 60) == [22]


def test_no_cut_is_forced_within_five_minutes_and_one_is_after() -> None:
    assert told({}, 5 * 300) == []
    assert told({}, 5 * 310) == [5 * 300]
    assert told({}, 5 * 310, {5 * 300 + 2: -70.0}) == [5 * 300 + 1]


def test_a_stream_resumed_at_a_cut_goes_on_as_if_it_had_not_stopped() -> None:
    change = np.zeros(200)
    change[[52, 102, 152]] = 1.0
    times = np.arange(200) * STEP
    whole = causal_boundaries(change, times)
    online = CausalBoundaries()
    online.resume(whole[0])
    rest = [cut for i in range(whole[0] // STEP, 200) for cut in online.push(int(times[i]), float(change[i]), None)]
    assert rest == whole[1:]


def test_time_that_does_not_advance_is_refused() -> None:
    online = CausalBoundaries()
    online.push(5, None, None)
    with pytest.raises(ValueError, match="does not advance"):
        online.push(5, None, None)


@given(
    st.lists(st.tuples(st.integers(30, 500), st.floats(0, 1), st.floats(-90, 0)), min_size=1, max_size=150),
    st.integers(0, 3),
)
def test_cuts_ascend_keep_their_distance_and_never_precede_what_was_settled(
    moments: list[tuple[int, float, float]], lag: int
) -> None:
    s = BoundarySettings(change_lag=lag)
    online = CausalBoundaries(s)
    t_ns, cuts, settled = 0, [0], 0
    for step_ms, change, loudness in moments:
        for cut in online.push(t_ns, change, loudness):
            assert settled <= cut <= t_ns
            assert cut - cuts[-1] >= s.min_event_ns
            assert t_ns - cut <= 2 * s.shift_ns + (lag + 1) * 500_000_000
            cuts.append(cut)
        assert online.settled_ns >= settled
        settled = online.settled_ns
        t_ns += step_ms * 1_000_000
    assert all(cut >= settled for cut in online.flush())


def test_hippomm_cuts_at_the_last_unlike_frame_within_reach() -> None:
    similarity = np.ones(30)
    similarity[[7, 9, 16]] = 0.5
    assert hippomm_boundaries(similarity, np.arange(30) * S) == [
        (0, 9 * S),
        (9 * S, 16 * S),
        (16 * S, 26 * S),
        (26 * S, 29 * S),
    ]


def test_hippomm_lets_silence_override_sight() -> None:
    sound = np.full(20_000, 0.5)
    sound[6_500:7_000] = 0.0
    similarity = np.ones(21)
    similarity[9] = 0.5
    assert hippomm_boundaries(similarity, np.arange(21) * S, sound, 1000)[0] == (0, 6_500_000_000)
    assert hippomm_boundaries(None, None, sound, 1000)[0] == (0, 6_500_000_000)


@given(st.lists(st.integers(0, 3), max_size=80))
def test_clips_tile_the_stream_within_their_lengths(kinds: list[int]) -> None:
    features = torch.eye(4)[torch.tensor(kinds, dtype=torch.int64)]
    clips = clip_boundaries(features)
    assert [frame for start, end in clips for frame in range(start, end)] == list(range(len(kinds)))
    assert all(3 <= end - start <= 16 for start, end in clips[:-1])
    assert all(end - start == 16 or kinds[end - 1] != kinds[end] for start, end in clips[:-1])
