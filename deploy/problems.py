"""Errors over HTTP: every one is a problem document (RFC 9457), one line of fault and mend, never a traceback."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import LockedError, MemoryFormatError, MissingError, MnemeError

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)


class NotFoundError(MnemeError):
    """A stream, a model or an event that is not there, or something of which nothing is remembered."""


class BusyError(MnemeError):
    """What cannot be done now, and may be in a moment."""


class ServerError(MnemeError):
    """A failure here that no other request would avoid: of the disk."""


class PictureError(MnemeError):
    """A picture that came in a request and cannot be used."""


STATUS: tuple[tuple[type[MnemeError], int], ...] = (
    (NotFoundError, 404),
    (LockedError, 409),
    (ServerError, 500),
    (BusyError, 503),
    (MissingError, 503),
    (MemoryFormatError, 503),
    (MnemeError, 400),
)
"""The first that fits."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """A problem document. `more`: members beyond those of the RFC.

    It has `error` too, which is where OpenAI's clients look.
    """
    title = HTTPStatus(status).phrase
    detail = detail.encode("utf-8", "replace").decode()
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body |= {"error": {"message": detail, "type": kind, "param": None, "code": more.pop("code", None)}} | more
    return Response(json.dumps(body), status, dict(headers or {}), media_type="application/problem+json")


def of(error: MnemeError) -> Response:
    """The problem document of a fault that was raised on purpose."""
    return problem(next(status for kind, status in STATUS if isinstance(error, kind)), str(error))


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""

    async def mnemes(_request: Request, error: Exception) -> Response:
        assert isinstance(error, MnemeError)
        return of(error)

    async def https(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail), error.headers)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [
            {"at": "/".join(str(part) for part in fault["loc"])[:200], "fault": str(fault["msg"])[:200]}
            for fault in error.errors()[:10]
        ]
        malformed = any(fault["type"] == "json_invalid" for fault in error.errors())
        first = faults[0] if faults else {"at": "body", "fault": "it is not valid"}
        return problem(400 if malformed else 422, f"{first['at']}: {first['fault']}", errors=faults)

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return problem(500, "something went wrong here; the server's log says what")

    app.add_exception_handler(MnemeError, mnemes)
    app.add_exception_handler(HTTPException, https)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unforeseen)
