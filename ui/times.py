"""Times of a stream as a person writes them."""

from __future__ import annotations

import re

from ..errors import SettingsError

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2}(?:\.\d+)?)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*s?")


def seconds_of(text: str) -> float:
    """Seconds of `12:30`, `1:02:03`, `90s` or `90`. Errors: `SettingsError` of anything else.

    >>> seconds_of("1:02:03.5"), seconds_of("12:30"), seconds_of("90s"), seconds_of("7.25")
    (3723.5, 750.0, 90.0, 7.25)
    """
    if clock := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = clock.groups()
        return 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(seconds)
    if plain := _SECONDS.fullmatch(text.strip()):
        return float(plain.group(1))
    raise SettingsError(f"{text[:40]!r} is no time of a stream", "give one like 12:30, 1:02:03 or 90s")
