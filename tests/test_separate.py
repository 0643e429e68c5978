"""Pattern separation, SSIM as published, and the gate of change."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from mneme.operators.separate import ChangeGate, Separator, keyframes, ssim


def plain_keyframes(features: np.ndarray, threshold: float) -> list[int]:
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    kept: list[int] = []
    for i, row in enumerate(unit):
        if all(float(row @ unit[k]) < threshold for k in kept):
            kept.append(i)
    return kept


def plain_ssim(a: np.ndarray, b: np.ndarray) -> float:
    def grey(p: np.ndarray) -> np.ndarray:
        red, green, blue = np.moveaxis(p.astype(np.int64), 2, 0)
        return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15) / 255.0

    x, y = (sliding_window_view(grey(p), (7, 7)).reshape(-1, 49) for p in (a, b))
    mx, my = x.mean(1), y.mean(1)
    vx, vy = x.var(1, ddof=1), y.var(1, ddof=1)
    cov = ((x - mx[:, None]) * (y - my[:, None])).sum(1) / 48
    return float(np.mean((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))))


def drawn(seed: int, height: int = 180, width: int = 320) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([0.5, 0.8, 0.9]))
def test_keyframes_are_those_unlike_all_kept_before(seed: int, count: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((max(1, count // 20), 8))[rng.integers(0, max(1, count // 20), count)]
    features = (features + 0.2 * rng.standard_normal((count, 8))).astype(np.float32)
    assert keyframes(torch.from_numpy(features), threshold).tolist() == plain_keyframes(
        features.astype(np.float64), threshold
    )


def test_a_stream_keeps_what_the_whole_array_keeps() -> None:
    features = np.random.default_rng(1).standard_normal((400, 4)).astype(np.float32)
    separator = Separator(0.9)
    online = [i for i, vector in enumerate(features) if separator.admits(vector)]
    assert online == keyframes(torch.from_numpy(features), 0.9).tolist()
    assert len(separator) == len(online)
    separator.clear()
    assert separator.admits(features[1])


def test_the_same_frame_twice_is_kept_once_and_nan_never() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [float("nan"), 1.0], [0.0, 2.0]])
    assert keyframes(features).tolist() == [0, 3]
    separator = Separator()
    assert [separator.admits(row) for row in features.numpy()] == [True, False, False, True]


def test_features_of_a_wrong_shape_are_named() -> None:
    with pytest.raises(ValueError, match=r"features\[3\] given where features\[T,D\]"):
        keyframes(torch.zeros(3))
    assert keyframes(torch.zeros(0, 5)).tolist() == []


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_ssim_is_the_published_formula(first: int, second: int) -> None:
    a, b = drawn(first, 24, 36), drawn(second, 24, 36)
    assert ssim(a, b) == pytest.approx(plain_ssim(a, b), abs=1e-9)


def test_a_picture_is_like_itself() -> None:
    assert ssim(drawn(1), drawn(1)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="one shape"):
        ssim(drawn(1), drawn(1)[:-1])


def test_the_gate_lets_through_the_first_picture_and_a_new_scene() -> None:
    gate = ChangeGate()
    passed = []
    for picture in [drawn(1), drawn(1), drawn(2), drawn(2)]:
        gate.look(picture)
        passed.append(gate.changed)
    assert passed == [True, False, True, False]


def test_small_changes_pass_once_their_sum_is_large() -> None:
    before, after = drawn(1), drawn(1)
    after[:, :80] = drawn(2)[:, :80]  # a quarter
    gate = ChangeGate(threshold=0.5)
    gate.look(before)
    differences, passed = [], []
    for _ in range(4):
        differences.append(gate.look(after))
        passed.append(gate.changed)
    assert 0.15 < differences[0] < 0.3
    assert passed.index(True) == int(0.5 / differences[0])


def noisy(picture: np.ndarray, sigma: float = 12.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)


def test_sparse_windows_see_what_the_whole_picture_shows() -> None:
    a = drawn(3, 360, 640)
    gate = ChangeGate()
    gate.look(a)
    assert gate.look(noisy(a)) == pytest.approx(1 - ssim(a, noisy(a)), abs=0.01)


@pytest.mark.parametrize(("height", "width"), [(7, 7), (7, 320), (50, 8), (45, 61)])
def test_at_a_stride_of_one_the_gate_is_ssim(height: int, width: int) -> None:
    a, b = drawn(4)[:height, :width], drawn(5)[:height, :width]
    gate = ChangeGate(stride=1)
    gate.look(a)
    assert gate.look(b) == pytest.approx(1 - ssim(a, b), abs=1e-5)


@pytest.mark.parametrize(("height", "width", "stride"), [(7, 7, 5), (12, 13, 5), (64, 47, 3), (33, 90, 28)])
def test_the_windows_looked_at_are_ssims_own_and_stand_in_the_middle(height: int, width: int, stride: int) -> None:
    a, b = drawn(6)[:height, :width], drawn(7)[:height, :width]
    tops, lefts = (range((n - 7) % stride // 2, n - 6, stride) for n in (height, width))
    own = [ssim(a[i : i + 7, j : j + 7], b[i : i + 7, j : j + 7]) for i in tops for j in lefts]
    gate = ChangeGate(stride=stride)
    gate.look(a)
    assert gate.look(b) == pytest.approx(1 - np.mean(own), abs=5e-5)


def test_the_first_picture_of_a_size_passes_whatever_the_threshold() -> None:
    gate = ChangeGate(threshold=np.inf)
    sizes = [(40, 60), (40, 60), (42, 60), (40, 60)]
    assert [(gate.look(drawn(1)[:h, :w]), gate.changed)[1] for h, w in sizes] == [True, False, True, True]
    gate.clear()
    gate.look(drawn(1)[:40, :60])
    assert gate.changed
    with pytest.raises(ValueError, match="at least 7 x 7, not 6 x 60"):
        gate.look(drawn(1)[:6, :60])
    with pytest.raises(ValueError, match="one window in 0"):
        ChangeGate(stride=0)


def test_a_reference_stays_when_its_grey_picture_is_written_over() -> None:
    picture = np.full((30, 40), 200, np.uint8)
    gate = ChangeGate()
    gate.look(picture)
    picture[:] = drawn(1)[:30, :40, 0]
    assert gate.look(np.full((30, 40), 200, np.uint8)) == pytest.approx(0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rows_of_any_length_and_dtype_are_told_apart_by_direction(dtype: torch.dtype) -> None:
    long = {torch.float16: 6e4, torch.float64: 1e100}.get(dtype, 1e30)
    rows = [[0, 0], [long, 0], [1, 0], [0, 1 / long], [0, long], [float("inf"), 1], [0, 0], [-1, 0]]
    features = torch.tensor(rows, dtype=dtype)
    assert keyframes(features).tolist() == [0, 1, 3, 6, 7]
    separator = Separator()
    if dtype == torch.float32:
        assert [i for i, row in enumerate(features.numpy()) if separator.admits(row)] == [0, 1, 3, 6, 7]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_keyframes_are_the_same_on_cuda() -> None:
    features = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)).cuda()
    kept = keyframes(features, 0.8)
    assert kept.device == features.device
    assert kept.tolist() == keyframes(features.cpu(), 0.8).tolist()
