"""Names that people give to places: which place is meant, and the change that names it."""

from __future__ import annotations

from dataclasses import replace

from ..errors import MnemeError
from ..records import Place
from . import tables
from .changes import Changes
from .store import StoredSnapshot

LONGEST = 80
"""Characters of a name, at most."""


def meant(places: list[Place], called: str) -> list[Place]:
    """The places that are called so: by id or key, else by name, whatever its case."""
    by_id = [place for place in places if called in (place.id, place.key)]
    return by_id or [place for place in places if place.name and place.name.casefold() == called.casefold()]


def named(snapshot: StoredSnapshot, called: str, name: str) -> tuple[Place, Changes]:
    """The place with its new name, and the change that makes it durable. Errors: as `Memory.name_place`."""
    import pyarrow as pa

    name = " ".join(name.split())
    if len(name) > LONGEST or not name.isprintable() or ";" in name:
        raise MnemeError(f"{name[:40]!r} is no name of a place", f"give at most {LONGEST} characters, without ';'")
    places = snapshot.places()
    found = meant(places, called)
    if not found:
        raise MnemeError(f"there is no place {called!r} in this memory", "mneme places lists those that it knows")
    if len(found) > 1:
        raise MnemeError(
            f"{len(found)} places are called {called!r}", f"give an id: {', '.join(place.id for place in found[:5])}"
        )
    place = replace(found[0], name=name or ("" if found[0].key == found[0].id else found[0].key))
    take = next(state.take for state in snapshot.streams() if state.stream.id == place.stream)
    schema = tables.schemas(snapshot.manifest.spaces)[tables.PLACES]
    rows = pa.Table.from_pylist([tables.place_row(place, take)], schema=schema)
    return place, Changes(put={tables.PLACES: rows}, note={"place": place.id, "name": name})
