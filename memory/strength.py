"""How strong a memory is now: the decay laws of `operators/decay.py` over the columns of a row.

A row keeps what happened to it (`strength`, `recalls`, `recalled_ns`), not how much is left of it: that is computed
when it is asked for, so that time costs no writing. It decays since it was last recalled, else since it was perceived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..records import NS_PER_S
from .ledger import StreamState

Law = Literal["ebbinghaus", "act-r", "age"]
LAWS: tuple[Law, ...] = get_args(Law)
DAY_S = 86_400.0
LIFE = ("stream", "t1_ns", "strength", "recalls", "recalled_ns")
"""The columns that a strength is computed from."""


def check_law(law: str) -> None:
    """`SettingsError` of a law that there is not."""
    if law not in LAWS:
        raise SettingsError(f"there is no law of decay {law!r}", f"it is one of {', '.join(LAWS)}")


def strengths(rows: Any, states: Mapping[str, StreamState], now_ns: int, law: Law) -> NDArray[np.float64]:
    """What is left of each row of a `pyarrow.Table` with the columns `LIFE`, float64[n]: more is stronger.

    Only the order counts, and only within one law: "ebbinghaus" is ln exp(-t / S) with t in days and S the row's
    strength (MemoryBank); "act-r" the base-level activation with the last use and the number of uses; "age" HEMA's
    weight by age in hours, those recalled within a day favoured. A stream whose clock is unknown counts as watched just
    now, up to where it is stored.
    """
    import torch

    from ..operators import decay

    streams = rows["stream"].combine_chunks().dictionary_encode()
    names = streams.dictionary.to_pylist()
    zero = np.array([_zero(states.get(name), now_ns) for name in names] or [0], np.int64)
    born = zero[streams.indices.to_numpy(zero_copy_only=False)] + rows["t1_ns"].to_numpy()
    used = rows["recalled_ns"].fill_null(np.iinfo(np.int64).min).to_numpy()
    life_s = np.maximum(now_ns - born, 0) / NS_PER_S
    since_s = np.maximum(now_ns - np.maximum(born, used), 0) / NS_PER_S
    strength = np.maximum(rows["strength"].to_numpy().astype(np.float64), 1e-6)
    if law == "ebbinghaus":
        return np.asarray(-(since_s / DAY_S) / strength, np.float64)
    if law == "act-r":
        uses = torch.from_numpy(rows["recalls"].to_numpy().astype(np.float64) + 1.0)
        recent = torch.from_numpy(since_s)[:, None]
        lifetime = torch.from_numpy(np.maximum(life_s, since_s))
        level = decay.recent_activation(recent, uses, lifetime).numpy() + np.log(strength)
        return np.asarray(level, np.float64)
    recalled = torch.from_numpy((rows["recalls"].to_numpy() > 0) & (since_s < DAY_S))
    weights = decay.age_weights(torch.from_numpy(since_s / 3600.0), recalled).numpy() * strength
    return np.asarray(weights, np.float64)


def _zero(state: StreamState | None, now_ns: int) -> int:
    """Wall-clock time of a stream's zero, as well as it is known."""
    if state is None:
        return now_ns
    return state.stream.epoch_ns or now_ns - state.seen_ns
