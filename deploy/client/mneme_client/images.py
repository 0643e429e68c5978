"""Pictures made small before they are sent: resized without distortion, padded with black."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize_with_pad(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8[..., H, W, C] -> uint8[..., height, width, C], the picture in the middle, black around it.

    Bilinear with the filter widened where a picture shrinks, as Pillow and openpi do it, each side rounded to bytes.
    Errors: `ValueError` for what is no picture or a size that is none.
    """
    if images.dtype != np.uint8 or images.ndim < 3 or 0 in images.shape:
        raise ValueError(f"give pictures uint8[..., H, W, C], not {images.dtype}{list(images.shape)}")
    if height < 1 or width < 1:
        raise ValueError(f"{width}x{height} is no size of a picture")
    high, wide = images.shape[-3:-1]
    if (high, wide) == (height, width):
        return images
    ratio = max(wide / width, high / height)
    inner_high, inner_wide = max(1, int(high / ratio)), max(1, int(wide / ratio))
    resized = _along(_along(images, -2, inner_wide), -3, inner_high)
    padded = np.zeros((*images.shape[:-3], height, width, images.shape[-1]), np.uint8)
    top, left = (height - inner_high) // 2, (width - inner_wide) // 2
    padded[..., top : top + inner_high, left : left + inner_wide, :] = resized
    return padded


def _along(images: NDArray[np.uint8], axis: int, size: int) -> NDArray[np.uint8]:
    """The pictures with `size` pixels along one axis."""
    if images.shape[axis] == size:
        return images
    weights = _weights(images.shape[axis], size)
    mixed = np.moveaxis(np.moveaxis(images, axis, -1).astype(np.float64) @ weights.T, -1, axis)
    return np.asarray(np.clip(np.floor(mixed + 0.5), 0, 255), np.uint8)


def _weights(before: int, after: int) -> NDArray[Any]:
    """float64[after, before]: how much each pixel gives to each new one, by a triangle around its place."""
    scale = before / after
    reach = max(scale, 1.0)
    weights = np.zeros((after, before))
    for i in range(after):
        centre = (i + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(before, math.floor(centre + reach + 0.5))
        near = 1.0 - np.abs((np.arange(first, last) + 0.5 - centre) / reach)
        weights[i, first:last] = np.maximum(near, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
