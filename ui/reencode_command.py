"""The command `mneme reencode`: move a memory to another profile."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def reencode(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    to: Annotated[str, typer.Option("--to", help="The profile to move to.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")] = None,
) -> None:
    """Move a memory to another profile: same moments and words, described by other encoders."""
    from ..config import load, read_file
    from ..memory.settings import MemorySettings
    from ..pipeline.reencode import reencode as move
    from ..pipeline.sources import SourceSettings

    settings = read_file(config)
    done = move(
        memory,
        to,
        memory_settings=load("memory", MemorySettings, settings),
        source_settings=load("watch", SourceSettings, settings),
    )
    if as_json:
        typer.echo(json.dumps({"memory": str(memory), **asdict(done)}, ensure_ascii=False))
        return
    tally = done.tally
    made = ", ".join(
        f"{count} {what}"
        for count, what in (
            (tally.kept, "kept as they were"),
            (tally.words, "from their words"),
            (tally.frames, "from their video"),
            (tally.thumbnails, "from thumbnails"),
            (tally.sounds, "from their sound"),
            (tally.lost, "without a source: their words stay, their vectors are gone"),
        )
        if count
    )
    typer.echo(
        f"{memory}: {done.percepts} percepts of {done.streams} streams are of profile {done.profile!r} now ({made})"
    )
