"""`yolo-max predict` as a process: what it imports, where it writes, and what it survives."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cli_process import FAKE_CLI, installed, start
from fakes import read_tree
from fuzz_images import mutant
from image_files import files_of, scene

from yolo_max.cli import run
from yolo_max.images.read import decode
from yolo_max.runtime.cpu import available_threads
from yolo_max.support.errors import ExitCode, ImageError

pytestmark = pytest.mark.usefixtures("fake_network")


UNUSED = {"torch", "torchvision", "ultralytics", "matplotlib", "scipy", "pandas", "onnxruntime", "openvino"}


def test_an_output_that_cannot_take_every_sign_loses_nothing_else(photos: Path) -> None:
    command = [*FAKE_CLI, "predict", str(photos), "--no-save"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "Compiling the network.\n")
    assert r"objects in 2 images \xb7 " in done.stdout


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))


def test_hundreds_of_damaged_files_are_hundreds_of_records(tmp_path: Path) -> None:
    """Seeded mutants of every format, by the whole command: no crash, no hang, nothing lost, exit code 7."""
    rng = np.random.default_rng(0)
    files = list(files_of(scene(24, 32)).values())
    readable: dict[str, list[int] | None] = {}
    (tmp_path / "mutants").mkdir()
    for number in range(600):
        data = mutant(files[number % len(files)], files[rng.integers(len(files))], rng)
        path = Path("mutants") / f"{number:03}.jpg"  # most of them mislabelled, too
        path.write_bytes(data)
        try:
            readable[str(path)] = list(decode(data, max_pixels=4_000_000).shape[:2])
        except ImageError:
            readable[str(path)] = None
    command = [
        *FAKE_CLI,
        "predict",
        "mutants",
        "-o",
        "out",
        "--no-times",
        "--max-pixels",
        "4000000",
        "--json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, preexec_fn=limit_memory
    )
    assert done.returncode == ExitCode.SOME_IMAGES_FAILED
    assert "Traceback" not in done.stderr  # libjpeg has its own words there
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert {record["path"]: record.get("image_size") for record in records} == readable
    assert len(records) == 600
    assert all(record["error"] for record in records if readable[record["path"]] is None)
    assert 60 < sum(size is None for size in readable.values()) < 540
    assert json.loads(done.stdout)["failed"] == sum(size is None for size in readable.values())


def test_runs_that_begin_together_get_a_folder_each(photos: Path) -> None:
    processes = [
        subprocess.Popen([*FAKE_CLI, "predict", "photos", "--quiet"], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in processes] == [b""] * 3
    assert {process.returncode for process in processes} == {0}
    assert {path.name for path in Path("runs").iterdir()} == {"predict", "predict-2", "predict-3"}
    trees = [read_tree(path) for path in Path("runs").iterdir()]
    assert all(tree.keys() == trees[0].keys() for tree in trees)


def test_a_reader_who_leaves_is_no_accident(photos: Path) -> None:
    process = start("photos", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == ExitCode.READER_GONE


def test_a_report_that_finds_no_room_is_one_line(photos: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*FAKE_CLI, "predict", "photos", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.OUTPUT
    assert done.stderr == "Error: standard output cannot be written: No space left on device.\n"
    assert (
        run(["predict", "photos", "-o", "runs/predict", "--resume", "--json"]) == 0
    )  # the results are there


def test_nothing_is_imported_that_detecting_does_not_use(photos: Path) -> None:
    process = start("photos", "--save-txt", "--save-csv", FAKE_MODULES="1")
    modules = set(process.communicate(timeout=60)[1].split())
    assert "yolo_max.predict.folder.run" in modules
    assert not modules & UNUSED
    assert not {name for name in modules if name.startswith("yolo_max.bench")}


def test_on_a_terminal_a_bar_moves_and_the_cursor_comes_back(photos: Path) -> None:
    terminal, stderr = os.openpty()
    process = subprocess.Popen(
        [*FAKE_CLI, "predict", "photos", "-r"],
        env={
            **os.environ,
            "FAKE_NAP": "0.3",
            "FAKE_COMPILE": "0.5",
            "TERM": "xterm-256color",
            "COLUMNS": "80",
        },
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    shown = b""
    with suppress(OSError):  # the terminal's end, when the process has gone
        while read := os.read(terminal, 65536):
            shown += read
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Compiling the network.\r\n" in shown.decode()
    assert "0:00:0" in shown.decode()  # the time it takes
    assert "3/3" in re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert "objects in 3 images" in out
    assert "\x1b" not in out


def test_the_installed_command(photos: Path, tmp_path: Path, demo_weights: Path) -> None:
    assert installed("--version").stdout.startswith("yolo-max ")
    assert "predict" in installed("--help").stdout
    for arguments, code, message in (
        (["missing.jpg"], ExitCode.SOURCE, "missing.jpg does not exist"),
        (["photos"], ExitCode.WEIGHTS, "yolo-max weights fetch yolov8n"),  # what a newcomer meets
        (["photos", "-w", "photos/a.jpg"], ExitCode.WEIGHTS, "is a JPEG image"),
        (["photos", "-w", str(demo_weights), "--kernels", "slow"], ExitCode.USAGE, "'slow'"),
        (["photos", "-w", str(demo_weights), "--engine", "onnx"], ExitCode.USAGE, "'onnx'"),
    ):
        done = installed("predict", *arguments, YOLO_MAX_CACHE_DIR=str(tmp_path / "cache"))
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert message in line
        assert not Path("runs").exists()


def test_the_package_is_the_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "yolo_max", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (installed("--version").stdout, 0)


@pytest.mark.parametrize("engine", ["max", "torch"])
def test_code_that_lies_among_the_images_is_not_run(
    photos: Path, demo_weights: Path, tmp_path: Path, engine: str
) -> None:
    """The working directory and the input folder may both have come from anywhere."""
    modules = ["numpy", "cv2", "yaml", "typer", "rich", "PIL", "max", "mojo", "torch", "ultralytics", "scipy"]
    modules += ["yolo_max", "json", "sitecustomize", "usercustomize", "conftest"]
    for folder in (tmp_path, photos):
        for module in modules:
            (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    (photos / ".env").write_text("PYTHONPATH=.\n")
    options = ["-w", str(demo_weights), "--engine", engine, "--imgsz", "320", "-o", "out"]
    done = installed("predict", "photos", *options)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_the_bundled_weights_find_shapes(demo_weights: Path, scenes: list[Path]) -> None:
    """From pixels to files, importing only what that takes; the same bytes on one thread and on several."""
    code = (
        "import sys; from yolo_max.cli import run; code = run(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    for out, *parallel in (
        ("one", "--threads", "1", "--workers", "1"),
        ("several", "--threads", str(min(2, available_threads())), "--workers", "4", "--batch", "3"),
    ):
        arguments = [*map(str, scenes), "--weights", str(demo_weights), "--no-times", "--json", "-o", out]
        done = subprocess.run(
            [sys.executable, "-c", code, "predict", *arguments, *parallel],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not set(done.stderr.split()) & UNUSED
        summary = json.loads(done.stdout)
        assert summary["images"] == len(scenes)
        assert summary["settings"]["engine"] == "max"
        assert len(summary["classes"]) >= 4
        assert min(each["best"] for each in summary["classes"].values()) > 0.7
    assert read_tree(Path("one")) == read_tree(Path("several"))


def test_the_decoder_has_the_limit_as_well() -> None:
    # In a process of its own, as OpenCV takes it when it is imported.
    script = """
import sys
from yolo_max.cli import main
assert "cv2" not in sys.modules
sys.argv = ["yolo-max", "predict", "missing.jpg", "--max-pixels", "100"]
try:
    main()
except SystemExit:
    pass
import cv2, numpy as np
small, large = (cv2.imencode(".bmp", np.zeros((height, 10, 3), np.uint8))[1] for height in (10, 11))
print(cv2.imdecode(small, cv2.IMREAD_COLOR).shape)
try:
    cv2.imdecode(large, cv2.IMREAD_COLOR)
except cv2.error as error:
    print("MAX_IMAGE_PIXELS" in str(error))
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["(10, 10, 3)", "True"]
