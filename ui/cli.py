"""The command line: `mneme watch`, `ask`, `events`, `tokens`, `check`, `page`, `serve`, `robot serve`, `doctor`.

What goes wrong is one line on standard error and exit code 2. `--json` prints machine-readable lines on standard
output; progress and notes go to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, cast

import typer

from ..errors import MnemeError
from ..memory.allocator import steady_allocator
from ..records import Answer, Event, Lane, to_s
from .compile_command import compile_command
from .correct_command import Merge, Split, SplitAt, corrected
from .exchange_command import export_command, import_command
from .forget_command import forget_command
from .places_command import places
from .progress import bars
from .reencode_command import reencode
from .repair_command import repair_command
from .sleep_command import sleep_command
from .timeline_command import timeline

if TYPE_CHECKING:
    from ..memory.memory import Ack
    from ..pipeline.watch import Watched

P = ParamSpec("P")
LANCE_SAYS = "warn,lance::index::vector::builder=error"
"""The logs of LanceDB and Lance. At each compaction of a large memory they warn of each cell that got nothing."""

app = typer.Typer(
    help=__doc__.splitlines()[0] if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MemoryFolder = Annotated[Path, typer.Option("--memory", "-m", help="The memory's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
StreamName = Annotated[str | None, typer.Option("--stream", "-s", help="A stream of the memory.")]
Config = Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).")]


def main() -> None:
    """The entry point: faults that the user can mend become one line and exit code 2."""
    steady_allocator()
    for log in ("LANCEDB_LOG", "LANCE_LOG"):
        os.environ.setdefault(log, LANCE_SAYS)  # before they are imported
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    said = logging.StreamHandler(sys.stderr)
    said.setFormatter(logging.Formatter("mneme: %(message)s"))
    chooser = logging.getLogger("mneme.encoders.pretrained")  # what `auto` came to is one line for everyone
    chooser.setLevel(logging.INFO)
    chooser.addHandler(said)
    chooser.propagate = False
    app()


def mendable(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose faults are one line on standard error and exit code 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MnemeError as error:
            typer.echo(f"mneme: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("mneme: stopped; what was acknowledged is remembered", err=True)
            raise typer.Exit(130) from None

    return run


@app.command()
@mendable
def watch(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Video or sound files.")],
    memory: MemoryFolder,
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="Remember it by this name.")] = None,
    fps: Annotated[float | None, typer.Option(help="Pictures a second that are looked at.")] = None,
    subtitles: Annotated[Path | None, typer.Option(help="An .srt or .vtt file.")] = None,
    no_subtitles: Annotated[
        bool, typer.Option("--no-subtitles", help="Recognise speech even where there are some.")
    ] = False,
    lanes: Annotated[str | None, typer.Option(help="Of vision,sound,speech,caption.")] = None,
    profile: Annotated[str | None, typer.Option(help="Encoders of a new memory.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Forget an earlier stream of that name.")] = False,
    acks: Annotated[bool, typer.Option("--acks", help="Print a line as each commit becomes durable.")] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Watch side by side: so many encoder actors of Ray.", min=1)
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Watch videos and remember them."""
    from ..pipeline.mneme import open_memory

    if stream is not None and len(sources) > 1:
        raise MnemeError("--stream names one source, and there are several", "watch them one at a time")
    wanted = cast("list[Lane] | None", [lane.strip() for lane in lanes.split(",")] if lanes is not None else None)
    quiet = as_json or acks or not sys.stderr.isatty()

    def acknowledged(ack: Ack, name: str | None = None) -> None:
        if acks:
            named = {} if name is None else {"stream": name}
            _line({**named, "acked_t_s": to_s(ack.acked_t_ns), "percepts": len(ack.percepts)})

    if workers is not None:
        from ..pipeline.conductor import Failed, watch_many

        with bars(quiet) as shown:
            results = watch_many(
                sources, memory, workers,
                profile=profile, stream=stream, fps=fps, subtitles=subtitles, words=not no_subtitles, lanes=wanted,
                replace=replace, config=config,
                progress=shown.advance if shown else None,
                notice=shown.note if shown else lambda line: typer.echo(f"mneme: {line}", err=True),
                acknowledged=lambda name, ack: acknowledged(ack, name),
            )  # fmt: skip
        failed = [result for result in results if isinstance(result, Failed)]
        for failure in failed:
            typer.echo(f"mneme: {failure.error}", err=True)
        if as_json:
            lost = {id(f): {"source": f.source, "stream": f.stream, "error": str(f.error)} for f in failed}
            _line([lost[id(r)] if isinstance(r, Failed) else _watched(r) for r in results])
        else:
            for result in results:
                if not isinstance(result, Failed):
                    typer.echo(_told(result))
        if failed:
            raise typer.Exit(2)
        return
    watched: list[Watched] = []
    try:
        with open_memory(memory, profile, config=config) as opened:
            for source in sources:
                with bars(quiet) as shown:
                    done = opened.watch(
                        source,
                        False if no_subtitles else subtitles,
                        stream,
                        fps,
                        lanes=wanted,
                        replace=replace,
                        progress=partial(shown.advance, Path(source).name) if shown else None,
                        acknowledged=acknowledged,
                    )
                watched.append(done)
                if not as_json:
                    typer.echo(_told(done))
    finally:  # of several, what came before one that failed is told too
        if as_json and watched:
            _line(_watched(watched[0]) if len(sources) == 1 else [_watched(done) for done in watched])


@app.command()
@mendable
def ask(
    question: str,
    memory: MemoryFolder,
    image: Annotated[Path | None, typer.Option(help="A picture that the question is about.")] = None,
    stream: StreamName = None,
    reasoner: Annotated[str, typer.Option(help="extractive, or openai for any compatible endpoint.")] = "extractive",
    as_of: Annotated[
        str | None, typer.Option(help="What it knew then: #12 (a commit), 2026-11-21T10:00, or 12:30 of the stream.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Ask a memory in plain language."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory, config=config) as opened:
        answer = opened.ask(question, image, stream, reasoner, as_of)
    if as_json:
        _line(_answer(answer))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(answer.text, style="yellow" if answer.abstained else "bold", markup=False)
    if answer.evidence:
        table = Table("stream", "time", "lane", "score", "evidence", box=None, pad_edge=False)
        for item in answer.evidence:
            table.add_row(
                escape(item.stream),
                f"{to_s(item.t0_ns):.1f}-{to_s(item.t1_ns):.1f} s",
                item.lane,
                f"{item.score:.2f}",
                item.text.replace("\n", " / "),
            )
        console.print(table)


@app.command()
@mendable
def events(
    memory: MemoryFolder,
    stream: StreamName = None,
    merge: Merge = None,
    split: Split = None,
    at: SplitAt = None,
    as_json: AsJson = False,
) -> None:
    """List the events of a memory, or correct where one ends: those that came of it."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory) as opened:
        found = corrected(opened, stream, merge, split, at) or opened.events(stream)
    if as_json:
        _line([_event(event) for event in found])
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "stream", "time", "lanes", "gist", box=None, pad_edge=False)
    for event in found:
        table.add_row(
            event.id,
            escape(event.stream),
            f"{to_s(event.t0_ns):.1f}-{to_s(event.t1_ns):.1f} s",
            ", ".join(event.lanes),
            escape(event.gist),
        )
    Console().print(table)


@app.command()
@mendable
def tokens(
    memory: MemoryFolder,
    budget: Annotated[int, typer.Option("--budget", "-b", help="How many tokens, 1 to 65536.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npz file to write (one that is there is replaced).")],
    query: Annotated[str | None, typer.Option("--query", "-q", help="Words that say what to recall.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture that says what to recall.")] = None,
    lane: Annotated[str, typer.Option(help="Of vision,sound,speech,caption.")] = "vision",
    stream: StreamName = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Write what a policy or a VLM is handed of a memory: tokens, working and recalled, under one budget."""
    from ..pipeline.mneme import open_memory
    from ..pipeline.token_file import writable, write

    if query is not None and image is not None:
        raise MnemeError("--query and --image both say what to recall", "give one of them")
    target = writable(out)
    with open_memory(memory, config=config) as opened:
        found = opened.tokens(budget, image if query is None else query, cast("Lane", lane), stream)
    write(target, found)
    tiers = {tier: found.tier.count(tier) for tier in ("working", "recalled", "long") if tier in found.tier}
    if as_json:
        shape = {"budget": budget, "tokens": int(found.mask.sum()), "dim": found.tokens.shape[1]}
        _line({"out": str(target), "lane": found.lane, "space": found.space, **shape, "tiers": tiers})
        return
    told = ", ".join(f"{count} {tier}" for tier, count in tiers.items()) or "the memory holds nothing of this lane"
    typer.echo(f"{target}: {int(found.mask.sum())} of {budget} tokens of {found.lane} ({told})")


@app.command()
@mendable
def check(memory: MemoryFolder, as_json: AsJson = False) -> None:
    """Verify a memory; exit code 1 when something is wrong with it."""
    from ..pipeline.mneme import open_memory

    with open_memory(memory) as opened:
        report = opened.check()
    if as_json:
        _line(
            {
                "ok": report.ok,
                "percepts": report.percepts,
                "events": report.events,
                "last_t_s": to_s(report.last_t_ns),
                "problems": list(report.problems),
            }
        )
    else:
        typer.echo(
            f"{'sound' if report.ok else 'damaged'}: {report.percepts} percepts, {report.events} events, "
            f"up to {to_s(report.last_t_ns):.1f} s"
        )
        for problem in report.problems:
            typer.echo(f"  {problem}")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
@mendable
def page(
    memory: MemoryFolder,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: a free one.")] = 7860,
    host: Annotated[str, typer.Option(help="Where to listen. The page has no login.")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    config: Config = None,
) -> None:
    """Open the page of a memory: add videos, ask, see the moments."""
    from .app import run

    run(memory, host, port, config, open_browser)


@app.command()
@mendable
def serve(
    memory: MemoryFolder,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Where to listen.")] = 8000,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(envvar="MNEME_TOKEN", help="Requests must carry it (Authorization: Bearer T).")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="A live source: [NAME=]rtsp://... or a camera's number.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Encoders of a new memory.")] = None,
    config: Config = None,
) -> None:
    """Serve a memory over HTTP and WebSockets, with live streams, until it is stopped."""
    from ..deploy.serve import run

    run(
        memory, host=host, port=port, token=token, sources=source or (), config=config, profile=profile,
        say=lambda line: typer.echo(f"mneme: {line}", err=True),
    )  # fmt: skip


robot = typer.Typer(help="Give robots a memory.", no_args_is_help=True)
app.add_typer(robot, name="robot")


@robot.command("serve")
@mendable
def serve_robot(
    memory: MemoryFolder,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(envvar="MNEME_TOKEN", help="Robots must give it (Authorization: Api-Key T).")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="WS://...", help="An openpi policy server that observations go on to.")
    ] = None,
    lanes: Annotated[str, typer.Option(help="Of vision,caption,state.")] = "vision,state",
    stream: Annotated[str, typer.Option("--stream", "-s", help="Episodes are named STREAM-1, STREAM-2, ...")] = "robot",
    config: Config = None,
) -> None:
    """Serve a memory to robots, as a policy server of openpi's protocol that remembers what it is sent."""
    from ..deploy.policy import run

    run(
        memory, host, port, token=token, upstream=upstream, stream=stream, config=config,
        lanes=cast("list[Lane]", [lane.strip() for lane in lanes.split(",")]),
        ready=lambda address: typer.echo(f"mneme: robots are served at {address}; Ctrl-C ends it", err=True),
    )  # fmt: skip


@app.command()
@mendable
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which lanes and runtimes work, and why the others do not."""
    from .doctor import examine

    findings = examine()
    if as_json:
        _line([{"kind": f.kind, "name": f.name, "works": f.works, "detail": f.detail} for f in findings])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", "name", "works", "detail", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(
            finding.kind,
            finding.name,
            "yes" if finding.works else "no",
            finding.detail,
            style=None if finding.works else "dim",
        )
    Console().print(table)


def _line(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def _told(done: Watched) -> str:
    """A watch in words."""
    return (
        f"{done.stream}: {done.duration_s:.1f} s in {done.events} events and {done.percepts} percepts, "
        f"at {done.realtime_factor:.1f}x real time; the memory takes {done.bytes / 1e6:.1f} MB"
    )


def _watched(done: Watched) -> dict[str, Any]:
    return {
        "stream": done.stream,
        "duration_s": done.duration_s,
        "frames": done.frames,
        "events": done.events,
        "percepts": done.percepts,
        "realtime_factor": round(done.realtime_factor, 2),
        "bytes": done.bytes,
        "dropped": done.dropped,
    }


app.command("compile")(mendable(compile_command))
app.command("export")(mendable(export_command))
app.command("forget")(mendable(forget_command))
app.command("import")(mendable(import_command))
app.command("reencode")(mendable(reencode))
app.command("places")(mendable(places))
app.command("repair")(mendable(repair_command))
app.command("sleep")(mendable(sleep_command))
app.command("timeline")(mendable(timeline))


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "evidence": [
            {
                "stream": e.stream,
                "t0_s": to_s(e.t0_ns),
                "t1_s": to_s(e.t1_ns),
                "lane": e.lane,
                "text": e.text,
                "score": e.score,
                "thumbnail": e.thumbnail,
                "place": e.place,
            }
            for e in answer.evidence
        ],
        "timings_ms": {name: round(value, 1) for name, value in answer.timings_ms.items()},
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "stream": event.stream,
        "t0_s": to_s(event.t0_ns),
        "t1_s": to_s(event.t1_ns),
        "gist": event.gist,
        "place": event.place,
        "lanes": list(event.lanes),
    }
