"""EM-LLM: refined boundaries, the scores of cuts, and the memory of three whole streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from mneme.operators.refine import Criterion, cut_scores, refine_boundaries

from .compare import Arrays, Check, Family, Params, close, exact
from .emllm_memory import EpisodicContext, Settings


def refine(arrays: Arrays, params: Params) -> Iterator[Check]:
    """Three streams by either criterion, and the curves of one window."""
    criteria: tuple[Criterion, ...] = get_args(Criterion)
    for stream in "abc":
        keys, events = (torch.from_numpy(arrays[f"{stream}_{name}"]) for name in ("A_keys", "events"))
        for criterion in criteria[:2]:
            ours = refine_boundaries(keys, events, criterion, params["min_size"], int(arrays[f"{stream}_offset"]))
            yield exact(f"{stream}_{criterion}_refined", ours, arrays[f"{stream}_{criterion}_refined"])
    keys = torch.from_numpy(arrays["curve_keys"])
    cuts = slice(*params["curve_t_range"])
    for criterion in criteria:
        rtol = 1e-3 if criterion == "intra_inter" else 1e-4
        yield close(f"curve_{criterion}", cut_scores(keys, criterion)[cuts], arrays[f"curve_{criterion}"], rtol=rtol)


def memory(arrays: Arrays, params: Params) -> Iterator[Check]:
    """A stream of one layer through `EpisodicContext`."""
    del params  # these stand in the file
    given = json.loads(str(arrays["params"]))
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__})
    query, key, value, surprisal = (torch.from_numpy(arrays[name][0]) for name in ("q", "k", "v", "surprisal"))
    context = EpisodicContext(key, value, surprisal, settings)
    steps = [
        context.step(chunk, i * settings.chunk) for i, chunk in enumerate(torch.split(query, settings.chunk, dim=1))
    ]
    yield exact("divide", context.divide, arrays["divide"])
    yield exact("block_sizes", context.sizes, arrays["block_sizes"])
    yield exact("first_block_start", np.asarray(context.init), arrays["first_block_start"])
    yield close("block_repr_k", context.representatives, arrays["block_repr_k"])
    yield exact("topk_blocks", _rows([step.hits for step in steps]), arrays["topk_blocks"])
    yield exact("contiguity_buffer", _rows([step.buffer for step in steps]), arrays["contiguity_buffer"])
    yield close("attn_out", torch.cat([step.out for step in steps], dim=1)[None], arrays["attn_out"])


def _rows(lists: list[list[int]]) -> NDArray[np.int64]:
    """One row each, as long as the longest, padded with -1."""
    longest = max(map(len, lists))
    return np.array([row + [-1] * (longest - len(row)) for row in lists], np.int64).reshape(len(lists), longest)


FILES: dict[str, Family] = {
    "emllm_refine.npz": refine,
    "emllm_memory_sim.npz": memory,
    "emllm_memory_ctg.npz": memory,
    "emllm_memory_g15.npz": memory,
}
INPUTS: dict[str, tuple[str, ...]] = dict.fromkeys(FILES, ("q", "k", "v", "surprisal", "params")) | {
    "emllm_refine.npz": (
        *(f"{stream}_{name}" for stream in "abc" for name in ("A_keys", "events", "offset")),
        "curve_keys",
    ),
}
