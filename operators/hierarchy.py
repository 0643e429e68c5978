"""Hierarchical chunk attention (HCAM): choose a few chunks of a memory by their summaries, then look inside those."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .positions import sine_encoding
from .shapes import sizes_of


class HierarchicalAttention(nn.Module):
    """Two steps of attention over a memory kept in chunks, the second inside the best `top_k` chunks alone.

    Lampinen, Chan, Banino and Hill 2021, "Towards mental time travel: a hierarchical memory for reinforcement learning
    agents", figure 1c (HCAM); the hierarchical read of Cho, Yoon and Ahn 2024, "Spatially-Aware Transformer for
    Embodied Agents" (SAT), whose chunks are places.

    With s_m the summary of chunk m (the mean of its tokens, or a key that is given) and q a query,

        r_m = (W_q' q + b) . (W_k' s_m + b) / sqrt(dim),    p = softmax of the top_k largest r,
        out = sum_m p_m MHA(q, chunk m, chunk m),

    where MHA is multi-head attention inside the chunk, with `positions` on its tokens: sines that count down to 0, its
    newest. The keys inside a chunk have no bias, for its softmax drops it: weights that have one lose nothing by it.
    With `top_k` chunks or fewer in the memory nothing is left out, and this is the dense form.

    A memory that is no whole number of chunks is padded in front, so that the last chunk is full. The padding is
    masked; with `attend_padding` it stands as tokens of zeros where no mask is given, as in SAT's code.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        top_k: int,
        chunk: int,
        *,
        head_dim: int | None = None,
        positions: bool = False,
        attend_padding: bool = False,
    ) -> None:
        """`head_dim` is dim / heads unless given. `ValueError` where a size is not positive or heads do not divide."""
        super().__init__()
        if (
            min(dim, heads, top_k, chunk, head_dim or 1) < 1
            or (not head_dim and dim % heads)
            or (positions and dim % 2)
        ):
            raise ValueError(f"no attention of dim {dim}, heads {heads} of {head_dim}, top_k {top_k}, chunk {chunk}")
        self.dim, self.heads, self.top_k, self.chunk = dim, heads, top_k, chunk
        self.positions, self.attend_padding = positions, attend_padding
        inner = heads * (head_dim or dim // heads)
        self.summary_query = nn.Linear(dim, dim)
        self.summary_key = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, inner)
        self.key = nn.Linear(dim, inner, bias=False)
        self.value = nn.Linear(dim, inner)
        self.out = nn.Linear(inner, dim)

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        keys: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """What the queries read: [B, T, D] of query [B, T, D] from memory [B, L, D], or [B, M, chunk, D] in chunks.

        bool mask [B, L] (or [B, M, chunk]): which tokens there are; keys [B, M, D]: the summaries, when they are not
        the means; bool allowed [B, T, M]: which chunks a query may choose. A chunk without a token is never chosen; a
        query with no chunk to choose, as in an empty memory, reads zeros. Of equal chunks the earlier is chosen.
        A token that holds NaN counts as masked (a chunk of them whose key is given may be chosen, but has no share); a
        chunk whose summary is NaN is never chosen, a NaN query reads zeros.

        O(B (T + M) D^2 + B T M D) to choose, O(B L D) for the means where no keys are given, and O(B T K chunk heads D)
        to read, K = min(top_k, M); memory O(B T K chunk D). Scores and sums in float32 at least; the result has the
        query's dtype. `ValueError` names shapes that do not fit.
        """
        if any(flags is not None and flags.dtype != torch.bool for flags in (mask, allowed)):
            raise ValueError("mask and allowed are bool, True for what is there and what may be chosen")
        chunks, seen = self._chunks(query, memory, mask)  # [B, M, C, D], bool[B, M, C]
        sizes_of("query[B,T,D] memory[B,M,C,D] keys[B,M,D] allowed[B,T,M]", query, chunks, keys, allowed)
        summaries = chunk_means(chunks, seen) if keys is None else keys
        known = ~_holds_nan(summaries)
        summaries = summaries.masked_fill(~known.unsqueeze(-1), 0.0)  # or NaN would reach the gradients of W_k'

        r = _wide(self.summary_query(query)) @ _wide(self.summary_key(summaries)).mT / math.sqrt(self.dim)  # [B, T, M]
        eligible = (known & seen.any(dim=-1)).unsqueeze(1) & ~r.isnan()  # bool[B, T, M]: may be chosen
        if allowed is not None:
            eligible = eligible & allowed
        # A stable sort, for `topk` does not say which of equals it takes.
        r, chosen = r.masked_fill(~eligible, -math.inf).sort(dim=-1, descending=True, stable=True)
        r, chosen = r[..., : self.top_k], chosen[..., : self.top_k]  # [B, T, K]

        row = torch.arange(len(query), device=query.device)[:, None, None]
        tokens = _wide(chunks[row, chosen])  # [B, T, K, C, D]
        seen = seen[row, chosen] & ~_holds_nan(tokens)  # bool[B, T, K, C]
        eligible = eligible.gather(-1, chosen) & seen.any(dim=-1)
        read = self._inside(query, tokens.masked_fill(~seen.unsqueeze(-1), 0.0), seen, _softmax(r, eligible))
        return torch.where(eligible.any(dim=-1, keepdim=True), read, torch.zeros_like(read))

    def _chunks(self, query: Tensor, memory: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The memory in chunks [B, M, C, D], and bool [B, M, C]: what of it is there."""
        if memory.ndim == 4:
            sizes = f"query[B,T,{self.dim}] memory[B,M,{self.chunk},{self.dim}] mask[B,M,{self.chunk}]"
        else:
            sizes = f"query[B,T,{self.dim}] memory[B,L,{self.dim}] mask[B,L]"
        sizes_of(sizes, query, memory, mask)
        seen = torch.ones(memory.shape[:-1], dtype=torch.bool, device=memory.device) if mask is None else mask
        if memory.ndim == 4:
            return memory, seen
        batch, length = seen.shape
        front = -length % self.chunk
        count = (front + length) // self.chunk
        memory = F.pad(memory, (0, 0, front, 0)).reshape(batch, count, self.chunk, self.dim)
        seen = F.pad(seen, (front, 0), value=self.attend_padding and mask is None)
        return memory, seen.reshape(batch, count, self.chunk)

    def _inside(self, query: Tensor, tokens: Tensor, seen: Tensor, shares: Tensor) -> Tensor:
        """[B, T, D] read from each query's own chunks: tokens [B, T, K, C, D], seen [B, T, K, C], shares [B, T, K]."""
        if self.positions:
            ages = torch.arange(self.chunk - 1, -1, -1, device=tokens.device, dtype=tokens.dtype)
            tokens = tokens + sine_encoding(ages, self.dim)
        flat = tokens.flatten(2, 3)  # [B, T, K C, D]
        # q . (W_k x) = (W_k^T q) . x, and sum_c a_c W_v x_c = W_v (sum_c a_c x_c): the few queries are projected into
        # the tokens' space and their reads out of it, never the many tokens.
        w_k, w_v = (_wide(layer.weight).view(self.heads, -1, self.dim) for layer in (self.key, self.value))  # [H, d, D]
        q = _wide(self.query(query)).view(*query.shape[:2], self.heads, w_k.shape[1])  # [B, T, H, d]
        asked = torch.einsum("bthd,hdx->bthx", q, w_k) / math.sqrt(q.shape[-1])
        scores = (asked @ flat.mT).view(*q.shape[:3], *tokens.shape[2:4])  # [B, T, H, K, C]
        weights = _softmax(scores, seen.unsqueeze(2)) * shares[:, :, None, :, None]
        read = torch.einsum("bthx,hdx->bthd", weights.flatten(-2) @ flat, w_v).flatten(-2) + _wide(self.value.bias)
        result: Tensor = self.out(read.to(query.dtype))
        return result


class HierarchicalLayer(nn.Module):
    """A layer of SAT's agent: attention among the inputs, a read from the memory, a feed-forward; each x + f(LN x).

        x += MHA(LN x);    x += HCAM(LN x, memory);    x += W_2 relu(W_1 LN x)

    Without an `hcam` it is the Transformer layer of Vaswani et al. 2017 with the norms before (Xiong et al. 2020).
    """

    def __init__(self, dim: int, heads: int, hidden: int, hcam: HierarchicalAttention | None = None) -> None:
        """`hcam` has this `dim`; `heads` are those of the attention among the inputs."""
        super().__init__()
        self.norm_self, self.norm_hidden = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_read = nn.LayerNorm(dim) if hcam else None
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.hcam = hcam
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        keys: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """[B, T, D] of x [B, T, D] and what `HierarchicalAttention` takes; without a memory nothing is read.

        NaN in one of the inputs spreads to all inputs of its row of the batch. O(B T^2 D) beside the read.
        """
        h = self.norm_self(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        if memory is not None:
            if self.hcam is None or self.norm_read is None:
                raise ValueError("a layer that was made without an HCAM reads no memory")
            x = x + self.hcam(self.norm_read(x), memory, mask, keys, allowed)
        result: Tensor = x + self.feed_forward(self.norm_hidden(x))
        return result


def chunk_means(chunks: Tensor, seen: Tensor) -> Tensor:
    """Mean [B, M, D] of the tokens that are seen (bool [B, M, C]) and hold no NaN, of chunks [B, M, C, D].

    The summaries of HCAM (Lampinen et al. 2021); NaN for a chunk of none, so that it is never chosen. Worth keeping for
    a memory that is asked often. Sums in float32 at least. O(B M C D).
    """
    sizes_of("chunks[B,M,C,D] seen[B,M,C]", chunks, seen)
    seen = (seen & ~_holds_nan(chunks)).unsqueeze(-1)
    return (_wide(chunks).masked_fill(~seen, 0.0).sum(dim=-2) / seen.sum(dim=-2)).to(chunks.dtype)


def place_chunks(places: Tensor, chunk: int, drop_rest: bool = False) -> Tensor:
    """Chunks by place: int64 [M, chunk] of indices into `places` [T], -1 for padding at a chunk's end.

    The place-centred memory of SAT (Cho et al. 2024): places ascend, times ascend inside a place, and no chunk
    holds two places. Every item stands in exactly one chunk; with `drop_rest` a place of at least `chunk` items whose
    last chunk would be less than half full loses those items, as published. With the result `index`,
    `tokens[index.clamp(min=0)]` and `index >= 0` are a chunked memory and its mask.

    T = 0 gives [0, chunk]. Places that are no whole numbers and a chunk below 1 raise `ValueError`. O(T log T).
    """
    sizes_of("places[T]", places)
    if chunk < 1 or places.is_floating_point():
        raise ValueError(f"whole numbers as places in chunks of at least 1, not {places.dtype} in {chunk}")
    ordered, order = places.sort(stable=True)
    which = F.pad(ordered[1:] != ordered[:-1], (1, 0))[: len(places)].cumsum(0)  # 0, 1, .. of the places there are
    counts = which.bincount()
    rank = torch.arange(len(places), device=places.device) - (counts.cumsum(0) - counts)[which]  # within its place
    kept = counts
    if drop_rest:
        rest = counts % chunk
        kept = counts - rest * ((counts >= chunk) & (2 * (chunk - rest) > chunk))
    chunks = (kept + chunk - 1) // chunk
    index = torch.full((int(chunks.sum()), chunk), -1, dtype=torch.int64, device=places.device)
    stays = rank < kept[which]
    slot = (chunks.cumsum(0) - chunks)[which] * chunk + rank
    index.view(-1)[slot[stays]] = order[stays]
    return index


def _wide(x: Tensor) -> Tensor:
    """fp16 and bf16 as float32, the rest as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _holds_nan(x: Tensor) -> Tensor:
    """Whether each row of the last axis does: its largest is then NaN, sooner found than by `isnan().any()`."""
    return x.amax(dim=-1).isnan()


def _softmax(scores: Tensor, seen: Tensor) -> Tensor:
    """Over the last axis of those that are seen; zeros where none is."""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~seen, lowest).softmax(dim=-1).masked_fill(~seen, 0.0)
