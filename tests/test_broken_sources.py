"""Files that are cut off, damaged or no video at all: what can be read is read, the rest is refused in one line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mneme
from mneme.errors import SettingsError, SourceError
from mneme.pipeline.sources import Source, SourceSettings, open_source

S = 1_000_000_000
Maker = Callable[..., Path]


def pictures(source: Source, media: ModuleType) -> list[tuple[int, int]]:
    """(time, number drawn in the picture) of every picture of a source."""
    return [(o.t_ns, media.number_of(o.images[""])) for o in source.observations() if o.images]


def test_a_truncated_file_gives_what_can_be_decoded_and_says_so(
    make_video: Maker, media: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(
        tmp_path / "whole.mp4", seconds=8, sound="tone", muxer={"movflags": "faststart"}, options={"bf": "0"}
    )
    whole = pictures(open_source(path), media)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(cut)
    with caplog.at_level(logging.WARNING):
        shown = pictures(source, media)
    assert 10 < len(shown) < len(whole)
    assert shown == whole[: len(shown)]
    assert source.truncated is not None
    assert source.truncated.startswith("cut off: ends at ")
    assert "cut off" in caplog.text
    last_ns, picture = source.frame_at(8 * S)
    assert (last_ns, media.number_of(picture))[0] >= shown[-1][0]
    source.close()


def test_a_whole_file_is_not_called_truncated(make_video: Maker, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mkv", "c.ts"):
        source = open_source(make_video(tmp_path / name, seconds=3, sound="tone"))
        list(source.observations())
        assert (source.truncated, source.errors) == (None, 0)


def test_damage_in_the_middle_is_passed_over(make_video: Maker, media: ModuleType, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", seconds=6, fps=10, sound="tone", options={"bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 40] = bytes(188 * 40)
    path.write_bytes(data)
    shown = [number for _, number in pictures(open_source(path, fps=10), media)]
    assert shown[:20] == list(range(20))
    assert shown[-10:] == list(range(50, 60))


def test_packets_that_do_not_decode_are_counted_and_passed_over(
    make_video: Maker, media: ModuleType, tmp_path: Path
) -> None:
    import av

    path = make_video(tmp_path / "a.mov", seconds=3, codec="png", pixels="rgb24", options={"g": "1"})
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for at, size in spans[10:14]:
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    source = open_source(path, fps=10)
    shown = [number for _, number in pictures(source, media)]
    # Picture 9 stands until the next one that can be decoded.
    assert shown == [*range(10), *range(14, 30)]
    assert source.errors == 4
    assert source.truncated is None


def test_no_playlist_reaches_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError):
        open_source(path)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is not a video at all\n" * 50, "is not a video or sound file"),
        ("notes.txt", b"shopping list: eggs, flour\n" * 50, "txt"),
        ("noise.mkv", np.random.default_rng(3).bytes(20_000), "noise.mkv"),
        ("zero.mp4", bytes(4096), "is not a video or sound file"),
        ("huge.y4m", b"YUV4MPEG2 W20000 H20000 F25:1 C420\nFRAME\n", "20000 x 20000|not a video"),
        ("flat.y4m", b"YUV4MPEG2 W0 H0 F25:1 C420\nFRAME\n", "0 x 0|not a video|neither"),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "neither a picture nor a sound"),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00", "header.wav"),
    ],
)
def test_what_is_no_stream_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError, match=says) as refused:
        open_source(path)
    assert "\n" not in str(refused.value)
    assert refused.value.mend


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path) -> None:
    for source, says in [
        (tmp_path, "is a folder"),
        (tmp_path / "missing.mp4", "is not there"),
        (Path("bad\0name"), "is not"),
        ("rtsp://camera/1", "is a live source.*mneme serve --memory DIR --source URL"),
        ("0", "is a live source.*mneme serve --memory DIR --source 0"),
    ]:
        with pytest.raises(SourceError, match=says):
            open_source(source)


def test_an_mp4_without_its_index_is_named_as_such(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(SourceError, match=r"without its index \(moov\)"):
        open_source(path)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_is_refused_with_the_way_to_ask_about_it(tmp_path: Path, ending: str) -> None:
    import cv2

    path = tmp_path / f"query{ending}"
    assert cv2.imwrite(str(path), np.full((40, 40, 3), 128, dtype=np.uint8))
    with pytest.raises(SourceError, match="--image"):
        open_source(path)


def test_a_cover_picture_is_not_a_video(make_video: Maker, tmp_path: Path) -> None:
    import av
    import cv2

    plain = make_video(tmp_path / "plain.m4a", codec=None, seconds=1, sound="tone")
    covered = tmp_path / "covered.m4a"
    _, jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), 90, dtype=np.uint8))
    with av.open(str(plain)) as given, av.open(str(covered), "w", format="mp4") as out:
        track = out.add_stream_from_template(given.streams.audio[0])
        cover = out.add_mux_stream("mjpeg", width=64, height=64)
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in given.demux(given.streams.audio[0]):
            if packet.size:
                packet.stream = track
                out.mux(packet)
        picture = av.Packet(jpeg.tobytes())
        picture.stream, picture.pts, picture.dts = cover, 0, 0
        out.mux(picture)
    with av.open(str(covered)) as made:
        assert len(made.streams.video) == 1
    found = list(open_source(covered).observations())
    assert found
    assert not any(o.images for o in found)


def test_a_picture_larger_than_the_settings_allow_is_refused(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=0.5)
    with pytest.raises(SourceError, match="96 x 64"):
        open_source(path, settings=SourceSettings(max_pixels=6000))


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1001])
def test_a_sampling_rate_that_makes_no_sense_is_refused(make_video: Maker, tmp_path: Path, fps: float) -> None:
    with pytest.raises(SettingsError, match="fps"):
        open_source(make_video(tmp_path / "a.mp4", seconds=0.5), fps=fps)


@pytest.mark.parametrize("size", [(30, 64), (64, 30)])
def test_a_video_too_small_to_see_is_refused_and_leaves_no_memory(
    make_video: Maker, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = make_video(tmp_path / "small.mp4", seconds=1, size=size, numbered=False)
    with mneme.open(tmp_path / "m") as memory, pytest.raises(SourceError, match=f"{size[0]}x{size[1]}"):
        memory.watch(path)
    assert not (tmp_path / "m").exists()
    assert open_source(make_video(tmp_path / "least.mp4", seconds=1, size=(32, 32), numbered=False)).info.width == 32
