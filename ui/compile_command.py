"""The command `mneme compile`: a profile's towers made ready for a runtime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError

if TYPE_CHECKING:
    from ..pipeline.compile import Compiled


def compile_command(
    profile: Annotated[str, typer.Argument(help="Whose towers: embedded, clip.")],
    runtime: Annotated[str, typer.Option(help="onnx, onnx-cuda or tensorrt.")] = "onnx",
    half: Annotated[bool, typer.Option("--half", help="Weights in half; on a GPU the arithmetic too.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Integers of eight bits, where parity allows.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of both sides of the comparison.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Compile a profile's towers; watching uses them by itself."""
    from ..pipeline.compile import compile_profile

    if half and int8:
        raise SettingsError("--half and --int8 are two precisions", "give one of them")
    precision = "half" if half else "int8" if int8 else "fp32"
    made = compile_profile(
        profile, runtime, precision, threads, done=lambda compiled: None if as_json else typer.echo(_told(compiled))
    )
    if as_json:
        typer.echo(json.dumps([_as_json(compiled) for compiled in made]))


def _told(compiled: Compiled) -> str:
    """What came of one tower, in words."""
    record = compiled.record
    where = f" on {record.gpu}" if record.gpu else ""
    told = (
        f"{record.name}: {record.runtime} {record.precision}{where}, {record.bytes / 1e6:.1f} MB, "
        f"built in {record.build_s:.1f} s, cosine {record.parity:.6f}, {record.speed_up:.2f}x torch eager "
        f"({compiled.compiled_ms:.1f} against {compiled.reference_ms:.1f} ms, batch {record.batch}, "
        f"threads {record.threads})"
    )
    if record.precision == "int8":
        told += "; int8 changes vectors: a memory made with it is best asked with it"
    if record.speed_up <= 1:
        told += f"; it is no faster here: remove {compiled.path} to go back"
    return told


def _as_json(compiled: Compiled) -> dict[str, object]:
    record = compiled.record
    return {
        "tower": record.name,
        "runtime": record.runtime,
        "precision": record.precision,
        "gpu": record.gpu,
        "path": str(compiled.path),
        "bytes": record.bytes,
        "build_s": round(record.build_s, 2),
        "parity": record.parity,
        "speed_up": round(record.speed_up, 3),
        "reference_ms": round(compiled.reference_ms, 3),
        "compiled_ms": round(compiled.compiled_ms, 3),
        "batch": record.batch,
        "threads": record.threads,
    }
