"""`mneme page`: the web page of a memory, on a port of this machine.

No request leaves the machine: Gradio's own are switched off before it is imported, fonts are the system's, and a
content policy makes the browser refuse any other host.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import MissingError, MnemeError
from ..pipeline.mneme import Mneme, open_memory
from .watching import Watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_RUN_HISTORY": "False"}
"""Set before Gradio is imported."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
LINGER_S = 2
"""Seconds that open connections get when the server ends."""


def run(
    path: Path | str,
    host: str = "127.0.0.1",
    port: int = 7860,
    config: Path | None = None,
    open_browser: bool = False,
    *,
    told: Callable[[str], None] | None = None,
) -> None:
    """Serve the page of the memory in the folder `path` until Ctrl-C or SIGTERM; what was acknowledged is stored.

    A memory that is not there yet is made when the first video is added. port: 0 takes any that is free. told: is
    given the page's address as soon as it answers (default: a line on standard error). Errors: `MnemeError` for a
    port that is taken, `MissingError` without Gradio, `MemoryFormatError` for a folder that is no memory.
    """
    mneme = open_memory(path, config=config)
    listening = listen(host, port)
    address = f"http://{_named(host)}:{listening.getsockname()[1]}/"

    def answering() -> None:
        (told or _say)(address)
        if open_browser:
            webbrowser.open(address)

    with listening, mneme:
        watching = Watching(mneme.path, config)
        try:
            app = make_app(mneme, watching, config, answering)
            _serve(app, listening)
        finally:
            watching.close()


def make_app(
    mneme: Mneme, watching: Watching, config: Path | None = None, answering: Callable[[], None] | None = None
) -> FastAPI:
    """The page and its media as an ASGI application; its end stops `watching`. answering: called at its start."""
    os.environ.update(QUIET)
    try:
        import gradio as gr
        from fastapi import FastAPI
    except ImportError as error:
        raise MissingError("the page needs Gradio, which is not installed", "pip install 'mneme[ui]'") from error
    from . import theme
    from .moments import add_routes
    from .page import make_page

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if answering is not None:
            answering()
        yield
        await asyncio.to_thread(watching.close)

    app = FastAPI(lifespan=life, openapi_url=None)
    add_routes(app, mneme.path, watching, config)
    app.add_middleware(_Policy)
    mounted: FastAPI = gr.mount_gradio_app(
        app, make_page(mneme, watching), path="/", theme=theme.make_theme(), css=theme.css(), head=theme.head(),
        footer_links=[], run_history=False, show_error=False, ssr_mode=False, pwa=False, enable_monitoring=False,
        max_file_size="1kb",  # files come by moments.py, never into Gradio's temporary folder
    )  # fmt: skip
    return mounted


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Errors: `MnemeError` for a port that is taken or a host that is not this machine's."""
    try:
        if not 0 <= port <= 65_535:  # the resolver would take it for another
            raise OverflowError("there is no such port")
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(where)
            made.listen(128)
        except BaseException:
            made.close()
            raise
        return made
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MnemeError(f"cannot listen on {host} port {port}: {why}", "give another with --port or --host") from error


def _serve(app: FastAPI, listening: socket.socket) -> None:
    import uvicorn

    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=LINGER_S, lifespan="on")
    # Cut-off event streams of open tabs are no news.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "graceful shutdown exceeded" not in record.getMessage())
    interrupted: list[int] = []

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            interrupted.extend([sig] if sig == signal.SIGINT else [])
            super().handle_exit(sig, frame)

    with _ended_by_term():
        Server(settings).run(sockets=[listening])
    if interrupted:  # uvicorn raises it again itself, but not where its loop swallowed it
        raise KeyboardInterrupt


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """uvicorn raises a signal again once it has ended in order; a SIGTERM then ends nothing any more."""
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: None)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Policy:
    """Adds the content policy to every answer (plain ASGI: event streams pass through as they come)."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def added(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self._app(scope, receive, added)


def _named(host: str) -> str:
    """A host as it stands in an address."""
    if host in ("0.0.0.0", "::", ""):
        with suppress(OSError):
            return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _say(address: str) -> None:
    sys.stderr.write(f"the page is at {address} (Ctrl-C ends it)\n")
    sys.stderr.flush()
