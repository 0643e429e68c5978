"""A reasoner behind any OpenAI-compatible endpoint: evidence goes in as text and image parts, cited words come out."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingError, SettingsError
from .extractive import Extractive
from .question import WORDS, Question
from .reason import Conclusion, Support, abstain
from .wording import span

if TYPE_CHECKING:
    from .evidence import Finder

_SYSTEM = (
    "You answer questions about a recording from a memory of it. You are given numbered pieces of evidence, each with "
    "the time it stands for, and for some a picture. Answer in one or two sentences, from this evidence alone, and "
    "cite what you used as [1], [2]. If the evidence does not hold the answer, reply with exactly: NOT FOUND"
)


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """Section `[openai]` of the settings, or MNEME_OPENAI_BASE_URL, MNEME_OPENAI_MODEL, MNEME_OPENAI_KEY."""

    base_url: str = ""
    """For example http://localhost:8000/v1."""
    model: str = ""
    key: str = ""
    """Sent as the bearer token; endpoints without one take any."""
    timeout_s: float = 60.0
    evidence: int = 8
    """Pieces of evidence handed over, at most."""
    images: int = 4
    """Pieces that carry their picture, at most."""


class OpenAIReasoner:
    """Lets a (vision) language model reason over what the finder brings up."""

    def __init__(self, settings: OpenAISettings) -> None:
        """Errors: `SettingsError` without a base URL or a model, `MissingError` without the client library."""
        if not settings.base_url or not settings.model:
            raise SettingsError(
                "the openai reasoner needs a base URL and a model",
                "set MNEME_OPENAI_BASE_URL and MNEME_OPENAI_MODEL, or [openai] in mneme.toml",
            )
        try:
            from openai import OpenAI
        except ImportError as error:
            raise MissingError("the openai client is not installed", "pip install openai") from error
        self._settings = settings
        self._client = OpenAI(
            base_url=settings.base_url, api_key=settings.key or "none", timeout=settings.timeout_s, max_retries=1
        )

    def conclude(self, question: Question, finder: Finder) -> Conclusion:
        from openai import OpenAIError

        pieces = self._gather(question, finder)
        if not pieces:
            return abstain("nothing in this memory is near the question")
        content = self._content(question, pieces, finder.root)
        try:
            messages: Any = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]
            reply = self._client.chat.completions.create(model=self._settings.model, temperature=0.0, messages=messages)
            text = (reply.choices[0].message.content or "").strip()
        except (OpenAIError, IndexError, AttributeError) as error:
            raise MissingError(
                f"the reasoner at {self._settings.base_url} gave no answer: {error}",
                "check MNEME_OPENAI_BASE_URL, the model and the key, or use --reasoner extractive",
            ) from error
        if not text or text.upper().startswith("NOT FOUND"):
            return abstain("the reasoner did not find the answer in the evidence")
        cited = [int(n) - 1 for n in re.findall(r"\[(\d+)\]", text)]
        order = list(dict.fromkeys(i for i in cited if 0 <= i < len(pieces))) or list(range(len(pieces)))
        return Conclusion(text, False, max(pieces[i].score for i in order), tuple(pieces[i] for i in order))

    def _gather(self, question: Question, finder: Finder) -> list[Support]:
        """What the extractive reasoner would rest on, then whatever else is near the question."""
        pieces = list(Extractive().conclude(question, finder).support)
        for phrase in (question.about, question.anchor, *question.choices):
            if phrase is not None and not phrase.empty:
                pieces += [
                    Support(f.stream, f.t0_ns, f.t1_ns, f.percepts[0], f.text, f.score)
                    for f in finder.find(phrase, phrase.lanes or WORDS)
                ]
        unique: dict[tuple[str, int, int, str], Support] = {}
        for piece in pieces:
            unique.setdefault((piece.stream, piece.t0_ns, piece.t1_ns, piece.percept.lane), piece)
        best = list(unique.values())
        return best[: self._settings.evidence]

    def _content(self, question: Question, pieces: Sequence[Support], root: Path | None) -> list[dict[str, Any]]:
        """The user message: the question, then each piece as text and, where it has one, as a picture."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": f"Question: {question.text}"}]
        images = 0
        for number, piece in enumerate(pieces, start=1):
            text = f"[{number}] {piece.stream} {span(piece.t0_ns, piece.t1_ns)}, {piece.percept.lane}: {piece.text}"
            parts.append({"type": "text", "text": text})
            path = root / piece.percept.thumbnail if root is not None and piece.percept.thumbnail else None
            if path is not None and path.is_file() and images < self._settings.images:
                encoded = base64.b64encode(path.read_bytes()).decode()
                parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}})
                images += 1
        return parts
