"""A policy that remembers: MiniGrid-MemoryS13 with and without the memory tokens of Mneme.

    python examples/robot/minigrid_memory.py            # minutes on a CPU
    python examples/robot/minigrid_memory.py --quick    # fewer episodes

Every episode is a stream of one memory: each step's two pictures are observed, and before each action the policy gets
`tokens(budget)` of the stream. It is trained by cloning an expert (`expert.py`), as is its twin that gets no tokens.
Both then play seeds that nothing was trained on; the first one plays them once more with the tokens of another episode.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2  # noqa: F401  # before decord
import numpy as np
import torch

import mneme
from mneme.errors import MnemeError
from mneme.pipeline.mneme import Mneme
from mneme.pipeline.perceive import Perception
from mneme.records import MemoryTokens, Moment, Observation, to_ns

try:
    from expert import FORWARD, LEFT, STEP_S, Expert, Maze, Picture
except ModuleNotFoundError as missing:
    sys.exit(f"minigrid_memory: {missing.name} is not installed; pip install 'minigrid>=3.2,<4'")
from policy import Policy, Samples, clone, recall, see

BUDGET = 16
"""Memory tokens that the policy is given at each step."""
SLIPS = 0.1
"""Share of the training steps in which chance acts instead of the expert, so that strange states are seen too."""
UNSEEN = 100_000
"""Evaluation takes its seeds from here on; training takes 0, 1, ..."""
LAYOUTS = (("key", "key"), ("key", "ball"), ("ball", "key"), ("ball", "ball"))


class Episode:
    """One episode as a stream of the memory, driven step by step."""

    def __init__(self, memory: Mneme, stream: str) -> None:
        self._memory, self.stream = memory, stream
        senses, self._recorder = memory.record(stream, ("vision",), source="minigrid")
        self._perception = Perception(senses)
        self._t_ns = 0
        self.given: list[MemoryTokens] = []
        """What was told, step by step."""

    def told(self, step: int, pictures: dict[str, Picture]) -> MemoryTokens:
        """Observes the pictures of a step; the memory as it stands then."""
        self._t_ns = to_ns(step * STEP_S)
        self._remember(self._perception.push(Observation(self.stream, self._t_ns, pictures)))
        self.given.append(self._memory.tokens(BUDGET, stream=self.stream))
        return self.given[-1]

    def end(self) -> None:
        """Stores what is open and closes the stream."""
        try:
            self._remember(self._perception.finish())
            self._recorder.finish(self._t_ns + 1)
        finally:
            self._perception.close()
            self._memory.release(self._recorder)

    def _remember(self, moments: Sequence[Moment]) -> None:
        for moment in moments:
            self._recorder.observe(moment)


class Shown:
    """Counts the frames that were shown, and those with both cue and end in view, of which there must be none."""

    def __init__(self) -> None:
        self.frames = 0
        self.both = 0

    def look(self, maze: Maze) -> dict[str, Picture]:
        self.frames += 1
        self.both += all(maze.in_view())
        return maze.look()


def demonstrate(memory: Mneme, maze: Maze, seeds: Sequence[int], shown: Shown, *, seed: int) -> Samples:
    """Plays the seeds with the expert, whose every choice is kept beside what the policy would have been given."""
    chance = np.random.default_rng(seed)
    rows = []
    for number in seeds:
        maze.reset(number)
        expert, episode = Expert(maze), Episode(memory, f"train-{number}")
        over, step, before = False, 0, None
        while not over:
            pictures = shown.look(maze)
            told = recall(episode.told(step, pictures))
            action = expert.act()
            another = torch.tensor(before is not None and action != before)
            rows.append((see(pictures["wide"]), *told, torch.tensor(action), another))
            before = action
            slip = chance.random() < SLIPS
            over, _ = maze.step(int(chance.integers(LEFT, FORWARD + 1)) if slip else action)
            step += 1
        episode.end()
    return Samples(*(torch.stack(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One episode that was played with its own memory."""

    won: bool
    given: list[MemoryTokens]
    """Its memory tokens at each step."""


def unseen(maze: Maze, count: int) -> list[int]:
    """Seeds that nothing is trained on; the four layouts take turns, so that who cannot remember wins half of them."""
    seeds: list[int] = []
    number = UNSEEN
    while len(seeds) < count:
        maze.reset(number)
        if maze.layout == LAYOUTS[len(seeds) % len(LAYOUTS)]:
            seeds.append(number)
        number += 1
    return seeds


def play(policy: Policy, maze: Maze, number: int, shown: Shown, told: Callable[..., MemoryTokens]) -> bool:
    """One episode by the policy; `told(step, pictures)` gives its memory tokens. Whether it was won."""
    maze.reset(number)
    over, won, step = False, False, 0
    while not over:
        pictures = shown.look(maze)
        over, won = maze.step(policy.act(see(pictures["wide"]), recall(told(step, pictures))))
        step += 1
    return won


def play_remembering(policy: Policy, memory: Mneme, maze: Maze, seeds: Sequence[int], shown: Shown) -> list[Played]:
    """With the tokens of its own episode, from the memory as it stands at each step."""
    played = []
    for number in seeds:
        episode = Episode(memory, f"play-{number}")
        won = play(policy, maze, number, shown, episode.told)
        episode.end()
        played.append(Played(won, episode.given))
    return played


def play_mistaken(
    policy: Policy, others: Sequence[Played], maze: Maze, seeds: Sequence[int], shown: Shown
) -> list[bool]:
    """With the tokens that the next of the episodes was given at the same step, or at its last one."""
    won = []
    for i, number in enumerate(seeds):
        given = others[(i + 1) % len(others)].given
        told = lambda step, _, given=given: given[min(step, len(given) - 1)]  # noqa: E731
        won.append(play(policy, maze, number, shown, told))
    return won


@dataclass(frozen=True, slots=True)
class Result:
    """Shares of the evaluated episodes that were won."""

    with_memory: float
    without_memory: float
    other_memory: float
    other_memory_same_cue: float
    """Of those whose tokens were of an episode with the same cue, by chance."""
    other_memory_other_cue: float
    trained_on: int
    evaluated_on: int
    steps: int
    """Steps that were trained on."""
    frames: int
    """Shown, in training and evaluation."""
    frames_with_cue_and_end: int
    seconds: float


def run(folder: Path, *, train: int, evaluate: int, epochs: int, seed: int, say: Callable[[str], None]) -> Result:
    """The whole comparison, in a new memory in `folder`. `evaluate`: episodes each, a multiple of four."""
    start = time.perf_counter()
    torch.set_num_threads(1)  # the networks are small, and results must not depend on the cores
    maze, shown = Maze(), Shown()
    with mneme.open(folder, profile="embedded") as memory:
        say(f"{train} episodes by the expert, remembered in {folder}")
        samples = demonstrate(memory, maze, range(train), shown, seed=seed)
        say(f"cloning {len(samples.action)} steps, with memory tokens and without")
        remembering = clone(samples, remembers=True, epochs=epochs, seed=seed)
        blind = clone(samples, remembers=False, epochs=epochs, seed=seed)
        seeds = unseen(maze, evaluate)
        say(f"playing {evaluate} unseen seeds, {seeds[0]} to {seeds[-1]}, three times")
        own = play_remembering(remembering, memory, maze, seeds, shown)
        other = np.array(play_mistaken(remembering, own, maze, seeds, shown))
        nothing = own[0].given[0]  # what stands in it is masked, and the network without memory takes none of it
        without = [play(blind, maze, number, shown, lambda *_: nothing) for number in seeds]
    same = np.arange(evaluate) % 2 == 0  # the layouts take turns: the next one has the same cue, then the other one
    return Result(
        with_memory=float(np.mean([played.won for played in own])),
        without_memory=float(np.mean(without)),
        other_memory=float(np.mean(other)),
        other_memory_same_cue=float(np.mean(other[same])),
        other_memory_other_cue=float(np.mean(other[~same])),
        trained_on=train,
        evaluated_on=evaluate,
        steps=len(samples.action),
        frames=shown.frames,
        frames_with_cue_and_end=shown.both,
        seconds=round(time.perf_counter() - start, 1),
    )


def describe(result: Result) -> str:
    """The three figures side by side, and what they rest on."""
    by_cue = f"(same cue {result.other_memory_same_cue:.2f}, other cue {result.other_memory_other_cue:.2f})"
    return "\n".join(
        (
            f"won, of {result.evaluated_on} unseen episodes:",
            f"  with memory tokens       {result.with_memory:.2f}",
            f"  without                  {result.without_memory:.2f}",
            f"  with another episode's   {result.other_memory:.2f}   {by_cue}",
            f"{result.frames_with_cue_and_end} of {result.frames} frames showed both the cue and an end",
            f"{result.trained_on} episodes trained on ({result.steps} steps), {result.seconds:.0f} s",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer episodes")
    parser.add_argument("--seed", type=int, default=0, help="of slips, initial weights and batches")
    parser.add_argument("--memory", type=Path, help="keep the memory in this new folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args()
    size = {"train": 60, "evaluate": 16, "epochs": 40} if given.quick else {"train": 120, "evaluate": 120, "epochs": 40}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.memory or Path(scratch) / "minigrid.mneme"
        try:
            result = run(folder, **size, seed=given.seed, say=lambda words: print(words, file=sys.stderr))
        except MnemeError as error:
            print(f"minigrid_memory: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
    print(json.dumps(asdict(result)) if given.json else describe(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
