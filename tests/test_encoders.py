"""The contracts of `encoders/base.py`, run by every implementation: to add one, add its line to a register here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mneme.encoders.base import CaptionReader, Encoder, Heard, Listener, Looking, Read
from mneme.encoders.caption import Captions
from mneme.encoders.onsets import Onsets
from mneme.encoders.profiles import PROFILES, Profile, Voice, make_profile
from mneme.encoders.sound import LogMel
from mneme.encoders.speech import Recogniser
from mneme.encoders.text import MiniLM
from mneme.encoders.vision import Layout
from mneme.encoders.voice import VoiceActivity
from mneme.errors import SettingsError
from mneme.records import LANES, SOUND_RATE, Picture, Vector, samples_to_ns, to_ns

RNG = np.random.default_rng(7)
TEXTS = ["where did I leave the red mug?", "", "a dog barks", "Grüße aus Köln, 東京 🚪", "the tide turns at noon " * 80]
PICTURES = [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((72, 128), (360, 640), (200, 90))]
PICTURES += [np.zeros((72, 128, 3), np.uint8), np.full((72, 128, 3), 200, np.uint8)]
SOUNDS = [RNG.standard_normal(n).astype(np.float32) * np.float32(0.1) for n in (1, 300, 8000, 48_000)]
SOUNDS += [np.zeros(16_000, np.float32)]


@dataclass(frozen=True)
class Given:
    """An encoder, and inputs of its kind that it must manage."""

    make: Callable[[], Encoder[Any]]
    inputs: Sequence[Any]
    tolerance: float = 0.0
    """How far a vector may depend on its neighbours: rounding, where they change the shape of a product."""


ENCODERS = {
    "MiniLM": Given(MiniLM, TEXTS, tolerance=1e-6),
    "Layout": Given(Layout, PICTURES),
    "LogMel": Given(LogMel, SOUNDS),
}
LISTENERS: dict[str, Callable[[], Listener]] = {
    "Recogniser": Recogniser,
    "VoiceActivity": VoiceActivity,
    "Onsets": Onsets,
}
CAPTION_READERS: dict[str, Callable[[], CaptionReader]] = {
    "Captions": Captions,
}


@pytest.mark.parametrize("given", ENCODERS.values(), ids=ENCODERS.keys())
class TestEveryEncoder:
    def test_says_what_it_is(self, given: Given) -> None:
        encoder = given.make()
        assert isinstance(encoder, Encoder)
        spec = encoder.spec
        assert spec.name
        assert spec.lane is None or spec.lane in LANES
        assert spec.space.name
        assert spec.space.dim > 0
        assert spec.space.weights, "without it vectors of other weights would be compared"

    def test_gives_float32_vectors_of_unit_length(self, given: Given) -> None:
        encoder = given.make()
        encoded = encoder.encode(given.inputs)
        assert encoded.vectors.shape == (len(given.inputs), encoder.spec.space.dim)
        assert encoded.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1.0, atol=1e-5)
        if encoded.tokens is not None:
            assert encoded.tokens.dtype == np.float16
            assert encoded.tokens.ndim == 3
            assert (encoded.tokens.shape[0], encoded.tokens.shape[2]) == encoded.vectors.shape
            assert np.isfinite(encoded.tokens).all()

    def test_gives_the_same_alone_and_in_a_batch(self, given: Given) -> None:
        together, one_by_one = given.make(), given.make()  # two, so that none answers from what it remembers
        batch = together.encode(given.inputs)
        for i, item in enumerate(given.inputs):
            alone = one_by_one.encode([item])
            np.testing.assert_allclose(alone.vectors[0], batch.vectors[i], rtol=0, atol=given.tolerance)
            assert (alone.tokens is None) == (batch.tokens is None)
            if alone.tokens is not None and batch.tokens is not None:
                np.testing.assert_allclose(alone.tokens[0], batch.tokens[i], rtol=0, atol=given.tolerance)

    def test_gives_the_same_in_two_instances(self, given: Given) -> None:
        first, second = given.make(), given.make()
        assert first.spec == second.spec
        np.testing.assert_array_equal(first.encode(given.inputs).vectors, second.encode(given.inputs).vectors)

    def test_leaves_its_input_as_it_was(self, given: Given) -> None:
        before = [np.copy(item) for item in given.inputs]
        given.make().encode(given.inputs)
        for was, item in zip(before, given.inputs, strict=True):
            np.testing.assert_array_equal(was, item)

    def test_gives_no_vectors_for_no_inputs(self, given: Given) -> None:
        encoder = given.make()
        encoded = encoder.encode([])
        assert encoded.vectors.shape == (0, encoder.spec.space.dim)
        assert encoded.vectors.dtype == np.float32


def test_no_two_encoders_share_the_name_of_a_space() -> None:
    names = [given.make().spec.space.name for given in ENCODERS.values()]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def spoken() -> Vector:
    """A synthetic voice that says "we will go forward ten meters"; see `test_speech.py`."""
    import av

    with av.open(str(Path(__file__).parent / "data" / "spoken.flac")) as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return (np.concatenate(frames) / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def sound(spoken: Vector) -> Vector:
    """Ten seconds of faint noise: a voice from 2 s on, a bell at 7 s."""
    out = np.random.default_rng(1).standard_normal(10 * SOUND_RATE) * 10 ** (-68 / 20)
    t = np.arange(SOUND_RATE) / SOUND_RATE
    for start_s, part in ((2, spoken), (7, 0.3 * np.exp(-3 * t) * np.sin(2 * np.pi * 1500 * t))):
        out[start_s * SOUND_RATE : start_s * SOUND_RATE + len(part)] += part
    return out.astype(np.float32)


def listen(listener: Listener, samples: Vector, chunk: int) -> list[Heard]:
    """Everything heard in the sound; on the way `settled_ns` must be honest and never fall."""
    heard: list[Heard] = []
    settled_ns = 0
    for at in range(0, len(samples), chunk):
        new = listener.push(samples_to_ns(at), samples[at : at + chunk])
        assert all(h.t0_ns >= settled_ns for h in new), "it was said that nothing so early would come"
        assert listener.settled_ns >= settled_ns
        settled_ns = listener.settled_ns
        heard += new
    last = listener.flush()
    assert all(h.t0_ns >= settled_ns for h in last)
    return heard + last


def comparable(heard: Sequence[Heard]) -> list[tuple[int, int, str | None, float, bytes | None]]:
    return [(h.t0_ns, h.t1_ns, h.text, h.confidence, None if h.samples is None else h.samples.tobytes()) for h in heard]


@pytest.mark.parametrize("make", LISTENERS.values(), ids=LISTENERS.keys())
class TestEveryListener:
    def test_hears_the_same_whatever_the_chunks_and_is_honest_about_what_is_settled(
        self, make: Callable[[], Listener], sound: Vector
    ) -> None:
        whole = listen(make(), sound, len(sound))
        assert whole, "a sound in which nothing is heard shows nothing"
        for chunk in (333, 1600, 40_000):
            assert comparable(listen(make(), sound, chunk)) == comparable(whole)

    def test_hears_in_order_and_within_the_stream(self, make: Callable[[], Listener], sound: Vector) -> None:
        heard = listen(make(), sound, 1600)
        assert all(0 <= h.t0_ns < h.t1_ns <= samples_to_ns(len(sound)) for h in heard)
        assert all(a.t0_ns < b.t0_ns for a, b in pairwise(heard))
        assert all(0 < h.confidence <= 1 for h in heard)
        assert all(h.samples is None or (h.samples.dtype == np.float32 and h.samples.ndim == 1) for h in heard)

    def test_completes_at_the_end_what_is_still_sounding(
        self, make: Callable[[], Listener], sound: Vector, spoken: Vector
    ) -> None:
        end = 2 * SOUND_RATE + 3 * len(spoken) // 4  # in the middle of the voice
        listener = make()
        assert listener.push(0, sound[:end]) == []
        last = listener.flush()
        assert last
        assert last[-1].t1_ns <= samples_to_ns(end)
        assert listener.settled_ns >= samples_to_ns(end)
        assert listener.flush() == [], "the end comes once"

    def test_starts_clean_after_the_end(self, make: Callable[[], Listener], sound: Vector, spoken: Vector) -> None:
        listener = make()
        listen(listener, spoken, 1600)
        assert comparable(listen(listener, sound, 1600)) == comparable(listen(make(), sound, 1600))

    def test_hears_nothing_where_there_was_no_sound(self, make: Callable[[], Listener]) -> None:
        assert make().flush() == []


FPS = 5
SIGNS = [("BOAT SHED 12", 1.0, 3.0), ("NORVIK PIER 3", 4.0, 7.0)]
"""What stands in the film, from when to when; the last stands to its end."""


@pytest.fixture(scope="module")
def film() -> list[Picture]:
    """Seven seconds at `FPS`: signs on grey."""
    font = ImageFont.load_default(size=28)
    pictures = []
    for i in range(7 * FPS):
        image = Image.new("RGB", (640, 360), (90, 90, 90))
        for text, t0_s, t1_s in SIGNS:
            if t0_s <= i / FPS < t1_s:
                ImageDraw.Draw(image).text((60, 300), text, font=font, fill="white")
        pictures.append(np.asarray(image))
    return pictures


def look(reader: CaptionReader, pictures: Sequence[Picture]) -> tuple[list[Read], list[Read]]:
    """What was read on the way and what the end completed; `settled_ns` must be honest and never fall."""
    reads: list[Read] = []
    settled_ns = 0
    for i, picture in enumerate(pictures):
        new = reader.look(to_ns(i / FPS), picture)
        assert all(read.t0_ns >= settled_ns for read in new), "it was said that nothing so early would come"
        assert reader.settled_ns >= settled_ns
        settled_ns = reader.settled_ns
        assert settled_ns <= to_ns(i / FPS), "what comes next cannot be settled"
        reads += new
    last = reader.flush(to_ns(len(pictures) / FPS))
    assert all(read.t0_ns >= settled_ns for read in last)
    return reads, last


def seen(reads: Sequence[Read]) -> list[tuple[str, int, int, float]]:
    return [(read.text, read.t0_ns, read.t1_ns, read.confidence) for read in reads]


@pytest.mark.parametrize("make", CAPTION_READERS.values(), ids=CAPTION_READERS.keys())
class TestEveryCaptionReader:
    def test_reads_what_stands_from_when_to_when(self, make: Callable[[], CaptionReader], film: list[Picture]) -> None:
        before, last = look(make(), film)
        reads = before + last
        assert [read.text for read in reads] == [text for text, _, _ in SIGNS]
        for read, (_, t0_s, t1_s) in zip(reads, SIGNS, strict=True):
            assert abs(read.t0_ns - to_ns(t0_s)) <= to_ns(1 / FPS)
            assert abs(read.t1_ns - to_ns(t1_s)) <= to_ns(1 / FPS)
            assert 0 < read.confidence <= 1
            assert read.picture is not None
            assert read.picture.dtype == np.uint8

    def test_completes_at_the_end_what_still_stands(
        self, make: Callable[[], CaptionReader], film: list[Picture]
    ) -> None:
        reader, end_ns = make(), to_ns(len(film) / FPS)
        _, last = look(reader, film)
        assert [(read.text, read.t1_ns) for read in last] == [(SIGNS[-1][0], end_ns)]
        assert reader.settled_ns >= end_ns
        assert reader.flush(end_ns) == [], "the end comes once"

    def test_starts_clean_after_the_end(self, make: Callable[[], CaptionReader], film: list[Picture]) -> None:
        reader = make()
        first = look(reader, film)
        second = look(reader, film)
        assert [seen(reads) for reads in second] == [seen(reads) for reads in first]

    def test_reads_nothing_where_there_were_no_pictures(self, make: Callable[[], CaptionReader]) -> None:
        assert make().flush(0) == []


@pytest.fixture(scope="module", params=["embedded", "towers"])  # what needs weights from elsewhere: test_pretrained.py
def profile(request: pytest.FixtureRequest) -> Profile:
    made: Profile = make_profile(request.param)
    return made


def lacks(part: object, protocol: type) -> set[str]:
    """The members of a protocol that `part` has not (`isinstance` knows only those that are `runtime_checkable`)."""
    members = {name for base in protocol.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    return {name for name in members if not name.startswith("_") and not hasattr(part, name)}


class TestEveryProfile:
    def test_has_every_part_that_a_profile_promises(self, profile: Profile) -> None:
        assert not lacks(profile, Profile)
        assert lacks(object(), Profile) > {"name", "text", "captions"}, "or the line above shows nothing"

    def test_has_an_encoder_for_words_for_pictures_and_for_sounds(self, profile: Profile) -> None:
        parts = (profile.text, profile.vision, profile.sound)
        assert all(isinstance(part, Encoder) for part in parts)
        assert [part.spec.lane for part in parts] == [None, "vision", "sound"]
        described = {part.spec.space for part in parts} | (
            {profile.look.spec.space} if isinstance(profile, Looking) else set()
        )
        assert set(profile.spaces) == described

    def test_has_listeners_and_a_reader_of_one_stream_each(self, profile: Profile) -> None:
        for give in (profile.speech, lambda: ("", profile.voice())):
            (_, voice), (_, another) = give(), give()
            assert not lacks(voice, Voice)
            assert voice is not another
        assert not lacks(profile.onsets(None), Listener)
        assert not lacks(profile.onsets(profile.voice()), Listener)
        origin, reader = profile.captions()
        assert origin
        assert not lacks(reader, CaptionReader)
        assert reader is not profile.captions()[1]
        assert profile.speech()[0], "percepts say what made them"

    def test_is_loaded_once_whoever_asks_first(self, profile: Profile) -> None:
        fresh = PROFILES[profile.name]()
        for part in ("text", "vision", "sound", "ear"):
            with ThreadPoolExecutor(4) as pool:
                got = list(pool.map(lambda _, part=part: getattr(fresh, part), range(8)))
            assert all(one is got[0] for one in got), part


def test_a_profile_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="embedded"):
        make_profile("imagined")
