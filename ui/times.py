"""Times of a stream as a person writes them."""

from __future__ import annotations

import re

from ..errors import SettingsError
from ..memory.as_of import stream_time_s


def seconds_of(text: str) -> float:
    """Seconds of `12:30`, `1:02:03`, `90s` or `90`. Errors: `SettingsError` of anything else.

    >>> seconds_of("1:02:03.5"), seconds_of("12:30"), seconds_of("90s"), seconds_of("7.25")
    (3723.5, 750.0, 90.0, 7.25)
    """
    plain = text.strip()
    seconds = stream_time_s(plain + "s" if re.fullmatch(r"[\d.]+", plain) else plain)
    if seconds is None:
        raise SettingsError(f"{text[:40]!r} is no time of a stream", "give one like 12:30, 1:02:03 or 90s")
    return seconds
