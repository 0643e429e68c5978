"""Speech to words with the network off: Silero VAD cuts utterances, PocketSphinx decodes each of them whole.

Huggins-Daines et al. 2006, "PocketSphinx: A Free, Real-Time Continuous Speech Recognition System for Hand-Held
Devices" (ICASSP); model and dictionary come in its wheel.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingError
from ..records import SOUND_RATE, Vector
from .base import Heard
from .voice import VoiceActivity

if TYPE_CHECKING:
    import pocketsphinx

__all__ = ["Recogniser", "VoiceActivity"]

PADDING = int(0.2 * SOUND_RATE)
"""Zeros on either side of an utterance: the decoder wants silence before the first word and after the last."""
LOUDNESS = 0.1
"""Root mean square that an utterance is brought to (-20 dBFS), as far as its peak allows."""
PEAK = 0.99
QUIETEST = 1e-4
VARIANT = re.compile(r"\(\d+\)")
FILLERS = frozenset({"ah", "eh", "er", "hm", "hmm", "huh", "mm", "oh", "uh", "um"})


class Recogniser:
    """A `Listener` for speech: each `Heard` has the voiced span, lower-case words and how far they can be trusted."""

    origin = "pocketsphinx"

    def __init__(self, voice: VoiceActivity | None = None, threads: int = 1) -> None:
        """Raises `MissingError` where PocketSphinx, ONNX Runtime or the VAD model is not installed."""
        try:
            import pocketsphinx
        except ImportError as error:
            raise MissingError("pocketsphinx is not installed", "pip install 'pocketsphinx>=5.1,<6'") from error
        self._build = pocketsphinx.Decoder
        self._decoder: pocketsphinx.Decoder | None = None
        self.voice = voice or VoiceActivity(threads)

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

    def recognise(self, samples: Vector) -> tuple[str, float]:
        """The words of one utterance, float32[n] at 16 kHz, and their confidence: empty and 0 where there are none.

        Confidence is the posterior of the best path over the word lattice, to the power of 1 / words: the chance of
        one word, so that long sentences are not doubted for their length.
        """
        if len(samples) == 0 or float(np.abs(samples).max()) < QUIETEST:
            return "", 0.0
        if self._decoder is None:
            # cmn=batch: the cepstral mean of the utterance itself, not one that runs on from those before it.
            self._decoder = self._build(loglevel="FATAL", cmn="batch")
        # Even so the feature extraction keeps a mean from one utterance to the next, until it is made anew.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(_pcm(samples), full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        words = VARIANT.sub("", best.hypstr).lower().split() if best else []
        if not words or (len(words) == 1 and words[0] in FILLERS):
            return "", 0.0
        return " ".join(words), min(1.0, math.pow(max(0.0, best.prob), 1 / len(words)))

    def _decode(self, utterances: list[Heard]) -> list[Heard]:
        out = []
        for heard in utterances:
            assert heard.samples is not None
            text, confidence = self.recognise(heard.samples)
            if text:
                out.append(Heard(heard.t0_ns, heard.t1_ns, text, confidence))
        return out


def _pcm(samples: Vector) -> bytes:
    """16-bit little-endian PCM at an even loudness, with silence around it."""
    gain = LOUDNESS / max(QUIETEST, float(np.sqrt(np.mean(np.square(samples)))))
    gain = min(gain, PEAK / max(QUIETEST, float(np.abs(samples).max())))
    padded = np.pad(samples * gain, PADDING)
    return bytes(np.rint(padded * 32767).astype("<i2").tobytes())
