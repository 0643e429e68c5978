"""The command `mneme timeline`: a memory's streams, stretch by stretch, with the events under each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..records import to_s

if TYPE_CHECKING:
    from ..memory.timeline import Stretch


def timeline(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="A stream of the memory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")] = None,
) -> None:
    """Tell the streams in two levels: summaries of stretches, and the events under them."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory, config=config) as opened:
        found = opened.timeline(stream)
    if as_json:
        typer.echo(json.dumps([_as_json(stretch) for stretch in found], ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    console = Console()
    for stretch in found:
        tree = Tree(f"[bold]{escape(stretch.stream)}[/] {_span(stretch.t0_ns, stretch.t1_ns)}  {escape(stretch.text)}")
        for event in stretch.events:
            tree.add(f"{_span(event.t0_ns, event.t1_ns)}  {escape(event.gist)}")
        console.print(tree)


def _span(t0_ns: int, t1_ns: int) -> str:
    return f"{to_s(t0_ns):.1f}-{to_s(t1_ns):.1f} s"


def _as_json(stretch: Stretch) -> dict[str, Any]:
    return {
        "stream": stretch.stream,
        "t0_s": to_s(stretch.t0_ns),
        "t1_s": to_s(stretch.t1_ns),
        "text": stretch.text,
        "slept": stretch.slept,
        "events": [
            {"id": e.id, "t0_s": to_s(e.t0_ns), "t1_s": to_s(e.t1_ns), "gist": e.gist, "strength": e.strength}
            for e in stretch.events
        ],
    }
