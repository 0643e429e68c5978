"""Media containers through PyAV: opening them, choosing tracks, and reading one track in order of time past its faults.

Each track is read through a container of its own. However badly a file is interleaved, no reader waits for another, and
nothing has to be kept until the other side catches up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from ..records import NS_PER_S
from .subtitles import TEXT_CODECS

if TYPE_CHECKING:
    from av.container import InputContainer

log = logging.getLogger(__name__)

MEND = "give a video or sound file that plays in a player"
NOT_MEDIA = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg's formats that draw any text file as a picture."""
STATES_DURATION = ("mov", "matroska", "avi", "wav", "flv", "asf")
"""Formats whose header says how long they are; of others FFmpeg estimates, and an estimate proves nothing."""
MAX_FAULTS_IN_ROW = 64
"""A container that fails to give a packet this often without one good packet between has ended."""
PROBE_PACKETS = 200
"""A track must give its first frame within so many packets."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a container holds: stream numbers of the chosen tracks (None: has none), and its time."""

    format: str
    video: int | None
    audio: int | None
    words: int | None
    zero: Fraction
    """Presentation time that is shown as 0, seconds: the earliest start of its video and audio streams."""
    duration_ns: int | None
    states_duration: bool


def open_container(path: Path) -> InputContainer:
    """Open a file with FFmpeg. Raises `SourceError` where it is not media."""
    import av

    try:
        # A playlist may name other files, never the network.
        return av.open(str(path), options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        if _lacks_moov(path):
            raise SourceError(
                f"{path} is an mp4 without its index (moov): the recording broke off before it was finished",
                "repair it with a tool such as untrunc, or record again",
            ) from error
        raise SourceError(f"{path} is not a video or sound file", MEND) from error


def lay_out(container: InputContainer, path: Path) -> Layout:
    """Choose the tracks of `container`. Raises `SourceError` for a still picture, and where nothing can be watched."""
    from av.stream import Disposition

    kind = container.format.name
    if kind.endswith("_pipe") or kind == "image2":
        raise SourceError(f"{path} is a picture, not a stream", "ask about a picture with `mneme ask --image`")
    # Without a decoder a stream has no codec context; a cover picture is no video.
    usable = [s for s in container.streams if s.codec_context is not None]
    moving = [s for s in usable if s.type == "video" and not s.disposition & Disposition.attached_pic]
    audible = [s for s in usable if s.type == "audio"]
    if kind in NOT_MEDIA or not (moving or audible):
        raise SourceError(f"{path} has neither a picture nor a sound track that can be decoded", MEND)
    spoken = [s for s in audible if s.disposition & Disposition.default] or audible
    written = [s for s in usable if s.type == "subtitle" and s.codec_context.name in TEXT_CODECS]
    starts = [s.start_time * s.time_base for s in moving + audible if s.start_time is not None and s.time_base]
    return Layout(
        format=kind,
        video=moving[0].index if moving else None,
        audio=spoken[0].index if spoken else None,
        words=written[0].index if written else None,
        zero=min(starts, default=Fraction(0)),
        duration_ns=container.duration * 1000 if container.duration else None,
        states_duration=any(name in STATES_DURATION for name in kind.split(",")),
    )


class Track:
    """One stream of a file. Not thread-safe."""

    def __init__(self, path: Path, index: int, zero: Fraction, threads: int) -> None:
        self._path, self._index, self._zero, self._threads = path, index, zero, threads
        self.errors = 0
        """Packets that could not be read or decoded, and frames out of order, since the track was opened."""
        self._fresh = False
        self._open()

    def _open(self) -> None:
        from av.stream import Discard

        self._container = open_container(self._path)
        for stream in self._container.streams:
            if stream.index != self._index:
                stream.discard = Discard.all  # an indexed container then skips their bytes
        self.stream: Any = self._container.streams[self._index]
        base, zero = Fraction(self.stream.time_base or 1), self._zero
        # t = (pts base - zero) seconds, over one denominator: whole numbers are ten times as fast as fractions
        self._scale = base.numerator * zero.denominator * NS_PER_S
        self._shift = zero.numerator * base.denominator * NS_PER_S
        self._over = base.denominator * zero.denominator
        if self.stream.type != "subtitle":
            self.stream.codec_context.thread_count = self._threads
            self.stream.codec_context.thread_type = "AUTO"
        self._fresh = True

    def close(self) -> None:
        self._container.close()

    def time_ns(self, pts: int) -> int:
        """A time stamp of this stream as nanoseconds since the source's zero, rounded to the nearest."""
        return (2 * (pts * self._scale - self._shift) + self._over) // (2 * self._over)

    def declared_end_ns(self) -> int | None:
        """When the header says that this track ends, or None."""
        if self.stream.duration is None:
            return None
        return self.time_ns((self.stream.start_time or 0) + self.stream.duration)

    def packets(self) -> Iterator[Any]:
        """Packets from where the track stands, past those that cannot be read; the last one, empty, flushes."""
        import av

        self._fresh = False
        faults = 0
        demux = self._container.demux(self.stream)
        while faults < MAX_FAULTS_IN_ROW:
            try:
                packet = next(demux)
            except StopIteration:
                return
            except av.FFmpegError as error:
                faults += 1
                self._skip("packet", error)
                demux = self._container.demux(self.stream)
                continue
            faults = 0
            yield packet

    def first_frame(self) -> Any | None:
        """The first frame that can be decoded, or None; leaves the track at an unknown place."""
        return next(self._decoded(islice(self.packets(), PROBE_PACKETS)), None)

    def frames(self, from_ns: int = 0, through: Callable[[Iterator[Any]], Iterator[Any]] = iter) -> Iterator[Any]:
        """Decoded frames in order of time; the first is one that stands at or before `from_ns`, if there is any.

        Seeks to the key frame before `from_ns`. Where a container seeks by guess and lands too late, it is asked again
        further back, and at last read from its beginning. From each such place on the packets go `through` to the
        decoder.
        """
        back_ns = 0
        while from_ns > back_ns and self._seek(from_ns - back_ns):
            decoded = self._in_order(through)
            first = next(decoded, None)
            if first is not None and self.time_ns(first.pts) <= from_ns:
                yield first
                yield from decoded
                return
            back_ns = max(NS_PER_S, 2 * back_ns)
        if not self._fresh:
            self.close()
            self._open()
        yield from self._in_order(through)

    def _seek(self, t_ns: int) -> bool:
        import av

        self._fresh = False
        try:
            pts = int((Fraction(t_ns, NS_PER_S) + self._zero) / self.stream.time_base)
            self._container.seek(pts, stream=self.stream, backward=True)
        except av.FFmpegError:
            return False
        return True

    def _in_order(self, through: Callable[[Iterator[Any]], Iterator[Any]]) -> Iterator[Any]:
        """Frames whose time stamps rise."""
        last: int | None = None
        for frame in self._decoded(through(self.packets())):
            if frame.pts is None and self.stream.type == "video" and self.stream.average_rate:
                # A bare elementary stream has no time stamps: count pictures at its rate.
                step = 1 / (self.stream.average_rate * self.stream.time_base)
                frame.pts = round(self._zero / self.stream.time_base) if last is None else round(last + step)
            if frame.pts is None or (last is not None and frame.pts <= last):
                self._skip("frame", ValueError("its time does not come after the frame before it"))
                continue
            last = frame.pts
            yield frame

    def _decoded(self, packets: Iterator[Any]) -> Iterator[Any]:
        import av

        flushed = False
        for packet in packets:
            flushed = packet.size == 0
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                self._skip("frame", error)
        if not flushed:
            try:
                yield from self.stream.codec_context.decode(None)
            except av.FFmpegError as error:
                self._skip("frame", error)

    def _skip(self, what: str, error: Exception) -> None:
        self.errors += 1
        log.debug("%s: stream %d: a %s is skipped: %s", self._path, self._index, what, error)


def _lacks_moov(path: Path) -> bool:
    """Whether the file is a chain of ISO boxes (ISO/IEC 14496-12, 4.2) that begins with `ftyp` and has no `moov`."""
    with path.open("rb") as file:
        end, at = path.stat().st_size, 0
        kinds: list[bytes] = []
        while at + 8 <= end and len(kinds) < 1000:
            file.seek(at)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            size = int.from_bytes(head[8:16], "big") if size == 1 else size or end - at
            kinds.append(kind)
            if size < 8:
                break
            at += size
    return bool(kinds) and kinds[0] == b"ftyp" and b"moov" not in kinds
