"""Time travel: which commit a question about the past is put to.

A commit is named by its number in the ledger, by the wall-clock time at which it was the latest, or by a time T of a
stream: the first that covers T, less what ended after T. Rows of the ledger keep their order and their numbers, so a
number is an offset; times are found by two narrow columns or by bisection, never by reading the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from ..errors import MnemeError
from ..records import to_ns, to_s
from . import ledger
from .ledger import Entry, TableState

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2}(?:\.\d+)?)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*s")


@dataclass(frozen=True, slots=True)
class AsOf:
    """A moment of a memory's own history."""

    kind: Literal["commit", "wall", "stream"]
    value: int
    """The number of a commit; nanoseconds since 1970; nanoseconds since the stream's zero."""
    stream: str | None = None
    """Of a time of a stream: which; None: the only one."""

    @classmethod
    def read(cls, text: str, stream: str | None = None) -> AsOf:
        """What a person writes: `#12`, a date and time (ISO 8601; without an offset, of this machine's zone), or a
        time of `stream` (`12:30`, `1:02:03`, `90s`). `MnemeError` of anything else."""
        text = text.strip()
        if re.fullmatch(r"#\d+", text):
            return cls("commit", int(text[1:]))
        if (seconds := stream_time_s(text)) is not None:
            return cls("stream", to_ns(seconds), stream)
        try:
            return cls("wall", to_ns(datetime.fromisoformat(text).astimezone().timestamp()))
        except (ValueError, OverflowError):
            raise MnemeError(
                f"{text!r} names no moment of a memory",
                "give a commit (#12), a date and time (2026-11-21T10:00) or a time of the stream (12:30, 90s)",
            ) from None


def stream_time_s(text: str) -> float | None:
    """Seconds of `12:30`, `1:02:03` or `90s`; None of anything else.

    >>> stream_time_s("1:02:03.5"), stream_time_s("12:30"), stream_time_s("90s"), stream_time_s("90")
    (3723.5, 750.0, 90.0, None)
    """
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(seconds)
    plain = _SECONDS.fullmatch(text)
    return None if plain is None else float(plain.group(1))


def find(table: Any, as_of: AsOf) -> Entry:
    """The commit that is meant, in an open ledger that is not empty. `MnemeError` of one that there is not."""
    last = ledger.last(table)
    assert last is not None
    match as_of.kind:
        case "commit":
            if not 1 <= as_of.value <= last.commit:
                raise MnemeError(
                    f"there is no commit #{as_of.value}", f"this memory has #1 to #{last.commit}"
                )  # fmt: skip
            return _at(table, as_of.value, last)
        case "wall":
            number = _latest_at(table, as_of.value)
            if number is None:
                first = told(ledger.at(table, 1).committed_ns)
                raise MnemeError(f"this memory was begun at {first}", "ask for a later time")
            return _at(table, number, last)
        case "stream":
            return _covering(table, last, stream_of(last, as_of), as_of.value)


def stream_of(entry: Entry, as_of: AsOf) -> str:
    """The stream whose time is meant; `MnemeError` where that is not clear, or there is none of that name."""
    if as_of.stream is None and len(entry.streams) == 1:
        return next(iter(entry.streams))
    if as_of.stream is None:
        raise MnemeError("a time of a stream says little of several streams", "name one of them (--stream)")
    if as_of.stream not in entry.streams:
        known = ", ".join(sorted(entry.streams)) or "none"
        raise MnemeError(f"there is no stream {as_of.stream!r} in this memory", f"it knows {known}")
    return as_of.stream


def oldest(table: Any, opens: Callable[[Entry], bool]) -> Entry | None:
    """The first commit whose versions of the tables are still there, where `opens` says so of one; they go in order."""
    low, high = 1, table.count_rows()
    last = ledger.at(table, high)
    if not opens(last):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if opens(_at(table, middle, last)) else (middle + 1, high)
    return ledger.at(table, low)


def told(t_ns: int) -> str:
    """A wall-clock time in words."""
    return datetime.fromtimestamp(to_s(t_ns), UTC).isoformat(timespec="seconds")


def _at(table: Any, commit: int, last: Entry) -> Entry:
    """A row; one that was shortened (`shorten`) names versions 0 of the tables, which there never were."""
    entry = ledger.at(table, commit)
    return entry if entry.tables else replace(entry, tables=dict.fromkeys(last.tables, TableState(0, 0)))


def _latest_at(table: Any, t_ns: int) -> int | None:
    """The highest number of the commits made until then: also where the clock was set back in between."""
    rows = table.search().where(f"committed_ns <= {int(t_ns)}").select(["commit"]).to_batches(65536)
    return max((int(batch["commit"].to_numpy().max()) for batch in rows if len(batch)), default=None)


def _covering(table: Any, last: Entry, stream: str, t_ns: int) -> Entry:
    def covers(entry: Entry) -> bool:
        return stream in entry.streams and entry.streams[stream].seen_ns >= t_ns

    if not covers(last):
        seen_s = to_s(last.streams[stream].seen_ns)
        raise MnemeError(f"stream {stream!r} is remembered up to {seen_s:.1f} s", "ask for an earlier time")
    low, high = 1, last.commit
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if covers(ledger.at(table, middle)) else (middle + 1, high)
    before = _at(table, max(1, low - 1), last)
    short = before.kind == "forget" or not any(state.version for state in before.tables.values())
    if short and not before.streams:
        return before  # the first may be among those that were shortened: that is refused, and nothing else is shown
    return ledger.at(table, low)
