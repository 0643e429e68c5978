"""Voice activity and recognition.

tests/data/spoken.flac is a synthetic voice saying "we will go forward ten meters", resampled to 16 kHz:

    espeak-ng -v en-us -s 130 --stdout "we will go forward ten meters"

PocketSphinx is unreliable on such voices, so only words that it does get are asked for; its error rate on recorded
human voices is measured in benchmarks/, not here.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mneme.encoders.base import Heard
from mneme.encoders.sound import Onsets
from mneme.encoders.speech import Recogniser, VoiceActivity
from mneme.errors import MissingError
from mneme.records import SOUND_RATE, Vector, samples_to_ns, to_ns, to_s
from tests.sounds import listen, noise, scene

SPOKEN = Path(__file__).parent / "data" / "spoken.flac"


@pytest.fixture(scope="module")
def spoken() -> Vector:
    import av

    with av.open(str(SPOKEN)) as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return (np.concatenate(frames) / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser()


def spans(heard: list[Heard]) -> list[tuple[int, int]]:
    return [(h.t0_ns, h.t1_ns) for h in heard]


def test_an_utterance_is_found_where_it_was_spoken(spoken: Vector) -> None:
    (heard,) = listen(VoiceActivity(), scene(9.0, {3.0: spoken}))
    assert to_s(heard.t0_ns) == pytest.approx(3.0, abs=0.3)
    assert to_s(heard.t1_ns) == pytest.approx(3.0 + len(spoken) / SOUND_RATE, abs=0.5)
    assert heard.confidence > 0.8


def test_an_utterance_comes_with_its_sound_and_its_edges(spoken: Vector) -> None:
    samples = scene(9.0, {3.0: spoken})
    (heard,) = listen(VoiceActivity(), samples)
    assert heard.samples is not None
    first = heard.t0_ns // samples_to_ns(1) - int(0.15 * SOUND_RATE)
    np.testing.assert_array_equal(heard.samples, samples[first : first + len(heard.samples)])
    assert len(heard.samples) == (heard.t1_ns - heard.t0_ns) // samples_to_ns(1) + 2 * int(0.15 * SOUND_RATE)


def test_a_pause_makes_two_utterances(spoken: Vector) -> None:
    assert len(listen(VoiceActivity(), scene(12.0, {2.0: spoken, 7.0: spoken}))) == 2


def test_noise_tones_and_bells_are_no_voice() -> None:
    t = np.arange(3 * SOUND_RATE) / SOUND_RATE
    tone = (0.2 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    chord = sum(0.1 * np.sin(2 * np.pi * f * t) * np.exp(-2 * (t % 0.5)) for f in (262, 330, 392))
    hiss = np.diff(noise(3.0, -20.0), prepend=np.float32(0.0))
    sounds = {1.0: tone, 6.0: np.asarray(chord, dtype=np.float32), 11.0: hiss, 15.0: noise(1.0, -10.0)}
    assert listen(VoiceActivity(), scene(18.0, sounds)) == []


def test_speech_without_a_pause_is_cut_at_twenty_seconds(spoken: Vector) -> None:
    heard = listen(VoiceActivity(), np.tile(spoken, 10))
    assert len(heard) >= 2
    assert all(to_s(h.t1_ns - h.t0_ns) <= 20.1 for h in heard)
    assert all(after.t0_ns >= before.t1_ns for before, after in pairwise(heard))
    covered = sum(h.t1_ns - h.t0_ns for h in heard)
    assert covered > 0.8 * samples_to_ns(10 * len(spoken))


def test_what_is_voiced_is_known_while_it_is_spoken(spoken: Vector) -> None:
    voice = VoiceActivity()
    samples = scene(9.0, {3.0: spoken})
    voice.push(0, samples[: int(4.5 * SOUND_RATE)])
    assert voice.voiced(to_ns(3.5), to_ns(4.0)) == pytest.approx(1.0)
    assert voice.voiced(to_ns(1.0), to_ns(2.0)) == 0.0
    assert voice.voiced(to_ns(2.0), to_ns(4.0)) == pytest.approx(0.5, abs=0.15)
    voice.push(to_ns(4.5), samples[int(4.5 * SOUND_RATE) :])
    assert voice.voiced(to_ns(3.5), to_ns(4.0)) == pytest.approx(1.0)
    assert voice.voiced(to_ns(7.5), to_ns(8.5)) == 0.0


def test_what_was_decided_stays_decided(spoken: Vector) -> None:
    voice, samples = VoiceActivity(), scene(9.0, {3.0: spoken})
    said: list[tuple[int, float]] = []
    for at in range(0, len(samples), 1600):
        voice.push(samples_to_ns(at), samples[at : at + 1600])
        assert samples_to_ns(at + 1600) - voice.decided_ns <= to_ns(1.3) + to_ns(0.1)
        if voice.decided_ns > to_ns(0.1):
            said.append((voice.decided_ns, voice.voiced(voice.decided_ns - to_ns(0.1), voice.decided_ns)))
    assert all(voice.voiced(t_ns - to_ns(0.1), t_ns) == pytest.approx(was) for t_ns, was in said)


def test_utterances_are_the_same_whatever_the_chunks(spoken: Vector) -> None:
    samples = scene(12.0, {2.0: spoken, 7.0: spoken})
    whole = listen(VoiceActivity(), samples, len(samples))
    for chunk in (333, 1600, 40_000):
        parts = listen(VoiceActivity(), samples, chunk)
        assert spans(parts) == spans(whole)
        for a, b in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)


def test_a_stream_resumed_in_silence_hears_the_same(spoken: Vector) -> None:
    samples = scene(30.0, {2.0: spoken, 21.0: spoken})
    whole = listen(VoiceActivity(), samples)
    resumed = listen(VoiceActivity(), samples[10 * SOUND_RATE + 123 :], start_ns=samples_to_ns(10 * SOUND_RATE + 123))
    assert spans(resumed) == spans(whole)[1:]
    assert resumed[0].confidence == whole[1].confidence


def test_a_gap_in_the_stream_ends_the_utterance(spoken: Vector) -> None:
    voice = VoiceActivity()
    heard = voice.push(0, scene(4.0, {2.0: spoken[: 2 * SOUND_RATE]}))
    assert heard == []
    heard = voice.push(to_ns(60.0), noise(2.0))
    assert len(heard) == 1
    assert heard[0].t1_ns <= to_ns(4.0)


def test_words_are_recognised_in_lower_case_with_their_span(recogniser: Recogniser, spoken: Vector) -> None:
    (heard,) = listen(recogniser, scene(8.0, {3.0: spoken}))
    assert heard.text is not None
    assert "go forward" in heard.text
    assert heard.text == heard.text.lower()
    assert 0.0 < heard.confidence < 1.0
    assert to_s(heard.t0_ns) == pytest.approx(3.0, abs=0.3)


def test_an_utterance_leaves_nothing_behind_for_the_next(recogniser: Recogniser, spoken: Vector) -> None:
    first = recogniser.recognise(spoken)
    recogniser.recognise(noise(1.0, -30.0) + 0.2)
    assert recogniser.recognise(spoken) == first


def test_what_holds_no_word_is_dropped(recogniser: Recogniser) -> None:
    assert recogniser.recognise(np.zeros(SOUND_RATE, dtype=np.float32)) == ("", 0.0)
    assert recogniser.recognise(np.zeros(0, dtype=np.float32)) == ("", 0.0)


def test_beside_speech_the_sounds_are_told_from_it(spoken: Vector) -> None:
    t = np.arange(SOUND_RATE) / SOUND_RATE
    bell = (0.3 * np.exp(-3 * t) * np.sin(2 * np.pi * 1500 * t)).astype(np.float32)
    samples = scene(14.0, {2.0: bell, 5.0: spoken, 11.0: bell})
    results = []
    for chunk in (1600, 20_000):
        voice = VoiceActivity()
        onsets, heard = Onsets(voice.voiced), []
        for at in range(0, len(samples), chunk):
            voice.push(samples_to_ns(at), samples[at : at + chunk])
            heard += onsets.push(samples_to_ns(at), samples[at : at + chunk])
        voice.flush()
        results.append(spans(heard + onsets.flush()))
    assert [to_s(t0) for t0, _ in results[0]] == pytest.approx([2.0, 11.0], abs=0.1)
    assert results[0] == results[1]


def test_without_its_library_speech_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pocketsphinx", None)
    with pytest.raises(MissingError, match="pip install"):
        Recogniser()
