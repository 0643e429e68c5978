"""Senses that have words, through a real memory on disk: watched, asked, and moved to from another profile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import mneme
from mneme.encoders import profiles
from mneme.encoders.vision import WINDOWS
from mneme.errors import LockedError, MnemeError
from mneme.memory.memory import Memory
from mneme.pipeline import reencode as moving
from mneme.pipeline.lanes import Vision
from mneme.pipeline.reencode import beside, reencode
from mneme.records import NS_PER_S, Observation, Percept, Picture, to_s
from tests.naming import Naming

TICK = NS_PER_S // 5


def speckled(colour: tuple[int, int, int], seed: int) -> Picture:
    """A picture of one colour with marks of its own, so that geometry has something to hold on to."""
    rng = np.random.default_rng(seed)
    marks = np.kron(rng.integers(-25, 25, (18, 32, 1)), np.ones((10, 10, 1)))
    return np.asarray(np.clip(np.array(colour) + marks, 0, 255), dtype=np.uint8)


ROOMS = [speckled((200, 30, 30), 1), speckled((30, 30, 200), 2), speckled((30, 160, 40), 3)]


def tones(t_s: Any) -> Any:
    """A high tone from 2 to 3 s, a low one from 8 to 9.5 s, else silence."""
    high = np.sin(2 * np.pi * 1500 * t_s) * ((t_s >= 2) & (t_s < 3))
    return 0.4 * (high + np.sin(2 * np.pi * 200 * t_s) * ((t_s >= 8) & (t_s < 9.5)))


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory, make_video: Any) -> Path:
    """Three rooms of five seconds each, with two sounds and a subtitle."""
    path: Path = make_video(
        tmp_path_factory.mktemp("film") / "walk.mp4", seconds=15.0, fps=10.0, size=(320, 180), scenes=ROOMS,
        numbered=False, sound=tones, subtitles=[(1.0, 3.0, "The spare key hangs behind the door.")],
    )  # fmt: skip
    return path


@pytest.fixture
def naming(monkeypatch: pytest.MonkeyPatch) -> Naming:
    """The profile `naming`, registered for this test."""
    made = Naming()
    monkeypatch.setitem(profiles.PROFILES, "naming", lambda *_: made)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="session")
def before(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film, watched with senses that have no words."""
    folder = tmp_path_factory.mktemp("before") / "walk.mneme"
    with mneme.open(folder, "embedded") as memory:
        memory.watch(film)
    return folder


@pytest.fixture
def old(before: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "walk.mneme"))


def percepts(folder: Path) -> list[Percept]:
    with Memory.open(folder) as memory:
        return memory.snapshot().percepts(with_vectors=True)


def coordinates(folder: Path) -> list[tuple[Any, ...]]:
    return [(p.id, p.lane, p.t0_ns, p.t1_ns, p.ordinal, p.thumbnail is None) for p in percepts(folder)]


def answers(folder: Path) -> list[tuple[str, float]]:
    """What senses with words answer, and when."""
    with mneme.open(folder) as memory:
        told = [
            memory.ask(q)
            for q in ("Where did I see the lamp?", "When was the bell heard?", "Where was the motor heard?")
        ]
        assert memory.ask("Was there a guitar?").abstained
        assert "behind the door" in memory.ask("Where does the spare key hang?").text
    return [(a.text.split(" (")[0], round(to_s(a.evidence[0].t0_ns))) for a in told]


def test_what_is_watched_with_words_is_asked_in_words_and_by_picture(
    naming: Naming, film: Path, tmp_path: Path
) -> None:
    with mneme.open(tmp_path / "m", naming.name) as memory:
        memory.watch(film)
        seen = memory.ask("When is this seen?", image=ROOMS[2][20:160, 40:280])
        assert not seen.abstained
        assert to_s(seen.evidence[0].t0_ns) == pytest.approx(10, abs=0.3)
        assert memory.check().ok
    assert answers(tmp_path / "m")[0] == ("In the garage", 5)
    sights = [p for p in percepts(tmp_path / "m") if p.lane == "vision"]
    assert {p.text for p in sights} == {
        "a red wall; kitchen",
        "a blue wall, a small lamp; garage",
        "a green wall; garden",
    }
    assert all(set(p.also) == {"layout"} and p.look is not None and p.look.shape == (len(WINDOWS), 352) for p in sights)


def test_a_move_leaves_the_memory_that_watching_anew_would_have_made(
    naming: Naming, film: Path, old: Path, tmp_path: Path
) -> None:
    was, words = coordinates(old), {p.id: p.text for p in percepts(old) if p.text}
    done = reencode(old, naming.name)
    assert coordinates(old) == was
    assert {p.id: p.text for p in percepts(old) if p.id in words} == words
    assert (done.tally.frames, done.tally.thumbnails, done.tally.lost) == (sum(p[1] == "vision" for p in was), 0, 0)
    with mneme.open(tmp_path / "anew", naming.name) as memory:
        memory.watch(film)
    anew = {p.id: p for p in percepts(tmp_path / "anew")}
    for percept in percepts(old):
        twin = anew[percept.id]
        assert (percept.text, percept.space, percept.origin) == (twin.text, twin.space, twin.origin)
        np.testing.assert_allclose(percept.vector, twin.vector, atol=1e-3)
    assert answers(old) == answers(tmp_path / "anew")
    with mneme.open(old) as memory:
        assert not memory.ask("When is this seen?", image=ROOMS[1]).abstained
        assert memory.check().ok
    assert sorted(p.name for p in old.parent.iterdir()) == ["anew", "walk.mneme"]


def test_without_its_source_a_memory_moves_from_thumbnails_and_its_sounds_keep_their_times(
    naming: Naming, film: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copy(film, tmp_path / "gone.mp4"))
    with mneme.open(tmp_path / "m", "embedded") as memory:
        memory.watch(moved)
    moved.write_bytes(film.read_bytes() + b"\0")  # another file under that name is not the one that was watched
    was = coordinates(tmp_path / "m")
    done = reencode(tmp_path / "m", naming.name)
    assert (done.tally.frames, done.tally.lost) == (0, sum(p[1] == "sound" for p in was))
    assert coordinates(tmp_path / "m") == was
    with mneme.open(tmp_path / "m") as memory:
        assert memory.ask("Where did I see the lamp?").text.startswith("In the garage")


def test_a_move_that_is_cut_off_leaves_the_old_memory_and_can_be_made_again(
    naming: Naming, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = coordinates(old)
    for step in ("_carry", "_verify", "_exchange"):
        with monkeypatch.context() as broken:
            broken.setattr(moving, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                reencode(old, naming.name)
        with Memory.open(old) as memory:
            assert memory.manifest.profile == "embedded"
            assert memory.check().ok
    old.rename(beside(old, "before"))  # cut off between the two renames of a disk that cannot exchange names
    with monkeypatch.context() as plain:
        plain.setattr(moving, "_swapped", lambda *_: False)
        reencode(old, naming.name)
    assert coordinates(old) == was
    assert [p.name for p in old.parent.iterdir()] == [old.name]


def test_videos_that_were_handed_to_the_page_go_with_the_memory(naming: Naming, old: Path) -> None:
    (old / "sources").mkdir()
    (old / "sources" / "walk.mp4").write_bytes(b"video")
    reencode(old, naming.name)
    assert (old / "sources" / "walk.mp4").read_bytes() == b"video"


def test_a_memory_that_is_being_written_or_is_of_that_profile_is_refused(naming: Naming, old: Path) -> None:
    with Memory.open(old, "w"), pytest.raises(LockedError):
        reencode(old, naming.name)
    with pytest.raises(MnemeError, match="already; there is nothing to do"):
        reencode(old, "embedded")
    assert coordinates(old)


def test_the_command_says_what_the_percepts_were_described_from(naming: Naming, old: Path) -> None:
    import typer

    from mneme.ui.reencode_command import reencode as command

    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["--memory", str(old), "--to", naming.name, "--json"])
    told = json.loads(done.stdout)
    assert (told["profile"], told["tally"]["lost"]) == ("naming", 0)


def test_no_encoder_is_called_for_a_picture_that_did_not_change_and_cameras_share_a_batch(naming: Naming) -> None:
    sense = Vision("s", naming.vision, TICK, naming.look)
    still = {"left": ROOMS[0], "right": ROOMS[1]}
    made = [sense.take(Observation("s", k * TICK, still)) for k in range(8)]
    assert [len(p) for p in made] == [2, 0, 0, 0, 0, 0, 0, 0]
    assert naming.vision.pictures == 2
    assert [p.text for p in made[0]] == ["a red wall; kitchen", "a blue wall, a small lamp; garage"]


def test_where_an_encoder_claims_nothing_a_sight_has_no_words(naming: Naming) -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    (percept,) = Vision("s", naming.vision, TICK, naming.look).take(Observation("s", 0, {"": grey}))
    assert (percept.text, percept.confidence) == (None, 1.0)
