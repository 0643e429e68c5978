"""Hierarchical chunk attention against plain loops and its dense form, and chunks by place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.hierarchy import HierarchicalAttention, HierarchicalLayer, chunk_means, place_chunks
from tests.oracles import hierarchy as oracle

DIM, HEADS, CHUNK = 6, 2, 3
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def made(top_k: int = 2, seed: int = 0, **options: Any) -> HierarchicalAttention:
    """In float64, with weights large enough that its softmaxes are far from flat."""
    torch.manual_seed(seed)
    module = HierarchicalAttention(DIM, HEADS, top_k, CHUNK, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module.requires_grad_(False)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights_of(module: HierarchicalAttention) -> oracle.Weights:
    weights = {}
    for name, layer in module.named_children():
        assert isinstance(layer, torch.nn.Linear)
        w = layer.weight.double().cpu().numpy()
        # A bias of the keys, which the module leaves out, must change nothing.
        b = np.linspace(-3.0, 3.0, len(w)) if layer.bias is None else layer.bias.double().cpu().numpy()
        weights[name] = (w, b)
    return weights


def plain(
    module: HierarchicalAttention,
    query: Tensor,
    memory: Tensor,
    mask: Tensor | None = None,
    keys: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """What the loops of the oracle read."""
    rows = []
    for b in range(len(query)):
        seen = np.ones(memory.shape[1], bool) if mask is None else mask[b].cpu().numpy()
        padding_seen = module.attend_padding and mask is None
        chunks, seen = oracle.in_chunks(memory[b].double().cpu().numpy(), seen, CHUNK, padding_seen)
        summaries = oracle.means(chunks, seen) if keys is None else keys[b].double().cpu().numpy()
        if module.positions:
            chunks = chunks + oracle.countdown(CHUNK, DIM)
        may = np.ones((query.shape[1], len(chunks)), bool) if allowed is None else allowed[b].cpu().numpy()
        q = query[b].double().cpu().numpy()
        rows.append(oracle.attended(q, chunks, seen, may, summaries, weights_of(module), module.heads, module.top_k))
    return torch.from_numpy(np.stack(rows))


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 14), top_k=st.integers(1, 6), positions=st.booleans(), attend_padding=st.booleans(),
    masked=st.booleans(), keyed=st.booleans(), limited=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_what_is_read_is_what_the_loops_read(
    length: int, top_k: int, positions: bool, attend_padding: bool, masked: bool, keyed: bool, limited: bool, seed: int
) -> None:
    module = made(top_k, seed, positions=positions, attend_padding=attend_padding, head_dim=2)
    count = -(-length // CHUNK)
    query, memory = drawn(2, 4, DIM, seed=seed), drawn(2, length, DIM, seed=seed + 1)
    optional = (
        drawn(2, length, seed=seed + 2) > 0 if masked else None,
        drawn(2, count, DIM, seed=seed + 3) if keyed else None,
        drawn(2, 4, count, seed=seed + 4) > 0 if limited else None,
    )
    torch.testing.assert_close(module(query, memory, *optional), plain(module, query, memory, *optional))


@settings(max_examples=50, deadline=None)
@given(chunks=st.integers(1, 5), spare=st.integers(0, 3), positions=st.booleans(), seed=st.integers(0, 9))
def test_with_all_chunks_taken_it_is_the_dense_form(chunks: int, spare: int, positions: bool, seed: int) -> None:
    module = made(chunks + spare, seed, positions=positions)
    query, memory = drawn(1, 3, DIM, seed=seed), drawn(1, chunks, CHUNK, DIM, seed=seed + 1)
    tokens = memory[0].numpy()
    with_positions = tokens + oracle.countdown(CHUNK, DIM) if positions else tokens
    want = oracle.dense(query[0].numpy(), with_positions, tokens.mean(axis=1), weights_of(module), HEADS)
    torch.testing.assert_close(module(query, memory)[0], torch.from_numpy(want))


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(5)), within=st.permutations(range(CHUNK)), seed=st.integers(0, 9))
def test_without_positions_no_order_of_chunks_or_of_tokens_matters(
    order: list[int], within: list[int], seed: int
) -> None:
    module, query, memory = made(2, seed), drawn(1, 3, DIM, seed=seed), drawn(1, 5, CHUNK, DIM, seed=seed + 1)
    torch.testing.assert_close(module(query, memory[:, order][:, :, within]), module(query, memory))


def test_what_lies_in_chunks_not_chosen_is_not_looked_at() -> None:
    module, query, memory, keys = made(1), drawn(1, 2, DIM), drawn(1, 4, CHUNK, DIM), drawn(1, 4, DIM)
    allowed = torch.tensor([[[True, False, False, False], [False, False, True, False]]])
    before = module(query, memory, keys=keys, allowed=allowed)
    memory[:, [1, 3]] = 1e6
    assert torch.equal(module(query, memory, keys=keys, allowed=allowed), before)
    memory[:, 2] += 1
    after = module(query, memory, keys=keys, allowed=allowed)
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.equal(after[:, 1], before[:, 1])


def test_a_chunk_without_a_token_is_never_chosen_while_another_stands() -> None:
    module, query, memory, keys = made(1), drawn(1, 3, DIM), drawn(1, 9, DIM), drawn(1, 3, DIM)
    keys[0, 1] = 0
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[0, 3:6] = False
    without = torch.cat([memory[:, :3], memory[:, 6:]], dim=1)
    # The key of the empty chunk is made the best of all.
    asked = module.summary_query(query).mean(dim=1)
    keys[0, 1] = torch.linalg.lstsq(module.summary_key.weight, 100 * asked[0, :, None]).solution[:, 0]
    torch.testing.assert_close(module(query, memory, mask, keys), module(query, without, keys=keys[:, [0, 2]]))


def test_where_nothing_may_be_read_the_read_is_zeros() -> None:
    module, query, memory = made(), drawn(2, 3, DIM), drawn(2, 7, DIM)
    nothing = torch.zeros(2, 3, DIM, dtype=torch.float64)
    assert torch.equal(module(query, memory, torch.zeros(2, 7, dtype=torch.bool)), nothing)
    assert torch.equal(module(query, memory, allowed=torch.zeros(2, 3, 3, dtype=torch.bool)), nothing)
    assert torch.equal(module(query, memory[:, :0]), nothing)
    assert torch.equal(module(query, torch.zeros(2, 0, CHUNK, DIM, dtype=torch.float64)), nothing)
    assert module(query[:, :0], memory).shape == (2, 0, DIM)


def test_of_equal_chunks_the_earlier_is_chosen() -> None:
    module, query, memory = made(2), drawn(1, 1, DIM), drawn(1, 40, CHUNK, DIM)
    keys = drawn(1, 1, DIM).expand(1, 40, DIM)
    torch.testing.assert_close(module(query, memory, keys=keys), module(query, memory[:, :2], keys=keys[:, :2]))


@pytest.mark.parametrize("keyed", [False, True])
def test_a_token_that_holds_nan_counts_as_masked(keyed: bool) -> None:
    module, query, memory = made(2, positions=True), drawn(1, 3, DIM), drawn(1, 9, DIM)
    keys = drawn(1, 3, DIM) if keyed else None
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[0, [1, 6, 7]] = False
    spoiled = memory.clone()
    spoiled[0, [1, 6, 7], 2] = float("nan")
    torch.testing.assert_close(module(query, spoiled, keys=keys), module(query, memory, mask, keys))
    spoiled[0, 3:6] = float("nan")
    mask[0, 3:6] = False
    if not keyed:  # a mean of nothing is NaN, and so never chosen
        torch.testing.assert_close(module(query, spoiled), module(query, memory, mask))
    module.top_k = 3  # so that it is chosen where its key is given
    torch.testing.assert_close(module(query, spoiled, keys=keys), module(query, memory, mask, keys))


def test_nan_in_a_key_closes_its_chunk_and_nan_in_a_query_reads_zeros() -> None:
    module, query, memory, keys = made(2), drawn(1, 3, DIM), drawn(1, 9, DIM), drawn(1, 3, DIM)
    keys[0, 1, 0] = query[0, 2, 0] = float("nan")
    got = module(query, memory, keys=keys)
    allowed = torch.tensor([True, False, True]).expand(1, 3, 3)
    torch.testing.assert_close(got[:, :2], module(query[:, :2], memory, keys=drawn(1, 3, DIM), allowed=allowed[:, :2]))
    assert torch.equal(got[0, 2], torch.zeros(DIM, dtype=torch.float64))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)])
def test_lower_precision_reads_the_same_on_every_device(device: str, dtype: torch.dtype, tolerance: float) -> None:
    module = made(5, positions=True).to(device, dtype)
    query, memory = drawn(2, 4, DIM).to(device, dtype), drawn(2, 13, DIM, seed=1).to(device, dtype)
    got = module(query, memory)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double().cpu(), plain(module, query, memory), rtol=tolerance, atol=tolerance)


def test_huge_scores_do_not_overflow_the_softmax() -> None:
    module, query, memory = made(2), 1e4 * drawn(1, 2, DIM), 1e4 * drawn(1, 9, DIM, seed=1)
    torch.testing.assert_close(module(query, memory), plain(module, query, memory))


def test_learning_reaches_every_weight_and_is_finite_where_chunks_are_empty() -> None:
    module = made(3).requires_grad_(True)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0] = mask[1, :3] = False
    module(drawn(2, 3, DIM), drawn(2, 9, DIM), mask).square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 1e-9 or parameter is module.summary_key.bias


def test_bad_input_is_refused_with_its_shapes() -> None:
    module, query, memory = made(), drawn(2, 3, DIM), drawn(2, 7, DIM)
    with pytest.raises(ValueError, match=r"memory\[2, 7, 5\]"):
        module(query, memory[..., :5])
    with pytest.raises(ValueError, match=r"memory\[2, 2, 4, 6\]"):
        module(query, drawn(2, 2, 4, DIM))
    with pytest.raises(ValueError, match=r"mask\[2, 6\]"):
        module(query, memory, torch.ones(2, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"keys\[2, 2, 6\]"):
        module(query, memory, keys=drawn(2, 2, DIM))
    with pytest.raises(ValueError, match=r"allowed\[2, 3, 4\]"):
        module(query, memory, allowed=torch.ones(2, 3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="bool"):
        module(query, memory, torch.zeros(2, 7))
    for sizes in ((6, 4, 1, 1), (6, 2, 0, 1), (6, 2, 1, 0)):
        with pytest.raises(ValueError, match="no attention of dim 6"):
            HierarchicalAttention(*sizes)


# The layer


def test_a_layer_adds_what_it_attends_to_what_it_reads_and_what_it_makes_of_both() -> None:
    layer = HierarchicalLayer(DIM, HEADS, 5, made()).double().eval()
    for norm in (layer.norm_self, layer.norm_hidden, layer.norm_read):
        assert norm is not None
        torch.nn.init.normal_(norm.weight)
    assert layer.hcam is not None
    x, memory = drawn(2, 4, DIM), drawn(2, 7, DIM, seed=1)

    def norm(module: Any, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return module.weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() + module.bias

    h = norm(layer.norm_self, x)
    q, k, v = (h @ layer.attention.in_proj_weight.T + layer.attention.in_proj_bias).chunk(3, dim=-1)
    heads = []
    for part in torch.arange(DIM).chunk(HEADS):
        scores = q[..., part] @ k[..., part].mT / (DIM / HEADS) ** 0.5
        heads.append(scores.softmax(-1) @ v[..., part])
    out = layer.attention.out_proj
    attended = x + torch.cat(heads, dim=-1) @ out.weight.T + out.bias
    read = attended + plain(layer.hcam, norm(layer.norm_read, attended).detach(), memory)
    first, second = layer.feed_forward[0], layer.feed_forward[2]

    def fed(x: Tensor) -> Tensor:
        hidden = (norm(layer.norm_hidden, x) @ first.weight.T + first.bias).clamp(min=0)
        return x + hidden @ second.weight.T + second.bias

    torch.testing.assert_close(layer(x, memory), fed(read))
    torch.testing.assert_close(layer(x), fed(attended))


def test_a_layer_without_an_hcam_refuses_a_memory() -> None:
    with pytest.raises(ValueError, match="without an HCAM"):
        HierarchicalLayer(DIM, HEADS, 5)(torch.zeros(1, 2, DIM), torch.zeros(1, 2, DIM))


# Summaries and chunks by place


def test_a_summary_is_the_mean_of_what_is_seen_and_nan_where_nothing_is() -> None:
    chunks, seen = drawn(1, 3, CHUNK, DIM), torch.tensor([[[True] * 3, [True, False, True], [False] * 3]])
    chunks[0, 1, 1] = float("nan")
    got = chunk_means(chunks, seen)
    torch.testing.assert_close(got[0, 0], chunks[0, 0].sum(dim=0) / 3)
    torch.testing.assert_close(got[0, 1], (chunks[0, 1, 0] + chunks[0, 1, 2]) / 2)
    assert got[0, 2].isnan().all()
    half = torch.full((1, 1, 300, 1), 300.0, dtype=torch.float16)  # their sum is beyond fp16
    assert chunk_means(half, torch.ones(1, 1, 300, dtype=torch.bool)).item() == 300


@settings(max_examples=80, deadline=None)
@given(places=st.lists(st.integers(-2, 4), max_size=40), chunk=st.integers(1, 6), drop_rest=st.booleans())
def test_chunks_by_place_are_those_of_the_lists(places: list[int], chunk: int, drop_rest: bool) -> None:
    got = place_chunks(torch.tensor(places, dtype=torch.int64), chunk, drop_rest)
    want = oracle.place_chunks(places, chunk, drop_rest)
    assert got.tolist() == [items + [-1] * (chunk - len(items)) for items in want]
    if not drop_rest:
        assert sorted(index for index in got.flatten().tolist() if index >= 0) == list(range(len(places)))


def test_chunks_by_place_are_a_memory_and_its_mask() -> None:
    module, query, tokens = made(1), drawn(1, 2, DIM), drawn(8, DIM)
    index = place_chunks(torch.tensor([5, 9, 5, 9, 5, 5, 9, 5]), CHUNK)
    assert index.tolist() == [[0, 2, 4], [5, 7, -1], [1, 3, 6]]
    got = module(query, tokens[index.clamp(min=0)][None], (index >= 0)[None])
    in_order = torch.cat([tokens[[0, 2, 4, 5, 7]], torch.zeros(1, DIM), tokens[[1, 3, 6]]])[None]
    mask = torch.tensor([[True] * 5 + [False] + [True] * 3])
    torch.testing.assert_close(got, plain(module, query, in_order, mask))


def test_places_that_are_no_whole_numbers_and_empty_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        place_chunks(torch.zeros(3), 2)
    with pytest.raises(ValueError, match="at least 1"):
        place_chunks(torch.zeros(3, dtype=torch.int64), 0)
    with pytest.raises(ValueError, match=r"places\[1, 3\]"):
        place_chunks(torch.zeros(1, 3, dtype=torch.int64), 2)
