"""Ctrl-C and SIGTERM, at any moment of a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import start
from fakes import read_tree, write_image

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode

pytestmark = pytest.mark.usefixtures("fake_network")


WAITS_IN_AN_IMPORT = """
import sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Finder())
from yolo_max.cli import main
main()
"""


@pytest.mark.parametrize(
    "module", ["typer", "yolo_max.cli.predict", "yolo_max.predict.predictor", "numpy", "cv2"]
)
def test_ctrl_c_while_starting_is_one_line(photos: Path, module: str) -> None:
    command = [
        sys.executable,
        "-c",
        WAITS_IN_AN_IMPORT.replace("sys.argv[1]", repr(module)),
        "predict",
        "photos",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and what they start inherits that: tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert process.communicate()[1] == "Interrupted.\n"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lines_of(manifest: Path) -> int:
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for i in range(80):
        write_image(tmp_path / "many" / f"{i:02}.png", i)
    return tmp_path / "many"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_what_has_begun(many: Path, number: int) -> None:
    process = start("many", "-o", "out", "--no-times", FAKE_NAP="0.05")
    wait_for(lambda: lines_of(Path("out/predictions.jsonl")) >= 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Finishing the images that have begun" in err
    assert "--resume" in out
    done = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert 5 <= len(done) < 60
    assert {path.name for path in Path("out").glob("*.png")} == {record["annotated"] for record in done}
    assert run(["predict", "many", "-o", "out", "--no-times", "--resume"]) == 0
    assert run(["predict", "many", "-o", "whole", "--no-times"]) == 0
    assert read_tree(Path("out")) == read_tree(Path("whole"))


def test_a_second_ctrl_c_stops_at_once(many: Path) -> None:
    process = start("many", "-o", "out", FAKE_NAP="100")
    wait_for(lambda: lines_of(Path("out/run.json")) > 0)
    time.sleep(0.5)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert time.monotonic() - begin < 20
    process.communicate()


def test_ctrl_c_while_compiling_stops_at_once(many: Path) -> None:
    process = start("many", "-o", "out", FAKE_COMPILE="100")
    assert process.stderr is not None
    assert process.stderr.readline() == "Compiling the network.\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert process.communicate()[1] == "Interrupted.\n"
    assert not Path("out").exists()
