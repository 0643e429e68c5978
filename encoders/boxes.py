"""Boxes in a picture: what they share, and what holds both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half open."""


def area(box: Box) -> int:
    """In pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(a: Box, b: Box) -> float:
    """Area in common over the smaller area."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, wide) * max(0, high) / max(min(area(a), area(b)), 1)


def union(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def joined(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that overlap become one."""
    apart: list[Box] = []
    for box in boxes:
        while (touching := next((other for other in apart if overlap(box, other) > 0), None)) is not None:
            apart.remove(touching)
            box = union(box, touching)
        apart.append(box)
    return apart


def clipped(box: Sequence[float], width: int, height: int) -> Box:
    """Corners in fractions of a pixel as a box inside the frame, of at least one pixel."""
    x0, y0, x1, y1 = (round(corner) for corner in box)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, max(x0 + 1, min(x1, width)), max(y0 + 1, min(y1, height))
