"""What a recording knows beyond its rows where its last closed event ends: what going on from there needs to be exact.

    tokens/<hash of the stream>-<hash of the bytes>.safetensors

A detector of boundaries weighs what comes against what came, the frames of an event that was closed long ago among
them, and most of these are not stored. So what it knows when it tells a cut stands in a file that the commit which
closes the event there names (`ledger.StreamState.checkpoint`), as that of long-term memory does: vectors in arrays, all
else in the header as JSON. The one before goes. It is written at every end of an event, so it is not flushed to the
disk; a power failure may tear it, and its name tells. Without it (a memory of an earlier release, another detector, a
file that is torn or gone) a recording goes on all the same, with a detector that begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import token_state
from .erased import Erased
from .ledger import StreamState
from .whereabouts import Left

_FORMAT = "mneme checkpoint 1"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a recording knew when it was told of a cut."""

    cut_ns: int
    boundaries: Mapping[str, Any] = field(default_factory=dict)
    """`boundaries.Lasting.state`."""
    left: Left = Left()


def save(root: Path, stream: str, checkpoint: Checkpoint) -> str:
    """Writes it and gives its path inside the memory. Raises `OSError`."""
    from safetensors.numpy import save as to_bytes

    known = checkpoint.boundaries
    arrays = {name: np.ascontiguousarray(value) for name, value in known.items() if isinstance(value, np.ndarray)}
    header = {
        "format": _FORMAT,
        "cut_ns": checkpoint.cut_ns,
        "boundaries": {name: value for name, value in known.items() if name not in arrays},
        "left": asdict(checkpoint.left),
    }
    told = json.dumps(header, ensure_ascii=False, sort_keys=True)
    return token_state.write(root, stream, to_bytes(arrays, {"mneme": told}), flushed=False)


def load(root: Path, state: StreamState) -> Checkpoint | None:
    """What the state names; None where it names none, or none of its last closed event that can be read."""
    from safetensors import SafetensorError, safe_open

    if state.checkpoint is None:
        return None
    try:
        if not token_state.is_whole(root, state.checkpoint):
            return None
        with safe_open(root / state.checkpoint, framework="numpy") as file:
            header = json.loads(file.metadata()["mneme"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        found = Checkpoint(header["cut_ns"], header["boundaries"] | arrays, Left(**header["left"]))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return None
    return found if header["format"] == _FORMAT and found.cut_ns == state.closed_ns else None


def without(states: Mapping[str, StreamState], spans: Iterable[Erased]) -> dict[str, StreamState]:
    """The states without checkpoints of sources of which something is erased; their files are swept as nobody's."""
    gone = list(spans)

    def bare(state: StreamState) -> StreamState:
        known = None if any(span.concerns(state.stream) for span in gone) else state.checkpoint
        return replace(state, checkpoint=known, successor=None if state.successor is None else bare(state.successor))

    return {name: bare(state) for name, state in states.items()}
