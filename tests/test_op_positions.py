"""Encodings of when and where, against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from mneme.operators.positions import FourierPositions, Order, sine_encoding

TIMES = [0.0, 1.0, -3.5, 17.25, 4096.0]
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def by_formula(t: float, dim: int, base: float, order: str, paired: bool) -> list[float]:
    half = dim // 2
    angles = [t / base ** ((i // 2 * 2 if paired else i) / half) for i in range(half)]
    sines, cosines = [math.sin(a) for a in angles], [math.cos(a) for a in angles]
    if order == "interleaved":
        return [wave for pair in zip(sines, cosines, strict=True) for wave in pair]
    return sines + cosines if order == "sin_cos" else cosines + sines


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("order", ["sin_cos", "cos_sin", "interleaved"])
@pytest.mark.parametrize(("dim", "base", "paired"), [(2, 10000.0, False), (10, 100.0, False), (12, 10000.0, True)])
def test_every_order_is_its_formula(device: str, order: Order, dim: int, base: float, paired: bool) -> None:
    got = sine_encoding(torch.tensor(TIMES, dtype=torch.float64, device=device), dim, base, order, paired)
    want = [by_formula(t, dim, base, order, paired) for t in TIMES]
    torch.testing.assert_close(got.cpu(), torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_result_has_the_positions_dtype_and_shape() -> None:
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert sine_encoding(torch.zeros(2, 3, dtype=dtype), 4).dtype == dtype
    assert sine_encoding(torch.zeros(2, 3, dtype=torch.int64), 4).dtype == torch.float32
    assert sine_encoding(torch.zeros(2, 3), 4).shape == (2, 3, 4)
    assert sine_encoding(torch.zeros(0), 4).shape == (0, 4)


def test_a_half_position_is_computed_in_float32() -> None:
    exact = sine_encoding(torch.tensor([2047.0]), 16)
    assert (sine_encoding(torch.tensor([2047.0], dtype=torch.float16), 16) - exact).abs().max() < 1e-3


def test_a_position_that_is_nan_spoils_itself_alone() -> None:
    got = sine_encoding(torch.tensor([1.0, float("nan")]), 4)
    assert not got[0].isnan().any()
    assert got[1].isnan().all()


@pytest.mark.parametrize(("dim", "base"), [(3, 10.0), (0, 10.0), (4, 0.0)])
def test_bad_sizes_are_refused(dim: int, base: float) -> None:
    with pytest.raises(ValueError, match="even dim"):
        sine_encoding(torch.zeros(1), dim, base)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="interleaved, not tan"):
        sine_encoding(torch.zeros(1), 4, order="tan")  # type: ignore[arg-type]


def test_fourier_positions_are_their_formula_and_groups_are_set_side_by_side() -> None:
    torch.manual_seed(0)
    module = FourierPositions(axes=2, dim=6, features=4, hidden=5, groups=2).double()
    places = torch.randn(3, 2, 2, dtype=torch.float64)
    w, mlp = module.frequencies.weight.detach(), module.mlp
    for n in range(3):
        for g in range(2):
            angles = [float(w[i] @ places[n, g]) for i in range(2)]
            waves = [math.cos(a) / 2 for a in angles] + [math.sin(a) / 2 for a in angles]
            hidden = mlp[0].weight @ torch.tensor(waves, dtype=torch.float64) + mlp[0].bias
            hidden = torch.stack([h * 0.5 * (1 + torch.erf(h / math.sqrt(2))) for h in hidden])
            want = mlp[2].weight @ hidden + mlp[2].bias
            torch.testing.assert_close(module(places)[n, 3 * g : 3 * g + 3], want)


def test_gamma_is_the_scale_of_near() -> None:
    torch.manual_seed(0)
    wide = FourierPositions(axes=2, dim=4, features=2000, hidden=4, gamma=10.0)
    assert wide.frequencies.weight.std().item() == pytest.approx(0.1, rel=0.1)


def test_fourier_positions_refuse_other_shapes_and_sizes() -> None:
    with pytest.raises(ValueError, match=r"\[3, 2\] given"):
        FourierPositions(2, 4, 4, 4)(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="groups 3"):
        FourierPositions(2, 4, 4, 4, groups=3)
