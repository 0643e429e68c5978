"""What a served memory counts, in Prometheus' text format; every name begins with `mneme_`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ..memory.usage import bytes_in
from ..pipeline.cameras import CameraThread
from ..pipeline.live import Live
from ..records import to_s

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WEIGHED_S = 30.0
"""The folder is weighed at most this often: it may hold thousands of files."""


class Metrics:
    """Counters of the doors, and what the live streams tell at each reading."""

    def __init__(
        self, live: Live, cameras: list[CameraThread], folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Streams(live, cameras, folder, clock))
        self.ask_seconds = Histogram(
            "mneme_ask_seconds",
            "Time that a question took.",
            ["door"],
            registry=self._registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
        )
        self.refused = Counter(
            "mneme_messages_refused", "Messages of live streams that were refused.", registry=self._registry
        )
        self.erasures = Counter("mneme_erasures", "Erasures on request.", registry=self._registry)

    def text(self) -> bytes:
        """Everything as it stands."""
        return bytes(generate_latest(self._registry))


class _Streams:
    """Read when asked: the live streams keep count by themselves."""

    def __init__(self, live: Live, cameras: list[CameraThread], folder: Path, clock: Callable[[], float]) -> None:
        self._live, self._cameras, self._folder, self._clock = live, cameras, folder, clock
        self._weighed: tuple[float, int] | None = None

    def collect(self) -> Iterator[Any]:
        received = CounterMetricFamily("mneme_observations", "Observations taken in.", labels=["stream"])
        dropped = CounterMetricFamily("mneme_drops", "Observations dropped, or their pictures.", labels=["stream"])
        percepts = CounterMetricFamily("mneme_percepts", "Percepts stored.", labels=["stream"])
        acked = GaugeMetricFamily("mneme_acked_seconds", "Stream time up to which all is durable.", labels=["stream"])
        lag = GaugeMetricFamily(
            "mneme_commit_lag_seconds", "Stream time taken in and not durable yet.", labels=["stream"]
        )
        for name in self._live.streams():
            status = self._live.status(name)
            received.add_metric([name], status.received)
            dropped.add_metric([name], status.dropped)
            percepts.add_metric([name], status.percepts)
            acked.add_metric([name], to_s(status.acked_t_ns))
            lag.add_metric([name], max(0.0, to_s(status.last_t_ns - status.acked_t_ns)))
        again = CounterMetricFamily("mneme_reconnects", "Live sources connected to again.", labels=["stream"])
        for thread in self._cameras:
            again.add_metric([thread.camera.address.name], thread.camera.reconnects)
        size = GaugeMetricFamily("mneme_bytes", "What the memory takes on the disk.", value=self._bytes())
        yield from (received, dropped, percepts, acked, lag, again, size)

    def _bytes(self) -> int:
        now = self._clock()
        if self._weighed is None or now - self._weighed[0] > WEIGHED_S:
            self._weighed = now, bytes_in(self._folder)
        return self._weighed[1]
