"""A policy that remembers (examples/robot): the expert, the policy, and the commands of docs/robot_minigrid.md."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import mneme

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "robot_minigrid.md"


@pytest.fixture(scope="module")
def expert() -> Any:
    yield from example("expert")


@pytest.fixture(scope="module")
def policy() -> Any:
    yield from example("policy")


def example(name: str) -> Any:
    """A module of the example, as its own folder sees it."""
    sys.path.insert(0, str(ROOT / "examples" / "robot"))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.pop(0)
        sys.modules.pop(name, None)


def test_from_nowhere_in_the_maze_are_cue_and_end_in_one_view(expert: ModuleType) -> None:
    maze = expert.Maze()
    maze.reset(0)
    free = [(x, y) for x in range(13) for y in range(13) if maze._env.grid.get(x, y) is None]
    seen = set()
    for x, y in free:
        for direction in range(4):
            maze._env.agent_pos, maze._env.agent_dir = (x, y), direction
            seen.add(maze.in_view())
    assert seen == {(False, False), (True, False), (False, True)}


def test_the_expert_looks_at_the_cue_first_and_then_wins_whatever_the_layout(expert: ModuleType) -> None:
    maze = expert.Maze()
    layouts = set()
    for seed in range(24):
        maze.reset(seed)
        layouts.add(maze.layout)
        planner, over, won, faced, steps = expert.Expert(maze), False, False, False, 0
        while not over:
            faced = faced or maze.faces_cue(maze.state)
            assert faced or not maze.at_goal(maze.state)
            assert maze.in_view() != (True, True)
            over, won = maze.step(planner.act())
            steps += 1
        assert (won, faced) == (True, True)
        assert steps <= 25
    assert len(layouts) == 4


def test_the_pictures_are_the_partial_view_and_the_tile_ahead_of_it(expert: ModuleType) -> None:
    maze = expert.Maze()
    maze.reset(3)
    for action in maze.plan(maze.faces_cue):
        maze.step(action)
    pictures = maze.look()
    assert {name: picture.shape for name, picture in pictures.items()} == {"wide": (224, 224, 3), "close": (32, 32, 3)}
    green = pictures["close"][..., 1].astype(int) - pictures["close"][..., 0]
    assert (green > 100).sum() > 50  # the cue is green, and right ahead


def test_what_is_masked_changes_nothing_and_a_policy_without_memory_takes_no_tokens(policy: ModuleType) -> None:
    torch.manual_seed(0)
    view, tokens, age_s = torch.randn(2, policy.VIEW**2 * 3), torch.randn(2, 4, 8), torch.rand(2, 4)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    other = torch.where(mask[..., None], tokens, torch.randn(2, 4, 8))
    remembering = policy.Policy(8, remembers=True)
    remembering.view_axes.normal_()
    told = remembering(view, tokens, mask, age_s)
    assert torch.allclose(told, remembering(view, other, mask, age_s))
    assert not torch.allclose(told[0], remembering(view, other.flip(1), mask, age_s)[0])
    blind = policy.Policy(8, remembers=False)
    assert torch.equal(blind(view, tokens, mask, age_s), blind(view, other * 9.0, ~mask, age_s))


def test_the_commands_of_the_page_show_that_the_choice_comes_from_memory(tmp_path: Path) -> None:
    [command] = re.findall(r"^python (examples/robot/minigrid_memory\.py .*--json.*)$", PAGE.read_text("utf-8"), re.M)
    words = [str(tmp_path / word) if word.endswith(".mneme") else word for word in shlex.split(command, comments=True)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["with_memory"] >= 0.9
    assert result["without_memory"] <= 0.65
    assert result["other_memory"] <= 0.65
    assert result["frames_with_cue_and_end"] == 0

    [folder] = tmp_path.glob("*.mneme")
    with mneme.open(folder) as memory:
        assert memory.check().ok
        streams = {state.stream.id for state in memory.streams()}
        assert len(streams) == result["trained_on"] + result["evaluated_on"]
        assert memory.tokens(16, stream="train-0").mask.any()

    again = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "was watched already" in again.stderr
    assert "Traceback" not in again.stderr
