"""OmniLive (IXC2.5-OL): clips of a stream, and the clip that a question picks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from mneme.operators.segment import clip_boundaries

from .compare import Arrays, Check, Family, Params, close, exact


def stream(arrays: Arrays, params: Params) -> Iterator[Check]:
    """Frames cut into clips; clips by cosine to a question, of which the earliest above a threshold is read."""
    clips = clip_boundaries(
        torch.from_numpy(arrays["frame_emb"]), params["min_clip"], params["max_clip"], params["scene_cos"]
    )
    # The vectors tell each frame's clip so far, [start, end), and whether the frame closed the one before.
    rows = [(start, i + 1, int(i == start and i > 0)) for start, end in clips for i in range(start, end)]
    yield exact("segments_start_end_new", np.array(rows), arrays["segments_start_end_new"])
    yield exact("n_clips", np.asarray(len(clips)), arrays["n_clips"])
    tokens, question = (torch.from_numpy(arrays[name]) for name in ("clip_time_tokens", "question"))
    similarity = cosine_similarity(question[:, None], tokens[None], dim=2)
    yield close("similarity", similarity, arrays["similarity"])
    yield exact("selected", (similarity > params["select_cos"]).int().argmax(dim=1), arrays["selected"])


FILES: dict[str, Family] = {"omnilive.npz": stream}
INPUTS: dict[str, tuple[str, ...]] = {
    "omnilive.npz": ("clip_tokens", "resolution", "pool_num", "frame_emb", "clip_time_tokens", "question"),
}
