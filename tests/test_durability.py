"""No loss: killed at any moment, on a full disk, in a read-only folder.

Run as a program (`test_durability.py FOLDER [--replace]`) it is the writer that the tests kill: it records a generated
stream and prints each acknowledgement as it becomes durable.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mneme.errors import MnemeError
from mneme.memory.memory import Memory
from mneme.memory.settings import MemorySettings
from mneme.records import NS_PER_S, Moment, Percept, Picture, Space, Stream

LENGTH_S = 240
SPACES = (Space("looks", 8, "v1"),)
STREAM = Stream("day", "/generated", "seed 5")
ANEW = Stream("day", "/generated", "seed 5, watched anew")
SETTINGS = MemorySettings(commit_every_s=0.02, fragments=16)


def generated(since_ns: int = 0) -> Iterator[Moment]:
    """A stream of scenes with one sight a second, sentences that end seconds after their start, and captions."""
    rng = np.random.default_rng(5)
    scene, until, speech_from, change = rng.normal(size=8), 0, 0, 0.0
    for t in range(LENGTH_S):
        if t == until:
            scene, until, change = rng.normal(size=8), t + int(rng.integers(8, 20)), 1.0
        sight = scene + rng.normal(size=8) * 0.4
        vector = np.asarray(sight / np.linalg.norm(sight), np.float32)
        picture: Picture = rng.integers(0, 255, (18, 32, 3)).astype(np.uint8)
        now = t * NS_PER_S
        percepts = [Percept("day", "vision", now, now + NS_PER_S, space="looks", vector=vector, picture=picture)]
        if t % 4 == 3:
            percepts.append(Percept("day", "speech", speech_from, now, text=f"sentence {t}"))
            speech_from = now
        if t % 15 == 14:
            percepts.append(Percept("day", "caption", now - 3 * NS_PER_S, now, text=f"SIGN {t}"))
        loudness = -70.0 if change else -20.0
        if now >= since_ns:
            yield Moment("day", now, tuple(percepts), change, loudness, settled_ns=max(0, now - 5 * NS_PER_S))
        change = 0.0


def record(memory: Memory, pace_s: float = 0.0, stream: Stream = STREAM) -> Iterator[list[str]]:
    """Records what is left of the stream to its end; the ids of each acknowledgement."""
    recorder = memory.recorder(stream, replace=stream is not STREAM)
    for moment in generated(recorder.resume_ns):
        for ack in recorder.observe(moment):
            yield [percept.id for percept in ack.percepts]
        time.sleep(pace_s)
    yield [percept.id for percept in recorder.finish(LENGTH_S * NS_PER_S).percepts]


def content(root: Path) -> tuple[object, ...]:
    """What two memories of one stream have to share: ids, spans, texts."""
    snapshot = Memory.open(root).snapshot()
    return (
        [(p.id, p.t0_ns, p.t1_ns, p.text, p.thumbnail) for p in snapshot.percepts()],
        [(e.id, e.t0_ns, e.t1_ns, e.gist, e.percepts, e.lanes) for e in snapshot.events()],
    )


def test_killed_again_and_again_a_memory_loses_nothing_it_acknowledged(tmp_path: Path, kills: int) -> None:
    chance = random.Random(11)
    with Memory.create(tmp_path / "whole", "embedded", SPACES) as memory:
        list(record(memory))
    root, acknowledged = tmp_path / "0", set[str]()
    Memory.create(root, "embedded", SPACES).close()
    for kill in range(kills):
        if any(state.done for state in Memory.open(root).snapshot().streams()):  # it came to its end: another one
            assert content(root) == content(tmp_path / "whole")
            root, acknowledged = tmp_path / str(kill), set()
            Memory.create(root, "embedded", SPACES).close()
        with subprocess.Popen([sys.executable, __file__, str(root)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(chance.randint(1, 6)):
                acknowledged.update(json.loads(child.stdout.readline() or "[]"))
            time.sleep(chance.uniform(0, 0.1))
            child.kill()
            for line in child.stdout:
                if line.endswith("\n"):
                    acknowledged.update(json.loads(line))
        memory = Memory.open(root)
        assert acknowledged <= {percept.id for percept in memory.snapshot().percepts()}
        report = memory.check()
        assert report.problems == ()
    if not any(state.done for state in Memory.open(root).snapshot().streams()):
        with Memory.open(root, "w") as memory:
            list(record(memory))
    assert content(root) == content(tmp_path / "whole")
    assert len(Memory.open(root).snapshot().events()) > 5


def test_a_replacement_that_is_killed_leaves_the_old_stream_to_readers(tmp_path: Path) -> None:
    root = tmp_path / "m"
    with Memory.create(root, "embedded", SPACES) as memory:
        recorder = memory.recorder(STREAM)
        for moment in list(generated())[:30]:
            recorder.observe(moment)
        recorder.finish(30 * NS_PER_S)
    old, acknowledged = content(root), set()
    for _ in range(2):
        program = [sys.executable, __file__, str(root), "--replace"]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(5):
                acknowledged.update(json.loads(child.stdout.readline()))
            child.kill()
        assert content(root) == old
        assert Memory.open(root).check().problems == ()
    with Memory.open(root, "w") as memory:
        list(record(memory, stream=ANEW))
        assert memory.check().problems == ()
    with Memory.create(tmp_path / "whole", "embedded", SPACES) as memory:
        list(record(memory))
    assert content(root) == content(tmp_path / "whole")
    assert acknowledged <= {percept.id for percept in Memory.open(root).snapshot().percepts()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_said_and_nothing_is_lost(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    root = small_disk / "m"
    memory = Memory.create(root, "embedded", SPACES, settings=SETTINGS)
    acknowledged: set[str] = set()
    recorder = memory.recorder(STREAM)
    faults: list[str] = []
    for moment in generated():
        try:
            for ack in recorder.observe(moment):
                acknowledged.update(percept.id for percept in ack.percepts)
        except MnemeError as error:
            faults.append(str(error))
            snapshot = Memory.open(root).snapshot()
            assert acknowledged <= {percept.id for percept in snapshot.percepts()}
            assert Memory.open(root).check().problems == ()
            if len(faults) == 3:
                break
    assert [fault.split("; ")[0].split("failed: ")[1] for fault in faults] == ["the disk is full"] * 3
    assert acknowledged
    with pytest.raises(MnemeError, match="the disk is full"):
        memory.close()
    ballast.unlink()
    with Memory.open(root, "w", settings=MemorySettings()) as memory:
        list(record(memory))
        assert acknowledged <= {percept.id for percept in memory.snapshot().percepts()}
        assert memory.check().problems == ()


def test_a_memory_that_no_disk_space_lets_begin_can_be_begun_later(small_disk: Path) -> None:
    ballast, root = small_disk / "ballast", small_disk / "m"
    refusals: list[str] = []
    for room in range(4096, 200 << 10, 12 << 10):
        ballast.write_bytes(bytes((3 << 20) - room))
        try:
            (Memory.open(root, "w") if (root / "manifest.json").exists() else create(root)).close()
            break
        except MnemeError as error:
            refusals.append(str(error))
    assert len(refusals) > 1
    assert all(refusal.endswith("failed: the disk is full; free some space") for refusal in refusals)
    ballast.unlink()
    assert Memory.open(root).check().ok


def create(root: Path) -> Memory:
    return Memory.create(root, "embedded", SPACES)


def test_a_read_only_folder_can_be_read_and_says_that_it_cannot_be_written(small_disk: Path) -> None:
    Memory.create(small_disk / "m", "embedded", SPACES).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert Memory.open(small_disk / "m").check().ok
    with pytest.raises(MnemeError, match="read-only"):
        Memory.open(small_disk / "m", "w")
    with pytest.raises(MnemeError, match="read-only"):
        Memory.create(small_disk / "other", "embedded", SPACES)


if __name__ == "__main__":
    with Memory.open(sys.argv[1], "w", settings=SETTINGS) as opened:
        for ids in record(opened, pace_s=0.01, stream=ANEW if "--replace" in sys.argv else STREAM):
            sys.stdout.write(json.dumps(ids) + "\n")
            sys.stdout.flush()
