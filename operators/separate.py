"""Pattern separation and the gate of change (HippoMM): what is too like what was kept is not kept again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..records import Picture, Vector
from .shapes import sizes_of

if TYPE_CHECKING:
    import torch

_BLOCK = 128
_LEAST = 1e-300  # length of a row above which it has a direction
_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # of SSIM, in grey levels


def keyframes(features: torch.Tensor, threshold: float = 0.9) -> torch.Tensor:
    """Indices int64[K], ascending, of the rows of `features` [T, D] that are unlike all those kept before them.

    Row i is kept iff its largest cosine to the rows kept so far is below `threshold` (HippoMM, "pattern separation").
    A zero row has cosine 0 to everything; a row that is not finite is never kept; of equal rows the first is. T = 0
    keeps none. Cosines in float32 at the least. O(K T D) time, O(T D) memory.
    """
    import torch  # here, not above: watching separates with `Separator`, and torch takes seconds to load

    sizes_of("features[T,D]", features)
    wide = torch.promote_types(features.dtype, torch.float32)
    unit = torch.nn.functional.normalize(features.double(), dim=1, eps=_LEAST).to(wide)  # no square over- or underflows
    kept: list[int] = []
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK]  # [B, D]
        unlike = ~block.isnan().any(dim=1)  # bool[B]
        if kept:
            unlike &= (block @ unit[kept].T).amax(dim=1) < threshold
        fresh, within = unlike.cpu().numpy(), (block @ block.T < threshold).cpu().numpy()  # bool[B], bool[B, B]
        for i in range(len(block)):
            if fresh[i]:
                kept.append(start + i)
                fresh[i + 1 :] &= within[i, i + 1 :]
    return torch.tensor(kept, dtype=torch.int64, device=features.device)


class Separator:
    """`keyframes` of a stream: keeps the vectors that it admits, so that the next may be compared with them."""

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self.clear()

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forget all that was admitted: a new event begins."""
        self._kept = np.empty((0, 0), np.float32)
        self._count = 0

    def admits(self, vector: Vector) -> bool:
        """Whether float32[D] is unlike all that was admitted; if so it is kept; never unless finite. O(K D)."""
        if vector.ndim != 1 or (self._count and len(vector) != self._kept.shape[1]):
            raise ValueError(f"a vector of {self._kept.shape[1:]}, not {vector.shape}")
        if not np.isfinite(vector).all():
            return False
        long = vector.astype(np.float64)  # no square over- or underflows
        one = (long / max(float(np.linalg.norm(long)), _LEAST)).astype(np.float32)
        if self._count and float((self._kept[: self._count] @ one).max()) >= self.threshold:
            return False
        if self._count == len(self._kept):
            grown = np.empty((max(8, 2 * self._count), len(one)), np.float32)
            grown[: self._count] = self._kept[: self._count].reshape(self._count, len(one))
            self._kept = grown
        self._kept[self._count] = one
        self._count += 1
        return True


def ssim(a: Picture, b: Picture) -> float:
    """Mean structural similarity of two pictures uint8[H, W, 3] (RGB) or uint8[H, W], as HippoMM computes it.

    Grey levels by (9798 R + 19235 G + 3735 B + 2^14) >> 15; uniform 7 x 7 windows that lie wholly inside; covariances
    of the sample (n - 1); K1 = 0.01, K2 = 0.03 (Wang et al. 2004). 1 for equal pictures. O(H W).
    """
    if a.shape != b.shape or min(a.shape[:2]) < _WINDOW:
        raise ValueError(f"two pictures of one shape of at least 7 x 7, not {list(a.shape)} and {list(b.shape)}")
    x, y = _grey(a).astype(np.float64), _grey(b).astype(np.float64)
    inner = slice(_WINDOW // 2, -(_WINDOW // 2))
    sums = [
        cv2.boxFilter(plane, -1, (_WINDOW, _WINDOW), normalize=False)[inner, inner]
        for plane in (x, y, x * x, y * y, x * y)
    ]
    return float(_similarity(*sums).mean())


class ChangeGate:
    """Lets a picture through when it is no longer like the last one that was let through (HippoMM's first step).

    It looks at every fifth of `ssim`'s windows in every fifth row of them, at full resolution: a 25th of the windows,
    which together hold every pixel (but for up to 2 at the edges). A picture passes when 1 - SSIM against the
    reference, or the sum of it since the reference was taken, exceeds `threshold`. At `stride` 1 it is `ssim`.
    """

    def __init__(self, threshold: float = 0.3, stride: int = 5) -> None:
        if stride < 1:
            raise ValueError(f"one window in {stride} is none")
        self.threshold = threshold
        self.stride = stride
        self.clear()

    def clear(self) -> None:
        """Forget the reference: the next picture passes."""
        self._reference: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None = None
        self._running = 0.0
        self.changed = False

    def look(self, picture: Picture) -> float:
        """1 - SSIM of uint8[H, W, 3] against the reference, on those windows; `changed` then says whether it passed.

        A picture that passes becomes the reference. The first, and the first of another size, passes at 1.0. O(H W).
        """
        if min(picture.shape[:2]) < _WINDOW:
            raise ValueError(f"a picture of at least 7 x 7, not {picture.shape[0]} x {picture.shape[1]}")
        grey = _grey(picture).astype(np.float32)
        strips = self._strips(grey)  # float32[S, 7, W]
        now = (grey, self._window_sums(strips.sum(axis=1)), self._window_sums(_column_products(strips, strips)))
        then = self._reference
        if then is None or then[0].shape != grey.shape:
            difference, fresh = 1.0, True
        else:
            both = self._window_sums(_column_products(self._strips(then[0]), strips))
            similarity = _similarity(then[1], now[1], then[2], now[2], both)
            difference, fresh = 1.0 - float(similarity.mean(dtype=np.float64)), False
        self._running += difference
        self.changed = fresh or max(difference, self._running) > self.threshold
        if self.changed:
            self._reference, self._running = now, 0.0
        return difference

    def _strips(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """[H, W] -> a view [S, 7, W] of its strips of 7 rows that begin every `stride` rows, centred."""
        windows = sliding_window_view(plane, _WINDOW, axis=0)  # [H - 6, W, 7]
        return windows[(len(windows) - 1) % self.stride // 2 :: self.stride].transpose(0, 2, 1)

    def _window_sums(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """[S, W], sums over 7 rows -> over every `stride`-th window of 7 x 7; whole numbers below 2^24, so exact."""
        sums = cv2.sepFilter2D(columns, -1, np.ones(_WINDOW, np.float32), np.ones(1, np.float32))
        sums = sums[:, _WINDOW // 2 : -(_WINDOW // 2)]
        return np.ascontiguousarray(sums[:, (sums.shape[1] - 1) % self.stride // 2 :: self.stride], np.float32)


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture, np.uint8)


def _column_products(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[S, 7, W] twice -> [S, W], the sum of their products over the 7 rows."""
    return np.asarray(np.einsum("srw,srw->sw", a, b), np.float32)


def _similarity(x: NDArray[Any], y: NDArray[Any], xx: NDArray[Any], yy: NDArray[Any], xy: NDArray[Any]) -> NDArray[Any]:
    """SSIM of each window from its sums of a, b, a^2, b^2 and ab."""
    n = _WINDOW**2
    x, y = x / n, y / n
    var_x, var_y, cov = ((s - n * product) / (n - 1) for s, product in ((xx, x * x), (yy, y * y), (xy, x * y)))
    result: NDArray[Any] = ((2 * x * y + _C1) * (2 * cov + _C2)) / ((x * x + y * y + _C1) * (var_x + var_y + _C2))
    return result
