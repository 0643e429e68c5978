"""SAT (the spatially-aware transformer) and DeepMind's HCAM: attention to chunks, encodings, places, allocators."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from mneme.operators.allocate import STRATEGIES, kept
from mneme.operators.hierarchy import HierarchicalAttention, HierarchicalLayer, place_chunks
from mneme.operators.positions import FourierPositions, sine_encoding

from .compare import Arrays, Check, Params, close, exact

State = Mapping[str, torch.Tensor]


def weights(arrays: Arrays, prefix: str) -> dict[str, torch.Tensor]:
    """The arrays under a prefix, without it."""
    return {name[len(prefix) :]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith(prefix)}


def attention_of_sat(w: State) -> dict[str, torch.Tensor]:
    """SAT's names -> ours; it has no bias inside a chunk but the last."""
    key, value = w["attn.to_kv.weight"].chunk(2)
    query = w["attn.to_q.weight"]
    return {
        "summary_query.weight": w["to_summary_queries.weight"],
        "summary_query.bias": w["to_summary_queries.bias"],
        "summary_key.weight": w["to_summary_keys.weight"],
        "summary_key.bias": w["to_summary_keys.bias"],
        "query.weight": query,
        "query.bias": query.new_zeros(len(query)),
        "key.weight": key,
        "value.weight": value,
        "value.bias": value.new_zeros(len(value)),
        "out.weight": w["attn.to_out.weight"],
        "out.bias": w["attn.to_out.bias"],
    }


def layer_of_sat(w: State) -> dict[str, torch.Tensor]:
    """SAT's names -> ours, of a layer with or without its HCAM."""
    joint = torch.cat([w["lablock.attn.to_q.weight"], w["lablock.attn.to_kv.weight"]])
    state = {
        "attention.in_proj_weight": joint,
        "attention.in_proj_bias": joint.new_zeros(len(joint)),
        "attention.out_proj.weight": w["lablock.attn.to_out.weight"],
        "attention.out_proj.bias": w["lablock.attn.to_out.bias"],
    }
    renamed = {"norm_self": "lablock.norm", "norm_read": "hcamblock.norm", "norm_hidden": "norm"}
    renamed |= {"feed_forward.0": "mlp.mlp.0", "feed_forward.2": "mlp.mlp.3"}
    for ours, theirs in renamed.items():
        state |= {f"{ours}.{kind}": w[f"{theirs}.{kind}"] for kind in ("weight", "bias") if f"{theirs}.{kind}" in w}
    inner = {name.removeprefix("hcamblock.attn."): x for name, x in w.items() if name.startswith("hcamblock.attn.")}
    if inner:
        state |= {f"hcam.{name}": x for name, x in attention_of_sat(inner).items()}
    return state


def sat_hcam(arrays: Arrays, _: Params) -> Iterator[Check]:
    """A layer of SAT, and its HCAM alone."""
    p, w = json.loads(str(arrays["params"])), weights(arrays, "w:")
    hcam = HierarchicalAttention(
        p["dim"], p["heads"], p["topk"], p["chunk"],
        head_dim=p["dim_head"], positions=p["pos"], attend_padding=p["pad"] == "front",
    )  # fmt: skip
    layer = HierarchicalLayer(p["dim"], p["heads"], p["hidden"], hcam).eval()
    layer.load_state_dict(layer_of_sat(w))
    query, memory = torch.from_numpy(arrays["query"]), torch.from_numpy(arrays["memory"])
    mask = torch.from_numpy(arrays["mask"]) if arrays["mask"].size else None
    yield close("layer_out", layer(query, memory, mask).detach(), arrays["layer_out"])
    assert layer.norm_read is not None
    yield close("attn_only", hcam(layer.norm_read(query), memory, mask).detach(), arrays["attn_only"])
    if p["pos"]:
        rates = sine_encoding(torch.ones(1, dtype=torch.float64), p["dim"])[0, : p["dim"] // 2].asin()
        yield close("w:hcamblock.attn.pos_emb.inv_freqs", rates, arrays["w:hcamblock.attn.pos_emb.inv_freqs"])


def sat_misc(arrays: Arrays, p: Params) -> Iterator[Check]:
    """The Transformer layer, the encoding of times, and that of places."""
    w = weights(arrays, "tr_w:")
    layer = HierarchicalLayer(arrays["tr_in"].shape[-1], p["heads"], len(w["mlp.mlp.0.weight"])).eval()
    layer.load_state_dict(layer_of_sat(w))
    yield close("tr_out", layer(torch.from_numpy(arrays["tr_in"])).detach(), arrays["tr_out"])
    ages = torch.arange(19, -1, -1)
    yield close("sine_len20_dim32", sine_encoding(ages, 32), arrays["sine_len20_dim32"])
    lff = weights(arrays, "lff_w:")
    hidden, features = lff["mlp.0.weight"].shape
    out, axes = arrays["lff_out"].shape[-1], lff["Wr"].shape[1]
    fourier = FourierPositions(axes, out, features, hidden, groups=p["lff_groups"])
    fourier.load_state_dict({"frequencies.weight": lff.pop("Wr"), **lff})
    yield close("lff_out", fourier(torch.from_numpy(arrays["lff_pos"])).detach(), arrays["lff_out"])


def sat_alloc(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Two hundred walks through eight rooms, each allocator."""
    walks, capacity = torch.from_numpy(arrays["spaces"]), int(arrays["capacity"])
    for strategy in STRATEGIES:
        ours = torch.stack([kept(walk, capacity, strategy) for walk in walks])
        yield exact(strategy, ours, arrays[strategy])


def sat_place_chunks(arrays: Arrays, p: Params) -> Iterator[Check]:
    """Chunks, padding and drops of 90 walks.

    Their sort is not stable, so which item of a place comes first is arbitrary and depends on the machine. It is taken
    from them: the walk is put in their order, what they dropped last. All else is ours.
    """
    theirs = arrays["sort_idx"]
    ours = np.full_like(theirs, -1)
    for at in np.ndindex(*theirs.shape[:2]):
        places, their = arrays["place_ids"][at], theirs[at][theirs[at] >= 0]
        order = np.concatenate([their, np.setdiff1d(np.arange(len(places)), their)])
        index = place_chunks(torch.from_numpy(places[order]), p["chunk"], drop_rest=True).flatten().numpy()
        ours[at][: len(index)] = np.where(index >= 0, order[index], -1)
    yield exact("sort_idx", ours, theirs)


def hcam(arrays: Arrays, _: Params) -> Iterator[Check]:
    """DeepMind's module, with keys that are given and with chunks that a query may not see."""
    p, w = json.loads(str(arrays["params"])), weights(arrays, "w:hierarchical_memory_attention/")
    module = HierarchicalAttention(p["D"], p["heads"], p["k"], p["C"], head_dim=p["key_size"], positions=True).eval()
    inside = {"query": "query", "key": "key", "value": "value", "out": "linear"}
    state = {f"{ours}.weight": w[f"within_mem_attn/{theirs}/w"].T for ours, theirs in inside.items()}
    state |= {f"{ours}.bias": w[f"within_mem_attn/{theirs}/b"] for ours, theirs in inside.items() if ours != "key"}
    for kind in ("query", "key"):
        state |= {f"summary_{kind}.weight": w[f"{kind}/w"].T, f"summary_{kind}.bias": torch.zeros(len(w[f"{kind}/w"]))}
    module.load_state_dict(state)
    query, contents, keys, mask = (torch.from_numpy(arrays[n]) for n in ("queries", "contents", "keys", "mask"))
    yield close("out_nomask", module(query, contents, keys=keys).detach(), arrays["out_nomask"])
    yield close("out_masked", module(query, contents, keys=keys, allowed=mask).detach(), arrays["out_masked"])
    ages = torch.arange(p["C"] - 1, -1, -1)
    yield close("pos_enc", sine_encoding(ages, p["D"]), arrays["pos_enc"])


FILES = {
    "sat_hcam_nomask.npz": sat_hcam,
    "sat_hcam_mask.npz": sat_hcam,
    "sat_hcam_pad_pos.npz": sat_hcam,
    "sat_misc.npz": sat_misc,
    "sat_alloc.npz": sat_alloc,
    "sat_place_chunks.npz": sat_place_chunks,
    "hcam.npz": hcam,
}
_LAYER = ("query", "memory", "mask", "params", "w:*")
INPUTS = {
    "sat_hcam_nomask.npz": _LAYER,
    "sat_hcam_mask.npz": _LAYER,
    "sat_hcam_pad_pos.npz": _LAYER,
    "sat_misc.npz": ("tr_in", "tr_w:*", "lff_pos", "lff_w:*"),
    "sat_alloc.npz": ("spaces", "capacity", "n_rooms"),
    "sat_place_chunks.npz": ("place_ids", "note"),
    "hcam.npz": ("queries", "contents", "keys", "mask", "params", "w:*"),
}
