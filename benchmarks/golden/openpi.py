"""The openpi door: its frames byte for byte, and the resizing of its client."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mneme
from mneme.deploy.openpi import pack, unpack

from .compare import Arrays, Check, Params, exact

CLIENT = Path(mneme.__file__).parent / "deploy" / "client" / "mneme_client"


def resizing() -> Any:
    """The module of the thin client, which is a distribution of its own and not on the path here."""
    spec = importlib.util.spec_from_file_location("mneme_client_images", CLIENT / "images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frame(arrays: Arrays, _: Params) -> Iterator[Check]:
    """A frame read and written again is the same bytes; `bytes` is the frame as uint8[n]."""
    raw = arrays["bytes"].tobytes()
    yield exact("bytes", np.frombuffer(pack(unpack(raw)), np.uint8), arrays["bytes"])


def resize(arrays: Arrays, _: Params) -> Iterator[Check]:
    """Within one level of Pillow's bilinear with padding."""
    resize_with_pad = resizing().resize_with_pad
    for name in arrays:
        if name.startswith("resized_"):
            height, width = (int(side) for side in name.removeprefix("resized_").split("x"))
            ours = resize_with_pad(arrays["image"], height, width).astype(int)
            off = np.abs(ours - arrays[name].astype(int)) if ours.shape == arrays[name].shape else np.array([255])
            yield Check(name, bool(off.max() <= 1), f"at most {off.max()} levels off", float(off.max()))


FILES = {"openpi_obs.msgpack": frame, "openpi_reply.msgpack": frame, "openpi_resize.npz": resize}
INPUTS = {"openpi_resize.npz": ("image",)}
