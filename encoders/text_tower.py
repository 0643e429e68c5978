"""The text half of a pair of towers: words into the space of pictures or of sounds, for questions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..records import Vector
from .base import Encoded, EncoderSpec, unit
from .runtime import Runtime

BATCH = 32
REMEMBERED = 1024
"""Texts whose vectors are kept: one question asks for its phrases several times."""

Tokenise = Callable[[list[str]], tuple[NDArray[Any], ...]]
"""Texts to the tower's inputs, batch first; the shape of a text's row does not depend on the other texts."""


class TextTower:
    """A `TextEncoder` of a tower and its tokeniser; safe from any thread."""

    def __init__(self, spec: EncoderSpec, tokenise: Tokenise, runtime: Runtime, prompt: str = "{}") -> None:
        """prompt: the sentence that a text is put into, at its `{}` (Radford et al. 2021, section 3.1.4).

        Errors: `SettingsError` for a prompt without exactly one `{}`.
        """
        if prompt.count("{}") != 1:
            raise SettingsError(f"the prompt {prompt!r} has no single {{}}", "write e.g. 'a photo of {}'")
        self._spec = spec
        self._tokenise = tokenise
        self._runtime = runtime
        self._prompt = prompt
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Vector] = OrderedDict()

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[str]) -> Encoded:
        """Vectors float32[b, d] of `batch`, unit length."""
        with self._lock:
            found = {text: self._known[text] for text in dict.fromkeys(batch) if text in self._known}
            new = [text for text in dict.fromkeys(batch) if text not in found]
            for start in range(0, len(new), BATCH):
                texts = new[start : start + BATCH]
                found.update(zip(texts, self._compute(texts), strict=True))
            for text, vector in found.items():
                self._known[text] = vector
                self._known.move_to_end(text)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        rows = [found[text] for text in batch]
        return Encoded(np.stack(rows) if rows else np.zeros((0, self._spec.space.dim), dtype=np.float32))

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        # A question from a shell may hold bytes that are no characters.
        said = [self._prompt.replace("{}", text.encode("utf-8", "replace").decode("utf-8")) for text in texts]
        return unit(self._runtime.run(*self._tokenise(said))[0])
