"""Pictures out of video frames, RGB and upright, and the frame that shows at any time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..records import NS_PER_S, Picture
from .container import Layout, Track

log = logging.getLogger(__name__)

DECORD_FORMATS = ("mov", "matroska")
"""Containers with an index. In others (MPEG transport streams) decord 0.6 gives wrong frames at right times."""
SAME_TIME_NS = 1_000_000
"""decord tells times as float32 seconds: within a millisecond, over hours, it means the same frame."""


class PictureMaker:
    """Turns decoded frames into pictures, keeping one conversion context. Not thread-safe."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def make(self, frame: Any) -> Picture:
        """One frame as uint8[H, W, 3] RGB, turned as its display matrix says.

        Any pixel format, depth and size; high dynamic range is not tone-mapped; pixels are taken as square (the sample
        aspect ratio is ignored).
        """
        from av.sidedata.sidedata import Type

        plane: Any = self._reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
        lines = np.frombuffer(plane, dtype=np.uint8).reshape(plane.height, plane.line_size)  # [h, 3 w and padding]
        rgb = lines[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
        return np.ascontiguousarray(upright(rgb, bytes(matrix)) if matrix is not None else rgb, dtype=np.uint8)


def upright(picture: Picture, matrix: bytes) -> Picture:
    """Apply a display matrix (ISO/IEC 14496-12, 8.3.2: nine int32, native order) of quarter turns and mirrors.

    It sends the pixel (p, q) to (a p + c q, b p + d q); other angles are left as they are.
    """
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32, count=5)
    if a and d and not (b or c):
        return picture[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
    if b and c and not (a or d):
        return picture.transpose(1, 0, 2)[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]
    return picture


class FrameFinder:
    """Random access: the frame of a file that shows at a time.

    decord (17 ms a seek) where its index and three of its frames are bit-equal to PyAV's, else PyAV. Both give the
    frame that sequential reading gives. Not thread-safe.
    """

    def __init__(self, path: Path, layout: Layout, threads: int) -> None:
        if layout.video is None:
            raise SourceError(f"{path} has no pictures", "ask for a moment of a stream that has a video track")
        self._path, self._layout, self._threads = path, layout, threads
        self._track = Track(path, layout.video, layout.zero, threads)
        self._make = PictureMaker().make
        self._times_ns: NDArray[np.int64] = np.empty(0, dtype=np.int64)  # of decord's frames, rising
        self._reader: Any = None
        if any(name in DECORD_FORMATS for name in layout.format.split(",")):
            self._reader = self._prove_decord()

    @property
    def by_decord(self) -> bool:
        return self._reader is not None

    def at(self, t_ns: int) -> tuple[int, Picture]:
        """Presentation time and picture of the frame that shows at `t_ns`; before the first frame the first one."""
        if self._reader is None:
            return self._by_pyav(t_ns)
        number = max(0, int(np.searchsorted(self._times_ns, t_ns, side="right")) - 1)
        return int(self._times_ns[number]), self._reader[number].asnumpy()

    def close(self) -> None:
        self._track.close()
        self._reader = None

    def _by_pyav(self, t_ns: int) -> tuple[int, Picture]:
        held: Any = None
        for frame in self._track.frames(from_ns=t_ns):
            if held is not None and self._track.time_ns(frame.pts) > t_ns:
                break
            held = frame
        if held is None:
            raise SourceError(f"{self._path} has no picture that can be decoded", "give a file that plays in a player")
        return self._track.time_ns(held.pts), self._make(held)

    def _prove_decord(self) -> Any | None:
        """A decord reader that agrees with PyAV on every time and on the first, middle and last frame, or None."""
        try:
            import cv2  # noqa: F401  # decord before cv2 breaks cv2's PNG decoding
            import decord
        except (ImportError, OSError):
            return None
        index = Track(self._path, self._track.stream.index, self._layout.zero, 1)
        try:
            packets = [p for p in index.packets() if p.size and not p.is_discard]
            stamps = [p.pts for p in packets if p.pts is not None]
            if index.errors or len(stamps) != len(packets) or not stamps:
                return None
            times_ns = np.sort(np.array([index.time_ns(pts) for pts in stamps], dtype=np.int64))
        finally:
            index.close()
        try:
            decord.logging.set_level(decord.logging.QUIET)
            reader = decord.VideoReader(str(self._path), ctx=decord.cpu(0), num_threads=self._threads)
            if len(reader) != len(times_ns):
                return None
            told_ns = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64) * NS_PER_S  # [n]
            off_ns = np.abs((told_ns - told_ns[0]) - (times_ns - times_ns[0]))
            if off_ns.max() > SAME_TIME_NS:
                return None
            for number in {0, len(reader) // 2, len(reader) - 1}:
                t_ns, picture = self._by_pyav(int(times_ns[number]))
                if t_ns != times_ns[number] or not np.array_equal(picture, reader[number].asnumpy()):
                    log.debug("%s: decord and PyAV differ at %d ns: PyAV is used", self._path, t_ns)
                    return None
        except (decord.DECORDError, RuntimeError, SourceError, IndexError) as error:
            log.debug("%s: decord cannot read it, PyAV is used: %s", self._path, error)
            return None
        self._times_ns = times_ns
        return reader
