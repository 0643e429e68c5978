"""Which frames SAM 2 attends, the bank that keeps no more than those, and its memory attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.frame_bank import (
    FrameBank,
    FrameBankSettings,
    Held,
    attended,
    memory_tokens,
    pointer_encoding,
    recent,
    retained,
)
from mneme.operators.memory_attention import MemoryAttention, axial_angles, map_positions, rotate
from tests.oracles import frame_bank as oracle

D, C, SIDE = 16, 8, 3
FORMS = st.builds(FrameBankSettings, st.integers(1, 8), st.integers(1, 6), st.integers(1, 9))


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def attention_of(layers: int = 2, seed: int = 0) -> MemoryAttention:
    torch.manual_seed(seed)
    return MemoryAttention(D, C, layers, hidden=24).double().eval()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 60), unique=True, max_size=3), FORMS, st.sets(st.integers(0, 60)))
def test_frames_rows_and_pointers_are_those_of_the_plain_form(
    t: int, prompted: list[int], form: FrameBankSettings, missing: set[int]
) -> None:
    others = set(range(t)) - set(prompted) - missing
    chosen = attended(t, prompted, form, others, others)
    maps, pointers = oracle.attended(t, prompted, others, form.num_maskmem, form.stride, form.max_obj_ptrs)
    assert list(zip(chosen.frames, chosen.rows, strict=True)) == maps
    assert chosen.pointers == pointers
    assert chosen.offsets == [t - frame for frame in pointers]
    assert len(set(chosen.frames)) == len(chosen.frames)
    assert len(set(chosen.pointers)) == len(chosen.pointers)
    if not missing:
        assert attended(t, [*prompted, *prompted], form) == chosen


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), FORMS)
def test_what_is_retained_is_exactly_what_a_later_frame_can_attend(t: int, form: FrameBankSettings) -> None:
    horizon = t + (form.num_maskmem + 1) * form.stride + form.max_obj_ptrs + 2
    later = [attended(after, (), form) for after in range(t + 1, horizon)]
    kept = retained(t, form)
    assert kept.frames == sorted({frame for each in later for frame in each.frames if frame <= t})
    assert kept.pointers == sorted({frame for each in later for frame in each.pointers if frame <= t})
    assert len(kept.frames) <= form.num_maskmem - 1
    assert len(kept.pointers) <= form.max_obj_ptrs - 1


@given(st.integers(0, 40), st.integers(1, 12))
def test_the_last_steps_of_an_episode_are_a_frame_bank_without_prompts(step: int, capacity: int) -> None:
    chosen = recent(step, capacity)
    assert chosen.frames == list(range(step))[::-1][:capacity]
    as_sam2 = attended(step, (), FrameBankSettings(capacity + 1, 1, 1))
    assert (chosen.frames[::-1], chosen.rows[::-1]) == (as_sam2.frames, as_sam2.rows)
    assert chosen.pointers == chosen.offsets == []


def frame(t: int) -> tuple[Tensor, Tensor]:
    """A map [HW, C] and a pointer of two tokens."""
    return drawn(SIDE**2, C, seed=t), drawn(2 * C, seed=1000 + t)


def read(attention: MemoryAttention, held: Held, t: int, form: FrameBankSettings) -> Tensor:
    """The frame after it attended."""
    places = map_positions(SIDE, SIDE, C).flatten(1).T.double()
    project = drawn(2 * C, C, seed=7)
    pointed = pointer_encoding(held.selection.offsets, 2 * C, form).double() @ project
    memory, positions, pointers = memory_tokens(held, drawn(form.num_maskmem, C, seed=8), places, pointed)
    current = drawn(1, SIDE**2, D, seed=2000 + t)
    return attention(current, current, memory[None], positions[None], pointers)


@settings(max_examples=50, deadline=None)
@given(FORMS, st.sets(st.integers(1, 30), max_size=8), st.integers(1, 30), st.booleans())
@torch.no_grad()
def test_attention_over_the_bounded_bank_is_attention_over_all_that_ever_was(
    form: FrameBankSettings, dropped: set[int], prompted: int, early: bool
) -> None:
    attention, bank, prompts = attention_of(1), FrameBank(form), [0]
    everything = {0: frame(0)}
    bank.write(0, *frame(0), conditioning=True)
    for t in range(1, 31):
        if t == (1 if early else prompted):  # before its turn, or in it
            prompts.append(prompted)
            everything[prompted] = frame(prompted)
            bank.write(prompted, *frame(prompted), conditioning=True)
        if t in dropped or t in prompts:
            continue
        held = bank.read(t)
        chosen = attended(t, prompts, form, everything, everything)
        assert held.selection == chosen
        if t % 7 == 2:
            maps, pointers = [everything[f][0] for f in chosen.frames], [everything[f][1] for f in chosen.pointers]
            full = Held(chosen, maps, pointers)
            assert torch.equal(read(attention, held, t, form), read(attention, full, t, form))
        everything[t] = frame(t)
        bank.write(t, *frame(t))
        assert len(set(bank.maps) - set(prompts)) <= form.num_maskmem - 1
        assert len(set(bank.pointers) - set(prompts)) <= form.max_obj_ptrs - 1
    bank.reset()
    assert bank.read(0).selection == ([], [], [], [])
    assert not bank.maps
    assert not bank.pointers


def test_a_frame_prompted_late_takes_the_place_of_what_it_was() -> None:
    bank = FrameBank()
    for t in range(5):
        bank.write(t, *frame(t), conditioning=t == 0)
    assert bank.read(5).selection.rows == [6, 3, 2, 1, 0]
    for again in (98, 99):
        bank.write(3, *frame(again), conditioning=True)
    assert bank.conditioning == [0, 3]
    held = bank.read(5)
    assert held.selection.frames == [0, 3, 1, 2, 4]
    assert held.selection.rows == [6, 6, 3, 2, 0]
    assert held.selection.pointers == [0, 3, 4, 2, 1]
    assert torch.equal(held.maps[1], frame(99)[0])


def test_a_map_lies_at_its_place_and_row_and_the_tokens_of_a_pointer_at_that_pointers() -> None:
    bank = FrameBank()
    for t in range(3):
        bank.write(t, *frame(t), conditioning=t == 0)
    temporal, places, pointed = drawn(7, C, seed=1), drawn(SIDE**2, C, seed=2), drawn(3, C, seed=3)
    memory, positions, pointers = memory_tokens(bank.read(3), temporal, places, pointed)
    assert pointers == 6
    tokens = [(frame(t)[0][i], places[i] + temporal[row]) for t, row in ((0, 6), (1, 1), (2, 0)) for i in range(9)]
    tokens += [(frame(t)[1][c : c + C], pointed[i]) for i, t in enumerate((0, 2, 1)) for c in (0, C)]
    assert torch.equal(memory, torch.stack([token for token, _ in tokens]))
    assert torch.equal(positions, torch.stack([place for _, place in tokens]))


def test_the_bank_refuses_what_would_read_differently() -> None:
    bank = FrameBank()
    bank.write(4, *frame(4))
    with pytest.raises(ValueError, match="frame 4 is read after frame 4"):
        bank.read(4)
    with pytest.raises(ValueError, match="frame 4 is written after frame 4"):
        bank.write(4, *frame(4))
    with pytest.raises(ValueError, match=r"map\[5, 8\]"):
        bank.write(5, drawn(5, C), drawn(2 * C))
    with pytest.raises(ValueError, match="-1"):
        bank.write(-1, *frame(0), conditioning=True)
    with pytest.raises(ValueError, match="not -1"):
        attended(-1, ())
    for bad in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            FrameBankSettings(*bad)
    for step, capacity in ((-1, 9), (3, 0)):
        with pytest.raises(ValueError, match=r"not -1 and 9|not 3 and 0"):
            recent(step, capacity)
    with pytest.raises(ValueError, match="1 pointers in tokens of 8 at positions"):
        memory_tokens(bank.read(5), drawn(7, C), drawn(SIDE**2, C), drawn(2, C))


@torch.no_grad()
@pytest.mark.parametrize(("frames", "pointers"), [(2, 5), (3, 0), (0, 4)])
def test_memory_attention_is_its_plain_form(frames: int, pointers: int) -> None:
    attention, rows = attention_of(), 2 * 3
    x, x_pos = drawn(2, rows, D, seed=1), drawn(2, rows, D, seed=2)
    memory, memory_pos = (drawn(2, frames * rows + pointers, C, seed=seed) for seed in (3, 4))
    weights: dict[str, Any] = {name: weight.numpy() for name, weight in attention.state_dict().items()}
    got = attention(x, x_pos, memory, memory_pos, pointers, grid=(2, 3))
    for one in range(2):
        want = oracle.memory_attention(
            weights, 2, *(part[one].numpy() for part in (x, x_pos, memory, memory_pos)), pointers, 3, 1e4
        )
        np.testing.assert_allclose(got[one], want, rtol=1e-6, atol=1e-7)  # angles are float32
    assert attention(x[:, :, :], x_pos, memory[:, :0], memory_pos[:, :0], grid=(2, 3)).isfinite().all()
    assert attention(x[:, :0], x_pos[:, :0], memory[:, :3], memory_pos[:, :3], 3).shape == (2, 0, D)


@torch.no_grad()
def test_whole_frames_may_change_places_and_pointers_too_but_not_tokens_within_a_frame() -> None:
    attention, q = attention_of(), SIDE**2
    x, memory, position = drawn(1, q, D), drawn(1, 3 * q + 4, C, seed=1), drawn(1, 3 * q + 4, C, seed=2)
    want = attention(x, x, memory, position, 4)
    frames = torch.arange(3 * q).view(3, q)
    moved = torch.cat([frames[[2, 0, 1]].flatten(), torch.tensor([3, 0, 2, 1]) + 3 * q])
    torch.testing.assert_close(attention(x, x, memory[:, moved], position[:, moved], 4), want)
    within = torch.cat([frames.roll(1, dims=1).flatten(), torch.arange(4) + 3 * q])
    assert not torch.allclose(attention(x, x, memory[:, within], position[:, within], 4), want)


def test_the_parameters_have_the_names_of_the_released_model() -> None:
    names = set(MemoryAttention(layers=4).state_dict())
    assert len(names) == 4 * 26 + 2
    for name in ("layers.3.cross_attn_image.k_proj.weight", "layers.0.self_attn.out_proj.bias", "norm.bias"):
        assert name in names


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_rotation_keeps_lengths_and_products_see_only_differences_of_places(
    y: int, x: int, down: int, right: int
) -> None:
    angles = axial_angles(9, 9, D)
    a, b = drawn(81, D, seed=1)[:1].expand(81, -1), drawn(81, D, seed=2)[:1].expand(81, -1)
    turned_a, turned_b = rotate(a, angles), rotate(b, angles)
    torch.testing.assert_close(turned_a.norm(dim=1), a.norm(dim=1))
    first, second = y * 9 + x, (y + down) * 9 + x + right
    torch.testing.assert_close(
        turned_a[first] @ turned_b[second], turned_a[0] @ turned_b[down * 9 + right], rtol=1e-5, atol=1e-5
    )
    assert first == second or not torch.equal(turned_a[first], turned_a[second])


def test_encodings_are_their_plain_forms() -> None:
    for height, width in ((1, 1), (2, 5), (4, 3)):
        np.testing.assert_allclose(map_positions(height, width, 8), oracle.map_positions(height, width, 8), atol=2e-6)
    for t, row in zip((0, 3, 20), pointer_encoding([0, 3, 20], 8, FrameBankSettings(max_obj_ptrs=6)), strict=True):
        phase = [t / 5 / 10000 ** (2 * (i // 2) / 4) for i in range(4)]
        np.testing.assert_allclose(row, [*np.sin(phase), *np.cos(phase)], atol=2e-6)
    assert pointer_encoding([1], 8, FrameBankSettings(max_obj_ptrs=1)).isfinite().all()
    assert pointer_encoding([], 8).shape == (0, 8)
    for bad in (lambda: map_positions(2, 2, 6), lambda: MemoryAttention(6)):
        with pytest.raises(ValueError, match="dim % 4"):
            bad()


def test_what_is_no_whole_frame_is_refused() -> None:
    attention, x = attention_of(), drawn(1, 9, D)

    def attend(tokens: int, pointers: int, **grid: Any) -> Tensor:
        return attention(x, x, drawn(1, tokens, C), drawn(1, tokens, C), pointers, **grid)

    for tokens, pointers in ((10, 0), (18, 1), (3, 4), (9, -9)):
        with pytest.raises(ValueError, match="no whole frames of 9"):
            attend(tokens, pointers)
    with pytest.raises(ValueError, match="9 tokens are no grid of 2 x 4"):
        attend(9, 0, grid=(2, 4))
    with pytest.raises(ValueError, match="memory_position"):
        attention(x, x, drawn(1, 9, C), drawn(1, 8, C))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision_stays_near_and_keeps_its_dtype(dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 2e-1}[dtype]
    inputs = [drawn(1, 9, D), drawn(1, 9, D, seed=1), drawn(1, 20, C, seed=2), drawn(1, 20, C, seed=3)]
    want = attention_of()(*inputs, 2)
    got = attention_of().to(dtype)(*(part.to(dtype) for part in inputs), 2)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)


@torch.no_grad()
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pointers", [0, 2])
def test_cuda_gives_what_the_processor_gives(pointers: int) -> None:
    inputs = [drawn(1, 9, D), drawn(1, 9, D, seed=1), drawn(1, 18 + pointers, C, seed=2)]
    want = attention_of()(*inputs, inputs[2], pointers)
    got = attention_of().cuda()(*(part.cuda() for part in inputs), inputs[2].cuda(), pointers)
    torch.testing.assert_close(got.cpu(), want)
