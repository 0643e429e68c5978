"""The command `mneme forget`: erase something from a memory, and print the receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..pipeline.receipts import COUNTS, plain_receipt
from .times import seconds_of

if TYPE_CHECKING:
    from ..memory.forget import Receipt


def forget_command(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="A stream, or the one of the span.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Begin of a span of it: 12:30, 1:02:03, 90s.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Its end.")] = None,
    event: Annotated[str | None, typer.Option(help="Id of an event (mneme events lists them).")] = None,
    place: Annotated[str | None, typer.Option(help="A place: all that was perceived there.")] = None,
    text: Annotated[str | None, typer.Option(help="Words: all that was perceived while they were there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")] = None,
) -> None:
    """Erase something for good: from every tier, index and old version; it is not taken in again."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory, config=config) as opened:
        receipt = opened.forget(
            stream=stream,
            t0_s=None if start is None else seconds_of(start),
            t1_s=None if end is None else seconds_of(end),
            event=event,
            place=place,
            text=text,
        )
    if as_json:
        typer.echo(json.dumps(plain_receipt(receipt), ensure_ascii=False))
    else:
        typer.echo(_told(receipt))
    if not receipt.verified:
        raise typer.Exit(1)


def _told(receipt: Receipt) -> str:
    """A receipt in words."""
    counts = ", ".join(f"{count} {name}" for name in COUNTS if (count := getattr(receipt, name)))
    searched = receipt.searched
    looked = f"{searched.files} files and {searched.rows} rows were searched"
    lines = [
        f"forgotten: {counts or 'nothing that was stored'}, in {_spans(len(receipt.spans))}",
        f"commit {receipt.commit} of the ledger, sha256 {receipt.ledger_sha256}",
        f"verified: {looked}, nothing of it is left" if receipt.verified else f"NOT verified: {looked}, and there is",
    ]
    if not receipt.verified:
        lines += [f"  {found}" for found in searched.found] + ["opening the memory to write tries again"]
    return "\n".join(lines)


def _spans(count: int) -> str:
    return f"{count} span{'' if count == 1 else 's'} of time"
