"""SAT's allocators, a list at a time."""

from __future__ import annotations

from collections import Counter


def kept(places: list[int], capacity: int, strategy: str) -> list[int]:
    """Indices that stay: when full, one goes before the next is added."""
    memory: list[int] = []
    for index in range(len(places)):
        if capacity == 0:
            continue
        if len(memory) == capacity:
            filled = Counter(places[i] for i in memory)
            if strategy == "lifo":
                continue
            if strategy == "fifo":
                memory.pop(0)
            else:
                wanted = (min if strategy == "lvfo" else max)(filled.values())
                room = min(place for place, count in filled.items() if count == wanted)
                memory.remove(next(i for i in memory if places[i] == room))
        memory.append(index)
    return memory
