"""The door for live streams: a WebSocket a stream, observations in, acknowledgements out."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import anyio.to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import MnemeError
from ..pipeline.live import Ack
from .door import Door
from .observations import pack_ack, pack_error, read_message

log = logging.getLogger(__name__)

MOST_BYTES = 16_000_000
"""Of a message."""
TELLING = 64
"""Faults that wait to be sent; a client that does not read them loses the later ones."""


class Outbox:
    """What the stream's thread has to tell the connection. Acknowledgements add up: a slow reader is no load."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._acked_t_ns = 0
        self._percepts = 0
        self._acked = False
        self._faults: list[str] = []

    def ack(self, ack: Ack) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note, ack)

    def fault(self, words: str) -> None:
        """From any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note, words)

    async def next(self) -> list[bytes]:
        """The messages that are due, once there are some."""
        await self._ready.wait()
        self._ready.clear()
        due = [pack_error(words) for words in self._faults]
        if self._acked:
            due.append(pack_ack(self._acked_t_ns, self._percepts))
        self._faults, self._acked, self._percepts = [], False, 0
        return due

    def _note(self, told: Ack | str) -> None:
        if isinstance(told, Ack):
            self._acked, self._acked_t_ns = True, max(self._acked_t_ns, told.acked_t_ns)
            self._percepts += len(told.percepts)
        elif len(self._faults) < TELLING:
            self._faults.append(told)
        self._ready.set()


async def serve(door: Door, socket: WebSocket, stream: str) -> None:
    """One connection until it ends. The stream stays open: its name may connect again and go on."""
    await socket.accept()
    try:
        door.connect(stream)
    except MnemeError as error:
        await socket.send_bytes(pack_error(str(error)))
        await socket.close(1008, "this stream is being sent")
        return
    outbox = Outbox(asyncio.get_running_loop())
    unsubscribe = door.live.subscribe(stream, outbox.ack, outbox.fault)
    sender = asyncio.create_task(_send(socket, outbox))
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            fault = await _take(door, stream, message)
            if fault is not None:
                door.metrics.refused.inc()
                outbox.fault(fault)
    except WebSocketDisconnect:
        return
    finally:
        unsubscribe()
        door.disconnect(stream)
        sender.cancel()
        with suppress(asyncio.CancelledError):
            await sender


async def _take(door: Door, stream: str, message: object) -> str | None:
    """Remembers what a message holds; why it was refused, or None."""
    assert isinstance(message, dict)
    data = message.get("bytes")
    if data is None:
        return "a text frame came; send msgpack in binary frames"
    if len(data) > MOST_BYTES:
        return f"a message is above {MOST_BYTES} bytes; send smaller pictures, or JPEG"
    try:
        await anyio.to_thread.run_sync(_remember, door, stream, bytes(data))
    except MnemeError as error:
        return str(error)
    except Exception:
        log.exception("stream %r", stream)
        return "something went wrong here; the server's log says what"
    return None


def _remember(door: Door, stream: str, data: bytes) -> None:
    observation = read_message(stream, data)
    if observation is None:
        door.live.end(stream)
    else:
        door.live.push(observation)


async def _send(socket: WebSocket, outbox: Outbox) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # gone in the middle of an acknowledgement
        while True:
            for message in await outbox.next():
                await socket.send_bytes(message)
