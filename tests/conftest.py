"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


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
