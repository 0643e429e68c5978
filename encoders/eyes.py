"""The eye that ships: pictures to vectors and tokens in the text tower's space, and to words, in ONNX Runtime.

The weights are those that `benchmarks/train_image.py` wrote (`image_tower.py` is the network, `image_graph.py` writes
it as an ONNX file when they are loaded). It knows the rooms and things of the world that it was trained on, claims
nothing where its beliefs are weak, and knows of pictures that are of no such room.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..records import Picture, Space
from .base import Encoded, EncoderSpec, unit
from .compiled import compiled_session
from .folded import Weights, read_folded
from .image_graph import CELLS, DIM, SIDE, TOKENS, ImageConfig, image_graph, split
from .onnx_graph import Message
from .runtime import onnx_session

WEIGHTS = Path(__file__).parent / "weights" / "image_tower.safetensors"
NAME, TRAINER = "image-tower", "python -m benchmarks.train_towers"
BATCH = 16
"""Pictures in one go."""
ACTING = 0.4
"""The chance from which an action is named: of four it may be, so a little more than guessing is much."""
BESIDE = 1
"""Cells around one that holds a thing, in which the same thing is not claimed again."""


class Eyes:
    """Picture encoder of the text tower's space: vectors, 16 patch tokens a picture, and what it would say is there."""

    def __init__(self, path: Path = WEIGHTS, space: Space | None = None, threads: int = 1) -> None:
        """`space` is the text tower's, where vectors shall be compared with its; else one named by these weights.

        Errors: `MissingError` where the weights, or the library that runs them, are not there.
        """

        def made(weights: Weights, config: str) -> tuple[ImageConfig, Message]:
            known = ImageConfig.from_json(config)
            return known, image_graph(known, weights)

        (self.config, graph), self._digest = read_folded(path, "image tower", TRAINER, made)
        self._spec = EncoderSpec(NAME, "vision", space or Space("minilm-image", DIM, self._digest[:16]))
        self._session = compiled_session(NAME, self._digest, threads) or onnx_session(b"".join(graph), threads)

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def weights(self) -> str:
        """SHA-256 of the weights' file."""
        return self._digest

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        """uint8[H, W, 3] RGB pictures of any sizes -> vectors[b, 384], tokens[b, 16, 384], words and confidences."""
        if not batch:
            return Encoded(np.zeros((0, DIM), np.float32), np.zeros((0, TOKENS, DIM), np.float16))
        seen = self.look(batch)
        said = [self.say(seen, i) for i in range(len(batch))]
        words, sure = tuple(text for text, _ in said), tuple(chance for _, chance in said)
        return Encoded(unit(seen["vector"]), seen["tokens"].astype(np.float16), words, sure)

    def agreement(
        self, query: NDArray[np.float32], vectors: NDArray[np.float32], tokens: NDArray[np.float16]
    ) -> NDArray[np.float32]:
        """How well pictures agree with a text [d]: vectors[n, d], tokens[n, 16, d] -> float32[n], at most 1.

        By the vector, which knows the room and all that is in it, and by the token that agrees best, which knows one
        thing (late interaction; FILIP: Yao et al. 2022, equation 4): a thing among others is found as well as alone.
        """
        best = (tokens.astype(np.float32) @ query).max(axis=1)
        return np.asarray((vectors @ query + best) / 2, dtype=np.float32)

    def look(self, batch: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """What `image_graph.split` lists, of b pictures, the vectors of unit length and beliefs as chances."""
        rows = []
        for first in range(0, len(batch), BATCH):
            part = np.stack([_small(picture) for picture in batch[first : first + BATCH]])
            rows.append(self._session.run(["seen"], {"pictures": part})[0])
        return split(self.config, np.concatenate(rows))

    def say(self, seen: dict[str, NDArray[np.float32]], row: int) -> tuple[str | None, float]:
        """What is there, as "a red mug, a sleeping black cat; kitchen", and how sure; None where nothing is claimed.

        Things by how surely they are there; then the room, where one is recognised. Of things of which only the kind
        is sure the colour is left out.
        """
        names, sure = self.config.names, self.config.sure
        room, room_chance = _best(seen["room"][row], (*names["room"], ""))
        said, chances = [], []
        for cell in _peaks(seen["there"][row].reshape(CELLS, CELLS), self.config.there):
            kind, kind_chance = _best(seen["kind"][row, cell], names["kind"])
            colour, colour_chance = _best(seen["colour"][row, cell], names["colour"])
            action, action_chance = _best(seen["action"][row, cell], names["action"])
            if kind_chance < sure or not room:  # of what is no room of the world no thing of it is claimed
                continue
            words = [action] if action_chance >= ACTING and action not in ("", "standing still") else []
            words += [colour] if colour_chance >= sure else []
            told = " ".join([*words, kind])
            said.append(("an " if told[0] in "aeiou" else "a ") + told)
            chances.append(float(seen["there"][row, cell]) * kind_chance)
        parts = [", ".join(said)] if said else []
        if room and room_chance >= sure:
            parts.append(room)
            chances.append(room_chance)
        if not parts or not room:
            return None, room_chance if not room else 1.0 - room_chance
        return "; ".join(parts), float(np.mean(chances))


def _small(picture: Picture) -> NDArray[np.float32]:
    """uint8[H, W, 3] -> float32[3, 64, 64]."""
    import cv2

    if picture.shape[:2] != (SIDE, SIDE):
        picture = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)


def _best(chances: NDArray[np.float32], names: Sequence[str]) -> tuple[str, float]:
    best = int(chances.argmax())
    return names[best], float(chances[best])


def _peaks(there: NDArray[np.float32], least: float) -> list[int]:
    """Cells that likely hold a thing, and more likely so than those beside them; the likeliest first."""
    cells: list[int] = []
    for cell in np.argsort(-there, axis=None, kind="stable"):
        y, x = divmod(int(cell), CELLS)
        if there[y, x] < least:
            break
        if all(max(abs(y - c // CELLS), abs(x - c % CELLS)) > BESIDE for c in cells):
            cells.append(int(cell))
    return cells
