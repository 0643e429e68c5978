"""Pictures of recordings that were replaced go, but not as long as a past that can be asked for shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mneme.memory.as_of import AsOf
from mneme.memory.memory import Memory
from mneme.memory.pictures import Broom
from mneme.memory.settings import MemorySettings
from tests.recording import BLUE, DAY, GREEN, RED, SPACE, CutsAt, look, moments, record, s


def watch(memory: Memory, shade: int) -> None:
    """Records the day anew, with three pictures of that shade."""
    recorder = memory.recorder(DAY, replace=True, boundaries=CutsAt(10, 20, 30))
    picture = np.full((40, 60, 3), shade, np.uint8)
    seen = [look(t, vector, picture=picture) for t, vector in ((1, RED), (12, GREEN), (22, BLUE))]
    record(recorder, moments(seen, until_s=40))
    recorder.finish(s(40))


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in (root / "thumbnails").rglob("*.jpg")}


def test_pictures_of_a_replaced_recording_go_once_no_past_shows_them(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=MemorySettings(fragments=2)) as memory:
        for shade in (10, 90, 170):
            watch(memory, shade)
    with Memory.open(tmp_path / "m", "w", settings=MemorySettings(horizon_s=0.0, fragments=2)) as memory:
        assert len(files(memory.root)) == 9
        memory._writer.compact()  # type: ignore[union-attr]  as many commits would
        memory.sleep()
        assert files(memory.root) == {p.thumbnail for p in memory.snapshot().percepts()}
        assert memory.check().ok


def test_pictures_of_a_replaced_recording_stay_as_long_as_a_past_shows_them(tmp_path: Path) -> None:
    shown: dict[int, set[str | None]] = {}
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=MemorySettings(fragments=2)) as memory:
        for shade in (10, 90, 170):
            watch(memory, shade)
            snapshot = memory.snapshot()
            shown[snapshot.commit] = {p.thumbnail for p in snapshot.percepts()}
            memory.sleep()
        memory._writer.compact()  # type: ignore[union-attr]
        memory.sleep()
        for commit, pictures in shown.items():
            past = memory.snapshot(AsOf.read(f"#{commit}"))
            assert {p.thumbnail for p in past.percepts()} == pictures
            assert pictures <= files(memory.root)
    assert len(set.union(*shown.values())) == 9


def test_pictures_that_nothing_names_go_beside_a_recorder_and_one_that_is_stored_again_meanwhile_stays(
    tmp_path: Path,
) -> None:
    with Memory.create(tmp_path / "m", "embedded", [SPACE]) as memory:
        watch(memory, 10)
        writer = memory._writer
        assert writer is not None
        named = files(memory.root)
        left = {f"thumbnails/00/{number:020x}.jpg" for number in range(200)}
        (memory.root / "thumbnails" / "00").mkdir(exist_ok=True)
        for path in left:
            (memory.root / path).write_bytes(b"left by a sleep that was killed")
        broom = Broom()
        with writer.alone():
            broom.take(writer, sorted(left | named))
            assert files(memory.root) == left | named  # it waits for who commits
        broom.close()
        assert files(memory.root) == named
        assert memory.check().ok


def test_what_a_broom_was_handed_is_gone_when_its_memory_is_closed(tmp_path: Path) -> None:
    settings = MemorySettings(budget_mb=1.2, fragments=4, horizon_s=0.0)
    draw = np.random.default_rng(0)
    with Memory.create(tmp_path / "m", "embedded", [SPACE], settings=settings) as memory:
        recorder = memory.recorder(DAY, boundaries=CutsAt(*range(20, 400, 20)))
        seen = [look(t, RED, picture=draw.integers(0, 256, (120, 160, 3), dtype=np.uint8)) for t in range(400)]
        record(recorder, moments(seen, until_s=400))
        recorder.finish(s(400))
    with Memory.open(tmp_path / "m", "w") as memory:
        stay = {p.thumbnail for p in memory.snapshot().percepts()} - {None}
        assert 0 < len(stay) < 400
        assert files(memory.root) == stay
        assert memory.check().ok
