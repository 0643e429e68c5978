"""The HTTP application of a served memory: questions, events, tokens, chat, erasure, live streams, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import FastAPI, Header, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from ..errors import QuestionError
from ..pipeline.receipts import plain_receipt
from ..records import Answer, Lane
from . import openai, problems, streams
from .door import Door, plain_answer, plain_event, plain_tokens
from .guard import Guard
from .metrics import CONTENT_TYPE
from .observations import picture_of_url
from .openpi import pack

T = TypeVar("T")

ASKING = 4
"""Questions that are answered at a time; the others wait, and live streams go on."""
MSGPACK = "application/msgpack"


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("this is not Unicode") from error
    if "\0" in text:
        raise ValueError("this holds a zero character")
    return text


Words = Annotated[str, Field(max_length=20_000), AfterValidator(_unicode)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_unicode)]
Seconds = Annotated[float, Field(ge=0, le=4e9, allow_inf_nan=False)]


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    question: Words
    stream: Name | None = None
    image: str | None = None
    """A data URL."""


class TokensRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    budget: Annotated[int, Field(ge=1, le=4096)]
    query: Words | None = None
    lane: Lane = "vision"
    stream: Name | None = None


class Forget(BaseModel):
    """One of: a stream (or a span of it), an event, a place, words."""

    model_config = ConfigDict(extra="forbid", strict=True)

    stream: Name | None = None
    t0_s: Seconds | None = None
    t1_s: Seconds | None = None
    event: Name | None = None
    place: Name | None = None
    text: Words | None = None


def make_app(door: Door, token: str | None) -> ASGIApp:
    """The application over a door, behind its guard. `token`: the bearer token that is asked for, or None."""
    app = FastAPI(title="Mneme", docs_url=None, redoc_url=None)
    problems.install(app)
    limiter = anyio.CapacityLimiter(ASKING)
    erasing = anyio.CapacityLimiter(1)  # of its own: erasures that wait for one another hold up no question

    async def in_thread(work: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(work, *args, limiter=limiter)

    @app.post("/v1/ask")
    async def ask(asked: Question) -> Response:
        def answer() -> Answer:
            image = None if asked.image is None else picture_of_url(asked.image)
            return door.ask(asked.question, asked.stream, image, "ask")

        return JSONResponse(plain_answer(await in_thread(answer)))

    @app.get("/v1/events")
    async def events(
        stream: Annotated[Name | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[Name | None, Query()] = None,
    ) -> Response:
        page, following = await in_thread(door.events, stream, limit, after)
        return JSONResponse({"events": [plain_event(event) for event in page], "next": following})

    @app.post("/v1/tokens")
    async def tokens(asked: TokensRequest, accept: Annotated[str, Header()] = "") -> Response:
        found = await in_thread(door.tokens, asked.budget, asked.query, asked.lane, asked.stream)
        if "msgpack" in accept:
            return Response(pack(plain_tokens(found, arrays=True)), media_type=MSGPACK)
        return JSONResponse(plain_tokens(found, arrays=False))

    @app.post("/v1/chat/completions")
    async def chat(request: openai.Request) -> Response:
        def complete() -> openai.Completion:
            question, stream, image = openai.question_of(request)
            answer = door.ask(_words(question), stream and _words(stream), image, "openai")
            return openai.Completion(request, question, answer, int(time.time()))

        completion = await in_thread(complete)
        if request.stream:
            return StreamingResponse(completion.streamed(), media_type="text/event-stream")
        return JSONResponse(completion.whole())

    @app.post("/v1/forget")
    async def forget(asked: Forget) -> Response:
        receipt = await anyio.to_thread.run_sync(lambda: door.forget(**asked.model_dump()), limiter=erasing)
        plain = plain_receipt(receipt)
        if receipt.verified:
            return JSONResponse(plain)
        left = receipt.searched.told
        detail = f"it is erased, but not gone from the disk ({left}); serve the memory anew, which tries again"
        return problems.problem(500, detail, receipt=plain)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse(openai.models(await in_thread(door.streams)))

    @app.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("OK\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        await in_thread(door.streams)
        return PlainTextResponse("OK\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await in_thread(door.metrics.text), headers={"Content-Type": CONTENT_TYPE})

    @app.websocket("/v1/streams/{stream}/observations")
    async def observations(socket: WebSocket, stream: str) -> None:
        await streams.serve(door, socket, stream)

    return Guard(app, token)


def _words(text: str) -> str:
    """The same text, or a problem where it cannot be stored or searched for."""
    try:
        return _unicode(text)
    except ValueError as error:
        raise QuestionError(str(error), "send plain text") from error
