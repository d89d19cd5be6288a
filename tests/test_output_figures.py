"""Figures are drawn without a home, too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")

DRAW = """
from yolo_max.output.figures import styled

with styled({"font.size": 8}):
    from matplotlib.figure import Figure

    assert Figure((1, 1)).text(0, 0, "a").get_fontsize() == 8
"""


def test_nothing_is_said_of_a_home_that_cannot_be_written() -> None:
    unset = {"MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        env={**kept, "HOME": "/proc/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
