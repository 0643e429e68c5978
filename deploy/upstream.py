"""A policy server behind the memory: it gets each observation, and its reply goes on to the robot."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ..errors import MnemeError, SettingsError
from .openpi import unpack

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

OPEN_S = 5.0
"""How long a policy server may take to say hello."""
FAREWELL_S = 1.0


class UpstreamError(MnemeError):
    """The policy server cannot be reached, or failed: the memory has the observation all the same."""


class Upstream:
    """One connection to an openpi policy server, made when it is needed and made again after a fault."""

    def __init__(self, url: str) -> None:
        """Errors: `SettingsError` for what is no WebSocket address."""
        if not url.startswith(("ws://", "wss://")):
            raise SettingsError(f"{url!r} is no policy server", "give its address, e.g. ws://127.0.0.1:8001")
        self.url = url
        self._connection: ClientConnection | None = None

    async def connect(self) -> dict[str, Any]:
        """Connects anew; what the server says of itself. Errors: `UpstreamError`."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        await self.close()
        try:
            async with asyncio.timeout(OPEN_S):
                # A policy that compiles or thinks for long answers no pings meanwhile, and is not gone.
                self._connection = await connect(
                    self.url, compression=None, max_size=None, ping_interval=None, close_timeout=FAREWELL_S, proxy=None
                )
                metadata = unpack(await self._bytes(self._connection))
        except (OSError, TimeoutError, WebSocketException, MnemeError) as error:
            await self.close()
            raise self._fault("cannot be reached", error) from error
        return metadata if isinstance(metadata, dict) else {}

    async def infer(self, frame: bytes) -> bytes:
        """The policy's reply to a packed observation, as it packed it. Errors: `UpstreamError`, one line."""
        from websockets.exceptions import WebSocketException

        if self._connection is None:
            await self.connect()
        connection = self._connection
        assert connection is not None
        try:
            await connection.send(frame)
            return await self._bytes(connection)
        except (OSError, WebSocketException, MnemeError) as error:
            await self.close()
            raise self._fault("failed", error) from error
        except asyncio.CancelledError:
            await self.close(abort=True)  # its reply would be taken for the one to the next observation
            raise

    async def close(self, abort: bool = False) -> None:
        """Says farewell, and waits for the answer for a moment. abort: not a word, it may be thinking."""
        connection, self._connection = self._connection, None
        if connection is not None and abort:
            connection.transport.abort()
        elif connection is not None:
            await connection.close()

    async def _bytes(self, connection: ClientConnection) -> bytes:
        said = await connection.recv()
        if isinstance(said, str):  # openpi's servers send a traceback: its last line names the fault
            raise MnemeError(next((line for line in reversed(said.splitlines()) if line.strip()), "no reason given"))
        return said

    def _fault(self, what: str, error: Exception) -> UpstreamError:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return UpstreamError(
            f"the policy server {self.url} {what} ({why})", "start it; the next observation tries again"
        )
