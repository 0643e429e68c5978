"""What closes an event, by the settings: every detector keeps the same promises, and finds what it is for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from mneme.errors import SettingsError
from mneme.memory.boundaries import Boundaries, Looking, make_boundaries
from mneme.memory.memory import Memory
from mneme.memory.settings import Detector, MemorySettings
from mneme.operators.surprise import surprise
from mneme.operators.surprise_online import SurpriseBoundaries, SurpriseSettings
from mneme.records import NS_PER_S, Moment, Percept, Space, Stream, Vector

DETECTORS: tuple[Detector, ...] = get_args(Detector)
DIM = 32
STEP = NS_PER_S // 5
LATE_NS = 8 * NS_PER_S
"""A cut is told within this: refinement moves it back by 4 s at most, and waits as long; silence takes under one."""
SCENES = [(0, 12), (12, 25), (25, 41), (41, 60)]
"""Seconds; from 25 to 41 the second scene goes on with something else in it: no hard change."""


def looks(seed: int) -> list[Vector]:
    """Five looks a second at four scenes, noisy."""
    rng = np.random.default_rng(seed)
    scenes = rng.standard_normal((len(SCENES), DIM))
    rows = []
    for scene, (begin, end) in zip(scenes, SCENES, strict=True):
        for _ in range((end - begin) * 5):
            vector = scene / np.linalg.norm(scene) + 0.25 * rng.standard_normal(DIM) / DIM**0.5
            rows.append(np.asarray(vector / np.linalg.norm(vector), dtype=np.float32))
    return rows


def cuts_of(boundaries: Boundaries, rows: list[Vector], changes: dict[int, float]) -> list[int]:
    """The cuts of a whole stream; what holds of every detector is asserted on the way."""
    told: list[int] = []
    settled = 0
    for i, vector in enumerate(rows):
        t_ns = i * STEP
        if isinstance(boundaries, Looking):
            boundaries.look(t_ns, vector)
        cuts = boundaries.push(t_ns, changes.get(i, 0.0), -20.0)
        assert all(cut >= settled for cut in cuts), "a cut before what was settled"
        assert all(t_ns - cut <= LATE_NS for cut in cuts), "told late"
        assert boundaries.settled_ns >= settled, "what was settled is open again"
        assert t_ns - boundaries.settled_ns <= LATE_NS, "percepts would wait for long"
        told += cuts
        settled = boundaries.settled_ns
    told += boundaries.flush()
    assert told == sorted(set(told))
    return told


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_detector_tells_final_cuts_in_order_and_soon(detector: Detector, seed: int) -> None:
    changes = {12 * 5: 0.9, 41 * 5: 0.8}
    kept = MemorySettings(boundaries=detector, min_event_s=2.0, max_event_s=30.0)
    cuts = cuts_of(make_boundaries(kept), looks(seed), changes)
    assert cuts == cuts_of(make_boundaries(kept), looks(seed), changes)
    found = {12: False, 25: False, 41: False}
    for at in found:
        found[at] = any(abs(cut - at * NS_PER_S) <= NS_PER_S for cut in cuts)
    assert found[12]
    assert found[41]
    assert found[25] == (detector != "change")  # nothing that a change would tell
    assert len(cuts) <= 5
    lengths = [b - a for a, b in pairwise([0, *cuts])]
    assert all(length >= 2 * NS_PER_S for length in lengths)
    assert all(length <= 30 * NS_PER_S + LATE_NS for length in lengths)


@pytest.mark.parametrize("detector", DETECTORS)
def test_an_event_ends_though_nothing_happens(detector: Detector) -> None:
    same = [np.eye(DIM, dtype=np.float32)[0]] * 300
    cuts = cuts_of(make_boundaries(MemorySettings(boundaries=detector, max_event_s=20.0)), same, {})
    assert [round(cut / NS_PER_S) for cut in cuts][:1] in ([20], [19], [18], [17], [16])
    assert all(b - a <= 20 * NS_PER_S + LATE_NS for a, b in pairwise([0, *cuts]))


def test_what_surprises_online_is_what_surprises_in_the_whole_stream() -> None:
    rows = looks(2)
    online = SurpriseBoundaries(SurpriseSettings(history=len(rows)))
    for i, vector in enumerate(rows):
        online.look(i * STEP, vector)
    whole = surprise(torch.from_numpy(np.stack(rows)), online.settings.window, online.settings.temperature)
    np.testing.assert_allclose(online.state()["surprise"]["surprises"], whole[2:], atol=1e-4)


def test_lengths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="make no sense"):
        make_boundaries(MemorySettings(min_event_s=10.0, max_event_s=5.0))


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_recording_is_cut_by_the_detector_that_the_settings_name(detector: Detector, tmp_path: Path) -> None:
    kept = MemorySettings(boundaries=detector)
    with Memory.create(tmp_path / "m", "embedded", [Space("looks", DIM, "v1")], settings=kept) as memory:
        recorder: Any = memory.recorder(Stream("day", "/x", "d"))
        for i, vector in enumerate(looks(1)):
            t_ns = i * STEP
            percept = Percept("day", "vision", t_ns, t_ns + STEP, space="looks", vector=vector)
            recorder.observe(Moment("day", t_ns, (percept,), 0.9 if i == 60 else 0.0, None, t_ns))
        recorder.finish(60 * NS_PER_S)
        assert memory.check().ok
        starts = [event.t0_ns / NS_PER_S for event in memory.snapshot().events()]
        assert any(abs(start - 12) <= 1 for start in starts)
        assert any(abs(start - 25) <= 1 for start in starts) == (detector != "change")
