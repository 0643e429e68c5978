"""Compiling: what is kept, what is refused, and that encoders find it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn
from typer.testing import CliRunner

from mneme.encoders import eyes as eyes_module
from mneme.encoders import towers
from mneme.encoders.compiled import best_model, compiled_session, read_record, write_record
from mneme.encoders.export import ParityError
from mneme.encoders.eyes import Eyes
from mneme.encoders.hearing import DIM, SAMPLES, Hearing
from mneme.encoders.image_graph import split
from mneme.encoders.runtime import CPU
from mneme.encoders.sentence_bert import SentenceBert
from mneme.encoders.text import MiniLM
from mneme.encoders.torch_runtime import TorchRuntime
from mneme.encoders.towers import Tower
from mneme.errors import MissingError, MnemeError, SettingsError
from mneme.pipeline import compile as compiling
from mneme.pipeline.compile import Compiled, compile_profile, compile_tower
from mneme.ui.cli import mendable
from mneme.ui.compile_command import compile_command

WEIGHTS = "0123456789abcdef" * 4


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 32))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.layers(x), dim=-1)


def small(spread: float = 1.0) -> nn.Module:
    """It ignores the first number that it is given, the more so the larger that is."""
    torch.manual_seed(0)
    module = Small().eval()
    with torch.no_grad():
        module.layers[0].weight[:, 0] /= spread**2
    return module


def tower(name: str = "small", spread: float = 1.0) -> Tower:
    """With a spread the first number dwarfs all others: a scale of eight bits that holds it loses these."""

    def examples(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
        x = np.random.default_rng(seed).standard_normal((sizes["batch"], 64), dtype=np.float32)
        x[:, 0] *= spread
        return (x,)

    return Tower(
        name, WEIGHTS, lambda: small(spread), {"x": ("batch", 64)}, {"batch": (1, 8, 32)}, ("vectors",), examples
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Compiled, Compiled]:
    """A cache folder with one tower in fp32 and in half."""
    folder = tmp_path_factory.mktemp("cache")
    full = compile_tower(tower(), "onnx", "fp32", cache=folder)
    return folder, full, compile_tower(tower(), "onnx", "half", cache=folder)


@pytest.fixture
def cache(kept: tuple[Path, Compiled, Compiled], tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(kept[0], tmp_path / "cache"))


def test_what_is_compiled_is_found_by_its_weights_and_computes_the_same(cache: Path, tmp_path: Path) -> None:
    assert best_model("small", WEIGHTS, tmp_path / "empty") is None
    assert best_model("small", WEIGHTS, cache) is not None
    assert best_model("small", WEIGHTS[::-1], cache) is None
    assert best_model("other", WEIGHTS, cache) is None
    session = compiled_session("small", WEIGHTS, cache=cache)
    assert session is not None
    assert session.get_providers() == [CPU]
    inputs = tower().examples({"batch": 5}, 3)
    (vectors,) = session.run(["vectors"], {"x": inputs[0]})
    np.testing.assert_allclose(vectors, TorchRuntime(small()).run(*inputs)[0], atol=1e-3)


def test_the_record_says_what_was_measured(kept: tuple[Path, Compiled, Compiled]) -> None:
    _, full, half = kept
    record = read_record(half.path)
    assert record == half.record
    assert (record.name, record.weights, record.runtime, record.precision) == ("small", WEIGHTS, "onnx", "half")
    assert record.bytes == half.path.stat().st_size < full.path.stat().st_size
    assert record.gpu is None
    assert 0.999 <= record.parity < full.record.parity
    assert record.build_s > 0
    assert record.speed_up == pytest.approx(half.reference_ms / half.compiled_ms)


def test_of_several_the_fastest_is_taken(kept: tuple[Path, Compiled, Compiled], cache: Path) -> None:
    full, half = (replace(made, path=cache / "compiled" / made.path.name) for made in kept[1:])
    for best, speeds in ((full, (2.0, 1.5)), (half, (1.5, 2.0))):
        write_record(full.path, replace(full.record, speed_up=speeds[0]))
        write_record(half.path, replace(half.record, speed_up=speeds[1]))
        assert best_model("small", WEIGHTS, cache) == best.path


def test_what_changes_vectors_too_much_is_refused_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"lossy in int8 has a cosine of .* under 0\.99; compile it without --int8"):
        compile_tower(tower("lossy", spread=300.0), "onnx", "int8", cache=tmp_path)
    assert [path.name for path in (tmp_path / "compiled").iterdir()] == []
    assert compile_tower(tower(), "onnx", "int8", cache=tmp_path).record.parity >= 0.99


def test_artefacts_that_cannot_run_here_or_are_not_whole_are_not_taken(
    kept: tuple[Path, Compiled, Compiled], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record, path = kept[1].record, cache / "compiled" / kept[1].path.name
    for other in (cache / "compiled").glob("*half*"):
        other.unlink()
    caplog.set_level(logging.WARNING)
    for unfit in ({"runtime": "tensorrt", "gpu": "a GPU that nobody has"}, {"parity": -1.0}, {"format": 0}):
        write_record(path, replace(record, **unfit))  # parity -1: killed before it was measured
        assert best_model("small", WEIGHTS, cache) is None
    assert not caplog.messages
    path.with_suffix(".json").write_text("{", encoding="utf-8")
    assert best_model("small", WEIGHTS, cache) is None
    write_record(path, record)
    assert best_model("small", WEIGHTS, cache) == path
    path.write_bytes(path.read_bytes()[:-1])
    assert best_model("small", WEIGHTS, cache) is None
    assert caplog.messages[-1].startswith(f"the compiled model {path} is not used, compile it again")


def test_a_cache_folder_that_takes_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cannot write .*; set MNEME_CACHE to a folder"):
        compile_tower(tower(), "onnx", "fp32", cache=tmp_path)


@pytest.mark.parametrize("runtime", ["tensorrt", "onnx-cuda"])
def test_a_runtime_that_is_not_here_is_refused_before_anything_is_built(runtime: str, tmp_path: Path) -> None:
    if compiling.gpu_name() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingError, match="did not give the provider"):
        compile_profile("embedded", runtime, cache=tmp_path)
    assert not (tmp_path / "compiled").exists()


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "fp32"), ("onnx", "fp8")])
def test_unknown_runtimes_and_precisions_name_the_known(runtime: str, precision: str) -> None:
    with pytest.raises(SettingsError, match="choose one of"):
        compile_profile("embedded", runtime, precision)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command as ui/cli.py registers it, on a profile with one small tower."""
    monkeypatch.setenv("MNEME_CACHE", str(tmp_path))
    monkeypatch.setattr(towers, "TOWERS", {"tiny": lambda: [tower()]})
    app = typer.Typer()
    app.command("compile")(mendable(compile_command))
    return app


def test_the_command_prints_size_time_parity_and_speed_up(command: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["tiny", "--runtime", "onnx", "--half", "--json"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert told["tower"] == "small"
    assert told["precision"] == "half"
    assert told["bytes"] == Path(told["path"]).stat().st_size
    assert 0.999 <= told["parity"] <= 1
    assert told["build_s"] > 0
    assert told["speed_up"] == pytest.approx(told["reference_ms"] / told["compiled_ms"], rel=0.05)
    assert best_model("small", WEIGHTS) == Path(told["path"])
    spoken = CliRunner().invoke(command, ["tiny"]).stdout
    assert "small: onnx fp32" in spoken
    assert "cosine 1.0000" in spoken
    assert str(tmp_path) not in spoken or "remove" in spoken


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["tiny", "--half", "--int8"], "mneme: --half and --int8 are two precisions; give one of them"),
        (["large"], "mneme: the profile 'large' has nothing to compile; choose one of tiny"),
        (["tiny", "--runtime", "abacus"], "mneme: there is no runtime 'abacus' to compile for; choose one of"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(command: typer.Typer, given: list[str], line: str) -> None:
    done = CliRunner().invoke(command, given)
    assert done.exit_code == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_the_text_tower_in_torch_is_the_one_that_text_is_embedded_with() -> None:
    minilm = towers.minilm()
    encoder = MiniLM()
    assert minilm.weights.startswith(encoder.spec.space.weights)
    texts = ["a red mug", "the dog barked in the garden while it rained"]
    pieces = encoder._tokenizer.encode_batch(texts)
    ids = np.zeros((2, max(len(piece.ids) for piece in pieces)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, piece in enumerate(pieces):
        ids[row, : len(piece.ids)], mask[row, : len(piece.ids)] = piece.ids, 1
    (vectors,) = TorchRuntime(minilm.module()).run(ids, mask)
    np.testing.assert_allclose(vectors, encoder.encode(texts).vectors, atol=1e-5)


def test_a_folder_that_holds_no_bert_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(MnemeError, match="is not a BERT sentence encoder"):
        SentenceBert(tmp_path)


def test_the_shipped_towers_in_torch_are_those_that_see_and_hear() -> None:
    draw = np.random.default_rng(3)
    pictures = draw.integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    (seen,) = TorchRuntime(towers.sights().module()).run(pictures.transpose(0, 3, 1, 2).astype(np.float32))
    eyes = Eyes()
    ours = eyes.look(list(pictures))
    theirs = split(eyes.config, seen)
    assert all(np.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)
    sound = draw.normal(0, 0.1, SAMPLES).astype(np.float32)
    (heard,) = TorchRuntime(towers.sounds().module()).run(sound[None])
    found = Hearing().hear([sound])
    assert np.allclose(found.vectors[0], heard[0, :DIM], atol=1e-4)
    assert np.allclose(found.chances[0], heard[0, DIM:], atol=1e-4)


def test_the_eye_takes_what_was_compiled_of_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pictures = [np.random.default_rng(i).integers(0, 255, (48, 64, 3)).astype(np.uint8) for i in range(2)]
    before = Eyes().encode(pictures)
    monkeypatch.setenv("MNEME_CACHE", str(tmp_path))
    made = compile_tower(towers.sights(), "onnx", "fp32", cache=tmp_path)
    assert made.record.parity >= 0.9999
    opened: list[str] = []
    monkeypatch.setattr(eyes_module, "onnx_session", lambda *_: opened.append("its own"))
    after = Eyes().encode(pictures)
    assert opened == []
    assert np.allclose(after.vectors, before.vectors, atol=1e-5)
    assert after.words == before.words
