"""Perception: moments in order, whatever pictures and sound do; nothing is held back by a track that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mneme
from mneme.encoders.profiles import Embedded
from mneme.errors import SourceError
from mneme.memory.memory import Memory
from mneme.pipeline.perceive import Perception, hold
from mneme.pipeline.senses import senses_of_observations
from mneme.records import NS_PER_S, Moment, Observation, Picture, to_s

TICK = NS_PER_S // 5


def picture(seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), np.ones((20, 20, 1), dtype=np.uint8))


def observations(pictures_s: float, sound_s: float) -> Iterator[Observation]:
    """A stream whose pictures last `pictures_s` and whose sound lasts `sound_s`."""
    quiet = np.random.default_rng(0).normal(0, 1e-3, 3200).astype(np.float32)
    for tick in range(int(max(pictures_s, sound_s) * 5)):
        if tick < pictures_s * 5:
            yield Observation("s", tick * TICK, {"": picture(tick // 40)})
        if tick < sound_s * 5:
            yield Observation("s", tick * TICK, sound=quiet)


@pytest.fixture(scope="module")
def profile() -> Embedded:
    return Embedded()


def perceived(profile: Embedded, stream: Iterator[Observation]) -> list[Moment]:
    lanes = ("vision", "sound")
    with Perception(senses_of_observations("s", profile, lanes, TICK)) as perception:
        return [m for o in stream for m in perception.push(o)] + perception.finish()


@pytest.mark.parametrize(("pictures_s", "sound_s"), [(20, 20), (2, 20), (20, 2), (20, 0), (0, 20)])
def test_moments_come_in_order_and_settle_whatever_ends_first(
    profile: Embedded, pictures_s: float, sound_s: float
) -> None:
    moments = perceived(profile, observations(pictures_s, sound_s))
    times = [m.t_ns for m in moments]
    assert times == sorted(set(times))
    halfway = [m for m in moments if to_s(m.t_ns) < 19.5][-1]
    assert to_s(halfway.settled_ns) > 5  # a listener that hears nothing more must not hold back the rest
    assert moments[-1].settled_ns == moments[-1].t_ns


def test_a_percept_never_starts_before_what_was_said_to_be_settled(profile: Embedded) -> None:
    settled = 0
    for moment in perceived(profile, observations(20, 12)):
        assert all(p.t0_ns >= settled for p in moment.percepts)
        settled = moment.settled_ns


def test_a_change_stands_at_the_picture_that_brought_it(profile: Embedded) -> None:
    moments = perceived(profile, observations(24, 0))
    assert [to_s(m.t_ns) for m in moments if (m.change or 0) >= 0.5] == [8.0, 16.0]


def test_a_picture_that_stays_is_looked_at_again() -> None:
    shown = [Observation("s", 0, {"": picture(1)}), Observation("s", 10 * NS_PER_S, {"": picture(2)})]
    held = list(hold(shown, TICK))
    times = [to_s(o.t_ns) for o in held]
    assert times[:6] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert times[6:] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    steady = [Observation("s", k * TICK, {"": picture(1)}) for k in range(20)]
    assert list(hold(steady, TICK)) == steady


def test_slides_of_one_frame_each_are_read_and_told_apart(tmp_path: Path, make_video: Any) -> None:
    """A screen recording holds a frame for as long as nothing moves."""
    from PIL import Image, ImageDraw, ImageFont

    def slide(words: str) -> Picture:
        page = Image.new("RGB", (480, 270), (245, 240, 225))
        ImageDraw.Draw(page).text((40, 60), words, font=ImageFont.load_default(size=36), fill=(20, 20, 30), spacing=14)
        return np.asarray(page, dtype=np.uint8)

    pages = ["GATE FORTY\nTicket office\nLost property", "HALL SEVEN\nRestaurant open\nQuiet please"]
    film = make_video(
        tmp_path / "slides.mkv",
        seconds=16,
        vfr=[0.0, 8.0, 15.8],
        size=(480, 270),
        numbered=False,
        scenes=[slide(p) for p in pages],
    )
    with mneme.open(tmp_path / "m") as memory:
        assert memory.watch(film).events == 2
        assert "HALL SEVEN" in memory.ask("Which slide comes after GATE FORTY?").text


def test_cues_of_one_span_are_all_kept(tmp_path: Path, make_video: Any) -> None:
    film = make_video(tmp_path / "f.mp4", seconds=4)
    cues = [("1,000", "2,000", "an apple"), ("1,000", "3,000", "a pear"), ("1,000", "2,000", "a cherry")]
    lines = [f"{i}\n00:00:0{a} --> 00:00:0{b}\n{text}\n" for i, (a, b, text) in enumerate(cues, start=1)]
    (tmp_path / "f.srt").write_text("\n".join(lines), encoding="utf-8")
    with mneme.open(tmp_path / "m") as memory:
        memory.watch(film, lanes=("speech",))
    with Memory.open(tmp_path / "m") as memory:
        spoken = memory.snapshot().percepts(lanes=("speech",))
    assert sorted(p.text or "" for p in spoken) == ["a cherry", "a pear", "an apple"]
    assert len({p.id for p in spoken}) == 3


def test_a_cut_off_file_ends_where_it_was_cut(tmp_path: Path, make_video: Any) -> None:
    whole = make_video(tmp_path / "whole.mkv", seconds=20, size=(320, 240))
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with mneme.open(tmp_path / "m") as memory:
        done = memory.watch(tmp_path / "cut.mkv")
    assert 2 < done.duration_s < 18


def test_pictures_too_small_to_tell_scenes_apart_are_refused(tmp_path: Path, make_video: Any) -> None:
    with mneme.open(tmp_path / "m") as memory, pytest.raises(SourceError, match="16x16"):
        memory.watch(make_video(tmp_path / "tiny.mp4", seconds=1, size=(16, 16), numbered=False))


def test_one_process_watches_many_films_and_goes_on_after_one_that_fails(tmp_path: Path, make_video: Any) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with mneme.open(tmp_path / "m") as memory:
        for name in ("a", "bad", "b"):
            if name == "bad":
                with pytest.raises(SourceError):
                    memory.watch(tmp_path / "bad.mp4")
            else:
                memory.watch(make_video(tmp_path / f"{name}.mp4", seconds=2, size=(96, 64 if name == "a" else 48)))
        assert {e.stream for e in memory.events()} == {"a", "b"}


def test_names_that_are_not_unicode_are_remembered_all_the_same(tmp_path: Path, make_video: Any) -> None:
    film = make_video(tmp_path / "plain.mp4", seconds=1)
    odd = Path(str(tmp_path) + "/caf\udce9.mp4")
    film.rename(odd)
    with mneme.open(tmp_path / "m") as memory:
        assert json.dumps(memory.watch(odd).stream)
        assert len(memory.events()) == 1
        memory.ask("what is said about the caf\udce9?")
