"""Which frames of a track show at the sampling ticks; what no tick samples is not decoded where it need not be."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ..records import NS_PER_S
from .container import Track

log = logging.getLogger(__name__)

SPARING_CODECS = ("h264",)
"""Codecs in which a picture says whether others are decoded from it, so that those that are not can be passed over
(ISO/IEC 14496-10, 7.4.1: nal_ref_idc equal to 0)."""
TIMED_FORMATS = ("mov", "matroska", "mpegts")
"""Containers that say when a picture is shown. Others (AVI) number the pictures as they are decoded."""
LOOK_AHEAD = 32
"""Packets read ahead of the decoder. At most 16 pictures precede one in decoding and follow it in showing (ISO/IEC
14496-10, E.2.1: max_num_reorder_frames), so this shows every picture's successor before the picture is decoded."""


class TickSampler:
    """The frames of a track that show at the ticks k / rate, each once, in order of time.

    A frame that shows at no tick and from which no other is decoded need not be decoded. Where the packets' times tell
    which these are, they are passed over; at the first sign of a fault, and for other codecs, every frame is decoded.
    Of what is whole both ways give the same frames. Faults in what is passed over are not seen.
    """

    def __init__(self, track: Track, rate: Fraction, start_ns: int = 0) -> None:
        self._track, self._rate, self._start_ns = track, rate, max(0, start_ns)
        self.end_ns = 0
        """When all is read: when the last frame ceases to show."""

    def frames(self) -> Iterator[tuple[int, Any]]:
        """(presentation time, frame) of each sampled frame with a time of at least `start_ns`."""
        from_ns = self._start_ns
        stream = self._track.stream
        timed = any(name in TIMED_FORMATS for name in stream.container.format.name.split(","))
        if timed and stream.codec_context.name in SPARING_CODECS:
            try:
                for t_ns, frame in self._sparing():
                    from_ns = t_ns + 1
                    yield t_ns, frame
                return
            except _UnforeseenError as fault:
                log.debug("from %d ns on every frame is decoded: %s", from_ns, fault)
                self._track.stream.codec_context.skip_frame = "DEFAULT"
                self._track.errors = 0  # reading again from a key frame meets them again
        yield from self._all(from_ns)

    def _shows(self, t_ns: int, until_ns: int) -> bool:
        """Whether [t_ns, until_ns) holds a tick. Ticks are rounded to nanoseconds, as times of frames are."""
        over, under = NS_PER_S * self._rate.denominator, self._rate.numerator  # a tick lasts over / under ns
        k = max(0, t_ns * under // over - 1)
        while (tick_ns := (2 * k * over + under) // (2 * under)) < t_ns:
            k += 1
        return tick_ns < until_ns

    def _all(self, from_ns: int) -> Iterator[tuple[int, Any]]:
        track, held, held_ns, step_ns = self._track, None, 0, 0
        for frame in track.frames(from_ns):
            t_ns = track.time_ns(frame.pts)
            if held is not None and held_ns >= from_ns and self._shows(held_ns, t_ns):
                yield held_ns, held
            step_ns = self._own_ns(frame) or max(1, t_ns - held_ns)
            held, held_ns = frame, t_ns
        self.end_ns = held_ns + step_ns
        if held is not None and held_ns >= from_ns and self._shows(held_ns, self.end_ns):
            yield held_ns, held

    def _sparing(self) -> Iterator[tuple[int, Any]]:
        track = self._track
        ahead = _LookAhead(track, lambda t_ns, until_ns: t_ns >= self._start_ns and self._shows(t_ns, until_ns))
        for frame in track.frames(self._start_ns, ahead.packets):
            if track.errors:
                raise _UnforeseenError("a packet or a frame cannot be read")
            if not ahead.is_due(frame):
                continue
            t_ns = track.time_ns(frame.pts)
            if ahead.is_last(frame):
                self.end_ns = t_ns + (self._own_ns(frame) or max(1, t_ns - ahead.last_but_one_ns))
                if t_ns < self._start_ns or not self._shows(t_ns, self.end_ns):
                    continue
            yield t_ns, frame
        ahead.finish()

    def _own_ns(self, frame: Any) -> int:
        """What the frame itself says how long it shows, or 0."""
        return round(frame.duration * self._track.stream.time_base * NS_PER_S) if frame.duration else 0


class _UnforeseenError(Exception):
    """The packets' times did not tell what the decoder would give."""


class _LookAhead:
    """Reads packets ahead of a decoder, finds the next time after each, and has unneeded frames passed over."""

    def __init__(self, track: Track, shows: Callable[[int, int], bool]) -> None:
        self._track, self._shows = track, shows
        self._stamps: list[int] = []  # of the packets of late and those ahead, rising
        self._settled: int | None = None  # no packet may come any more with a time before this one
        self._due: set[int] = set()  # times of frames that the decoder must give
        self._ended = False

    def packets(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The packets, each when the decoder has been set for it. Starts anew with each call."""
        self._stamps, self._settled, self._due, self._ended = [], None, set(), False
        ahead: deque[Any] = deque()
        for packet in packets:
            if ahead and not ahead[-1].size:
                raise _UnforeseenError("a packet without data is not the last one")
            if packet.size:
                self._note(packet)
            ahead.append(packet)
            if len(ahead) > LOOK_AHEAD:
                yield self._judged(ahead.popleft())
        self._ended = True
        while ahead:
            yield self._judged(ahead.popleft())

    def is_due(self, frame: Any) -> bool:
        """Whether a decoded frame is one that shows at a tick, or the last."""
        if self._due and min(self._due) < frame.pts:
            raise _UnforeseenError("a frame is missing")
        if frame.pts not in self._due:
            return False
        if frame.is_corrupt or frame.interlaced_frame:  # of two fields only one may be passed over
            raise _UnforeseenError("a frame is damaged or interlaced")
        self._due.remove(frame.pts)
        return True

    def is_last(self, frame: Any) -> bool:
        return self._ended and bool(frame.pts == self._stamps[-1])

    @property
    def last_but_one_ns(self) -> int:
        return self._track.time_ns(self._stamps[-2]) if len(self._stamps) > 1 else 0

    def finish(self) -> None:
        """To be called when the decoder has given all."""
        if self._due:
            raise _UnforeseenError("frames are missing at the end")

    def _note(self, packet: Any) -> None:
        if packet.is_corrupt or packet.pts is None:
            raise _UnforeseenError("a packet is damaged or has no time")
        if packet.is_discard:  # decoded for others, never shown
            return
        if self._settled is not None and packet.pts < self._settled:
            raise _UnforeseenError("a packet comes too late")
        at = bisect_right(self._stamps, packet.pts)
        if at and self._stamps[at - 1] == packet.pts:
            raise _UnforeseenError("two packets have one time")
        self._stamps.insert(at, packet.pts)
        if len(self._stamps) > 4 * LOOK_AHEAD:
            del self._stamps[:LOOK_AHEAD]

    def _judged(self, packet: Any) -> Any:
        if packet.size:
            needed = not packet.is_discard and self._is_needed(packet.pts)
            self._track.stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
            if needed:
                self._due.add(packet.pts)
        return packet

    def _is_needed(self, pts: int) -> bool:
        at = bisect_right(self._stamps, pts)
        if at == len(self._stamps):
            if not self._ended:
                raise _UnforeseenError("the next frame is too far ahead")
            return True
        until = self._stamps[at]
        self._settled = max(until, self._settled if self._settled is not None else until)
        return self._shows(self._track.time_ns(pts), self._track.time_ns(until))
