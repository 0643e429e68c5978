"""Strokes: the edges of print, which hold still while the rest of a picture moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import Picture
from .boxes import Box, union

Edges = NDArray[np.int16]
"""int16[H, W]: signed horizontal gradient (Sobel) of a grey frame."""

CELL = 8
"""Side of the cells in which strokes are counted, pixels of the working frame."""


def edges_of(picture: Picture, width: int) -> Edges:
    """The edges of uint8[H, W, 3] RGB, made smaller first where it is wider than `width`."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if grey.shape[1] > width:
        size = (width, max(8, round(grey.shape[0] * width / grey.shape[1])))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3), dtype=np.int16)


def persistent(frames: Sequence[Edges], least: int) -> Edges:
    """The edges that held, with one sign and at least this strong, through all frames; 0 elsewhere."""
    held = np.maximum(np.minimum.reduce(frames), 0) + np.minimum(np.maximum.reduce(frames), 0)
    held[np.abs(held) < least] = 0
    return np.asarray(held, dtype=np.int16)


@dataclass(frozen=True, slots=True, eq=False)
class Strokes:
    """The persistent edges inside a line's box when it was read: what must be there as long as it stands."""

    box: Box
    edges: Edges
    """int16[h, w], of the box."""

    def shown(self, frame: Edges, held: Edges | None = None) -> tuple[float, float]:
        """How much of the strokes a frame shows, 0 to 1: in all, and in their weakest part of about a letter's width.

        With `held`, standing edges that are not theirs count against a part: another letter in place of the old one.
        """
        import cv2

        x0, y0, x1, y1 = self.box
        edges = frame[y0:y1, x0:x1]
        mask = self.edges != 0
        strong = 2 * np.abs(edges) >= np.abs(self.edges.astype(np.int32))
        there = mask & (np.sign(edges) == np.sign(self.edges)) & strong
        wanted, seen = mask.sum(axis=0), there.sum(axis=0)  # by column
        whole = float(seen.sum() / max(wanted.sum(), 1))
        if held is None:
            return whole, whole
        near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        wanted = wanted + ((held[y0:y1, x0:x1] != 0) & ~near).sum(axis=0)
        letter = min(x1 - x0, max(6, round(0.6 * (y1 - y0))))
        wanted, seen = (np.convolve(columns, np.ones(letter), "valid") for columns in (wanted, seen))
        full = wanted >= 0.05 * (y1 - y0) * letter
        return whole, float((seen[full] / wanted[full]).min()) if full.any() else 1.0

    def closer(self, other: Strokes, frame: Edges) -> bool:
        """Whether a frame looks more like these strokes than like the other ones, where their boxes meet."""
        a, b = self.box, other.box
        x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
        edges = frame[y0:y1, x0:x1].astype(np.int32)
        mine = self.edges[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
        theirs = other.edges[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
        return bool(np.abs(edges - mine).sum() < np.abs(edges - theirs).sum())


def stroke_cells(edges: Edges) -> NDArray[np.bool_]:
    """bool[h, w] of cells: where rising and falling edges stand densely side by side, as both sides of strokes do."""
    import cv2

    height, width = edges.shape
    size = (max(1, width // CELL), max(1, height // CELL))
    both = [
        cv2.blur(cv2.resize((sign * edges > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA), (5, 3))
        for sign in (1, -1)
    ]
    return np.asarray(np.minimum(both[0], both[1]) >= 0.03)


def regions(cells: NDArray[np.bool_], ripe: NDArray[np.bool_], standing: Sequence[Box]) -> list[Box]:
    """Boxes in pixels of the clusters of stroke cells that are ripe, the most text-like first.

    A line that grows, or that wide gaps part, comes whole: with the `standing` lines of its row.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    clusters = [tuple(int(value) for value in row) for row in stats[1:]]  # x, y, width, height, area in cells
    spans: list[Box] = [(CELL * x, CELL * y, CELL * (x + w), CELL * (y + h)) for x, y, w, h, _ in clusters]
    found: list[tuple[float, Box]] = []
    for label, (box, (_, _, wide, high, area)) in enumerate(zip(spans, clusters, strict=True), 1):
        word = wide >= 4 and area >= 8
        whole = with_row(box, [*standing, *spans] if word else standing)
        if (word or whole != box) and np.count_nonzero(ripe[labels == label]) >= 0.5 * area:
            found.append((area / (wide * high) * min(wide / high, 8.0), whole))
    return [box for _, box in sorted(found, key=lambda item: (-item[0], item[1]))]


def with_row(box: Box, lines: Sequence[Box]) -> Box:
    """The box together with the lines beside which it stands, on the same row and within two letters or so."""
    for line in lines:
        tall, high = line[3] - line[1], box[3] - box[1]
        level = min(box[3], line[3]) - max(box[1], line[1]) > 0.5 * min(tall, high)
        gap = max(box[0] - line[2], line[0] - box[2])
        if level and high < 2 * tall and gap < min(1.5 * tall, 12 * CELL):
            box = union(box, line)
    return box


def padded(box: Box, width: int, height: int) -> Box:
    """The box with a margin of a cell or two, inside the frame: the detector wants air around text."""
    x0, y0, x1, y1 = box
    return max(0, x0 - 3 * CELL), max(0, y0 - 2 * CELL), min(width, x1 + 3 * CELL), min(height, y1 + 2 * CELL)
