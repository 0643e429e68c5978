"""Sessions of ONNX Runtime on the CPU: threads set, no spinning, and the providers it really got checked."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingError

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
FATAL_ONLY = 4
"""ONNX Runtime's severity: it prints warnings of its own graph passes that no user can mend."""


def onnx_session(
    model: Path | bytes, threads: int = 1, providers: tuple[str, ...] = (CPU,)
) -> onnxruntime.InferenceSession:
    """A session of `model` (a file or its bytes) that runs on `providers`, in their order of preference.

    Spinning is off: idle worker threads that spin take the cores from decoding. Asked for an accelerator, ONNX Runtime
    falls back to the CPU without an exception; here that is a `MissingError`, as is the library's absence. A model
    that cannot be read raises what ONNX Runtime raises.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError("onnxruntime is not installed", "pip install 'mneme[cpu]'") from error

    absent = [name for name in providers if name not in onnxruntime.get_available_providers()]
    if absent:
        raise _missing(absent[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, sess_options=options, providers=list(providers))
    for name in providers:
        if name not in session.get_providers():
            raise _missing(name)
    return session


def package_file(package: str, *parts: str, mend: str) -> Path:
    """The path of a file inside an installed package, found without importing it; `MissingError` where it is not."""
    spec = find_spec(package)
    for root in spec.submodule_search_locations or () if spec else ():
        path = Path(root, *parts)
        if path.exists():
            return path
    name = "/".join((package, *parts))
    raise MissingError(f"{name} is not installed", mend)


def _missing(provider: str) -> MissingError:
    if provider.startswith(("CUDA", "Tensorrt")):
        mend = "install onnxruntime-gpu in place of onnxruntime (make gpu) on a machine with its driver"
        return MissingError(f"ONNX Runtime did not give the provider {provider}", mend)
    return MissingError(f"ONNX Runtime has no provider {provider}", "install a build of onnxruntime that has it")
