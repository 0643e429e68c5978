"""An allocator that gives back what it was given: for processes that record for days.

Lance works in many short threads, each with buffers of some megabytes. glibc gives each thread an arena of its own and
lets its heap grow by what used to be mapped; Arrow's mimalloc keeps what ended threads held. Both are free and stay
resident: of two cameras a day 20 MiB an hour and more (docs/sleep.md). Few arenas, large blocks mapped and Arrow on
the same heap end that. See mallopt(3), "Dynamic adjustment of the mmap threshold".
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
_GLIBC = {"MALLOC_ARENA_MAX": (-8, 2), "MALLOC_MMAP_THRESHOLD_": (-3, 2**17), "MALLOC_TRIM_THRESHOLD_": (-1, 2**19)}
"""Environment variable -> (parameter of mallopt, value)."""


def steady_allocator() -> bool:
    """Sets this process, and those that it starts, to give memory back; whether glibc took it.

    For programs at their start, before Arrow is imported; no library calls it. What the environment says already stays,
    and on another C library only Arrow's pool is chosen.
    """
    os.environ.setdefault(_ARROW_POOL, "system")
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    took = True
    for name, (parameter, value) in _GLIBC.items():
        if name not in os.environ:
            os.environ[name] = str(value)  # for the processes that it starts
            took = bool(mallopt(parameter, value)) and took
    return took


def give_back() -> None:
    """Gives the system the pages that are free, after work that took many; elsewhere than on glibc nothing."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it has none of that name, as musl."""
    try:
        return getattr(ctypes.CDLL(None), name) if sys.platform == "linux" else None
    except (OSError, AttributeError):
        return None
