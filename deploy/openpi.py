"""openpi's wire: msgpack in which arrays and NumPy scalars are maps, and what an observation holds for a memory."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from ..errors import MnemeError
from ..records import Picture, Vector

log = logging.getLogger(__name__)

UNSUPPORTED = "VOc"
"""Kinds of numbers that the wire does not carry: structures, Python objects, complex numbers."""
MOST_ENTRIES = 1 << 17
"""Entries of one list or map: more is no observation, and costs seconds to read."""
MOST_NUMBERS = 4096
"""Of a state."""
MOST_SECONDS = 9e9
"""Times beyond are no nanoseconds of 64 bits."""
MEMORY = "memory/"
"""What stands before the keys that are for the memory; no policy gets them."""
KEYS = ("budget", "query", "stream", "reset", "ask", "t_ns", "forget")
FORGET: Mapping[str, type] = {"stream": str, "t0_s": float, "t1_s": float, "event": str, "place": str, "text": str}
"""What may be asked to be forgotten, as `mneme forget` and POST /v1/forget name it."""


def pack(value: Any) -> bytes:
    """A value, arrays and NumPy scalars included, as openpi's clients and servers write it.

    Errors: `ValueError` for complex numbers, structures and Python objects in arrays; `TypeError` for other types.
    """
    packed: bytes = msgpack.packb(value, default=_plain)
    return packed


def unpack(frame: bytes) -> Any:
    """What stands in a frame; arrays share its bytes and are read-only. Errors: `MnemeError` for another frame."""
    try:
        return msgpack.unpackb(
            frame, object_hook=_numbers, max_array_len=MOST_ENTRIES, max_map_len=MOST_ENTRIES, max_ext_len=0
        )
    except (ValueError, TypeError, RecursionError, OverflowError) as error:  # msgpack's own errors are ValueErrors
        fault = str(error) or type(error).__name__
        raise MnemeError(
            f"this frame is not openpi's msgpack: {fault}", "send a map as openpi-client packs it"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind in UNSUPPORTED:
            raise ValueError(f"numbers of type {value.dtype} cannot be sent")
        if isinstance(value, np.ndarray):
            return {
                b"__ndarray__": True,
                b"data": value.tobytes(),
                b"dtype": value.dtype.str,
                b"shape": value.shape,
            }
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _numbers(entry: dict[Any, Any]) -> Any:
    if b"__ndarray__" in entry:
        data, shape = entry.get(b"data"), entry.get(b"shape")
        dtype = _dtype(entry.get(b"dtype"))
        if not isinstance(data, bytes) or not isinstance(shape, list) or not all(_is_count(n) for n in shape):
            raise ValueError("an array without bytes or without a shape")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {len(data)} bytes for {dtype.str}{shape}")
        return np.frombuffer(data, dtype).reshape(shape) if len(data) else np.zeros(shape, dtype)
    if b"__npgeneric__" in entry:
        return _dtype(entry.get(b"dtype")).type(entry.get(b"data"))
    return entry


def _dtype(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str):
        raise ValueError("numbers without a type")
    dtype = np.dtype(name)
    if dtype.kind in UNSUPPORTED or not dtype.itemsize:
        raise ValueError(f"numbers of type {name}")
    return dtype


def _is_count(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One message of a client: an observation, and what is asked of the memory."""

    observation: dict[str, Any]
    """Without the keys that are for the memory: what a policy gets. Empty: there is nothing to remember."""
    images: Mapping[str, Picture] = field(default_factory=dict)
    state: Vector | None = None
    prompt: str | None = None
    budget: int | None = None
    query: str | Picture | None = None
    stream: str | None = None
    reset: bool = False
    ask: str | None = None
    t_ns: int | None = None
    forget: Mapping[str, Any] | None = None
    """Some of `FORGET`."""
    plain: bool = True
    """Whether nothing in it was for the memory: a policy may get it as it came."""


def read_request(message: Any) -> Request:
    """What an unpacked message asks for. Errors: `MnemeError` naming the key that is wrong."""
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise MnemeError("a message is not a map with names as keys", "send an observation")
    own = {key.removeprefix(MEMORY): value for key, value in message.items() if key.startswith(MEMORY)}
    observation = {key: value for key, value in message.items() if not key.startswith(MEMORY)}
    for key in own:
        if key not in KEYS:
            raise MnemeError(f"there is no key {MEMORY}{key}", f"choose from {', '.join(MEMORY + k for k in KEYS)}")
    budget, query, stream, reset, ask, t_ns, forget = (own.get(key) for key in KEYS)
    _expect("t_ns", t_ns is None or _is_whole(t_ns), t_ns, "whole nanoseconds")
    _expect("budget", budget is None or _is_whole(budget), budget, "a whole number of tokens")
    _expect("query", query is None or isinstance(query, str | np.ndarray), query, "words, or a picture uint8[H, W, 3]")
    _expect("query", query is None or budget is not None, query, f"it together with {MEMORY}budget")
    _expect("stream", stream is None or isinstance(stream, str), stream, "the name of a stream, or * for all")
    _expect("ask", ask is None or isinstance(ask, str), ask, "a question in words")
    _expect("reset", reset is None or isinstance(reset, bool | np.bool_), reset, "true or false")
    _expect("forget", forget is None or _is_target(forget), forget, f"a map of some of {', '.join(FORGET)}")
    flat = dict(_flat(observation, ()))
    prompt = observation.get("prompt")
    _expect("prompt", prompt is None or isinstance(prompt, str), prompt, "words", "")
    return Request(
        observation=observation,
        images=_cameras(flat),
        state=_state(flat),
        prompt=str(prompt) if prompt is not None else None,
        budget=None if budget is None else int(budget),
        query=query,
        stream=stream,
        reset=bool(reset),
        ask=ask,
        t_ns=None if t_ns is None else int(t_ns),
        forget=forget,
        plain=not own,
    )


def _expect(key: str, fine: bool, value: Any, wanted: str, before: str = MEMORY) -> None:
    if not fine:
        raise MnemeError(f"{before}{key} is {_named(value)}", f"give {wanted}")


def _named(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return f"{type(value).__name__} {value!r}"[:60]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and abs(int(value)) < 1 << 63


def _is_target(value: Any) -> bool:
    def fits(given: Any, kind: type) -> bool:
        if kind is float:
            return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < MOST_SECONDS
        return isinstance(given, kind)

    return isinstance(value, dict) and all(key in FORGET and fits(value[key], FORGET[key]) for key in value)


Path = tuple[str, ...]


def _flat(entry: Mapping[Any, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    """Nested maps as paths: `observation/state`, `observation.state` and {observation: {state}} are one."""
    for key, value in entry.items():
        path = (*above, *(part for part in re.split(r"[/.]", str(key)) if part))
        if isinstance(value, dict):
            yield from _flat(value, path)
        elif path:
            yield path, value


def _cameras(flat: Mapping[Path, Any]) -> dict[str, Picture]:
    """camera -> uint8[H, W, 3]: what stands under `images`, or has `image` in its name.

    A depth map or a mask ([H, W], [H, W, 1], true or false) is no picture: a policy may get it, a memory does not.
    """
    cameras = {}
    for path, value in flat.items():
        if "images" not in path and "image" not in path[-1].split("_"):
            continue
        name = "/".join(part for part in path if part not in ("observation", "images")) or path[-1]
        key = "/".join(path)
        if not isinstance(value, np.ndarray):
            if path[-1].endswith("image") or isinstance(value, bytes):
                raise MnemeError(f"{key} is {_named(value)}", "give a picture uint8[H, W, 3] or uint8[3, H, W]")
            continue
        if value.dtype.kind == "b" or value.ndim == 2 or (value.ndim == 3 and 1 in (value.shape[0], value.shape[2])):
            log.debug("%s is no picture: %s", key, _named(value))
            continue
        cameras[name] = _picture(key, value)
    return cameras


def _picture(key: str, value: NDArray[Any]) -> Picture:
    """uint8[H, W, 3] of a picture as policies send them: rows or colours first, bytes or floats in [0, 1]."""
    if value.ndim == 3 and value.shape[2] != 3 and value.shape[0] == 3:
        value = value.transpose(1, 2, 0)
    if value.ndim != 3 or value.shape[2] != 3 or (value.dtype != np.uint8 and value.dtype.kind != "f"):
        raise MnemeError(f"{key} is {_named(value)}", "give a picture uint8[H, W, 3] or uint8[3, H, W]")
    if value.dtype.kind == "f":
        if value.size and not (value.min() >= 0 and value.max() <= 1):  # false where one is not a number, too
            raise MnemeError(f"{key} holds numbers outside 0 to 1", "give such a picture as uint8")
        value = (value * 255).astype(np.uint8)
    return np.ascontiguousarray(value)


def _state(flat: Mapping[Path, Any]) -> Vector | None:
    """float32[n]: the numbers of `state` and of what ends in `position`, in the order of their keys; None without."""
    parts = []
    for path in sorted(flat):
        if path[-1].split("_")[-1] not in ("state", "position"):
            continue
        value = flat[path]
        try:
            numbers = np.asarray(value).astype(np.float32).ravel()
        except (ValueError, TypeError, OverflowError):
            numbers = np.array([np.nan], np.float32)
        if isinstance(value, str | bytes) or not np.isfinite(numbers).all():
            raise MnemeError(f"{'/'.join(path)} is {_named(value)}", "give finite numbers")
        parts.append(numbers)
    state = np.concatenate(parts) if parts else None
    if state is not None and len(state) > MOST_NUMBERS:
        raise MnemeError(f"the state has {len(state)} numbers", f"give at most {MOST_NUMBERS}")
    return state
