"""Running a model: one protocol for all runtimes, and sessions of ONNX Runtime whose providers are checked.

ONNX Runtime's threads are set and do not spin; a provider that was asked for and is not what the session got is an
error that names the library that is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..errors import MissingError

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
FATAL_ONLY = 4
"""ONNX Runtime's severity: it prints warnings of its own graph passes that no user can mend."""

RuntimeName = Literal["torch", "onnx", "onnx-cuda", "tensorrt"]
Precision = Literal["fp32", "half", "int8"]
Provider = str | tuple[str, Mapping[str, str]]
"""A provider of ONNX Runtime by name, or with its options."""


@runtime_checkable
class Runtime(Protocol):
    """A model that can be run, whatever runs it."""

    @property
    def name(self) -> str:
        """The runtime in words, with what makes it differ: `torch compiled half`, `onnx`, `tensorrt half`."""
        ...

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The model's outputs for a batch of inputs, both in the model's order, batch first."""
        ...


class OnnxRuntime:
    """A session of ONNX Runtime behind the protocol."""

    def __init__(self, session: onnxruntime.InferenceSession, name: str = "onnx") -> None:
        self._session = session
        self._inputs = [node.name for node in session.get_inputs()]
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return tuple(self._session.run(None, dict(zip(self._inputs, inputs, strict=True))))


def onnx_session(
    model: Path | bytes, threads: int = 1, providers: Sequence[Provider] = (CPU,)
) -> onnxruntime.InferenceSession:
    """A session of `model` (a file or its bytes) that runs on `providers`, in their order of preference.

    Spinning is off: idle worker threads that spin take the cores from decoding. Asked for an accelerator, ONNX Runtime
    falls back to the CPU without an exception; here that is a `MissingError`, as is the library's absence. A model
    that cannot be read raises what ONNX Runtime raises.
    """
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    onnxruntime = require_providers(names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    given = [provider if isinstance(provider, str) else (provider[0], dict(provider[1])) for provider in providers]
    session = onnxruntime.InferenceSession(source, sess_options=options, providers=given)
    for name in names:
        if name not in session.get_providers():
            raise _missing(name, missing_library(name))
    return session


def require_providers(names: Sequence[str]) -> Any:
    """The module onnxruntime, of which it is known that it can load these providers here.

    Errors: `MissingError` that names the library that is missing, onnxruntime itself included.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError("onnxruntime is not installed", "pip install 'mneme[cpu]'") from error

    for name in names:
        if name not in onnxruntime.get_available_providers():
            raise _missing(name)
    if CUDA in names or TENSORRT in names:
        _preload(onnxruntime)
        # The providers' own libraries are opened first: ONNX Runtime would go on without them, on the CPU.
        for name in names:
            lost = missing_library(name)
            if lost:
                raise _missing(name, lost)
    return onnxruntime


def missing_library(provider: str) -> str | None:
    """The shared library without which ONNX Runtime cannot load `provider` here; None where all are found.

    The dynamic linker is asked, since which versions are needed differs from build to build of onnxruntime-gpu.
    """
    files = {CUDA: "libonnxruntime_providers_cuda.so", TENSORRT: "libonnxruntime_providers_tensorrt.so"}
    if provider not in files:
        return None
    lost = _unopened("libcuda.so.1")
    if lost:
        return "libcuda.so.1 (the NVIDIA driver)"
    folder = package_file("onnxruntime", "capi", mend="pip install onnxruntime-gpu")
    lost = _unopened(str(folder / files[provider]))
    # A library that is found but wants ONNX Runtime's own symbols is no library that is missing.
    return None if lost is None or "undefined symbol" in lost else lost.split(":")[0]


def package_file(package: str, *parts: str, mend: str) -> Path:
    """The path of a file inside an installed package, found without importing it; `MissingError` where it is not."""
    spec = find_spec(package)
    for root in spec.submodule_search_locations or () if spec else ():
        path = Path(root, *parts)
        if path.exists():
            return path
    name = "/".join((package, *parts))
    raise MissingError(f"{name} is not installed", mend)


def _unopened(library: str) -> str | None:
    """What the dynamic linker says against `library`; None where it opens."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)
    return None


def _preload(onnxruntime: Any) -> None:
    """CUDA and cuDNN from their wheels (nvidia-*), which the linker does not search; what fails is found out later."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it could not load
            onnxruntime.preload_dlls()


def _missing(provider: str, library: str | None = None) -> MissingError:
    if provider not in (CUDA, TENSORRT):
        return MissingError(f"ONNX Runtime has no provider {provider}", "install a build of onnxruntime that has it")
    fault = f"ONNX Runtime did not give the provider {provider}"
    if library is None:
        mend = "install onnxruntime-gpu in place of onnxruntime (make gpu) on a machine with its driver"
        return MissingError(f"{fault}: onnxruntime-gpu is not installed or found no GPU", mend)
    if "nvinfer" in library or "nvonnxparser" in library:
        return MissingError(f"{fault}: {library} is missing", "pip install 'mneme[tensorrt]' (TensorRT's libraries)")
    if "libcuda." in library:
        return MissingError(f"{fault}: {library} is missing", "install the driver, or use the runtime onnx")
    return MissingError(f"{fault}: {library} is missing", "install the CUDA libraries that onnxruntime-gpu names")
