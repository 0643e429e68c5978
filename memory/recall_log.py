"""The recall log: what readers recalled, for sleep to fold into strengths.

One file, `recalls/log.jsonl`, to which any number of processes append a line a question (O_APPEND): when, and ids of
the percepts and events that the answer rests on; no words. It never makes an answer fail or wait: a folder that cannot
be written to, or a log that is full, is not logged into. Sleep takes the file away under another name, folds it, and
removes it once that is durable; folded twice (a crash in between) a line counts once, because a row knows when it was
recalled last.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FOLDER = "recalls"
_FILE = "log.jsonl"
_TAKEN = "folding.jsonl"
MOST_BYTES = 8 << 20
"""Beyond it nothing is logged until the next sleep: about 100,000 answers."""
_MOST_IDS = 64

_log = logging.getLogger(__name__)


def append(root: Path, ids: Iterable[str], now_ns: int) -> bool:
    """Logs that these were recalled at `now_ns` (since 1970); whether it could."""
    listed = [id for id in dict.fromkeys(ids) if id][:_MOST_IDS]
    if not listed:
        return False
    line = json.dumps([now_ns, listed], separators=(",", ":")).encode() + b"\n"
    try:
        (root / FOLDER).mkdir(exist_ok=True)
        fd = os.open(root / FOLDER / _FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.fstat(fd).st_size + len(line) > MOST_BYTES:
                return False
            return os.write(fd, line) == len(line)
        finally:
            os.close(fd)
    except OSError as error:
        _log.debug("recalls of %s are not logged: %s", root, error)
        return False


def take(root: Path) -> dict[str, list[int]]:
    """id -> when it was recalled, in order; what was logged until now, and what an earlier fold did not finish.

    Only for the holder of the lock. `done` has to follow once it is folded.
    """
    recalled: dict[str, list[int]] = {}
    fresh, taken = root / FOLDER / _FILE, root / FOLDER / _TAKEN
    with suppress(OSError):
        if taken.exists():  # the log goes on by itself until these are folded
            return _read(taken)
        fresh.rename(taken)
        recalled = _read(taken)
    return recalled


def done(root: Path) -> None:
    """What `take` gave is durable."""
    with suppress(OSError):
        (root / FOLDER / _TAKEN).unlink()


def purge(root: Path) -> None:
    """Removes all that is logged: after an erasure. Raises `OSError` where it cannot."""
    for path in (root / FOLDER).glob("*"):
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, list[int]]:
    recalled: dict[str, list[int]] = {}
    for line in path.read_bytes().splitlines():
        try:
            now_ns, ids = json.loads(line)
            for id in ids:
                recalled.setdefault(str(id), []).append(int(now_ns))
        except (ValueError, TypeError):
            continue  # a line that a crash cut off
    return {id: sorted(times) for id, times in recalled.items()}
