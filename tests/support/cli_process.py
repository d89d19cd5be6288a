"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FAKE_CLI = [sys.executable, str(Path(__file__).parent / "fake_cli.py")]
"""With a network that takes no time."""


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Begins ``yolo-max predict`` with the fake network."""
    return subprocess.Popen(
        [*FAKE_CLI, "predict", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def installed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``yolo-max`` as it is installed."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("yolo-max")), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
