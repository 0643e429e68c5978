"""What the page serves beside words: videos from where they lie, thumbnails; and the file that is dropped on it.

Videos are served by the name of their stream, read from the memory at each request: no path of the machine is in an
address, nothing is copied, and what was erased from the memory is served no longer.
"""

from __future__ import annotations

import hashlib
import mimetypes
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ..errors import MnemeError, SourceError
from ..memory import thumbnails
from ..memory.erased import concerning
from ..memory.memory import Memory
from ..pipeline.mneme import open_memory
from ..records import NS_PER_S, to_s
from .watching import SOURCES, Watching

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..memory.store import StoredSnapshot

ARRIVING = ".arriving-"
DEAD_S = 3600.0
"""Seconds after which a file that arrives and does not grow is taken for one that was cut off."""
AROUND_NS = 30 * NS_PER_S
"""How far from a moment the picture that stands for it may be."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant of a stream as the page's player needs it."""

    stream: str
    stamp: str
    """m:ss"""
    kind: Literal["file", "gone", "live"]
    """Whether there is a video to play, or its file is gone, or there never was one."""
    line: str
    """Where there is nothing to play: why."""
    clip: str | None = None
    """Address of the video, relative to the page."""
    thumbnail: str | None = None
    """Address of the picture that stands then, relative to the page."""


def stamp(t_ns: int) -> str:
    """m:ss, or h:mm:ss from an hour on."""
    seconds = int(to_s(t_ns))
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours}:{minutes % 60:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"


def thumbnail_address(path: str) -> str:
    """The address, relative to the page, of a thumbnail by its path inside the memory or its absolute one."""
    return "thumbnail/" + "/".join(quote(part) for part in Path(path).parts[-2:])


def source_of(snapshot: StoredSnapshot, stream: str) -> str | None:
    """Where a stream came from; None for one that the memory does not know."""
    return next((state.stream.source for state in snapshot.streams() if state.stream.id == stream), None)


def erased_from(snapshot: StoredSnapshot, stream: str) -> bool:
    """Whether something of a stream was erased on request, which its video would still show."""
    own = [state.stream for state in snapshot.streams() if state.stream.id == stream]
    return any(concerning(snapshot.manifest.erased, known) for known in own)


def moment_at(snapshot: StoredSnapshot, stream: str, t_ns: int) -> Moment:
    """What there is to show of a stream at an instant. Errors: `MnemeError` for a stream that is not known."""
    source = source_of(snapshot, stream)
    if source is None:
        raise MnemeError(f"there is no stream {stream!r} in this memory any more", "load the page again")
    near = snapshot.percepts(lanes=("vision",), stream=stream, t0_ns=t_ns - AROUND_NS, t1_ns=t_ns + AROUND_NS)
    seen = [p for p in near if p.thumbnail]
    before = [p for p in seen if p.t0_ns <= t_ns]  # what was seen last still stands there
    shown = before[-1] if before else seen[0] if seen else None
    picture = thumbnail_address(shown.thumbnail) if shown is not None and shown.thumbnail else None
    if not Path(source).is_absolute():
        line = f"{stream} was observed live: there is no video to play, only what was remembered."
        return Moment(stream, stamp(t_ns), "live", line, thumbnail=picture)
    if erased_from(snapshot, stream):
        line = f"A part of {stream} was erased on request: its video is not shown, only what is remembered."
        return Moment(stream, stamp(t_ns), "gone", line, thumbnail=picture)
    if playable(source) is None:
        line = f"The video of {stream} is no longer where it was watched: {source}"
        return Moment(stream, stamp(t_ns), "gone", line, thumbnail=picture)
    return Moment(stream, stamp(t_ns), "file", "", f"clip?stream={quote(stream, safe='')}", picture)


def playable(source: str) -> str | None:
    """The media type of a source that is a file of pictures or sound, and there; else None."""
    kind = mimetypes.guess_type(source)[0] or ""
    if kind.split("/")[0] not in ("video", "audio"):
        kind = {".mkv": "video/x-matroska", ".m2ts": "video/mp2t"}.get(Path(source).suffix.lower(), "")
    return kind if kind and Path(source).is_file() else None


def add_routes(app: FastAPI, memory: Path, watching: Watching, config: Path | None) -> None:
    """The addresses of clips, thumbnails and moments, and the one that takes a file."""
    from fastapi import Request
    from fastapi.responses import FileResponse, JSONResponse, Response

    def fault(words: str, status: int) -> Response:
        return JSONResponse({"error": words}, status)

    def snapshot() -> StoredSnapshot:
        with closing(Memory.open(memory, "r")) as reader:
            return reader.snapshot()

    @app.get("/moment")
    def moment(stream: str, t_ns: int) -> Response:
        try:
            return JSONResponse(asdict(moment_at(snapshot(), stream, t_ns)))
        except MnemeError as error:
            return fault(str(error), 404)

    @app.get("/clip")
    def clip(stream: str) -> Response:
        try:
            seen = snapshot()
            source = None if erased_from(seen, stream) else source_of(seen, stream)
        except MnemeError as error:
            return fault(str(error), 404)
        kind = playable(source) if source is not None else None
        if source is None or kind is None:
            return fault(f"there is no video of stream {stream!r}", 404)
        return FileResponse(source, media_type=kind, content_disposition_type="inline")

    @app.get("/thumbnail/{folder}/{name}")
    def thumbnail(folder: str, name: str) -> Response:
        path = memory / thumbnails.FOLDER / folder / name
        if not name.endswith(".jpg") or folder.startswith(".") or not path.is_file():
            return fault("there is no such thumbnail", 404)
        return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    # Annotated by its class: postponed annotations of a local name are not found by FastAPI.
    async def take(request: Any, name: str, stream: str = "") -> Response:
        try:
            with open_memory(memory, config=config) as opened:
                if not (memory / "manifest.json").exists():
                    opened.hold()  # a folder that holds a video cannot become a memory any more
            path = await receive(memory / SOURCES, name, request.stream())
        except MnemeError as error:
            return fault(str(error), 409)
        return JSONResponse({"stream": watching.add(path, stream.strip() or None).stream}, 202)

    take.__annotations__["request"] = Request
    app.put("/sources/{name}")(take)


async def receive(folder: Path, name: str, chunks: AsyncIterator[bytes]) -> Path:
    """Write what arrives to `folder/<hash of the bytes>/<name>` and return that path.

    Errors: `SourceError` for a name that is none, nothing, a disk that is full, or a sender that went away.
    """
    import anyio
    from starlette.requests import ClientDisconnect

    name = Path(name).name
    if not name.strip(". ") or "\0" in name or len(name.encode()) > 200:
        raise SourceError("the file has no name that can be kept", "give it a shorter one")
    made = hashlib.blake2b(digest_size=8)
    arriving: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, time.time())
        with tempfile.NamedTemporaryFile(dir=folder, prefix=ARRIVING, delete=False) as file:
            arriving = Path(file.name)
            async for chunk in chunks:
                made.update(chunk)
                await anyio.to_thread.run_sync(file.write, chunk)
            size = file.tell()
        if not size:
            raise SourceError(f"{name} is empty", "give a video or sound file")
        target = folder / made.hexdigest() / name
        target.parent.mkdir(exist_ok=True)
        return arriving.replace(target)
    except (OSError, ClientDisconnect) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "the browser went away"
        raise SourceError(f"{name} could not be taken: {why}", "make room, or give its path on this machine") from error
    finally:
        if arriving is not None:
            arriving.unlink(missing_ok=True)


def sweep(folder: Path, now_s: float) -> None:
    """Remove what began to arrive and was cut off with its server."""
    for left in folder.glob(f"{ARRIVING}*"):
        if now_s - left.stat().st_mtime > DEAD_S:
            left.unlink(missing_ok=True)
