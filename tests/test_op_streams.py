"""Whole streams of XMem and Cutie, composed of operators, against plain float64 ones: readouts and memories, each step.

The compositions are those of `benchmarks/golden`, which match the published runs; here the streams are random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.golden.cutie import CutieStream, Fifo, LongTerm
from benchmarks.golden.xmem import Tokens, XMemStream
from tests.oracles import streams as oracle

HW, C, V = 3, 4, 2


def frames(
    length: int, appear: Mapping[int, int], seed: int = 0, hw: int = HW, alike: bool = False
) -> list[oracle.Frame]:
    """A stream in which each object is there from its frame on; `alike` gives every token similarity 0."""
    rng = np.random.default_rng(seed)
    return [
        oracle.Frame(
            rng.standard_normal((hw, C)),
            1 + rng.standard_normal(hw) ** 2,
            rng.uniform(0.0, 0.0 if alike else 1.0, (hw, C)),
            {one: rng.standard_normal((hw, V)) for one, first in appear.items() if t >= first},
        )
        for t in range(length)
    ]


def tensors(frame: oracle.Frame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(frame.key), torch.from_numpy(frame.shrinkage), torch.from_numpy(frame.selection)


def tokens(frame: oracle.Frame) -> Tokens:
    return Tokens.fresh(*tensors(frame), torch.from_numpy(np.hstack(list(frame.values.values()))))


def xmem(first: oracle.Frame, plain: oracle.XMem) -> XMemStream:
    """The composition that begins with this frame, of the plain one's settings."""
    names = ("top_k", "t_max", "t_min", "prototypes", "long_max")
    return XMemStream(tokens(first), **{name: getattr(plain, name) for name in names})


def assert_holds(ours: Tokens, theirs: list[oracle.Token]) -> None:
    assert ours.size == len(theirs)
    for name in ("key", "shrinkage", "value", "use", "life"):
        want = [getattr(token, name) for token in theirs]
        got = getattr(ours, name)
        np.testing.assert_allclose(got.numpy(), np.array(want).reshape(got.shape), rtol=1e-9, atol=1e-12, err_msg=name)


def assert_same_xmem(stream: list[oracle.Frame], plain: oracle.XMem, every: int = 1) -> list[int]:
    """Both over the stream; the size of the long-term memory after each frame but the first."""
    ours = xmem(stream[0], plain)
    plain.write(stream[0])
    sizes = []
    for t, frame in enumerate(stream[1:], start=1):
        key, _, selection = tensors(frame)
        np.testing.assert_allclose(ours.read(key, selection).numpy(), plain.read(frame), rtol=1e-9, atol=1e-12)
        if t % every == 0:
            ours.write(tokens(frame))
            plain.write(frame)
        assert_holds(ours.work, plain.work)
        assert_holds(ours.long, plain.long)
        sizes.append(len(plain.long))
    return sizes


def assert_same_cutie(stream: list[oracle.Frame], plain: oracle.Cutie, permanent: int = -1) -> list[list[int]]:
    """Both over the stream; the long-term sizes of the buckets after each frame."""
    if plain.prototypes is None:
        ours = CutieStream(plain.top_k, Fifo(plain.t_max))
    else:
        ours = CutieStream(plain.top_k, LongTerm(*astuple(plain)[1:6]))
    sizes = []
    for t, frame in enumerate(stream):
        key, shrinkage, selection = tensors(frame)
        found, want = ours.read(key, selection), dict(plain.read(frame))
        assert found.keys() == want.keys()
        for one, readout in found.items():
            np.testing.assert_allclose(readout.numpy(), want[one], rtol=1e-9, atol=1e-12)
        values = {one: torch.from_numpy(value) for one, value in frame.values.items()}
        ours.write(key, shrinkage, selection, values, permanent=t == permanent)
        plain.write(frame, permanent=t == permanent)
        assert [bucket.objects for bucket in ours.buckets] == [bucket.objects for bucket in plain.buckets]
        for held, wanted in zip(ours.buckets, plain.buckets, strict=True):
            assert_holds(held.permanent, wanted.permanent)
            assert_holds(held.work, wanted.work)
            assert_holds(held.long, wanted.long)
        sizes.append([len(bucket.long) for bucket in plain.buckets])
    return sizes


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(0, 12), st.integers(0, 99)
)
def test_xmem_reads_and_holds_what_the_plain_stream_does_within_its_budget(
    top_k: int, t_min: int, span: int, count: int, spare: int, seed: int
) -> None:
    t_max, long_max = t_min + span, count + spare
    sizes = assert_same_xmem(frames(22, {1: 0, 2: 0}, seed), oracle.XMem(top_k, t_max, t_min, count, long_max), every=1)
    assert 0 < max(sizes) <= long_max


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 3), st.integers(2, 4), st.integers(1, 6), st.integers(0, 9), st.integers(0, 99)
)
def test_cutie_reads_and_holds_what_the_plain_stream_does_within_its_budget(
    top_k: int, t_min: int, span: int, count: int, spare: int, seed: int
) -> None:
    long_max, buffer = count + spare, spare // 2
    stream = frames(18, {1: 0, 2: 0, 3: 4}, seed)
    plain = oracle.Cutie(top_k, t_min + span, t_min, count, long_max, buffer)
    sizes = assert_same_cutie(stream, plain, permanent=7)
    assert 0 < max(max(row) for row in sizes) <= long_max


def test_xmem_writes_every_second_frame_and_reads_each() -> None:
    assert max(assert_same_xmem(frames(40, {1: 0}, hw=6), oracle.XMem(5, 5, 3, 4, 14), every=2)) == 14


def test_cutie_without_a_long_term_forgets_its_oldest_frames_but_the_first() -> None:
    stream = frames(9, {1: 0, 2: 0})
    plain = oracle.Cutie(top_k=4, t_max=4)
    assert_same_cutie(stream, plain)
    held = [token.key[0] for token in plain.buckets[0].permanent + plain.buckets[0].work]
    assert held == [key for t in (0, 6, 7, 8) for key in stream[t].key[:, 0]]


def test_a_long_term_exactly_at_its_threshold_is_no_fault() -> None:
    """Published: an eviction of no token raises."""
    sizes = assert_same_xmem(frames(20, {1: 0}), oracle.XMem(3, 4, 2, 4, 12))
    assert [size for size, before in zip(sizes[1:], sizes, strict=False) if size != before] == [4, 8, 12]


def test_a_memory_smaller_than_the_top_k_is_read_whole() -> None:
    """Published: fewer tokens than top_k raise."""
    stream = frames(12, {1: 0}, hw=1)
    assert_same_xmem(stream, oracle.XMem(30, 4, 2, 1, 3))
    assert_same_cutie(stream, oracle.Cutie(30, 4, 2, 1, 3))


def test_a_working_memory_cut_to_its_first_frame_is_no_fault() -> None:
    """Published: T_min = 1 raises, as [HW : -0] holds no candidate."""
    plain = oracle.XMem(3, 3, 1, 2, 8)
    assert max(assert_same_xmem(frames(9, {1: 0}), plain)) == 8
    assert len(plain.work) == HW  # frame 8 was the third to be held, and consolidated


def test_tokens_that_are_all_alike_are_evicted_only_down_to_the_budget() -> None:
    """Published: every token that ties with the last one dropped goes too."""
    sizes = assert_same_xmem(frames(30, {1: 0}, alike=True), oracle.XMem(2, 4, 2, 3, 9))
    assert sizes[-1] == 9
    assert sizes == sorted(sizes)


def test_objects_added_late_are_held_and_evicted_for_themselves() -> None:
    """Published XMem: the values of a later group are fewer than the keys, and an eviction raises."""
    stream = frames(30, {1: 0, 2: 0, 3: 9, 4: 9, 5: 17})
    sizes = assert_same_cutie(stream, oracle.Cutie(4, 4, 2, 3, 9))
    assert sizes[-1] == [9, 9, 9]
    late = [oracle.Frame(f.key, f.shrinkage, f.selection, {3: f.values[3]}) for f in stream[9:]]
    assert assert_same_xmem(late, oracle.XMem(4, 4, 2, 3, 9))[-1] == 9


@pytest.mark.parametrize("t_min", [0, 4])
def test_a_consolidation_that_has_nothing_to_consolidate_is_refused(t_min: int) -> None:
    with pytest.raises(ValueError, match="nothing to consolidate"):
        xmem(frames(1, {1: 0})[0], oracle.XMem(3, 4, t_min, 2, 8))
    with pytest.raises(ValueError, match="nothing to consolidate"):
        LongTerm(4, t_min, 2, 8, 0)
