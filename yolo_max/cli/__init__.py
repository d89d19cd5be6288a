"""The command line, ``yolo-max``.

app.py         assembles the commands; turns an error into one line and an exit code
commands.py    the look of every command's help
hints.py       what users of `yolo` type, and what to type here          syntax.py  what a command takes
parameters.py  options that several commands share     config.py  options from a file
alone.py       options that are typed without their value
spread.py      a run of predict on Ray
console.py, progress.py, summary.py, interrupt.py               the terminal
predict.py, compare.py, val.py, bench.py, serve.py, weights.py, convert.py, cache.py  the commands
analyze.py, compile.py                                          two of `weights`

This module imports nothing slow, so that Ctrl-C works while the rest is being imported.
"""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper

INTERRUPTED = 130
"""`yolo_max.support.errors.ExitCode.INTERRUPTED`, before that is imported."""


def main() -> None:
    """Runs the command line and exits with a `yolo_max.support.errors.ExitCode`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave_at_once)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code. Errors are printed, on one line each unless tracebacks were asked for.
    """
    from yolo_max.cli import app

    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal cannot show must not cost the rest of the output.
        sys.stdout.reconfigure(errors="backslashreplace")
    return app.run(arguments)


def leave_at_once(_number: int, _frame: object) -> None:
    """Exits on Ctrl-C during startup, where an exception would surface in the middle of an import."""
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)
