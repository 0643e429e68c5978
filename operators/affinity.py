"""Reading a memory by affinity: the anisotropic L2 similarity, top-k softmax and readout of XMem and Cutie.

XMem (Cheng and Schwing, ECCV 2022, equations 1 to 4); Cutie (Cheng et al., CVPR 2024) reads alike. N keys, Q queries,
C channels of a key, V of a value. S_qn = -(s_n / sqrt C) sum_c e_qc (k_nc - q_qc)^2, with shrinkage s and selection e.

The similarity does not change when keys and queries move together, so both are taken about the queries' median before
the square is expanded into one product of [e, -2 e q, sum e q^2] with s [k^2, k, 1]: keys near a query then keep their
digits, which the published expansion about zero loses. Scores and softmax are of at least float32 whatever the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .largest import largest
from .shapes import sizes_of

_TILE = 1 << 22
"""Scores held at once: 16 MiB of float32."""
_KEYS = 1 << 15
"""Keys looked at in one go."""
_PIECE = 1 << 12
"""Keys prepared in one go."""


class Affinity(NamedTuple):
    """Which memory tokens each query reads, and with what weight."""

    indices: Tensor
    """int64[Q, K], the best first."""
    weights: Tensor
    """[Q, K], summing to 1; all 0 where a query has nothing to read."""


def similarity(key: Tensor, query: Tensor, shrinkage: Tensor | None = None, selection: Tensor | None = None) -> Tensor:
    """Anisotropic L2 similarity [Q, N] of `key` [N, C] with `query` [Q, C] (XMem, equation 2), of the keys' dtype.

    `shrinkage` [N] scales a key's distances, `selection` [Q, C] a query's channels; each is 1 where it is not given.
    O(Q N C). NaN in a key, a query or their scales gives NaN in their scores. Raises `ValueError` for other shapes.
    """
    _check(key, query, shrinkage, selection)
    centre = _centre(query)
    return (_of_queries(query, selection, centre) @ _of_keys(key, shrinkage, centre).T).to(key.dtype)


def top_k_affinity(similarity: Tensor, top_k: int | None = 30) -> Affinity:
    """Softmax over the `top_k` most similar tokens of each query (XMem, section 3.3); None takes them all.

    `similarity` [Q, N] gives K = min(top_k, N). The largest score is subtracted first, so that no scale overflows, in
    half precision neither. Of equal scores the earlier token is read. A score of NaN or minus infinity has weight 0; a
    query that has no other reads nothing. O(Q N).
    """
    sizes = sizes_of("similarity[Q,N]", similarity)
    if top_k is not None and top_k < 0:
        raise ValueError(f"top_k = {top_k} is negative")
    return _softmax(*largest(similarity, sizes["N"] if top_k is None else top_k), similarity.dtype)


def read(value: Tensor, affinity: Affinity) -> Tensor:
    """Readout [Q, V] (XMem, equation 1): the weighted sum of what each query reads of `value` [N, V]. O(Q K V).

    A query that reads nothing gets 0.
    """
    sizes = sizes_of("value[N,V] indices[Q,K] weights[Q,K]", value, affinity.indices, affinity.weights)
    indices, weights = affinity
    if torch.compiler.is_exporting():
        return torch.einsum("qk,qkv->qv", weights.to(value.dtype), value[indices])
    if not (sizes["N"] and sizes["Q"] and sizes["K"]):
        return value.new_zeros(sizes["Q"], sizes["V"])
    if value.dtype in (torch.float32, torch.float64):
        out = functional.embedding_bag(indices, value, per_sample_weights=weights.to(value.dtype), mode="sum")
    else:
        rows = max(1, _TILE // (sizes["K"] * sizes["V"]))
        pieces = zip(torch.split(indices, rows), torch.split(weights, rows), strict=True)
        out = torch.cat([torch.einsum("qk,qkv->qv", w.float(), value[i].float()) for i, w in pieces]).to(value.dtype)
    nothing = (weights == 0).all(dim=1, keepdim=True)
    return out.masked_fill(nothing, 0) if bool(nothing.any()) else out  # 0 times NaN is not nothing


def usage(affinity: Affinity, n: int) -> Tensor:
    """How much each of `n` tokens was read, [n]: its weights summed over the queries (XMem, section 3.4). O(Q K)."""
    sizes_of("indices[Q,K] weights[Q,K]", *affinity)
    weights = affinity.weights.flatten()
    total = weights.new_zeros(n, dtype=torch.promote_types(weights.dtype, torch.float32))
    return total.index_add_(0, affinity.indices.flatten(), weights.to(total.dtype)).to(weights.dtype)


def readout(
    key: Tensor,
    value: Tensor,
    query: Tensor,
    shrinkage: Tensor | None = None,
    selection: Tensor | None = None,
    top_k: int | None = 30,
) -> Tensor:
    """`attend` in three plain steps that hold all Q N scores: what is exported to ONNX, what `attend` must equal."""
    return read(value, top_k_affinity(similarity(key, query, shrinkage, selection), top_k))


def attend(
    key: Tensor,
    value: Tensor,
    query: Tensor,
    shrinkage: Tensor | None = None,
    selection: Tensor | None = None,
    top_k: int | None = 30,
) -> Tensor:
    """The whole readout [Q, V] of `value` [N, V], without ever holding the Q N scores.

    Keys come in blocks; of each only the best so far are kept (`top_k`), or sums under a running maximum (None; online
    softmax, Milakov and Gimelshein 2018). O(Q N C + Q K V) time; beside inputs and output some 40 MiB, whatever N.
    Ties, NaN, N = 0 and K > N as in `top_k_affinity`. Differentiable, at the memory of `readout`.
    """
    sizes = _check(key, query, shrinkage, selection)
    sizes_of("key[N,C] value[N,V]", key, value)
    tensors = [t for t in (key, value, query, shrinkage, selection) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return readout(key, value, query, shrinkage, selection, top_k)
    centre = _centre(query)
    held = centre.new_empty(min(len(key), _KEYS), 2 * sizes["C"] + 1)

    def features(start: int, stop: int) -> Tensor:
        s = None if shrinkage is None else shrinkage[start:stop]
        return _lay_out(key[start:stop], s, centre, held[: stop - start])

    return _attend(features, sizes["N"], value, _of_queries(query, selection, centre), top_k)


class CachedKeys:
    """Keys whose half of the similarity is computed once, for a store that is read far more often than written.

    It holds [N, 2 C + 1] numbers, with room to grow, so that appending is O(new) on average where concatenation is
    O(N). `attend` is then one product and one search a block of keys.
    """

    def __init__(self, key: Tensor, shrinkage: Tensor | None = None) -> None:
        """`key` [N, C], N > 0 or not; `shrinkage` [N]."""
        sizes_of("key[N,C] shrinkage[N]", key, shrinkage)
        self.dtype = key.dtype
        self._centre = _centre(key)
        self._held = self._centre.new_empty(len(key), 2 * len(self._centre) + 1)
        self._count = len(key)
        _lay_out(key, shrinkage, self._centre, self._held)

    def __len__(self) -> int:
        return self._count

    def append(self, key: Tensor, shrinkage: Tensor | None = None) -> None:
        """Add `key` [M, C] after those held. O(M C) on average."""
        sizes_of(f"key[M,{len(self._centre)}] shrinkage[M]", key, shrinkage)
        count = self._count + len(key)
        if count > len(self._held):
            grown = self._held.new_empty(max(count, 2 * self._count), self._held.shape[1])
            grown[: self._count] = self._held[: self._count]
            self._held = grown
        _lay_out(key, shrinkage, self._centre, self._held[self._count : count])
        self._count = count

    def keep(self, indices: Tensor) -> None:
        """Hold only these, in this order: int64[K]."""
        sizes_of("indices[K]", indices)
        self._held = self._held[: self._count][indices]
        self._count = len(self._held)

    def similarity(self, query: Tensor, selection: Tensor | None = None) -> Tensor:
        """As the function of that name, [Q, N]."""
        self._check(query, selection)
        scores = _of_queries(query, selection, self._centre) @ self._held[: self._count].T
        return scores.to(self.dtype)

    def attend(self, value: Tensor, query: Tensor, selection: Tensor | None = None, top_k: int | None = 30) -> Tensor:
        """As the function of that name, [Q, V]."""
        self._check(query, selection)
        sizes_of(f"value[{self._count},V]", value)
        queries = _of_queries(query, selection, self._centre)
        return _attend(lambda start, stop: self._held[start:stop], self._count, value, queries, top_k)

    def _check(self, query: Tensor, selection: Tensor | None) -> None:
        sizes_of(f"query[Q,{len(self._centre)}] selection[Q,{len(self._centre)}]", query, selection)


def _check(key: Tensor, query: Tensor, shrinkage: Tensor | None, selection: Tensor | None) -> dict[str, int]:
    return sizes_of("key[N,C] query[Q,C] shrinkage[N] selection[Q,C]", key, query, shrinkage, selection)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _centre(rows: Tensor) -> Tensor:
    """A point [C] amid the rows [R, C]: their median, which neither NaN nor an outlier moves."""
    if not torch.compiler.is_exporting() and not len(rows):
        return _wide(rows.new_zeros(rows.shape[1]))
    if torch.compiler.is_exporting():
        return _wide(rows).mean(dim=0)
    return _wide(rows).nanmedian(dim=0).values.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _of_keys(key: Tensor, shrinkage: Tensor | None, centre: Tensor) -> Tensor:
    """s [k^2, k, 1], [N, 2 C + 1]."""
    k = _wide(key) - centre
    features = torch.cat([k * k, k, torch.ones_like(k[:, :1])], dim=1)
    return features if shrinkage is None else features * _wide(shrinkage).unsqueeze(1)


def _lay_out(key: Tensor, shrinkage: Tensor | None, centre: Tensor, out: Tensor) -> Tensor:
    """`_of_keys` written into `out`, in pieces that stay in the processor's cache."""
    channels = len(centre)
    for start in range(0, len(key), _PIECE):
        piece, s = out[start : start + _PIECE], None if shrinkage is None else shrinkage[start : start + _PIECE]
        square, plain = piece[:, :channels], piece[:, channels:-1]
        torch.sub(key[start : start + _PIECE], centre, out=plain)
        torch.mul(plain, plain, out=square)
        piece[:, -1] = 1
        if s is not None:
            piece *= s.unsqueeze(1)
    return out


def _of_queries(query: Tensor, selection: Tensor | None, centre: Tensor) -> Tensor:
    """-(1 / sqrt C) [e, -2 e q, sum e q^2], [Q, 2 C + 1]."""
    q = _wide(query) - centre
    e = torch.ones_like(q) if selection is None else _wide(selection)
    features = torch.cat([e, -2 * e * q, (e * q * q).sum(dim=1, keepdim=True)], dim=1)
    return features * (-1 / math.sqrt(query.shape[1]))


def _softmax(values: Tensor, indices: Tensor, dtype: torch.dtype) -> Affinity:
    """The affinity of the best scores [Q, K], best first."""
    if not values.shape[1]:
        return Affinity(indices, values.to(dtype))
    scores = _wide(values)
    lost = scores == -math.inf
    weights = torch.softmax(scores.masked_fill(lost, torch.finfo(scores.dtype).min), dim=1).masked_fill(lost, 0)
    return Affinity(torch.where(lost, indices[:, :1], indices), weights.to(dtype))


def _tiles(features: Callable[[int, int], Tensor], n: int, queries: Tensor) -> Iterator[tuple[int, int, int, Tensor]]:
    """Scores in tiles: the first key, the queries from and to, their scores [queries, keys] in a shared buffer."""
    step = max(1, min(len(queries), _TILE // max(1, min(n, _KEYS))))
    buffer = queries.new_empty(step * min(n, _KEYS))
    for first in range(0, n, _KEYS):
        block = features(first, min(first + _KEYS, n))
        for start in range(0, len(queries), step):
            rows = queries[start : start + step]
            scores = buffer[: len(rows) * len(block)].view(len(rows), len(block))
            yield first, start, start + len(rows), torch.mm(rows, block.T, out=scores)


def _attend(
    features: Callable[[int, int], Tensor], n: int, value: Tensor, queries: Tensor, top_k: int | None
) -> Tensor:
    if top_k is None:
        return _attend_all(features, n, value, queries)
    if top_k < 0:
        raise ValueError(f"top_k = {top_k} is negative")
    count = min(top_k, n)
    best = queries.new_full((len(queries), count), -math.inf)
    where = torch.zeros(len(queries), count, dtype=torch.int64, device=queries.device)
    for first, start, stop, scores in _tiles(features, n, queries):
        values, indices = largest(scores, count)
        if first:  # those of earlier keys stand first, so that a stable sort leaves them before their equals
            both = torch.cat([best[start:stop], values], dim=1)
            values, order = both.sort(dim=1, descending=True, stable=True)
            indices = torch.cat([where[start:stop], indices + first], dim=1).gather(1, order)
        best[start:stop, : values.shape[1]] = values[:, :count]
        where[start:stop, : values.shape[1]] = indices[:, :count]
    return read(value, _softmax(best, where, best.dtype))


def _attend_all(features: Callable[[int, int], Tensor], n: int, value: Tensor, queries: Tensor) -> Tensor:
    """The readout over every key: sums of exp(S - top) and of the values under them, rescaled as the top rises."""
    total = queries.new_zeros(len(queries), 1)
    out = queries.new_zeros(len(queries), value.shape[1])
    top = queries.new_full((len(queries), 1), torch.finfo(queries.dtype).min)
    for first, start, stop, scores in _tiles(features, n, queries):
        scores.nan_to_num_(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        risen = torch.maximum(top[start:stop], scores.amax(dim=1, keepdim=True))
        weights = scores.sub_(risen).exp_()
        fade = (top[start:stop] - risen).exp_()
        total[start:stop] = total[start:stop] * fade + weights.sum(dim=1, keepdim=True)
        read_here = weights @ value[first : first + weights.shape[1]].to(weights.dtype)
        out[start:stop] = out[start:stop] * fade + read_here
        top[start:stop] = risen
    return torch.where(total > 0, out / total, 0).to(value.dtype)
