"""The lock of a memory: one writer at a time, and its name.

`flock` on the file `lock`: the system drops it when its holder dies, however it dies, so there is no stale lock to
clean up. What stands in the file only names the holder. Not inherited across `exec`; a `fork` without `exec` would
share it (and LanceDB does not survive a fork either): start workers with `spawn`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..errors import LockedError

FILE = "lock"
_PLAIN = re.compile(r"[a-z][a-z-]{0,20}")
"""The name of a command."""


class WriterLock:
    """Held from construction to `release()`."""

    def __init__(self, folder: Path, now_ns: int) -> None:
        """Takes the lock of the memory in `folder` at once or raises `LockedError` naming its holder; `OSError`."""
        self._fd = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "command": _command(sys.argv),
                "since": datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="seconds"),
            }
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(holder).encode(), 0)
        except BlockingIOError as error:
            os.close(self._fd)
            raise LockedError(
                f"{folder} is being written by {holder_of(folder)}", "wait for it or end it; reading works meanwhile"
            ) from error
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Gives the lock back; a second call does nothing."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _command(argv: Sequence[str]) -> str:
    """The program and its command, without what it was told: a killed writer leaves this behind, words to be forgotten
    must not stand in it.

    >>> _command(["/usr/bin/mneme", "forget", "-m", "home.mneme", "--text", "the vault code"])
    'mneme forget'
    """
    program = Path(argv[0]) if argv else Path("python")
    named = program.parent.name if program.name == "__main__.py" else program.name
    return " ".join([named, *(word for word in argv[1:2] if _PLAIN.fullmatch(word))])[:200]


def is_held(folder: Path) -> bool:
    """Whether a writer is at work in `folder`.

    It asks for a shared lock and gives it back at once; a writer that starts in that instant is refused, so ask only
    of a memory that cannot be read.
    """
    try:
        fd = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holder_of(folder: Path) -> str:
    """Who holds the lock, in words; only true while the lock is held."""
    try:
        holder = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} ({holder['command']}) since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
