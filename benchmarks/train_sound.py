"""Trains the sound tower on synthesised sounds and writes the weights that ship.

python -m benchmarks.train_sound --minutes 8 --seed 0 --out encoders/weights
python -m benchmarks.train_sound --shards "sounds/*.tar" --minutes 60 --out weights      # your own recordings

Beside the weights stand the curve (`sound_tower.curve.jsonl`) and the held-out figures (`sound_tower.figures.json`):
seeds that training never draws, words that its captions never use, unknown sounds of kinds that it never hears. A run
of minutes does as many steps as the machine can; `--steps` repeats it exactly.
"""

from __future__ import annotations

import argparse
import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.world.acoustics import Draw, Wave
from benchmarks.world.captions import a, name_of, tell_sound
from benchmarks.world.noises import UNKNOWN_HELD, background, mix, record, unknown
from benchmarks.world.sounds import synthesise
from benchmarks.world.vocabulary import SOUNDS
from mneme.encoders.hearing import SAMPLES, Hearing
from mneme.encoders.shards import ShardPairs
from mneme.encoders.sound_tower import SoundTower, pad
from mneme.encoders.text import MiniLM
from mneme.encoders.train import Batch, PairSource, Point, TrainSettings, train
from mneme.records import SOUND_RATE

NAMES = tuple(SOUNDS)
NONE = len(NAMES)
MORE_NAMES: dict[str, tuple[str, ...]] = {
    "bell": ("church bell", "doorbell", "hand bell", "bell tolling", "ding dong of a bell"),
    "alarm": ("electronic beeps", "alarm clock", "alarm going off", "beep beep of an alarm", "warning beeper"),
    "knock": ("knock on wood", "rapping on wood", "knocks", "pounding on wood", "knock knock"),
    "glass": ("glass crash", "smashed window", "bottle breaking", "glass breaking into pieces", "broken pane"),
    "water": ("stream of water", "pouring water", "water splashing", "faucet running", "gurgling water"),
    "motor": ("engine", "machine running", "car engine", "buzz of a motor", "rumbling engine"),
    "dog": ("bark", "woof of a dog", "dog woofing", "hound", "barks"),
    "cat": ("meow", "miaow of a cat", "cat crying", "kitten meowing", "mewing"),
    "bird": ("birdsong", "tweeting bird", "bird calls", "birds singing", "twitter of birds"),
    "music": ("song", "piano music", "guitar music", "musical instrument", "music playing"),
    "footsteps": ("footfalls", "walking steps", "sound of shoes walking", "someone's steps", "walking feet"),
    "siren": ("police siren", "fire engine siren", "emergency siren", "siren of a police car", "siren wailing"),
    "whistle": ("whistle being blown", "someone whistling", "shrill whistle", "blown whistle", "whistle blast"),
    "drum": ("drums", "drum kit", "beating drums", "drummer", "snare drum and bass drum"),
}
"""More names for training, beside the vocabulary's; none of those that the vocabulary holds out is among them."""
MORE_FRAMES = (
    "{a}", "can you hear {a}?", "is that {a}?", "{a} in the background", "{a} in the distance", "audio of {a}",
    "suddenly there was {a}", "a moment with {a}", "{a} in another room", "listening to {a}",
    "the noise that {a} makes", "someone heard {a}", "what was that, {a}?", "find {a}", "it sounds of {a}",
)  # fmt: skip
NONE_TEXTS = (
    "background noise", "an unknown sound", "nothing in particular", "some noise", "hiss and rumble", "people talking",
    "a sound without a name", "quiet", "wind and static",
)  # fmt: skip
"""What is told of sounds that the vocabulary has no word for."""
SHARE_NONE = 0.28
CHECK_SEED, TEST_SEED = 1_000_003, 2_000_003
"""Far from any seed of training: for calibration, and for the figures."""
FALSE_CLAIMS = 0.03
"""The share of unknown sounds, in calibration, that may be given a name: sets the threshold."""


class SoundPairs:
    """A `PairSource` of synthesised sounds in noise with their captions; endless.

    Synthesis takes longer than a step of training: a pool of clean sounds is kept, some of it made new for each batch,
    and a sound is cut, echoed by its noise and recorded anew each time that it is drawn.
    """

    def __init__(self, pool: int = 60, fresh: float = 0.04) -> None:
        """`pool` sounds a name; `fresh`: how much of each batch is newly made."""
        self._size, self._fresh = pool, fresh

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        draw = np.random.default_rng(seed)
        pool: list[list[Wave]] = [[] for _ in range(NONE + 1)]
        noises: list[Wave] = []
        while True:
            rows, texts, classes = list[Wave](), list[str](), list[int]()
            for _ in range(size):
                label = NONE if draw.random() < SHARE_NONE else int(draw.integers(NONE))
                clean = self._drawn(draw, pool[label], lambda label=label: _clean(draw, label))
                noise = self._drawn(draw, noises, lambda: background(draw, 2.0))
                rows.append(heard(draw, clean, noise, label))
                texts.append(_tell(draw, label))
                classes.append(label)
            sound = torch.tensor(classes)
            group = torch.where(sound == NONE, torch.tensor(-1), sound)
            yield Batch(pad(rows), texts, {"sound": sound, "group": group})

    def _drawn(self, draw: Draw, kept: list[Wave], make: Any) -> Wave:
        if len(kept) < self._size:
            kept.append(make())
            return kept[-1]
        at = int(draw.integers(len(kept)))
        if draw.random() < self._fresh:
            kept[at] = make()
        return kept[at]


def heard(draw: Draw, clean: Wave, noise: Wave, label: int) -> Wave:
    """A clean sound as a listener cuts it out of its noise: float32[n], a quarter of a second to two."""
    if label == NONE and draw.random() < 0.3:  # nothing but noise
        return record(draw, noise[: round(draw.uniform(0.25, 2.0) * SOUND_RATE)])
    if draw.random() < 0.5:  # an onset's segment begins with the sound; not all are whole
        clean = clean[: round(draw.uniform(0.4, 2.0) * SOUND_RATE)]
    else:
        start = round(draw.uniform(0.0, 0.5) * SOUND_RATE)
        clean = np.pad(clean, (start, 0))[:SAMPLES] if draw.random() < 0.6 else clean[start:]
    if draw.random() < 0.9:
        clean = mix(clean, np.roll(noise, int(draw.integers(len(noise)))), draw.uniform(-2, 30))
    return record(draw, clean)


def _clean(draw: Draw, label: int) -> Wave:
    if label == NONE:
        return unknown(draw, 2.0)
    # A short one has another course than a cut one: a bell that is struck once.
    return synthesise(NAMES[label], draw, 2.0 if draw.random() < 0.8 else draw.uniform(0.6, 2.0))


def _tell(draw: Draw, label: int) -> str:
    if label == NONE:
        return str(draw.choice(NONE_TEXTS))
    if draw.random() < 0.4:
        return tell_sound(NAMES[label], draw)
    name = NAMES[label]
    words = name_of(SOUNDS[name], draw, "trained") if draw.random() < 0.5 else str(draw.choice(MORE_NAMES[name]))
    return str(draw.choice(MORE_FRAMES)).format(a=a(words))


def meanings(text: MiniLM, seed: int, each: int = 100) -> torch.Tensor:
    """float32[names + 1, 384]: the mean of what is told of each, where the tower begins."""
    draw = np.random.default_rng(seed)
    told = [text.encode([_tell(draw, label) for _ in range(each)]).vectors.mean(axis=0) for label in range(NONE + 1)]
    return torch.from_numpy(np.stack(told))


def draw_test(seed: int, each: int, snr_db: float, seconds: float) -> tuple[list[Wave], NDArray[np.int64]]:
    """Sounds that training never drew: `each` of every name and as many unknown ones (of kinds never trained on)."""
    draw, waves, labels = np.random.default_rng(seed), list[Wave](), list[int]()
    for label in range(NONE + 1):
        for i in range(each):
            kind = list(UNKNOWN_HELD)[i % len(UNKNOWN_HELD)]
            clean = unknown(draw, seconds, kind) if label == NONE else synthesise(NAMES[label], draw, seconds)
            waves.append(record(draw, mix(clean, background(draw, seconds), snr_db)))
            labels.append(label)
    return waves, np.array(labels)


def text_top1(vectors: NDArray[np.float32], labels: NDArray[np.int64], text: MiniLM, seed: int) -> float:
    """Of each sound: whether its own question is the nearest of one a name, all in words that training never used."""
    draw, right = np.random.default_rng(seed), []
    for vector, label in zip(vectors, labels, strict=True):
        asked = [tell_sound(name, draw, "held") for name in NAMES]
        right.append(int((text.encode(asked).vectors @ vector).argmax()) == label)
    return float(np.mean(right))


def measure(ear: Hearing, text: MiniLM, seed: int = TEST_SEED, each: int = 40) -> dict[str, Any]:
    """The held-out figures."""
    figures: dict[str, Any] = {"chance": 1 / NONE}
    for snr_db, seconds in ((10.0, 2.0), (0.0, 2.0), (20.0, 2.0), (10.0, 0.7), (10.0, 5.0)):
        waves, labels = draw_test(seed + round(snr_db) + round(100 * seconds), each, snr_db, seconds)
        result = ear.hear(waves)
        named = [name for name, _ in ear.named(result)]
        known = labels < NONE
        claimed = np.array([name is not None for name in named])
        right = np.array(
            [name == NAMES[label] if label < NONE else name is None for name, label in zip(named, labels, strict=True)]
        )
        figures[f"snr_{snr_db:g}_db_{seconds:g}_s"] = {
            "sound_top1": text_top1(result.vectors[known], labels[known], text, seed),
            "class_top1": float((result.chances[known, :-1].argmax(axis=1) == labels[known]).mean()),
            "named": float(claimed[known].mean()),
            "right_when_named": float(right[known & claimed].mean()) if (known & claimed).any() else None,
            "unknown_kinds_unnamed": float((~claimed[~known]).mean()),
            "worst": sorted((round(float(right[labels == i].mean()), 3), name) for i, name in enumerate(NAMES))[:3],
            "sounds": int(known.sum()),
        }
    return figures


def calibrate(tower: SoundTower, seed: int = CHECK_SEED, each: int = 30) -> tuple[float, float]:
    """(temperature, threshold): the first makes the chances true (least cross-entropy), the second keeps claims rare
    on unknown sounds. Both from sounds that are neither trained nor tested on."""
    draw, waves, labels = np.random.default_rng(seed), list[Wave](), list[int]()
    for label in range(NONE + 1):
        for _ in range(each if label < NONE else 8 * each):
            waves.append(heard(draw, _clean(draw, label), background(draw, 2.0), label))
            labels.append(label)
    with torch.no_grad():
        logits = torch.cat([tower(pad(waves[i : i + 64])).extra["logits"] for i in range(0, len(waves), 64)])
    wanted = torch.tensor(labels)
    grid = np.exp(np.linspace(np.log(0.3), np.log(3.0), 60))
    losses = [float(torch.nn.functional.cross_entropy(logits / float(t), wanted)) for t in grid]
    temperature = float(grid[int(np.argmin(losses))])
    sure = (logits[wanted == NONE] / temperature).softmax(dim=1)[:, :-1].amax(dim=1).numpy()
    return temperature, float(np.clip(np.quantile(sure, 1 - FALSE_CLAIMS), 0.5, 0.9))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, help="in place of minutes: repeats a run exactly")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shards", help="a pattern of WebDataset shards of sound-text pairs, in place of the world")
    parser.add_argument("--out", type=Path, default=Path("encoders/weights"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    text = MiniLM()
    torch.manual_seed(options.seed)
    tower = SoundTower(NAMES)
    tower.meanings.data.copy_(meanings(text, options.seed))
    source: PairSource = SoundPairs()
    if options.shards:
        source = ShardPairs([Path(path) for path in sorted(glob.glob(options.shards))])  # noqa: PTH207
    settings = TrainSettings(
        steps=options.steps, minutes=None if options.steps else options.minutes, batch=options.batch,
        rate=options.rate, average=0.99, seed=options.seed, device=options.device,
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "sound_tower.safetensors"
    with path.with_suffix(".curve.jsonl").open("w", encoding="utf-8") as curve:

        def log(point: Point) -> None:
            line = json.dumps({key: round(value, 5) for key, value in asdict(point).items()})
            print(line, flush=True)
            curve.write(line + "\n")

        points = train(tower, source, lambda texts: text.encode(texts).vectors, settings, log)
    tower.to("cpu")
    temperature, threshold = calibrate(tower)
    words = [", ".join(SOUNDS[name].known) for name in NAMES]
    tower.save(path, temperature, threshold, words=words, note=f"benchmarks.train_sound, seed {options.seed}")
    figures = {
        "machine": machine(), "seed": options.seed, "steps": points[-1].step if points else 0,
        "seconds": points[-1].seconds if points else 0.0, "bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in tower.parameters()), "temperature": temperature, "threshold": threshold,
        **measure(Hearing(path), text),
    }  # fmt: skip
    path.with_suffix(".figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
