"""Memory tokens as a file: an .npz that `numpy.load` reads without pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from ..errors import MnemeError
from ..records import MemoryTokens


def writable(path: Path) -> Path:
    """The absolute path of a file that can be written there. Errors: `MnemeError`, before any work is done."""
    target = path.absolute()
    if target.is_dir():
        raise MnemeError(f"{path} is a folder", "give the path of a file, e.g. tokens.npz")
    if not target.parent.is_dir():
        raise MnemeError(f"there is no folder {target.parent}", "make it, or give another path")
    return target


def write(path: Path, tokens: MemoryTokens) -> None:
    """Writes `tokens, mask, tier, t_ns, place, source, lane, space`; a file that is there is replaced in one step.

    tokens float32[n, d], mask bool[n], t_ns int64[n]; tier and place are unicode[n] (a place that is not known is ""),
    source is unicode[n] of JSON `[[event, share], ...]`; lane and space are one word each. Errors: `MnemeError`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:  # a file, not a path: numpy would add an ending to that
            np.savez(
                file,
                tokens=tokens.tokens,
                mask=tokens.mask,
                tier=np.array(tokens.tier, dtype=np.str_),
                t_ns=tokens.t_ns,
                place=np.array([place or "" for place in tokens.place], dtype=np.str_),
                source=np.array([json.dumps(source, ensure_ascii=False) for source in tokens.source], dtype=np.str_),
                lane=np.array(tokens.lane),
                space=np.array(tokens.space),
            )
        beside.replace(path)
    except OSError as error:
        raise MnemeError(f"cannot write {path}: {error.strerror or error}", "give another path") from error
    finally:
        beside.unlink(missing_ok=True)
