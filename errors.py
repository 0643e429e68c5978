"""The one family of errors that Mneme raises on purpose: a line that names the fault and the mend."""

from __future__ import annotations


class MnemeError(Exception):
    """Something the user can mend. `str(error)` is one line; the command line prints it and exits with 2."""

    def __init__(self, fault: str, mend: str = "") -> None:
        self.fault = " ".join(fault.split())
        self.mend = " ".join(mend.split())
        super().__init__(f"{self.fault}; {self.mend}" if self.mend else self.fault)


class SourceError(MnemeError):
    """A stream that cannot be read: not a video, broken, empty, of a size that makes no sense."""


class MemoryFormatError(MnemeError):
    """A folder that is not a memory, is of another version, or holds something its ledger does not know."""


class LockedError(MnemeError):
    """A second writer: the message names the process that holds the memory."""


class QuestionError(MnemeError):
    """A question that cannot be asked: empty, or with a picture that is not one."""


class SettingsError(MnemeError):
    """A setting that is unknown or of the wrong type."""


class MissingError(MnemeError):
    """A library, model or runtime that was asked for and is not there."""
