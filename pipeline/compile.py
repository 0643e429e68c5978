"""Compiling a profile's towers: exported, made smaller or faster, held against torch, measured, kept in the cache.

A tower whose compiled vectors are not those of torch eager is refused; the others are used by the encoders from then
on (`encoders/compiled.py`). Times are medians of one run in which both take turns, with the same number of threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from ..encoders.cache import write_whole
from ..encoders.compiled import NEEDED, Record, artefact_path, open_artefact, write_record
from ..encoders.export import export_onnx, held_to, parity
from ..encoders.precision import half_arithmetic, half_weights, int8, mostly_convolutions
from ..encoders.runtime import OnnxRuntime, Precision, Runtime, RuntimeName, require_providers
from ..encoders.tensorrt import gpu_name
from ..encoders.towers import Tower, towers_of
from ..errors import MissingError, SettingsError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

TRIED = 4
"""Batches on which parity is measured."""
CALIBRATED = 8
"""Batches from which the scales of int8 are taken; of other seeds than those that parity is measured on."""
ROUNDS = 7
"""Turns of the timed run: few, so that compiling stays short; the benchmark takes more."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A tower that was compiled and kept."""

    path: Path
    record: Record
    reference_ms: float
    """Torch eager in fp32, a batch."""
    compiled_ms: float


def compile_profile(
    profile: str,
    runtime: str = "onnx",
    precision: str = "fp32",
    threads: int = 1,
    cache: Path | None = None,
    done: Callable[[Compiled], None] | None = None,
) -> list[Compiled]:
    """Every tower of `profile` on `runtime` (onnx, onnx-cuda, tensorrt), in `precision` (fp32, half, int8).

    `done` is told of each as it is finished. Errors: those of `compile_tower`; `SettingsError` for a profile, a
    runtime or a precision that is not known.
    """
    if runtime not in NEEDED:
        raise SettingsError(f"there is no runtime {runtime!r} to compile for", f"choose one of {', '.join(NEEDED)}")
    if precision not in get_args(Precision):
        fault = f"there is no precision {precision!r}"
        raise SettingsError(fault, f"choose one of {', '.join(get_args(Precision))}")
    wanted, lowered_to = cast("RuntimeName", runtime), cast("Precision", precision)
    towers = towers_of(profile)
    require_runtime(wanted)
    made = []
    for tower in towers:
        made.append(compile_tower(tower, wanted, lowered_to, threads, cache))
        if done is not None:
            done(made[-1])
    return made


def require_runtime(runtime: RuntimeName) -> str | None:
    """The GPU that `runtime` will use, None for the CPU. Errors: `MissingError` where this machine cannot run it."""
    require_providers([NEEDED[runtime]])
    if runtime == "onnx":
        return None
    gpu = gpu_name()
    if gpu is None:
        raise MissingError(f"the runtime {runtime} found no GPU", "compile it on a machine with one, or use onnx")
    return gpu


def compile_tower(
    tower: Tower, runtime: RuntimeName, precision: Precision, threads: int = 1, cache: Path | None = None
) -> Compiled:
    """One tower: its artefact and the record beside it, in the cache folder.

    Errors: `MissingError` for a library that the runtime or the export needs; `ExportError` for a module that cannot
    be traced; `ParityError` for one whose vectors change too much, of which nothing is kept; `SettingsError` where
    the cache folder takes no file.
    """
    gpu = require_runtime(runtime)
    path = artefact_path(tower.name, tower.weights, runtime, precision, cache)
    started = time.perf_counter()
    module = tower.module().eval()
    model = lowered(tower, export_onnx(tower, module), runtime, precision)
    record = Record(
        name=tower.name, weights=tower.weights, runtime=runtime, precision=precision, gpu=gpu, bytes=len(model),
        build_s=0.0, parity=-1.0, speed_up=0.0, batch=tower.best()["batch"], threads=threads,
        sizes=dict(tower.sizes), axes={name: tuple(shape) for name, shape in tower.axes.items()},
    )  # fmt: skip
    try:
        # Until it is measured its record says that it is of no use: a kill half way leaves nothing that is taken.
        path.with_suffix(".json").unlink(missing_ok=True)
        write_whole(path, [model])
        write_record(path, record)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}", "set MNEME_CACHE to a folder") from error
    try:
        compiled = OnnxRuntime(open_artefact(path, threads), f"{runtime} {precision}")
        compiled.run(*tower.examples(tower.best(), 0))  # TensorRT builds its engine here
        build_s = time.perf_counter() - started
        cosine, reference_ms, compiled_ms = _against_torch(tower, module, compiled, threads, gpu)
        held_to(tower.name, cosine, precision)
        record = replace(record, build_s=build_s, parity=cosine, speed_up=reference_ms / compiled_ms)
        write_record(path, record)
    except BaseException:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        raise
    return Compiled(path, record, reference_ms, compiled_ms)


def lowered(tower: Tower, model: bytes, runtime: RuntimeName, precision: Precision) -> bytes:
    """An fp32 model in `precision`, as `runtime` takes it."""
    if precision == "half":
        if runtime == "tensorrt":
            return model  # TensorRT chooses, layer by layer, itself
        return half_weights(model) if runtime == "onnx" else half_arithmetic(model)
    if precision == "int8":
        fixed = runtime == "tensorrt" or mostly_convolutions(model)
        seeds = range(1000, 1000 + CALIBRATED) if fixed else ()
        batches = [dict(zip(tower.axes, tower.examples(tower.best(), seed), strict=True)) for seed in seeds]
        return int8(model, batches)
    return model


def interleaved_ms(runtimes: Sequence[Runtime], inputs: tuple[NDArray[Any], ...], rounds: int) -> list[float]:
    """Median milliseconds of each runtime for `inputs`; they take turns, so that what disturbs one disturbs all."""
    for runtime in runtimes:
        runtime.run(*inputs)
    times: list[list[float]] = [[] for _ in runtimes]
    for _ in range(rounds):
        for runtime, taken in zip(runtimes, times, strict=True):
            start = time.perf_counter()
            runtime.run(*inputs)
            taken.append(1000 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def _against_torch(
    tower: Tower, module: torch.nn.Module, compiled: Runtime, threads: int, gpu: str | None
) -> tuple[float, float, float]:
    """(lowest cosine against torch eager in fp32 on the CPU, its milliseconds on the same device, the compiled)."""
    from ..encoders.torch_runtime import TorchRuntime, torch_threads

    with torch_threads(threads):
        reference = TorchRuntime(module)
        cosines = []
        for seed in range(1, 1 + TRIED):
            inputs = tower.examples(tower.least() if seed == 1 else tower.best(), seed)
            cosines.append(parity(reference.run(*inputs), compiled.run(*inputs)))
        rival = reference if gpu is None else TorchRuntime(module, device="cuda")
        reference_ms, compiled_ms = interleaved_ms([rival, compiled], tower.examples(tower.best(), 0), ROUNDS)
    return min(cosines), reference_ms, compiled_ms
