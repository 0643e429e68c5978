"""Sounds by a pretrained CLAP: a sound's vector, and words in the same space.

Wu et al. 2023, "Large-scale Contrastive Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption
Augmentation" (arXiv:2211.06687), by transformers. Our sound ends at 8 kHz (16 kHz sampling); the model was trained up
to 14 kHz and hears what is above as silence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MissingError
from ..records import SOUND_RATE, Space, Vector
from . import hub
from .base import Encoded, EncoderSpec, unit
from .clip import on_cuda
from .runtime import Runtime
from .text_tower import TextTower
from .torch_runtime import TorchRuntime

BATCH = 8
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
NEEDED = ("config.json", "preprocessor_config.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")
LONGEST = 77
"""Tokens of a text that are read: the length the model was trained with."""


@dataclass(frozen=True, slots=True)
class ClapSettings:
    """Section `[clap]`, `MNEME_CLAP_<FIELD>`."""

    model: str = "laion/clap-htsat-unfused"
    """A repository of the hub, or a folder that transformers saved."""
    prompt: str = "the sound of {}"
    """The sentence that a query's words are put into."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where torch sees one."""


class AudioTower(torch.nn.Module):
    """Log-mel windows float32[b, c, frames, bands] -> vectors[b, d], unit length.

    Windows are never longer than the model's own, so nothing is fused (`is_longer` is False throughout).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.audio, self.projection = model.audio_model, model.audio_projection

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        longer = torch.zeros((features.shape[0], 1), dtype=torch.bool, device=features.device)
        pooled = self.audio(input_features=features, is_longer=longer).pooler_output
        return torch.nn.functional.normalize(self.projection(pooled), dim=-1)


class SpokenTower(torch.nn.Module):
    """ids and mask int64[b, l] -> vectors[b, d], unit length."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text, self.projection = model.text_model, model.text_projection

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        pooled = self.text(input_ids=ids, attention_mask=mask).pooler_output
        return torch.nn.functional.normalize(self.projection(pooled), dim=-1)


class ClapSound:
    """A `SoundEncoder` of the space `clap`. Batches change a result by rounding only (1e-6 on a CPU).

    A sound longer than the model's window (10 s) is heard window by window, and the mean of them is its vector: the
    published way takes windows at random.
    """

    def __init__(self, spec: EncoderSpec, extractor: Any, runtime: Runtime, scale: float = 100.0) -> None:
        """extractor: a `ClapFeatureExtractor`. scale: what the model multiplies cosines with before it compares."""
        self._spec = spec
        self.scale = scale
        self._extractor = extractor
        self._runtime = runtime

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[Vector]) -> Encoded:
        """Vectors float32[b, d], unit length, of sounds float32[n] at 16 kHz."""
        windows = [(i, window) for i, samples in enumerate(batch) for window in self._windows(samples)]
        sums = np.zeros((len(batch), self._spec.space.dim), dtype=np.float32)
        for start in range(0, len(windows), BATCH):
            part = windows[start : start + BATCH]
            vectors = self._runtime.run(self._features([window for _, window in part]))[0]
            for (i, _), vector in zip(part, vectors, strict=True):
                sums[i] += vector
        return Encoded(unit(sums))

    def _windows(self, samples: Vector) -> list[Vector]:
        """At the extractor's rate, each at most its window long; the last of several reaches back to be whole."""
        from torchaudio.functional import resample

        samples = np.asarray(samples, dtype=np.float32)
        if len(samples) == 0:
            samples = np.zeros(1, dtype=np.float32)
        rate, most = int(self._extractor.sampling_rate), int(self._extractor.nb_max_samples)
        sound: Vector = resample(torch.from_numpy(np.array(samples)), SOUND_RATE, rate).numpy()
        if len(sound) <= most:
            return [sound]
        starts = [*range(0, len(sound) - most, most), len(sound) - most]
        return [sound[start : start + most] for start in starts]

    def _features(self, windows: list[Vector]) -> NDArray[np.float32]:
        features = self._extractor(windows, sampling_rate=self._extractor.sampling_rate, return_tensors="np")
        return np.asarray(features["input_features"], dtype=np.float32)


def load_clap(settings: ClapSettings) -> tuple[ClapSound, TextTower]:
    """Both towers of one checkpoint. Errors: `MissingError` where a library or the weights are not there."""
    transformers = hub.library("transformers", "transformers")
    logging = hub.library("transformers.utils.logging", "transformers")
    source = _found(settings)
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # of reading the file: it would show with every question
    try:
        model: Any = transformers.ClapModel.from_pretrained(source, local_files_only=True, dtype=torch.float32)
        extractor: Any = transformers.ClapFeatureExtractor.from_pretrained(source, local_files_only=True)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source, local_files_only=True)
    except Exception as error:  # torch, safetensors, json and transformers each raise their own
        reason = " ".join(str(error).split())[:200]
        raise MissingError(
            f"CLAP cannot be loaded from {source}: {reason}", "name a folder that transformers saved, or a repository"
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
    model.eval().requires_grad_(False)
    how = json.dumps({k: v for k, v in extractor.to_dict().items() if isinstance(v, str | int | float)}, sort_keys=True)
    space = Space("clap", int(model.config.projection_dim), hub.weights_digest(model, how))
    title = f"clap {Path(settings.model).name}"
    device = "cuda" if on_cuda(settings.device) else "cpu"
    words = TorchRuntime(SpokenTower(model), device=device)
    hearing = TorchRuntime(AudioTower(model), device=device)
    most = min(LONGEST, int(model.config.text_config.max_position_embeddings) - 2)

    def tokenise(texts: list[str]) -> tuple[NDArray[Any], ...]:
        rows = tokenizer(texts, padding="max_length", truncation=True, max_length=most, return_tensors="np")
        return np.asarray(rows["input_ids"], np.int64), np.asarray(rows["attention_mask"], np.int64)

    scale = float(model.logit_scale_a.exp())
    sound = ClapSound(EncoderSpec(title, "sound", space), extractor, hearing, scale)
    return sound, TextTower(EncoderSpec(f"{title} text", None, space), tokenise, words, settings.prompt)


def clap_at_hand(settings: ClapSettings) -> bool:
    """Whether the weights are on this machine."""
    if Path(settings.model).expanduser().is_dir():
        return True
    return all(hub.cached(settings.model, name) for name in NEEDED) and hub.cached(settings.model, *WEIGHTS) is not None


def _found(settings: ClapSettings) -> str:
    """The folder with the model's files, downloaded where they are not there yet."""
    folder = Path(settings.model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise MissingError(f"{folder} has no config.json", "name a folder that transformers saved")
        return str(folder)
    if folder.is_absolute():
        raise MissingError(f"there is no folder {folder}", "name a folder that transformers saved, or a repository")
    if not clap_at_hand(settings):  # the weights last: where they are, all is
        hub.fetch_if_there(settings.model, *TOKENIZER)
        for name in NEEDED:
            hub.fetch(settings.model, name)
    return str(hub.fetch(settings.model, *WEIGHTS).parent)
