"""``yolo-max weights``, as installed: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import checkpoints
import pytest

from yolo_max.weights.load import load_weights

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command in an empty folder with a cache of its own."""
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "YOLO_MAX_CACHE_DIR": str(tmp_path / "cache"), "COLUMNS": "80"}
    command = Path(sys.executable).with_name("yolo-max")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], cwd=work, env=environment, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def work(run: Run, tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_convert_writes_beside_the_user_and_says_so(run: Run, work: Path, checkpoint: bytes) -> None:
    (work / "models").mkdir()
    (work / "models" / "my net.pt").write_bytes(checkpoint)
    done = run("weights", "convert", "models/my net.pt")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Wrote my net.safetensors: 3 classes, float32" in done.stderr
    target = work / "my net.safetensors"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    assert load_weights(target).meta.source == "my net.pt"


def test_convert_into_a_folder_that_is_not_there_in_half_precision_quietly(
    run: Run, work: Path, checkpoint: bytes
) -> None:
    (work / "net.pt").write_bytes(checkpoint)
    done = run("weights", "convert", "net.pt", "-o", "out/half.safetensors", "--half", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert load_weights(work / "out" / "half.safetensors").stored_dtype == "float16"


def test_convert_replaces_a_file_on_request_only(run: Run, work: Path, checkpoint: bytes) -> None:
    (work / "net.pt").write_bytes(checkpoint)
    (work / "net.safetensors").write_bytes(b"of another training")
    (work / "link.safetensors").symlink_to("nowhere")
    for target in ("net.safetensors", "link.safetensors"):
        done = run("weights", "convert", "net.pt", "-o", target)
        assert done.returncode == 6
        assert (
            f"{target} exists; name another file with --out, or use --overwrite to replace it." in done.stderr
        )
    assert (work / "net.safetensors").read_bytes() == b"of another training"
    assert run("weights", "convert", "net.pt", "--overwrite").returncode == 0
    assert load_weights(work / "net.safetensors").meta.source == "net.pt"


def test_info_fits_eighty_columns(run: Run, work: Path) -> None:
    (work / "weights").mkdir()
    (work / "weights" / "net.safetensors").write_bytes(checkpoints.random_weights(checkpoints.tiny_table()))
    done = run("weights", "info", "net")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines]
    assert ["file", "weights/net.safetensors"] in words
    assert ["0", "image", "Conv", "8", "224", "3", "x", "3,", "stride", "2"] in words
    assert ["2", "1", "C2f", "16", "1,840", "1", "x", "8,", "shortcut"] in words
    assert ["6", "5,", "2", "Concat", "48"] in words
    assert next(w for w in words if "Detect" in w)[:5] == ["8", "7,", "4", "Detect", "67"]
    assert "thing 0, thing 1, thing 2" in lines


def test_info_shows_a_dozen_names(run: Run, work: Path) -> None:
    (work / "net.safetensors").write_bytes(checkpoints.random_weights(checkpoints.tiny_table(1000)))
    last = run("weights", "info", "net.safetensors").stdout.split("classes\n")[-1].split()
    shown = " ".join(last)
    assert shown.startswith("thing 0, thing 1, ")
    assert shown.endswith("thing 11, ... and 988 more; --json has all")


def test_info_of_a_checkpoint_says_nothing_of_a_conversion(run: Run, work: Path) -> None:
    table = {**checkpoints.tiny_table(), "nc": 1}
    (work / "net.pt").write_bytes(checkpoints.checkpoint(checkpoints.detection_model(table)))
    done = run("weights", "info", "net.pt")
    assert (done.returncode, done.stderr) == (0, "")
    assert "converted" not in done.stdout
    assert done.stdout.count("its sha256") == 1
    assert " 1 class, " in done.stdout


def test_info_as_json(run: Run, work: Path) -> None:
    (work / "net.safetensors").write_bytes(checkpoints.random_weights(checkpoints.tiny_table()))
    done = run("weights", "info", "net.safetensors", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    info = json.loads(done.stdout)
    assert info["names"] == {"0": "thing 0", "1": "thing 1", "2": "thing 2"}
    assert (info["nc"], info["strides"], info["imgsz"], info["stored_dtype"]) == (3, [4, 8], 320, "float32")
    assert info["parameters"] == sum(layer["parameters"] for layer in info["layers"])
    assert info["layers"][6] == {
        "index": 6,
        "from": [5, 2],
        "module": "Concat",
        "copies": 1,
        "c_in": [32, 16],
        "c_out": 48,
        "args": {},
        "parameters": 0,
    }


def test_analyze_fits_eighty_columns(run: Run, work: Path) -> None:
    rows = [[-1, 1, "Conv", [64, 3, 2]], [-1, 2, "C2f", [64]], [-1, 1, "Mystery", [64]]]
    table = {"nc": 3, "backbone": rows, "head": [[[1, 2], 1, "Detect", ["nc"]]]}
    (work / "net.yaml").write_text(json.dumps(table))
    done = run("weights", "analyze", "net.yaml")
    assert (done.returncode, done.stderr) == (3, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    words = [" ".join(line.split()) for line in lines]
    for expected in (
        "layer from module output params GFLOPs kernels",
        "0 image Conv 320x320x64 1,856 0.41 stem",
        "1 0 C2f 320x320x64 49,664 10.28 4 winograd, 2 direct",
        "2 1 Mystery ? ? not ported",
        "ported 3 of 4 layers (75%)",
        "Mystery (layer 2): an unknown block",
    ):
        assert expected in words


def test_analyze_of_a_wide_network_is_legible_in_eighty_columns(run: Run) -> None:
    lines = run("weights", "analyze", "yolo12s-seg.yaml").stdout.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert not [line for line in lines if "…" in line]
    words = [" ".join(line.split()) for line in lines]
    assert words[3] == "counted at 640 x 640 pixels"
    assert "21 14, 17, Segment head 1,504,864 14.77 16 direct," in words
    assert "20 8400x144 14 winograd," in words  # a count stays with its kernel


def test_analyze_says_by_its_exit_code_whether_a_network_runs(run: Run, work: Path) -> None:
    (work / "net.safetensors").write_bytes(checkpoints.random_weights(checkpoints.tiny_table()))
    for name, code in (("net", 0), ("yolov8n.yaml", 0), ("rtdetr-l.yaml", 3), ("nowhere.yaml", 3)):
        assert run("weights", "analyze", name).returncode == code
    done = run("weights", "analyze", "yolo11s.yaml")
    assert "yolo11.yaml of Ultralytics" in done.stdout
    assert "scale s (there are also n, m, l, x)" in " ".join(done.stdout.split())


def test_analyze_says_what_is_not_counted_and_why(run: Run) -> None:
    report = json.loads(run("weights", "analyze", "rtdetr-l.yaml", "--json").stdout)
    assert report["coverage"]["gflops"] is report["gflops"] is None
    assert report["counted"]["gflops"] > 0
    assert "not ported" in report["uncounted"]
    shown = " ".join(run("weights", "analyze", "rtdetr-l.yaml").stdout.split())
    assert f"GFLOPs or more: {report['uncounted']}" in shown


def test_analyze_as_json(run: Run) -> None:
    done = run("weights", "analyze", "yolov8n.yaml", "--imgsz", "320,640", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert list(report) == [
        *("path", "task", "nc", "scale", "scales", "imgsz", "ported", "problems", "coverage"),
        *("parameters", "gflops", "fused", "counted", "uncounted", "layers"),
    ]
    assert (report["counted"]["gflops"], report["uncounted"]) == (report["gflops"], None)
    assert (report["task"], report["imgsz"], report["ported"]) == ("detect", [320, 640], True)
    assert report["coverage"] == {"layers": 1, "parameters": 1, "gflops": 1}
    assert report["fused"]["parameters"] == 3_151_904
    assert report["layers"][15] == {
        "index": 15,
        "from": [14],
        "module": "C2f",
        "copies": 1,
        "args": {"bottlenecks": 1, "hidden": 32, "shortcut": False},
        "ported": True,
        "problem": None,
        "kernels": {
            "model.15.cv1.conv": "direct",
            "model.15.cv2.conv": "direct",
            "model.15.m.0.cv1.conv": "winograd",
            "model.15.m.0.cv2.conv": "winograd",
        },
        "outputs": {"map": [40, 80, 64]},
        "parameters": 37_248,
        "gflops": pytest.approx(0.2408448),
    }
    assert report["layers"][22]["outputs"] == {"head": [4200, 144]}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "zebra"], 3, "no weights named 'zebra'"),
        (["info", "junk.safetensors"], 3, "junk.safetensors is a JPEG image"),
        (["info", "."], 3, "is a folder"),
        (["convert", "nowhere.pt"], 3, "no weights named 'nowhere.pt'"),
        (["convert", "junk.safetensors"], 3, "junk.safetensors is a JPEG image"),
        (["convert", "net.pt", "-o", "/proc/net.safetensors"], 6, "/proc/net.safetensors"),
        (["fetch", "yolov8"], 2, "did you mean yolov8"),
        (["convert", "net.pt", "-o", "photo.jpg"], 2, "photo.jpg must end in .safetensors"),
        (["convert", "named.safetensors", "-o", "named.safetensors"], 2, "is the checkpoint itself"),
        (["convert"], 2, "IN.pt"),
        (["analyze", "yolo11z.yaml"], 3, "did you mean yolo11"),
        (["analyze", "junk.safetensors"], 3, "junk.safetensors is a JPEG image"),
        (["analyze", "yolo11n.yaml", "--imgsz", "big"], 2, "imgsz is 'big'"),
        (["convert", "net.pt", "--double"], 2, "--double"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    run: Run, work: Path, checkpoint: bytes, arguments: list[str], code: int, message: str
) -> None:
    (work / "junk.safetensors").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    for name in ("net.pt", "named.safetensors"):
        (work / name).write_bytes(checkpoint)
    done = run("weights", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(run: Run) -> None:
    done = run("weights", "info", "zebra", "--debug")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
