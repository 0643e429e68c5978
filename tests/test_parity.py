"""`python -m benchmarks.golden`: every array of a folder is matched, given, or named as left; nothing passes unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.golden.__main__ import FAMILIES, main
from benchmarks.golden.compare import close, exact
from benchmarks.golden.left import LEFT
from benchmarks.operators.timing import Case, measure
from tests.oracles import affinity as oracle


def readout_vectors() -> dict[str, NDArray[Any]]:
    """The arrays of `xmem_readout.npz` in its layout, from the float64 transcription."""
    draw = np.random.default_rng(0)
    c, n, q, objects, v, top_k = 4, 20, 6, 2, 3, 5
    key, query = draw.normal(size=(n, c)), draw.normal(size=(q, c))
    shrinkage, selection = draw.uniform(1, 3, n), draw.uniform(size=(q, c))
    value = draw.normal(size=(objects, v, n))
    scores = oracle.similarity(key, query, shrinkage, selection)
    dropped = (query**2).sum(1)[:, None] * shrinkage / np.sqrt(c)  # the published code leaves |q|^2 out
    arrays = {
        "mk": key.T[None],
        "ms": shrinkage[None, None],
        "qk": query.T[None],
        "qe": selection.T[None],
        "mv": value,
        "similarity": scores.T[None],
        "similarity_no_shrinkage": oracle.similarity(key, query, None, selection).T[None],
        "similarity_no_selection": (oracle.similarity(key, query, shrinkage) + dropped).T[None],
    }
    for name, k in (("topk", top_k), ("full", None)):
        dense = oracle.dense(scores, k)
        arrays |= {
            f"affinity_{name}": dense.T[None],
            f"usage_{name}": dense.sum(0)[None],
            f"readout_{name}": value @ dense.T,
        }
    return {name: a.astype(np.float32) for name, a in arrays.items()} | {"top_k": np.array(top_k)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "params.json").write_text(json.dumps({}), encoding="utf-8")
    np.savez(tmp_path / "xmem_readout.npz", **readout_vectors())
    return tmp_path


def test_vectors_that_our_operators_give_are_matched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    assert "xmem_readout.npz" in capsys.readouterr().out


def test_one_wrong_number_is_a_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = readout_vectors()
    arrays["readout_topk"][1, 2, 3] += 0.01
    np.savez(folder / "xmem_readout.npz", **arrays)
    assert main([str(folder)]) == 1
    assert "MISSED xmem_readout.npz readout_topk" in capsys.readouterr().out


def test_an_array_that_nothing_accounts_for_is_a_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(folder / "xmem_readout.npz", **readout_vectors(), novelty=np.zeros(3))
    np.savez(folder / "stranger.npz", a=np.zeros(3))
    assert main([str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "novelty" in printed
    assert "stranger.npz" in printed


def test_a_folder_without_vectors_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_comparisons_fail_on_what_differs() -> None:
    assert close("a", np.array([1.0, 2.0]), np.array([1.0, 2.00001])).ok
    assert not close("a", np.array([1.0, 2.0]), np.array([1.0, 2.01])).ok
    assert not close("a", np.array([np.nan]), np.array([1.0])).ok
    assert not close("a", np.array([1.0]), np.array([[1.0]])).ok
    assert exact("a", np.array([1, 2]), np.array([1, 2])).ok
    assert not exact("a", np.array([1, 2]), np.array([1, 3])).ok


def test_what_is_left_says_why_and_no_file_has_two_families() -> None:
    assert all(reason for reason in LEFT.values())
    files = [file for family in FAMILIES for file in family.FILES]
    assert len(files) == len(set(files))
    assert not {name for name in LEFT if ":" not in name} & set(files)


def test_a_timing_runs_every_form_on_so_many_threads_and_knows_what_was_missed() -> None:
    import torch

    ran: list[tuple[str, int]] = []

    def form(name: str, turns: int) -> None:
        ran.append((name, torch.get_num_threads()))
        sum(range(turns))

    case = Case("x", lambda: form("ours", 300_000), lambda: form("plain", 10), lambda: form("bare", 10), 1e6, rounds=3)
    timing = measure(case, 1)
    assert [name for name, _ in ran[:3]] == ["ours", "plain", "bare"]
    assert len(ran) == 12
    assert {threads for _, threads in ran} == {1}
    assert timing.missed
    assert timing.over_bare is not None
