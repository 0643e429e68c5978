"""Flash-VStream: its buffer held at K frames in four ways, one frame added at a time, and the Turing memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mneme.operators.compress import drop_adjacent, merge_nearest
from mneme.operators.merge import abstract_update, adjacent_similarity, merge_adjacent, weighted_kmeans

from .compare import Arrays, Check, Family, Params, close, exact

Groups = list[list[int]]


def flashvstream_compress(arrays: Arrays, params: Params) -> Iterator[Check]:
    """As released: plain averages of two, weights not carried; the centroids of the last labelling."""
    given = {name: torch.from_numpy(array) for name, array in arrays.items() if array.dtype.kind != "U"}
    x, keep = given["x"], int(arrays["K"])

    frames, groups = x[:keep], [[i] for i in range(keep)]
    for i in range(keep, len(x)):
        merged = merge_adjacent(torch.cat([frames, x[i : i + 1]]), keep, weighted=False)
        bounds = merged.groups.tolist()
        frames, groups = merged.frames, _joined([*groups, [i]], [range(*bounds[k : k + 2]) for k in range(keep)])
    yield close("merge", frames, arrays["merge"])
    yield close("merge_sim", adjacent_similarity(frames), arrays["merge_sim"])
    yield exact("merge_groups", [str(group) for group in groups], arrays["merge_groups"])

    frames, groups = x[:keep], [[i] for i in range(keep)]
    for i in range(keep, len(x)):
        nearest = merge_nearest(torch.cat([frames, x[i : i + 1]]), keep, weighted=False)
        held = [torch.nonzero(nearest.labels == k).flatten().tolist() for k in range(keep)]
        frames, groups = nearest.centroids, _joined([*groups, [i]], held)
    yield close("kmerge", frames, arrays["kmerge"])
    yield exact("kmerge_groups", [str(group) for group in groups], arrays["kmerge_groups"])

    kept = torch.arange(keep)
    for i, coin in zip(range(keep, len(x)), given["drop_coin"], strict=True):
        kept = torch.cat([kept, torch.tensor([i])])
        kept = kept[drop_adjacent(x[kept], coin[None])]
    yield close("drop", x[kept], arrays["drop"])
    yield exact("drop_kept", kept, arrays["drop_kept"])

    clusters = weighted_kmeans(
        x,
        given["wkm_weights_in"],
        given["wkm_init_indices"],
        params["kmeans_max_iter"],
        params["kmeans_tol"],
        as_labelled=True,
    )
    yield close("wkm_centroids", clusters.centroids, arrays["wkm_centroids"])
    yield close("wkm_weights_out", clusters.weights, arrays["wkm_weights_out"])
    yield exact("wkm_labels", clusters.labels, arrays["wkm_labels"])

    chunk = int(arrays["turing_T0"])
    memory, *incoming = x[:, 0].split(chunk)
    projections = [given[name] for name in ("ntm_q_w", "ntm_q_b", "ntm_k_w", "ntm_k_b")]
    for frame in incoming:
        memory = abstract_update(memory, frame, *projections, ratio=params["turing_update_ratio"])
    yield close("turing", memory[:, None], arrays["turing"])


def _joined(groups: Groups, slots: list[range] | Groups) -> Groups:
    """The frames of each slot, from those that its members held."""
    return [[frame for member in slot for frame in groups[member]] for slot in slots]


FILES: dict[str, Family] = {"flashvstream_compress.npz": flashvstream_compress}
INPUTS: dict[str, tuple[str, ...]] = {
    "flashvstream_compress.npz": ("x", "K", "drop_coin", "wkm_init_indices", "wkm_weights_in", "turing_T0", "ntm_*")
}
