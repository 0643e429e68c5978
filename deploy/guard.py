"""What stands before every route: the bearer token, and the size of what is sent. Plain ASGI."""

from __future__ import annotations

import hmac
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no token."""
MOST_BYTES = 1_000_000
"""Of a request's body."""
DRAINED = 64 * MOST_BYTES
"""Bytes of a refused body that are still read, so that its sender hears the refusal and not a broken connection."""


class Guard:
    """Refuses requests and WebSockets without the token (401), and bodies above `MOST_BYTES` (413)."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._admits(scope):
            await _refuse(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        body = await _read(scope, receive)
        if body is None:
            await problem(413, f"the body is above {MOST_BYTES} bytes; send less")(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    def _admits(self, scope: Scope) -> bool:
        if self._expected is None or (scope["type"] == "http" and scope["path"] in OPEN):
            return True
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        scheme, _, rest = (given[0] if given else b"").partition(b" ")
        # One comparison of fixed form, in constant time; the scheme's case does not matter (RFC 9110, 11.1).
        return hmac.compare_digest(scheme.title() + b" " + rest.strip(), self._expected)


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or None of one that is too large, most of which is read and thrown away."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    fits = declared.isdigit() and int(declared) <= MOST_BYTES
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        size += len(message.get("body", b""))
        fits = fits and size <= MOST_BYTES
        parts = [*parts, message.get("body", b"")] if fits else []
        if not message.get("more_body") or size > DRAINED:
            break
    return b"".join(parts) if fits else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _read(scope, receive)
    response = problem(
        401, "a bearer token is needed; send Authorization: Bearer TOKEN", {"WWW-Authenticate": 'Bearer realm="mneme"'}
    )
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "a bearer token is needed"})
        return
    if scope["type"] == "websocket":
        await receive()

    async def prefixed(message: Any) -> None:
        if scope["type"] == "websocket":
            message = {**message, "type": "websocket." + message["type"]}
        await send(message)

    await response({**scope, "type": "http"}, receive, prefixed)
