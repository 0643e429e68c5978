"""Local alignment of a quotation with a transcript (Smith and Waterman, 1981), word by word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .words import Word

_GAP = 0.5
"""Cost of a word that only one side has: two of them undo one match."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The best local alignment: its share of the quotation (0 to 1), and words [start, end) of the text."""

    score: float
    start: int
    end: int


def align(quote: Sequence[Word], text: Sequence[Word], likeness: Callable[[Word, Word], float]) -> Alignment:
    """Align `quote` (m words) with any stretch of `text` (n words), O(m n).

    A pair of words scores 2 likeness - 1 (from -1 to 1), a gap costs 0.5; the best sum is divided by m.
    """
    m, n = len(quote), len(text)
    if m == 0 or n == 0:
        return Alignment(0.0, 0, 0)
    previous = [(0.0, j) for j in range(n + 1)]  # (score, where the alignment began)
    best = Alignment(0.0, 0, 0)
    for q in quote:
        row: list[tuple[float, int]] = [(0.0, 0)]
        for j, t in enumerate(text, start=1):
            pair = 2.0 * likeness(q, t) - 1.0
            score, start = max(
                (previous[j - 1][0] + pair, previous[j - 1][1] if previous[j - 1][0] > 0 else j - 1),
                (previous[j][0] - _GAP, previous[j][1]),
                (row[j - 1][0] - _GAP, row[j - 1][1]),
                key=lambda pair_: pair_[0],
            )
            cell = (score, start) if score > 0 else (0.0, j)
            row.append(cell)
            if cell[0] / m > best.score:
                best = Alignment(cell[0] / m, cell[1], j)
        previous = row
    return best
