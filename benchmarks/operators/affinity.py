"""`attend` beside XMem's published steps, beside its bare products, and the memory that it works in."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from mneme.operators.affinity import CachedKeys, attend

from ..baselines import xmem_readout
from ..watching import ROOT, peak_mb
from .timing import Case

TOP_K = 30
SIZES = ((1620, 24_452), (256, 12_176), (1, 1_000_000))
"""Queries and memory tokens: a 480p frame against full stores, a small frame, one question to a long memory."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """key [N, 64], shrinkage [N], value [N, 512]; query and selection [Q, 64]."""

    key: Tensor
    shrinkage: Tensor
    value: Tensor
    query: Tensor
    selection: Tensor


def inputs(queries: int, tokens: int, channels: int = 64, width: int = 512) -> Inputs:
    """Drawn from a fixed seed, in the ranges of XMem's projections: s >= 1, e in (0, 1)."""
    draw = torch.Generator().manual_seed(0)
    return Inputs(
        key=torch.randn(tokens, channels, generator=draw),
        shrinkage=torch.randn(tokens, generator=draw) ** 2 + 1,
        value=torch.randn(tokens, width, generator=draw),
        query=torch.randn(queries, channels, generator=draw),
        selection=torch.rand(queries, channels, generator=draw),
    )


def cases() -> Iterator[Case]:
    """Each size with the keys' half of the similarity cached, and from the keys alone."""
    for queries, tokens in SIZES:
        x = inputs(queries, tokens)
        size = f"Q {queries}, N {tokens}, C 64, V 512"
        cache = CachedKeys(x.key, x.shrinkage)
        published = [
            t.T.unsqueeze(0).contiguous() for t in (x.key, x.shrinkage.unsqueeze(1), x.query, x.selection, x.value)
        ]
        plain = partial(xmem_readout.readout, *published, TOP_K)
        bare = partial(products, x, torch.randn(tokens, 2 * x.key.shape[1]))
        asked = 2.5 if queries == SIZES[0][0] else None
        rounds = 25 if queries == SIZES[1][0] else 7  # what takes milliseconds needs more for a steady median
        yield Case(
            f"attend, cached keys ({size})",
            partial(cache.attend, x.value, x.query, x.selection, TOP_K),
            plain, bare, at_least=4, at_most=asked, rounds=rounds,
        )  # fmt: skip
        ours = partial(attend, x.key, x.value, x.query, x.shrinkage, x.selection, TOP_K)
        yield Case(f"attend ({size})", ours, plain, bare, rounds=rounds)


def products(x: Inputs, rows: Tensor) -> Tensor:
    """What no form avoids: two products of keys and queries (k^2 with e, k with e q), one gather of the K values read.

    `rows` [N, 2 C]. The scores go to a buffer of 16 MiB over and over, which is the cheapest place for them.
    """
    queries = torch.cat([x.selection, x.selection * x.query], dim=1)  # [Q, 2 C]
    step = max(1, min(len(queries), (1 << 22) // len(rows)))
    scores = torch.empty(step, len(rows))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        torch.mm(block, rows.T, out=scores[: len(block)])
    indices = torch.arange(len(queries) * TOP_K).mul_(7919).remainder_(len(rows)).view(-1, TOP_K)
    weights = torch.full((len(queries), TOP_K), 1 / TOP_K)
    return functional.embedding_bag(indices, x.value, per_sample_weights=weights, mode="sum")


def working_memory() -> list[str]:
    """One line a size: the peak of resident memory during `attend`, less what was resident before, in MB."""
    lines = []
    for queries, tokens in SIZES:
        command = [sys.executable, "-m", "benchmarks.operators.affinity", str(queries), str(tokens)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        lines.append(f"attend working memory (Q {queries}, N {tokens}): {done.stdout.strip()}")
    return lines


def _grown(queries: int, tokens: int) -> tuple[float, float]:
    """MB by which `attend` lifts this process's peak: from the keys alone, then cached.

    The libraries' own pools are filled by a first, small call; the peak is reset by the kernel before each measure.
    """
    x = inputs(queries, tokens)
    cache = CachedKeys(x.key, x.shrinkage)
    attend(x.key[:64], x.value[:64], x.query[:2], x.shrinkage[:64], x.selection[:2], TOP_K)
    grown = []
    for run in (
        partial(attend, x.key, x.value, x.query, x.shrinkage, x.selection, TOP_K),
        partial(cache.attend, x.value, x.query, x.selection, TOP_K),
    ):
        before = _resident_mb()
        _forget_peak()
        kept = run()
        grown.append(peak_mb() - before)
        del kept
    return grown[0], grown[1]


def _resident_mb() -> float:
    """Resident memory of this process now, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


def _forget_peak() -> None:
    """Let the peak start from what is resident now (Linux, proc(5): 5 written to clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    from_keys, cached = _grown(int(sys.argv[1]), int(sys.argv[2]))
    print(f"{from_keys:.1f} MB from the keys alone, {cached:.1f} MB with cached keys (under 64 MB is asked)")
