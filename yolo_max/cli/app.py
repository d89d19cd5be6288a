"""Assembles the commands and turns an error into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from yolo_max import __version__
from yolo_max.cli import cache, convert, weights
from yolo_max.cli.bench import bench
from yolo_max.cli.commands import Command, Group, exit_codes
from yolo_max.cli.compare import compare
from yolo_max.cli.console import Debug, debugging, say, say_error
from yolo_max.cli.parameters import TERMINAL, flag
from yolo_max.cli.predict import predict
from yolo_max.cli.serve import serve
from yolo_max.cli.val import val
from yolo_max.support.errors import ExitCode, YoloMaxError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import shorten

OPTIONAL = ("torch", "ultralytics")
"""Packages that prediction from a safetensors file does not need, so an environment may lack them."""

app = typer.Typer(
    name="yolo-max",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    help="YOLO on Modular MAX.",
)
app.command(cls=Command, epilog=exit_codes("predict"))(predict)
app.command("detect", cls=Command, epilog=exit_codes("predict"), hidden=True)(predict)
app.command(cls=Command, epilog=exit_codes("compare"))(compare)
app.command(cls=Command, epilog=exit_codes("val"))(val)
app.command(cls=Command, epilog=exit_codes("bench"))(bench)
app.command(cls=Command, epilog=exit_codes("serve"))(serve)
app.add_typer(weights.app, name="weights", epilog=exit_codes("weights"))
app.add_typer(convert.app, name="convert", epilog=exit_codes("convert"))
app.add_typer(cache.app, name="cache", epilog=exit_codes("cache"))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"yolo-max {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _: Annotated[
        bool, flag(TERMINAL, "Show the version.", "--version", callback=_version, is_eager=True)
    ] = False,
    _debug: Debug = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str]) -> int:
    """Runs one command; see `yolo_max.cli.run`."""
    # A second wall, behind the check of headers, in child processes too. OpenCV reads it when it is imported.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(PredictOptions.max_pixels))
    try:
        code = app(arguments, prog_name="yolo-max", standalone_mode=False)
    except YoloMaxError as error:
        _show(error, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # What is still buffered must not raise again at exit.
        sys.stdout = None
        return ExitCode.READER_GONE
    except SystemExit as leaving:
        if leaving.code != 1:  # completion has done what was asked
            raise
        return ExitCode.READER_GONE  # 1 is typer's answer to the same, within a command
    except OSError as error:
        return _of_the_system(error)
    except MemoryError as error:
        _show(error, "memory ran out; use smaller images, a smaller --imgsz or --batch, or fewer --workers.")
        return ExitCode.ENGINE
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPTIONAL:
            return _unexpected(error)
        _show(error, f"this needs {package}, which is not installed; pip install {package}.")
        return ExitCode.ENGINE
    except Exception as error:
        return _unexpected(error)
    if code == ExitCode.INTERRUPTED:
        say("Interrupted.", "yellow")
    return int(code or ExitCode.OK)


def _of_the_system(error: OSError) -> ExitCode:
    """What the operating system refuses wherever it is asked; other refusals are sentences of their own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _show(error, f"{error.filename or 'standard output'} cannot be written: {error.strerror}.")
        return ExitCode.OUTPUT
    if error.errno == errno.ENAMETOOLONG:
        _show(error, f"{shorten(str(error.filename))} is too long for a path; use a shorter one.")
        return ExitCode.USAGE
    try:
        Path.cwd()
    except FileNotFoundError:
        _show(error, "the working directory was removed; change to another one.")
        return ExitCode.USAGE
    return _unexpected(error)


def _unexpected(error: Exception) -> ExitCode:
    _show(error, f"unexpected {type(error).__name__}: {error} (run it again with --debug, and report it)")
    return ExitCode.UNEXPECTED


def _show(error: Exception, message: str) -> None:
    if debugging():
        sys.excepthook(type(error), error, error.__traceback__)
    else:
        say_error(" ".join(message.split()))
