"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("MNEME_ENCODERS_PROFILE", "embedded")  # new memories of tests ask no hub


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills N`: how often a writer is killed, and half as often a sleeper and an eraser (`make soak`: more)."""
    parser.addoption("--kills", type=int, default=10)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a writer is killed."""
    return int(request.config.getoption("--kills"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes with one thread while a module's tests run."""
    from mneme.encoders.torch_runtime import torch_threads

    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def media() -> ModuleType:
    """The makers of `media.py` (importlib mode keeps this folder off the path, so it is loaded by its file)."""
    spec = importlib.util.spec_from_file_location("mneme_test_media", Path(__file__).with_name("media.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_video(media: ModuleType) -> Any:
    """`make_video(path, *, seconds, fps, size, scenes, sound, rotate, vfr, subtitles, ...)`; see `media.py`."""
    return media.make_video


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    """An empty memory for streams made by hand (`recording.py`)."""
    from mneme.memory.memory import Memory
    from tests.recording import SPACE

    return Memory.create(tmp_path / "m", "embedded", [SPACE])


@pytest.fixture(scope="session")
def text_tower() -> Any:
    """The real text tower, loaded once."""
    from mneme.encoders.text import MiniLM

    return MiniLM()


@pytest.fixture(scope="session")
def remember(text_tower: Any) -> Any:
    """`remember(folder, spoken=[(t0_s, t1_s, words)], shown=[...])`: a real memory that holds these words."""
    from mneme.encoders.profiles import Embedded
    from mneme.memory.memory import Memory
    from mneme.records import Moment, Percept, Stream, to_ns

    def make(
        folder: Path,
        spoken: Any = (),
        shown: Any = (),
        *,
        stream: str = "film",
        origin: str = "subtitles",
        end_s: float = 300.0,
    ) -> Path:
        def percept(lane: Any, made_by: str, row: tuple[float, float, str]) -> Percept:
            vector = text_tower.encode([row[2].replace("\n", ". ")]).vectors[0]
            return Percept(
                stream, lane, to_ns(row[0]), to_ns(row[1]), space="minilm", vector=vector, text=row[2], origin=made_by
            )

        percepts = [percept("speech", origin, row) for row in spoken] + [
            percept("caption", "rapidocr", r) for r in shown
        ]
        memory = (
            Memory.open(folder, "w")
            if (folder / "manifest.json").exists()
            else Memory.create(folder, "embedded", Embedded().spaces)
        )
        with memory:
            recorder = memory.recorder(Stream(stream, "/nowhere", "d" + stream))
            for p in sorted(percepts, key=lambda p: p.t0_ns):
                recorder.observe(Moment(stream, p.t0_ns, (p,), 0.0, -60.0, p.t0_ns))
            recorder.finish(to_ns(end_s))
        return folder

    return make
