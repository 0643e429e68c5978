"""Reading by affinity: the formula, its edges, and the forms of it that are faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators import affinity as module
from mneme.operators.affinity import Affinity, CachedKeys, attend, read, readout, similarity, top_k_affinity, usage
from mneme.operators.largest import largest
from tests.oracles import affinity as oracle

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def drawn(n: int, q: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Keyword arguments of `attend`."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "key": torch.randn(n, 5, generator=draw).to(dtype),
        "value": torch.randn(n, 3, generator=draw).to(dtype),
        "query": torch.randn(q, 5, generator=draw).to(dtype),
        "shrinkage": (torch.randn(n, generator=draw) ** 2 + 1).to(dtype),
        "selection": torch.rand(q, 5, generator=draw).to(dtype),
    }


def plainly(x: dict[str, Tensor], top_k: int | None) -> Tensor:
    """The oracle's readout of the same numbers."""
    named = {name: t.double().numpy() for name, t in x.items()}
    return torch.from_numpy(oracle.readout(**named, top_k=top_k))


def cached(
    key: Tensor, value: Tensor, query: Tensor, shrinkage: Tensor, selection: Tensor, top_k: int | None
) -> Tensor:
    return CachedKeys(key, shrinkage).attend(value, query, selection, top_k)


FORMS: list[Callable[..., Tensor]] = [readout, attend, cached]


@pytest.mark.parametrize("scaled", ["both", "shrinkage", "selection", "neither"])
def test_similarity_is_the_published_formula(scaled: str) -> None:
    x = drawn(17, 6)
    s = x["shrinkage"] if scaled in ("both", "shrinkage") else None
    e = x["selection"] if scaled in ("both", "selection") else None
    ours = similarity(x["key"], x["query"], s, e)
    plain = oracle.similarity(*(None if t is None else t.double().numpy() for t in (x["key"], x["query"], s, e)))
    assert ours.shape == (6, 17)
    torch.testing.assert_close(ours.double(), torch.from_numpy(plain), rtol=1e-4, atol=1e-5)


def test_keys_far_from_the_origin_keep_their_digits() -> None:
    x = drawn(50, 4)
    far = {**x, "key": x["key"] + 3000, "query": x["query"] + 3000}
    exact = plainly(far, 5)  # of the same rounded numbers
    torch.testing.assert_close(attend(**far, top_k=5).double(), exact, rtol=1e-3, atol=1e-4)
    about_zero = far["key"].pow(2) @ torch.ones(5, 1) - 2 * far["key"] @ far["query"].T + far["query"].pow(2).sum(1)
    squares = (far["key"].unsqueeze(1) - far["query"]).pow(2).sum(2)
    assert (about_zero - squares).abs().max() > 0.5  # what the published expansion makes of them


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top_k", [1, 7, 40, 99, None])
def test_every_form_reads_what_the_formula_reads(form: Callable[..., Tensor], top_k: int | None) -> None:
    x = drawn(40, 9, seed=1)
    torch.testing.assert_close(form(**x, top_k=top_k).double(), plainly(x, top_k), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("top_k", [3, None])
def test_blocks_of_keys_and_of_queries_change_nothing(top_k: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEYS", 64)
    monkeypatch.setattr(module, "_PIECE", 10)
    monkeypatch.setattr(module, "_TILE", 256)
    x = drawn(1000, 23, seed=2)
    x["key"][500:] = x["key"][:500]  # every key twice: the earlier block must win
    x["shrinkage"][500:] = x["shrinkage"][:500]
    for form in (attend, cached):
        torch.testing.assert_close(form(**x, top_k=top_k).double(), plainly(x, top_k), rtol=1e-4, atol=1e-5)


@given(
    scores=st.lists(st.integers(-3, 3), min_size=1, max_size=400),
    k=st.integers(0, 12),
    holes=st.sets(st.integers(0, 399), max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_the_largest_are_taken_and_of_equals_the_earlier(scores: list[int], k: int, holes: set[int]) -> None:
    row = np.array(scores, np.float64)
    row[[i for i in holes if i < len(row)]] = math.nan
    other = row[::-1].copy()
    values, indices = largest(torch.tensor(np.stack([row, other])), k)
    for line, took, at in zip((row, other), values, indices, strict=True):
        real = oracle.chosen(line, k)
        assert at.tolist()[: len(real)] == real
        assert took.tolist()[: len(real)] == line[real].tolist()
        assert all(value == -math.inf for value in took.tolist()[len(real) :])


def test_wide_rows_are_searched_exactly_by_their_groups() -> None:
    scores = torch.randn(7, 5003, generator=torch.Generator().manual_seed(3))
    scores[3] = scores[3].round()  # thousands of equals
    scores[4, 17] = math.nan
    scores[5, 100:] = -math.inf
    values, indices = largest(scores, 30)
    for row, took, at in zip(scores.double().numpy(), values, indices, strict=True):
        assert at.tolist() == oracle.chosen(row, 30)
        assert took.tolist() == [float(row[n]) for n in at]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_read_the_same_within_their_digits(dtype: torch.dtype) -> None:
    x = drawn(60, 8, seed=4, dtype=dtype)
    for form in FORMS:
        out = form(**x, top_k=10)
        assert out.dtype == dtype
        digits = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float64: 1e-10}[dtype]
        torch.testing.assert_close(out.double(), plainly(x, 10), rtol=digits, atol=digits)


def test_scores_of_minus_twenty_do_not_vanish_in_half_precision() -> None:
    scores = torch.full((1, 4), -20.0, dtype=torch.float16)  # exp(-20) is 0 there, and 0 / 0 is what was published
    assert top_k_affinity(scores, 2).weights.tolist() == [[0.5, 0.5]]
    assert top_k_affinity(torch.tensor([[-6e4, 6e4]], dtype=torch.float16)).weights.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top_k", [4, None])
def test_an_empty_memory_reads_zero(form: Callable[..., Tensor], top_k: int | None) -> None:
    assert torch.equal(form(**drawn(0, 3), top_k=top_k), torch.zeros(3, 3))
    assert form(**drawn(5, 0), top_k=top_k).shape == (0, 3)
    assert torch.equal(form(**drawn(5, 2), top_k=0), torch.zeros(2, 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top_k", [4, 30, None])
def test_a_key_of_nan_is_never_read(form: Callable[..., Tensor], top_k: int | None) -> None:
    x = drawn(12, 5, seed=5)
    x["key"][3], x["value"][3] = math.nan, 7.0
    x["key"][7, 2] = math.nan
    x["shrinkage"][9] = math.nan
    torch.testing.assert_close(form(**x, top_k=top_k).double(), plainly(x, top_k), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top_k", [4, None])
def test_a_query_of_nan_reads_nothing_and_spoils_no_other(form: Callable[..., Tensor], top_k: int | None) -> None:
    x = drawn(12, 5, seed=6)
    x["query"][2, 0] = math.nan
    out = form(**x, top_k=top_k)
    assert torch.equal(out[2], torch.zeros(3))
    torch.testing.assert_close(out.double(), plainly(x, top_k), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 10_000), top_k=st.one_of(st.none(), st.integers(1, 12)))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_memory_does_not_change_what_is_read(seed: int, top_k: int | None) -> None:
    x = drawn(30, 4, seed=seed, dtype=torch.float64)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    moved = {**x, **{name: x[name][order] for name in ("key", "value", "shrinkage")}}
    torch.testing.assert_close(attend(**moved, top_k=top_k), attend(**x, top_k=top_k), rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 50), q=st.integers(1, 9), top_k=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_every_query_spends_a_mass_of_one(seed: int, n: int, q: int, top_k: int) -> None:
    x = drawn(n, q, seed=seed)
    affinity = top_k_affinity(similarity(x["key"], x["query"], x["shrinkage"], x["selection"]), top_k)
    assert affinity.weights.shape == affinity.indices.shape == (q, min(n, top_k))
    torch.testing.assert_close(affinity.weights.sum(1), torch.ones(q))
    spent = usage(affinity, n)
    torch.testing.assert_close(spent.sum(), torch.tensor(float(q)))
    dense = oracle.dense(similarity(x["key"], x["query"], x["shrinkage"], x["selection"]).double().numpy(), top_k)
    torch.testing.assert_close(spent.double(), torch.from_numpy(dense.sum(0)), rtol=1e-4, atol=1e-5)


def test_gradients_reach_whatever_asks_for_them() -> None:
    x = drawn(20, 4, seed=7, dtype=torch.float64)
    for tensor in x.values():
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *t: attend(*t, top_k=5), (*x.values(),))


def test_a_cache_that_grows_and_shrinks_reads_as_one_built_at_once() -> None:
    x = drawn(90, 6, seed=8)
    cache = CachedKeys(x["key"][:10], x["shrinkage"][:10])
    for start in range(10, 90, 7):
        cache.append(x["key"][start : start + 7], x["shrinkage"][start : start + 7])
    assert len(cache) == 90
    torch.testing.assert_close(cache.attend(x["value"], x["query"], x["selection"]), attend(**x), rtol=1e-4, atol=1e-5)
    stays = torch.tensor([80, 3, 44, 12])
    cache.keep(stays)
    left = {**x, **{name: x[name][stays] for name in ("key", "value", "shrinkage")}}
    torch.testing.assert_close(
        cache.attend(left["value"], x["query"], x["selection"]), attend(**left), rtol=1e-4, atol=1e-5
    )
    scores = similarity(left["key"], x["query"], left["shrinkage"], x["selection"])
    torch.testing.assert_close(cache.similarity(x["query"], x["selection"]), scores, rtol=1e-4, atol=1e-5)


def test_an_empty_cache_fills() -> None:
    x = drawn(9, 2, seed=9)
    cache = CachedKeys(x["key"][:0])
    cache.append(x["key"], x["shrinkage"])
    torch.testing.assert_close(cache.attend(x["value"], x["query"], x["selection"]), attend(**x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda: similarity(torch.zeros(4, 3), torch.zeros(2, 5)), r"key\[4, 3\] query\[2, 5\]"),
        (lambda: attend(torch.zeros(4, 3), torch.zeros(5, 2), torch.zeros(2, 3)), r"key\[4, 3\] value\[5, 2\]"),
        (lambda: similarity(torch.zeros(4, 3), torch.zeros(2, 3), torch.zeros(3)), r"shrinkage\[3\]"),
        (lambda: top_k_affinity(torch.zeros(4)), r"similarity\[4\]"),
        (lambda: top_k_affinity(torch.zeros(1, 4), -1), "negative"),
        (lambda: attend(torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(2, 3), top_k=-1), "negative"),
        (lambda: read(torch.zeros(4), Affinity(torch.zeros(1, 1).long(), torch.ones(1, 1))), r"value\[4\]"),
        (lambda: CachedKeys(torch.zeros(4, 3)).attend(torch.zeros(5, 2), torch.zeros(1, 3)), r"value\[5, 2\]"),
        (lambda: CachedKeys(torch.zeros(4, 3)).append(torch.zeros(1, 2)), r"key\[1, 2\]"),
    ],
)
def test_wrong_shapes_are_named(call: Callable[[], Any], shapes: str) -> None:
    with pytest.raises(ValueError, match=shapes):
        call()


class Readout(torch.nn.Module):
    def forward(self, key: Tensor, value: Tensor, query: Tensor, shrinkage: Tensor, selection: Tensor) -> Tensor:
        return readout(key, value, query, shrinkage, selection, top_k=8)


class Read(torch.nn.Module):
    def forward(self, value: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        return read(value, Affinity(indices, weights))


def exported(module: torch.nn.Module, inputs: dict[str, Tensor], dynamic: dict[str, Any], path: Path) -> Any:
    """The module in ONNX Runtime."""
    import onnxruntime

    torch.onnx.export(module.eval(), kwargs=inputs, f=str(path), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_unblocked_readout_runs_in_onnx_runtime_at_any_size_of_memory(tmp_path: Path) -> None:
    n, q = torch.export.Dim("n", min=9), torch.export.Dim("q", min=2)
    axes: dict[str, Any] = {name: {0: n} for name in ("key", "value", "shrinkage")}
    session = exported(Readout(), drawn(40, 5), {**axes, "query": {0: q}, "selection": {0: q}}, tmp_path / "r.onnx")
    for tokens, queries in ((9, 2), (333, 11)):
        x = drawn(tokens, queries, seed=10)
        (out,) = session.run(None, {name: t.numpy() for name, t in x.items()})
        torch.testing.assert_close(torch.from_numpy(out), readout(**x, top_k=8), rtol=1e-4, atol=1e-5)


def test_read_runs_in_onnx_runtime(tmp_path: Path) -> None:
    x = drawn(40, 5)
    chosen = top_k_affinity(similarity(x["key"], x["query"]), 8)
    given = {"value": x["value"], "indices": chosen.indices, "weights": chosen.weights}
    axes = {"value": {0: torch.export.Dim("n")}, "indices": {}, "weights": {}}
    session = exported(Read(), given, axes, tmp_path / "r.onnx")
    given["value"] = torch.cat([x["value"], x["value"]])
    (out,) = session.run(None, {name: t.numpy() for name, t in given.items()})
    torch.testing.assert_close(torch.from_numpy(out), read(given["value"], chosen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_gives_what_the_formula_gives(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = drawn(4000, 9, seed=11)
    there = {name: t.to(device) for name, t in x.items()}
    for form in FORMS:
        torch.testing.assert_close(form(**there, top_k=6).cpu().double(), plainly(x, 6), rtol=1e-4, atol=1e-5)
