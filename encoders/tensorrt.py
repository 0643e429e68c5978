"""TensorRT through ONNX Runtime: optimisation profiles, precision, and engines and timings kept from run to run.

An engine is made for one set of weights, shapes, one precision and one model of GPU; a change of any gives another
key, so no engine is ever taken for another's. Options: onnxruntime.ai, TensorRT Execution Provider.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from ..errors import SettingsError
from .runtime import CPU, CUDA, TENSORRT, Precision, Provider

Sizes = dict[str, tuple[int, int, int]]
"""The least, best and greatest size of each axis that varies, by its name."""

GPU_NAME_BYTES = 256


def shape_profile(axes: Mapping[str, Sequence[str | int]], sizes: Mapping[str, tuple[int, int, int]]) -> dict[str, str]:
    """The least, best and greatest shapes of all inputs as TensorRT's options say them: `x:1x3x64x64,y:1x8`.

    Args: axes: the shape of each input, a number or the name of an axis; sizes: (min, opt, max) of each such axis.
    Errors: `SettingsError` for an axis without sizes, or sizes that are not 1 <= min <= opt <= max.
    """
    for axis, (least, best, most) in sizes.items():
        if not 1 <= least <= best <= most:
            fault = f"the axis {axis} has sizes {least}, {best}, {most}"
            raise SettingsError(fault, "give 1 <= least <= best <= greatest")
    shapes = {}
    for place, kind in enumerate(("min", "opt", "max")):
        told = []
        for name, shape in axes.items():
            unknown = [axis for axis in shape if isinstance(axis, str) and axis not in sizes]
            if unknown:
                raise SettingsError(
                    f"the axis {unknown[0]} of {name} has no sizes", "name its least, best and greatest"
                )
            dims = [sizes[axis][place] if isinstance(axis, str) else axis for axis in shape]
            told.append(f"{name}:{'x'.join(str(dim) for dim in dims)}")
        shapes[f"trt_profile_{kind}_shapes"] = ",".join(told)
    return shapes


def cache_key(weights: str, shapes: Mapping[str, str], precision: Precision, gpu: str, runtime: str) -> str:
    """16 hex digits that name an engine: of its weights' hash, shapes, precision, GPU and ONNX Runtime's version."""
    parts = [weights, dict(sorted(shapes.items())), precision, gpu, runtime]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def tensorrt_providers(
    folder: Path,
    weights: str,
    axes: Mapping[str, Sequence[str | int]],
    sizes: Mapping[str, tuple[int, int, int]],
    precision: Precision,
    gpu: str | None,
) -> list[Provider]:
    """TensorRT first, CUDA for nodes that it does not take, the CPU for what belongs there.

    Engines stand in a folder of their key under `folder`; the timing cache is one for a GPU, since the times of a
    layer serve every model that has it. int8 wants a model that carries its own scales (QuantizeLinear).
    """
    shapes = shape_profile(axes, sizes)
    named = gpu or "no GPU"
    key = cache_key(weights, shapes, precision, named, _version())
    engines, timings = folder / key, folder / f"timings-{hashlib.sha256(named.encode()).hexdigest()[:8]}"
    options = {
        "device_id": "0",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(engines),
        "trt_engine_cache_prefix": key,
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(timings),
        "trt_fp16_enable": str(precision == "half"),
        "trt_int8_enable": str(precision == "int8"),
        **shapes,
    }
    return [(TENSORRT, options), (CUDA, {"device_id": "0"}), CPU]


@lru_cache(maxsize=1)
def gpu_name() -> str | None:
    """The first GPU's name as its driver gives it; None without a driver or a GPU. Needs neither torch nor CUDA."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(GPU_NAME_BYTES)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if driver.cuDeviceGetName(name, GPU_NAME_BYTES, device):
        return None
    return name.value.decode()


def _version() -> str:
    """Of the ONNX Runtime build with TensorRT; engines of another one do not load."""
    try:
        return metadata.version("onnxruntime-gpu")
    except metadata.PackageNotFoundError:
        return "none"
