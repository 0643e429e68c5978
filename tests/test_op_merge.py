"""Adjacent merging, weighted clusters, hierarchical positions and the Turing memory against plain loops."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mneme.operators.merge import (
    Score,
    abstract_update,
    adjacent_similarity,
    hierarchical_positions,
    merge_adjacent,
    weighted_kmeans,
)
from tests.oracles import merge as oracle

SCORES: tuple[Score, ...] = get_args(Score)
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def drawn(t: int, q: int = 3, d: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A walk: the frames of a video are like those beside them."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((t, q, d)).cumsum(axis=0) * 0.3 + rng.standard_normal((q, d))).to(dtype)


def weighing(t: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed + 100).integers(1, 6, t).astype(np.float64))


def spans(groups: Tensor) -> list[list[int]]:
    return [list(range(first, last)) for first, last in pairwise(groups.tolist())]


def near(got: Tensor, want: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    np.testing.assert_allclose(got.double().cpu().numpy(), want, rtol=rtol, atol=atol)


# merge_adjacent


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("score", SCORES)
def test_merging_equals_the_loop_that_scores_every_pair_anew(score: Score, weighted: bool, device: str) -> None:
    for seed, (t, keep) in enumerate([(2, 1), (8, 2), (18, 2), (18, 17), (40, 5), (7, 1)]):
        frames, weights = drawn(t, seed=seed), weighing(t, seed)
        want, held, groups = oracle.merge_adjacent(frames.numpy(), keep, weights.numpy(), score, weighted)
        got = merge_adjacent(frames.to(device), keep, weights.to(device), score, weighted)
        assert spans(got.groups) == groups
        assert got.weights.tolist() == held
        near(got.frames, want)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10**6), st.sampled_from(SCORES), st.booleans())
def test_each_merge_takes_the_best_pair_of_those_scored_from_the_beginning(
    t: int, seed: int, score: Score, weighted: bool
) -> None:
    """Of what stands at k frames, the boundary that is gone at k - 1 is the best one: nothing stale decides."""
    frames = drawn(t, q=2, d=3, seed=seed, dtype=torch.float32)
    steps = [merge_adjacent(frames, keep, score=score, weighted=weighted) for keep in range(t, 0, -1)]
    for before, after in pairwise(steps):
        (gone,) = set(before.groups.tolist()) - set(after.groups.tolist())
        kept = before.frames.double().numpy()
        scores = [oracle.score(a, b, score) for a, b in pairwise(kept)]
        assert scores[before.groups.tolist().index(gone) - 1] >= max(scores) - 1e-5 * max(1.0, max(map(abs, scores)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 12), st.integers(1, 14), st.integers(0, 10**6), st.sampled_from(SCORES))
def test_a_merge_preserves_the_weighted_mean_and_its_budget_and_tiles_the_frames(
    t: int, keep: int, seed: int, score: Score
) -> None:
    frames, weights = drawn(t, seed=seed), weighing(t, seed)
    got = merge_adjacent(frames, keep, weights, score)
    assert len(got.frames) == len(got.weights) == len(got.groups) - 1 == min(t, keep)
    assert [frame for span in spans(got.groups) for frame in span] == list(range(t))
    assert all(spans(got.groups))
    near(torch.einsum("k,kqd->qd", got.weights, got.frames), torch.einsum("t,tqd->qd", weights, frames).numpy(), 1e-9)
    assert got.weights.tolist() == [float(weights[span].sum()) for span in spans(got.groups)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 10**6), st.sampled_from(SCORES))
def test_frames_added_one_by_one_with_weights_carried_are_the_means_of_their_groups(
    t: int, keep: int, seed: int, score: Score
) -> None:
    frames = drawn(t, seed=seed)
    kept, held, groups = frames[:0], torch.zeros(0), []
    for i in range(t):
        got = merge_adjacent(torch.cat([kept, frames[i : i + 1]]), keep, torch.cat([held, torch.ones(1)]), score)
        was = [*groups, [i]]
        groups = [[frame for member in span for frame in was[member]] for span in spans(got.groups)]
        kept, held = got.frames, got.weights
    assert held.tolist() == [len(group) for group in groups]
    near(kept, np.stack([frames[group].mean(dim=0).numpy() for group in groups]))


def test_without_weighting_the_old_decays_by_half_with_each_merge() -> None:
    frames = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 2.0]]])
    assert merge_adjacent(frames, 1, weighted=False).frames.tolist() == [[[0.5, 1.0]]]
    assert merge_adjacent(frames, 1).frames.tolist() == [[[0.75, 0.5]]]
    assert merge_adjacent(frames, 1, weighted=False).weights.tolist() == [4.0]


@pytest.mark.parametrize("score", SCORES)
def test_the_first_of_tied_pairs_is_merged_and_duplicates_stay_themselves(score: Score) -> None:
    frames = torch.full((6, 2, 3), 0.1)
    for keep in range(1, 6):
        got = merge_adjacent(frames, keep, score=score)
        assert got.groups.tolist() == [0, *range(7 - keep, 7)]
        torch.testing.assert_close(got.frames, frames[:keep], rtol=3e-7, atol=0)


def test_the_scores_differ_where_their_papers_do() -> None:
    """One long token rules the flattened frame, not the mean over tokens; raw dots prefer what is large."""
    a, b, c = [[9.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, -1.0]], [[5.0, 5.0], [0.0, -1.0]]
    frames = torch.tensor([a, b, c])
    near(adjacent_similarity(frames, "frame_cosine"), [80 / 82, 46 / np.sqrt(82 * 51)], 1e-6)
    near(adjacent_similarity(frames, "token_cosine"), [0.0, (np.sqrt(0.5) + 1) / 2], 1e-6)
    near(adjacent_similarity(frames, "mean_dot"), [(81 - 1) / 4, (45 - 4) / 4], 1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_a_pair_without_a_score_is_merged_only_when_no_other_is_left(score: Score) -> None:
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    frames = drawn(6) * signs[:, None, None]  # every score is negative
    frames[2, 1, 0] = torch.nan
    got = merge_adjacent(frames, 3, score=score)
    assert got.groups.tolist() == [0, 2, 3, 6]
    assert got.frames.isnan().flatten(1).any(dim=1).tolist() == [False, True, False]
    assert merge_adjacent(frames, 2, score=score).groups.tolist() == [0, 3, 6]
    assert merge_adjacent(frames * torch.nan, 4, score=score).groups.tolist() == [0, 3, 4, 5, 6]


@pytest.mark.parametrize("size", [1e25, 1e-12])
@pytest.mark.parametrize("score", ["frame_cosine", "token_cosine"])
def test_cosines_do_not_depend_on_how_large_the_frames_are(score: Score, size: float) -> None:
    frames = drawn(12, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = merge_adjacent(frames * size, 4, score=score)
    assert got.groups.tolist() == merge_adjacent(frames, 4, score=score).groups.tolist()
    one_large = frames.clone()
    one_large[3] *= 1e25
    near(adjacent_similarity(one_large, score), adjacent_similarity(frames, score).numpy(), 1e-5)


def test_dots_of_huge_frames_are_still_compared() -> None:
    frames = torch.tensor([1.0, 2.0, 3.0, 1.0]).reshape(4, 1, 1) * 1e25
    assert merge_adjacent(frames, 3, score="mean_dot").groups.tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("score", ["frame_cosine", "token_cosine"])
def test_a_zero_frame_is_like_nothing(score: Score) -> None:
    frames = torch.cat([torch.zeros(2, 2, 2), torch.tensor([[[1.0, 1.0]] * 2, [[1.0, 0.9]] * 2])])
    got = adjacent_similarity(frames, score)
    assert got[:2].tolist() == [0.0, 0.0]
    assert merge_adjacent(frames, 3, score=score).groups.tolist() == [0, 1, 2, 4]


def test_a_frame_without_weight_leaves_its_neighbour_as_it_was() -> None:
    frames = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 4.0]]])
    got = merge_adjacent(frames, 1, torch.tensor([0.0, 0.0, 3.0]))
    assert got.frames.tolist() == [[[0.0, 4.0]]]
    assert merge_adjacent(frames, 1, torch.zeros(3)).frames.tolist() == [[[0.5, 1.25]]]


def test_a_budget_that_holds_all_returns_the_frames_as_given() -> None:
    for t in (0, 1, 5):
        frames = drawn(t)
        got = merge_adjacent(frames, 5)
        assert got.frames is frames
        assert got.weights.tolist() == [1.0] * t
        assert got.groups.tolist() == list(range(t + 1))
    assert adjacent_similarity(drawn(1)).tolist() == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("score", SCORES)
def test_narrow_types_are_scored_and_averaged_in_float32(score: Score, dtype: torch.dtype) -> None:
    frames = (drawn(300, q=2, d=4, seed=3) + 40).to(dtype)
    got = merge_adjacent(frames, 1, score=score)
    assert got.frames.dtype == dtype
    assert got.weights.dtype == torch.float32
    assert got.weights.tolist() == [300.0]
    near(got.frames[0], frames.double().mean(dim=0).numpy(), rtol=max(torch.finfo(dtype).eps, 1e-6))
    assert torch.equal(adjacent_similarity(frames, score), adjacent_similarity(frames.float(), score))


def test_merging_leaves_what_it_was_given_alone_and_passes_gradients() -> None:
    frames = drawn(6).requires_grad_()
    before = frames.detach().clone()
    got = merge_adjacent(frames, 2)
    got.frames.sum().backward()
    assert torch.equal(frames.detach(), before)
    assert frames.grad is not None
    near(frames.grad[:, 0, 0], np.concatenate([[1 / len(span)] * len(span) for span in spans(got.groups)]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"frames": torch.zeros(3, 2)}, r"frames\[3, 2\]"),
        ({"weights": torch.ones(4)}, r"weights\[4\]"),
        ({"weights": torch.tensor([1.0, -1.0, 1.0])}, "not negative"),
        ({"weights": torch.tensor([1.0, torch.nan, 1.0])}, "finite"),
        ({"weights": torch.tensor([1.0, torch.inf, 1.0])}, "finite"),
        ({"keep": 0}, "keep = 0"),
        ({"score": "cosine", "keep": 9}, "frame_cosine, token_cosine, mean_dot"),
        ({"frames": torch.zeros(3, 2, 2, dtype=torch.int64)}, "floating"),
    ],
)
def test_merging_says_what_is_wrong(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        merge_adjacent(**{"frames": torch.zeros(3, 2, 2), "keep": 2, **change})


# weighted_kmeans


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("as_labelled", [False, True])
@pytest.mark.parametrize(("iterations", "tol"), [(1, 0.0), (3, 1e-4), (10, 1e-4), (10, 0.5)])
def test_clusters_equal_the_plain_loop(iterations: int, tol: float, as_labelled: bool, device: str) -> None:
    for seed in range(6):
        frames, weights = drawn(30, seed=seed), weighing(30, seed)
        init = np.random.default_rng(seed).permutation(30)[:7]
        want = oracle.weighted_kmeans(frames.numpy(), weights.numpy(), init.tolist(), iterations, tol, as_labelled)
        got = weighted_kmeans(
            frames.to(device), weights.to(device), torch.from_numpy(init).to(device), iterations, tol, as_labelled
        )
        assert got.labels.tolist() == want[2]
        near(got.weights, want[1])
        near(got.centroids, want[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 10**6), st.integers(1, 4))
def test_a_cluster_is_the_weighted_mean_of_its_frames_and_no_weight_is_lost(
    t: int, k: int, seed: int, iterations: int
) -> None:
    frames, weights = drawn(t, q=1, d=2, seed=seed), weighing(t, seed)
    init = torch.from_numpy(np.random.default_rng(seed).integers(0, t, k))
    got = weighted_kmeans(frames, weights, init, iterations)
    assert float(got.weights.sum()) == float(weights.sum())
    for cluster in range(k):
        members = got.labels == cluster
        assert float(got.weights[cluster]) == float(weights[members].sum())
        if members.any():
            mean = (weights[members, None, None] * frames[members]).sum(dim=0) / weights[members].sum()
            near(got.centroids[cluster], mean.numpy())


def test_of_equal_centroids_the_first_takes_all_and_the_others_wait_where_they_are() -> None:
    frames, weights, init = torch.tensor([[0.0], [2.0], [10.0]]), torch.tensor([3.0, 1.0, 1.0]), [0, 0, 2, 2, 2]
    got = weighted_kmeans(frames, weights, torch.tensor(init), iterations=1)
    assert got.labels.tolist() == [0, 0, 2]
    assert got.weights.tolist() == [4.0, 0.0, 1.0, 0.0, 0.0]
    assert got.centroids.flatten().tolist() == [0.5, 0.0, 10.0, 10.0, 10.0]
    assert weighted_kmeans(frames, weights, torch.tensor(init)).labels.tolist() == [1, 0, 2]
    unweighted = weighted_kmeans(frames, torch.tensor([3.0, 0.0, 1.0]), torch.tensor([0, 1, 2]))
    assert unweighted.labels.tolist() == [0, 1, 2]
    assert unweighted.centroids.flatten().tolist() == [0.0, 2.0, 10.0]


def test_the_released_centroids_are_those_that_the_labels_were_taken_against() -> None:
    frames, ones = torch.tensor([[0.0], [1.0], [10.0]]), torch.ones(3)
    init = torch.tensor([0, 2])
    assert weighted_kmeans(frames, ones, init, tol=1.0, as_labelled=True).centroids.tolist() == [[0.0], [10.0]]
    assert weighted_kmeans(frames, ones, init, tol=1.0).centroids.tolist() == [[0.5], [10.0]]
    assert weighted_kmeans(frames, ones, init, tol=0.5, as_labelled=True).centroids.tolist() == [[0.5], [10.0]]


def test_a_frame_with_nan_belongs_to_no_cluster() -> None:
    frames = torch.tensor([[0.0, 0.0], [torch.nan, 0.0], [1.0, 0.0], [9.0, 9.0]])
    got = weighted_kmeans(frames, torch.ones(4), torch.tensor([1, 0, 3]), iterations=1)
    assert got.labels.tolist() == [1, -1, 1, 2]
    assert bool(got.centroids[0].isnan().any())
    assert got.weights.tolist() == [0.0, 2.0, 1.0]
    assert got.centroids[1:].tolist() == [[0.5, 0.0], [9.0, 9.0]]


def test_clusters_of_half_precision_and_of_huge_frames_are_reckoned_in_float64() -> None:
    frames = torch.full((4000, 1), 7.0, dtype=torch.float16)
    got = weighted_kmeans(frames, torch.ones(4000), torch.tensor([0]))
    assert got.centroids.dtype == torch.float16
    assert got.centroids.tolist() == [[7.0]]
    assert got.weights.tolist() == [4000.0]
    huge = weighted_kmeans(torch.tensor([[1e25], [3e25], [2.5e25]]), torch.ones(3), torch.tensor([0, 1]))
    assert huge.labels.tolist() == [0, 1, 1]


def test_no_frames_make_no_clusters() -> None:
    got = weighted_kmeans(torch.zeros(0, 2, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert [list(part.shape) for part in got] == [[0, 2, 3], [0], [0]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"frames": torch.zeros(3)}, r"frames\[3\]"),
        ({"weights": torch.ones(2)}, r"weights\[2\]"),
        ({"weights": torch.tensor([1.0, -1.0, 1.0])}, "not negative"),
        ({"weights": torch.tensor([1.0, torch.nan, 1.0])}, "finite"),
        ({"init": torch.tensor([0, 3])}, "indices of the 3 frames"),
        ({"init": torch.tensor([-1])}, "indices of the 3 frames"),
        ({"init": torch.tensor([0.0])}, "indices of the 3 frames"),
        ({"init": torch.zeros(0, dtype=torch.int64)}, "at least one"),
        ({"iterations": 0}, "0 iterations"),
    ],
)
def test_clustering_says_what_is_wrong(change: dict[str, Any], fault: str) -> None:
    given_ = {"frames": torch.zeros(3, 2), "weights": torch.ones(3), "init": torch.tensor([0]), **change}
    with pytest.raises(ValueError, match=fault):
        weighted_kmeans(**given_)


# hierarchical_positions


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.data())
def test_positions_are_two_digits_and_begin_with_the_table(n: int, data: st.DataObject) -> None:
    length, alpha = data.draw(st.integers(0, n * n)), data.draw(st.sampled_from([0.0, 0.01, 0.4, 0.9]))
    table = drawn(n)[:, 0]
    got = hierarchical_positions(table, length, alpha)
    near(got, oracle.hierarchical_positions(table.numpy(), length, alpha))
    near(got[:n], table[: min(length, n)].numpy())


def test_positions_reach_no_further_than_n_squared() -> None:
    with pytest.raises(ValueError, match="to 9, not 10"):
        hierarchical_positions(torch.zeros(3, 2), 10)
    with pytest.raises(ValueError, match="alpha"):
        hierarchical_positions(torch.zeros(3, 2), 4, alpha=1.0)
    assert hierarchical_positions(torch.zeros(0, 2), 0).shape == (0, 2)


# abstract_update


def turing(m: int, n: int, seed: int = 0, d: int = 5, h: int = 4) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.standard_normal(shape)) for shape in ((m, d), (n, d), (h, d), h, (h, d), h)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 7), (5, 2)])
def test_the_turing_memory_gives_way_as_the_plain_loop_does(m: int, n: int, device: str) -> None:
    parts = turing(m, n)
    want = oracle.abstract_update(*(part.numpy() for part in parts), 0.3)
    near(abstract_update(*(part.to(device) for part in parts), ratio=0.3), want)


def test_the_turing_memory_keeps_within_what_it_held_and_what_came() -> None:
    """Each slot is a convex combination: of itself, 1 - ratio."""
    memory, incoming, *projections = turing(4, 6)
    got = abstract_update(memory, incoming, *projections)
    taken = (got - 0.8 * memory) / 0.2
    assert bool((taken <= incoming.amax(dim=0) + 1e-9).all() & (taken >= incoming.amin(dim=0) - 1e-9).all())
    assert torch.equal(abstract_update(memory, incoming, *projections, ratio=0.0), memory)


def test_the_turing_memory_passes_over_nan_and_stays_when_nothing_comes() -> None:
    memory, incoming, *projections = turing(4, 6)
    spoilt = incoming.clone()
    spoilt[2, 1] = torch.nan
    without = torch.cat([incoming[:2], incoming[3:]])
    near(abstract_update(memory, spoilt, *projections), abstract_update(memory, without, *projections).numpy())
    assert abstract_update(memory, incoming[:0], *projections) is memory
    assert abstract_update(memory, incoming * torch.nan, *projections) is memory


def test_the_turing_memory_is_stable_in_half_precision() -> None:
    parts = [(part * 8).half() for part in turing(3, 5)]
    got = abstract_update(*parts)
    assert got.dtype == torch.float16
    near(got, oracle.abstract_update(*(part.double().numpy() for part in parts), 0.2), rtol=2e-2, atol=2e-2)


def test_the_turing_memory_says_what_is_wrong() -> None:
    memory, incoming, *projections = turing(4, 6)
    with pytest.raises(ValueError, match=r"incoming\[6, 4\]"):
        abstract_update(memory, incoming[:, :4], *projections)
    with pytest.raises(ValueError, match="ratio"):
        abstract_update(memory, incoming, *projections, ratio=1.5)
    unbiased = abstract_update(memory, incoming, projections[0], None, projections[2], None)
    zeros = torch.zeros(4, dtype=torch.float64)
    near(unbiased, abstract_update(memory, incoming, projections[0], zeros, projections[2], zeros).numpy())
