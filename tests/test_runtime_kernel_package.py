"""The kernels are precompiled once a process, early where that helps, and a failure of it is no failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yolo_max.predict.detector import Detector
from yolo_max.runtime import kernel_package
from yolo_max.runtime.kernel_package import SOURCES, Precompilation, precompile_on_first_start
from yolo_max.support.cache import cache_folder
from yolo_max.support.errors import YoloMaxError


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often a precompilation was begun, in a process with an empty cache of graphs and none shipped."""
    calls: list[None] = []
    monkeypatch.setattr(kernel_package, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_package, "precompile", lambda: calls.append(None))
    return calls


def run(script: str, tmp_path: Path) -> str:
    """What a process of its own prints, its cache being in ``tmp_path``."""
    environment = {**os.environ, "YOLO_MAX_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", f"from yolo_max.runtime.kernel_package import precompile\n{script}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def test_the_package_is_made_once_and_goes_with_the_process(tmp_path: Path) -> None:
    package = Path(run("assert precompile() is precompile(); print(precompile().result())", tmp_path))
    assert package.name == "yolo_max.mojoc"
    assert package.is_relative_to(tmp_path / "cache")
    assert not package.parent.exists()


def test_a_process_that_leaves_early_leaves_no_compiler_behind(tmp_path: Path) -> None:
    compiler = int(run("print(precompile()._process.pid)", tmp_path))
    with pytest.raises(ProcessLookupError):
        os.kill(compiler, 0)
    assert not list((tmp_path / "cache" / "graphs").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("delay", [0, 0.5])  # before it can have asked to die with its parent, and at work
def test_a_killed_process_takes_the_compiler_along(tmp_path: Path, delay: float) -> None:
    script = """
import os, signal
print(precompile()._process.pid, flush=True)
signal.pause()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from yolo_max.runtime.kernel_package import precompile\n{script}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "YOLO_MAX_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert process.stdout is not None
    compiler = int(process.stdout.readline())
    time.sleep(delay)
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(400):
        if not Path(f"/proc/{compiler}").exists() or "zombie" in Path(f"/proc/{compiler}/status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the compiler works on")


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    graphs = tmp_path / "cache" / "graphs"
    for name, age in (("old", 2 * 24 * 3600), ("new", 0)):
        left = graphs / f".yolo-max-kernels_{name}"
        left.mkdir(mode=0o700, parents=True)
        os.utime(left, (time.time() - age,) * 2)
    graphs.chmod(0o700)
    graphs.parent.chmod(0o700)
    run("precompile()", tmp_path)
    assert [left.name for left in graphs.iterdir()] == [".yolo-max-kernels_new"]


def test_a_forked_process_makes_its_own(tmp_path: Path) -> None:
    script = """
import os
ours = precompile()
child = os.fork()
if child == 0:
    again = precompile()
    again._process.kill()
    os._exit(again is ours)
assert os.waitpid(child, 0)[1] == 0
"""
    run(script, tmp_path)


@pytest.mark.parametrize(
    "compiler",
    [
        "raise SystemExit(1)",  # the sources do not compile, or a MAX without its compiler
        "pass",  # it writes nothing
    ],
)
def test_what_cannot_be_precompiled_is_left_to_max(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_package, "_RUN_MOJO", compiler)
    assert Precompilation().result() == SOURCES
    assert (SOURCES / "__init__.mojo").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "tempfile.mkdtemp",  # no space left
        "subprocess.Popen",  # no process can be started
    ],
)
def test_nothing_stops_a_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError

    monkeypatch.setattr(name, fail)
    assert Precompilation().result() == SOURCES


def test_a_first_start_begins_at_once(begun: list[None]) -> None:
    precompile_on_first_start()
    assert len(begun) == 1


def test_a_start_with_graphs_in_the_cache_does_not(begun: list[None]) -> None:
    (cache_folder("graphs") / "0123.mef").write_bytes(b"")
    precompile_on_first_start()
    assert not begun


def test_nor_does_one_with_graphs_that_came_with_the_package(begun: list[None], tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "0123.mef").touch()
    precompile_on_first_start()
    assert not begun


def test_a_cache_that_cannot_be_looked_at_is_an_empty_one(
    begun: list[None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "file"))
    precompile_on_first_start()
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("engine", "kernels", "device", "expected"),
    [
        ("max", "auto", "auto", 1),
        ("max", "fused", "cpu", 1),
        ("max", "auto", "gpu", 0),  # the kernels are for CPUs
        ("max", "stock", "auto", 0),  # MAX's own operations need none of them
        ("torch", "auto", "auto", 0),  # nor does PyTorch
    ],
)
def test_a_detector_begins_before_it_reads_weights(
    engine: str, kernels: str, device: str, expected: int, begun: list[None], tmp_path: Path
) -> None:
    with pytest.raises(YoloMaxError):
        Detector(tmp_path / "missing.pt", engine=engine, kernels=kernels, device=device)
    assert len(begun) == expected
