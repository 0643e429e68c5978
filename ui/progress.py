"""Progress of watching on standard error: a bar a stream, with speed (x real time) and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ..pipeline.watch import Progress


class Bars:
    """One bar for each stream that has come forward."""

    def __init__(self, shown: Any) -> None:
        """shown: a `rich.progress.Progress`."""
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}

    def advance(self, name: str, progress: Progress) -> None:
        """A stream has come so far."""
        from rich.markup import escape

        if name not in self._tasks:
            self._tasks[name] = self._shown.add_task(escape(name), total=None, speed="")
        task = self._tasks[name]
        speed = self._shown.tasks[task].speed
        self._shown.update(
            task,
            completed=progress.t_ns / 1e9,
            total=None if progress.duration_ns is None else progress.duration_ns / 1e9,
            speed="" if speed is None else f"{speed:.1f}x, {progress.percepts} percepts",
        )

    def note(self, line: str) -> None:
        """A line above the bars."""
        self._shown.console.print(line, markup=False, highlight=False)


@contextmanager
def bars(quiet: bool) -> Iterator[Bars | None]:
    """Bars while the context lasts; None where nothing is to be shown."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield Bars(shown)
