"""HippoMM's pattern separation and its look at a frame, as published: step by step, nothing saved."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mneme.records import Picture

WINDOW = 7
"""Pixels a side of SSIM's uniform window."""


def keyframes(features: torch.Tensor, threshold: float = 0.9) -> list[int]:
    """features [T, D]: each in turn against all that were kept; kept if its largest cosine is below `threshold`."""
    unit = torch.nn.functional.normalize(features, dim=1)
    kept: list[int] = []
    for i, feature in enumerate(unit):
        if not kept or float((unit[kept] @ feature).max()) < threshold:
            kept.append(i)
    return kept


def ssim(a: Picture, b: Picture) -> float:
    """Mean SSIM (Wang et al. 2004) of uint8[H, W, 3] RGB twice: five box filters of the whole picture."""
    x, y = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / 255.0 for picture in (a, b))  # float64[H, W]
    mean_x, mean_y = box(x), box(y)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_x = unbiased * (box(x * x) - mean_x * mean_x)
    var_y = unbiased * (box(y * y) - mean_y * mean_y)
    cov = unbiased * (box(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    inner = slice(WINDOW // 2, -(WINDOW // 2))  # windows that lie wholly inside
    return float(similarity[inner, inner].mean())


def box(plane: NDArray[Any]) -> NDArray[Any]:
    """The mean over the window around each pixel."""
    return np.asarray(cv2.blur(plane, (WINDOW, WINDOW)))


class ExtractionGate:
    """A frame is saved if 1 - SSIM against the last saved one, or the sum of it since then, exceeds `threshold`."""

    def __init__(self, threshold: float = 0.3) -> None:
        self.threshold = threshold
        self.reference: Picture | None = None
        self.running = 0.0

    def look(self, picture: Picture) -> bool:
        """Whether the picture is saved."""
        difference = 1.0 if self.reference is None else 1 - ssim(self.reference, picture)
        self.running += difference
        saved = max(difference, self.running) > self.threshold
        if saved:
            self.reference, self.running = picture, 0.0
        return saved
