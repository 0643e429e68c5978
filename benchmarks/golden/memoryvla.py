"""MemoryVLA's bank in its two published variants, step by step over an episode."""

from __future__ import annotations

import json
from collections.abc import Iterator

import torch

from mneme.operators.bank import BankSettings, BankState, EpisodicBank, MemoryBank

from .compare import Arrays, Check, Params, close, exact


def openvla(arrays: Arrays, _: Params) -> Iterator[Check]:
    """The authors' OpenVLA branch."""
    p = json.loads(str(arrays["params"]))
    settings = BankSettings.openvla(
        p["D"],
        capacity=p["mem_length"],
        layers=p["retrieval_layers"],
        heads=p["heads"],
        timestep_dim=p["freq_dim"],
        consolidation={"tome": "merge", "fifo": "fifo"}[p.get("consolidate_type", "tome")],
        fusion=p.get("fusion_type", "gate"),
        stores="fused" if p.get("update_fused") else "observed",
    )
    out, timesteps, lengths, state = run(settings, arrays, arrays["tokens"], "w:")
    yield close("out", out, arrays["out"])
    yield exact("bank_timesteps", timesteps, arrays["bank_timesteps"])
    yield exact("bank_len", lengths, arrays["bank_len"])
    yield close("bank_final", state.tokens[0], arrays["bank_final"])


def dexbotic(arrays: Arrays, _: Params) -> Iterator[Check]:
    """dexbotic's perceptual and cognitive banks."""
    p = json.loads(str(arrays["params"]))
    for stream in ("per", "cog"):
        settings = BankSettings.dexbotic(
            p[f"{stream}_D"], capacity=p["mem_length"], heads=p["heads"], timestep_dim=p["freq_dim"]
        )
        out, timesteps, _lengths, state = run(settings, arrays, arrays[f"{stream}_tokens"], "w:", f"{stream}.")
        yield close(f"{stream}_out", out, arrays[f"{stream}_out"])
        yield close(f"{stream}_bank_timesteps", timesteps, arrays[f"{stream}_bank_timesteps"])
        yield close(f"{stream}_bank_final", state.tokens[0], arrays[f"{stream}_bank_final"])


def run(
    settings: BankSettings, arrays: Arrays, tokens: object, prefix: str, stream: str = ""
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, BankState]:
    """One episode: outputs [T, N, D], the bank's timesteps [T, L] (-1 where empty), its lengths [T], its last state."""
    bank = MemoryBank(settings)
    bank.load_state_dict(weights(arrays, prefix, stream))
    frames = torch.as_tensor(tokens)
    episode = EpisodicBank(bank, 1, frames.shape[1])
    outs, times, lengths = [], [], []
    with torch.inference_mode():
        for t, frame in enumerate(frames):
            outs.append(episode(frame[None], torch.tensor([t]))[0])
            state = episode.state
            times.append(state.timesteps[0].where(torch.arange(settings.capacity) < state.length, -1))
            lengths.append(state.length[0])
    return torch.stack(outs), torch.stack(times), torch.stack(lengths), episode.state


def weights(arrays: Arrays, prefix: str, stream: str) -> dict[str, torch.Tensor]:
    """The published state dict under our names: dexbotic has a dropout inside `ffn` and a bank a stream."""
    return {
        name.removeprefix(prefix)
        .replace(stream, "")
        .replace("timestep_embedders.", "timestep_encoder.")
        .replace("ffn.3", "ffn.2"): torch.from_numpy(values)
        for name, values in arrays.items()
        if name.startswith(prefix) and stream in name
    }


FILES = {
    "memvla_openvla_tome.npz": openvla,
    "memvla_openvla_fifo.npz": openvla,
    "memvla_openvla_add_fused.npz": openvla,
    "memvla_dexbotic.npz": dexbotic,
}
INPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(FILES, ("tokens", "params", "w:*")),
    "memvla_dexbotic.npz": ("per_tokens", "cog_tokens", "params", "w:*"),
}
