"""Messages of a live stream: msgpack in, observations out, and what comes back for them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from ..errors import MnemeError
from ..records import Observation, Picture, Pose, Vector
from .openpi import unpack
from .problems import PictureError

FIELDS = ("t_ns", "images", "sound", "state", "pose", "text")
LARGEST = 50_000_000
"""Pixels of a picture, at most."""
MOST_NUMBERS = 4096
"""Of a state."""
FORMATS = ("JPEG", "PNG", "WEBP")
FULL_SCALE = 32768
"""Of int16 sound."""


def read_message(stream: str, message: bytes) -> Observation | None:
    """The observation that a message holds; None of `{"end": true}`, which ends the stream.

    Arrays come in openpi's encoding or as plain maps {data, dtype, shape}; a picture may be the bytes of a JPEG, a
    state a list of numbers, a pose [x, y, z, yaw] or a map. Errors: `MnemeError`, in one line.
    """
    fields = unpack(message)
    if not isinstance(fields, dict):
        raise MnemeError(f"the message is a {type(fields).__name__}", "send a map with t_ns")
    if fields.get("end") is True and len(fields) == 1:
        return None
    unknown = [repr(key)[:40] for key in fields if key not in FIELDS]
    if unknown:
        raise MnemeError(f"there is no field {unknown[0]}", f"it may hold {', '.join(FIELDS)}")
    t_ns = fields.get("t_ns")
    if not isinstance(t_ns, int) or isinstance(t_ns, bool):
        raise MnemeError("t_ns is missing or no whole number", "give nanoseconds since the stream's zero")
    images = fields.get("images")
    images = {} if images is None else images
    if not isinstance(images, Mapping) or not all(isinstance(camera, str) for camera in images):
        raise MnemeError("images is no map of cameras", "give {camera: JPEG bytes or uint8[H, W, 3]}")
    text = fields.get("text")
    if text is not None and not isinstance(text, str):
        raise MnemeError("text is no string", "give words, or leave it out")
    return Observation(
        stream,
        t_ns,
        images={camera: _picture(camera, value) for camera, value in images.items()},
        sound=None if fields.get("sound") is None else _sound(fields["sound"]),
        state=None if fields.get("state") is None else _numbers("state", fields["state"]),
        pose=None if fields.get("pose") is None else _pose(fields["pose"]),
        text=text,
    )


def pack_ack(acked_t_ns: int, percepts: int) -> bytes:
    """What was committed since the last acknowledgement: every percept that starts before `acked_t_ns` is durable."""
    return bytes(msgpack.packb({"acked_t_ns": acked_t_ns, "percepts": percepts}))


def pack_error(error: str) -> bytes:
    return bytes(msgpack.packb({"error": error.encode("utf-8", "replace").decode()}))


def decode_picture(data: bytes, what: str = "the picture") -> Picture:
    """The bytes of a JPEG, PNG or WebP as uint8[H, W, 3], upright. Errors: `PictureError`."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise PictureError(f"{what} has {image.width}x{image.height} pixels", f"give at most {LARGEST}")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"{what} cannot be read", "give a JPEG or PNG") from error


def picture_of_url(url: str) -> Picture:
    """A picture that stands in a data URL; no other URL is followed. Errors: `PictureError`."""
    head, comma, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise PictureError("the image is no data URL", "give data:image/jpeg;base64,...")
    try:
        picture = decode_picture(base64.b64decode(data, validate=True), "the image")
    except (binascii.Error, ValueError) as error:
        raise PictureError("the image is no base64", "give data:image/jpeg;base64,...") from error
    if min(picture.shape[:2]) < 16:
        raise PictureError("the image is smaller than 16 pixels", "give a larger one")
    return picture


def _picture(camera: str, value: Any) -> Picture:
    if isinstance(value, bytes):
        return decode_picture(value, f"the picture of camera {camera[:40]!r}")
    array = _array(f"the picture of camera {camera[:40]!r}", value)
    if array.dtype != np.uint8 or array.ndim != 3:
        raise MnemeError(
            f"the picture of camera {camera[:40]!r} is {array.dtype}{list(array.shape)}", "give uint8[H, W, 3]"
        )
    return array


def _sound(value: Any) -> Vector:
    array = _array("sound", value)
    if array.dtype == np.int16:
        return (array / np.float32(FULL_SCALE)).astype(np.float32)
    if array.dtype.kind != "f":
        raise MnemeError(f"sound is {array.dtype}", "give float32[n] or int16[n], mono at 16 kHz")
    return array.astype(np.float32)


def _numbers(what: str, value: Any) -> Vector:
    if isinstance(value, list):
        if len(value) > MOST_NUMBERS or not all(isinstance(n, int | float) for n in value):
            raise MnemeError(f"{what} is no list of numbers", f"give at most {MOST_NUMBERS}")
        array: NDArray[Any] = np.array(value, dtype=np.float64)
    else:
        array = _array(what, value)
    if array.dtype.kind not in "fiu" or array.ndim != 1 or len(array) > MOST_NUMBERS:
        raise MnemeError(f"{what} is {array.dtype}{list(array.shape)}", f"give at most {MOST_NUMBERS} numbers")
    numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise MnemeError(f"{what} holds what is not a number", "give finite numbers")
    return numbers


def _pose(value: Any) -> Pose:
    if isinstance(value, Mapping) and not {"data", b"data"} & set(value):
        if not {"x", "y", "z", "yaw"} <= set(value) <= {"x", "y", "z", "yaw", "spread"}:
            raise MnemeError("pose lacks a part", "give {x, y, z, yaw, spread} in metres and radians")
        value = [value["x"], value["y"], value["z"], value["yaw"], value.get("spread", 0.0)]
    numbers = [float(n) for n in _numbers("pose", value)]
    if len(numbers) not in (4, 5):
        raise MnemeError(f"pose has {len(numbers)} numbers", "give [x, y, z, yaw] or [x, y, z, yaw, spread]")
    return Pose(*numbers)


def _array(what: str, value: Any) -> NDArray[Any]:
    """An array, decoded already (openpi's encoding) or a plain map {data, dtype, shape}."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Mapping) or set(value) != {"data", "dtype", "shape"}:
        raise MnemeError(f"{what} is a {type(value).__name__}", "give an array as {data, dtype, shape}")
    data, shape = value["data"], value["shape"]
    try:
        dtype = np.dtype(value["dtype"])
        if dtype.kind not in "fiub" or not isinstance(data, bytes):
            raise ValueError("the wrong kind of numbers")
        if not isinstance(shape, list) or len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError("no shape")
        return np.frombuffer(data, dtype=dtype).reshape(shape)
    except (TypeError, ValueError) as error:
        raise MnemeError(f"{what} is no array: {error}", "give {data: bytes, dtype: '<f4', shape: [n]}") from error
