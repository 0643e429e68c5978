"""ONNX files written from numpy arrays, so that exporting a network needs neither torch nor the onnx package.

An ONNX file is one protobuf message. Only the few messages that a plain network takes are written here; the field
numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Message = list[bytes]
"""A protobuf message as pieces to be joined: weights of tens of megabytes are nested without being copied."""

IR_VERSION, OPSET = 9, 20
FLOAT, INT64 = 1, 7
VARINT, BYTES, FIXED32 = 0, 2, 5


def varint(value: int) -> bytes:
    """Protobuf's base-128 integer; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> Message:
    return [varint(field << 3 | VARINT) + varint(value)]


def nested(field: int, message: Message) -> Message:
    return [varint(field << 3 | BYTES) + varint(sum(map(len, message))), *message]


def string(field: int, value: str) -> Message:
    return nested(field, [value.encode()])


def real(field: int, value: float) -> Message:
    return [varint(field << 3 | FIXED32) + np.float32(value).tobytes()]


def tensor(name: str, array: NDArray[Any]) -> Message:
    """TensorProto: float32 or int64."""
    kind = {np.dtype(np.float32): FLOAT, np.dtype(np.int64): INT64}[array.dtype]
    dims = [piece for size in array.shape for piece in integer(1, size)]
    return [*dims, *integer(2, kind), *string(8, name), *nested(9, [np.ascontiguousarray(array).tobytes()])]


def attribute(name: str, value: int | float | Sequence[int]) -> Message:
    """AttributeProto: its type numbers are 1 float, 2 int, 7 ints."""
    if isinstance(value, float):
        return [*string(1, name), *real(2, value), *integer(20, 1)]
    if isinstance(value, int):
        return [*string(1, name), *integer(3, value), *integer(20, 2)]
    return [*string(1, name), *(piece for item in value for piece in integer(8, item)), *integer(20, 7)]


def port(name: str, kind: int, shape: Iterable[int | str]) -> Message:
    """ValueInfoProto: an input or output; a named size is dynamic."""
    dims: Message = []
    for size in shape:
        dims += nested(1, string(2, size) if isinstance(size, str) else integer(1, size))
    return [*string(1, name), *nested(2, nested(1, [*integer(1, kind), *nested(2, dims)]))]


class Graph:
    """A network being written: `constant` and `op` give names of values, `model` gives the file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: Message = []
        self._constants: Message = []
        self._count = 0

    def constant(self, array: NDArray[Any]) -> str:
        """float32 or int64 weights."""
        name = self._fresh()
        self._constants += nested(5, tensor(name, array))
        return name

    def op(self, kind: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """One node of the standard operator `kind` with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: int | float | Sequence[int]) -> list[str]:
        """One node of the standard operator `kind` with several outputs."""
        names = [self._fresh() for _ in range(outputs)]
        node: Message = []
        for name in inputs:
            node += string(1, name)
        for name in names:
            node += string(2, name)
        node += string(4, kind)
        for key, value in attributes.items():
            node += nested(5, attribute(key, value))
        self._nodes += nested(1, node)
        return names

    def model(self, inputs: Sequence[Message], output: tuple[str, str], shape: Iterable[int | str]) -> Message:
        """ModelProto with float32 `output`: (value, the name it goes out under)."""
        value, name = output
        self._nodes += nested(1, [*string(1, value), *string(2, name), *string(4, "Identity")])
        ports = [piece for message in inputs for piece in nested(11, message)]
        ports += nested(12, port(name, FLOAT, shape))
        graph = [*self._nodes, *string(2, self._name), *self._constants, *ports]
        return [*integer(1, IR_VERSION), *nested(8, integer(2, OPSET)), *nested(7, graph)]

    def _fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"
