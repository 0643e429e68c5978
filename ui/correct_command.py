"""The options of `mneme events` that correct where an event ends: `--merge`, and `--split` with `--at`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MnemeError
from .times import seconds_of

if TYPE_CHECKING:
    from ..pipeline.mneme import Mneme
    from ..records import Event

Merge = Annotated[str | None, typer.Option("--merge", metavar="EVENT", help="Make it and the one after it one.")]
Split = Annotated[str | None, typer.Option("--split", metavar="EVENT", help="Make it two, at the time --at.")]
SplitAt = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Of the stream: 12:30, 1:02:03, 90s.")]


def corrected(opened: Mneme, stream: str | None, merge: str | None, split: str | None, at: str | None) -> list[Event]:
    """The events that came of a correction; none where nothing was to be corrected.

    Errors: `MnemeError` of options that do not go together, and as `Mneme.merge_events` and `split_event`.
    """
    if merge is not None and split is not None:
        raise MnemeError("--merge and --split are two corrections", "give one of them at a time")
    if (split is None) != (at is None):
        raise MnemeError("--split names the event and --at the time", "give both")
    if stream is not None and (merge is not None or split is not None):
        raise MnemeError("--stream lists events, and an id names one of any stream", "leave --stream out")
    if merge is not None:
        return opened.merge_events(merge)
    if split is not None and at is not None:
        return opened.split_event(split, seconds_of(at))
    return []
