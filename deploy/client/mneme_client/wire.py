"""openpi's wire format: msgpack in which arrays and NumPy scalars are maps."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

UNSUPPORTED = "VOc"
"""Kinds that the wire does not carry: structures, Python objects, complex numbers."""


def pack(value: Any) -> bytes:
    """A value with arrays and NumPy scalars as bytes. Errors: `ValueError` or `TypeError` for what cannot be sent."""
    packed: bytes = msgpack.packb(value, default=_plain)
    return packed


def unpack(frame: bytes) -> Any:
    """The value in a frame; its arrays are read-only. Errors: `ValueError` for what is no such frame."""
    return msgpack.unpackb(frame, object_hook=_numbers)


def _plain(value: Any) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    if value.dtype.kind in UNSUPPORTED:
        raise ValueError(f"numbers of type {value.dtype} cannot be sent")
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def _numbers(entry: dict[Any, Any]) -> Any:
    if b"__ndarray__" not in entry and b"__npgeneric__" not in entry:
        return entry
    dtype = np.dtype(entry[b"dtype"])
    if dtype.kind in UNSUPPORTED:
        raise ValueError(f"numbers of type {dtype}")
    if b"__ndarray__" in entry:
        return np.ndarray(buffer=entry[b"data"], dtype=dtype, shape=entry[b"shape"])
    return dtype.type(entry[b"data"])
