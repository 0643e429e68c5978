"""Refinement of event boundaries beside the published way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from mneme.operators.refine import Criterion, refine_boundaries

from ..baselines import emllm_refine as plain
from .timing import Case

TOKENS, EVERY, DIM = 512, 32, 64


def cases() -> Iterator[Case]:
    """512 tokens with a boundary every 32, by either criterion.

    Bare: the product K K^T and one pass of prefix sums over it. The operator needs neither, and may be below it.
    """
    keys = torch.randn(TOKENS, DIM, generator=torch.Generator().manual_seed(0))
    boundaries = torch.arange(EVERY, TOKENS, EVERY)
    criteria: tuple[tuple[Criterion, plain.Objective], ...] = (
        ("modularity", plain.modularity),
        ("conductance", plain.conductance),
    )
    for criterion, objective in criteria:
        ours = refine_boundaries(keys, boundaries, criterion).tolist()
        assert ours == plain.refine_boundaries(keys.double(), boundaries, objective)
        yield Case(
            f"refine_boundaries {criterion}, T {TOKENS}, D {DIM}, a boundary every {EVERY}",
            partial(refine_boundaries, keys, boundaries, criterion),
            partial(plain.refine_boundaries, keys, boundaries, objective),
            lambda: (keys @ keys.T).cumsum(0),
            at_least=20,
        )
