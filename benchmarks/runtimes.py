"""ViT-B-32 in each runtime that this machine has: time beside torch eager, parity, size. Prints one JSON object.

python -m benchmarks.runtimes [--rounds 15] [--threads 2] [--batch 8] [--seed 0] [--compiled] [--json]

The visual tower of open_clip's ViT-B-32 with random weights (the same network in plain torch where open_clip is not
installed). All runtimes take turns in one run with the same number of threads; times are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mneme.encoders.export import LEAST_COSINE, export_onnx, parity
from mneme.encoders.precision import half_weights, int8
from mneme.encoders.runtime import OnnxRuntime, Runtime, onnx_session
from mneme.encoders.torch_runtime import TorchRuntime, torch_threads
from mneme.encoders.towers import Tower
from mneme.errors import MnemeError
from mneme.pipeline.compile import interleaved_ms

from .machine import machine

WIDTH, LAYERS, HEADS, PATCH, SIDE, DIM = 768, 12, 12, 32, 224, 512
"""ViT-B-32: Dosovitskiy et al. 2021 (arXiv:2010.11929), as Radford et al. 2021 (arXiv:2103.00020) project it."""


class PlainViT(nn.Module):
    """The visual tower of ViT-B-32 in plain torch: the network that open_clip builds."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.whole = nn.Parameter(torch.randn(WIDTH) * WIDTH**-0.5)
        self.places = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH) * WIDTH**-0.5)
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.out = nn.Parameter(torch.randn(WIDTH, DIM) * WIDTH**-0.5)

    def forward(self, pictures: Tensor) -> Tensor:
        """float32[b, 3, 224, 224] -> float32[b, 512]."""
        x = self.patches(pictures).flatten(2).transpose(1, 2)  # [b, 49, WIDTH]
        x = torch.cat([self.whole.expand(x.shape[0], 1, WIDTH), x], dim=1) + self.places
        x = self.before(x)
        for block in self.blocks:
            x = block(x)
        made: Tensor = self.after(x[:, 0]) @ self.out
        return made


def vit(seed: int) -> tuple[str, nn.Module]:
    """(where it comes from, the visual tower with weights drawn by `seed`)."""
    torch.manual_seed(seed)
    if find_spec("open_clip") is None:
        return "plain torch", PlainViT().eval()
    import open_clip

    logging.getLogger().setLevel(logging.ERROR)  # it warns of random weights, which are meant
    visual: nn.Module = open_clip.create_model("ViT-B-32", pretrained=None).visual
    return f"open_clip {open_clip.__version__}", visual.eval()


def pictures(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
    """float32[b, 3, 224, 224], normalised as pictures are."""
    return (np.random.default_rng(seed).standard_normal((sizes["batch"], 3, SIDE, SIDE), dtype=np.float32),)


def measure(rounds: int, threads: int, batch: int, seed: int, with_compiled: bool) -> dict[str, Any]:
    """Everything that this machine can run; what it cannot is named with the reason."""
    source, module = vit(seed)
    sizes = {"batch": (1, batch, 64)}
    tower = Tower("vit-b-32", "random", lambda: module, {"x": ("batch", 3, SIDE, SIDE)}, sizes, ("y",), pictures)
    with torch_threads(threads):
        model = export_onnx(tower, module)
        models = {"onnx": model, "onnx half weights": half_weights(model), "onnx int8": int8(model)}
        runtimes: dict[str, Runtime] = {"torch eager": TorchRuntime(module)}
        absent: dict[str, str] = {}
        for name, made in models.items():
            runtimes[name] = OnnxRuntime(onnx_session(made, threads), name)
        if with_compiled:
            runtimes["torch compiled"] = TorchRuntime(module, compiled=True)
        for name, options in {"torch cuda half": {"half": True}, "torch cuda compiled": {"compiled": True}}.items():
            try:
                runtimes[name] = TorchRuntime(module, device="cuda", **options)
            except MnemeError as error:
                absent[name] = str(error)
        for name, provider in {"onnx-cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}.items():
            try:
                runtimes[name] = OnnxRuntime(onnx_session(model, threads, (provider,)), name)
            except MnemeError as error:
                absent[name] = str(error)
        inputs = pictures({"batch": batch}, seed)
        reference = runtimes["torch eager"].run(*inputs)
        cosines = {name: parity(reference, runtime.run(*inputs)) for name, runtime in runtimes.items()}
        times = dict(zip(runtimes, interleaved_ms(list(runtimes.values()), inputs, rounds), strict=True))
    base = times["torch eager"]
    return {
        "machine": machine(), "torch": torch.__version__, "model": f"ViT-B-32 visual, random weights, {source}",
        "batch": batch, "threads": threads, "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),  # of this run and its neighbours: above the cores, times say little
        "runtimes": {
            name: {
                "ms": round(times[name], 1), "ms_a_picture": round(times[name] / batch, 2),
                "speed_up": round(base / times[name], 3), "parity": round(cosines[name], 7),
                **({"mb": round(len(models[name]) / 1e6, 1)} if name in models else {}),
            }
            for name in runtimes
        },
        "absent": absent,
        "onnx_speed_up": round(base / times["onnx"], 3),
        "int8_speed_up": round(base / times["onnx int8"], 3),
        "parity_fp32": cosines["onnx"], "parity_half": cosines["onnx half weights"],
        "parity_int8": cosines["onnx int8"],
        "parity_holds": cosines["onnx"] >= LEAST_COSINE["fp32"]
        and cosines["onnx half weights"] >= LEAST_COSINE["half"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compiled", action="store_true", help="torch.compile too: takes minutes to build")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    given = parser.parse_args()
    found = measure(given.rounds, given.threads, given.batch, given.seed, given.compiled)
    if given.json:
        print(json.dumps(found))
        return
    run = f"batch {given.batch}, {given.threads} threads, {given.rounds} rounds, load {found['load']}"
    print(f"{found['model']}; {found['machine']}; {run}")
    for name, row in found["runtimes"].items():
        size = f"{row['mb']:8.1f} MB" if "mb" in row else ""
        print(f"{name:20} {row['ms']:8.1f} ms {row['speed_up']:6.2f}x  cosine {row['parity']:.6f} {size}")
    for name, why in found["absent"].items():
        print(f"{name:20} not here: {why}")


if __name__ == "__main__":
    main()
