"""The command `mneme repair`: mend what `mneme check` finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def repair_command(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Mend what can be mended, without inventing anything; exit code 1 where something is left."""
    from ..memory.memory import Memory

    with Memory.open(memory, "w") as opened:
        done = opened.repair()
    if as_json:
        typer.echo(json.dumps({"ok": done.ok, "mended": list(done.mended), "left": list(done.left)}))
    else:
        for line in done.mended:
            typer.echo(f"mended: {line}")
        for line in done.left:
            typer.echo(f"left: {line}")
        if not done.mended and done.ok:
            typer.echo("nothing to mend")
    if not done.ok:
        raise typer.Exit(1)
