"""Captions are read once, with the times at which they stood; what is not text costs little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mneme.encoders.base import Read
from mneme.encoders.caption import Captions
from mneme.encoders.ocr import Line, LineReader, RapidLines
from mneme.records import NS_PER_S, Picture, to_ns

WIDTH, HEIGHT = 640, 360
Scene = Callable[[float], Picture]


@pytest.fixture(scope="module")
def reader() -> RapidLines:
    return RapidLines(threads=1)


def moving(seed: int = 1, speed: float = 40.0) -> Scene:
    """Blotches that drift to the left."""
    small = np.random.default_rng(seed).integers(0, 255, (40, 160, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(small).resize((4 * WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return lambda t: wide[:, int(t * speed) : int(t * speed) + WIDTH].copy()


def still(grey: int = 240) -> Scene:
    return lambda _: np.full((HEIGHT, WIDTH, 3), grey, np.uint8)


def write(
    scene: Scene,
    text: str,
    t0_s: float,
    t1_s: float,
    at: tuple[int, int] = (60, 310),
    size: int = 24,
    ink: str = "white",
    box: str | None = "black",
) -> Scene:
    """The scene with words over it from t0 until t1."""
    font = ImageFont.load_default(size=size)

    def written(t: float) -> Picture:
        picture = scene(t)
        if not t0_s <= t < t1_s:
            return picture
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        if box is not None:
            x0, y0, x1, y1 = draw.textbbox(at, text, font=font)
            draw.rectangle((x0 - 8, y0 - 6, x1 + 8, y1 + 6), fill=box)
        draw.text(at, text, font=font, fill=ink)
        return np.asarray(image)

    return written


def watch(scene: Scene, seconds: float, reader: LineReader, fps: float = 5.0) -> tuple[list[Read], Captions]:
    """Look at the scene frame by frame, and check on the way that nothing comes which was said to be settled."""
    captions, reads = Captions(reader=reader), []
    for i in range(int(seconds * fps)):
        settled_ns = captions.settled_ns
        new = captions.look(to_ns(i / fps), scene(i / fps))
        assert all(read.t0_ns >= settled_ns for read in new)
        assert captions.settled_ns >= settled_ns
        reads += new
    last = captions.flush(to_ns(seconds))
    return reads + last, captions


def spans(reads: list[Read]) -> list[tuple[str, float, float]]:
    return [(read.text, round(read.t0_ns / NS_PER_S, 1), round(read.t1_ns / NS_PER_S, 1)) for read in reads]


def test_a_caption_that_stays_is_read_once(reader: RapidLines) -> None:
    scene = write(moving(), "Meeting room 12 opens at 9:45", 2.0, 6.0)
    reads, captions = watch(scene, 8.0, reader)
    assert spans(reads) == [("Meeting room 12 opens at 9:45", 2.0, 6.0)]
    assert reads[0].confidence > 0.9
    assert reads[0].picture is not None
    assert captions.calls == 1


def test_a_moving_scene_without_text_is_never_read(reader: RapidLines) -> None:
    reads, captions = watch(moving(), 8.0, reader)
    assert reads == []
    assert captions.calls == 0


def test_small_dark_print_on_light_is_read(reader: RapidLines) -> None:
    scene = write(still(), "Humidity 40 percent today", 1.0, 4.0, at=(20, 12), size=14, ink="black", box=None)
    assert spans(watch(scene, 6.0, reader)[0]) == [("Humidity 40 percent today", 1.0, 4.0)]


def test_the_lines_of_a_slide_are_one_text_and_the_next_slide_is_another(reader: RapidLines) -> None:
    scene = still()
    for t0_s, lines in ((0.0, ("Harvest report", "Wheat 310 tonnes", "Rain on 14 days")),
                        (4.0, ("Harvest outlook", "Wheat 320 tonnes", "Rain on 12 days"))):  # fmt: skip
        for row, line in enumerate(lines):
            scene = write(scene, line, t0_s, t0_s + 4.0, at=(40, 30 + 70 * row), ink="black", box=None)
    assert spans(watch(scene, 8.0, reader)[0]) == [
        ("Harvest report\nWheat 310 tonnes\nRain on 14 days", 0.0, 4.0),
        ("Harvest outlook\nWheat 320 tonnes\nRain on 12 days", 4.0, 8.0),
    ]


def test_captions_that_come_and_go_at_different_times_are_apart(reader: RapidLines) -> None:
    scene = write(moving(), "First caption ALPHA 11", 1.0, 5.0)
    scene = write(scene, "Second caption BRAVO 22", 3.0, 7.0, at=(60, 20), ink="black", box="white")
    assert spans(watch(scene, 9.0, reader)[0]) == [
        ("First caption ALPHA 11", 1.0, 5.0),
        ("Second caption BRAVO 22", 3.0, 7.0),
    ]


def test_one_changed_digit_makes_another_caption(reader: RapidLines) -> None:
    scene = write(write(moving(), "GATE 42 BOARDING", 1.0, 4.0), "GATE 43 BOARDING", 4.0, 7.0)
    assert spans(watch(scene, 8.0, reader)[0]) == [("GATE 42 BOARDING", 1.0, 4.0), ("GATE 43 BOARDING", 4.0, 7.0)]


def test_a_text_that_is_typed_out_is_one_caption_whole(reader: RapidLines) -> None:
    words = "The kettle is on the stove"
    scene = write(moving(), words[:10], 1.0, 2.0)
    scene = write(scene, words[:20], 2.0, 3.0)
    scene = write(scene, words, 3.0, 6.0)
    assert spans(watch(scene, 8.0, reader)[0]) == [(words, 1.0, 6.0)]


def test_a_caption_goes_on_over_a_cut(reader: RapidLines) -> None:
    before, after = moving(1), moving(2)
    scene = write(lambda t: before(t) if t < 4.0 else after(t), "Chapter 3: the river", 2.0, 6.0)
    assert spans(watch(scene, 8.0, reader)[0]) == [("Chapter 3: the river", 2.0, 6.0)]


def test_a_text_that_stands_long_is_given_out_in_pieces(reader: RapidLines) -> None:
    scene = write(still(90), "LIVE FROM OSLO", 1.0, 70.0, at=(380, 20))
    captions, lags = Captions(reader=reader), []
    reads: list[Read] = []
    for second in range(72):
        reads += captions.look(second * NS_PER_S, scene(float(second)))
        lags.append(second - captions.settled_ns / NS_PER_S)
    reads += captions.flush(72 * NS_PER_S)
    assert spans(reads) == [("LIVE FROM OSLO", a, b) for a, b in ((1.0, 30.0), (30.0, 60.0), (60.0, 70.0))]
    assert max(lags) <= 30.0


def test_stray_characters_are_no_caption(reader: RapidLines) -> None:
    scene = write(still(), "A", 1.0, 6.0, at=(100, 100), size=40, ink="black", box=None)
    scene = write(scene, "7", 1.0, 6.0, at=(300, 100), size=40, ink="black", box=None)
    assert watch(scene, 7.0, reader)[0] == []


def test_a_crawling_text_is_no_caption(reader: RapidLines) -> None:
    def crawl(t: float) -> Picture:
        return write(still(), "Scrolling news ticker", 0.0, 99.0, at=(600 - int(60 * t), 310), ink="black", box=None)(t)

    assert watch(crawl, 8.0, reader)[0] == []


def test_reading_never_costs_more_than_its_credit() -> None:
    looked_at = 0

    def blind(picture: Picture) -> list[Line]:
        nonlocal looked_at
        looked_at += picture.shape[0] * picture.shape[1]
        return []

    rng = np.random.default_rng(0)
    texture: list[Picture] = []

    def restless(t: float) -> Picture:
        """A hard texture that is another one every second."""
        if len(texture) <= int(t):
            coarse = rng.integers(0, 2, (HEIGHT // 6, WIDTH // 6, 1), dtype=np.uint8) * 255
            texture.append(coarse.repeat(6, axis=0).repeat(6, axis=1)[:, :WIDTH].repeat(3, axis=2))
        return texture[int(t)]

    _, captions = watch(restless, 40.0, blind)
    pixels = texture[0].shape[0] * texture[0].shape[1]
    assert captions.calls > 0
    assert looked_at == captions.pixels
    assert captions.pixels <= (1 + 0.25 * 40) * pixels


def test_an_empty_stream_ends_quietly() -> None:
    captions = Captions(reader=lambda _: [])
    assert captions.flush(0) == []
    assert captions.settled_ns == 0
