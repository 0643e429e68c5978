"""What is installed here, which lanes and runtimes work, and why the others do not."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from ..config import load, read_file
from ..encoders import pretrained
from ..encoders.profiles import Embedded
from ..errors import MnemeError
from ..records import SOUND_RATE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    kind: str
    """`lane`, `profile`, `runtime`, `library` or `machine`."""
    name: str
    works: bool
    detail: str


_LIBRARIES = {
    "av": "reading media",
    "decord": "random access to frames",
    "lancedb": "the store",
    "onnxruntime": "small models",
    "torch": "operators",
    "torchaudio": "sound",
    "open_clip_torch": "profile clip, sight",
    "transformers": "profile clip, sounds",
    "faster-whisper": "profile clip, speech",
    "ray": "many streams",
    "gradio": "the page",
    "tensorrt": "compiled towers on a GPU",
}


def examine() -> list[Finding]:
    """Everything, by trying it: a lane works if it perceives a made-up second of stream."""
    findings = [
        Finding(
            "machine",
            platform.machine(),
            True,
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        )
    ]
    profile = Embedded()
    noise = np.random.default_rng(0).normal(0, 0.01, SOUND_RATE).astype(np.float32)
    picture = np.full((128, 128, 3), 127, dtype=np.uint8)
    lanes: dict[str, tuple[str, Callable[[], object]]] = {
        "text": ("all-MiniLM-L6-v2, to find words by meaning", lambda: profile.text.encode(["a word"])),
        "vision": (
            "colour layout and gradients (weightless)",
            lambda: profile.vision.encode([picture]),
        ),
        "sound": (
            "log-mel descriptor and onsets (weightless)",
            lambda: (profile.sound.encode([noise]), profile.onsets(profile.voice()).push(0, noise)),
        ),
        "speech": ("subtitles, else Silero VAD and PocketSphinx", lambda: profile.speech()[1].push(0, noise)),
        "caption": ("RapidOCR", lambda: profile.captions()[1].look(0, picture)),
    }
    for name, (detail, trial) in lanes.items():
        findings.append(_tried("lane", name, detail, trial))
    findings += _profiles(all(finding.works for finding in findings))
    findings += _runtimes()
    for name, use in _LIBRARIES.items():
        try:
            findings.append(Finding("library", name, True, f"{metadata.version(name)}, {use}"))
        except metadata.PackageNotFoundError:
            findings.append(Finding("library", name, False, f"not installed; {use}"))
    return findings


def _tried(kind: str, name: str, detail: str, trial: Callable[[], object]) -> Finding:
    try:
        trial()
    except (MnemeError, ImportError, OSError, RuntimeError) as error:
        return Finding(kind, name, False, f"{detail}: {' '.join(str(error).split())}")
    return Finding(kind, name, True, detail)


def _profiles(lanes_work: bool) -> list[Finding]:
    """What a new memory can be made with, and what `auto` would take; asks the hub where weights are lacking."""
    embedded = "works with the network off" if lanes_work else "not all of its lanes work"
    findings = [Finding("profile", "embedded", lanes_work, embedded)]
    try:
        outlook = pretrained.outlook()
        named = load("encoders", pretrained.EncodersSettings, read_file(None)).profile
    except MnemeError as error:
        return [*findings, Finding("profile", "clip", False, str(error))]
    chosen = f"would take {outlook.profile}" if named == "auto" else f"would take {named}, the settings name it"
    return [
        *findings,
        Finding("profile", "clip", outlook.profile == "clip", outlook.why),
        Finding("profile", "auto", True, chosen),
    ]


def _runtimes() -> list[Finding]:
    findings = []
    try:
        import torch

        cuda = torch.cuda.is_available()
        findings.append(Finding("runtime", "torch", True, torch.__version__))
        findings.append(
            Finding("runtime", "cuda", cuda, torch.cuda.get_device_name() if cuda else "torch sees no CUDA device")
        )
    except ImportError as error:
        findings.append(Finding("runtime", "torch", False, str(error)))
    if importlib.util.find_spec("onnxruntime") is None:
        findings.append(Finding("runtime", "onnxruntime", False, "pip install 'mneme[cpu]'"))
    else:
        import onnxruntime

        listed = onnxruntime.get_available_providers()  # what the build has, not what this machine can run
        findings.append(Finding("runtime", "onnxruntime", True, f"{onnxruntime.__version__}, CPU"))
        tensorrt = "TensorrtExecutionProvider" in listed and importlib.util.find_spec("tensorrt") is not None
        findings.append(
            Finding(
                "runtime",
                "tensorrt",
                tensorrt,
                "in ONNX Runtime"
                if tensorrt
                else "needs onnxruntime-gpu and the tensorrt libraries (make gpu, then pip install 'mneme[tensorrt]')",
            )
        )
    return findings
