"""``yolo-max convert``: PyTorch modules to MAX: what can be converted, export to a file, speed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from yolo_max.cli.commands import Command, Group, exit_codes
from yolo_max.cli.console import Debug, busy, printable, say, stdout
from yolo_max.cli.parameters import AsJson, Quiet, flag, option
from yolo_max.kernels.precision import Precision
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.options import NETWORK, OUTPUT
from yolo_max.support.parse import words_of
from yolo_max.support.text import file_size

app = typer.Typer(cls=Group, no_args_is_help=True, help="Convert PyTorch modules to MAX.")
_EXIT_CODES = exit_codes("convert")
MEASURED = "How it is measured"

ModuleName: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="A class or function that makes the module, called without arguments.",
        metavar="MODULE:FACTORY",
        show_default=False,
    ),
]
Shapes: TypeAlias = Annotated[
    list[str],
    option(
        NETWORK,
        "Shape of an input, such as 1,3,224,224; names are symbolic sizes. Once per input.",
        "--input",
        metavar="SHAPE",
        show_default=False,
    ),
]
PrecisionName: TypeAlias = Annotated[
    str,
    option(NETWORK, "f32, or bf16 for maps between convolutions.", "--precision", metavar="NAME"),
]
Overwrite: TypeAlias = Annotated[bool, flag(OUTPUT, "Replace a file that is there.", "--overwrite")]


@app.command(cls=Command, epilog=_EXIT_CODES)
def analyze(
    module: ModuleName,
    shapes: Shapes,
    precision: PrecisionName = Precision.F32,
    layers: Annotated[bool, flag(OUTPUT, "Print a row for each operation.", "--layers")] = False,
    as_json: AsJson = False,
    _debug: Debug = False,
) -> None:
    """Say how much of a PyTorch module is converted, and what is in the way.

    The module is imported, so its code runs. Exit code 5 if not all of it can be converted.
    """
    from yolo_max.convert.analyzer import analyze as examine
    from yolo_max.convert.factory import make_module, parse_shape
    from yolo_max.support.errors import ExitCode
    from yolo_max.support.terminal_table import grid

    dtype = _dtype(precision)
    report = examine(make_module(module), [parse_shape(each) for each in shapes], dtype=dtype)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        if layers and report.layers:
            headers = ["operation", "module", "output", "parameters", "FLOPs", "on", "precision"]
            rows = [
                [
                    *(_short(each.operation), each.module, each.shape),
                    *(f"{each.parameters:,}", f"{each.flops:,}", each.reason or each.on),
                    Precision.BF16 if each.bf16 else Precision.F32,
                ]
                for each in report.layers
            ]
            stdout().print(grid(headers, rows, range(len(headers)), figures=False))
        typer.echo(printable_lines(report.summary()))
    if not report.convertible:
        raise typer.Exit(ExitCode.ENGINE)


@app.command(cls=Command, epilog=_EXIT_CODES)
def export(
    module: ModuleName,
    shapes: Shapes,
    out: Annotated[
        Path,
        option(OUTPUT, "Where to write.", *("--out", "-o"), metavar="OUT.safetensors", show_default=False),
    ],
    precision: PrecisionName = Precision.F32,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Convert a PyTorch module and write it to a file that runs without PyTorch.

    The module is imported, so its code runs. Exit code 5 if not all of it can be converted.
    """
    from yolo_max.convert.exporter import export as write
    from yolo_max.convert.factory import make_module, parse_shape

    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors; name another file with -o.")
    _require_free(out, overwrite)
    dtype = _dtype(precision)
    with busy(quiet) as begin:
        begin(f"Converting {printable(module)}")
        write(make_module(module), out, [parse_shape(each) for each in shapes], dtype=dtype)
    if not quiet:
        say(f"Wrote {printable(str(out))}: {file_size(out.stat().st_size)}.")


@app.command(cls=Command, epilog=_EXIT_CODES)
def bench(
    module: ModuleName,
    shapes: Annotated[
        list[str],
        option(
            NETWORK,
            "Shape of an input, such as 1,3,224,224; batch=8,3,224,224 has a symbolic size, measured at 8. "
            "Once per input.",
            "--input",
            metavar="SHAPE",
            show_default=False,
        ),
    ],
    engines: Annotated[
        list[str] | None,
        option(
            MEASURED,
            "Some of max, max-bf16, torch, torch-compile, onnxruntime, openvino, openvino-bf16.",
            metavar="LIST",
            show_default="all of float32 that can run here",
        ),
    ] = None,
    rounds: Annotated[int, option(MEASURED, "Rounds, each in a new random order.", metavar="N")] = 5,
    seconds: Annotated[float, option(MEASURED, "How long an engine is timed in a round.", metavar="S")] = 1.0,
    threads: Annotated[
        int | None,
        option(
            MEASURED,
            "Threads of each engine, and CPUs it is pinned to.",
            metavar="N",
            show_default="all CPUs",
        ),
    ] = None,
    against: Annotated[
        str | None,
        option(OUTPUT, "The engine that speed-ups refer to.", metavar="ENGINE", show_default="torch"),
    ] = None,
    out: Annotated[
        Path | None,
        option(OUTPUT, "Write what --json prints to a file.", "--out", "-o", metavar="FILE"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Time a PyTorch module on MAX, PyTorch, ONNX Runtime and OpenVINO.

    Each has its own process and is timed in turn, in rounds, while all others are stopped. Random weights
    are the same for all. The module is imported, so its code runs.
    """
    from yolo_max.bench.module_bench import ModuleBench
    from yolo_max.bench.report.text import show

    asked = ModuleBench(
        module, shapes, engines and words_of(engines), rounds, seconds, threads, against=against
    )
    if out is not None:
        _require_free(out, overwrite)
    with busy(quiet) as begin:
        results = asked.run(begin)
    record = json.dumps(results.to_dict())
    if out is not None:
        write_atomically(out, record.encode())
    if as_json:
        typer.echo(record)
    else:
        show([results.table()], [], stdout())


def _dtype(precision: str) -> str:
    """What the converter calls a precision."""
    return "bfloat16" if Precision.parse(precision) is Precision.BF16 else "float32"


def _short(operation: str) -> str:
    """``conv2d`` for PyTorch's ``aten.conv2d.default``, as there is little room in a table."""
    return operation.removeprefix("aten.").removesuffix(".default")


def _require_free(out: Path, overwrite: bool) -> None:
    if os.path.lexists(out) and not overwrite:
        raise OutputError(f"{out} exists; name another file with --out, or use --overwrite to replace it.")


def printable_lines(text: str) -> str:
    """The text with control characters escaped, but for the ends of lines."""
    return "\n".join(map(printable, text.splitlines()))
