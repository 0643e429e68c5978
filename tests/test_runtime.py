"""Running a model: one protocol, providers that are checked, exports that compute what the module does."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mneme.encoders import runtime as runtimes
from mneme.encoders.export import ExportError, ParityError, export_onnx, held_to, parity
from mneme.encoders.precision import half_arithmetic, half_weights, int8, mostly_convolutions
from mneme.encoders.runtime import CPU, CUDA, TENSORRT, OnnxRuntime, Runtime, onnx_session, require_providers
from mneme.encoders.tensorrt import cache_key, gpu_name, shape_profile, tensorrt_providers
from mneme.encoders.torch_runtime import TorchRuntime, torch_threads
from mneme.encoders.towers import Tower, towers_of
from mneme.errors import MissingError, SettingsError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Perceptron(nn.Module):
    """Numbers to unit vectors by two matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 32))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.layers(x), dim=-1)


class Convolutions(nn.Module):
    """Pictures to a vector and tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(32, 64, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.second(torch.relu(self.first(x))))
        return y.mean(dim=(2, 3)), y.flatten(2).transpose(1, 2)


def numbers(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
    return (np.random.default_rng(seed).standard_normal((sizes["batch"], 64), dtype=np.float32),)


def pictures(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
    return (np.random.default_rng(seed).random((sizes["batch"], 3, 16, 16), dtype=np.float32),)


def seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


SIZES = {"batch": (1, 8, 32)}
PERCEPTRON = Tower(
    "perceptron", "a" * 64, lambda: seeded(Perceptron), {"x": ("batch", 64)}, SIZES, ("vectors",), numbers
)
CONVOLUTIONS = Tower(
    "convolutions", "b" * 64, lambda: seeded(Convolutions), {"x": ("batch", 3, 16, 16)}, SIZES,
    ("vectors", "tokens"), pictures,
)  # fmt: skip


def against(tower: Tower, model: bytes, batch: int = 8) -> float:
    """The lowest cosine of a model against its tower in torch."""
    inputs = tower.examples({"batch": batch}, 7)
    return parity(TorchRuntime(tower.module()).run(*inputs), OnnxRuntime(onnx_session(model)).run(*inputs))


@pytest.fixture(scope="module")
def perceptron() -> bytes:
    return export_onnx(PERCEPTRON)


@pytest.fixture(scope="module")
def convolutions() -> bytes:
    return export_onnx(CONVOLUTIONS)


def test_an_export_computes_what_the_module_does_at_any_batch(perceptron: bytes, convolutions: bytes) -> None:
    for batch in (1, 3, 32):
        assert against(PERCEPTRON, perceptron, batch) > 0.999999
        assert against(CONVOLUTIONS, convolutions, batch) > 0.999999
    session = onnx_session(convolutions)
    assert [node.name for node in session.get_inputs()] == ["x"]
    assert [node.name for node in session.get_outputs()] == ["vectors", "tokens"]


def test_the_same_module_is_written_as_the_same_bytes(perceptron: bytes) -> None:
    assert export_onnx(PERCEPTRON) == perceptron


def test_an_export_holds_no_path_of_this_machine(perceptron: bytes) -> None:
    assert b"test_runtime" not in perceptron
    assert b"/" not in perceptron.split(b"layers.0.weight")[0]


def test_a_module_that_decides_by_its_data_cannot_be_exported_and_one_line_says_so() -> None:
    class Deciding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    tower = Tower("deciding", "c" * 64, Deciding, {"x": ("batch", 64)}, SIZES, ("vectors",), numbers)
    with pytest.raises(ExportError, match="deciding cannot be written as an ONNX model") as caught:
        export_onnx(tower)
    assert "\n" not in str(caught.value)


def test_weights_in_half_take_half_the_bytes_and_keep_the_vectors(perceptron: bytes) -> None:
    half = half_weights(perceptron)
    assert len(half) < 0.65 * len(perceptron)
    assert 0.999 < against(PERCEPTRON, half) < 1.0
    assert against(PERCEPTRON, half_arithmetic(perceptron)) > 0.999


def test_weights_that_half_cannot_hold_stay_as_they_are() -> None:
    def large() -> nn.Module:
        module = seeded(Perceptron)
        with torch.no_grad():
            module.layers[0].weight[0, 0] = 1e6
        return module

    tower = Tower("large", "d" * 64, large, {"x": ("batch", 64)}, SIZES, ("vectors",), numbers)
    assert against(tower, half_weights(export_onnx(tower))) > 0.999


def test_eight_bits_are_chosen_by_what_a_model_is_made_of(perceptron: bytes, convolutions: bytes) -> None:
    assert not mostly_convolutions(perceptron)
    assert mostly_convolutions(convolutions)
    assert 0.99 < against(PERCEPTRON, int8(perceptron)) < 1.0
    batches = [{"x": pictures({"batch": 8}, 1000 + seed)[0]} for seed in range(4)]
    small = int8(convolutions, batches)
    assert len(small) < len(convolutions)
    assert 0.99 < against(CONVOLUTIONS, small) < 1.0


def test_parity_is_the_lowest_cosine_of_any_row_and_nothing_agrees_with_not_a_number() -> None:
    ours = np.float32([[1, 0], [0, 1], [0, 0]])
    assert parity([ours], [ours]) == 1.0
    assert parity([ours], [np.float32([[1, 0], [1, 1], [0, 0]])]) == pytest.approx(0.5**0.5)
    assert parity([ours], [np.float32([[1, 0], [0, np.nan], [0, 0]])]) == -1.0
    assert parity([ours], [np.float32([[1, 0], [0, 1], [1, 0]])]) == 0.0
    with pytest.raises(ValueError, match="cannot be compared"):
        parity([ours], [ours[:2]])


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("half", 0.999), ("int8", 0.99)])
def test_under_its_least_cosine_a_model_is_refused(precision: Any, least: float) -> None:
    assert held_to("tower", least, precision) == least
    for cosine in (least - 1e-5, float("nan")):
        with pytest.raises(ParityError, match=f"tower in {precision} has a cosine of"):
            held_to("tower", cosine, precision)


def test_every_runtime_answers_to_one_protocol(perceptron: bytes) -> None:
    inputs = numbers({"batch": 4}, 1)
    module = seeded(Perceptron)
    eager, half, onnx = TorchRuntime(module), TorchRuntime(module, half=True), OnnxRuntime(onnx_session(perceptron))
    for runtime in (eager, half, onnx):
        assert isinstance(runtime, Runtime)
        (vectors,) = runtime.run(*inputs)
        assert vectors.dtype == np.float32
        assert vectors.shape == (4, 32)
        assert parity(eager.run(*inputs), (vectors,)) > 0.999
    assert [runtime.name for runtime in (eager, half, onnx)] == ["torch", "torch half", "onnx"]
    assert next(module.parameters()).dtype == torch.float32, "the module handed in stays as it is"


def test_compiling_without_a_compiler_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(MissingError, match=r"no C\+\+ compiler; install g\+\+"):
        TorchRuntime(seeded(Perceptron), compiled=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_torch_does_not_see_is_an_error() -> None:
    with pytest.raises(MissingError, match="torch sees no CUDA device"):
        TorchRuntime(seeded(Perceptron), device="cuda")


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_provider_that_the_session_did_not_get_is_an_error_that_names_what_is_missing(provider: str) -> None:
    if gpu_name() is not None:
        pytest.skip("this machine has a GPU")
    missing = r"onnxruntime-gpu is not installed|libcuda\.so\.1"
    with pytest.raises(MissingError, match=f"{provider}: ({missing})") as caught:
        onnx_session(b"", providers=(provider, CPU))
    assert "\n" not in str(caught.value)


def test_the_library_that_is_missing_is_the_one_that_the_linker_misses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a machine with a driver and onnxruntime-gpu but no TensorRT: what the linker says there is played back."""
    said = "libnvinfer.so.10: cannot open shared object file: No such file or directory"
    opened = ctypes.CDLL

    def linker(name: str) -> Any:
        if name == "libcuda.so.1":
            return None
        if name.endswith("providers_tensorrt.so"):
            raise OSError(said)
        return opened(name)

    monkeypatch.setattr(runtimes.ctypes, "CDLL", linker)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(runtimes, "package_file", lambda *_, **__: tmp_path)
    with pytest.raises(MissingError, match=r"TensorrtExecutionProvider: libnvinfer\.so\.10 is missing; pip install"):
        require_providers([TENSORRT])


def test_a_missing_onnxruntime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingError, match="onnxruntime is not installed; pip install"):
        onnx_session(b"")


def test_shapes_are_told_to_tensorrt_as_it_reads_them() -> None:
    axes = {"ids": ("batch", "length"), "mask": ("batch", "length")}
    shapes = shape_profile(axes, {"batch": (1, 8, 32), "length": (8, 32, 256)})
    assert shapes == {
        "trt_profile_min_shapes": "ids:1x8,mask:1x8",
        "trt_profile_opt_shapes": "ids:8x32,mask:8x32",
        "trt_profile_max_shapes": "ids:32x256,mask:32x256",
    }
    with pytest.raises(SettingsError, match="the axis length of ids has no sizes"):
        shape_profile(axes, {"batch": (1, 8, 32)})
    with pytest.raises(SettingsError, match="sizes 8, 4, 32"):
        shape_profile(axes, {"batch": (8, 4, 32)})


def test_an_engine_is_of_its_weights_shapes_precision_gpu_and_runtime() -> None:
    shapes = {"trt_profile_min_shapes": "x:1x3"}
    keys = {
        cache_key("w", shapes, "half", "H100", "1.31"), cache_key("v", shapes, "half", "H100", "1.31"),
        cache_key("w", {"trt_profile_min_shapes": "x:2x3"}, "half", "H100", "1.31"),
        cache_key("w", shapes, "fp32", "H100", "1.31"), cache_key("w", shapes, "half", "L4", "1.31"),
        cache_key("w", shapes, "half", "H100", "1.32"),
    }  # fmt: skip
    assert len(keys) == 6
    assert cache_key("w", shapes, "half", "H100", "1.31") in keys


def test_tensorrt_comes_first_keeps_its_engines_and_shares_timings_of_one_gpu(tmp_path: Path) -> None:
    made = [
        tensorrt_providers(tmp_path, weights, {"x": ("batch", 3)}, SIZES, "half", "NVIDIA H100") for weights in "ab"
    ]
    assert [provider if isinstance(provider, str) else provider[0] for provider in made[0]] == [TENSORRT, CUDA, CPU]
    first, second = (dict(providers[0][1]) for providers in made)  # type: ignore[arg-type]
    assert first["trt_fp16_enable"] == "True"
    assert first["trt_int8_enable"] == "False"
    assert first["trt_profile_opt_shapes"] == "x:8x3"
    assert first["trt_engine_cache_path"] != second["trt_engine_cache_path"]
    assert first["trt_timing_cache_path"] == second["trt_timing_cache_path"]


def test_a_profile_without_towers_says_which_have_some() -> None:
    with pytest.raises(SettingsError, match=r"'nothing' has nothing to compile; choose one of .*embedded"):
        towers_of("nothing")
