"""Subtitle cues: SubRip and WebVTT files, and the text packets that containers carry, to plain words with their times.

Written for files as they are found, not as the formats ask: a byte-order mark, any line ending, a comma or a point
before the milliseconds, missing hours, numbers or blank lines, cues out of order.
Formats: SubRip as written by its users; WebVTT https://www.w3.org/TR/webvtt1/; timed text ISO/IEC 14496-17
(`mov_text`); the ASS events of Matroska https://www.matroska.org/technical/subtitles.html.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError

MAX_BYTES = 32 * 2**20
"""No film's words fill this: a larger file is something else."""
SIDE_CARS = (".srt", ".vtt")
"""Endings looked for beside a video, in this order."""
TEXT_CODECS = frozenset({"mov_text", "srt", "subrip", "webvtt", "ass", "ssa", "text"})
"""FFmpeg's names of the subtitle codecs that are text; the others are pictures."""

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_SPAN = re.compile(rf"^\s*{_TIME}\s*-+>\s*{_TIME}(?:\s|$)")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.,]+>")
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}")


@dataclass(frozen=True, slots=True)
class Cue:
    """Words shown over [t0_ns, t1_ns); `t1_ns` is None where the file gives no end after the start."""

    t0_ns: int
    t1_ns: int | None
    text: str


def find_side_car(media: Path) -> Path | None:
    """The .srt or .vtt with the same name beside `media`, if there is one."""
    return next((found for ending in SIDE_CARS if (found := media.with_suffix(ending)).is_file()), None)


def read_side_car(path: Path) -> list[Cue]:
    """The cues of a .srt or .vtt file, by start. Raises `SourceError` where it holds none that can be read."""
    mend = "give an .srt or .vtt file with --subtitles, or remove it"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SourceError(f"{path} is too large for subtitles", mend)
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read the subtitles {path}: {error.strerror}", mend) from error
    cues = parse(decode(data))
    if not cues:
        raise SourceError(f"{path} holds no subtitles that can be read", mend)
    return cues


def decode(data: bytes) -> str:
    """Bytes to text: UTF-8, UTF-16 where a mark says so, else Windows-1252, at last Latin-1, which takes anything."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def parse(text: str) -> list[Cue]:
    """Every cue of a SubRip or WebVTT text that has words, by start (cues of the same start keep their order)."""
    # "\r\r\n" is what a text-mode copy makes of "\r\n"; splitlines() would also split at characters of the words.
    lines = re.sub(r"\r*\n|\r", "\n", text).split("\n")
    spans = [(at, match) for at, line in enumerate(lines) if (match := _SPAN.match(line))]
    cues = []
    for number, (at, span) in enumerate(spans):
        following = spans[number + 1][0] if number + 1 < len(spans) else len(lines)
        body = lines[at + 1 : following]
        blank = next((i for i, line in enumerate(body) if not line.strip()), None)
        if blank is not None:
            body = body[:blank]
        elif following < len(lines) and body and body[-1].strip().isdigit():
            body = body[:-1]  # no blank line before the next cue: this is that cue's number
        words = plain(" ".join(body))
        if words:
            t0_ns, t1_ns = _ns(*span.groups()[:4]), _ns(*span.groups()[4:])
            cues.append(Cue(t0_ns, t1_ns if t1_ns > t0_ns else None, words))
    return sorted(cues, key=lambda cue: cue.t0_ns)


def plain(text: str) -> str:
    """Words without markup: tags (`<i>`, `<v Speaker>`, `{\\an8}`) go, entities are characters, spaces become one."""
    return " ".join(html.unescape(_TAG.sub("", _OVERRIDE.sub("", text))).split())


def packet_text(codec: str, data: bytes) -> str:
    """The words of one subtitle packet of `codec` (one of `TEXT_CODECS`); empty where it only clears the screen."""
    if codec == "mov_text":
        length = int.from_bytes(data[:2], "big")  # style boxes may follow the words
        return plain(decode(data[2 : 2 + length]))
    text = decode(data)
    if codec in ("ass", "ssa"):
        # ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect, Text
        text = text.split(",", 8)[-1]
        if _DRAWING.search(text):
            return ""
        text = re.sub(r"\\[Nnh]", " ", text)
    return plain(text)


def _ns(hours: str | None, minutes: str, seconds: str, fraction: str) -> int:
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int(fraction.ljust(3, "0"))) * 1_000_000
