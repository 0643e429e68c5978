"""Files as streams of observations: the right picture, sound and words at the right time, whatever the file is like."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mneme.errors import SettingsError, SourceError
from mneme.pipeline.container import Layout
from mneme.pipeline.frames import FrameFinder, upright
from mneme.pipeline.sources import FileSource, SourceSettings, open_source
from mneme.records import Observation, Vector

S = 1_000_000_000
MS = 1_000_000
Maker = Callable[..., Path]


def read(path: Path, start_ns: int = 0, **kwargs: Any) -> list[Observation]:
    source = open_source(path, **kwargs)
    try:
        return list(source.observations(start_ns))
    finally:
        source.close()


def pictures(found: list[Observation], media: ModuleType) -> list[tuple[int, int]]:
    """(time, number drawn in the picture) of every picture."""
    return [(o.t_ns, media.number_of(o.images[""])) for o in found if o.images]


def sound_of(found: list[Observation]) -> Vector:
    """The whole sound; fails where chunks do not follow each other."""
    parts, at_ns = [], 0
    for o in found:
        if o.sound is not None:
            assert o.t_ns == at_ns
            assert 0 < len(o.sound) <= 16_000
            assert o.sound.dtype == np.float32
            parts.append(o.sound)
            at_ns += len(o.sound) * 62_500
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def clicks(*times_s: float) -> Callable[[Any], Any]:
    """Short bursts at the given times."""
    return lambda t_s: np.where(np.any([(t_s >= at) & (t_s < at + 0.01) for at in times_s], axis=0), 0.8, 0.0)


def onset_s(sound: Vector, after_s: float = 0.0) -> float:
    """When the sound first exceeds half of the burst's height."""
    first = int(after_s * 16_000)
    return (first + int(np.argmax(np.abs(sound[first:]) > 0.4))) / 16_000


def same(a: Observation, b: Observation) -> bool:
    return (
        (a.stream, a.t_ns, a.text, a.text_until_ns, a.images.keys())
        == (b.stream, b.t_ns, b.text, b.text_until_ns, b.images.keys())
        and all(np.array_equal(a.images[camera], b.images[camera]) for camera in a.images)
        and np.array_equal(a.sound if a.sound is not None else (), b.sound if b.sound is not None else ())
    )


# The picture


def test_each_tick_takes_the_picture_that_shows_then(make_video: Maker, media: ModuleType, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2, fps=24, size=(96, 64))
    found = pictures(read(path, fps=5), media)
    ticks = [k / 5 for k in range(10)]
    assert [number for _, number in found] == [int(tick * 24 + 1e-9) for tick in ticks]
    assert [t for t, _ in found] == [round(number * S / 24) for _, number in found]


def test_a_picture_comes_once_however_many_ticks_it_covers(
    make_video: Maker, media: ModuleType, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "slow.mp4", seconds=2, fps=4)
    assert pictures(read(path, fps=30), media) == [(k * S // 4, k) for k in range(8)]


def test_variable_frame_rate_is_sampled_by_time_and_not_by_number(
    make_video: Maker, media: ModuleType, tmp_path: Path
) -> None:
    times = [0, 0.01, 0.02, 0.03, 0.3, 1.1, 1.11, 1.3, 1.75]
    path = make_video(tmp_path / "v.mp4", seconds=2, vfr=times)
    # ticks 0, 0.25, 0.5 .. 1.75: picture 0 at 0; 3 at 0.25; 4 from 0.5 to 1; 6 at 1.25; 7 at 1.5; 8 at 1.75
    assert pictures(read(path, fps=4), media) == [(round(times[i] * S), i) for i in (0, 3, 4, 6, 7, 8)]


@pytest.mark.parametrize("rotate", [90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_turned_video_comes_upright_from_both_readers(
    make_video: Maker, tmp_path: Path, rotate: int, mirror: bool
) -> None:
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:32, :48] = (250, 20, 20)  # a red corner, and one white
    picture[:32, 48:] = 250
    path = make_video(tmp_path / "r.mp4", seconds=1, scenes=[picture], numbered=False, rotate=rotate, mirror=mirror)
    shown = np.rot90(picture[:, ::-1] if mirror else picture, -rotate // 90)
    source = open_source(path)
    assert (source.info.height, source.info.width) == shown.shape[:2]
    read_in_order = next(o.images[""] for o in source.observations() if o.images)
    sought = source.frame_at(500 * MS)[1]
    for got in (read_in_order, sought):
        assert got.shape == shown.shape
        assert np.abs(got.astype(int) - shown).mean() < 6
    source.close()


def test_a_display_matrix_of_another_angle_leaves_the_picture_alone() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    skewed = np.array([46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30], dtype=np.int32).tobytes()
    assert np.array_equal(upright(picture, skewed), picture)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("ten_bit.mp4", {"pixels": "yuv420p10le", "options": {"profile": "high10"}}),
        ("odd.mkv", {"pixels": "yuv444p", "size": (97, 63)}),
        ("full_range.mp4", {"pixels": "yuvj420p"}),
        ("lossless.mkv", {"codec": "ffv1", "pixels": "bgr0"}),
    ],
)
def test_every_pixel_format_becomes_the_same_rgb(
    make_video: Maker, tmp_path: Path, name: str, how: dict[str, Any]
) -> None:
    width, height = how.get("size", (96, 64))
    path = make_video(tmp_path / name, seconds=1, scenes=[(200, 100, 50)], numbered=False, **how)
    source = open_source(path)
    _, picture = source.frame_at(0)
    first = next(o.images[""] for o in source.observations() if o.images)
    source.close()
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(first, picture)
    assert np.abs(picture.reshape(-1, 3).mean(axis=0) - (200, 100, 50)).max() < 4


# The sound


def test_sound_stands_where_its_samples_say(make_video: Maker, tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "aac"), ("b.mkv", "libopus"), ("c.mkv", "flac"), ("d.wav", "pcm_s16le")):
        picture_codec = None if name == "d.wav" else "libx264"
        path = make_video(tmp_path / name, seconds=2, sound=clicks(0.5, 1.25), sound_codec=codec, codec=picture_codec)
        sound = sound_of(read(path))
        assert abs(len(sound) / 16_000 - 2) < 0.05
        assert onset_s(sound) == pytest.approx(0.5, abs=0.003), name
        assert onset_s(sound, after_s=0.6) == pytest.approx(1.25, abs=0.003), name


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100])
def test_a_tone_keeps_its_pitch_and_height_at_every_rate(make_video: Maker, tmp_path: Path, rate: int) -> None:
    path = make_video(tmp_path / "t.wav", codec=None, seconds=1, sound="tone", sound_rate=rate, sound_codec="pcm_f32le")
    sound = sound_of(read(path))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(sound) == 16_000
    assert np.abs(sound - expected)[200:-200].max() < 0.01


def test_sound_is_cut_at_the_ticks_and_at_least_once_a_second(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "t.wav", codec=None, seconds=3, sound="tone", sound_codec="pcm_s16le")
    lengths = {fps: [len(o.sound) for o in read(path, fps=fps) if o.sound is not None] for fps in (5, 0.1, 3)}
    assert lengths[5] == [3200] * 15
    assert lengths[0.1] == [16_000] * 3
    assert lengths[3] == [5333, 5334, 5333] * 3


def test_sound_that_begins_late_is_preceded_by_silence(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "late.mp4", seconds=2, sound=clicks(0.25), sound_start_s=0.75)
    sound = sound_of(read(path))
    assert not sound[: round(0.7 * 16_000)].any()
    assert onset_s(sound) == pytest.approx(1.0, abs=0.003)


def test_a_hole_in_the_sound_becomes_silence_and_what_follows_keeps_its_time(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "hole.mkv", seconds=3, sound=clicks(0.5, 2.5), sound_gap_s=(1.0, 2.0), sound_codec="pcm_s16le"
    )
    sound = sound_of(read(path))
    assert onset_s(sound) == pytest.approx(0.5, abs=0.003)
    assert onset_s(sound, after_s=1.0) == pytest.approx(2.5, abs=0.003)
    assert abs(len(sound) / 16_000 - 3) < 0.05


def test_samples_that_are_no_sound_do_no_harm(make_video: Maker, tmp_path: Path) -> None:
    def wild(t_s: Any) -> Any:
        return np.where(t_s < 0.1, np.nan, np.where(t_s < 0.2, 40.0, 0.1))

    path = make_video(tmp_path / "w.wav", codec=None, seconds=1, sound=wild, sound_rate=16_000, sound_codec="pcm_f32le")
    sound = sound_of(read(path))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == 1.0
    assert sound[8_000] == pytest.approx(0.1)


# Together


def test_observations_come_in_order_of_time(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2, sound="tone", subtitles=[(0.3, 0.9, "hello"), (1.2, 1.8, "bye")])
    found = read(path)
    assert all(a.t_ns <= b.t_ns for a, b in itertools.pairwise(found))
    assert {(bool(o.images), o.sound is not None, o.text is not None) for o in found} == {
        (True, False, False),
        (False, True, False),
        (False, False, True),
    }


def test_a_file_without_sound_gives_pictures_only(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "mute.mp4", seconds=1)
    found = read(path)
    assert len(found) == 5
    assert all(o.images and o.sound is None for o in found)
    assert not open_source(path).info.has_sound


def test_a_file_without_pictures_gives_sound_only(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "talk.m4a", codec=None, seconds=1, sound="tone")
    found = read(path)
    assert all(o.sound is not None and not o.images for o in found)
    source = open_source(path)
    assert (source.info.width, source.info.height, source.info.fps) == (None, None, None)
    with pytest.raises(SourceError, match="has no pictures"):
        source.frame_at(0)


def test_time_begins_where_the_container_begins(make_video: Maker, media: ModuleType, tmp_path: Path) -> None:
    sound = clicks(0.5)
    moved = make_video(tmp_path / "moved.ts", seconds=2, sound=sound, start_s=100.0)
    found = read(moved)
    shown = pictures(found, media)
    # The first track to begin is the sound's, whose encoder leads in with 1,024 samples at 48 kHz: 21.3 ms.
    # So picture n shows from 0.1 n + 0.021 s, tick 0 has none, and the tick at 0.2 s has picture 1.
    assert shown == [(n * 100 * MS + 21_333_333, n) for n in range(1, 20, 2)]
    assert onset_s(sound_of(found)) - 0.021333 == pytest.approx(0.5, abs=0.003)


def test_what_a_source_is_stands_in_its_info(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "kitchen.day.mp4", seconds=2, sound="tone", subtitles=[(0, 1, "hi")])
    info = open_source(path).info
    assert (info.stream, info.source) == ("kitchen.day", str(path))
    assert info.duration_ns is not None
    assert abs(info.duration_ns - 2 * S) < 50 * MS
    assert (info.width, info.height, info.fps) == (96, 64, 10.0)
    assert (info.has_sound, info.has_subtitles, info.live) == (True, True, False)
    assert open_source(path, stream="mine").info.stream == "mine"


def test_the_digest_recognises_the_same_bytes_under_another_name(make_video: Maker, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=0.5)
    copy = tmp_path / "b.mp4"
    copy.write_bytes(path.read_bytes())
    other = tmp_path / "c.mp4"
    other.write_bytes(path.read_bytes() + b"\0")
    digests = [open_source(p).info.digest for p in (path, copy, other)]
    assert digests[0] == digests[1] != digests[2]


# Resuming, and random access


@pytest.mark.parametrize(
    ("name", "sound_codec"), [("a.mp4", "aac"), ("b.mkv", "libopus"), ("c.ts", "aac"), ("d.mkv", "libmp3lame")]
)
def test_a_resumed_reading_equals_the_rest_of_an_uninterrupted_one(
    make_video: Maker, tmp_path: Path, name: str, sound_codec: str
) -> None:
    rng = np.random.default_rng(7)
    path = make_video(
        tmp_path / name,
        seconds=5,
        fps=12,
        sound=rng.normal(0, 0.2, 5 * 44_100).astype(np.float32),
        sound_rate=48_000 if sound_codec == "libopus" else 44_100,
        sound_codec=sound_codec,
    )
    (tmp_path / name).with_suffix(".srt").write_text(
        "00:00:01,000 --> 00:00:02,000\na\n\n00:00:03,500 --> 00:00:04,000\nb\n"
    )
    whole = read(path)
    for start_ns in (1, S, 2_345_678_901, 3_500 * MS, 4_900 * MS, 60 * S):
        rest = [o for o in whole if o.t_ns >= start_ns]
        resumed = read(path, start_ns)
        assert [o.t_ns for o in resumed] == [o.t_ns for o in rest]
        assert all(same(a, b) for a, b in zip(resumed, rest, strict=True))


@pytest.mark.parametrize(("name", "by_decord"), [("a.mp4", True), ("b.mkv", True), ("v.mp4", True), ("c.ts", False)])
def test_random_access_gives_the_frame_of_sequential_reading(
    make_video: Maker, media: ModuleType, tmp_path: Path, name: str, by_decord: bool
) -> None:
    times = [0, 0.1, 0.15, 0.9, 1.0, 1.4] if name == "v.mp4" else None
    path = make_video(tmp_path / name, seconds=2, fps=25, vfr=times)
    source = open_source(path, fps=1000)
    in_order = [(o.t_ns, o.images[""]) for o in source.observations() if o.images]
    assert [media.number_of(p) for _, p in in_order] == list(range(6 if times else 50))
    rng = np.random.default_rng(1)
    for at in rng.permutation(len(in_order)):
        t_ns, picture = in_order[at]
        until_ns = in_order[at + 1][0] if at + 1 < len(in_order) else t_ns + 10 * MS
        for asked_ns in (t_ns, until_ns - 1):
            found_ns, found = source.frame_at(asked_ns)
            assert found_ns == t_ns
            assert np.array_equal(found, picture)
    assert source.frame_at(-S)[0] == in_order[0][0]
    assert source.frame_at(999 * S)[0] == in_order[-1][0]
    assert isinstance(source, FileSource)
    source.close()
    finder = finder_of(path)
    pytest.importorskip("decord")
    assert finder.by_decord == by_decord
    finder.close()


def finder_of(path: Path) -> FrameFinder:
    from mneme.pipeline.container import lay_out, open_container

    with open_container(path) as container:
        layout: Layout = lay_out(container, path)
    return FrameFinder(path, layout, threads=1)


def test_random_access_does_without_decord(
    make_video: Maker, media: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2, fps=25)
    with_decord = open_source(path)
    monkeypatch.setattr(FrameFinder, "_prove_decord", lambda self: None)
    without = open_source(path)
    for t_ns in (0, 39 * MS, 40 * MS, 777 * MS, 1_999 * MS):
        assert media.number_of(without.frame_at(t_ns)[1]) == t_ns * 25 // S
        assert np.array_equal(without.frame_at(t_ns)[1], with_decord.frame_at(t_ns)[1])


# Subtitles


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv"])
def test_words_inside_the_container_are_observed(make_video: Maker, tmp_path: Path, name: str) -> None:
    path = make_video(
        tmp_path / name, seconds=2, sound="tone", subtitles=[(0.25, 0.75, "<i>one</i>"), (1.0, 1.5, "two\nthree")]
    )
    cues = [(o.t_ns, o.text_until_ns, o.text) for o in read(path) if o.text]
    assert cues == [(250 * MS, 750 * MS, "one"), (S, 1_500 * MS, "two three")]


def test_a_file_beside_the_video_wins_over_words_inside_and_a_given_file_over_both(
    make_video: Maker, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=1, subtitles=[(0.1, 0.5, "inside")])
    cue = "1\n00:00:00,200 --> 00:00:00,900\n{}\n"
    (tmp_path / "a.srt").write_text(cue.format("beside"))
    given = tmp_path / "other.vtt"
    given.write_text(cue.format("given"))
    assert [o.text for o in read(path) if o.text] == ["beside"]
    assert [o.text for o in read(path, subtitles=given) if o.text] == ["given"]


# What is broken


def test_a_truncated_file_gives_what_can_be_decoded_and_says_so(
    make_video: Maker, media: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(
        tmp_path / "whole.mp4", seconds=8, sound="tone", muxer={"movflags": "faststart"}, options={"bf": "0"}
    )
    whole = pictures(read(path), media)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(cut)
    with caplog.at_level(logging.WARNING):
        shown = pictures(list(source.observations()), media)
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
    shown = [number for _, number in pictures(read(path, fps=10), media)]
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
    shown = [number for _, number in pictures(list(source.observations()), media)]
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
        ("rtsp://camera/1", "live source"),
        ("0", "live source"),
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
    found = read(covered)
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
