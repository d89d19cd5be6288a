from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "support" / "fuzz_images.py"


@pytest.mark.parametrize("seed", range(2))
def test_thousands_of_mutants_are_decoded_or_refused(seed: int) -> None:
    # In a process of its own with 512 MB to spare: a crash, a hang, or memory taken on a header's word fails.
    count = 3000
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(seed), str(count)]
    run = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    outcomes = json.loads(run.stdout)
    assert outcomes["decoded"] + outcomes["refused"] == count
    assert min(outcomes.values()) > count / 20
