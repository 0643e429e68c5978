"""Trains a tower against the locked text tower, from any source of pairs.

Locked text: Zhai et al. 2022, "LiT: Zero-Shot Transfer with Locked-image text Tuning" (arXiv:2111.07991), with the
roles that suit us: words keep their vectors, the tower learns to put its signals there. The loss is the symmetric
InfoNCE of Radford et al. 2021, "CLIP" (arXiv:2103.00020), its temperature learnt, with several positives a row as in
Yang et al. 2022, "UniCL" (arXiv:2204.03610); plus 1 - cos to the pair's own text; plus the tower's auxiliary loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError, SourceError

EmbedTexts = Callable[[Sequence[str]], NDArray[np.float32]]
"""b texts to float32[b, d], unit length."""
HOTTEST = math.log(100.0)
"""CLIP's bound on the log of the inverse temperature."""
REMEMBERED = 100_000
"""Sentences whose vectors are kept (150 MB)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """b pairs of a signal and its text."""

    signals: Tensor
    """uint8[b, 3, 64, 64] pictures, or float32[b, n] sounds at 16 kHz."""
    texts: list[str]
    targets: dict[str, Tensor] = field(default_factory=dict)
    """What else is known of each pair, b rows each: for the tower's auxiliary loss. The key `group` (int64[b]) is also
    for the contrast: pairs of one group, if it is not negative, tell of the same and are positives of each other."""


class PairSource(Protocol):
    """Where pairs come from: a generator never ends, files are passed through once."""

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        """Batches of at most `size` pairs; the same for the same seed."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """What a tower makes of b signals."""

    vectors: Tensor
    """float32[b, d], unit length."""
    tokens: Tensor | None = None
    """float32[b, n, d], or None."""
    extra: dict[str, Tensor] = field(default_factory=dict)
    """What the tower's auxiliary heads gave."""


class Tower(Protocol):
    """What `train` asks of a module: `forward` gives an `Output`, or anything else that has its `vectors`."""

    def forward(self, signals: Tensor) -> Output: ...

    def auxiliary(self, output: Output, targets: dict[str, Tensor]) -> Tensor:
        """A further loss, a scalar; 0 where `targets` has nothing for it."""
        ...


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a tower is trained. Runs of equal `steps` are equal; one of `minutes` does as many as the machine can."""

    steps: int | None = None
    minutes: float | None = None
    batch: int = 64
    rate: float = 1e-3
    """Learning rate at its height."""
    temperature: float = 0.07
    """Where the learnt one starts."""
    weight_decay: float = 0.02
    warmup: float = 0.05
    """The share of the run in which the rate rises."""
    clip: float = 1.0
    """The largest norm of the gradient."""
    average: float = 0.998
    """Decay of the average of weights that is the result (Polyak and Juditsky 1992)."""
    contrast: float = 1.0
    regression: float = 1.0
    auxiliary: float = 1.0
    """Weights of the three losses."""
    every: int = 50
    """Steps between points of the curve."""
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise SettingsError("a training needs steps or minutes, and not both", "set one of them")
        if (self.steps or 0) < 0 or (self.minutes or 0) < 0 or self.batch < 1 or self.every < 1:
            raise SettingsError("steps, minutes, batch and every must be positive", "set them so")


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve: means since the last one."""

    step: int
    pairs: int
    seconds: float
    rate: float
    temperature: float
    loss: float
    contrast: float
    regression: float
    auxiliary: float


class TextCache:
    """Vectors of sentences, each computed once; the oldest are forgotten beyond `REMEMBERED`."""

    def __init__(self, embed_texts: EmbedTexts) -> None:
        self._embed = embed_texts
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[b, d] of b texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embed(new), strict=True))
        vectors = np.stack([self._known[text] for text in texts])
        for text in list(self._known)[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[text]
        return vectors


def positives(texts: Sequence[str], targets: dict[str, Tensor]) -> Tensor:
    """float32[b, b], rows summing to 1: which texts are right for which signals, each as much as the others."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    names = torch.tensor([number[text] for text in texts])
    same = names[:, None] == names[None, :]
    group = targets.get("group")
    if group is not None:
        group = group.cpu()
        same |= (group[:, None] == group[None, :]) & (group[:, None] >= 0)
    return same.float() / same.float().sum(dim=1, keepdim=True)


def contrastive(vectors: Tensor, texts: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit vectors float[b, d] and texts float[b, d]; `right` float[b, b] as `positives` gives it.

    CLIP, figure 3, with the soft targets of UniCL, equation 3; `scale` is 1 / temperature.
    """
    logits = scale * vectors @ texts.T  # [b, b]
    # `right` is symmetric in which pairs it joins, and so are its rows and columns.
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def train(
    tower: nn.Module,
    source: PairSource,
    embed_texts: EmbedTexts,
    settings: TrainSettings,
    log: Callable[[Point], None] | None = None,
) -> list[Point]:
    """Trains a `Tower` in place and leaves it, in eval mode, with the running average of its weights; gives the curve.

    A source that ends is passed through again, with another seed. Errors: `SourceError` for one without pairs.
    """
    auxiliary_loss: Callable[..., Tensor] = getattr(tower, "auxiliary")  # noqa: B009 (a Module's attributes are untyped)
    torch.manual_seed(settings.seed)
    device = torch.device(settings.device)
    tower.to(device).train()
    heat = nn.Parameter(torch.tensor(math.log(1 / settings.temperature), device=device))
    optimiser = torch.optim.AdamW(_groups(tower, heat, settings.weight_decay), lr=settings.rate, betas=(0.9, 0.98))
    average = {name: value.detach().clone() for name, value in tower.state_dict().items()}
    embed, curve = TextCache(embed_texts), list[Point]()
    batches = _endless(source, settings)
    start, step, pairs = time.monotonic(), 0, 0
    sums, since = torch.zeros(4), 0
    while (progress := _progress(settings, step, start)) < 1:
        batch = next(batches)
        rate = settings.rate * _schedule(progress, settings.warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        targets = {name: value.to(device) for name, value in batch.targets.items()}
        texts = torch.from_numpy(embed(batch.texts)).to(device)
        output = tower(batch.signals.to(device))
        scale = heat.clamp(max=HOTTEST).exp()
        contrast = contrastive(output.vectors, texts, positives(batch.texts, targets).to(device), scale)
        regression = (1 - (output.vectors * texts).sum(dim=1)).mean()
        auxiliary = auxiliary_loss(output, targets)
        loss = settings.contrast * contrast + settings.regression * regression + settings.auxiliary * auxiliary
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), settings.clip)
        optimiser.step()
        step, pairs, since = step + 1, pairs + len(batch.texts), since + 1
        # The first steps' weights say nothing: the average forgets them sooner.
        _blend(average, tower, min(settings.average, (1 + step) / (10 + step)))
        sums += torch.stack([loss, contrast, regression, auxiliary]).detach().cpu()
        if step % settings.every == 0 or _progress(settings, step, start) >= 1:
            means = [float(x) for x in sums / since]
            seconds = time.monotonic() - start
            point = Point(step, pairs, round(seconds, 3), rate, float(1 / scale.detach()), *means)
            curve.append(point)
            if log is not None:
                log(point)
            sums, since = torch.zeros(4), 0
    tower.load_state_dict(average)
    tower.eval()
    return curve


def _groups(tower: nn.Module, heat: nn.Parameter, weight_decay: float) -> list[dict[str, object]]:
    """Gains, biases and the temperature do not decay."""
    weights = [p for p in tower.parameters() if p.requires_grad]
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [*(p for p in weights if p.ndim <= 1), heat], "weight_decay": 0.0},
    ]


def _endless(source: PairSource, settings: TrainSettings) -> Iterator[Batch]:
    seed = settings.seed
    while True:
        found = False
        for batch in source.batches(settings.batch, seed):
            found = True
            yield batch
        if not found:
            raise SourceError("the source of pairs is empty", "name one that holds pairs")
        seed += 1


def _progress(settings: TrainSettings, step: int, start: float) -> float:
    """How much of the run is done, 0 to 1."""
    if settings.steps is not None:
        return step / settings.steps if settings.steps else 1.0
    assert settings.minutes is not None
    return (time.monotonic() - start) / (60 * settings.minutes) if settings.minutes else 1.0


def _schedule(progress: float, warmup: float) -> float:
    """The share of the full rate: a straight rise, then half a cosine down (Loshchilov and Hutter 2017)."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / max(1 - warmup, 1e-9))))


@torch.no_grad()
def _blend(average: dict[str, Tensor], tower: nn.Module, keep: float) -> None:
    for name, value in tower.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - keep)
        else:
            average[name].copy_(value)
