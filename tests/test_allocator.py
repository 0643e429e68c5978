"""A process that records for days gives back what it freed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os
from mneme.memory.allocator import give_back, steady_allocator
took = steady_allocator()
import numpy as np, pyarrow as pa

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

held = [np.ones(90_000, np.uint8) for _ in range(1000)]  # under what is mapped alone, over what a page holds
holes = held[::2]
most = resident()
del held
give_back()
print(json.dumps({"took": took, "pool": pa.default_memory_pool().backend_name, "freed": most - resident(),
                  "environment": {n: v for n, v in os.environ.items() if n.startswith(("MALLOC_", "ARROW_"))}}))
"""

glibc = pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")


def run(**given: str) -> dict[str, object]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "ARROW_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=known | given, capture_output=True, check=True, text=True
    )
    return dict(json.loads(done.stdout))


@glibc
def test_what_lies_free_between_what_is_held_goes_back_to_the_system() -> None:
    found = run()
    assert (found["took"], found["pool"]) == (True, "system")
    assert isinstance(found["freed"], int)
    assert found["freed"] > 30 * 2**20  # of 43 MiB that were freed in holes


@glibc
def test_processes_that_it_starts_do_the_same_and_what_the_user_chose_stays() -> None:
    found = run(MALLOC_ARENA_MAX="7", ARROW_DEFAULT_MEMORY_POOL="mimalloc")
    assert found["pool"] == "mimalloc"
    assert found["environment"] == {
        "MALLOC_ARENA_MAX": "7",
        "ARROW_DEFAULT_MEMORY_POOL": "mimalloc",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "MALLOC_TRIM_THRESHOLD_": "524288",
    }
