"""Speech to words by a pretrained Whisper: Silero VAD cuts utterances, Whisper decodes each of them whole.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision" (arXiv:2212.04356), by faster-whisper
on CTranslate2. Utterances are at most 20 s long, so one window of the model holds each; nothing is carried from one to
the next, and decoding is by beam without sampling: the same sound gives the same words, whatever came before.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingError, SettingsError
from ..records import SOUND_RATE, Vector
from . import hub
from .base import Heard
from .voice import VoiceActivity

NEEDED = ("config.json", "tokenizer.json", "model.bin")
VOCABULARY = ("vocabulary.txt", "vocabulary.json")
SIZES = frozenset("tiny tiny.en base base.en small small.en medium medium.en large-v1 large-v2 large-v3".split())
"""Sizes that Systran publishes for CTranslate2; others are named by their repository."""
SHORTEST = SOUND_RATE // 10
SILENT = 0.6
"""Chance of no speech from which words of low confidence are taken for noise (the paper, section 4.5)."""
DOUBTED = -1.0
"""Mean log-probability of a token under which they are."""


@dataclass(frozen=True, slots=True)
class WhisperSettings:
    """Section `[whisper]`, `MNEME_WHISPER_<FIELD>`."""

    model: str = "base.en"
    """A size (tiny, base.en, small, ... large-v3), a repository of the hub, or a folder that ct2 wrote."""
    language: str = "en"
    """The language that is spoken, or `auto`: told anew for each utterance, which short ones mislead."""
    beam: int = 5
    device: str = "auto"
    """`cpu`, `cuda` or `auto`."""
    compute: str = "default"
    """CTranslate2's compute type; `default`: int8 on the CPU, float16 on a GPU."""
    threads: int = 1


class WhisperModel:
    """The weights, loaded once and shared by all streams; one utterance is decoded at a time."""

    def __init__(self, settings: WhisperSettings) -> None:
        """Errors: `MissingError` where faster-whisper or the weights are not there; `SettingsError`."""
        faster_whisper = hub.library("faster_whisper", "faster-whisper")
        folder = _found(settings)
        device, compute = self._place(settings)
        try:
            self._model: Any = faster_whisper.WhisperModel(
                str(folder), device=device, compute_type=compute, cpu_threads=settings.threads
            )
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise MissingError(
                f"Whisper cannot be loaded from {folder}: {reason}",
                "name a folder that ct2-transformers-converter wrote",
            ) from error
        known = self._model.supported_languages
        self._language: str | None = None if settings.language == "auto" else settings.language
        if self._language is not None and self._language not in known:
            raise SettingsError(
                f"{settings.model} does not know the language {self._language!r}", "name another, or auto, or a model"
            )
        self._beam = settings.beam
        self._lock = threading.Lock()

    def recognise(self, samples: Vector) -> tuple[str, float]:
        """The words of one utterance, float32[n] at 16 kHz, and their confidence: empty and 0 where there are none.

        Confidence is exp of the mean log-probability of a token: the chance of one token.
        """
        if len(samples) < SHORTEST or float(np.abs(samples).max()) < 1e-4:
            return "", 0.0
        with self._lock:
            segments, _ = self._model.transcribe(
                np.ascontiguousarray(samples, dtype=np.float32),
                language=self._language,
                beam_size=self._beam,
                temperature=0.0,  # its higher ones sample
                condition_on_previous_text=False,
                without_timestamps=True,
                no_speech_threshold=None,  # decided below: the library's rule would also drop the rest of the window
                vad_filter=False,
            )
            said = [segment for segment in segments if segment.text.strip()]
        said = [s for s in said if not (s.no_speech_prob > SILENT and s.avg_logprob < DOUBTED)]
        if not said:
            return "", 0.0
        weights = [max(1, len(segment.tokens)) for segment in said]
        mean = sum(w * s.avg_logprob for w, s in zip(weights, said, strict=True)) / sum(weights)
        text = " ".join(" ".join(segment.text for segment in said).split())
        return text, min(1.0, math.exp(mean))

    @staticmethod
    def _place(settings: WhisperSettings) -> tuple[str, str]:
        ctranslate2 = hub.library("ctranslate2", "ctranslate2")
        if settings.device not in ("auto", "cpu", "cuda"):
            raise SettingsError(f"there is no device {settings.device!r}", "choose auto, cpu or cuda")
        there = ctranslate2.get_cuda_device_count() > 0
        if settings.device == "cuda" and not there:
            raise MissingError("CTranslate2 sees no CUDA device", "use the device cpu, or install the NVIDIA driver")
        device = "cuda" if there and settings.device != "cpu" else "cpu"
        compute = {"cuda": "float16", "cpu": "int8"}[device] if settings.compute == "default" else settings.compute
        known = ctranslate2.get_supported_compute_types(device)
        if compute not in known:
            raise SettingsError(
                f"[whisper] compute: {compute!r} does not run here", f"choose {', '.join(sorted(known))}"
            )
        return device, compute


class Whisper:
    """A `Listener` for speech: each `Heard` has the voiced span, the words as Whisper writes them, their confidence."""

    origin = "whisper"

    def __init__(self, model: WhisperModel, voice: VoiceActivity | None = None) -> None:
        self._model = model
        self.voice = voice or VoiceActivity()

    @property
    def settled_ns(self) -> int:
        """No utterance that starts before this will still come."""
        return self.voice.settled_ns

    def voiced(self, t0_ns: int, t1_ns: int) -> float:
        """How much of [t0_ns, t1_ns) is speech, 0 to 1."""
        return self.voice.voiced(t0_ns, t1_ns)

    def push(self, t_ns: int, samples: Vector) -> list[Heard]:
        """float32[n] at 16 kHz."""
        return self._decode(self.voice.push(t_ns, samples))

    def flush(self) -> list[Heard]:
        """The stream has ended: an open utterance is complete."""
        return self._decode(self.voice.flush())

    def _decode(self, utterances: list[Heard]) -> list[Heard]:
        out = []
        for heard in utterances:
            assert heard.samples is not None
            text, confidence = self._model.recognise(heard.samples)
            if text:
                out.append(Heard(heard.t0_ns, heard.t1_ns, text, confidence))
        return out


def whisper_at_hand(settings: WhisperSettings) -> bool:
    """Whether the weights are on this machine. Errors: `SettingsError` for a size that there is not."""
    if Path(settings.model).expanduser().is_dir():
        return True
    repo = _repository(settings)
    return all(hub.cached(repo, name) for name in NEEDED) and hub.cached(repo, *VOCABULARY) is not None


def _found(settings: WhisperSettings) -> Path:
    """The folder with the model's files, downloaded where they are not there yet."""
    folder = Path(settings.model).expanduser()
    if folder.is_dir() or folder.is_absolute():
        for name in NEEDED:  # without a tokenizer.json faster-whisper would ask the hub for one
            if not (folder / name).is_file():
                raise MissingError(f"{folder} has no {name}", "name a folder that ct2-transformers-converter wrote")
        return folder
    repo = _repository(settings)
    if not whisper_at_hand(settings):  # the weights last: where they are, all is
        hub.fetch_if_there(repo, "preprocessor_config.json")
        hub.fetch(repo, *VOCABULARY)
    return [hub.fetch(repo, name) for name in NEEDED][-1].parent


def _repository(settings: WhisperSettings) -> str:
    if "/" in settings.model:
        return settings.model
    if settings.model not in SIZES:
        raise SettingsError(
            f"Whisper has no size {settings.model!r}", f"choose {', '.join(sorted(SIZES))}, a repository or a folder"
        )
    return f"Systran/faster-whisper-{settings.model}"
