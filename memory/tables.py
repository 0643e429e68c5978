"""The tables of a memory: their columns, and rows to records and back.

`percepts` and `events` have one nullable vector column a space, so that a search in one space never sees another's; a
percept that is described in two spaces fills two of them, and `space` names its own.
`take` tells a stream's recordings apart while one replaces another (`ledger.StreamState`).
`strength`, `recalls` and `recalled_ns` are what decay and renewal by recall act on. Names that came from outside reach
a query only through `literal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MemoryFormatError
from ..records import Event, Lane, Link, Percept, Place, Space, Vector

FOLDER = "tables"
PERCEPTS = "percepts"
EVENTS = "events"
PLACES = "places"
SUMMARIES = "summaries"
LEDGER = "ledger"
VERSIONED = (PERCEPTS, EVENTS, PLACES, SUMMARIES)
"""The tables whose versions a ledger row names; of an earlier release it lacks those of `LATER`."""
LATER = (SUMMARIES,)
"""Tables that a memory of an earlier release gets, empty, when it is first written to."""

WORDS = ["id", "stream", "lane", "camera", "t0_ns", "t1_ns", "ordinal", "space", "text", "origin", "confidence",
         "thumbnail", "place"]  # fmt: skip
"""The columns of `percepts` that are read unless vectors are asked for."""
STORED_AS = {"new_table_data_storage_version": "2.1"}
"""Of Lance's formats the one that keeps a column of equal values like any other. From 2.2 on it is one page, which is
decoded whole for every row that is read: 3 ms a column of a million rows (`stream`, `space`, `ordinal`)."""
DETAIL = ("tokens", "token_count", "look")
"""Those that are read with the vectors. A memory of an earlier release has no `look` until it is written to."""


def column(space: str) -> str:
    """The vector column of a space: lower case, letters and digits, so that it needs no quotes in a query."""
    return "vector_" + re.sub(r"[^a-z0-9]", "_", space.lower())


def check_spaces(spaces: Sequence[Space]) -> None:
    """`MemoryFormatError` where two spaces would share a column or one has no dimension."""
    columns = [column(space.name) for space in spaces]
    if len(set(columns)) < len(columns):
        raise MemoryFormatError(f"two spaces would share a column: {', '.join(sorted(columns))}", "rename one")
    for space in spaces:
        if space.dim < 1:
            raise MemoryFormatError(f"space {space.name!r} has dimension {space.dim}", "it must be at least 1")


def schemas(spaces: Sequence[Space]) -> dict[str, Any]:
    """Table name -> `pyarrow.Schema`; a name that ends with `?` may be null."""
    import pyarrow as pa

    text, whole, real, names = pa.string(), pa.int64(), pa.float32(), pa.list_(pa.string())
    vectors = {column(space.name) + "?": pa.list_(real, space.dim) for space in spaces}
    span = {"t0_ns": whole, "t1_ns": whole, "ordinal": pa.int32()}
    life = {"strength": real, "recalls": pa.int32(), "recalled_ns?": whole}
    links = pa.list_(pa.struct({"kind": text, "event": text, "weight": real}))
    moves = pa.list_(pa.struct({"place": text, "count": whole}))
    states = pa.list_(pa.struct({"table": text, "version": whole, "rows": whole}))
    percepts = (
        {"id": text, "stream": text, "take": pa.int32(), "lane": text, "camera": text, **span}
        | {"space?": text, "text?": text, "origin": text, "confidence": real, "thumbnail?": text, "place?": text}
        | {"tokens?": pa.binary(), "token_count?": pa.int32(), "look?": pa.binary(), **life, **vectors}
    )
    events = (
        {"id": text, "stream": text, "take": pa.int32(), **span, "gist": text, "place?": text, **life}
        | {"lanes": names, "percepts": names, "links": links, **vectors}
    )  # fmt: skip
    places = (
        {"id": text, "stream?": text, "take?": pa.int32(), "key?": text, "name": text}
        | dict.fromkeys(["x?", "y?", "z?", "yaw?", "spread?"], pa.float64())
        | {"visits": whole, "first_ns?": whole, "last_ns?": whole, "moves": moves, **vectors}
    )
    summaries = {
        "id": text,
        "kind": text,
        "stream": text,
        "take": pa.int32(),
        "t0_ns": whole,
        "t1_ns": whole,
        "name": text,
    } | {"text": text, "count": whole, "places": moves, "hours": pa.list_(whole), "events": names}
    ledger = {
        "commit": whole, "committed_ns": whole, "kind": text, "tables": states, "streams": text, "note": text,
    }  # fmt: skip
    columns = {PERCEPTS: percepts, EVENTS: events, PLACES: places, SUMMARIES: summaries, LEDGER: ledger}
    return {
        table: pa.schema([pa.field(name.removesuffix("?"), kind, name.endswith("?")) for name, kind in kinds.items()])
        for table, kinds in columns.items()
    }


def literal(value: str | int) -> str:
    """A value as it may stand in a filter."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def among(name: str, values: Iterable[str]) -> str:
    """The filter `name IN (...)`; nothing is among no values."""
    listed = ", ".join(literal(value) for value in values)
    return f"{name} IN ({listed})" if listed else "false"


def overlapping(t0_ns: int | None, t1_ns: int | None, longest_ns: int | None = None) -> list[str]:
    """Filters for spans that share time with [t0_ns, t1_ns); an instant counts where it stands.

    longest_ns: no span is longer. The filter leaves the same rows with it and without; with it every range in it is as
    narrow as can be, so that indexes of `t0_ns` and `t1_ns` have little to list.
    """
    end = [] if t1_ns is None else [f"t0_ns < {int(t1_ns)}"]
    if t0_ns is None:
        return end
    t0 = int(t0_ns)
    if longest_ns is None or (t1_ns is not None and t1_ns <= t0):
        return [f"(t1_ns > {t0} OR t0_ns >= {t0})", *end]
    within = " AND ".join([f"t0_ns >= {t0}", *end])
    into = f"t0_ns >= {t0 - longest_ns} AND t0_ns < {t0} AND t1_ns > {t0} AND t1_ns <= {t0 + longest_ns}"
    return [f"(({within}) OR ({into}))"]  # nothing that both sides say: Lance would look it up alone, for all rows


def of_take(stream: str, take: int) -> str:
    """The filter for the rows of one take of a stream."""
    return f"(stream = {literal(stream)} AND take = {literal(take)})"


def percept_row(percept: Percept, thumbnail: str | None, take: int) -> dict[str, Any]:
    """One row of `percepts`."""
    row: dict[str, Any] = {name: getattr(percept, name) for name in WORDS if name != "thumbnail"}
    row |= {"take": take, "thumbnail": thumbnail, "strength": 1.0, "recalls": 0}
    if percept.space is not None and percept.vector is not None:
        row[column(percept.space)] = np.asarray(percept.vector, dtype=np.float32)
    row |= {column(space): np.asarray(vector, dtype=np.float32) for space, vector in percept.also.items()}
    if percept.look is not None:
        row["look"] = np.ascontiguousarray(percept.look, dtype="<f2").tobytes()  # [n, d], d of the space it is in
    if percept.tokens is not None:
        tokens = np.ascontiguousarray(percept.tokens, dtype="<f2")  # [n, d]
        row |= {"tokens": tokens.tobytes(), "token_count": len(tokens)}
    return row


def event_row(event: Event, take: int) -> dict[str, Any]:
    """One row of `events`."""
    row: dict[str, Any] = {
        "id": event.id, "stream": event.stream, "take": take, "t0_ns": event.t0_ns, "t1_ns": event.t1_ns,
        "ordinal": event.ordinal, "gist": event.gist, "place": event.place, "strength": event.strength, "recalls": 0,
        "lanes": list(event.lanes), "percepts": list(event.percepts),
        "links": [{"kind": link.kind, "event": link.event, "weight": link.weight} for link in event.links],
    }  # fmt: skip
    return row | {column(space): np.asarray(vector, np.float32) for space, vector in event.vectors.items()}


def place_row(place: Place, take: int) -> dict[str, Any]:
    """One row of `places`."""
    row: dict[str, Any] = {
        "id": place.id, "stream": place.stream, "take": take, "key": place.key, "name": place.name, "x": place.x,
        "y": place.y, "z": place.z, "yaw": place.yaw, "spread": place.spread, "visits": place.visits,
        "first_ns": place.first_ns, "last_ns": place.last_ns,
        "moves": [{"place": id, "count": count} for id, count in place.moves],
    }  # fmt: skip
    return row | {column(space): np.asarray(vector, np.float32) for space, vector in place.vectors.items()}


def vectors_of(rows: Any, space: str) -> list[Vector | None]:
    """The vector column of `space` in a `pyarrow.Table`: float32[d] or None for each row."""
    cells = rows[column(space)].combine_chunks()
    filled = iter(cells.flatten().to_numpy(zero_copy_only=False).reshape(-1, cells.type.list_size))
    return [np.array(next(filled)) if there else None for there in cells.is_valid().to_pylist()]


def longest_of(rows: Any) -> list[int]:
    """How long the longest of some percepts is, ns; nothing of none."""
    import pyarrow.compute as pc

    return [pc.max(pc.subtract(rows["t1_ns"], rows["t0_ns"])).as_py()] if len(rows) else []


def percepts_of(rows: Any, spaces: Sequence[Space]) -> list[Percept]:
    """Percepts from a `pyarrow.Table`; vectors and tokens where their columns were read."""
    known = [space.name for space in spaces if column(space.name) in rows.column_names]
    vectors = {space: vectors_of(rows, space) for space in known}
    plain = rows.select([name for name in rows.column_names if name in WORDS or name in DETAIL])
    found = []
    for i, row in enumerate(plain.to_pylist()):
        del row["id"]
        tokens: NDArray[np.float16] | None = None
        if row.pop("tokens", None) is not None:
            count = row.pop("token_count")
            tokens = np.frombuffer(plain["tokens"][i].as_py(), dtype="<f2").reshape(count, -1)
        row.pop("token_count", None)
        vector = vectors[row["space"]][i] if row["space"] in vectors else None
        also = {s: v for s, cells in vectors.items() if s != row["space"] and (v := cells[i]) is not None}
        look: NDArray[np.float16] | None = None
        if row.pop("look", None) is not None and also:
            dim = len(next(iter(also.values())))
            look = np.frombuffer(plain["look"][i].as_py(), dtype="<f2").reshape(-1, dim)
        found.append(Percept(**row, tokens=tokens, vector=vector, also=also, look=look))
    return found


def events_of(rows: Any, spaces: Sequence[Space]) -> list[Event]:
    """Events from a `pyarrow.Table` of whole rows."""
    columns: Mapping[str, list[Vector | None]] = {space.name: vectors_of(rows, space.name) for space in spaces}
    found = []
    for i, row in enumerate(rows.drop_columns([column(space.name) for space in spaces]).to_pylist()):
        lanes: tuple[Lane, ...] = tuple(row["lanes"])
        found.append(
            Event(
                stream=row["stream"],
                t0_ns=row["t0_ns"],
                t1_ns=row["t1_ns"],
                ordinal=row["ordinal"],
                percepts=tuple(row["percepts"]),
                lanes=lanes,
                vectors={space: v for space, cells in columns.items() if (v := cells[i]) is not None},
                gist=row["gist"],
                place=row["place"],
                strength=row["strength"],
                links=tuple(Link(**link) for link in row["links"]),
            )
        )
    return found


def places_of(rows: Any, spaces: Sequence[Space]) -> list[Place]:
    """Places from a `pyarrow.Table` of whole rows."""
    columns: Mapping[str, list[Vector | None]] = {space.name: vectors_of(rows, space.name) for space in spaces}
    found = []
    for i, row in enumerate(rows.drop_columns([column(space.name) for space in spaces]).to_pylist()):
        del row["take"]
        row["moves"] = tuple((move["place"], move["count"]) for move in row["moves"])
        vectors = {space: v for space, cells in columns.items() if (v := cells[i]) is not None}
        found.append(Place(**row, vectors=vectors))
    return found
