"""The command `mneme sleep`: let a memory consolidate and, where it has a budget, forget."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def sleep_command(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    budget: Annotated[
        float | None, typer.Option("--budget-mb", help="Megabytes that it may take from now on in this sleep.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")] = None,
) -> None:
    """Tie events that are the same, fold in what was recalled, summarise, and forget what has no room."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory, config=config) as opened:
        slept = opened.sleep(budget)
    if as_json:
        typer.echo(json.dumps(asdict(slept)))
        return
    typer.echo(
        f"{slept.linked} pairs of events linked, {slept.renewed} memories renewed, {slept.summarised} summaries made"
    )
    if slept.forgotten or slept.thinned or slept.thumbnails:
        typer.echo(
            f"{slept.forgotten} percepts forgotten, {slept.thumbnails} pictures gone, "
            f"{slept.thinned} percepts without their tokens"
        )
    if slept.indexed:
        typer.echo(f"indexes made: {', '.join(slept.indexed)}")
    typer.echo(
        f"{slept.bytes_before / 1e6:.1f} MB before, {slept.bytes_after / 1e6:.1f} MB after, without copies of sources"
    )
