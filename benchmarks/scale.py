"""`python -m benchmarks.scale`: a memory of a million percepts: how fast and how exactly it recalls.

python -m benchmarks.scale [--rows 1000000] [--questions 200] [--clients 100] [--rate 20] [--commits 2000]
    [--json] [--keep DIR]

Vectors are drawn around scenes that are visited again and again, as sights are; questions are views of what is there.
`one client`: recall@10 against a scan of everything, and the 50th and 99th percentile of warm searches, without a
filter, filtered by time to 1, 10 and 50% of the rows, and by lane to the same shares. `many clients`: threads that put
so many questions a second together while one stream is recorded into the same memory; `writer_longest_s` is the
longest that the recorder was held up meanwhile. `many commits`: so many of `PERCEPTS` each, one after the other: for
how long the recorder was held up, with all that has to be compacted for them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mneme.encoders.base import unit
from mneme.memory import tables
from mneme.memory.changes import Changes
from mneme.memory.ledger import StreamState
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.memory.store import StoredSnapshot
from mneme.memory.writer import Writer
from mneme.records import NS_PER_S, Lane, Moment, Percept, Space, Stream, identify

from .machine import machine

DIM, SCENES, TOGETHER, K = 384, 20_000, 50_000, 10
SPACE = Space("scene", DIM, "scale")
LANES: tuple[tuple[Lane, float], ...] = (("sound", 0.01), ("speech", 0.10), ("vision", 0.50), ("caption", 0.39))
"""Shares of the rows, so that a filter by lane leaves 1, 10 and 50% of them."""
NOISE = 0.6
PERCEPTS = 50
CAMERAS = ("left", "right")
"""In turn."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is stored, for exact answers."""

    vectors: NDArray[np.float32]
    """float32[n, DIM], unit length."""
    lanes: NDArray[np.int8]
    """Index into `LANES`."""
    ids: list[str]


def drawn(count: int, seed: int) -> Rows:
    """One percept a second, each near one of the scenes."""
    draw = np.random.default_rng(seed)
    scenes = unit(draw.standard_normal((SCENES, DIM), dtype=np.float32))
    vectors = np.empty((count, DIM), np.float32)
    for first in range(0, count, TOGETHER):
        part = slice(first, min(first + TOGETHER, count))
        size = part.stop - part.start
        jitter = draw.standard_normal((size, DIM), dtype=np.float32) * np.float32(NOISE / DIM**0.5)
        vectors[part] = unit(scenes[draw.integers(0, SCENES, size)] + jitter)
    lanes = draw.choice(len(LANES), count, p=[share for _, share in LANES]).astype(np.int8)
    ids = [
        identify("life", LANES[lane][0], CAMERAS[i % 2], i * NS_PER_S, (i + 1) * NS_PER_S, 0)
        for i, lane in enumerate(lanes)
    ]
    return Rows(vectors, lanes, ids)


def fill(folder: Path, rows: Rows) -> float:
    """Stores the rows in large commits and sleeps once, which makes the indexes; seconds."""
    import pyarrow as pa

    started = time.perf_counter()
    Memory.create(folder, "scale", [SPACE]).close()
    writer = Writer(folder, MemorySettings(horizon_s=0.0), time.time_ns)
    schema = tables.schemas([SPACE])[tables.PERCEPTS]
    count = len(rows.ids)
    for first in range(0, count, TOGETHER):
        last = min(first + TOGETHER, count)
        t0 = np.arange(first, last, dtype=np.int64) * NS_PER_S
        names = [LANES[lane][0] for lane in rows.lanes[first:last]]
        flat = pa.array(rows.vectors[first:last].ravel())
        columns: dict[str, Any] = {
            "id": rows.ids[first:last], "stream": ["life"] * len(t0), "take": np.zeros(len(t0), np.int32),
            "lane": names, "camera": [CAMERAS[i % 2] for i in range(first, last)], "t0_ns": t0, "t1_ns": t0 + NS_PER_S,
            "ordinal": np.zeros(len(t0), np.int32), "space": ["scene"] * len(t0),
            "text": [f"scene {i}" for i in range(first, last)], "origin": [f"{name} lane" for name in names],
            "confidence": np.linspace(0.5, 1.0, len(t0), dtype=np.float32), "strength": np.ones(len(t0), np.float32),
            "recalls": np.zeros(len(t0), np.int32),
            tables.column("scene"): pa.FixedSizeListArray.from_arrays(flat, DIM),
        }  # fmt: skip
        arrays = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(t0), field.type)
            for field in schema
        ]
        state = StreamState(Stream("life", "scale", "scale", profile="scale"), seen_ns=last * NS_PER_S)
        put = {tables.PERCEPTS: pa.Table.from_arrays(arrays, schema=schema)}
        writer.apply("observe", Changes(put=put, streams={"life": state}))
    del writer
    with Memory.open(folder, "w", settings=MemorySettings(horizon_s=0.0)) as memory:
        memory.sleep()
    return time.perf_counter() - started


def views(rows: Rows, count: int, seed: int) -> NDArray[np.float32]:
    """Views of stored percepts that differ from them: float32[count, DIM]."""
    draw = np.random.default_rng(seed + 1)
    of = rows.vectors[draw.integers(0, len(rows.ids), count)]
    return unit(of + draw.standard_normal((count, DIM), dtype=np.float32) * np.float32(0.3 / DIM**0.5))


def one_client(folder: Path, rows: Rows, asked: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """filter -> recall@10, the 50th and the 99th percentile in ms."""
    snapshot = StoredSnapshot(folder)
    count = len(rows.ids)
    filters: dict[str, tuple[dict[str, Any], NDArray[np.bool_]]] = {"none": ({}, np.ones(count, np.bool_))}
    for share in (0.01, 0.10, 0.50):
        first = round(count * (0.7 - share / 2))
        last = first + round(count * share)
        within = np.zeros(count, np.bool_)
        within[first:last] = True
        filters[f"time {share:.0%}"] = ({"t0_ns": first * NS_PER_S, "t1_ns": last * NS_PER_S}, within)
    for index, (lane, share) in enumerate(LANES[:3]):
        filters[f"lane {share:.0%}"] = ({"lanes": (lane,)}, rows.lanes == index)
    found = {}
    for name, (given, within) in filters.items():
        for vector in asked[:10]:
            snapshot.nearest("scene", vector, limit=K, **given)
        taken, hits = [], []
        for vector, best in zip(asked, exact(rows, asked, within), strict=True):
            started = time.perf_counter()
            near = snapshot.nearest("scene", vector, limit=K, **given)
            taken.append(1e3 * (time.perf_counter() - started))
            ids = {hit.percept.id for hit in near}
            hits.append(len(ids & best) / max(len(best), 1))
        found[name] = {
            "recall_at_10": round(float(np.mean(hits)), 4),
            "p50_ms": round(float(np.percentile(taken, 50)), 1),
            "p99_ms": round(float(np.percentile(taken, 99)), 1),
        }
    return found


def exact(rows: Rows, asked: NDArray[np.float32], within: NDArray[np.bool_]) -> list[set[str]]:
    """Ids of the ten nearest of the rows that a filter leaves, of each question."""
    which = np.flatnonzero(within)
    best: list[set[str]] = []
    for first in range(0, len(asked), 16):
        part = asked[first : first + 16]
        scores = np.concatenate(
            [part @ rows.vectors[which[i : i + TOGETHER]].T for i in range(0, len(which), TOGETHER)], axis=1
        )
        for row in scores:
            best.append({rows.ids[which[i]] for i in np.argpartition(-row, K - 1)[:K]})
    return best


def many_clients(
    folder: Path, asked: NDArray[np.float32], clients: int, rate: float, seconds: float
) -> dict[str, float]:
    """Threads ask `rate` questions a second together while a stream is recorded; each question takes a new snapshot."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    with Memory.open(folder, "w", settings=MemorySettings(horizon_s=0.0)) as memory:
        recorder = memory.recorder(Stream("now", "scale", "now", profile="scale"))
        reader = Memory.open(folder)

        def client(number: int) -> None:
            every = clients / rate
            turn = time.perf_counter() + every * number / clients
            k = number
            while turn < until:
                time.sleep(max(0.0, turn - time.perf_counter()))
                started = time.perf_counter()
                reader.snapshot().nearest("scene", asked[k % len(asked)], limit=K)
                taken.append(1e3 * (time.perf_counter() - started))
                k, turn = k + 7, turn + every

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        longest, commits, k = 0.0, 0, 0
        unlike = unit(np.random.default_rng(1).standard_normal((1000, DIM), dtype=np.float32))  # no answer to `asked`
        while time.perf_counter() < until:
            percept = Percept(
                "now",
                "vision",
                k * NS_PER_S // 5,
                (k + 1) * NS_PER_S // 5,
                space="scene",
                vector=unlike[k % len(unlike)],
            )
            started = time.perf_counter()
            commits += len(recorder.observe(Moment("now", percept.t0_ns, (percept,), 0.1, -60.0, percept.t0_ns)))
            longest = max(longest, time.perf_counter() - started)
            k += 1
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        memory.release(recorder)
    return {
        "questions_a_second": round(len(taken) / seconds, 2),
        "p50_ms": round(float(np.percentile(taken, 50)), 1),
        "p99_ms": round(float(np.percentile(taken, 99)), 1),
        "writer_longest_s": round(longest, 3),
        "commits": commits,
    }


def many_commits(folder: Path, commits: int) -> dict[str, float]:
    """Seconds of a commit of `PERCEPTS`."""
    import torch  # the first event that is consolidated would load it, and a recorder that perceives has long done so

    del torch
    other = unit(np.random.default_rng(2).standard_normal((1000, DIM), dtype=np.float32))
    taken: list[float] = []
    with Memory.open(folder, "w", settings=MemorySettings(horizon_s=0.0, commit_every_s=0.0)) as memory:
        recorder = memory.recorder(Stream("later", "scale", "later", profile="scale"))
        for first in range(0, commits * PERCEPTS, PERCEPTS):
            t0 = [k * NS_PER_S for k in range(first, first + PERCEPTS)]
            came = tuple(
                Percept("later", "vision", t, t + NS_PER_S, space="scene", vector=other[k % 1000], text=f"later {k}")
                for k, t in enumerate(t0, first)
            )
            started = time.perf_counter()
            recorder.observe(Moment("later", t0[0], came, 0.1, -60.0, t0[0]))
            taken.append(time.perf_counter() - started)
        memory.release(recorder)
    p50, p99, longest = np.percentile(taken, (50, 99, 100)) if taken else (0.0, 0.0, 0.0)
    return {
        "commits": commits,
        "p50_s": round(float(p50), 3),
        "p99_s": round(float(p99), 3),
        "longest_s": round(float(longest), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0, help="questions a second of all clients together")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--commits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the memory in this folder, or use the one that it holds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    rows = drawn(given.rows, given.seed)
    asked = views(rows, given.questions, given.seed)
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.mneme"
        filled_s = None if path.exists() else fill(path, rows)
        found = {
            "machine": machine(),
            "rows": given.rows,
            "filled_s": filled_s and round(filled_s, 1),
            "one_client": one_client(path, rows, asked),
            "many_clients": many_clients(path, asked, given.clients, given.rate, given.seconds),
            "many_commits": many_commits(path, given.commits),
        }
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        from rich.console import Console

        Console().print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
