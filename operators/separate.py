"""Pattern separation and the gate of change (HippoMM): what is too like what was kept is not kept again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..records import Picture, Vector

if TYPE_CHECKING:
    import torch

_BLOCK = 128
_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # of SSIM, in grey levels


def keyframes(features: torch.Tensor, threshold: float = 0.9) -> torch.Tensor:
    """Indices int64[K], ascending, of the rows of `features` [T, D] that are unlike all those kept before them.

    Row i is kept iff its largest cosine to the rows kept so far is below `threshold` (HippoMM, "pattern separation").
    A zero row has cosine 0 to everything; a row that holds NaN is never kept. O(K T D) time, O(T D) memory.
    """
    if features.ndim != 2:
        raise ValueError(f"features are [T, D], not {list(features.shape)}")
    import torch  # here, not above: watching separates with `Separator`, and torch takes seconds to load

    rows = torch.nn.functional.normalize(features.float(), dim=1, eps=1e-12)
    kept: list[int] = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]  # [B, D]
        unlike = ~block.isnan().any(dim=1)  # bool[B]
        if kept:
            unlike &= (block @ rows[kept].T).amax(dim=1) < threshold
        within = block @ block.T < threshold  # bool[B, B]
        for i in range(len(block)):
            if unlike[i]:
                kept.append(start + i)
                unlike[i + 1 :] &= within[i, i + 1 :]
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
        """Whether float32[D] is unlike all that was admitted; if so it is kept. NaN is never admitted. O(K D)."""
        if vector.ndim != 1 or (self._count and len(vector) != self._kept.shape[1]):
            raise ValueError(f"a vector of {self._kept.shape[1:]}, not {vector.shape}")
        if np.isnan(vector).any():
            return False
        one = vector.astype(np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
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

    It looks at strips of 7 full-resolution rows, one in every 28, so that each of its windows is one of `ssim`'s own:
    a quarter of the pixels and one row of windows in 28. A picture passes when 1 - SSIM against the reference, or the
    sum of it since the reference was taken, exceeds `threshold`.
    """

    def __init__(self, threshold: float = 0.3, stride: int = 28) -> None:
        if stride < _WINDOW:
            raise ValueError(f"strips of 7 rows overlap at a stride of {stride}")
        self.threshold = threshold
        self.stride = stride
        self.clear()

    def clear(self) -> None:
        """Forget the reference: the next picture passes."""
        self._reference: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None = None
        self._running = 0.0
        self.changed = False

    def look(self, picture: Picture) -> float:
        """1 - SSIM of uint8[H, W, 3] against the reference, on the strips; `changed` then says whether it passed.

        A picture that passes becomes the reference. The first, and the first of another size, passes at 1.0.
        """
        strips = self._strips(picture)  # float32[S, 7, W]
        now = (strips, _window_sums(strips.sum(axis=1)), _window_sums(_column_products(strips, strips)))
        if self._reference is None or self._reference[0].shape != strips.shape:
            difference = 1.0
        else:
            then = self._reference
            both = _window_sums(_column_products(then[0], strips))
            difference = 1.0 - float(_similarity(then[1], now[1], then[2], now[2], both).mean(dtype=np.float64))
        self._running += difference
        self.changed = max(difference, self._running) > self.threshold
        if self.changed:
            self._reference, self._running = now, 0.0
        return difference

    def _strips(self, picture: Picture) -> NDArray[np.float32]:
        height, width = picture.shape[:2]
        if min(height, width) < _WINDOW:
            raise ValueError(f"a picture of at least 7 x 7, not {height} x {width}")
        tops = np.arange(0, height - _WINDOW + 1, self.stride)
        tops += (height - _WINDOW - int(tops[-1])) // 2  # centred
        strips = np.concatenate([picture[top : top + _WINDOW] for top in tops])
        return _grey(strips).reshape(len(tops), _WINDOW, width).astype(np.float32)


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture, dtype=np.uint8)


def _column_products(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[S, 7, W] twice -> [S, W], the sum of their products over the 7 rows."""
    return np.asarray(np.einsum("srw,srw->sw", a, b), np.float32)


def _window_sums(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """[S, W], sums over 7 rows -> [S, W - 6], over 7 x 7 windows; whole numbers below 2^24, so exact in float32."""
    sums = cv2.boxFilter(columns, -1, (_WINDOW, 1), normalize=False)
    return np.asarray(sums[:, _WINDOW // 2 : -(_WINDOW // 2)], np.float32)


def _similarity(x: NDArray[Any], y: NDArray[Any], xx: NDArray[Any], yy: NDArray[Any], xy: NDArray[Any]) -> NDArray[Any]:
    """SSIM of each window from its sums of a, b, a^2, b^2 and ab."""
    n = _WINDOW**2
    x, y = x / n, y / n
    var_x, var_y, cov = ((s - n * product) / (n - 1) for s, product in ((xx, x * x), (yy, y * y), (xy, x * y)))
    result: NDArray[Any] = ((2 * x * y + _C1) * (2 * cov + _C2)) / ((x * x + y * y + _C1) * (var_x + var_y + _C2))
    return result
