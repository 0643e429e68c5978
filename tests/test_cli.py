"""What goes wrong on the command line is one line that names the fault and the mend, and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mneme.ui.cli import app

runner = CliRunner()
SPOKEN = [(2.0, 4.0, "The bakery opens at half past six.")]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory, remember: Any) -> Path:
    folder: Path = remember(tmp_path_factory.mktemp("cli") / "m.mneme", SPOKEN)
    return folder


def refused(*arguments: object) -> str:
    """The one line with which a command is refused."""
    done = runner.invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 2, (done.output, done.exception)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mneme: ")
    assert len(lines[0]) < 400
    return lines[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"just text", bytes(3000), b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WAVE"],
    ids=["empty", "text", "zeros", "png-head", "wave-head"],
)
def test_what_is_no_video_is_refused_and_no_memory_made(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    assert "x.mp4" in refused("watch", tmp_path / "x.mp4", "--memory", tmp_path / "m.mneme")
    assert not (tmp_path / "m.mneme").exists()


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "missing.mp4" in refused("watch", tmp_path / "missing.mp4", "--memory", tmp_path / "m.mneme")


@pytest.mark.parametrize("question", ["", "   ", "??", "why " * 2500], ids=["empty", "blank", "marks", "endless"])
def test_a_question_that_cannot_be_asked_is_refused(memory: Path, question: str) -> None:
    assert "question" in refused("ask", question, "--memory", memory)


def test_a_picture_that_is_none_is_refused(memory: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_text("no picture")
    assert "p.jpg" in refused("ask", "When is this seen?", "--memory", memory, "--image", tmp_path / "p.jpg")


def test_a_folder_that_is_no_memory_is_refused_by_every_command(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for command in (["ask", "When?"], ["events"], ["check"]):
        assert str(tmp_path) in refused(*command, "--memory", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_memory_that_is_not_there_is_refused_and_not_created(tmp_path: Path) -> None:
    refused("ask", "When is the bakery mentioned?", "--memory", tmp_path / "none.mneme")
    assert not (tmp_path / "none.mneme").exists()


def test_a_memory_of_another_version_is_refused(memory: Path, tmp_path: Path) -> None:
    manifest = json.loads((memory / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))
    assert "99" in refused("events", "--memory", tmp_path)


@pytest.mark.parametrize(
    "option", [["--lanes", "smell"], ["--fps", "0"], ["--fps", "nan"], ["--subtitles", "none.srt"]]
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, make_video: Any, option: list[str]) -> None:
    film = make_video(tmp_path / "f.mp4", seconds=1)
    refused("watch", film, "--memory", tmp_path / "m.mneme", *option)


def test_an_unknown_stream_or_reasoner_is_named_with_what_there_is(memory: Path) -> None:
    assert "film" in refused("ask", "When is the bakery mentioned?", "--memory", memory, "--stream", "other")
    assert "extractive" in refused("ask", "When is the bakery mentioned?", "--memory", memory, "--reasoner", "oracle")


def test_settings_that_are_wrong_are_refused(memory: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[ask]\naccept = 'much'\n")
    (tmp_path / "b.toml").write_text("[ask]\nacept = 0.5\n")
    (tmp_path / "c.toml").write_text("[ask\n")
    for name, word in (("a", "accept"), ("b", "acept"), ("c", "c.toml")):
        assert word in refused(
            "ask", "When is the bakery mentioned?", "--memory", memory, "--config", tmp_path / f"{name}.toml"
        )


def test_answers_and_checks_can_be_read_by_people(memory: Path) -> None:
    told = runner.invoke(app, ["ask", "When does the bakery open?", "--memory", str(memory)])
    assert told.exit_code == 0
    assert "half past six" in told.output
    checked = runner.invoke(app, ["check", "--memory", str(memory)])
    assert checked.exit_code == 0
    assert "1 percepts" in checked.output


def test_doctor_tries_every_lane() -> None:
    done = runner.invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0
    lanes = {f["name"]: f for f in json.loads(done.output) if f["kind"] == "lane"}
    assert set(lanes) == {"text", "vision", "sound", "speech", "caption"}
    assert all(lane["works"] for lane in lanes.values()), lanes
