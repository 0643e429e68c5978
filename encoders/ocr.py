"""Text in pictures with the network off: RapidOCR, the lines it finds, and which of them are worth keeping."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingError
from ..records import Picture
from .boxes import Box, union

BULLETS = "●•▪■◦○·"
"""Marks before the items of a slide; not words."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as the recogniser found it."""

    text: str
    score: float
    box: Box


LineReader = Callable[[Picture], list[Line]]
"""Finds and reads the lines of an RGB picture."""


class RapidLines:
    """RapidOCR's detector and recogniser with the models that come in its wheel; never downloads.

    Raises `MissingError` where the package or its models are not there.
    """

    def __init__(self, threads: int = 1) -> None:
        try:
            import rapidocr
        except ImportError as error:
            raise MissingError("rapidocr is not installed", "pip install rapidocr") from error
        models = Path(rapidocr.__file__).parent / "models"
        found = {part: sorted(models.glob(f"*_{part}_*.onnx")) for part in ("det", "rec")}
        for part, paths in found.items():
            if not paths:
                raise MissingError(f"rapidocr has no {part} model in {models}", "reinstall rapidocr")
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,  # captions stand upright
                "Det.model_path": str(found["det"][0]),  # with a path given, nothing is looked up or fetched
                "Rec.model_path": str(found["rec"][0]),
                "Det.limit_type": "max",  # the default enlarges a strip to 736 pixels of height
                "Det.limit_side_len": 1280,
                # One thread has no pool, so nothing spins; RapidOCR offers no other way to turn spinning off.
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, picture: Picture) -> list[Line]:
        result = self._engine(np.ascontiguousarray(picture[:, :, ::-1]))  # it expects BGR
        if not result.txts:
            return []
        lines = []
        for text, score, corners in zip(result.txts, result.scores, result.boxes, strict=True):
            (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
            box = int(x0), int(y0), int(x1), int(y1)
            lines.append(Line(text.lstrip(BULLETS + " ").rstrip(), float(score), box))
        return lines


def rows(lines: Sequence[Line]) -> list[Line]:
    """Pieces of one printed line, which the detector may part at wide gaps, put together."""
    whole: list[Line] = []
    for line in sorted(lines, key=lambda piece: (piece.box[0], piece.box[1])):
        for i, row in enumerate(whole):
            a, b = row.box, line.box
            tall = min(a[3] - a[1], b[3] - b[1])
            level = min(a[3], b[3]) - max(a[1], b[1]) > 0.6 * max(a[3] - a[1], b[3] - b[1])
            if level and -0.5 * tall < b[0] - a[2] < 1.5 * tall:
                whole[i] = Line(f"{row.text} {line.text}", min(row.score, line.score), union(a, b))
                break
        else:
            whole.append(line)
    return sorted(whole, key=lambda row: (row.box[1], row.box[0]))


def worth_keeping(lines: Sequence[Line], score: float) -> list[Line]:
    """Lines that are words, and the short ones beside them: alone, such are seen in fur, grids and toys."""
    level = [r for r in lines if r.score >= score and r.box[2] - r.box[0] > 0.8 * (r.box[3] - r.box[1])]
    if not any(len(plain(row.text)) >= 4 for row in level):
        return []
    return [row for row in level if len(plain(row.text)) >= (2 if row.score >= 0.9 else 4)]


def plain(text: str) -> str:
    """Letters and digits only, without case."""
    return re.sub(r"[\W_]+", "", text.casefold())


def same_text(a: str, b: str) -> bool:
    """Two readings of one text: the same digits, and four fifths of the letters."""
    alike = SequenceMatcher(None, plain(a), plain(b), autojunk=False).ratio() >= 0.8
    return alike and re.findall(r"\d", a) == re.findall(r"\d", b)
