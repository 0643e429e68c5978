"""MovieChat: merging by fragment, hierarchical positions, and what it reads."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mneme.operators.compress import breakpoint_memory
from mneme.operators.merge import hierarchical_positions, merge_adjacent

from .compare import Arrays, Check, Family, Params, close


def moviechat_merge(arrays: Arrays, params: Params) -> Iterator[Check]:
    """As released: raw dots of the mean tokens, plain averages."""
    short_len, merge_to, _, per_fragment, _ = arrays["params"].tolist()
    given = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def merged(frames: Tensor) -> Tensor:
        return merge_adjacent(frames, merge_to, score="mean_dot", weighted=False).frames

    yield close("merged8", merged(given["frag8"]), arrays["merged8"])
    yield close("merged18", merged(given["frag18"][-short_len:]), arrays["merged18"])
    fragments = given["stream"].split(per_fragment)
    long = torch.cat([merged(fragment) for fragment in fragments])
    yield close("long_memory", long, arrays["long_memory"])
    slots = len(arrays["pos_table"])
    positions = hierarchical_positions(given["pos_p"], slots, params["alpha"])
    yield close("pos_table", positions, arrays["pos_table"])

    def placed(frames: Tensor) -> Tensor:
        return (frames + positions[: len(frames), None]).flatten(0, 1)[None]  # [1, slots Q, D]

    yield close("global_tokens", placed(long), arrays["global_tokens"])
    yield close("temp_short", fragments[-1], arrays["temp_short"])
    at = breakpoint_memory(long, fragments[-1], given["current"][0], slots)
    yield close("breakpoint_tokens", placed(at), arrays["breakpoint_tokens"])


FILES: dict[str, Family] = {"moviechat_merge.npz": moviechat_merge}
INPUTS: dict[str, tuple[str, ...]] = {
    "moviechat_merge.npz": ("frag8", "frag18", "stream", "pos_p", "current", "params")
}
