"""The client: one connection to `mneme robot serve`, one message at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .wire import pack, unpack


class MnemeClientError(RuntimeError):
    """The memory cannot be reached, or refuses what was sent: one line, the fault and the mend."""


@dataclass(frozen=True)
class Tokens:
    """Memory tokens in order of time."""

    tokens: NDArray[np.float32]
    """float32[budget, d], zeros where `mask` is false."""
    mask: NDArray[np.bool_]
    """bool[budget]"""
    t_ns: NDArray[np.int64]
    """int64[budget]: when each was seen, nanoseconds of the clock that the observations came with."""
    reply: Mapping[str, Any]
    """Everything that came with them: the actions, where a policy stands behind the memory."""


@dataclass(frozen=True)
class Answer:
    """What a question got."""

    text: str
    abstained: bool
    confidence: float
    evidence: list[dict[str, Any]]
    """Of each: stream, t0_s, t1_s, lane, text, score."""


class MnemeClient:
    """A robot's memory. The first observation begins an episode; `reset`, or closing, ends it.

    Not for two threads at once. Errors of every method: `MnemeClientError`.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int | None = 8000, token: str | None = None, *, wait_s: float = 10.0
    ) -> None:
        """host: a name, or a whole address (ws://..., wss://...). token: what the server wants. wait_s: to connect."""
        self.address = (host if "://" in host else f"ws://{host}") + ("" if port is None else f":{port}")
        self._token = token
        self._wait_s = wait_s
        self._connection: Any = None
        self._open = ExitStack()
        self.metadata: dict[str, Any] = {}
        """What the server says of itself, and the policy behind it."""
        self._connect()

    def observe(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Remember an observation; what the policy behind the memory says to it, and the server's timing.

        Pictures are uint8[H, W, 3] under names that hold `image` or under `images`, numbers under `state` or names
        that end in `position`, words under `prompt`; `memory/t_ns` says when (else: when it arrives).
        """
        return self._send(observation)

    def tokens(
        self,
        budget: int,
        query: str | NDArray[np.uint8] | None = None,
        observation: Mapping[str, Any] | None = None,
        *,
        stream: str | None = None,
    ) -> Tokens:
        """`budget` memory tokens that know every observation before, and this one.

        query: words or a picture that the past is asked for. stream: of another episode, or `*`: of all.
        """
        wanted = {"memory/budget": budget, "memory/query": query, "memory/stream": stream}
        reply = self._send(
            {**(observation or {}), **{key: value for key, value in wanted.items() if value is not None}}
        )
        return Tokens(reply["memory/tokens"], reply["memory/mask"], reply["memory/t_ns"], reply)

    def ask(self, question: str, *, stream: str | None = None) -> Answer:
        """The memory's answer to a question; about all episodes, or one stream."""
        asked = {"memory/ask": question} | ({} if stream is None else {"memory/stream": stream})
        said = self._send(asked)["memory/answer"]
        return Answer(said["answer"], said["abstained"], said["confidence"], said["evidence"])

    def forget(self, **target: str | float) -> dict[str, Any]:
        """Erases something for good, while others go on: the receipt, as `mneme forget --json` prints it.

        target: one of stream (with t0_s, t1_s: a span of it), event, place, text.
        """
        receipt: dict[str, Any] = self._send({"memory/forget": target})["memory/receipt"]
        return receipt

    def reset(self) -> None:
        """The episode is over; the next observation begins another."""
        self._send({"memory/reset": True})

    def close(self) -> None:
        """Ends the episode. A second call does nothing."""
        self._connection = None
        self._open.close()

    def __enter__(self) -> MnemeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        headers = None if self._token is None else {"Authorization": f"Api-Key {self._token}"}
        try:
            opening = connect(
                self.address,
                compression=None,
                max_size=None,
                additional_headers=headers,
                open_timeout=self._wait_s,
            )
            self._connection = self._open.enter_context(opening)
            self.metadata = unpack(self._received())
        except (OSError, ValueError, WebSocketException) as error:
            self.close()
            raise MnemeClientError(f"cannot reach the memory at {self.address} ({error})") from error

    def _send(self, message: Mapping[str, Any]) -> dict[str, Any]:
        from websockets.exceptions import WebSocketException

        if self._connection is None:
            raise MnemeClientError(f"the connection to {self.address} is closed; make another client")
        frame = pack(dict(message))
        try:
            self._connection.send(frame)
            reply = unpack(self._received())
        except (OSError, ValueError, WebSocketException) as error:
            self.close()
            raise MnemeClientError(f"lost the memory at {self.address} ({error})") from error
        return reply if isinstance(reply, dict) else {"actions": reply}

    def _received(self) -> bytes:
        said = self._connection.recv()
        if isinstance(said, str):
            raise MnemeClientError(said)
        return bytes(said)
