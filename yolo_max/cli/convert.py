"""``yolo-max convert``: what of a PyTorch module can be converted to MAX."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from yolo_max.cli.commands import Command, Group, exit_codes
from yolo_max.cli.console import Debug, printable, stdout
from yolo_max.cli.parameters import AsJson, flag, option
from yolo_max.support.options import NETWORK, OUTPUT

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="See what of a PyTorch module can be converted to MAX."
)
_EXIT_CODES = exit_codes("convert")


@app.callback()
def _group() -> None:
    """Keeps `analyze` a command of its own while it is the only one."""


@app.command(cls=Command, epilog=_EXIT_CODES)
def analyze(
    module: Annotated[
        str,
        typer.Argument(
            help="A class or function that makes the module, called without arguments.",
            metavar="MODULE:FACTORY",
            show_default=False,
        ),
    ],
    shapes: Annotated[
        list[str],
        option(
            NETWORK,
            "Shape of an input, such as 1,3,224,224; names are symbolic sizes. Once per input.",
            "--input",
            metavar="SHAPE",
            show_default=False,
        ),
    ],
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

    report = examine(make_module(module), [parse_shape(each) for each in shapes])
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        if layers and report.layers:
            headers = ["operation", "module", "output", "parameters", "FLOPs", "on"]
            rows = [
                [
                    *(each.operation, each.module, each.shape),
                    *(f"{each.parameters:,}", f"{each.flops:,}", each.reason or each.on),
                ]
                for each in report.layers
            ]
            stdout().print(grid(headers, rows, range(len(headers)), figures=False))
        typer.echo(printable_lines(report.summary()))
    if not report.convertible:
        raise typer.Exit(ExitCode.ENGINE)


def printable_lines(text: str) -> str:
    """The text with control characters escaped, but for the ends of lines."""
    return "\n".join(map(printable, text.splitlines()))
