"""Running a model in torch: eager, compiled by inductor, in half precision; on the CPU or a CUDA device.

Torch's number of threads is one for the whole process, so it is not set here: `torch_threads` sets it for a while.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MissingError


class TorchRuntime:
    """A module behind the protocol `Runtime`; the module that was handed in stays as it is."""

    def __init__(
        self, module: torch.nn.Module, *, device: str = "cpu", half: bool = False, compiled: bool = False
    ) -> None:
        """half: float16 weights and arithmetic; floating inputs are cast, outputs come back as float32.

        Errors: `MissingError` for a CUDA device that torch does not see, or where compiling has no compiler.
        """
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise MissingError("torch sees no CUDA device", "use the device cpu, or install the NVIDIA driver")
        if compiled:
            _check_compiler(self._device.type)
        module = copy.deepcopy(module).eval().to(self._device)
        self._half = half
        if half:
            module = module.half()
        self._module: Any = torch.compile(module) if compiled else module
        self._name = " ".join(
            ["torch", *(["compiled"] if compiled else []), *(["half"] if half else [])]
            + ([str(self._device)] if self._device.type != "cpu" else [])
        )

    @property
    def name(self) -> str:
        return self._name

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs as float32 where they are of floating point; a tuple also where the module gives one tensor."""
        given = [torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in inputs]
        if self._half:
            given = [tensor.half() if tensor.is_floating_point() else tensor for tensor in given]
        with torch.inference_mode():
            made = self._module(*given)
        outputs = (made,) if isinstance(made, torch.Tensor) else tuple(made)
        return tuple((out.float() if out.is_floating_point() else out).cpu().numpy() for out in outputs)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch computes with `count` threads while the context lasts; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_compiler(device: str) -> None:
    if device == "cuda":
        if find_spec("triton") is None:
            raise MissingError("torch.compile needs triton on a GPU, and it is not installed", "pip install triton")
        return
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"])):
        raise MissingError("torch.compile found no C++ compiler", "install g++, or run torch without compiling")
