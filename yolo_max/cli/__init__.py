"""The command line, ``yolo-max``.

app.py        the commands put together, and how an error becomes one line and an exit code
commands.py   what all commands look like in their help
hints.py      what users of `yolo` type, and what to type here
parameters.py options that several commands share
console.py, progress.py, summary.py, interrupt.py               the terminal
predict.py, compare.py, val.py, bench.py, weights.py, cache.py   the commands

Importing what a command needs takes some tenths of a second, and Ctrl-C is to end it then as well; so this
module imports nothing that takes long.
"""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper

INTERRUPTED = 130
"""`yolo_max.support.errors.ExitCode.INTERRUPTED`, before that is imported."""


def main() -> None:
    """Runs the command line and exits with an `yolo_max.support.errors.ExitCode`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave_at_once)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: Without the name of the program.

    Returns:
        The exit code. Errors have been printed, on one line each unless tracebacks were asked for.
    """
    from yolo_max.cli import app

    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal or file that cannot take a sign is no reason to lose the rest.
        sys.stdout.reconfigure(errors="backslashreplace")
    return app.run(arguments)


def leave_at_once(_number: int, _frame: object) -> None:
    """Ctrl-C while nothing is at stake: an exception would surface in the middle of somebody's import."""
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)
