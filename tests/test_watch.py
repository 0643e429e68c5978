"""The main job on real files: watch a video, ask it from another process, be shown the moment; killed, it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import mneme
from mneme.errors import LockedError, MnemeError, SettingsError, SourceError
from mneme.memory.memory import Memory
from mneme.records import Observation, Picture, to_s

SIZE = (480, 270)
CUES = (
    "1\n00:00:02,000 --> 00:00:04,500\nThe ferry to Norvik leaves from pier three.\n\n"
    "2\n00:00:10,000 --> 00:00:12,000\nThe bakery opens at half past six.\n\n"
    "3\n00:00:18,000 --> 00:00:20,500\nMind the step, the stairs are wet.\n"
)


def scene(seed: int, sign: str = "") -> Callable[[float], Picture]:
    """A painted wall that drifts slowly, with a sign on it from 1 s after its start (of 8 s) to 6 s."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(30, 225, (9, 16, 3), dtype=np.uint8)
    wall = Image.fromarray(colours).resize((SIZE[0] + 80, SIZE[1]), Image.Resampling.BICUBIC)
    font = ImageFont.load_default(size=30)

    def draw(t_s: float) -> Picture:
        local = t_s % 8
        picture = wall.crop((int(local * 8), 0, int(local * 8) + SIZE[0], SIZE[1]))
        if sign and 1 <= local < 6:
            pen = ImageDraw.Draw(picture)
            pen.rectangle((60, 190, 420, 244), fill=(15, 15, 15))
            pen.text((80, 198), sign, font=font, fill=(255, 255, 255))
        return np.asarray(picture, dtype=np.uint8)

    return draw


def bell(t: Any) -> Any:
    """Silence but for a bell at 14 s."""
    ring = np.where(t >= 14.0, np.exp(-3 * np.clip(t - 14.0, 0, 60)) * np.sin(2 * np.pi * 1760 * t), 0.0)
    return (0.5 * ring + 1e-4 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, make_video: Any) -> Path:
    """24 s in three scenes, with two signs, three subtitles beside it, and a bell."""
    folder = tmp_path_factory.mktemp("film")
    (folder / "pier.srt").write_text(CUES, encoding="utf-8")
    scenes = [scene(1, "PIER 3 NORVIK"), scene(2), scene(3, "HALL 12 OPEN")]
    path: Path = make_video(
        folder / "pier.mp4", seconds=24, fps=10, size=SIZE, scenes=scenes, sound=bell, numbered=False
    )
    return path


def cli(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mneme", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def watched(film: Path) -> Path:
    """A memory of the film, made by the command line."""
    folder = film.parent / "pier.mneme"
    cli("watch", film, "--memory", folder, "--json")
    return folder


def content(folder: Path) -> tuple[object, ...]:
    with Memory.open(folder) as memory:
        snapshot = memory.snapshot()
        return (
            [(p.id, p.lane, p.t0_ns, p.t1_ns, p.text) for p in snapshot.percepts()],
            [(e.id, e.t0_ns, e.t1_ns, e.gist, e.percepts) for e in snapshot.events()],
        )


def test_a_film_becomes_events_and_percepts_in_every_lane(watched: Path) -> None:
    listed = json.loads(cli("events", "--memory", watched, "--json").stdout)
    assert [round(e["t0_s"]) for e in listed] == [0, 8, 16]
    assert set(listed[0]) == {"id", "stream", "t0_s", "t1_s", "gist", "place", "lanes"}
    assert "caption" in listed[0]["lanes"]
    assert "sound" in listed[1]["lanes"]
    with Memory.open(watched) as memory:
        percepts = memory.snapshot().percepts()
    assert {p.text for p in percepts if p.lane == "caption"} == {"PIER 3 NORVIK", "HALL 12 OPEN"}
    assert [p.text for p in percepts if p.lane == "speech"] == [c.split("\n")[2] for c in CUES.strip().split("\n\n")]
    (sound,) = [p for p in percepts if p.lane == "sound"]
    assert abs(to_s(sound.t0_ns) - 14.0) < 0.2
    assert not [p for p in percepts if p.lane == "vision" and not p.thumbnail]


@pytest.mark.parametrize(
    ("question", "t0_s", "t1_s", "words"),
    [
        ("When does someone mention the ferry to Norvik?", 2.0, 4.5, "0:02"),
        ("When does the bakery open?", 10.0, 12.0, "half past six"),
        ("When is the sign HALL 12 OPEN shown?", 17.0, 22.0, "0:17"),
        ("What is said while the sign PIER 3 NORVIK is on screen?", 2.0, 4.5, "pier three"),
    ],
)
def test_another_process_is_shown_the_moment(
    watched: Path, question: str, t0_s: float, t1_s: float, words: str
) -> None:
    answer = json.loads(cli("ask", question, "--memory", watched, "--json").stdout)
    assert set(answer) == {"answer", "abstained", "confidence", "evidence", "timings_ms"}
    assert not answer["abstained"], answer
    best = answer["evidence"][0]
    assert set(best) == {"stream", "t0_s", "t1_s", "lane", "text", "score", "thumbnail", "place"}
    assert abs(best["t0_s"] - t0_s) <= 0.5
    assert abs(best["t1_s"] - t1_s) <= 0.5
    assert words in answer["answer"]
    assert Image.open(best["thumbnail"]).format == "JPEG"


def test_a_picture_finds_its_scene_and_a_strange_one_finds_none(watched: Path, tmp_path: Path) -> None:
    seen, strange = tmp_path / "seen.png", tmp_path / "strange.png"
    Image.fromarray(scene(2)(11.3)).crop((40, 20, 440, 250)).save(seen)
    Image.fromarray(scene(77)(3.0)).save(strange)
    with mneme.open(watched) as memory:
        answer = memory.ask("When does this appear?", image=seen)
        assert not answer.abstained
        assert 8 <= to_s(answer.evidence[0].t0_ns) < 16
        assert memory.ask("When does this appear?", image=strange).abstained


def test_the_same_film_gives_the_same_memory(film: Path, watched: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "again.mneme") as memory:
        memory.watch(film)
    assert content(tmp_path / "again.mneme") == content(watched)


def test_killed_half_way_it_holds_what_it_acknowledged_and_goes_on(film: Path, watched: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed.mneme"
    command = [sys.executable, "-m", "mneme", "watch", str(film), "--memory", str(folder), "--acks", "--json"]
    acknowledged = 0
    for acks in (2, 5):  # killed twice, at different depths
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(acks):
                line = json.loads(child.stdout.readline())
                if "acked_t_s" not in line:
                    break
                acknowledged += line["percepts"]
            child.kill()
            for rest in child.stdout:
                if rest.endswith("\n") and "acked_t_s" in rest:
                    acknowledged += json.loads(rest)["percepts"]
        report = json.loads(cli("check", "--memory", folder, "--json").stdout)
        assert report["ok"]
        assert report["percepts"] >= acknowledged
    done = cli("watch", film, "--memory", folder, "--json", check=False)
    assert done.returncode == 0 or "was watched already" in done.stderr  # the last kill may have come too late
    assert content(folder) == content(watched)


def test_watched_twice_is_refused_by_name_unless_replaced(film: Path, watched: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme") as memory:
        first = memory.watch(film, lanes=("speech",))
        with pytest.raises(MnemeError, match="'pier' was watched already"):
            memory.watch(film)
        with pytest.raises(MnemeError, match="in the memory already as stream 'pier'"):
            memory.watch(film, stream="other")
        memory.watch(film, replace=True)
    assert first.percepts == 3
    assert content(tmp_path / "m.mneme") == content(watched)


def test_a_second_writer_is_told_who_holds_the_memory_and_readers_go_on(film: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme") as memory:
        memory.watch(film, lanes=("speech",))
        refused = cli("watch", film, "--memory", tmp_path / "m.mneme", "--stream", "b", check=False)
        assert refused.returncode == 2
        assert "process" in refused.stderr or "pid" in refused.stderr
        asked = cli("ask", "When does the bakery open?", "--memory", tmp_path / "m.mneme", "--json")
        assert not json.loads(asked.stdout)["abstained"]


def test_lanes_that_were_not_asked_for_are_not_perceived(film: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme") as memory:
        done = memory.watch(film, lanes=("vision", "sound"))
        assert done.events == 3
        assert {lane for event in memory.events() for lane in event.lanes} == {"vision", "sound"}
        with pytest.raises(SettingsError, match="no lane 'smell'"):
            memory.watch(film, lanes=("smell",), replace=True)  # type: ignore[arg-type]


def test_a_profile_is_chosen_once(film: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme", profile="auto") as memory:
        memory.watch(film, lanes=("speech",))
    with pytest.raises(SettingsError, match="made with profile 'embedded'"):
        mneme.open(tmp_path / "m.mneme", profile="clip")
    with (
        pytest.raises(SettingsError, match="no profile 'strong'"),
        mneme.open(tmp_path / "n", profile="strong") as other,
    ):
        other.watch(film)


def observations(until_s: float) -> Iterator[Observation]:
    """A robot's view of one scene, with something told to it."""
    draw = scene(5)
    for tick in range(int(until_s * 5)):
        t_ns = tick * 200_000_000
        text = "Bring the tray to table nine." if tick == 10 else None
        yield Observation(
            "robot",
            t_ns,
            {"head": draw(tick / 5)},
            text=text,
            text_until_ns=None if text is None else t_ns + 2_000_000_000,
            sound=np.zeros(3200, dtype=np.float32),
        )


def test_live_observations_are_remembered_as_they_come(tmp_path: Path) -> None:
    with mneme.open(tmp_path / "live.mneme") as memory:
        acknowledged = [ack for o in observations(8.0) for ack in memory.observe(o)]
        assert acknowledged
    with mneme.open(tmp_path / "live.mneme") as memory:
        assert "table nine" in memory.ask("Where should the tray be brought?").text


def test_nothing_is_created_by_a_source_that_cannot_be_watched(tmp_path: Path) -> None:
    (tmp_path / "fake.mp4").write_bytes(b"not a video" * 100)
    with mneme.open(tmp_path / "m.mneme") as memory, pytest.raises(SourceError):
        memory.watch(tmp_path / "fake.mp4")
    assert not (tmp_path / "m.mneme").exists()


def test_a_second_writer_in_the_same_process_is_refused_too(film: Path, tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme") as memory, mneme.open(tmp_path / "m.mneme") as other:
        memory.watch(film, lanes=("speech",))
        with pytest.raises(LockedError):
            other.watch(film, lanes=("speech",), stream="other")
