"""HippoMM: pattern separation, retrieval, temporal segmentation and the choice of frames."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from mneme.operators.segment import NS, hippomm_boundaries
from mneme.operators.separate import keyframes, ssim

from .compare import Arrays, Check, Family, Params, close, exact

SETTINGS = ("default_yaml", "code_default")
LANES = {"v": (True, False), "a": (False, True), "va": (True, True)}
"""Suffix -> whether there are frames, and whether there is sound."""


def mechanisms(arrays: Arrays, params: Params) -> Iterator[Check]:
    """Every array of the file, part by part."""
    features = torch.from_numpy(arrays["kf_features"])
    for name, threshold in params["kf_thresholds"].items():
        yield exact(name, keyframes(features, threshold), arrays[name])
    similarity = cosine_similarity(features.double(), torch.from_numpy(arrays["topk_q"])[None], dim=1)
    best = similarity.topk(params["topk_k"])
    yield exact("topk_idx", best.indices, arrays["topk_idx"])
    yield close("topk_sim", best.values, arrays["topk_sim"])
    for settings in SETTINGS:
        yield from segments(arrays, settings)
    yield from frames(arrays, params)


def segments(arrays: Arrays, settings: str) -> Iterator[Check]:
    """One stream cut by sight, by sound, and by both; and how many frames fall in each segment, ends included."""
    given = json.loads(str(arrays[f"seg_{settings}_params"]))
    seconds = arrays[f"seg_{settings}_frame_times"]
    similarity, sound = arrays[f"seg_{settings}_sims"], arrays[f"seg_{settings}_audio"].astype(np.float64)
    t_ns = np.round(seconds * NS).astype(np.int64)
    for lane, (seen, heard) in LANES.items():
        spans = hippomm_boundaries(
            similarity if seen else None,
            t_ns if seen else None,
            sound if heard else None,
            given["sr"],
            min_ns=round(given["min"] * NS),
            max_ns=round(given["max"] * NS),
            same=given["sim"],
            silence_db=given["silence_db"],
        )
        yield close(f"seg_{settings}_{lane}", np.array(spans) / NS, arrays[f"seg_{settings}_{lane}"])
        counts = [int(((t_ns >= start) & (t_ns <= end)).sum()) if seen else 0 for start, end in spans]
        yield exact(f"segn_{settings}_{lane}", np.array(counts), arrays[f"segn_{settings}_{lane}"])


def frames(arrays: Arrays, params: Params) -> Iterator[Check]:
    """The frames of a clip that are looked at, and those of them that are saved."""
    looked = [np.ascontiguousarray(picture[..., ::-1]) for picture in arrays["clip_every30"]]  # BGR -> RGB
    differences = [1 - ssim(looked[0], picture) for picture in looked]
    yield close("extract_diffs_to_first", differences, arrays["extract_diffs_to_first"], rtol=0, atol=1e-6)
    saved, running = [0], 0.0
    for i, picture in enumerate(looked[1:], start=1):
        difference = 1 - ssim(looked[saved[-1]], picture)
        running += difference
        if max(difference, running) > params["max_diff"]:
            saved.append(i)
            running = 0.0
    seconds = params["check_interval"] / params["fps"]
    yield close("extract_times", np.array(saved) * seconds, arrays["extract_times"])


FILES: dict[str, Family] = {"hippomm.npz": mechanisms}
INPUTS: dict[str, tuple[str, ...]] = {
    "hippomm.npz": (
        "kf_features",
        "topk_q",
        "clip_every30",
        *(
            f"seg_{settings}_{name}"
            for settings in SETTINGS
            for name in ("params", "sims", "frame_times", "audio", "audio_halfsec_db_note")
        ),
    ),
}
