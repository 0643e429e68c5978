"""`python -m benchmarks.golden FOLDER`: every array of a folder of golden vectors against our operators.

Each array is an input, or is matched, or stands in `left.py` with the issue that takes it or the reason it is left; an
array of which none is true is a fault, as is a mismatch: the exit code is then 1. Without a folder that can be read, 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from . import cutie, emllm, hippomm, memoryvla, moviechat, omnilive, openpi, sam2, sat, streaming, xmem
from .compare import Check
from .left import LEFT

FAMILIES: tuple[ModuleType, ...] = (
    xmem, cutie, moviechat, streaming, emllm, hippomm, omnilive, memoryvla, sam2, sat, openpi,
)  # fmt: skip
"""Each has `FILES`: file -> its checks, and `INPUTS`: file -> the names that are given, not matched (a trailing `*`
stands for any ending)."""


def named(name: str, names: Sequence[str]) -> bool:
    """Whether `name` is among `names`, where a trailing `*` stands for any ending."""
    return any(name == other or (other.endswith("*") and name.startswith(other[:-1])) for other in names)


def arrays_of(path: Path) -> dict[str, Any]:
    """What a file holds; of a frame as it goes over a wire, `bytes`: uint8[n]."""
    if path.suffix == ".msgpack":
        return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def check_file(path: Path, params: Mapping[str, Any]) -> Iterator[Check]:
    """The checks of one file, then a failed one for each of its arrays that nothing accounts for."""
    family = next((f for f in FAMILIES if path.name in f.FILES), None)
    if path.name in LEFT and family is None:
        return
    if family is None:
        yield Check(path.name, False, "no operator takes this file, and it does not stand in benchmarks/golden/left.py")
        return
    arrays = arrays_of(path)
    given = [
        *family.INPUTS.get(path.name, ()),
        *(name.partition(":")[2] for name in LEFT if name.startswith(path.name)),
    ]
    matched: set[str] = set()
    for check in family.FILES[path.name](arrays, params.get(path.name, {})):
        matched.add(check.name)
        yield check
    for name in arrays:
        if name not in matched and not named(name, given):
            yield Check(name, False, "matched by nothing, and not in benchmarks/golden/left.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden", description=__doc__)
    parser.add_argument("folder", type=Path, help="the vectors: *.npz and params.json")
    parser.add_argument("--only", default="", help="files whose name holds this")
    options = parser.parse_args(arguments)
    parameters = options.folder / "params.json"
    if not parameters.is_file():
        print(f"{parameters} is missing: name a folder of golden vectors with their params.json", file=sys.stderr)
        return 2
    params = json.loads(parameters.read_text(encoding="utf-8"))
    files = [
        p for p in sorted(options.folder.iterdir()) if p.suffix in {".npz", ".json", ".msgpack"} and p != parameters
    ]
    table = Table("file", "matched", "missed", "closest to its tolerance")
    faults: list[tuple[str, Check]] = []
    for path in files:
        if options.only not in path.name:
            continue
        checks = list(check_file(path, params))
        missed = [check for check in checks if not check.ok]
        faults += [(path.name, check) for check in missed]
        if checks:
            closest = max(checks, key=lambda check: check.share)
            table.add_row(
                path.name, str(len(checks) - len(missed)), str(len(missed)), f"{closest.name}: {closest.detail}"
            )
    console = Console(width=140, soft_wrap=True)
    console.print(table)
    for name, check in faults:
        console.print(f"MISSED {name} {check.name}: {check.detail}")
    left = Table("left", "why", title="not matched by the operators")
    for name, reason in LEFT.items():
        left.add_row(name, reason)
    console.print(left)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
