"""Compiled models in the cache folder: an artefact, a small JSON beside it, and which of them to use.

`mneme compile` puts them there; an encoder asks for the best of its weights and needs to know nothing else. A record
counts only where it can run: its runtime is installed, and a GPU that it was made for is this machine's.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from .cache import cache_folder, write_whole
from .export import LEAST_COSINE
from .runtime import CPU, CUDA, TENSORRT, Precision, Provider, RuntimeName, onnx_session
from .tensorrt import Sizes, gpu_name, tensorrt_providers

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised when records or artefacts change so that older ones must not be taken."""
NAMED_BY = 16
"""Digits of the weights' hash that stand in file names and tell artefacts apart."""
NEEDED: dict[str, str] = {"onnx": CPU, "onnx-cuda": CUDA, "tensorrt": TENSORRT}
"""The provider of ONNX Runtime that each runtime needs."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an artefact: the JSON beside it."""

    name: str
    weights: str
    """Hash of the weights that it was made of."""
    runtime: RuntimeName
    precision: Precision
    gpu: str | None
    """The GPU it was made for and measured on; None for the CPU."""
    bytes: int
    build_s: float
    parity: float
    """The lowest cosine against torch eager in fp32 over the rows that were tried."""
    speed_up: float
    """Times torch eager, at `batch` and `threads`, medians of one interleaved run."""
    batch: int
    threads: int
    sizes: Sizes
    """The least, best and greatest size of each axis that may vary."""
    axes: dict[str, tuple[str | int, ...]]
    """The shape of each input: a number, or the name of an axis in `sizes`."""
    format: int = FORMAT


def compiled_folder(cache: Path | None = None) -> Path:
    """Where artefacts and their records stand."""
    return (cache or cache_folder()) / "compiled"


def artefact_path(name: str, weights: str, runtime: str, precision: str, cache: Path | None = None) -> Path:
    """The artefact's file; its record is the same name with .json."""
    return compiled_folder(cache) / f"{name}-{weights[:NAMED_BY]}-{runtime}-{precision}.onnx"


def write_record(path: Path, record: Record) -> None:
    """Puts the record beside the artefact `path`, which must be there whole; raises OSError."""
    write_whole(path.with_suffix(".json"), [json.dumps(asdict(record), indent=1).encode()])


def read_record(path: Path) -> Record | None:
    """The record of the artefact `path`; None, with a warning, where one of the two cannot be taken as it is."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if found["format"] != FORMAT or found["runtime"] not in get_args(RuntimeName):
            return None
        found["sizes"] = {axis: tuple(sizes) for axis, sizes in found["sizes"].items()}
        found["axes"] = {name: tuple(shape) for name, shape in found["axes"].items()}
        record = Record(**found)
        if path.stat().st_size != record.bytes:
            raise ValueError(f"{path.stat().st_size} bytes instead of {record.bytes}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the compiled model %s is not used, compile it again: %s", path, error)
        return None
    return record


def best_model(name: str, weights_hash: str, cache: Path | None = None) -> Path | None:
    """The fastest artefact of these weights that can run on this machine, or None.

    Args: name: the tower's, as in `towers.py`; weights_hash: hex, at least 16 digits.
    """
    folder = compiled_folder(cache)
    paths = sorted(folder.glob(f"{name}-{weights_hash[:NAMED_BY]}-*.json")) if folder.is_dir() else []
    found = []
    for path in (path.with_suffix(".onnx") for path in paths):
        record = read_record(path)
        if record is not None and _fits(record):
            found.append((record.speed_up, path.name, path))
    return max(found)[2] if found else None


def compiled_session(
    name: str, weights_hash: str, threads: int = 1, cache: Path | None = None
) -> onnxruntime.InferenceSession | None:
    """A session of the best artefact of these weights, on the runtime that it was compiled for; None without one.

    Errors: `MissingError` where that runtime's libraries are gone.
    """
    path = best_model(name, weights_hash, cache)
    return None if path is None else open_artefact(path, threads)


def open_artefact(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of the artefact `path` as its record says. Errors: FileNotFoundError where it has no record."""
    record = read_record(path)
    if record is None:
        raise FileNotFoundError(f"{path} has no record that can be used")
    return onnx_session(path, threads, providers_of(record, path.parent))


def providers_of(record: Record, folder: Path) -> list[Provider]:
    """The providers, with their options, on which an artefact runs; engines of TensorRT are kept in `folder`."""
    if record.runtime == "tensorrt":
        return tensorrt_providers(
            folder / "engines", record.weights, record.axes, record.sizes, record.precision, record.gpu or gpu_name()
        )
    if record.runtime == "onnx-cuda":
        # TensorFloat-32 rounds to ten bits: it is not what fp32 promises.
        return [(CUDA, {"use_tf32": "0" if record.precision == "fp32" else "1"}), CPU]
    return [CPU]


def _fits(record: Record) -> bool:
    """Whether the artefact was found good, and this machine has what its runtime needs."""
    if not record.parity >= LEAST_COSINE[record.precision]:  # made half way: never measured
        return False
    if record.runtime == "onnx":
        return True
    import onnxruntime

    if NEEDED[record.runtime] not in onnxruntime.get_available_providers():
        return False
    return record.gpu is not None and gpu_name() == record.gpu
