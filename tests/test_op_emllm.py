"""EM-LLM's blocks, and the memory composed of them against a plain one on streams made here."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.golden.emllm_memory import EpisodicContext, Settings
from mneme.operators.blocks import cut_blocks, representative
from tests.oracles import emllm as oracle

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]
PLAIN = Settings(
    chunk=16,
    n_init=4,
    n_local=32,
    n_mem=24,
    min_block_size=3,
    max_block_size=10,
    gamma=1.0,
    repr_topk=2,
    contiguity=False,
    contiguity_size=0.3,
    rope_base=100.0,
)
FORMS = {
    "by similarity": PLAIN,
    "with contiguity": replace(PLAIN, contiguity=True),
    "with a large share": replace(PLAIN, contiguity=True, contiguity_size=0.6, n_mem=60),
    "few cuts": replace(PLAIN, gamma=2.5),
    "no cuts": replace(PLAIN, gamma=99.0, min_block_size=9, repr_topk=20),
    "a budget that holds no block": replace(PLAIN, n_mem=0, contiguity=True),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_stream_is_remembered_as_by_the_plain_form(form: Settings, seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, key, value = rng.standard_normal((3, 2, 192, 6))
    surprisal = rng.gamma(2.0, 1.0, 192)
    want = oracle.run(query, key, value, surprisal, asdict(form))
    context = EpisodicContext(*(torch.from_numpy(x) for x in (key, value, surprisal)), form)
    chunks = torch.from_numpy(query).split(form.chunk, dim=1)
    steps = [context.step(chunk, i * form.chunk) for i, chunk in enumerate(chunks)]
    assert torch.cat([step.divide for step in steps]).tolist() == want.divide
    assert context.sizes.tolist() == [end - start for start, end in want.blocks]
    assert [step.hits for step in steps] == want.hits
    assert [step.buffer for step in steps] == want.buffers
    assert len(context.sizes) > 5
    np.testing.assert_allclose(context.representatives, np.array(want.representatives), rtol=1e-9)
    np.testing.assert_allclose(torch.cat([step.out for step in steps], dim=1), want.out, rtol=1e-8, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=50), st.integers(1, 8), st.integers(0, 8))
def test_blocks_are_the_plain_form_s_within_their_bounds_and_never_more_than_there_is(
    cuts: list[bool], least: int, more: int
) -> None:
    sizes = cut_blocks(torch.tensor(cuts, dtype=torch.bool), least, least + more)
    assert sizes == oracle.blocks_of(cuts, least, least + more)
    assert all(least <= size <= least + more for size in sizes)
    assert sum(sizes) <= len(cuts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 30))
def test_what_is_left_over_is_cut_with_what_comes_next_as_if_it_had_come_at_once(cuts: list[bool], at: int) -> None:
    run = torch.tensor(cuts, dtype=torch.bool)
    early = cut_blocks(run[:at], 3, 9)
    assert early + cut_blocks(run[sum(early) :], 3, 9) == cut_blocks(run, 3, 9)


def test_events_end_blocks_and_short_ones_join_the_next() -> None:
    run = torch.zeros(60, dtype=torch.bool)
    run[[0, 10, 12, 30]] = True
    assert cut_blocks(run, 8, 16) == [10, 16, 16, 16]  # 12 lies 2 behind; 30 lies 4 behind the forced cut at 26
    assert cut_blocks(torch.zeros(7, dtype=torch.bool), 8, 16) == []
    assert cut_blocks(torch.zeros(15, dtype=torch.bool), 8, 16) == []  # an event that may still go on


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_representative_is_the_mean_of_the_keys_most_attended_to(dtype: torch.dtype, device: str) -> None:
    rng = torch.Generator().manual_seed(0)
    key, received = (torch.randn(*shape, generator=rng).to(device, dtype) for shape in ((3, 20, 4), (3, 20)))
    got = representative(key, received, 5)
    assert got.dtype == dtype
    assert got.device == key.device
    for h in range(3):
        order = sorted(range(20), key=lambda t, h=h: -float(received[h, t]))  # type: ignore[misc]
        want = key[h, order[:5]].double().mean(dim=0)
        torch.testing.assert_close(got[h].double(), want, rtol=torch.finfo(dtype).eps, atol=1e-6)


def one_head(received: list[float], top: int) -> float:
    """The representative of the keys 0, 1, 2, .."""
    n = len(received)
    return representative(torch.arange(float(n)).reshape(1, n, 1), torch.tensor([received]), top).item()


def test_ties_go_to_the_earlier_key_and_nan_is_attention_of_none() -> None:
    assert one_head([1.0, 2.0, 2.0, 2.0], 2) == 1.5
    assert one_head([1.0, torch.nan, 2.0], 2) == 1.0
    assert one_head([1.0, 2.0, 3.0], 9) == 1.0  # all there are
    assert representative(torch.zeros(2, 0, 3), torch.zeros(2, 0)).tolist() == [[0.0] * 3] * 2


def test_large_half_precision_keys_do_not_overflow_their_mean() -> None:
    key = torch.full((1, 4, 2), 60000.0, dtype=torch.float16)
    assert representative(key, torch.ones(1, 4, dtype=torch.float16)).tolist() == [[60000.0, 60000.0]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"key\[1, 4, 2\] received\[1, 3\]"):
        representative(torch.zeros(1, 4, 2), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="a mean over 0 keys"):
        representative(torch.zeros(1, 4, 2), torch.zeros(1, 4), 0)
    with pytest.raises(ValueError, match=r"boundaries\[2, 2\]"):
        cut_blocks(torch.zeros(2, 2, dtype=torch.bool))
    for bounds in ((0, 4), (5, 4)):
        with pytest.raises(ValueError, match="blocks of"):
            cut_blocks(torch.zeros(9, dtype=torch.bool), *bounds)
