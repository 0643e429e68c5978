"""The robot's door: a policy server of openpi's protocol that remembers every observation.

`serve` is the server, `run` the command around it. One connection is one episode at a time. Perceiving runs in threads:
pings and /healthz are answered meanwhile, and a policy server behind it thinks while the memory perceives.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import MissingError, MnemeError, SettingsError
from ..records import Answer, Lane, to_s

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request as Opening
    from websockets.http11 import Response

    from ..pipeline.episode import Episode, Episodes
    from .openpi import Request

T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 20
"""Of one message."""
CONNECTIONS = 32
"""Robots at a time, at most: each has its senses."""
PAUSE_S = 1.0
"""Seconds without an observation after which what is open is stored."""
FAULT = "the memory failed at this message; its server's log says why"


def run(
    path: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    token: str | None = None,
    upstream: str | None = None,
    lanes: Sequence[Lane] | None = None,
    stream: str = "robot",
    config: Path | None = None,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serves the memory in `path` until SIGINT or SIGTERM; then ends the episodes and stores all of them.

    `ready` is called with the address once robots can come; port 0 takes a free one. The rest as in `serve`.
    Errors: `MissingError` without msgpack or websockets, `LockedError` of a memory that another process writes,
    `SettingsError`, `MnemeError` for a port that is busy.
    """
    try:
        import msgpack  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingError("robots are served with msgpack and websockets", "pip install 'mneme[robot]'") from error
    from ..pipeline.episode import LANES, Episodes
    from ..pipeline.mneme import open_memory

    async def until_stopped() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with serve(episodes, host, port, token=token, upstream=upstream) as server:
            if ready is not None:
                ready(address_of(server))
            await stop.wait()

    with open_memory(path, config=config) as memory:
        episodes = Episodes(memory, stream=stream, lanes=LANES if lanes is None else lanes)
        try:
            asyncio.run(until_stopped())
        finally:
            episodes.close()


@asynccontextmanager
async def serve(
    episodes: Episodes,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    token: str | None = None,
    upstream: str | None = None,
) -> AsyncIterator[Server]:
    """Robots are served within; on leaving their connections are closed and their episodes ended.

    `token`: wanted as `Authorization: Api-Key TOKEN`, but for /healthz. `upstream`: a policy server that each
    observation goes on to. Errors: `MnemeError` for a port or host that cannot be listened on.
    """
    from websockets.asyncio.server import serve as listen

    door = Door(episodes, token, upstream)
    try:
        server = await listen(
            door.serve,
            host,
            port,
            process_request=door.admit,
            compression=None,
            max_size=MOST_BYTES,
            max_queue=1,
            origins=[None],  # no page in a browser writes into a robot's memory
            server_header=None,
        )
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be listened on ({error})"
        raise MnemeError(f"port {port} of {host} {why}", "choose another with --port or --host") from error
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.to_thread(door.close)


def address_of(server: Server) -> str:
    """ws://host:port of a server that listens."""
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}"


class Door:
    """What each connection gets: the health line, a refusal, or an episode."""

    def __init__(self, episodes: Episodes, token: str | None, upstream: str | None) -> None:
        """Errors: `SettingsError` for an upstream that is no WebSocket address, or a token that is none."""
        from .upstream import Upstream

        if token is not None and not (token.strip() and token.isascii() and token.isprintable()):
            raise SettingsError("this token cannot be sent in a header", "give one of letters and digits")
        self._episodes = episodes
        self._token = token
        self._upstream = upstream
        if upstream is not None:
            Upstream(upstream)
        self._threads = ThreadPoolExecutor(CONNECTIONS, "robot")
        self._open = 0

    def close(self) -> None:
        """After the last connection."""
        self._threads.shutdown(wait=True)

    def admit(self, connection: ServerConnection, opening: Opening) -> Response | None:
        """The answer to a request that is not to become a connection; None: welcome, whatever the path."""
        if opening.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        given = opening.headers.get_all("Authorization")
        wanted = f"Api-Key {self._token}"
        if self._token is not None and not any(hmac.compare_digest(g.encode(), wanted.encode()) for g in given):
            refusal = connection.respond(
                HTTPStatus.UNAUTHORIZED, "give Authorization: Api-Key and the server's token\n"
            )
            refusal.headers["WWW-Authenticate"] = "Api-Key"
            return refusal
        if self._open >= CONNECTIONS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{CONNECTIONS} robots are here already\n")
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Metadata, then a reply for each message, until the connection closes or a message cannot be answered."""
        from websockets.exceptions import ConnectionClosed

        from .upstream import Upstream

        upstream = None if self._upstream is None else Upstream(self._upstream)
        episode = self._episodes.begin()
        self._open += 1
        try:
            await self._converse(connection, episode, upstream)
        except ConnectionClosed:
            pass
        except MnemeError as error:
            await _refuse(connection, str(error))
        except Exception:
            log.exception("a robot's connection")
            await _refuse(connection, FAULT)
        finally:
            self._open -= 1
            if upstream is not None:
                await upstream.close()
            try:
                await self._in_thread(episode.end)
            except MnemeError as error:
                log.warning("the end of an episode is not stored: %s", error)

    async def _converse(self, connection: ServerConnection, episode: Episode, upstream: Any) -> None:
        from .openpi import pack
        from .upstream import UpstreamError

        try:
            metadata = {} if upstream is None else await upstream.connect()
        except UpstreamError as error:
            log.warning("%s", error)
            metadata = {}
        await connection.send(pack(metadata | self._metadata()))
        prev_total_ms: float | None = None
        while True:
            message = await self._next(connection, episode)
            started = time.monotonic()
            if isinstance(message, str):
                raise MnemeError("a text frame came", "send observations as binary frames of msgpack")
            try:
                reply = await self._reply(connection, episode, upstream, message, prev_total_ms)
            except UpstreamError as error:  # the memory goes on, and so may the robot
                log.warning("%s", error)
                await connection.send(str(error))
                continue
            await connection.send(reply)
            prev_total_ms = (time.monotonic() - started) * 1e3

    def _metadata(self) -> dict[str, Any]:
        mneme = self._episodes.mneme
        space = mneme.profile.vision.spec.space
        return {
            "memory/lanes": list(self._episodes.lanes),
            "memory/profile": mneme.profile.name,
            "memory/space": space.name,
            "memory/dim": space.dim,
        }

    async def _next(self, connection: ServerConnection, episode: Episode) -> str | bytes:
        """The next message; a robot that pauses has what is open stored meanwhile."""
        try:
            async with asyncio.timeout(PAUSE_S):
                return await connection.recv()
        except TimeoutError:
            await self._in_thread(episode.flush)
        return await connection.recv()

    async def _reply(
        self, connection: ServerConnection, episode: Episode, upstream: Any, frame: bytes, prev_total_ms: float | None
    ) -> bytes:
        """The reply to one message. Errors: `MnemeError`; `UpstreamError` after which the connection goes on."""
        from .openpi import pack, read_request, unpack

        started = time.monotonic()
        request = await self._in_thread(lambda: read_request(unpack(frame)))
        if request.reset:
            await self._in_thread(episode.end)
        acting: asyncio.Task[bytes | None] | None = None
        if upstream is not None and request.observation:
            sent = frame if request.plain else pack(request.observation)
            acting = asyncio.create_task(_unless_gone(connection, upstream.infer(sent)))
        try:
            asked = await self._in_thread(partial(_attend, episode, request))
            acted = None if acting is None else await acting
        finally:
            if acting is not None and not acting.done():
                acting.cancel()
                await asyncio.wait([acting])
            if acting is not None and not acting.cancelled():
                acting.exception()  # the memory's own fault is the one that is told
        if acted is not None and not asked:
            return acted  # as the policy packed it
        reply: dict[str, Any] = {}
        if acted is not None:
            said = unpack(acted)
            reply = said if isinstance(said, dict) else {"actions": said}
        if "server_timing" not in reply:
            timing = {"infer_ms": (time.monotonic() - started) * 1e3}
            reply["server_timing"] = timing if prev_total_ms is None else timing | {"prev_total_ms": prev_total_ms}
        return pack(reply | asked)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _attend(episode: Episode, request: Request) -> dict[str, Any]:
    """Remembers the observation, forgets what is to be forgotten, then answers what is asked of the memory."""
    from ..pipeline.receipts import plain_receipt

    if request.observation:
        episode.observe(request.images, request.state, request.prompt, request.t_ns)
    reply: dict[str, Any] = {}
    if request.forget is not None:
        receipt = episode.forget(**request.forget)
        if not receipt.verified:
            log.warning("an erasure left something on the disk: %s", receipt.searched.told)
        reply["memory/receipt"] = plain_receipt(receipt)
    if request.budget is not None:
        tokens = episode.tokens(request.budget, request.query, request.stream)
        reply |= {"memory/tokens": tokens.tokens, "memory/mask": tokens.mask, "memory/t_ns": tokens.t_ns}
    if request.ask is not None:
        reply["memory/answer"] = _answered(episode.ask(request.ask, request.stream))
    return reply


def _answered(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "evidence": [
            {"stream": e.stream, "t0_s": to_s(e.t0_ns), "t1_s": to_s(e.t1_ns), "lane": e.lane, "text": e.text,
             "score": e.score}
            for e in answer.evidence
        ],
    }  # fmt: skip


async def _unless_gone(connection: ServerConnection, work: Any) -> Any:
    """Awaits `work`, but not for a robot that has gone: then `ConnectionClosed` comes from the reply to it."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(connection.wait_closed())
    try:
        await asyncio.wait([working, gone], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait([working, gone])


async def _refuse(connection: ServerConnection, fault: str) -> None:
    """As openpi: the fault in a text frame, then the connection closes with 1011."""
    from websockets.exceptions import ConnectionClosed

    try:
        await connection.send(fault)
        await connection.close(1011, "the frame before names the fault")
    except ConnectionClosed:
        pass
