"""Live sources over PyAV: network cameras and devices, as observations that are pushed into a memory while they come.

A stream's time is its own clock (presentation times) since its zero; where a connection is lost, or that clock jumps,
it goes on by the time that passed here.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from ..errors import MnemeError, SourceError
from ..records import NS_PER_S, SOUND_RATE, Observation, samples_to_ns
from .frames import PictureMaker
from .live import Live

if TYPE_CHECKING:
    from ..records import Vector

log = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt", "rtp")
OPEN_S, READ_S = 10.0, 5.0
"""Seconds that a connection may take, and that it may be silent."""
BACK_OFF_S = (0.5, 30.0)
"""The first wait before connecting again, and the longest; each is twice the one before."""
JUMP_NS = 10 * NS_PER_S
"""A clock that advances by more than this between two frames, or goes back by a second, has jumped."""
BACK_NS = NS_PER_S
LATE_NS = NS_PER_S // 2
"""Tracks may come out of step by this: so long observations wait to be put in order."""
CHUNK = SOUND_RATE // 5
"""Samples of sound in an observation."""
JOIN_NS = 100_000_000
"""Sound that comes within this of where the last ended goes on from it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a live source is, and by what name it is remembered."""

    name: str
    url: str
    """What FFmpeg opens; it may hold a password."""
    shown: str
    """The same without one."""
    format: str | None = None


def parse_source(text: str) -> Address:
    """`URL`, a device number, or `NAME=` before either. Errors: `SourceError`."""
    head, equals, rest = text.partition("=")
    name, place = (head, rest) if equals and "://" not in head else ("", text)
    if place.isdigit():
        device = Path(f"/dev/video{place}")
        if not device.exists():
            raise SourceError(
                f"there is no device {device}", "give the number of a camera that is plugged in, or a URL"
            )
        return Address(name or f"camera{place}", str(device), str(device), "v4l2")
    try:
        url = urlsplit(place)
        where = (url.hostname or "") + (f":{url.port}" if url.port else "")
    except ValueError:
        url, where = urlsplit(""), ""
    if url.scheme not in SCHEMES or not where:
        raise SourceError(
            f"{place!r} is not a live source", f"give a device number or a URL: {', '.join(s + '://' for s in SCHEMES)}"
        )
    shown = f"{url.scheme}://{where}{url.path}"
    return Address(name or (where + url.path).rstrip("/"), place, shown)


class Camera:
    """One live source, read by one thread. `close` may come from any."""

    def __init__(
        self, address: Address, *, interval_ns: int, start_ns: int = 0, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """interval_ns: between two pictures. start_ns: stream time now. clock: monotonic nanoseconds."""
        self.address = address
        self.reconnects = 0
        self.errors = 0
        """Packets and frames that could not be read or came too late."""
        self._interval_ns = interval_ns
        self._time = StreamTime(start_ns, clock)
        self._closed = threading.Event()

    def close(self) -> None:
        """`observations` ends, at the latest when a silent connection is given up."""
        self._closed.set()

    def observations(self) -> Iterator[Observation]:
        """Pictures at the ticks and sound, in order of time, until `close`; a lost connection is made again."""
        import av

        wait_s, told = BACK_OFF_S[0], False
        while not self._closed.is_set():
            try:
                for observation in self._connection():
                    wait_s, told = BACK_OFF_S[0], False
                    yield observation
                fault: object = "the stream ended"
            except (av.FFmpegError, OSError, ValueError) as error:
                fault = error
            if self._closed.is_set():
                return
            self.reconnects += 1
            level = logging.DEBUG if told else logging.WARNING
            log.log(level, "%s: %s; connecting again", self.address.shown, str(fault).replace(self.address.url, "it"))
            told = True
            self._time.lost()
            self._closed.wait(wait_s)
            wait_s = min(2 * wait_s, BACK_OFF_S[1])

    def _connection(self) -> Iterator[Observation]:
        import av

        options = {"rtsp_transport": "tcp"} if self.address.url.startswith("rtsp") else {}
        with av.open(
            self.address.url, format=self.address.format, options=options, timeout=(OPEN_S, READ_S)
        ) as container:
            streams: list[Any] = [*container.streams.video[:1], *container.streams.audio[:1]]
            if not streams:
                raise ValueError("it has neither pictures nor sound")
            order = _InOrder(LATE_NS if len(streams) > 1 else 0)
            eye, ear = _Eye(self._interval_ns), _Ear()
            for packet in container.demux(streams):
                if self._closed.is_set():
                    return
                try:
                    frames: list[Any] = packet.decode()
                except av.FFmpegError:
                    self.errors += 1
                    continue
                for frame in frames:
                    if frame.pts is None:
                        self.errors += 1
                        continue
                    t_ns = self._time.at(frame.pts * frame.time_base)
                    sense = eye if packet.stream.type == "video" else ear
                    for observation in sense.take(self.address.name, t_ns, frame):
                        yield from order.put(observation)
            yield from order.rest()


class StreamTime:
    """Maps a source's clock to stream time; the tracks of a connection share it."""

    def __init__(self, start_ns: int, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._base_ns = start_ns
        self._zero_ns: int | None = None
        self._lost = False
        self._last_ns = 0
        self._newest_ns = start_ns
        self._newest_at = clock()

    def at(self, seconds: Any) -> int:
        """Stream time in nanoseconds of a presentation time (a fraction of seconds)."""
        own_ns: int = round(seconds * NS_PER_S)
        if self._zero_ns is not None and not -BACK_NS <= own_ns - self._last_ns <= JUMP_NS:
            self.lost()
        if self._zero_ns is None:
            self._zero_ns, self._last_ns = own_ns, own_ns
            if self._lost:
                self._base_ns = self._newest_ns + max(self._clock() - self._newest_at, 1)
        self._last_ns = max(self._last_ns, own_ns)
        t_ns = self._base_ns + own_ns - self._zero_ns
        if t_ns >= self._newest_ns:
            self._newest_ns, self._newest_at = t_ns, self._clock()
        return t_ns

    def lost(self) -> None:
        """The next time that is asked for begins anew: so much later as has passed here until then."""
        self._zero_ns, self._lost = None, True


class _Eye:
    """The first picture of each tick."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._tick = -1
        self._make = PictureMaker().make

    def take(self, stream: str, t_ns: int, frame: Any) -> list[Observation]:
        tick = t_ns // self._interval_ns
        if tick == self._tick or t_ns < 0:
            return []
        self._tick = tick
        return [Observation(stream, t_ns, {"": self._make(frame)})]


class _Ear:
    """Sound at 16 kHz mono, in chunks; each run of frames that follow each other is resampled in one go."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, str, int] | None = None
        self._run_ns = 0
        self._fed = self._given = 0
        self._held: list[Vector] = []

    def take(self, stream: str, t_ns: int, frame: Any) -> list[Observation]:
        if not frame.samples or t_ns < 0:
            return []
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        due_ns = self._run_ns + self._fed * NS_PER_S // frame.sample_rate
        if kind != self._kind or abs(t_ns - due_ns) > JOIN_NS:
            self._begin(kind, t_ns)
        self._fed += frame.samples
        frame.pts = None  # the resampler counts by itself
        for ready in self._resampler.resample(frame):
            self._held.append(np.frombuffer(ready.planes[0], dtype=np.float32, count=ready.samples))
        if sum(map(len, self._held)) < CHUNK:
            return []
        samples = np.nan_to_num(np.clip(np.concatenate(self._held), -1.0, 1.0))
        at_ns = self._run_ns + samples_to_ns(self._given)
        self._held, self._given = [], self._given + len(samples)
        return [Observation(stream, at_ns, sound=samples)]

    def _begin(self, kind: tuple[str, str, int], t_ns: int) -> None:
        from av import AudioResampler

        # Without the limit FFmpeg mixes floats by power: a voice in both channels would rise by 3 dB and clip.
        self._resampler = AudioResampler("flt", "mono", SOUND_RATE, options={"rematrix_maxval": "1.0"})
        self._kind, self._run_ns, self._fed, self._given, self._held = kind, t_ns, 0, 0, []


class _InOrder:
    """Observations of several tracks put in order of time."""

    def __init__(self, late_ns: int) -> None:
        self._late_ns = late_ns
        self._waiting: list[tuple[int, int, Observation]] = []
        self._newest_ns = self._count = 0

    def put(self, observation: Observation) -> Iterator[Observation]:
        self._count += 1
        self._newest_ns = max(self._newest_ns, observation.t_ns)
        heapq.heappush(self._waiting, (observation.t_ns, self._count, observation))
        while self._waiting and self._waiting[0][0] <= self._newest_ns - self._late_ns:
            yield heapq.heappop(self._waiting)[2]

    def rest(self) -> Iterator[Observation]:
        while self._waiting:
            yield heapq.heappop(self._waiting)[2]


class CameraThread:
    """Pushes what a live source gives into `live` until it is closed."""

    def __init__(self, address: Address, live: Live, interval_ns: int, wall_ns: Callable[[], int]) -> None:
        """wall_ns: nanoseconds since 1970, for the stream's zero: a later run goes on at the right time."""
        start_ns = live.begin(address.name, address.shown, wall_ns())
        self.camera = Camera(address, interval_ns=interval_ns, start_ns=start_ns)
        self._live = live
        self._thread = threading.Thread(target=self._run, name=f"camera {address.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gives nothing more. The thread may still wait for a silent connection; it ends by itself."""
        self.camera.close()

    def _run(self) -> None:
        for observation in self.camera.observations():
            try:
                self._live.push(observation)
            except MnemeError as error:
                self.camera.errors += 1
                log.debug("%s: %s", self.camera.address.shown, error)
