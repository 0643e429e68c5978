"""A model hub for tests: the real client asks it, downloads from it and fills its cache."""

from __future__ import annotations

import hashlib
import http.server
from pathlib import Path
from typing import Any


class Hub(http.server.ThreadingHTTPServer):
    """A model hub: it serves the files below `root`, as owner/name/resolve/main/file."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Shelf)
        self.root = root
        self.served: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Shelf(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        if self.path == "/":
            self.send_response(200)
            self.end_headers()
            return
        self._file(body=False)

    def do_GET(self) -> None:
        self._file(body=True)

    def log_message(self, *_: Any) -> None:
        return

    def _file(self, *, body: bool) -> None:
        parts = self.path.lstrip("/").split("/", 4)  # owner, name, resolve, revision, file
        path = self.server.root / parts[1] / parts[4] if len(parts) == 5 else self.server.root / "none"
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.server.served.append(f"{parts[1]}/{parts[4]}")
            self.wfile.write(data)
