"""A client of `mneme serve` at the pace of life: observations over a WebSocket, and questions while they come.

    mneme serve --memory /tmp/live --port 8000 &
    python -m benchmarks.serving http://127.0.0.1:8000 --observations 1000 --rate 30

Prints, as JSON: how long it took, how far the last acknowledgement lay behind, and how long questions took.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import time
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

import msgpack
import numpy as np
import websockets
from PIL import Image

NS_PER_S = 1_000_000_000
SAID_EVERY = 60
"""Observations between two that carry words."""


@dataclass(frozen=True)
class Figures:
    """What one run showed."""

    observations: int
    seconds: float
    acknowledgements: int
    percepts: int
    last_ack_after_s: float
    """From the last observation sent to the acknowledgement that covers it."""
    longest_send_ms: float
    questions: int
    answered: int
    """Questions whose answer held what had been said."""
    ask_p50_ms: float
    ask_max_ms: float
    errors: list[str]


def picture(number: int, side: int = 96) -> bytes:
    """A JPEG of a coarse pattern, another one every two seconds at 30 a second."""
    coarse = np.random.default_rng(number // 60).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST).save(file, "JPEG")
    return file.getvalue()


def post(url: str, body: dict[str, Any], token: str | None) -> dict[str, Any]:
    """One JSON request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


async def push_and_ask(url: str, stream: str, count: int, rate: float, token: str | None = None) -> Figures:
    """Push `count` observations at `rate` a second to the server at `url`, asking about them once a second."""
    acks: list[tuple[float, dict[str, Any]]] = []
    asked: list[tuple[float, bool]] = []
    sending_ms: list[float] = []
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = url.replace("http", "ws", 1) + f"/v1/streams/{stream}/observations"
    async with websockets.connect(address, additional_headers=headers) as socket:

        async def read() -> None:
            async for message in socket:
                acks.append((time.perf_counter(), msgpack.unpackb(message)))

        async def ask(said: int) -> None:
            began = time.perf_counter()
            body = {"question": f"What was said about parcel {said}?", "stream": stream}
            answer = await asyncio.to_thread(post, f"{url}/v1/ask", body, token)
            held = any(f"parcel {said} " in item["text"] for item in answer["evidence"])
            asked.append(((time.perf_counter() - began) * 1e3, held))

        reader = asyncio.create_task(read())
        asking: asyncio.Task[None] | None = None
        began = time.perf_counter()
        for number in range(count):
            message = {
                "t_ns": round(number / rate * NS_PER_S),
                "images": {"front": picture(number)},
                "state": [0.5] * 8,
            }
            if number % SAID_EVERY == 0:
                message["text"] = f"parcel {100 + number // SAID_EVERY} stands at the gate"
            before = time.perf_counter()
            await socket.send(msgpack.packb(message))
            sending_ms.append((time.perf_counter() - before) * 1e3)
            said = (number - 2.5 * rate) // SAID_EVERY  # words of at least 2.5 s ago must be known by now
            if said >= 0 and number % round(rate) == 0 and (asking is None or asking.done()):
                if asking is not None:
                    asking.result()
                asking = asyncio.create_task(ask(100 + int(said)))
            await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.perf_counter()))
        sent = time.perf_counter()
        last_ns = round((count - 1) / rate * NS_PER_S)
        while not any(ack.get("acked_t_ns", -1) > last_ns for _, ack in acks) and time.perf_counter() < sent + 30:
            await asyncio.sleep(0.05)
        if asking is not None:
            await asking
        reader.cancel()
    covering = [at for at, ack in acks if ack.get("acked_t_ns", -1) > last_ns]
    times = sorted(ms for ms, _ in asked)
    return Figures(
        count,
        sent - began,
        sum("acked_t_ns" in ack for _, ack in acks),
        sum(ack.get("percepts", 0) for _, ack in acks),
        min(covering) - sent if covering else float("inf"),
        max(sending_ms),
        len(asked),
        sum(held for _, held in asked),
        times[len(times) // 2] if times else 0.0,
        times[-1] if times else 0.0,
        [ack["error"] for _, ack in acks if "error" in ack],
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--stream", default="benchmark")
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--token")
    given = parser.parse_args()
    figures = asyncio.run(push_and_ask(given.url, given.stream, given.observations, given.rate, given.token))
    print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()
