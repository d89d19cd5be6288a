"""Images that kill the process that decodes them cost one record each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import read_tree, write_image
from test_images_trial import CRASHING_DECODER, crashing

from yolo_max.predict.folder.in_flight import InFlight
from yolo_max.support.errors import OutputError
from yolo_max.support.result_names import IN_FLIGHT_FILE

HERE = Path(__file__).parent / "support"
REASON = "decoding it crashes the process (Segmentation fault)"


def run(source: Path, out: Path, *options: str) -> int:
    """The exit code of a run whose decoder crashes on files that say "crash"; it resumes a previous run."""
    path = os.pathsep.join([str(CRASHING_DECODER), str(HERE), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(HERE / "crashing_run.py"), str(source), str(out), *options]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, text=True
    )
    assert done.returncode in (0, -signal.SIGSEGV), done.stderr
    return done.returncode


def records(out: Path) -> dict[str, dict[str, Any]]:
    """The manifest, by the names of the images."""
    lines = (out / "predictions.jsonl").read_text().splitlines()
    return {Path(each["path"]).name: each for each in map(json.loads, lines)}


@pytest.mark.parametrize("options", [(), ("2",)])  # images one by one, several at once; and in batches
@pytest.mark.parametrize(
    "bad",
    [
        [20],  # in the middle
        [0],  # the first of all
        [39],  # the last
        [20, 21],  # under way at the same time
        [5, 30],  # one after the other
    ],
)
def test_a_crash_costs_one_record(tmp_path: Path, bad: list[int], options: tuple[str, ...]) -> None:
    for i in range(40):
        write_image(tmp_path / "good" / f"{i:02}.jpg", i)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(tmp_path / "good", whole) == 0
    photos = tmp_path / "photos"
    for i in range(40):
        if i in bad:
            crashing(photos / f"{i:02}.jpg")
        else:
            write_image(photos / f"{i:02}.jpg", i)
    crashes = 0
    while run(photos, out, *options):
        crashes += 1
        assert (out / IN_FLIGHT_FILE).exists()
        assert crashes <= len(bad)  # each at most once, and fewer where several were under way
    assert crashes >= 1
    found, expected = records(out), records(whole)
    assert {name for name, each in found.items() if "error" in each} == {f"{i:02}.jpg" for i in bad}
    for name, each in found.items():
        if "error" in each:
            assert each["error"] == REASON
        else:
            assert each["boxes"] == expected[name]["boxes"]
            assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert len(found) == 40
    assert not (out / IN_FLIGHT_FILE).exists()
    before = read_tree(out)
    assert run(photos, out, *options) == 0  # it is done, and what failed is not tried again
    assert read_tree(out) == before


PATHS = ["a.jpg", "two\nlines.jpg", "\udcff.jpg", "日本.jpg", '"', ""]


def test_what_a_process_left_is_suspect(tmp_path: Path) -> None:
    first = InFlight(tmp_path)
    assert first.suspects == []
    for path in PATHS:
        first.begin(path)
    # The process dies here. The next one appends, and the previous suspects remain.
    second = InFlight(tmp_path)
    assert second.suspects == PATHS
    second.begin("b.jpg")
    third = InFlight(tmp_path)
    assert third.suspects == [*PATHS, "b.jpg"]
    third.close()
    assert InFlight(tmp_path).suspects == []


def test_nothing_is_suspect_where_no_process_died(tmp_path: Path) -> None:
    in_flight = InFlight(tmp_path)
    in_flight.begin("a.jpg")
    in_flight.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "suspects"),
    [
        (b'"a.jpg"\n"b.j', ["a.jpg"]),  # cut off
        (b'"a.jpg"\n\0\0\0\0', ["a.jpg"]),  # a block never written
        (b'\xff\n[1]\n{"path": "c"}\n7\n"a.jpg"\n', ["a.jpg"]),  # not ours
        (b"[" * 100_000 + b"\n", []),
    ],
)
def test_a_damaged_list_gives_what_is_whole(tmp_path: Path, content: bytes, suspects: list[str]) -> None:
    (tmp_path / IN_FLIGHT_FILE).write_bytes(content)
    assert InFlight(tmp_path).suspects == suspects


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / IN_FLIGHT_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="cannot be written"):
        InFlight(tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_full_disk_is_said_as_such() -> None:
    in_flight = InFlight.__new__(InFlight)
    in_flight._path, in_flight._file = Path("/dev/full"), os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OutputError, match="No space left"):
        in_flight.begin("a.jpg")
    os.close(in_flight._file)
