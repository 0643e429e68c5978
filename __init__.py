"""Mneme: one memory for everything that watches and listens.

import mneme
with mneme.open("kitchen.mneme") as memory:
    memory.watch("day1.mp4")
    answer = memory.ask("where did I leave the red mug?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import MnemeError
from .records import Answer, Event, Evidence, Observation, Percept, Pose, Space, Stream

if TYPE_CHECKING:
    from .pipeline.mneme import Mneme
    from .pipeline.mneme import open_memory as open
    from .pipeline.watch import Watched

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Event",
    "Evidence",
    "Mneme",
    "MnemeError",
    "Observation",
    "Percept",
    "Pose",
    "Space",
    "Stream",
    "Watched",
    "open",
]

_LAZY = {"Mneme": ("mneme", "Mneme"), "open": ("mneme", "open_memory"), "Watched": ("watch", "Watched")}


def __getattr__(name: str) -> Any:
    """The face loads the pipeline only when it is used: `import mneme` stays quick."""
    if name in _LAZY:
        from importlib import import_module

        module, attribute = _LAZY[name]
        return getattr(import_module(f".pipeline.{module}", __name__), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
