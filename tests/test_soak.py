"""Twenty minutes of two cameras in accelerated time; `make soak` runs a day."""

from __future__ import annotations

from pathlib import Path

from benchmarks.soak import figures, soak, walk
from mneme.memory.memory import Memory
from mneme.records import to_s

TWENTY = 1 / 3
BUDGET_MB = 1.3
"""Without one the same stream takes more."""


def test_a_walk_is_the_same_for_the_same_seed_and_comes_back_to_its_scenes() -> None:
    seen = [percept.text for moment in walk(3, 0.2, 1.0, 1) for percept in moment.percepts]
    again = [percept.text for moment in walk(3, 0.2, 1.0, 1) for percept in moment.percepts]
    assert seen == again
    assert len(set(seen)) > 5


def test_twenty_minutes_of_two_cameras_stay_inside_their_budget_and_remember_all_of_the_stream(tmp_path: Path) -> None:
    rows, most_mb = soak(tmp_path, seed=0, hours=TWENTY, fps=5.0, cameras=2, budget_mb=BUDGET_MB)
    found = figures(rows, most_mb, BUDGET_MB)
    assert found["within_budget"], found
    assert found["paced_commits_a_second"] <= 1.0
    snapshot = Memory.open(tmp_path).snapshot()
    events = snapshot.events()
    assert events[0].t0_ns == 0
    assert to_s(events[-1].t1_ns) >= 1200  # what was forgotten is in its events' gists
    assert {percept.camera for percept in snapshot.percepts()} == {"camera0", "camera1"}
