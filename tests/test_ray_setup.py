"""Workers get what the driver has: no worker compiles, and none predicts something else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeEngine, fake_weights

from yolo_max.predict.predictor import Predictor
from yolo_max.ray.setup import Setup
from yolo_max.support.errors import EngineError

CHILD = """
import pickle, sys
from max.engine import InferenceSession

compiled = []
InferenceSession.compile = lambda *_: compiled.append(1)
setup = pickle.loads(open(sys.argv[1], "rb").read())
found = setup.predictor()(sys.argv[2])
print(len(compiled), found.to_dict())
"""


def test_another_machine_runs_the_graph_that_it_is_sent(
    demo_weights: Path, scenes: list[Path], tmp_path: Path
) -> None:
    """A machine of this kind with an empty cache, without the weights' file; it compiles nothing."""
    predictor = Predictor(demo_weights)  # on whatever threads this process has already
    (tmp_path / "setup").write_bytes(pickle.dumps(Setup.of(predictor, threads=1)))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "setup"), str(scenes[0])],
        env={**os.environ, "YOLO_MAX_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"0 {predictor(scenes[0]).to_dict()}\n"
    assert len(list((tmp_path / "cache/graphs").glob("*.mef"))) == 1


def test_a_worker_that_would_predict_something_else_says_so() -> None:
    predictor = Predictor(fake_weights(), engine=FakeEngine())
    setup = Setup.of(predictor, 1, FakeEngine())
    assert setup.predictor().settings() == predictor.settings()
    other = replace(setup, settings={**setup.settings, "yolo_max": "9.9"})
    with pytest.raises(EngineError, match=r"its yolo_max is [^ ]*, not 9\.9; install the same yolo_max"):
        other.predictor()


ARROW = """
import sys
from yolo_max.predict.predictor import Predictor

Predictor(sys.argv[1])(sys.argv[2])
import pyarrow, pyarrow.compute

print(pyarrow.compute.utf8_length(pyarrow.array(["a", "bb"])).to_pylist())
"""


def test_arrow_works_after_max_has_run(demo_weights: Path, scenes: list[Path]) -> None:
    """Ray Data and pandas call it; without care it ends the process."""
    command = [sys.executable, "-c", ARROW, str(demo_weights), str(scenes[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[1, 2]\n"), done.stderr
