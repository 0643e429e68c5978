"""Lower precisions of an ONNX model: weights in half, all of it in half, integers of eight bits.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(arXiv:1712.05877), as onnxruntime.quantization has it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1024
"""Weights with fewer elements stay as they are: nothing is gained."""
HALF_MOST = float(np.finfo(np.float16).max)


def half_weights(model: bytes) -> bytes:
    """Weights kept as float16 and widened as the session loads: half the bytes, arithmetic and speed of fp32.

    For the CPU, which has no arithmetic in half. Weights beyond the range of float16 stay as they are.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    proto = onnx.load_from_string(model)
    casts = []
    for weight in proto.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.size < SMALLEST or np.abs(values).max() > HALF_MOST:
            continue
        name = weight.name
        narrow = f"{name}_half"
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), narrow))
        casts.append(helper.make_node("Cast", [narrow], [name], to=TensorProto.FLOAT))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(casts + nodes)  # a node stands before those that use it
    return bytes(proto.SerializeToString())


def half_arithmetic(model: bytes) -> bytes:
    """Weights and arithmetic in float16, inputs and outputs as they were: for a GPU."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
    return bytes(proto.SerializeToString())


def int8(model: bytes, calibration: Sequence[Mapping[str, NDArray[Any]]] = ()) -> bytes:
    """Eight-bit weights and activations.

    With `calibration` (batches of inputs by name) the scales of activations are fixed from these (for convolutions
    and TensorRT); without, they are taken from each batch as it comes, and matrix products alone are quantised.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, ready, made = (Path(folder, f"{name}.onnx") for name in ("source", "ready", "made"))
        source.write_bytes(model)
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        if calibration:
            quantize_static(
                ready,
                made,
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},  # what TensorRT takes
            )
        else:
            quantize_dynamic(
                ready, made, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
            )
        return made.read_bytes()


def mostly_convolutions(model: bytes) -> bool:
    """Whether a model has more convolutions than matrix products."""
    import onnx

    kinds = [node.op_type for node in onnx.load_from_string(model).graph.node]
    return kinds.count("Conv") > kinds.count("MatMul") + kinds.count("Gemm")


class _Reader:
    """Batches as onnxruntime.quantization reads them (its CalibrationDataReader, by form)."""

    def __init__(self, batches: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        found = next(self._left, None)
        return None if found is None else dict(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime.quantization speaks through the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
