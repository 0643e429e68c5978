"""The file of a tower that ships: folded weights as safetensors, what the network is in its metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingError

Weights = dict[str, NDArray[np.float32]]
T = TypeVar("T")


def read_folded(path: Path, what: str, trainer: str, make: Callable[[Weights, str], T]) -> tuple[T, str]:
    """(what `make` makes of the weights and the configuration, SHA-256 of the file).

    what: "image tower". trainer: the command that writes such a file. make: may raise KeyError, TypeError or
    ValueError of what is none. Errors: `MissingError` where there is no file, or another.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        mend = f"reinstall mneme, or train them: {trainer}"
        raise MissingError(f"the {what}'s weights {path} are not there", mend)
    try:
        with safe_open(path, framework="numpy") as file:
            weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
            made = make(weights, file.metadata()["config"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise MissingError(f"{path} holds no {what}: {error}", "train it again or reinstall") from error
    return made, hashlib.sha256(path.read_bytes()).hexdigest()
