"""MiniGrid-MemoryS13 through two cameras, and the expert: a planner that knows the true grid.

A cue (a key or a ball) lies in the first room, a key and a ball at the two ends of a crossing ten tiles further east;
the episode is won at the end that holds the cue's like. A view is seven tiles wide, so cue and ends cannot both be in
it. (In MemoryS7 they can: it asks for no memory.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  # registers the environments
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
State = tuple[int, int, int]
"""Column, row, direction (0 east, 1 south, 2 west, 3 north)."""

ENVIRONMENT = "MiniGrid-MemoryS13-v0"
STEPS = 100
"""An episode that takes longer is lost. The expert's longest takes 25."""
STEP_S = 0.2
"""Stream time of one step."""
TILE = 32
"""Pixels a tile: the view of 7 x 7 tiles is 224 x 224."""
LEFT, RIGHT, FORWARD = range(3)
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


class Maze:
    """One environment, reset to a seed for each episode."""

    def __init__(self) -> None:
        env: Any = gym.make(ENVIRONMENT, max_steps=STEPS).unwrapped
        self._env, middle = env, env.size // 2
        self.cue = (1, middle - 1)
        self.ends = ((env.size - 2, middle - 2), (env.size - 2, middle + 2))

    def reset(self, seed: int) -> None:
        """Begins the episode of that seed."""
        self._env.reset(seed=seed)

    @property
    def layout(self) -> tuple[str, str]:
        """What lies as the cue and what at the northern end: `key` or `ball` each. For balancing and the report."""
        return self._env.grid.get(*self.cue).type, self._env.grid.get(*self.ends[0]).type

    @property
    def state(self) -> State:
        x, y = self._env.agent_pos
        return int(x), int(y), int(self._env.agent_dir)

    def look(self) -> dict[str, Picture]:
        """The partial view, which is all that a policy sees: `wide`, 7 x 7 tiles, and `close`, the tile ahead of it.

        uint8[H, W, 3] RGB, 224 and 32 pixels a side. The agent stands in the middle of the lowest row. The close-up is
        what a camera at the hand is to a robot. It is needed: in the wide view the cue is a fiftieth of the picture,
        and the encoder describes whole pictures; key or ball changes its vector by 0.001 of a cosine, and a view with
        the cue is so like those before it that the memory does not keep it.
        """
        wide: Picture = self._env.get_frame(tile_size=TILE, agent_pov=True)
        return {"wide": wide, "close": np.ascontiguousarray(wide[5 * TILE : 6 * TILE, 3 * TILE : 4 * TILE])}

    def in_view(self) -> tuple[bool, bool]:
        """Whether the cue is in the view now, and whether an end is."""
        return bool(self._env.agent_sees(*self.cue)), any(bool(self._env.agent_sees(*end)) for end in self.ends)

    def step(self, action: int) -> tuple[bool, bool]:
        """(over, won)"""
        _, reward, terminated, truncated, _ = self._env.step(action)
        return terminated or truncated, reward > 0

    def faces_cue(self, state: State) -> bool:
        x, y, direction = state
        dx, dy = AHEAD[direction]
        return (x + dx, y + dy) == self.cue

    def at_goal(self, state: State) -> bool:
        return state[:2] == tuple(self._env.success_pos)

    def plan(self, reached: Callable[[State], bool]) -> list[int]:
        """The shortest actions to a state that counts as reached, never through the wrong end; of equals left first."""
        start = self.state
        came: dict[State, tuple[int, State] | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            if reached(state):
                actions = []
                while (step := came[state]) is not None:
                    actions.append(step[0])
                    state = step[1]
                return actions[::-1]
            for action, after in self._moves(state).items():
                if after not in came:
                    came[after] = (action, state)
                    queue.append(after)
        raise ValueError(f"nothing to be reached from {start}")

    def _moves(self, state: State) -> Mapping[int, State]:
        x, y, direction = state
        dx, dy = AHEAD[direction]
        moves = {LEFT: (x, y, (direction - 1) % 4), RIGHT: (x, y, (direction + 1) % 4)}
        ahead = (x + dx, y + dy)
        if self._env.grid.get(*ahead) is None and ahead != tuple(self._env.failure_pos):
            moves[FORWARD] = (*ahead, direction)
        return moves


class Expert:
    """Goes up to the cue and faces it, then to the end that holds its like."""

    def __init__(self, maze: Maze) -> None:
        self._maze = maze
        self._seen = False

    def act(self) -> int:
        """What to do now; call it at every step, whoever acts."""
        self._seen = self._seen or self._maze.faces_cue(self._maze.state)
        return self._maze.plan(self._maze.at_goal if self._seen else self._maze.faces_cue)[0]
