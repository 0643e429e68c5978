"""How much of what the picture shows is new: the signal that closes events.

A hard cut replaces the content, and the new content stays. Motion carries content along, a caption leaves the rest of
the picture alone, a flash gives the content back, light changes its level but not its pattern. Each of the four is
tested in its own terms, at a size of picture where it is cheap:

- the colours of the whole picture (a histogram in CIE L*a*b*), which motion keeps and a cut seldom does, judged
  against their own unrest in the last seconds;
- patches of the picture searched for in their neighbourhood (normalised cross-correlation), which motion and light
  survive and a cut does not;
- where the picture stood still, its edge-bearing blocks compared in place: a new slide changes few pixels but most of
  what they say; a change that a band of the picture holds entirely is a caption;
- the pictures after the change compared with the picture before it: what comes back was a flash.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..records import Picture

Gray = NDArray[np.float32]

LAG = 2
"""Looks by which `SceneChange` tells a change late: 0.4 s at 5 pictures a second."""


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Bounds between which a measure counts from 0 to 1, tuned on drawn films (moving scenes, slides, captions)."""

    width: int = 320
    """Pixels across at which blocks are compared; half of it for colours and the search of patches."""
    block: int = 16
    edge: float = 5.0
    """Standard deviation of grey levels from which a block bears content."""
    same: float = 0.5
    """Correlation in place under which a block's content is gone."""
    steady: float = 0.8
    """Correlation in place from which a block stands still."""
    still_looks: int = 2
    """Looks a block has to stand still before its loss means something."""
    still_share: float = 0.4
    """Share of the content that has to stand still, before the change and after it, for a judgement in place."""
    band: float = 0.3
    """Height of the band, as a share of the picture, within which a change is a caption's."""
    colours: tuple[float, float] = (0.18, 0.38)
    """Distance of colour histograms (1 - intersection), over what is usual in this scene."""
    found: tuple[float, float] = (0.88, 0.70)
    """Mean correlation of patches where they are found best: from the first down, the scene is another."""
    lost: tuple[float, float] = (0.15, 0.40)
    """Share of the content that stood still and is gone."""
    beyond: tuple[float, float] = (0.07, 0.20)
    """Share of the content that changed outside the band that holds most of the change."""
    match: float = 0.6
    """Correlation from which a block counts as found in another place."""
    moved: tuple[float, float] = (0.65, 0.40)
    """Share of the lost blocks that are found displaced alike: from the first up, the camera has moved."""


@dataclass(slots=True, eq=False)
class _Look:
    """One picture, reduced."""

    fine: Gray
    """float32[h, w], grey levels at the working width"""
    coarse: Gray
    """float32[h / 2, w / 2]"""
    colours: NDArray[np.float32]
    """float32[2048], sums to 1"""
    blocks: NDArray[np.float32]
    """float32[rows, columns, block^2], each of zero mean and unit length"""
    spread: NDArray[np.float32]
    """float32[rows, columns], standard deviation of grey levels"""
    stood: NDArray[np.int64]
    """int64[rows, columns], looks for which the block has stood still"""


@dataclass(slots=True, eq=False)
class _Suspect:
    """A change that waits to be confirmed by the looks after it."""

    before: _Look | None
    score: float
    usual: float


class SceneChange:
    """The change of scene between pictures sampled from a stream, told `LAG` looks late.

        change = SceneChange()
        for picture in sampled:                # about 5 a second
            score = change.look(picture)       # of the picture `LAG` looks ago against the one before it

    A score of 0.5 and more is a cut. At 2 to 10 pictures a second the scores of cuts stay; slower, fast motion looks
    like a cut (a patch is searched within 8 % of the width), and a flash of more than `LAG` looks counts as one:
    0.4 s at 5 a second, 0.2 s at 10.
    """

    def __init__(self, settings: ChangeSettings | None = None) -> None:
        self.settings = settings or ChangeSettings()
        self.clear()

    def clear(self) -> None:
        """Forget what was seen: the next picture starts a stream."""
        self._last: _Look | None = None
        self._suspects: deque[_Suspect] = deque()
        self._unrest: deque[float] = deque(maxlen=10)

    def look(self, picture: Picture) -> float:
        """Take the next picture, uint8[H, W, 3] RGB; the score in [0, 1] of the picture `LAG` looks ago.

        A picture without content (black, white, one colour) is passed over: what follows it is compared with what
        stood before it. Raises `ValueError` for anything that is not a picture of at least 32 x 32.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < 32 or picture.dtype != np.uint8:
            raise ValueError(f"a picture is uint8[H >= 32, W >= 32, 3], not {picture.dtype}{list(picture.shape)}")
        now = self._reduce(picture)
        last = self._last
        if last is not None and last.fine.shape != now.fine.shape:
            self.clear()
            last = None
        blind = int((now.spread > self.settings.edge).sum()) < 3
        usual = float(np.median(self._unrest)) if self._unrest else 0.0
        if last is not None:
            self._stand(last, now)
        newest = 1.0
        if not blind:
            for i, suspect in enumerate(self._suspects):
                if suspect.before is not None and suspect.score > 0:
                    since = self._compare(suspect.before, now, suspect.usual, len(self._suspects) - i)
                    suspect.score = min(suspect.score, since)
                    newest = min(newest, since)  # a return is no change either
        if last is None or blind:
            self._suspects.append(_Suspect(None, 0.0, usual))
        else:
            score = min(newest, self._compare(last, now, usual))
            self._suspects.append(_Suspect(last, score, usual))
            if score < 0.5:
                self._unrest.append(_colour_distance(last, now))
            else:
                self._unrest.clear()
        if not blind:
            self._last = now
        return self._suspects.popleft().score if len(self._suspects) > LAG else 0.0

    def _reduce(self, picture: Picture) -> _Look:
        s = self.settings
        height = max(2 * s.block, round(s.width * picture.shape[0] / picture.shape[1]))
        small = cv2.resize(picture, (s.width, height), interpolation=cv2.INTER_AREA)
        half = cv2.resize(small, (s.width // 2, height // 2), interpolation=cv2.INTER_AREA)
        fine = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        coarse = cv2.cvtColor(half, cv2.COLOR_RGB2GRAY).astype(np.float32)
        lab = cv2.cvtColor(half, cv2.COLOR_RGB2LAB)
        counts = cv2.calcHist([lab], [0, 1, 2], None, [8, 16, 16], [0, 256, 64, 192, 64, 192]).reshape(8, 256)
        colours = np.asarray(cv2.GaussianBlur(counts, (1, 3), 0.7), np.float32).ravel()
        rows, columns = height // s.block, s.width // s.block
        blocks = (
            fine[: rows * s.block, : columns * s.block]
            .reshape(rows, s.block, columns, s.block)
            .transpose(0, 2, 1, 3)
            .reshape(rows, columns, s.block**2)
        )
        blocks = blocks - blocks.mean(axis=2, keepdims=True)
        length = np.sqrt(np.einsum("rcp,rcp->rc", blocks, blocks))
        return _Look(
            fine,
            coarse,
            colours / max(float(colours.sum()), 1e-6),
            blocks / np.maximum(length, 1e-3)[..., None],
            length / s.block,
            np.zeros((rows, columns), np.int64),
        )

    def _stand(self, last: _Look, now: _Look) -> None:
        s = self.settings
        in_place = np.einsum("rcp,rcp->rc", last.blocks, now.blocks)
        flat = (last.spread <= s.edge) & (now.spread <= s.edge)
        now.stood = np.where(flat | (in_place >= s.steady), last.stood + 1, 0)

    def _compare(self, before: _Look, now: _Look, usual: float, since: int = 0) -> float:
        s = self.settings
        another = _ramp(_colour_distance(before, now) - 1.5 * usual, s.colours)
        if another > 0:
            another = min(another, _ramp(self._found(before, now), s.found))
        return max(another, self._replaced(before, now, since))

    def _found(self, before: _Look, now: _Look) -> float:
        """Mean correlation of the patches of either picture at their best place in the other; the better way round."""
        return max(_search(before.coarse, now.coarse), _search(now.coarse, before.coarse))

    def _replaced(self, before: _Look, now: _Look, since: int) -> float:
        """In place: how surely content that stood still gave way to other content, and not to a caption, 0 to 1.

        `since` looks after the change the new content has to have stood still for as long.
        """
        s = self.settings
        had, has = before.spread > s.edge, now.spread > s.edge
        still = had & (before.stood >= s.still_looks)
        if still.sum() < max(3, s.still_share * had.sum()):
            return 0.0
        stands = has & (now.stood >= since)
        if stands.sum() < s.still_share * has.sum():
            return 0.0
        gone = np.einsum("rcp,rcp->rc", before.blocks, now.blocks) < s.same
        lost = float((still & gone).sum() / still.sum())
        changed = ((had & still) | (has & (before.stood >= s.still_looks))) & gone
        rows = changed.sum(axis=1)  # [rows]
        band = max(1, round(s.band * len(rows)))
        within = np.convolve(rows, np.ones(band, np.int64)).max()
        beyond = float((rows.sum() - within) / (still | stands).sum())
        score = min(_ramp(lost, s.lost), _ramp(beyond, s.beyond))
        if score > 0:
            score = min(score, _ramp(self._moved(before, now, still & gone), s.moved))
        return score

    def _moved(self, before: _Look, now: _Look, lost: NDArray[np.bool_]) -> float:
        """Share of marked lost blocks that are found near by, all displaced alike: a camera that set off.

        Letters are found among other letters too, but each in another direction.
        """
        s = self.settings
        reach, margin = round(0.10 * s.width), s.block // 2
        marked = np.argsort(np.where(lost, -before.spread, 0.0), axis=None, kind="stable")[: -(-int(lost.sum()) // 2)]
        marked = np.sort(marked)[:: -(-len(marked) // 12)]  # the stronger half, and of that 12 from all over
        shifts, matches = np.zeros((len(marked), 2)), np.zeros(len(marked))
        for i, (row, column) in enumerate(zip(*np.unravel_index(marked, lost.shape), strict=True)):
            y0, x0 = max(0, row * s.block - margin), max(0, column * s.block - margin)
            patch = before.fine[y0 : y0 + s.block + 2 * margin, x0 : x0 + s.block + 2 * margin]
            top, left = max(0, y0 - reach), max(0, x0 - reach)
            area = now.fine[top : y0 + patch.shape[0] + reach, left : x0 + patch.shape[1] + reach]
            matches[i], (y, x) = _best_match(area, patch)
            shifts[i] = top + y - y0, left + x - x0
        alike = np.abs(shifts[:, None] - shifts[None]).max(axis=2) <= s.block // 4  # [n, n]
        return float((alike & (matches >= s.match)).sum(axis=1).max() / len(marked))


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    """0 at the first bound and beyond, 1 at the second and beyond, straight between."""
    return min(1.0, max(0.0, (value - bounds[0]) / (bounds[1] - bounds[0])))


def _colour_distance(a: _Look, b: _Look) -> float:
    return 1.0 - float(np.minimum(a.colours, b.colours).sum())


def _best_match(area: Gray, patch: Gray) -> tuple[float, tuple[int, int]]:
    """Largest normalised cross-correlation of `patch` over its places in `area`, and that place (y, x)."""
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(area, patch, cv2.TM_CCOEFF_NORMED))
    return float(best), (int(y), int(x))


def _search(source: Gray, target: Gray, size: int = 24, grid: tuple[int, int] = (3, 4)) -> float:
    """Mean best correlation of the most marked patch of each cell of `source` (both [h, w]), searched near by.

    Marked are corners: a straight edge is found anywhere along itself (the aperture problem).
    """
    height, width = source.shape
    size = min(size, height // 2, width // 2)
    reach = round(0.08 * width)
    corners = cv2.boxFilter(cv2.cornerMinEigenVal(source / 255.0, 3), -1, (size, size), borderType=cv2.BORDER_CONSTANT)
    inner = corners[size // 2 : height - size // 2, size // 2 : width - size // 2]  # top left corner -> its patch
    strongest, scores = float(inner.max()), []
    for rows in np.array_split(np.arange(inner.shape[0]), grid[0]):
        for columns in np.array_split(np.arange(inner.shape[1]), grid[1]):
            cell = inner[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            y, x = np.unravel_index(int(cell.argmax()), cell.shape)
            if cell[y, x] < 0.02 * strongest:
                continue
            y0, x0 = int(rows[0] + y), int(columns[0] + x)
            area = target[max(0, y0 - reach) : y0 + size + reach, max(0, x0 - reach) : x0 + size + reach]
            scores.append(_best_match(area, source[y0 : y0 + size, x0 : x0 + size])[0])
    return float(np.mean(scores)) if scores else 1.0
