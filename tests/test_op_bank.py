"""The memory bank: against its plain form, between episodes, at its bounds, under training, and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.bank import BankSettings, BankState, EpisodicBank, MemoryBank
from mneme.operators.merge import merge_adjacent
from tests.oracles import bank as oracle

D, N = 8, 3
FORMS = [
    BankSettings(D, 4, timestep_dim=6),
    BankSettings(D, 4, timestep_dim=6, heads=2, merged_timestep="earlier", empty="self"),
    BankSettings(D, 4, timestep_dim=6, consolidation="fifo", fusion="add"),
    BankSettings.openvla(D, capacity=4, timestep_dim=6),
    BankSettings.dexbotic(D, capacity=4, timestep_dim=6),
    BankSettings(D, 1, timestep_dim=6, stores="fused"),
]


def bank_of(form: BankSettings, seed: int = 0, dtype: torch.dtype = torch.float64) -> MemoryBank:
    torch.manual_seed(seed)
    return MemoryBank(form).to(dtype).eval()


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def weights_of(bank: MemoryBank) -> dict[str, Any]:
    return {name: weight.double().numpy() for name, weight in bank.state_dict().items()}


def adversarial() -> Tensor:
    """[T, N, D]: noise, repeats, zero entries, zero tokens, and huge ones."""
    frames = drawn(14, N, D, seed=5)
    frames[2] = frames[1]
    frames[5] = frames[4] = 0
    frames[7, 0] = 0
    frames[8:10] *= 1e9
    frames[11] = frames[12] = frames[13]
    return frames


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_every_form_is_its_plain_form_step_by_step(form: BankSettings) -> None:
    for frames in (drawn(14, N, D), adversarial()):
        bank = bank_of(form)
        running, plain = EpisodicBank(bank, 1, N), oracle.Bank(weights_of(bank), form)
        for t, frame in enumerate(frames):
            want = plain.step(frame.numpy(), 1.5 * t)
            torch.testing.assert_close(running(frame[None], torch.tensor([1.5 * t]))[0], torch.from_numpy(want))
            held = int(running.state.length)
            assert running.state.counts[0, :held].tolist() == [count for _, _, count in plain.entries]
            np.testing.assert_allclose(running.state.timesteps[0, :held], [when for _, when, _ in plain.entries])
            for entry, (tokens, _, _) in zip(running.state.tokens[0, :held], plain.entries, strict=True):
                np.testing.assert_allclose(entry, tokens, rtol=1e-9)
            assert all(not part[0, held:].any() for part in running.state[:3])


@torch.no_grad()
def test_a_merge_is_that_of_merge_adjacent() -> None:
    bank = bank_of(BankSettings(D, 5, timestep_dim=6))
    state = bank.start(1, N)
    frames, weights = torch.empty(0, N, D, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    for t, frame in enumerate(drawn(30, N, D, seed=3)):
        state = bank.consolidate(state, frame[None], torch.tensor([float(t)]))
        frames, weights = torch.cat([frames, frame[None]]), torch.cat([weights, torch.ones(1, dtype=torch.float64)])
        frames, weights, _ = merge_adjacent(frames, 5, weights, score="token_cosine", weighted=True)
    torch.testing.assert_close(state.tokens[0], frames)
    assert state.counts[0].tolist() == weights.tolist()


@torch.no_grad()
def test_weighted_merges_keep_the_mean_of_all_that_was_seen_where_unweighted_ones_lose_the_old() -> None:
    frames, last = drawn(40, N, D, seed=1) + 3, {}
    for weighted in (True, False):
        running = EpisodicBank(bank_of(BankSettings(D, 2, timestep_dim=6, weighted=weighted)), 1, N)
        for t, frame in enumerate(frames):
            running(frame[None], torch.tensor([t]))
        counts = running.state.counts[0].double()
        assert counts.sum() == 40
        last[weighted] = (counts[:, None, None] * running.state.tokens[0]).sum(0) / 40
        when = (counts * running.state.timesteps[0]).sum() / 40
        assert torch.allclose(when, torch.tensor(19.5).double()) == weighted
    torch.testing.assert_close(last[True], frames.mean(0))
    assert not torch.allclose(last[False], frames.mean(0), rtol=0.01)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["see", "see", "nan", "reset"]), min_size=3, max_size=3), max_size=9),
    st.sampled_from(FORMS),
)
@torch.no_grad()
def test_no_episode_touches_another_and_none_outgrows_its_capacity(acts: list[list[str]], form: BankSettings) -> None:
    bank = bank_of(form)
    together, alone = EpisodicBank(bank, 3, N), [EpisodicBank(bank, 1, N) for _ in range(3)]
    for t, act in enumerate(acts):
        together.reset(torch.tensor([a == "reset" for a in act]))
        alone = [EpisodicBank(bank, 1, N) if a == "reset" else one for a, one in zip(act, alone, strict=True)]
        x = drawn(3, N, D, seed=t)
        x[[i for i, a in enumerate(act) if a == "nan"], 1, 2] = torch.nan
        when = torch.full((3,), float(t))
        out = together(x, when)
        for i, one in enumerate(alone):
            torch.testing.assert_close(out[i], one(x[i : i + 1], when[:1])[0], equal_nan=True)
            for part, own in zip(together.state, one.state, strict=True):
                torch.testing.assert_close(part[i], own[0])
    assert all(part.isfinite().all() for part in together.state)
    assert (together.state.length <= form.capacity).all()
    fresh = together.state.reset()
    assert all(torch.equal(part, empty) for part, empty in zip(fresh, bank.start(3, N), strict=True))


@torch.no_grad()
@pytest.mark.parametrize("seen", [0, 2, 6])
def test_what_is_not_finite_is_answered_and_never_taken_up(seen: int) -> None:
    running = EpisodicBank(bank_of(FORMS[0]), 1, N)
    for t in range(seen):
        running(drawn(1, N, D, seed=t), torch.tensor([t]))
    before = running.state
    for bad in (torch.nan, torch.inf):
        x = drawn(1, N, D)
        x[0, 1, 2] = bad
        out = running(x, torch.tensor([6]))
        assert out.isnan().all()
        assert running(drawn(1, N, D), torch.tensor([bad])).isfinite().all()
        assert all(torch.equal(now, then) for now, then in zip(running.state, before, strict=True))


@torch.no_grad()
def test_the_state_goes_through_a_file_as_plain_tensors(tmp_path: Path) -> None:
    bank = bank_of(FORMS[0])
    state = bank.start(2, N)
    for t in range(7):
        _, state = bank.step(state, drawn(2, N, D, seed=t), torch.tensor([t, 2 * t]))
    torch.save(state._asdict(), tmp_path / "bank.pt")
    restored = BankState(**torch.load(tmp_path / "bank.pt", weights_only=True))
    x, when = drawn(2, N, D, seed=9), torch.tensor([7, 14])
    assert torch.equal(bank.step(restored, x, when)[0], bank.step(state, x, when)[0])


@torch.no_grad()
def test_a_step_changes_neither_the_state_it_was_given_nor_the_module() -> None:
    bank = bank_of(FORMS[0])
    state = bank.start(1, N)
    for t in range(5):
        copies = [part.clone() for part in state]
        first, after = bank.step(state, drawn(1, N, D, seed=t), torch.tensor([t]))
        again, _ = bank.step(state, drawn(1, N, D, seed=t), torch.tensor([t]))
        assert torch.equal(first, again)
        assert all(torch.equal(part, copy) for part, copy in zip(state, copies, strict=True))
        state = after


@pytest.mark.parametrize("form", FORMS[:5], ids=range(5))
def test_gradients_reach_every_projection_and_the_past_and_stay_finite_after_a_nan(form: BankSettings) -> None:
    bank = bank_of(form)
    start, frames = bank.start(2, N), [drawn(2, N, D, seed=t).requires_grad_() for t in range(9)]
    start.tokens.requires_grad_()
    state = start
    for t, frame in enumerate(frames):
        x = torch.stack([frame[0], torch.full_like(frame[1], torch.nan)]) if t in (0, 6) else frame
        out, state = bank.step(state, x, torch.tensor([t, t]))
    out.square().sum().backward()
    for name, weight in bank.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or name.endswith("k_proj.bias"), name  # a softmax is blind to what all keys share
    assert start.tokens.grad is not None
    assert start.tokens.grad.isfinite().all()
    for t, frame in enumerate(frames[-form.capacity :], 9 - form.capacity):
        assert frame.grad is not None, t
        assert frame.grad[0].any(), t
        assert frame.grad.isfinite().all(), t


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision_stays_near_and_keeps_its_dtype(dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    form = BankSettings(D, 4, timestep_dim=6, heads=2, consolidation="fifo")
    exact, low = EpisodicBank(bank_of(form), 2, N), EpisodicBank(bank_of(form, dtype=dtype), 2, N)
    for t in range(9):
        x = drawn(2, N, D, seed=t)
        want, got = exact(x, torch.tensor([t, 1000 * t])), low(x.to(dtype), torch.tensor([t, 1000 * t]))
        assert got.dtype == low.state.tokens.dtype == dtype
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)
    assert low.state.timesteps.dtype == torch.float32  # 8000 is no bfloat16
    assert low.state.timesteps[1].tolist() == [5000, 6000, 7000, 8000]


@torch.no_grad()
def test_huge_entries_are_compared_by_direction_and_a_zero_entry_is_like_nothing() -> None:
    bank = bank_of(BankSettings(2, 3, timestep_dim=2), dtype=torch.float32)
    for scale in (1.0, 1e30, 1e-30):
        for entries, merged in (
            ([[1, 0], [0, 1], [0.1, 1], [1, 1]], 1),  # the most alike
            ([[1, 0], [0, 0], [0, 1], [-1, -0.1]], 0),  # ties at cosine 0: the first
            ([[1, 0], [-1, 0], [0, 0], [1, 0]], 1),  # 0 beats -1
            ([[0, 1], [0, 1], [1, 0], [1, 0]], 0),  # duplicates: the first
        ):
            state = bank.start(1, 1)
            for t, entry in enumerate(entries):
                state = bank.consolidate(state, scale * torch.tensor([[entry]]).float(), torch.tensor([float(t)]))
            assert state.counts[0].tolist() == [2 if i == merged else 1 for i in range(3)]


@torch.no_grad()
def test_no_episodes_and_no_tokens_are_fine() -> None:
    bank = bank_of(FORMS[0])
    out, state = bank.step(bank.start(0, N), torch.empty(0, N, D).double(), torch.empty(0))
    assert out.shape == (0, N, D)
    assert state.tokens.shape == (0, 4, N, D)
    state = bank.start(2, 0)
    for t in range(6):
        out, state = bank.step(state, torch.empty(2, 0, D).double(), torch.tensor([t, t]))
    assert out.shape == (2, 0, D)
    assert state.counts.sum(1).tolist() == [6, 6]


def test_what_does_not_fit_is_refused_by_its_shapes() -> None:
    bank = bank_of(FORMS[0])
    state = bank.start(2, N)
    with pytest.raises(ValueError, match=r"tokens\[2, 3, 9\]"):
        bank.step(state, torch.zeros(2, N, D + 1), torch.zeros(2))
    with pytest.raises(ValueError, match=r"timesteps\[3\]"):
        bank.step(state, torch.zeros(2, N, D), torch.zeros(3))
    with pytest.raises(ValueError, match=r"bank\[2, 4, 3, 8\]"):
        bank.step(state, torch.zeros(2, N + 1, D), torch.zeros(2))
    with pytest.raises(ValueError, match=r"episodes\[3\]"):
        state.reset(torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="bool"):
        state.reset(torch.tensor([0, 1]))
    for bad in ({"capacity": 0}, {"heads": 3}, {"heads": 0}, {"layers": -1}):
        with pytest.raises(ValueError, match=r"bank of dim|do not divide"):
            BankSettings(D, **bad)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
def test_the_step_exports_and_onnx_runtime_repeats_a_whole_episode_of_any_batch(tmp_path: Path) -> None:
    import onnxruntime

    bank = bank_of(BankSettings(D, 6, timestep_dim=6, heads=2), dtype=torch.float32)
    batch = {0: torch.export.Dim("B", min=1, max=1024)}
    program = torch.onnx.export(
        bank,
        (bank.start(2, N), torch.zeros(2, N, D), torch.zeros(2)),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(BankState(batch, batch, batch, batch), batch, batch),
    )
    assert program is not None
    program.save(str(tmp_path / "bank.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "bank.onnx"), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    for episodes in (1, 3):
        state = bank.start(episodes, N)
        held = [part.numpy() for part in state]
        for t in range(40):
            x, when = drawn(episodes, N, D, seed=t, dtype=torch.float32), torch.full((episodes,), float(t))
            x[0, 0, 0] = torch.nan if t == 20 else x[0, 0, 0]
            out, state = bank.step(state, x, when)
            got, *held = session.run(None, dict(zip(names, [*held, x.numpy(), when.numpy()], strict=True)))
            np.testing.assert_allclose(got, out, rtol=1e-4, atol=1e-5)
            for ours, theirs in zip(held, state, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert state.counts.sum(1).tolist() == [39] + [40] * (episodes - 1)


@torch.no_grad()
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_cuda_gives_what_the_processor_gives(form: BankSettings) -> None:
    bank, there = bank_of(form), bank_of(form).cuda()
    here, away = EpisodicBank(bank, 2, N), EpisodicBank(there, 2, N)
    for t in range(9):
        x, when = drawn(2, N, D, seed=t), torch.tensor([t, t])
        torch.testing.assert_close(away(x.cuda(), when.cuda()).cpu(), here(x, when))
