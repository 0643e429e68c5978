"""The commands `mneme export` and `mneme import`: a memory as plain files, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..memory.exchange import Exchanged

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def export_command(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the files.")],
    as_json: AsJson = False,
) -> None:
    """Write a memory as Arrow files and pictures, which pandas and DuckDB read."""
    from ..memory.exchange import export
    from ..memory.memory import Memory

    with Memory.open(memory) as opened:
        done = opened.reading(lambda snapshot: export(snapshot, out))
    _tell(done, f"exported to {out}", as_json)


def import_command(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="What mneme export wrote.")],
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The folder of the memory that is made.")],
    as_json: AsJson = False,
) -> None:
    """Make a memory of what was exported."""
    from ..memory.exchange import bring_in

    _tell(bring_in(source, memory), f"imported into {memory}", as_json)


def _tell(done: Exchanged, what: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    counts = ", ".join(f"{count} {name}" for name, count in done.rows.items() if count)
    typer.echo(f"{what}: {counts or 'nothing'}; {done.files} files, {done.bytes / 1e6:.1f} MB")
    typer.echo(f"content sha256 {done.content_sha256}")
