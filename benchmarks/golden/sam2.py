"""SAM 2: what a frame attends, and its memory attention; SAM2Act+: the last steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mneme.operators.frame_bank import FrameBankSettings, attended, recent
from mneme.operators.memory_attention import MemoryAttention, map_positions
from mneme.operators.positions import sine_encoding

from .compare import Arrays, Check, Params, close, exact


def selection(arrays: Arrays, p: Params) -> Iterator[Check]:
    """Frames, rows and pointers of SAM 2."""
    chosen = []
    for memories, stride, prompted, t in zip(
        *(arrays[name].tolist() for name in ("num_maskmem", "stride", "cond_frames", "frame_idx")), strict=True
    ):
        settings = FrameBankSettings(memories, stride, p["max_obj_ptrs"])
        chosen.append(attended(t, [c for c in prompted if c >= 0], settings))
    for name, rows in (
        ("spatial_frames", [c.frames for c in chosen]),
        ("tpos_index", [c.rows for c in chosen]),
        ("ptr_frames", [c.pointers for c in chosen]),
    ):
        yield exact(name, padded(rows, arrays[name]), arrays[name])


def act_selection(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Steps and rows of SAM2Act+."""
    chosen = [recent(t, m) for t, m in zip(arrays["step"].tolist(), arrays["num_maskmem"].tolist(), strict=True)]
    for name, rows in (
        ("frames_newest_first", [c.frames for c in chosen]),
        ("tpos_index", [c.rows for c in chosen]),
    ):
        yield exact(name, padded(rows, arrays[name]), arrays[name])


def padded(rows: Sequence[Sequence[int]], like: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row filled up with -1."""
    result = np.full_like(like, -1)
    for target, row in zip(result, rows, strict=True):
        target[: len(row)] = row
    return result


def memory_attention(arrays: Arrays, p: Params) -> Iterator[Check]:
    """Two layers of memory attention, and the sine encodings."""
    weights = {
        name.removeprefix("w__").replace("__", "."): torch.from_numpy(values)
        for name, values in arrays.items()
        if name.startswith("w__")
    }
    attention = MemoryAttention(
        p["d_model"],
        p["mem_dim"],
        p["layers"],
        hidden=len(weights["layers.0.linear1.bias"]),
        theta=p["rope_theta"],
        pos_at_input=p["pos_at_input"],
    )
    attention.load_state_dict(weights)
    inputs = (torch.from_numpy(arrays[name]).transpose(0, 1) for name in ("curr", "curr_pos", "memory", "memory_pos"))
    with torch.inference_mode():
        out = attention(*inputs, pointers=int(arrays["num_obj_ptr_tokens"]), grid=(p["grid"], p["grid"]))
    yield close("out", out.transpose(0, 1), arrays["out"])
    pe = sine_encoding(torch.from_numpy(arrays["sine_pe_in"]), p["d_model"], paired=True)
    yield close("sine_pe_out", pe, arrays["sine_pe_out"])
    yield close("pos_sine_4x4", map_positions(4, 4, p["mem_dim"])[None], arrays["pos_sine_4x4"])


FILES = {
    "sam2_selection.npz": selection,
    "sam2act_selection.npz": act_selection,
    "sam2_memory_attention.npz": memory_attention,
}
INPUTS = {
    "sam2_selection.npz": ("num_maskmem", "stride", "cond_frames", "frame_idx"),
    "sam2act_selection.npz": ("num_maskmem", "step"),
    "sam2_memory_attention.npz": (
        "curr",
        "curr_pos",
        "memory",
        "memory_pos",
        "num_obj_ptr_tokens",
        "sine_pe_in",
        "w__*",
    ),
}
