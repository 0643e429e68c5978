"""A torch module as an ONNX model, checked against the module, and how far two models' outputs agree."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingError, MnemeError
from .runtime import OnnxRuntime, Precision, onnx_session

if TYPE_CHECKING:
    import onnx
    import torch

    from .towers import Tower

OPSET = 20
"""The lowest that has Gelu as one operator (opset 20) and that ONNX Runtime 1.20 runs."""
LARGEST = 2**31 - 1
"""Bytes that one ONNX file can hold (protobuf)."""
LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.9999, "half": 0.999, "int8": 0.99}
"""Under it a compiled model is not the same model."""


class ExportError(MnemeError):
    """A module that cannot be written as an ONNX model."""


class ParityError(MnemeError):
    """A compiled model whose vectors are not those of the model it was made of."""


def export_onnx(tower: Tower, module: torch.nn.Module | None = None) -> bytes:
    """The tower as an ONNX model in fp32: inputs and outputs named as the tower names them, its axes free.

    The model is checked where it was not traced: at the least and at the best sizes. `module` is the tower's, where
    it is loaded already.
    Errors: `MissingError` without onnx and onnxscript; `ExportError` where the module cannot be traced; `ParityError`
    where the model does not compute what the module does.
    """
    for library in ("onnx", "onnxscript"):
        if find_spec(library) is None:
            raise MissingError(f"{library} is not installed, and exporting needs it", "pip install onnx onnxscript")
    import onnx
    import torch

    module = (module or tower.module()).eval()
    # Sizes of 1 would be taken for constants by the tracer.
    traced = {axis: max(2, best if axis != "batch" else 2) for axis, (_, best, _) in tower.sizes.items()}
    dims = {axis: torch.export.Dim(axis, min=1, max=max(2, most)) for axis, (_, _, most) in tower.sizes.items()}
    free = tuple(
        {place: dims[axis] for place, axis in enumerate(shape) if isinstance(axis, str)}
        for shape in tower.axes.values()
    )
    examples = tuple(torch.from_numpy(array) for array in tower.examples(traced, 0))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's own deprecations
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(tower.axes),
                output_names=list(tower.outputs),
                dynamic_shapes=free,
                verbose=False,
            )
        except Exception as error:  # the tracer's errors have no common class
            fault = f"{tower.name} cannot be written as an ONNX model: {_told(error)}"
            raise ExportError(fault, "make its forward traceable by torch.export, with these axes free") from error
    if program is None:
        raise ExportError(f"{tower.name} was not exported", "use torch 2.11")
    proto = program.model_proto
    if proto.ByteSize() > LARGEST:
        raise ExportError(f"{tower.name} has {proto.ByteSize()} bytes, more than one ONNX file holds", "use torch")
    _bare(proto)
    onnx.checker.check_model(proto)
    model = bytes(proto.SerializeToString())
    check_parity(tower, module, model, "fp32")
    return model


def check_parity(tower: Tower, module: torch.nn.Module, model: bytes, precision: Precision) -> float:
    """The lowest cosine of a model's outputs, run in ONNX Runtime on the CPU, against the tower's `module` in torch.

    Errors: `ParityError` where it is under `LEAST_COSINE`.
    """
    from .torch_runtime import TorchRuntime

    reference, exported = TorchRuntime(module), OnnxRuntime(onnx_session(model))
    lowest = 1.0
    for seed, sizes in enumerate((tower.least(), tower.best()), start=1):
        inputs = tower.examples(sizes, seed)
        lowest = min(lowest, parity(reference.run(*inputs), exported.run(*inputs)))
    return held_to(tower.name, lowest, precision)


def parity(reference: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """The lowest cosine between rows (vectors of the last axis) of two models' outputs of the same shapes.

    Two rows of zeros agree; not-a-number agrees with nothing. Raises ValueError where shapes differ.
    """
    lowest = 1.0
    for ours, theirs in zip(reference, other, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"outputs of shapes {ours.shape} and {theirs.shape} cannot be compared")
        a = ours.reshape(-1, ours.shape[-1]).astype(np.float64)
        b = theirs.reshape(-1, theirs.shape[-1]).astype(np.float64)
        norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        both_zero = (norms[0] == 0) & (norms[1] == 0)
        cosines = np.where(both_zero, 1.0, (a * b).sum(axis=1) / np.maximum(norms[0] * norms[1], 1e-30))
        if not np.isfinite(cosines).all():
            return -1.0
        lowest = min(lowest, float(cosines.min(initial=1.0)))
    return lowest


def held_to(name: str, cosine: float, precision: Precision) -> float:
    """`cosine` where it is enough for `precision`. Errors: `ParityError` where it is not."""
    least = LEAST_COSINE[precision]
    if not cosine >= least:
        mend = {
            "fp32": "use it in torch and report this: its export computes something else",
            "half": "compile it without --half",
            "int8": "compile it without --int8",
        }[precision]
        fault = f"{name} in {precision} has a cosine of {cosine:.6f} against torch eager, under {least}"
        raise ParityError(fault, mend)
    return cosine


def _bare(proto: onnx.ModelProto) -> None:
    """Takes out what the exporter tells of its work: paths of this machine, and shapes that later passes outdate."""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]


def _told(error: BaseException) -> str:
    """What lies at the bottom of an error of the exporter, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
