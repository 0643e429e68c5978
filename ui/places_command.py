"""The command `mneme places`: where the streams of a memory were, and what people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MnemeError
from ..records import to_s

if TYPE_CHECKING:
    from ..pipeline.places import Listed


def places(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")],
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="A stream of the memory.")] = None,
    name: Annotated[
        tuple[str, str] | None,
        typer.Option("--name", metavar="PLACE NAME", help='Call a place (its id or its name) so; "" takes it away.'),
    ] = None,
    find: Annotated[str | None, typer.Option("--find", help="Only those that these words name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")] = None,
) -> None:
    """List the places of a memory, or give one a name."""
    from ..pipeline.mneme import open_memory
    from ..pipeline.places import matching

    with open_memory(memory, config=config) as opened:
        if name is not None:
            opened.name_place(*name)
        found = opened.places(stream)
    titles = {each.place.id: each.title for each in found}
    if find is not None:
        found = matching(found, find)
        if not found:
            raise MnemeError(f"no place is called {find!r}", "mneme places lists those that there are")
    if as_json:
        typer.echo(json.dumps([_as_json(each, titles) for each in found], ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "name", "stream", "visits", "time", "from here to", box=None, pad_edge=False)
    for each in found:
        place = each.place
        table.add_row(
            place.id,
            escape(each.title),
            escape(place.stream),
            str(place.visits),
            f"{to_s(place.first_ns):.1f}-{to_s(place.last_ns):.1f} s",
            escape(", ".join(f"{titles.get(id, id)} {count}x" for id, count in place.moves)),
        )
    Console().print(table)


def _as_json(each: Listed, titles: dict[str, str]) -> dict[str, Any]:
    place = each.place
    pose = None if place.x is None else {"x": place.x, "y": place.y, "z": place.z, "yaw": place.yaw}
    return {
        "id": place.id,
        "name": each.title,
        "named": place.renamed,
        "key": place.key,
        "room": each.room or None,
        "stream": place.stream,
        "visits": place.visits,
        "first_s": to_s(place.first_ns),
        "last_s": to_s(place.last_ns),
        "pose": pose,
        "spread": place.spread,
        "moves": [{"to": id, "name": titles.get(id), "count": count} for id, count in place.moves],
    }
