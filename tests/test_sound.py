"""Loudness, the descriptor of sounds, and the onsets of sounds that are not speech, on sounds made here."""

from __future__ import annotations

import numpy as np
import pytest

from mneme.encoders.base import Heard, SoundEncoder
from mneme.encoders.sound import LogMel, Onsets, loudness_db
from mneme.records import SOUND_RATE, Vector, samples_to_ns, to_ns, to_s
from tests.sounds import listen, noise, scene


def bell(seconds: float = 1.0, hertz: float = 880.0) -> Vector:
    t = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    partials = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in (1.0, 2.76, 5.4))
    return (0.2 * np.exp(-3 * t) * partials).astype(np.float32)


def bark(seed: int = 2) -> Vector:
    t = np.arange(int(0.25 * SOUND_RATE)) / SOUND_RATE
    rough = np.random.default_rng(seed).standard_normal(len(t)) * np.sin(2 * np.pi * 90 * t)
    return (0.3 * rough * np.exp(-((t - 0.08) ** 2) / 0.004)).astype(np.float32)


def tone(seconds: float, hertz: float = 440.0, amplitude: float = 0.1) -> Vector:
    t = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    return (amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def starts(heard: list[Heard]) -> list[float]:
    return [to_s(h.t0_ns) for h in heard]


def test_loudness_is_the_root_mean_square_against_full_scale() -> None:
    assert loudness_db(np.ones(100, dtype=np.float32)) == pytest.approx(0.0)
    assert loudness_db(tone(1.0, amplitude=0.1)) == pytest.approx(-23.01, abs=0.01)


def test_silence_and_nothing_are_as_quiet_as_can_be() -> None:
    assert loudness_db(np.zeros(100, dtype=np.float32)) == -120.0
    assert loudness_db(np.zeros(0, dtype=np.float32)) == -120.0


def test_the_descriptor_is_of_unit_length() -> None:
    encoder: SoundEncoder = LogMel()
    vectors = encoder.encode([bell(), noise(1.0), np.zeros(0, dtype=np.float32), np.zeros(8000, np.float32)]).vectors
    assert vectors.shape == (4, encoder.spec.space.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_same_sound_louder_is_the_same_sound() -> None:
    quiet, loud = LogMel().encode([bell(), 3 * bell()]).vectors
    assert quiet @ loud > 0.999


def test_sounds_of_a_kind_are_nearer_than_sounds_of_two_kinds() -> None:
    a, b, other, hiss = LogMel().encode([bell(1.0, 880), bell(0.8, 932), bark(), noise(1.0, -30.0)]).vectors
    assert a @ b > 0.6
    assert a @ b > 0.2 + max(a @ other, a @ hiss)


def test_a_descriptor_does_not_depend_on_its_neighbours() -> None:
    sounds = [bell(), bark(), tone(2.0)]
    together = LogMel().encode(sounds).vectors
    np.testing.assert_array_equal(together, np.concatenate([LogMel().encode([s]).vectors for s in sounds]))


@pytest.mark.parametrize("db", [-68.0, -50.0])
def test_bells_barks_and_beeps_are_found_in_noise(db: float) -> None:
    sounds = {3.0: bell(), 7.0: bark(), 9.5: tone(0.3, 1200.0), 12.0: tone(4.0, 200.0)}
    heard = listen(Onsets(), scene(20.0, sounds, db))
    assert starts(heard) == pytest.approx(list(sounds), abs=0.1)
    assert to_s(heard[3].t1_ns) == pytest.approx(16.0, abs=0.1)
    assert all(h.text is None and 0 < h.confidence <= 1 for h in heard)


def test_a_sound_comes_with_its_samples() -> None:
    samples = scene(8.0, {3.0: bell()})
    (heard,) = listen(Onsets(), samples)
    assert heard.samples is not None
    start = heard.t0_ns // samples_to_ns(1)
    np.testing.assert_array_equal(heard.samples, samples[start : start + len(heard.samples)])
    assert samples_to_ns(len(heard.samples)) == heard.t1_ns - heard.t0_ns


@pytest.mark.parametrize("db", [-70.0, -50.0, -30.0])
def test_steady_noise_is_no_sound(db: float) -> None:
    assert listen(Onsets(), noise(30.0, db)) == []


def test_barks_close_together_are_one_sound_and_far_apart_are_two() -> None:
    assert len(listen(Onsets(), scene(8.0, {3.0: bark(), 3.5: bark()}))) == 1
    assert len(listen(Onsets(), scene(8.0, {3.0: bark(), 4.5: bark()}))) == 2


def test_a_sound_that_stays_is_cut_and_becomes_background() -> None:
    heard = listen(Onsets(), scene(60.0, {5.0: tone(50.0, 300.0)}))
    assert starts(heard)[0] == pytest.approx(5.0, abs=0.1)
    assert all(to_s(h.t1_ns - h.t0_ns) <= 10.0 for h in heard)
    assert sum(to_s(h.t1_ns - h.t0_ns) for h in heard) < 20.0


def test_speech_is_no_sound() -> None:
    samples = scene(14.0, {3.0: bell(), 8.0: tone(3.0, 200.0)})

    def spoken(t0_ns: int, t1_ns: int) -> float:
        return max(0, min(t1_ns, to_ns(11.0)) - max(t0_ns, to_ns(8.0))) / (t1_ns - t0_ns)

    assert starts(listen(Onsets(spoken), samples)) == pytest.approx([3.0], abs=0.1)


def test_the_noise_of_a_recording_in_the_pauses_of_its_speech_is_no_sound() -> None:
    recording = np.concatenate([tone(2.0, 200.0, 0.1), noise(1.0, -45.0), tone(2.0, 200.0, 0.1)])
    samples = scene(14.0, {4.0: recording})
    spans = [(to_ns(4.0), to_ns(6.0)), (to_ns(7.0), to_ns(9.0))]

    def spoken(t0_ns: int, t1_ns: int) -> float:
        return sum(max(0, min(t1_ns, end) - max(t0_ns, start)) for start, end in spans) / (t1_ns - t0_ns)

    assert listen(Onsets(spoken), samples) == []


def test_the_same_sounds_are_found_whatever_the_chunks() -> None:
    samples = scene(15.0, {3.0: bell(), 7.0: bark(), 9.5: tone(3.0)})
    whole = listen(Onsets(), samples, len(samples))
    for chunk in (160, 777, 16000):
        parts = listen(Onsets(), samples, chunk)
        assert [(h.t0_ns, h.t1_ns, h.confidence) for h in parts] == [(h.t0_ns, h.t1_ns, h.confidence) for h in whole]


def test_it_is_never_far_behind() -> None:
    onsets, samples = Onsets(), scene(40.0, {5.0: tone(30.0)})
    for at in range(0, len(samples), 1600):
        onsets.push(samples_to_ns(at), samples[at : at + 1600])
        assert samples_to_ns(at + 1600) - onsets.settled_ns <= to_ns(12.6)
    onsets.flush()
    assert onsets.settled_ns == samples_to_ns(len(samples))


def test_a_gap_in_the_stream_ends_what_was_open_and_keeps_the_clock() -> None:
    onsets = Onsets()
    heard = onsets.push(0, scene(4.0, {3.0: bell()}))
    heard += onsets.push(to_ns(100.0), scene(6.0, {3.0: bell()}))
    assert starts(heard) == pytest.approx([3.0], abs=0.1)
    assert starts(onsets.flush()) == pytest.approx([103.0], abs=0.1)
