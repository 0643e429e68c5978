"""Files as streams of observations: the right picture, sound and words at the right time, whatever the file is like."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mneme.errors import SourceError
from mneme.pipeline import sampling
from mneme.pipeline.container import Layout, Track, lay_out, open_container
from mneme.pipeline.frames import FrameFinder, upright
from mneme.pipeline.sampling import TickSampler
from mneme.pipeline.sources import FileSource, open_source
from mneme.records import Observation, Picture, Vector

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


# Pictures that are passed over


def moving(t_s: float) -> Picture:
    """Noise that moves, so that every picture is coded from others and none equals another."""
    noise = np.random.default_rng(5).integers(0, 255, (64, 200, 3)).astype(np.uint8)
    at = int(t_s * 37) % 100
    return noise[:, at : at + 96]


UNEVEN_S = np.cumsum([0, *np.random.default_rng(2).choice([0.01, 0.02, 0.04, 0.3], 60)]).tolist()
CODED = {
    "pyramid.mp4": {"options": {"bf": "8", "b-pyramid": "normal", "g": "40"}},
    "open.ts": {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=20:min-keyint=5"}},
    "uneven.mkv": {"options": {"bf": "16"}, "vfr": UNEVEN_S, "seconds": UNEVEN_S[-1] + 0.1},
    "late.mp4": {"options": {"bf": "3"}, "start_s": 3.0},
    "short.mp4": {"options": {"bf": "3"}, "seconds": 0.3},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "numbered.avi": {"options": {"bf": "3"}},  # its times are those of decoding
    "untimed.h264": {"options": {"bf": "3"}},
}


@pytest.mark.parametrize("name", CODED)
def test_passing_over_unsampled_pictures_changes_nothing_of_the_sampled_ones(
    make_video: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    how = {"seconds": 4, **CODED[name]}
    path = make_video(tmp_path / name, fps=25, scenes=[moving], numbered=False, **how)
    cases = [(fps, start_ns) for fps in (0.7, 5.0, 24.0) for start_ns in (0, 1_700_000_001, 60 * S)]
    sparing = [read(path, start_ns, fps=fps) for fps, start_ns in cases]
    monkeypatch.setattr(sampling, "SPARING_CODECS", ())
    for found, (fps, start_ns) in zip(sparing, cases, strict=True):
        every = read(path, start_ns, fps=fps)
        assert [o.t_ns for o in found] == [o.t_ns for o in every]
        assert all(same(a, b) for a, b in zip(found, every, strict=True))
        assert every or start_ns


def test_pictures_that_none_is_decoded_from_and_no_tick_samples_are_not_decoded(
    make_video: Maker, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=8, fps=25, options={"bf": "3", "b-pyramid": "none", "b-adapt": "0"})
    layout = layout_of(path)
    assert layout.video is not None
    track = Track(path, layout.video, layout.zero, threads=1)
    decoded = []
    in_order = track.frames

    def counted(*args: Any) -> Iterator[Any]:
        for frame in in_order(*args):
            decoded.append(frame.pts)
            yield frame

    track.frames = counted  # type: ignore[method-assign]
    sampled = list(TickSampler(track, Fraction(1)).frames())
    track.close()
    assert [t_ns for t_ns, _ in sampled] == [k * S for k in range(8)]
    assert len(decoded) < 80  # of 200, of which every fourth is a reference


def test_a_damaged_file_gives_pictures_at_the_times_of_a_reading_that_decodes_all(
    make_video: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    whole = make_video(
        tmp_path / "a.mp4", seconds=6, fps=25, scenes=[moving], numbered=False, options={"bf": "3", "g": "25"}
    )
    damaged = tmp_path / "b.mp4"
    with av.open(str(whole)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    for at, size in spans[60:80]:
        data[at : at + size] = bytes(size)
    damaged.write_bytes(data)
    untouched = read(whole)
    source, every = open_source(damaged), open_source(damaged)
    found = list(source.observations())
    monkeypatch.setattr(sampling, "SPARING_CODECS", ())
    assert [o.t_ns for o in found] == [o.t_ns for o in every.observations()]
    assert every.errors == 20
    assert source.errors == every.errors
    assert all(np.array_equal(a.images[""], b.images[""]) for a, b in zip(found[:10], untouched[:10], strict=True))


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


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_a_sound_in_all_channels_is_as_loud_in_mono(tmp_path: Path, layout: str) -> None:
    import av

    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as out:
        track = out.add_stream("pcm_f32le", rate=48_000, layout=layout)
        channels = track.codec_context.layout.nb_channels
        tone = 0.8 * np.sin(2 * np.pi * 440 * np.arange(48_000, dtype=np.float32) / 48_000)
        packed = np.repeat(tone.astype(np.float32), channels)[None]  # [1, n * channels]
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    assert np.abs(sound_of(read(path))[100:-100]).max() == pytest.approx(0.8, abs=0.01)


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


def layout_of(path: Path) -> Layout:
    with open_container(path) as container:
        return lay_out(container, path)


def finder_of(path: Path) -> FrameFinder:
    return FrameFinder(path, layout_of(path), threads=1)


def test_random_access_does_without_decord(
    make_video: Maker, media: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=2, fps=25)
    with_decord = open_source(path)
    monkeypatch.setattr(FrameFinder, "_prove_decord", lambda _: None)
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
