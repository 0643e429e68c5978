"""Failures of the disk, said in one line: what Lance, PIL and the system raise, as errors a user can mend."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MnemeError

_MENDS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("a file would grow past the limit on file sizes", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "give a folder that can be written to"),
    errno.EACCES: ("permission is denied", "give a folder that you may read and write"),
    errno.EPERM: ("the operation is not permitted", "give a folder that you may read and write"),
    errno.ENOTDIR: ("a file stands where a folder should", "give the path of a folder"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_UNREADABLE = re.compile(r"not found|no longer exists|corrupt|LanceError|lance error|invalid", re.IGNORECASE)


def error_number(error: BaseException) -> int | None:
    """The system's number of the failure, also where Lance only quotes it in its message."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    quoted = _OS_ERROR.search(str(error))
    return int(quoted.group(1)) if quoted else None


def is_vanished(error: BaseException) -> bool:
    """Whether a version or a file of a table is no longer there (a compaction cleaned it up)."""
    text = str(error)
    return "no longer exists" in text or "not found" in text.lower() or error_number(error) == errno.ENOENT


@contextmanager
def mended(doing: str, path: Path, *, kept: bool = False) -> Iterator[None]:
    """Turns a disk's failure in the block into a `MnemeError` that says what failed where; others pass.

    kept: say of a lack of space that it cost nothing of what was acknowledged.
    """
    try:
        yield
    except MnemeError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, UnicodeEncodeError):  # half of a pair of UTF-16, or a name in another encoding
            raise MnemeError(
                f"{doing} {path} failed: {error.object!r:.80} is no text", "give words in UTF-8"
            ) from error
        number = error_number(error)
        if number in _MENDS:
            fault, mend = _MENDS[number]
            if kept and number in (errno.ENOSPC, errno.EDQUOT):
                mend += "; all that was acknowledged is kept"
            raise MnemeError(f"{doing} {path} failed: {fault}", mend) from error
        if is_vanished(error) and not kept:
            fault = f"{doing} {path} failed: a file of it is not there (an erasure or a compaction removes old ones)"
            raise MnemeError(fault, "try again, and run mneme check on it if that does not help") from error
        if isinstance(error, OSError) or _UNREADABLE.search(str(error)):
            line = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise MnemeError(f"{doing} {path} failed: {line}", "run mneme check on it") from error
        raise
