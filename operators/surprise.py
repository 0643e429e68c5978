"""Surprise (EM-LLM): how unexpected each frame is after the last, and where that begins a new event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .shapes import sizes_of

if TYPE_CHECKING:
    from torch import Tensor

_HELD = 1 << 20
"""Values of history looked at in one go: 8 MiB of float64."""


def surprise(vectors: Tensor, window: int = 64, temperature: float = 0.1) -> Tensor:
    """How little x_t was to be expected after x_{t-1}: surprise [T], in nats, of `vectors` [T, D].

        surprise[t] = -log( exp(x_{t-1} . x_t / temperature) / sum_j exp(x_{t-1} . x_j / temperature) )

    over j = t-1-window .. t, j != t-1, from 0 on, with vectors of unit length: EM-LLM's -log p(x_t | x_<t) (Fountas et
    al. 2024, section 3.1) for streams that have no language model, where p is x_t's share among what x_{t-1} might
    have been followed by: x_t itself and the `window` frames before it.

    The value of the step t-1 -> t stands at t, so that a boundary at t means that frame t begins an event.
    surprise[0] = 0, and surprise[1] = 0, there being nothing else to expect; until `window` frames have passed the
    values rise with the number of alternatives. A zero vector is orthogonal to all. A vector with NaN is no alternative
    to any frame; the step into it and that out of it are NaN.

    The result has the input's dtype, computed in at least float32. `ValueError` for another shape, a window below 1 or
    a temperature that is not positive. O(T window D) time, O(T (window + D)) memory.
    """
    import torch  # here, not above: watching imports `segment`, which offers this file, and needs no torch
    from torch.nn import functional

    length = sizes_of("vectors[T,D]", vectors)["T"]
    if window < 1 or not temperature > 0:
        raise ValueError(f"a window of {window} and a temperature of {temperature}: at least 1, and above 0")
    if length < 2:
        return vectors.new_zeros(length)
    wide = vectors if vectors.dtype == torch.float64 else vectors.float()
    # Scaled by the largest element first: a vector's square may overflow where the vector does not.
    wide = wide / wide.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) if vectors.numel() else wide
    unit = functional.normalize(wide, dim=1) / temperature**0.5  # [T, D]
    lags = min(window, length - 2)
    score = unit.new_full((1 + lags, length), -torch.inf)  # row 0: x_t; row k: x_{t-1-k}; all against x_{t-1}
    score[0, 1:] = (unit[:-1] * unit[1:]).sum(dim=1)
    for k in range(1, lags + 1):
        score[k, k + 1 :] = (unit[k:-1] * unit[: -k - 1]).sum(dim=1)
    step = score[0].clone()
    told: Tensor = score.masked_fill(score.isnan(), -torch.inf).logsumexp(dim=0) - step  # [T]; NaN where the step is
    told[0] = 0
    return told.to(vectors.dtype)


def surprise_boundaries(surprise: Tensor, gamma: float = 1.0, window: int = 128) -> Tensor:
    """Where an event begins: bool[T], surprise[t] > mu + gamma sigma of the `window` values before t (EM-LLM, eq. 2).

    `surprise` [T] in any unit. The value itself is not in its own statistics, as in the published code (whose chunks
    are judged whole, see `surprising`); sigma is unbiased. With fewer than two values before it a frame begins nothing.
    NaN is never a boundary and counts in no statistics. float64 inside. `ValueError` for another shape or a window
    below 1. O(T window) time, memory bounded beside the T values.
    """
    import torch
    from torch.nn import functional

    length = sizes_of("surprise[T]", surprise)["T"]
    if window < 1:
        raise ValueError(f"a window of {window} holds nothing")
    padded = functional.pad(surprise.double(), (window, 0), value=torch.nan)
    history = padded.unfold(0, window, 1)[:length]  # [T, window], a view
    rows = max(1, _HELD // window)
    parts = zip(torch.split(surprise, rows), torch.split(history, rows), strict=True)
    return torch.cat([surprising(value, before, gamma) for value, before in parts])


def surprising(surprise: Tensor, history: Tensor, gamma: float = 1.0) -> Tensor:
    """Which values [T] exceed mu + gamma sigma of their histories [T, W] (or one history [1, W] for all): bool[T].

    The threshold of `surprise_boundaries`, and of the published code, which judges all values of a chunk by the history
    that ends where the chunk begins. NaN in a history is left out; with fewer than two values left, and for a value of
    NaN, the answer is no. O(T W).
    """
    import torch

    before = history.double()
    known = ~before.isnan()
    count = known.sum(dim=1)  # [T]
    mean = before.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sum(dim=1) / count
    deviation = (before - mean[:, None]).masked_fill(~known, 0.0)
    sigma = (deviation.square().sum(dim=1) / (count - 1)).sqrt()  # NaN for one value, as mean for none
    return surprise.double() > mean + gamma * sigma
