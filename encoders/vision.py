"""Sight without weights: a picture's colours and gradients, and whether two pictures show one place.

`Layout` describes a picture by soft colour words and gradient orientations over a small spatial pyramid (Lazebnik et
al., "Beyond bags of features", 2006; Dalal & Triggs, "Histograms of oriented gradients", 2005). Its tokens describe
windows of the picture in the same space, so that a crop can be recognised by the window it came from. What looks alike
is then settled by geometry: `agreement` counts local features that one affine map carries from picture to picture
(SIFT, Lowe 2004; RootSIFT, Arandjelovic & Zisserman 2012; verification as Philbin et al. 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Picture, Space
from .base import Encoded, EncoderSpec, unit

Cells = NDArray[np.float32]
"""float32[18, 32, channels]: what a picture holds, cell by cell."""
Rect = tuple[float, float, float, float]
"""x, y, width, height as fractions of the picture."""

GRID = (18, 32)
CELL = 4
"""Side of a cell, pixels of the picture once it is resized to 128 x 72."""
HUES, GREYS, ORIENTATIONS = 10, 4, 8
COLOURS = 2 * HUES + GREYS
CENTRE = np.array(
    [0.03, 0.20, 0.19, 0.05, 0.03, 0.06, 0.13, 0.18, 0.05, 0.01]  # pale hues
    + [0.03, 0.16, 0.12, 0.03, 0.02, 0.04, 0.05, 0.09, 0.04, 0.00]  # vivid hues
    + [0.17, 0.42, 0.29, 0.28]  # greys, dark to light
    + [0.08] * ORIENTATIONS,
    dtype=np.float32,
)
"""What an everyday picture has of each channel: the mean over some twenty unrelated scenes, none of any test."""
PYRAMID: tuple[tuple[slice, int, int, float], ...] = (
    (slice(0, COLOURS), 1, 1, 1.0 / 0.66),
    (slice(0, COLOURS), 2, 2, 0.7 / 1.38),
    (slice(0, COLOURS), 3, 1, 0.7 / 1.18),
    (slice(COLOURS, COLOURS + ORIENTATIONS), 2, 2, 0.5 / 0.25),
    (slice(COLOURS, COLOURS + ORIENTATIONS), 4, 4, 0.4 / 0.69),
)
"""Channels, rows, columns, and weight over the level's usual length: the weight squared is its share in a cosine."""
DIM = sum((part.stop - part.start) * rows * columns for part, rows, columns, _ in PYRAMID)
WINDOWS: tuple[Rect, ...] = (
    (0.0, 0.0, 1.0, 1.0),
    *((0.5 - wide / 2, 0.0, wide, 1.0) for wide in (0.32, 0.42, 0.56, 0.75)),  # 9:16, 3:4, 1:1, 4:3 between bars
    *((x, y, 0.7, 0.7) for x in (0.0, 0.15, 0.3) for y in (0.0, 0.3)),
)
"""The windows whose descriptions are a picture's tokens; the first is the picture."""
VIEWS: tuple[Rect, ...] = ((0.0, 0.0, 1.0, 1.0), (0.12, 0.12, 0.76, 0.76))
"""The windows of a query."""


class Layout:
    """A `PictureEncoder` in the space `layout`; two or three milliseconds a picture, deterministic.

    Cosines of neighbouring frames of one shot stand around 0.99, of unrelated pictures around 0 (19 of 20 under 0.55).
    """

    threshold = 0.5
    """A calibrated score from which a picture counts as one of the stream."""

    def __init__(self) -> None:
        self._spec = EncoderSpec("layout", "vision", Space("layout", DIM, "layout-1"))

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        """uint8[H, W, 3] RGB pictures of any sizes -> vectors[b, DIM] and tokens[b, len(WINDOWS), DIM], unit length."""
        if not batch:
            return Encoded(np.zeros((0, DIM), np.float32), np.zeros((0, len(WINDOWS), DIM), np.float16))
        tokens = np.stack([_describe(_cells(picture), WINDOWS) for picture in batch])
        return Encoded(np.ascontiguousarray(tokens[:, 0]), tokens.astype(np.float16))

    def encode_query(self, picture: Picture) -> Encoded:
        """A picture to look for -> vectors[v, DIM], one for each of its views."""
        return Encoded(_describe(_cells(picture), VIEWS))

    def match(
        self, query: Encoded, vectors: NDArray[np.float32], tokens: NDArray[np.float16] | None = None
    ) -> NDArray[np.float32]:
        """Best cosine of any view with any window: vectors[n, DIM], tokens[n, w, DIM] or None -> float32[n].

        It ranks. Whether the best is the right place is for `agreement` to say, or for `calibrate` where there is no
        picture left.
        """
        windows = vectors[:, None] if tokens is None else tokens.astype(np.float32)  # [n, w, d]
        return np.asarray((windows @ query.vectors.T).max(axis=(1, 2)), dtype=np.float32)

    def calibrate(self, cosine: float) -> float:
        """How sure a best cosine of `match` makes us that the stream holds the picture, 0 to 1.

        Colour alone cannot tell alike places apart: 0.5 stands where one unrelated stream in twenty reaches.
        """
        return float(1.0 / (1.0 + np.exp(-(cosine - 0.87) / 0.04)))

    def agreement(self, query: Picture, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """How sure geometry makes us that pictures show what the query shows: n of uint8[H, W, 3] -> float32[n].

        Tens of milliseconds a picture, for the best few of `match`; a thumbnail of 320 pixels will do. 0.5 stands
        between 6 and 7 agreeing features: unrelated pictures had at most 4, crops of a place seen at another time at
        least 9.
        """
        wanted = _features(query)
        agreeing = np.array([_agreeing(wanted, _features(picture)) for picture in pictures], dtype=np.float32)
        return np.asarray(1.0 / (1.0 + np.exp(6.5 - agreeing)), dtype=np.float32)


def _cells(picture: Picture) -> Cells:
    """uint8[H, W, 3] -> float32[18, 32, COLOURS + ORIENTATIONS]: colour words and gradients, free of illumination."""
    import cv2

    rows, columns = GRID
    small = cv2.resize(picture, (columns * CELL, rows * CELL), interpolation=cv2.INTER_AREA).astype(np.float32)
    red, green, blue = cv2.split(small)
    total = red + green + blue + 30.0  # the constant keeps the noise of dark pixels from being colour
    light = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    lit = light[light > 16.0] if light.max() > 32.0 else light  # black bars are no part of the light
    tone = np.clip((light - lit.mean()) / (lit.std() + 8.0), -1.2, 1.2)
    saturation, hue = cv2.cartToPolar((red - green) / total, (0.5 * (red + green) - blue) / total)
    coloured = np.clip((saturation - 0.04) / 0.10, 0.0, 1.0)
    vivid = np.clip((saturation - 0.15) / 0.20, 0.0, 1.0)
    slope, direction = cv2.cartToPolar(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    slope = np.sqrt(slope / (slope.mean() + 8.0))  # a picture's own contrast is the unit
    hue = hue * (HUES / (2 * np.pi))
    counts = [
        _tally(hue, coloured * (1.0 - vivid), HUES),
        _tally(hue, coloured * vivid, HUES),
        _tally((tone + 1.2) * ((GREYS - 1) / 2.4), 1.0 - coloured, GREYS),
        _tally(direction * (ORIENTATIONS / np.pi), slope, ORIENTATIONS),  # unsigned: modulo half a turn
    ]
    return np.concatenate(counts, axis=2)


def _tally(position: NDArray[np.float32], weight: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Mean weight a cell of each bin, shared between the two circular bins next to `position`.

    position, weight: float32[rows * CELL, columns * CELL] -> float32[rows, columns, bins].
    """
    rows, columns = GRID
    around = np.where(position >= bins, position - bins, position)
    first = around.astype(np.int32)
    part = around - first
    first[first == bins] = 0  # where the subtraction rounded up to a whole turn
    second = first + 1
    second[second == bins] = 0
    cell = np.add.outer(np.arange(rows).repeat(CELL) * columns, np.arange(columns).repeat(CELL)) * bins
    size = rows * columns * bins
    sums = np.bincount((cell + first).ravel(), (weight * (1.0 - part)).ravel(), size)
    sums += np.bincount((cell + second).ravel(), (weight * part).ravel(), size)
    return np.asarray(sums.reshape(rows, columns, bins) / CELL**2, dtype=np.float32)


def _describe(cells: Cells, rects: Sequence[Rect]) -> NDArray[np.float32]:
    """Windows of a picture -> float32[len(rects), DIM], unit length, centred so that unlike pictures are near 0."""
    rows, columns, channels = cells.shape
    table = np.zeros((rows + 1, columns + 1, channels), dtype=np.float32)  # sums over all that is above and left
    table[1:, 1:] = cells.cumsum(axis=0).cumsum(axis=1)
    x, y, wide, high = np.array(rects).T
    levels = []
    for part, down, across, weight in PYRAMID:
        ys = _edges(y, high, rows, down)  # [n, down + 1]
        xs = _edges(x, wide, columns, across)
        corners = table[ys[:, :, None], xs[:, None, :], part]  # [n, down + 1, across + 1, c]
        sums = corners[:, 1:, 1:] - corners[:, :-1, 1:] - corners[:, 1:, :-1] + corners[:, :-1, :-1]
        areas = np.diff(ys)[:, :, None, None] * np.diff(xs)[:, None, :, None]
        level = np.maximum(sums / areas, 0.0)
        if part.start < COLOURS:
            level = np.sqrt(level)  # Hellinger's kernel
        levels.append(weight * (level - CENTRE[part]).reshape(len(rects), -1))
    return unit(np.concatenate(levels, axis=1))


def _edges(start: NDArray[np.float64], length: NDArray[np.float64], cells: int, parts: int) -> NDArray[np.intp]:
    """Cell borders that divide windows [start, start + length), fractions, into equal parts: [n, parts + 1]."""
    first = np.round(start * cells)[:, None]
    return np.round(first + np.round(length * cells)[:, None] * np.linspace(0.0, 1.0, parts + 1)).astype(np.intp)


FEATURES = 400
"""Local features a picture, the strongest."""


Features = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Places float32[n, 2] in pixels, and descriptors float32[n, 128] of unit length."""


def _features(picture: Picture) -> Features:
    """uint8[H, W, 3] -> the local features (RootSIFT) of the picture at 480 pixels or less, about FEATURES of them."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, 480.0 / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    create: Any = cv2.SIFT_create  # type: ignore[attr-defined]  # the stubs lack it
    sift = create(nfeatures=FEATURES, contrastThreshold=0.02)
    points, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
    return np.array([point.pt for point in points], np.float32), np.asarray(descriptors, np.float32)


def _agreeing(query: Features, seen: Features) -> int:
    """How many features of the query one plausible affine map carries to their like in the picture seen."""
    import cv2

    (points, descriptors), (places, others) = query, seen
    if len(points) < 4 or len(places) < 4:
        return 0
    likeness = descriptors @ others.T  # [n, m]
    nearest = np.argsort(-likeness, axis=1)[:, :2]
    distance = 2.0 - 2.0 * np.take_along_axis(likeness, nearest, axis=1)  # squared, unit vectors
    clear = distance[:, 0] < 0.8**2 * distance[:, 1]  # Lowe's ratio test
    if np.count_nonzero(clear) < 4:
        return 0
    source, target = points[clear], places[nearest[clear, 0]]
    estimate: Any = cv2.estimateAffine2D  # RANSAC from a fixed seed: the same answer every time
    affine, inliers = estimate(source, target, method=cv2.RANSAC, ransacReprojThreshold=6.0, maxIters=500)
    if affine is None:
        return 0
    most, least = np.linalg.svd(affine[:, :2])[1]
    if least < 0.15 or most > 3.0 or most > 2.5 * least or np.linalg.det(affine[:, :2]) < 0.0:
        return 0  # mirrored, or squeezed as no camera does
    return len(np.unique((target[inliers.ravel() > 0] / 3.0).round(), axis=0))  # a cluster on one corner is one
