"""Long-term memory on the disk: one safetensors file a stream and state, named after its bytes, never changed.

    tokens/<hash of the stream>-<hash of the bytes>.safetensors

The numbers stand in arrays, all else in its header as JSON; nothing is pickled. A file is written and flushed to the
disk before the ledger row that names it (`ledger.StreamState.tokens`), so that a crash leaves at most a file that
nobody names. It is written once in so many events: whoever loads it feeds it those that were closed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MemoryFormatError
from ..records import Vector
from .durable import write_whole
from .episodic import in_order
from .ledger import StreamState
from .longterm import Bank, LongTerm, LongTermSettings
from .prototypes import Part, Parts, Prototype
from .store import StoredSnapshot

FOLDER = "tokens"
EVERY = 16
"""Events after which the state is written again."""
BEHIND = 4 * EVERY
"""Events that a reader feeds to a state, at most: what is further behind counts as having none."""
_FORMAT = "mneme long-term 1"


def save(root: Path, stream: str, memory: LongTerm) -> str:
    """Writes the state, durable on return, and gives its path inside the memory. Raises `OSError`."""
    from safetensors.numpy import save as to_bytes

    arrays, header = _plain(memory)
    return write(root, stream, to_bytes(arrays, {"mneme": json.dumps(header, ensure_ascii=False, sort_keys=True)}))


def write(root: Path, stream: str, data: bytes, *, flushed: bool = True) -> str:
    """Writes a file of a stream and gives its path inside the memory; flushed: durable on return. Raises `OSError`."""
    path = Path(FOLDER) / f"{_hash(stream.encode())}-{_hash(data)}.safetensors"
    (root / FOLDER).mkdir(exist_ok=True)
    if not (flushed and (root / path).exists()):
        write_whole(root / path, data, flushed=flushed)
    return path.as_posix()


def is_whole(root: Path, path: str) -> bool:
    """Whether a file holds the bytes that it is named after. Raises `OSError` where it is not there."""
    return Path(path).stem.endswith(_hash((root / path).read_bytes()))


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def load(root: Path, path: str, settings: LongTermSettings | None = None, *, frozen: bool = True) -> LongTerm:
    """The state in a file. frozen: to be shared by readers. `MemoryFormatError` where it cannot be read."""
    from safetensors import safe_open

    try:
        with safe_open(root / path, framework="numpy") as file:
            header = json.loads(file.metadata()["mneme"])
            if header["format"] != _FORMAT:
                raise ValueError(f"its format is {header['format']!r}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        banks = {(b["lane"], b["space"]): _bank(b, arrays, str(i)) for i, b in enumerate(header["banks"])}
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise _unreadable(root, path, error) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _unreadable(root, path, error) from error
    return LongTerm(settings, banks, header["events"], frozen)


def restored(snapshot: StoredSnapshot, state: StreamState, settings: LongTermSettings | None = None) -> LongTerm:
    """The long-term memory of a stream as a snapshot shows it: its file, and the events that were closed since."""
    memory = LongTerm(settings) if state.tokens is None else load(snapshot.root, state.tokens, settings, frozen=False)
    later = [e for e in snapshot.events(state.stream.id) if e.ordinal >= memory.events]
    if later:
        percepts = snapshot.percepts(stream=state.stream.id, t0_ns=later[0].t0_ns, with_vectors=True)
        known = {percept.id: percept for percept in percepts}
        for event in later:
            memory.feed(event, in_order(known[id] for id in event.percepts if id in known))
    return memory


def seen(snapshot: StoredSnapshot, state: StreamState) -> LongTerm | None:
    """As `restored`, frozen; None where it has none: of an earlier release, or of a past whose file has gone."""
    if state.tokens is None:
        if state.events > BEHIND:
            return None
    elif not (snapshot.root / state.tokens).exists():
        return None
    memory = restored(snapshot, state)
    memory.frozen = True
    return memory


def without(
    root: Path, states: Mapping[str, StreamState], events: Collection[str]
) -> tuple[dict[str, StreamState], int]:
    """The streams' states with files that hold nothing of these events, and how many prototypes that concerned.

    The new files are durable on return; the old ones go with `sweep`. A file that is missing holds nothing.
    """
    left, count = {}, 0
    for name, state in states.items():
        if state.successor is not None:
            under, more = without(root, {name: state.successor}, events)
            state, count = replace(state, successor=under[name]), count + more
        if state.tokens is not None and not (root / state.tokens).exists():
            state = replace(state, tokens=None)
        elif state.tokens is not None:
            memory = load(root, state.tokens, frozen=False)
            touched = memory.erase(events)
            count += touched
            state = replace(state, tokens=save(root, name, memory)) if touched else state
        left[name] = state
    return left, count


def named(states: Iterable[StreamState], *, checkpoints: bool = True) -> Iterator[str]:
    """The files that streams name, those of successors too. checkpoints: not of long-term memory alone."""
    for state in states:
        if state.tokens is not None:
            yield state.tokens
        if checkpoints and state.checkpoint is not None:
            yield state.checkpoint
        if state.successor is not None:
            yield from named([state.successor], checkpoints=checkpoints)


def unnamed(state: StreamState) -> StreamState:
    """The state without files: as another memory takes it over."""
    successor = None if state.successor is None else unnamed(state.successor)
    return replace(state, tokens=None, checkpoint=None, successor=successor)


def sweep(root: Path, keep: Collection[str], young_s: float = 0.0) -> int:
    """Removes every file under `tokens/` but these; how many went. Only for the holder of the lock.

    young_s: what was written so many seconds before the newest stays too: a commit may be about to name it.
    """
    written = {path: path.stat().st_mtime for path in (root / FOLDER).glob("*")}
    newest = max(written.values(), default=0.0)
    gone = [
        path
        for path, at in written.items()
        if path.relative_to(root).as_posix() not in keep and (not young_s or at < newest - young_s)
    ]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _plain(memory: LongTerm) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header. Of bank i: i/means float16[parts, d], i/keys float16[keys, d], and what belongs to them."""
    arrays: dict[str, Any] = {}
    banks = []
    for i, ((lane, space), bank) in enumerate(sorted(memory.banks.items())):
        parts = [part for p in bank.prototypes for part in p.parts]
        owners = [p.owner or "" for p in bank.prototypes]
        ids = sorted({part.event for part in parts} | {owner for owner in owners if owner})
        at = {event: index for index, event in enumerate(ids)}
        at[""] = -1
        dim = len(parts[0].mean) if parts else 1
        arrays |= {
            f"{i}/means": _rows([part.mean for part in parts], dim),
            f"{i}/keys": _rows([p.key for p in bank.prototypes if p.key is not None], dim),
            f"{i}/events": np.array([at[part.event] for part in parts], np.int32),
            f"{i}/masses": np.array([part.mass for part in parts], np.float64),
            f"{i}/t_ns": np.array([part.t_ns for part in parts], np.int64),
            f"{i}/parts": np.array([len(p.parts) for p in bank.prototypes], np.int32),
            f"{i}/owners": np.array([at[owner] for owner in owners], np.int32),
            f"{i}/keyed": np.array([p.key is not None for p in bank.prototypes], np.int8),
            f"{i}/life": np.array([[p.use, p.life] for p in bank.prototypes], np.float64).reshape(-1, 2),
        }
        banks.append({"lane": lane, "space": space, "events": ids})
    return arrays, {"format": _FORMAT, "events": memory.events, "banks": banks, "settings": asdict(memory.settings)}


def _bank(header: Mapping[str, Any], arrays: Mapping[str, Any], i: str) -> Bank:
    ids: list[str] = header["events"]
    means, keys = (arrays[f"{i}/{name}"].astype(np.float32) for name in ("means", "keys"))
    events, masses, times = (arrays[f"{i}/{name}"].tolist() for name in ("events", "masses", "t_ns"))
    parts = [Part(ids[e], m, v, t) for e, m, v, t in zip(events, masses, means, times, strict=True)]
    prototypes, first, key = [], 0, 0
    counts, owners, keyed, life = (arrays[f"{i}/{name}"].tolist() for name in ("parts", "owners", "keyed", "life"))
    for count, owner, has_key, (use, lived) in zip(counts, owners, keyed, life, strict=True):
        own: Vector | None = keys[key] if has_key else None
        held = Parts(parts[first : first + count])
        prototypes.append(Prototype(held, own, None if owner < 0 else ids[owner], use, lived))
        first, key = first + count, key + bool(has_key)
    return Bank(tuple(prototypes))


def _rows(vectors: list[Vector], dim: int) -> Any:
    return np.stack(vectors).astype(np.float16) if vectors else np.zeros((0, dim), np.float16)


def _unreadable(root: Path, path: str, error: Exception) -> MemoryFormatError:
    return MemoryFormatError(
        f"the long-term memory {root / path} cannot be read: {error}", "restore the memory from a copy"
    )
