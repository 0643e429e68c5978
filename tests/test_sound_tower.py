"""The sounds of the world, the tower that learns them, and the ear that ships: what it knows, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.train_sound import MORE_NAMES, NAMES, NONE, SoundPairs, draw_test, text_top1
from benchmarks.world.noises import BACKGROUNDS, UNKNOWN, UNKNOWN_HELD, background, mix, record, unknown
from benchmarks.world.sounds import MAKERS, synthesise
from benchmarks.world.vocabulary import SOUNDS
from mneme.encoders.base import SoundEncoder
from mneme.encoders.hearing import DIM, SAMPLES, WEIGHTS, Hearing, mel_matrix, windows
from mneme.encoders.sound_tower import LogMelFrames, SoundTower, pad
from mneme.encoders.text import MiniLM
from mneme.encoders.train import TrainSettings, train
from mneme.errors import MissingError
from mneme.records import SOUND_RATE, Space, Vector

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ear() -> Hearing:
    """The ear that ships."""
    return Hearing()


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> tuple[SoundTower, Path]:
    """A small random tower whose norms have seen some sounds, and its file."""
    torch.manual_seed(1)
    tower = SoundTower(("bell", "dog"), widths=(8, 16), bands=32)
    with torch.no_grad():
        for _ in range(3):
            tower(pad([synthesise("bell", np.random.default_rng(i), 2.0) for i in range(4)]))
    path = tmp_path_factory.mktemp("weights") / "tower.safetensors"
    tower.eval().save(path, temperature=2.0, threshold=0.6)
    return tower, path


def tone(hertz: float, seconds: float, gain: float = 0.3) -> Vector:
    return (gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE)).astype(np.float32)


def test_every_sound_of_the_vocabulary_can_be_made() -> None:
    assert set(MAKERS) == set(SOUNDS) == set(MORE_NAMES)


def test_names_that_are_held_out_are_never_used_in_training() -> None:
    for name, term in SOUNDS.items():
        assert not {held.lower() for held in term.held} & {more.lower() for more in MORE_NAMES[name]}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_is_the_same_for_a_seed_and_another_for_another(name: str) -> None:
    for seconds in (0.25, 1.0, 3.0):
        first, again, other = (synthesise(name, np.random.default_rng(seed), seconds) for seed in (1, 1, 2))
        assert first.dtype == np.float32
        assert first.shape == (round(seconds * SOUND_RATE),)
        assert np.abs(first).max() == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_array_equal(first, again)
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.7


@pytest.mark.parametrize("kind", [*BACKGROUNDS, *UNKNOWN, *UNKNOWN_HELD])
def test_noise_and_unknown_sounds_are_finite_and_loud(kind: str) -> None:
    draw = np.random.default_rng(0)
    if kind in BACKGROUNDS:
        assert float(np.sqrt(np.mean(background(draw, 1.0, kind) ** 2))) == pytest.approx(1.0, abs=1e-3)
    if kind in UNKNOWN | UNKNOWN_HELD:
        assert np.abs(unknown(draw, 1.0, kind)).max() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 30.0])
def test_a_mix_has_the_ratio_that_was_asked_for(snr_db: float) -> None:
    draw = np.random.default_rng(3)
    sound, noise = synthesise("dog", draw, 1.0), background(draw, 0.4)
    left = mix(sound, noise, snr_db) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(left**2)) == pytest.approx(snr_db, abs=0.01)
    np.testing.assert_array_equal(mix(np.zeros(6400, np.float32), noise, 10.0), noise)


def test_a_recording_stays_within_full_scale() -> None:
    draw = np.random.default_rng(0)
    assert all(np.abs(record(draw, synthesise("drum", draw, 0.5))).max() <= 1.0 for _ in range(20))


def test_a_tone_stands_in_the_band_of_its_pitch() -> None:
    bank = mel_matrix(48)[:, :257]
    for hertz in (300.0, 1000.0, 4000.0):
        picture = LogMelFrames(48)(torch.from_numpy(tone(hertz, 2.0)[None]))[0, 0]  # [bands, frames]
        band = int(picture.mean(dim=1).argmax())
        centre = float((bank[band] * np.arange(257)).sum() / bank[band].sum()) * SOUND_RATE / 512
        assert centre == pytest.approx(hertz, rel=0.08)
    assert (bank.sum(axis=1) > 0.99).all()


def test_the_tower_is_small_and_does_not_mind_how_loud_a_sound_is() -> None:
    tower = SoundTower(NAMES).eval()
    assert sum(p.numel() for p in tower.parameters()) < 1_500_000
    sound = mix(synthesise("bell", np.random.default_rng(0), 2.0), background(np.random.default_rng(1), 2.0), 10.0)
    with torch.no_grad():
        output = tower(pad([sound, 0.05 * sound, sound[:6000]]))
    assert output.vectors.shape == (3, DIM)
    assert output.vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert float(output.vectors[0] @ output.vectors[1]) > 0.9999
    assert tower.auxiliary(output, {}) == 0
    assert tower.auxiliary(output, {"sound": torch.tensor([-1, -1, -1])}) == 0
    assert tower.auxiliary(output, {"sound": torch.tensor([0, -1, NONE])}) > 0


def test_what_ships_is_the_network_that_was_trained(untaught: tuple[SoundTower, Path]) -> None:
    tower, path = untaught
    sounds = [synthesise(name, np.random.default_rng(5), 2.0) for name in ("bell", "dog", "water")]
    with torch.no_grad():
        output = tower(pad(sounds))
    heard = Hearing(path).hear(sounds)
    # The weights are stored in half precision.
    assert (heard.vectors * output.vectors.numpy()).sum(axis=1).min() > 0.9999
    np.testing.assert_allclose(heard.chances, (output.extra["logits"] / 2.0).softmax(dim=1).numpy(), atol=2e-3)


def test_a_few_steps_teach_a_bell_from_a_dog(text_tower: MiniLM) -> None:
    class Two(SoundPairs):
        """The world's source with two of its sounds."""

        def batches(self, size: int, seed: int) -> Iterator[object]:  # type: ignore[override]
            from mneme.encoders.train import Batch

            draw = np.random.default_rng(seed)
            while True:
                labels = draw.integers(0, 2, size)
                rows = [synthesise(("bell", "dog")[label], draw, 1.0) for label in labels]
                yield Batch(
                    pad(rows), [("a bell", "a barking dog")[i] for i in labels], {"sound": torch.tensor(labels)}
                )

    torch.manual_seed(0)
    tower = SoundTower(("bell", "dog"), widths=(8, 16), bands=32)
    settings = TrainSettings(steps=25, batch=12, rate=5e-3, average=0.8, every=5)
    curve = train(tower, Two(), lambda texts: text_tower.encode(texts).vectors, settings)  # type: ignore[arg-type]
    assert curve[-1].loss < 0.6 * curve[0].loss
    draw = np.random.default_rng(77)
    with torch.no_grad():
        logits = tower(pad([synthesise(name, draw, 1.0) for name in ["bell"] * 10 + ["dog"] * 10])).extra["logits"]
    assert float((logits[:, :2].argmax(dim=1) == torch.tensor([0] * 10 + [1] * 10)).float().mean()) >= 0.9


def test_the_world_gives_sounds_with_their_captions_and_unknown_ones_without_a_name() -> None:
    batch = next(SoundPairs(pool=2).batches(48, 0))
    assert batch.signals.shape == (48, SAMPLES)
    classes, groups = batch.targets["sound"], batch.targets["group"]
    assert 4 < int((classes == NONE).sum()) < 30
    assert torch.equal(groups == -1, classes == NONE)
    again = next(SoundPairs(pool=2).batches(48, 0))
    assert torch.equal(batch.signals, again.signals)
    assert batch.texts == again.texts


def test_a_long_sound_is_heard_to_its_end_and_a_short_one_whole() -> None:
    assert windows(np.ones(4000, np.float32)).shape == (1, SAMPLES)
    assert windows(np.ones(SAMPLES, np.float32)).shape == (1, SAMPLES)
    counted = np.arange(10 * SOUND_RATE + 123, dtype=np.float32)
    rows = windows(counted)
    assert rows.shape == (10, SAMPLES)
    assert set(rows.reshape(-1).tolist()) == set(counted.tolist())


def test_the_ear_is_an_encoder_of_sounds_in_the_space_of_texts(ear: Hearing, text_tower: MiniLM) -> None:
    encoder: SoundEncoder = Hearing(space=text_tower.spec.space)
    assert encoder.spec.space == text_tower.spec.space
    assert encoder.spec.lane == "sound"
    assert ear.spec.space == Space("minilm-sound", DIM, ear.weights[:16])
    sounds = [tone(440, 0.3), np.zeros(0, np.float32), np.zeros(9000, np.float32), tone(900, 5.0)]
    vectors = encoder.encode(sounds).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert encoder.encode([]).vectors.shape == (0, DIM)


def test_what_is_heard_does_not_depend_on_what_else_is(ear: Hearing) -> None:
    sounds = [synthesise(name, np.random.default_rng(2), s) for name, s in (("dog", 1.0), ("bell", 4.0), ("cat", 2.0))]
    alone = np.concatenate([ear.encode([sound]).vectors for sound in sounds])
    np.testing.assert_array_equal(ear.encode(sounds).vectors, alone)


def test_the_shipped_ear_finds_the_words_for_sounds_that_it_never_heard(ear: Hearing, text_tower: MiniLM) -> None:
    """Seeds, templates and synonyms that training never used, at 10 dB."""
    assert ear.names == NAMES
    waves, labels = draw_test(9_000_001, 12, 10.0, 2.0)
    known = labels < NONE
    heard = ear.hear(waves)
    assert text_top1(heard.vectors[known], labels[known], text_tower, 5) >= 0.9
    names = ear.name(waves)
    right = [name == NAMES[label] for (name, _), label in zip(names, labels, strict=True) if label < NONE]
    wrong = [name not in (None, NAMES[label]) for (name, _), label in zip(names, labels, strict=True) if label < NONE]
    assert np.mean(right) >= 0.85
    assert np.mean(wrong) <= 0.1


def test_the_shipped_ear_gives_no_name_to_silence_noise_and_most_that_it_does_not_know(ear: Hearing) -> None:
    draw = np.random.default_rng(9_000_002)
    assert ear.name([np.zeros(SAMPLES, np.float32), np.zeros(0, np.float32)]) == [(None, pytest.approx(1, abs=0.5))] * 2
    noises = [record(draw, background(draw, 2.0, kind)) for kind in BACKGROUNDS for _ in range(8)]
    assert sum(name is not None for name, _ in ear.name(noises)) <= 4
    strange = [record(draw, unknown(draw, 2.0, kind)) for kind in UNKNOWN_HELD for _ in range(8)]
    assert sum(name is not None for name, _ in ear.name(strange)) <= 12


def test_a_sound_in_the_last_seconds_of_ten_is_mostly_found(ear: Hearing) -> None:
    right = []
    for seed in range(2 * NONE):
        draw, name = np.random.default_rng(9_100_000 + seed), NAMES[seed % NONE]
        track = 0.01 * background(draw, 10.0, "pink")
        track[-2 * SOUND_RATE :] += synthesise(name, draw, 2.0)
        right.append(NAMES[int(ear.hear([track]).chances[0, :-1].argmax())] == name)
    assert np.mean(right) >= 0.55


def test_weights_that_are_missing_or_none_are_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"benchmarks\.train_sound"):
        Hearing(tmp_path / "absent.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(MissingError, match="holds no sound tower"):
        Hearing(broken)


def test_weights_of_another_shape_are_refused(tmp_path: Path, untaught: tuple[SoundTower, Path]) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(untaught[1], framework="numpy") as file:
        metadata = file.metadata()
    arrays = load_file(untaught[1])
    arrays["vector.weight"] = arrays["vector.weight"][:, :-1].copy()
    save_file(arrays, tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(MissingError, match="vector is"):
        Hearing(tmp_path / "other.safetensors")
