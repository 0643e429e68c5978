"""Training towers against locked texts, and shards of pairs: tiny networks on data that the tests make."""

from __future__ import annotations

import io
import json
import math
import tarfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mneme.encoders.shards import ShardPairs, read_pairs
from mneme.encoders.train import Batch, Output, Point, TextCache, TrainSettings, contrastive, positives, train
from mneme.errors import SettingsError, SourceError
from mneme.records import SOUND_RATE

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


pytestmark = pytest.mark.usefixtures("one_thread")


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """A locked text tower of 8 dimensions: each colour its own direction, whatever else is said."""
    rows = np.full((len(texts), 8), 0.1, np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[[i for i, colour in enumerate(COLOURS) if colour in text]] += 1.0
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class MeanColour(nn.Module):
    """A tower that sees only the mean colour; its auxiliary loss is how far its guess of the brightness is off."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Linear(3, 8)
        self.brightness = nn.Linear(3, 1)

    def forward(self, signals: Tensor) -> Output:
        mean = signals.float().mean(dim=(2, 3)) / 255
        return Output(F.normalize(self.vector(mean), dim=1), None, {"brightness": self.brightness(mean)[:, 0]})

    def auxiliary(self, output: Output, targets: dict[str, Tensor]) -> Tensor:
        if "brightness" not in targets:
            return output.vectors.new_zeros(())
        return F.mse_loss(output.extra["brightness"], targets["brightness"])


@dataclass
class Colours:
    """Plain pictures and their captions; `passes` batches long, or endless."""

    passes: int | None = None
    targets: bool = False

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        draw, done = np.random.default_rng(seed), 0
        while self.passes is None or done < self.passes:
            names = [str(draw.choice(list(COLOURS))) for _ in range(size)]
            tones = np.array([COLOURS[name] for name in names]) + draw.integers(-20, 20, (size, 3))
            pictures = torch.from_numpy(np.broadcast_to(tones[:, :, None, None], (size, 3, 64, 64)).astype(np.uint8))
            targets = {"brightness": torch.from_numpy(tones.mean(axis=1) / 255).float()} if self.targets else {}
            yield Batch(pictures.contiguous(), [f"{draw.choice(['a', 'the'])} {name} wall" for name in names], targets)
            done += 1


def nearest(tower: nn.Module, batch: Batch) -> float:
    """How often the colour's own text is the nearest of one a colour."""
    with torch.no_grad():
        near = (tower(batch.signals).vectors @ torch.from_numpy(embed(list(COLOURS))).T).argmax(dim=1)
    return float(np.mean([list(COLOURS)[i] in text for i, text in zip(near.tolist(), batch.texts, strict=True)]))


def trained(seed: int = 0, steps: int = 120, **settings: float) -> tuple[MeanColour, list[Point]]:
    torch.manual_seed(seed)
    tower = MeanColour()
    chosen = TrainSettings(steps=steps, batch=16, rate=0.05, every=20, average=0.9, seed=seed, **settings)  # type: ignore[arg-type]
    return tower, train(tower, Colours(), embed, chosen)


def test_a_tower_learns_to_put_its_signals_where_their_texts_are() -> None:
    untaught, unseen = trained(steps=0)[0], next(Colours().batches(64, 99))
    tower, curve = trained()
    assert nearest(tower, unseen) == 1.0 > nearest(untaught, unseen)
    assert curve[-1].loss < 0.7 * curve[0].loss
    assert curve[-1].regression < 0.1
    assert not tower.training


def test_the_same_seed_gives_the_same_tower_and_another_seed_another() -> None:
    first, again, other = (trained(seed, 20)[0].vector.weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_curve_has_a_point_every_so_many_steps_and_the_rate_rises_then_falls() -> None:
    told: list[Point] = []
    tower = MeanColour()
    curve = train(
        tower, Colours(), embed, TrainSettings(steps=50, batch=4, every=10, warmup=0.4, rate=1.0), told.append
    )
    assert told == curve
    assert [point.step for point in curve] == [10, 20, 30, 40, 50]
    assert [point.pairs for point in curve] == [40, 80, 120, 160, 200]
    rates = [point.rate for point in curve]
    assert rates[0] < rates[1] > rates[2] > rates[3] > rates[4]
    assert all(math.isfinite(point.loss) for point in curve)


def test_what_else_is_known_is_learnt_too() -> None:
    torch.manual_seed(0)
    tower = MeanColour()
    settings = TrainSettings(steps=150, batch=16, rate=0.05, every=50, average=0.9)
    curve = train(tower, Colours(targets=True), embed, settings)
    assert curve[-1].auxiliary < 0.01 < curve[0].auxiliary
    assert trained(steps=20)[1][-1].auxiliary == 0.0


def test_a_run_of_minutes_ends() -> None:
    curve = train(MeanColour(), Colours(), embed, TrainSettings(minutes=0.005, batch=4))
    assert curve[-1].step >= 1
    assert curve[-1].rate < curve[-1].step  # it came to the end of its schedule and logged it


def test_files_are_passed_through_again_when_they_end() -> None:
    curve = train(MeanColour(), Colours(passes=3), embed, TrainSettings(steps=8, batch=4, every=8))
    assert curve[-1].pairs == 32


def test_a_source_without_pairs_and_settings_without_an_end_are_refused() -> None:
    with pytest.raises(SourceError, match="empty"):
        train(MeanColour(), Colours(passes=0), embed, TrainSettings(steps=1))
    for wrong in ({}, {"steps": 1, "minutes": 1.0}, {"steps": 1, "batch": 0}):
        with pytest.raises(SettingsError):
            TrainSettings(**wrong)  # type: ignore[arg-type]


def test_pairs_of_the_same_text_or_group_are_positives_of_each_other() -> None:
    right = positives(["a dog", "a cat", "a dog", "a hound"], {"group": torch.tensor([0, -1, 0, 0])})
    third = pytest.approx(1 / 3)
    assert right.tolist() == [
        [third, 0, third, third],
        [0, 1, 0, 0],
        [third, 0, third, third],
        [third, 0, third, third],
    ]
    assert positives(["a", "b"], {"group": torch.tensor([-1, -1])}).tolist() == [[1, 0], [0, 1]]


def test_the_contrast_is_the_formula_of_clip() -> None:
    draw = np.random.default_rng(0)
    v, t = (F.normalize(torch.from_numpy(draw.standard_normal((5, 8))), dim=1) for _ in range(2))
    logits = (10 * v @ t.T).numpy()
    rows = -np.mean([row[i] - np.log(np.exp(row).sum()) for i, row in enumerate(logits)])
    columns = -np.mean([row[i] - np.log(np.exp(row).sum()) for i, row in enumerate(logits.T)])
    found = contrastive(v, t, torch.eye(5, dtype=torch.float64), torch.tensor(10.0))
    assert float(found) == pytest.approx((rows + columns) / 2, abs=1e-9)


def test_a_sentence_is_embedded_once() -> None:
    asked: list[str] = []

    def counted(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return embed(texts)

    cache = TextCache(counted)
    first = cache(["a red wall", "a blue wall", "a red wall"])
    np.testing.assert_array_equal(cache(["a blue wall", "a green wall"])[0], first[1])
    assert asked == ["a red wall", "a blue wall", "a green wall"]


def png(colour: tuple[int, int, int], size: tuple[int, int] = (100, 80)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def wav(hertz: float, seconds: float, rate: int = 22050) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(rate)
        tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
        out.writeframes(np.repeat((tone * 32767).astype("<i2"), 2).tobytes())
    return file.getvalue()


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def colour_shards(folder: Path) -> list[Path]:
    paths = []
    for number in range(2):
        files = {}
        for i, (name, rgb) in enumerate(list(COLOURS.items()) * 4):
            files[f"part/{i:04}.png"] = png(rgb)
            if i % 2:
                files[f"part/{i:04}.json"] = json.dumps({"caption": f"a {name} wall"}).encode()
            else:
                files[f"part/{i:04}.txt"] = f"the {name} wall\n".encode()
            files[f"part/{i:04}.cls"] = b"7"
        paths.append(shard(folder / f"walls-{number}.tar", files))
    return paths


def test_shards_of_pictures_give_every_pair_once_in_the_order_of_the_seed(tmp_path: Path) -> None:
    pairs = ShardPairs(colour_shards(tmp_path))
    batches = list(pairs.batches(5, 0))
    assert [len(batch.texts) for batch in batches] == [5, 5, 5, 5, 4]
    for batch in batches:
        assert batch.signals.dtype == torch.uint8
        assert batch.signals.shape == (len(batch.texts), 3, 64, 64)
        for picture, text in zip(batch.signals, batch.texts, strict=True):
            assert tuple(picture[:, 30, 30].tolist()) == COLOURS[text.split()[1]]
    orders = [[text for batch in pairs.batches(5, seed) for text in batch.texts] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_shards_of_sounds_are_16_khz_mono_of_one_length(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "tones.tar.gz",
        {"a.wav": wav(440, 0.5), "a.txt": b"a short tone", "b.wav": wav(1000, 3.0), "b.txt": b"a long tone"},
    )
    (batch,) = ShardPairs([path], seconds=2.0).batches(8, 0)
    assert batch.signals.dtype == torch.float32
    assert batch.signals.shape == (2, 2 * SOUND_RATE)
    rows = dict(zip(batch.texts, batch.signals.numpy(), strict=True))
    short, long = rows["a short tone"], rows["a long tone"]
    assert np.abs(np.fft.rfft(short[:8000])).argmax() * 2 == pytest.approx(440, abs=4)
    assert np.abs(np.fft.rfft(long)).argmax() / 2 == pytest.approx(1000, abs=2)
    assert np.abs(short[8400:]).max() == 0
    assert np.abs(long[-100:]).max() > 0.3


def test_a_tower_learns_from_shards(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = MeanColour()
    settings = TrainSettings(steps=40, batch=12, rate=0.05, average=0.9)
    train(tower, ShardPairs(colour_shards(tmp_path)), embed, settings)
    assert nearest(tower, next(Colours().batches(32, 5))) == 1.0


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"a.png": b"no picture", "a.txt": b"words"}, "picture of a in .* cannot be read"),
        ({"a.wav": b"no sound", "a.txt": b"words"}, "sound of a in .* cannot be read"),
        ({"a.png": png((1, 2, 3))}, "has no text"),
        ({"a.png": png((1, 2, 3)), "a.json": b"[1]"}, "has no text"),
        ({"a.png": png((1, 2, 3)), "a.json": b'{"caption": 7}'}, "has no text"),
        ({"a.png": png((1, 2, 3)), "a.txt": b"  "}, "empty text"),
        ({"a.txt": b"words"}, "0 pictures or sounds"),
        ({"a.png": png((1, 2, 3)), "a.jpg": png((1, 2, 3)), "a.txt": b"words"}, "2 pictures or sounds"),
        ({"a.png": png((1, 2, 3)), "a.txt": b"x", "b.wav": wav(440, 0.1), "b.txt": b"y"}, "among others"),
    ],
)
def test_a_pair_that_is_none_is_named(tmp_path: Path, files: dict[str, bytes], fault: str) -> None:
    with pytest.raises(SourceError, match=fault):
        list(ShardPairs([shard(tmp_path / "s.tar", files)]).batches(4, 0))


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"not a tar file" * 100)
    whole = shard(tmp_path / "whole.tar", {"a.png": png((1, 2, 3), (300, 300)), "a.txt": b"words"}).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    for path in (tmp_path / "no.tar", tmp_path / "cut.tar", tmp_path / "absent.tar"):
        with pytest.raises(SourceError, match=r"cannot be read"):
            list(read_pairs(path))
    with pytest.raises(SourceError, match="no shards"):
        ShardPairs([])
