"""The image tower's second lesson: from what it believes of pictures to vectors, on many more sentences.

The eye stays as it is. What it believes of a picture is a few hundred numbers, so that a batch may hold a thousand
pictures, and each is told from all others (what makes a contrast hard: Radford et al. 2021, section 2.3).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mneme.encoders.image_graph import ATTRIBUTES
from mneme.encoders.image_tower import ImageTower
from mneme.encoders.train import HOTTEST, Batch, contrastive, positives

from .world.pairs import PicturePairs

log = logging.getLogger(__name__)
KEPT = 6
"""Cells of a picture that are kept: those that most likely hold a thing."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What the eye believes of n pictures, and what is said of them."""

    things: Tensor
    """float16[n, KEPT, beliefs]"""
    there: Tensor
    """float16[n, KEPT]"""
    rest: Tensor
    """float16[n, rooms + 1 + 2]: chances of room and light."""
    texts: list[str]
    group: Tensor
    """int64[n]: pairs of one group, if it is not negative, are told alike."""

    def __len__(self) -> int:
        return len(self.texts)


@torch.no_grad()
def believe(tower: ImageTower, pairs: PicturePairs, count: int, seed: int, size: int = 128) -> Beliefs:
    """What `tower` believes of `count` pictures."""
    tower.eval()
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    texts: list[str] = []
    batches: Iterator[Batch] = pairs.batches(size, seed)
    started = time.monotonic()
    while len(texts) < count:
        batch = next(batches)
        extra = tower(batch.signals).extra
        beliefs = torch.cat([extra[key].softmax(dim=-1) for key in ATTRIBUTES], dim=-1)  # [b, 64, beliefs]
        there, cells = extra["there"].sigmoid().topk(KEPT, dim=1)
        things = beliefs.gather(1, cells.unsqueeze(-1).expand(-1, -1, beliefs.shape[-1]))
        rest = torch.cat([extra["room"].softmax(dim=1), extra["light"].softmax(dim=1)], dim=1)
        parts.append((things.half(), there.half(), rest.half(), batch.targets["group"]))
        texts += batch.texts
        if len(parts) % 100 == 0:
            log.info("%d pictures believed, %.0f s", len(texts), time.monotonic() - started)
    return Beliefs(*(torch.cat(column) for column in list(zip(*parts, strict=True))[:3]), texts,
                   torch.cat([part[3] for part in parts]))  # fmt: skip


def composed(tower: ImageTower, things: Tensor, there: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors [b, DIM] and tokens [b, KEPT + 1, DIM] of beliefs, as `ImageTower.forward` composes them, but for cells
    that hardly hold a thing; the last token is that of nothing."""
    thing = tower.thing(things.float()) * there.float().unsqueeze(-1)  # [b, KEPT, 256]
    whole = torch.cat([thing.sum(dim=1), rest.float()], dim=1)
    tokens = tower.token(torch.cat([thing, torch.zeros_like(thing[:, :1])], dim=1))
    return nn.functional.normalize(tower.whole(whole), dim=-1), nn.functional.normalize(tokens, dim=-1)


def agreement(vectors: Tensor, tokens: Tensor, texts: Tensor) -> Tensor:
    """[b, b]: how well pictures and texts agree: by the vector, and by the token that agrees best.

    Late interaction of one query vector with a picture's tokens (FILIP: Yao et al. 2022, equation 4).
    """
    best = torch.einsum("bnd,td->bnt", tokens, texts).amax(dim=1)
    return vectors @ texts.T + best


def compose(
    tower: ImageTower,
    beliefs: Beliefs,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    minutes: float,
    seed: int,
    batch: int = 1024,
    rate: float = 1e-3,
) -> list[float]:
    """Trains `thing`, `whole` and `token` of the tower in place for so many minutes; the contrast every 50 steps."""
    parts = [*tower.thing.parameters(), *tower.whole.parameters(), *tower.token.parameters()]
    heat = nn.Parameter(torch.tensor(math.log(30.0)))
    optimiser = torch.optim.AdamW([*parts, heat], lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    draw = torch.Generator().manual_seed(seed)
    average = [part.detach().clone() for part in parts]
    curve, started, step, since = list[float](), time.monotonic(), 0, 0.0
    while (progress := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 20 * progress) * 0.5 * (1 + math.cos(math.pi * progress))
        rows = torch.randint(len(beliefs), (batch,), generator=draw)
        texts = [beliefs.texts[int(i)] for i in rows]
        wanted = torch.from_numpy(embed(texts))
        vectors, tokens = composed(tower, beliefs.things[rows], beliefs.there[rows], beliefs.rest[rows])
        right = positives(texts, {"group": beliefs.group[rows]})
        scale = heat.clamp(max=HOTTEST).exp()
        loss = contrastive(vectors, wanted, right, scale)
        both = scale / 2 * agreement(vectors, tokens, wanted)
        loss = (loss + (nn.functional.cross_entropy(both, right) + nn.functional.cross_entropy(both.T, right)) / 2) / 2
        optimiser.zero_grad(set_to_none=True)
        (loss + 0.3 * (1 - (vectors * wanted).sum(dim=1)).mean()).backward()
        optimiser.step()
        step, since = step + 1, since + float(loss.detach())
        keep = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, part in zip(average, parts, strict=True):
                mean.lerp_(part, 1 - keep)
        if step % 50 == 0:
            curve.append(since / 50)
            log.info("step %d, contrast %.3f, %.0f s", step, since / 50, time.monotonic() - started)
            since = 0.0
    with torch.no_grad():
        for mean, part in zip(average, parts, strict=True):
            part.copy_(mean)
    return curve
