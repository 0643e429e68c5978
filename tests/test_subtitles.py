"""Subtitle files as they are found in the wild, and the packets that containers carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from mneme.errors import SourceError
from mneme.pipeline.subtitles import Cue, decode, find_side_car, packet_text, parse, plain, read_side_car

S = 1_000_000_000


def test_a_subrip_file_gives_its_cues_with_their_times() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n01:02:03,004 --> 01:02:04,000\nTwo\nlines\n"
    assert parse(text) == [
        Cue(1 * S, 2 * S + S // 2, "Hello there."),
        Cue(3723 * S + 4_000_000, 3724 * S, "Two lines"),
    ]


def test_a_webvtt_file_gives_its_cues_without_notes_styles_and_settings() -> None:
    text = (
        "WEBVTT - made by hand\n\nNOTE\nnot shown\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:10%\n<v Mary Ann>Good <i>morning</i> &amp; welcome</v>\n\n"
        "00:00:03.000 --> 00:00:04.000\nOne <00:00:03.500>by <c.loud>one</c>\n"
    )
    assert parse(text) == [Cue(1 * S, 2 * S, "Good morning & welcome"), Cue(3 * S, 4 * S, "One by one")]


@pytest.mark.parametrize(
    "text",
    [
        "1\r\n00:00:01,000 --> 00:00:02,000\r\nhello\r\n",
        "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nhello\r\r\n",
        "1\r00:00:01,000 --> 00:00:02,000\rhello\r",
        "00:00:01.000 --> 00:00:02.000\nhello",
        "0:01,0 -> 0:02,0\nhello",
        "  00:00:01,000-->00:00:02,000  X1:40 X2:600\n{\\an8}<font color='#fff'>hello</font>\n",
    ],
)
def test_a_cue_is_read_however_it_is_written(text: str) -> None:
    assert parse(text) == [Cue(1 * S, 2 * S, "hello")]


def test_cues_without_a_blank_line_between_keep_numbers_apart_from_words() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nroom\n42\n2\n00:00:03,000 --> 00:00:04,000\nnext\n"
    assert [cue.text for cue in parse(text)] == ["room 42", "next"]


def test_a_cue_that_is_only_a_number_keeps_it() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\n7\n"
    assert [cue.text for cue in parse(text)] == ["42", "7"]


def test_empty_cues_are_dropped_and_cues_out_of_order_are_sorted() -> None:
    text = (
        "1\n00:00:05,000 --> 00:00:06,000\nlate\n\n2\n00:00:03,000 --> 00:00:04,000\n<i> </i>\n\n"
        "3\n00:00:01,000 --> 00:00:05,500\nearly\n"
    )
    assert parse(text) == [Cue(1 * S, 5 * S + S // 2, "early"), Cue(5 * S, 6 * S, "late")]


def test_a_cue_that_ends_before_it_starts_has_no_end() -> None:
    assert parse("00:00:05,000 --> 00:00:04,000\nbackwards\n") == [Cue(5 * S, None, "backwards")]


def test_what_only_looks_like_markup_stays() -> None:
    assert plain("if 3 < 5 and 7 > 2, I <3 you {sighs} &lt;b&gt;") == "if 3 < 5 and 7 > 2, I <3 you {sighs} <b>"


@pytest.mark.parametrize(
    "data", ["café".encode(), b"\xef\xbb\xbf" + "café".encode(), "café".encode("utf-16"), "café".encode("latin-1")]
)
def test_every_common_encoding_is_read(data: bytes) -> None:
    assert decode(data) == "café"


def test_bytes_that_no_encoding_knows_are_still_words() -> None:
    assert decode(b"caf\xe9 \x81") == "café \x81"


def test_a_file_without_a_cue_is_refused_by_name(tmp_path: Path) -> None:
    for name, data in {
        "empty.srt": b"",
        "noise.srt": bytes(range(256)),
        "prose.vtt": b"WEBVTT\n\nno times here\n",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=f"{name} holds no subtitles"):
            read_side_car(tmp_path / name)
    with pytest.raises(SourceError, match="cannot read the subtitles"):
        read_side_car(tmp_path / "missing.srt")


def test_the_side_car_is_the_file_of_the_same_name(tmp_path: Path) -> None:
    video = tmp_path / "day.1.mp4"
    assert find_side_car(video) is None
    (tmp_path / "day.1.vtt").touch()
    assert find_side_car(video) == tmp_path / "day.1.vtt"
    (tmp_path / "day.1.srt").touch()
    assert find_side_car(video) == tmp_path / "day.1.srt"


@pytest.mark.parametrize(
    ("codec", "data", "words"),
    [
        ("mov_text", b"\x00\x05hello\x00\x00\x00\x0cstyl....", "hello"),
        ("mov_text", b"\x00\x00", ""),
        ("subrip", b"<i>two</i>\r\nlines", "two lines"),
        ("webvtt", b"<v Ann>hi</v>", "hi"),
        ("ass", rb"0,0,Default,Ann,0,0,0,,{\i1}one,\Ntwo{\i0}", "one, two"),
        ("ass", rb"1,0,Default,,0,0,0,,{\p1}m 0 0 l 10 0{\p0}", ""),
    ],
)
def test_packets_of_containers_become_words(codec: str, data: bytes, words: str) -> None:
    assert packet_text(codec, data) == words
