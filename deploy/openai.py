"""The OpenAI door: chat completions over a memory, whole or streamed. The model is a stream's name, or `mneme`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import QuestionError
from ..pipeline.wording import span
from ..records import Answer, Picture
from .door import ALL, plain_evidence
from .observations import picture_of_url

CITED = 3
"""Spans that stand in the text, at most; all of them are in `mneme.evidence`."""


class Message(BaseModel):
    """One message; what is not asked about (system prompts, earlier turns) is not looked at."""

    model_config = ConfigDict(extra="ignore")

    role: str = Field(max_length=40)
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = None


class Request(BaseModel):
    """What of OpenAI's request is read; the rest (temperature, tools) changes nothing here."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=300)
    messages: list[Message] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None


def question_of(request: Request) -> tuple[str, str | None, Picture | None]:
    """(question, stream or None for all, picture) of the last user message. Errors: `QuestionError`."""
    asked = next((message for message in reversed(request.messages) if message.role == "user"), None)
    if asked is None or asked.content is None:
        raise QuestionError("no message of the user has words", "send one with the role user")
    words, picture = [], None
    parts = [{"type": "text", "text": asked.content}] if isinstance(asked.content, str) else asked.content
    for part in parts:
        image = part.get("image_url")
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            words.append(part["text"])
        elif part.get("type") == "image_url" and isinstance(image, dict) and isinstance(image.get("url"), str):
            picture = picture_of_url(image["url"])
        else:
            raise QuestionError("a part of the message is neither text nor image_url", "send only these")
    return "\n".join(words), None if request.model == ALL else request.model, picture


def cited(answer: Answer) -> str:
    """The answer's words, with the times they rest on."""
    if answer.abstained or not answer.evidence:
        return answer.text
    spans = list(dict.fromkeys(f"{e.stream} {span(e.t0_ns, e.t1_ns)}" for e in answer.evidence))
    return f"{answer.text} [{'; '.join(spans[:CITED])}]"


class Completion:
    """One answer in OpenAI's forms."""

    def __init__(self, request: Request, question: str, answer: Answer, now_s: int) -> None:
        """now_s: seconds since 1970."""
        self._text = cited(answer)
        digest = hashlib.blake2b(f"{question}\x1f{self._text}\x1f{now_s}".encode(), digest_size=12).hexdigest()
        self._head = {"id": f"chatcmpl-{digest}", "created": now_s, "model": request.model}
        self._extra = {
            "evidence": [plain_evidence(item) for item in answer.evidence],
            "confidence": answer.confidence,
            "abstained": answer.abstained,
        }
        asked, told = _count(question), _count(self._text)
        self._usage = {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}
        options = request.stream_options
        self._with_usage = options is not None and bool(options.include_usage)

    def whole(self) -> dict[str, Any]:
        """`chat.completion`, with the evidence in the field `mneme`."""
        message = {"role": "assistant", "content": self._text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage,
            "mneme": self._extra,
        }

    def streamed(self) -> Iterator[bytes]:
        """Server-sent events of `chat.completion.chunk`, a word each; the evidence comes with the last choice."""
        yield self._chunk({"role": "assistant", "content": ""})
        for piece in re.findall(r"\s*\S+", self._text):
            yield self._chunk({"content": piece})
        yield self._chunk({}, "stop", mneme=self._extra)
        if self._with_usage:
            yield _event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**self._head, "object": "chat.completion.chunk", "choices": [choice], **more})


def models(streams: list[str]) -> dict[str, Any]:
    """The list of models: all streams together, then each."""
    names = [ALL, *(name for name in streams if name != ALL)]
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "mneme"} for name in names],
    }


def _event(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _count(text: str) -> int:
    """Words and punctuation marks: there is no model here whose tokens could be counted."""
    return len(re.findall(r"\w+|[^\w\s]", text))
