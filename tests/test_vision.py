"""Sight without weights: alike frames are alike, a crop finds its scene, and a strange picture is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mneme.encoders.base import Encoder
from mneme.encoders.vision import DIM, WINDOWS, Layout
from mneme.records import Picture

WIDTH, HEIGHT = 640, 360


def a_place(seed: int) -> Image.Image:
    """A drawn place, wider than a frame: a ground, a wall and things of many shapes in one range of colours."""
    rng = np.random.default_rng(seed)
    palette = [tuple(int(v) for v in rng.integers(20, 236, 3)) for _ in range(6)]
    picture = Image.new("RGB", (960, 540), palette[0])
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, int(rng.integers(250, 420)), 960, 540), fill=palette[1])
    for _ in range(90):
        x, y = (int(v) for v in rng.integers(0, (940, 520)))
        w, h = (int(v) for v in rng.integers(12, 110, 2))
        colour = palette[int(rng.integers(0, 6))]
        kind = int(rng.integers(0, 3))
        if kind == 0:
            draw.rectangle((x, y, x + w, y + h), fill=colour, outline=palette[2])
        elif kind == 1:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            draw.polygon([(x, y), (x + w, y + h // 2), (x + w // 3, y + h)], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(1))


def frame(place: Image.Image, x: int = 120, y: int = 80) -> Picture:
    return np.asarray(place.crop((x, y, x + WIDTH, y + HEIGHT)))


def a_query(place: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int], light: float) -> Picture:
    """A crop of the place, resized without care for its proportions, in another light."""
    crop = np.asarray(place.crop(box).resize(size), dtype=np.float32)
    return np.clip((crop - 127) * 1.1 + 127 * light, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout()


def test_it_is_an_encoder_of_unit_vectors_with_a_token_for_each_window(layout: Layout) -> None:
    assert isinstance(layout, Encoder)
    encoded = layout.encode([frame(a_place(1)), frame(a_place(2))[:200, :120]])
    assert encoded.vectors.shape == (2, DIM)
    assert encoded.vectors.dtype == np.float32
    assert encoded.tokens is not None
    assert encoded.tokens.shape == (2, len(WINDOWS), DIM)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1.0, atol=1e-5)
    assert layout.spec.space.dim == DIM <= 512


def test_a_picture_is_encoded_the_same_whatever_its_neighbours(layout: Layout) -> None:
    pictures = [frame(a_place(seed)) for seed in (1, 2, 3)]
    together = layout.encode(pictures)
    for i, picture in enumerate(pictures):
        np.testing.assert_array_equal(layout.encode([picture]).vectors[0], together.vectors[i])


def test_near_identical_frames_are_over_the_separation_threshold_and_other_places_far_below(layout: Layout) -> None:
    place = a_place(1)
    noise = np.random.default_rng(0).normal(0, 4, (HEIGHT, WIDTH, 3))
    noisy = np.clip(frame(place, 124, 82) + noise, 0, 255).astype(np.uint8)
    vectors = layout.encode([frame(place), noisy, *(frame(a_place(seed)) for seed in range(2, 8))]).vectors
    assert vectors[0] @ vectors[1] > 0.9
    assert (vectors[2:] @ vectors[0]).max() < 0.8


def test_other_light_leaves_a_picture_alike(layout: Layout) -> None:
    picture = frame(a_place(4))
    dim = (picture * 0.7).astype(np.uint8)
    vectors = layout.encode([picture, dim]).vectors
    assert vectors[0] @ vectors[1] > 0.9


def test_a_crop_in_other_light_finds_its_own_place_among_many(layout: Layout) -> None:
    seen = layout.encode([frame(a_place(seed)) for seed in range(12)])
    for seed in range(12):
        query = a_query(a_place(seed), (170, 110, 660, 400), (400, 300), light=0.85)
        assert layout.match(layout.encode_query(query), seen.vectors, seen.tokens).argmax() == seed


def test_windows_find_what_stands_between_bars(layout: Layout) -> None:
    upright = a_place(3).crop((300, 100, 300 + 202, 100 + 360))
    barred = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    barred[:, 219 : 219 + 202] = np.asarray(upright)
    seen = layout.encode([barred])
    query = layout.encode_query(np.asarray(upright.resize((404, 720))))
    with_windows = layout.match(query, seen.vectors, seen.tokens)[0]
    assert with_windows > 0.8
    assert with_windows > layout.match(query, seen.vectors)[0] + 0.1


def test_geometry_agrees_for_a_crop_and_refuses_another_place(layout: Layout) -> None:
    query = a_query(a_place(5), (200, 100, 640, 420), (380, 330), light=1.15)
    scores = layout.agreement(query, [frame(a_place(seed)) for seed in range(5, 12)])
    assert scores[0] > 0.9
    assert scores[1:].max() < layout.threshold


def test_geometry_refuses_what_has_nothing_to_hold_on_to(layout: Layout) -> None:
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert layout.agreement(blank, [blank]) < 0.1
    assert layout.agreement(frame(a_place(1)), [blank]) < 0.1


def test_a_calibrated_score_grows_with_the_cosine(layout: Layout) -> None:
    scores = [layout.calibrate(cosine) for cosine in (0.0, 0.6, 0.8, 0.9, 0.98)]
    assert scores == sorted(scores)
    assert scores[1] < 0.05
    assert scores[-1] > 0.9
