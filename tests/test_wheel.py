"""What people install: a wheel that runs without the repository, and what it takes along."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import compile_graphs
import pytest

from yolo_max.runtime.portable import purpose_of
from yolo_max.runtime.sources import sources_digest
from yolo_max.weights.load import load_weights
from yolo_max.weights.locate import BUNDLED, OFFICIAL

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
ONLY_TO_COMPARE = {"torch", "ultralytics"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is built from, without compiled graphs."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder)
    ignored = shutil.ignore_patterns("graphs", "__pycache__")
    shutil.copytree(REPOSITORY / "yolo_max", folder / "yolo_max", ignore=ignored)
    return folder


def build(checkout: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = build(checkout, out)
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with the dependencies of this one, but not the repository."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (place,) = folder.glob("lib/python*/site-packages")
    here = Path(sys.executable).parent.parent / place.relative_to(folder)
    (place / "dependencies.pth").write_text(f"{here}\n")  # a line that does not read the other's .pth files
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    subprocess.run([*pip, "--no-deps", "--force-reinstall", "--no-index", wheel], check=True)
    return folder / "bin" / "yolo-max"


def test_a_wheel_is_built_from_where_its_graphs_are() -> None:
    """An sdist has none, and a wheel is built from that unless it is asked for by name."""
    (line,) = re.findall(r"-m build .*", (REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    assert "--wheel" in line.split()


def test_a_wheel_has_the_kernels_and_the_weights(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = REPOSITORY / "yolo_max"
    for kind in ("*.py", "*.mojo", "*.safetensors", "py.typed"):
        expected = {path.relative_to(REPOSITORY).as_posix() for path in package.rglob(kind)}
        assert expected
        assert expected <= names


@pytest.mark.usefixtures("demo_engine")  # so that its graph is compiled
def test_it_runs_without_the_repository_in_any_folder(installed: Path, tmp_path: Path) -> None:
    scene = shutil.copy(REPOSITORY / "images" / "shapes-07.png", tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(command: list[str | Path]) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    where = run([installed.with_name("python"), "-c", "import yolo_max; print(yolo_max.__file__)"])
    assert Path(where.strip()).is_relative_to(installed.parent.parent)
    assert PROJECT["version"] in run([installed, "--version"])
    found = json.loads(run([installed, "predict", scene, "-w", "yolov8n-shapes", "--json", "--no-save"]))
    assert len(found["predictions"][0]["boxes"]) > 3


def with_graph(checkout: Path, tmp_path: Path, **head: str) -> Path:
    """The checkout with a graph that says this of itself."""
    copy = shutil.copytree(checkout, tmp_path / "copy")
    (copy / "yolo_max" / "graphs").mkdir()
    (copy / "yolo_max" / "graphs" / "0123.mef").write_bytes(json.dumps(head).encode() + b"\ncode")
    return copy


def test_a_wheel_takes_graphs_of_its_own_sources_along(checkout: Path, tmp_path: Path) -> None:
    right = {"sources": sources_digest(), "yolo_max": PROJECT["version"]}
    done = build(with_graph(checkout, tmp_path, **right), tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-manylinux_2_34_x86_64.whl")
    assert "yolo_max/graphs/0123.mef" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize("wrong", [{"sources": "0" * 64}, {"yolo_max": "0.0.1"}])
def test_a_wheel_does_not_take_stale_graphs_along(
    checkout: Path, tmp_path: Path, wrong: dict[str, str]
) -> None:
    right = {"sources": sources_digest(), "yolo_max": PROJECT["version"]}
    done = build(with_graph(checkout, tmp_path, **{**right, **wrong}), tmp_path / "dist")
    assert done.returncode != 0
    assert "0123.mef is of other sources; run `make graphs`" in done.stderr


def test_the_list_of_graphs_has_what_people_fetch_and_what_is_bundled() -> None:
    listed = {(graph.purpose.architecture, graph.purpose.precision) for graph in compile_graphs.wanted()}
    for path in BUNDLED.glob("*.safetensors"):
        network = load_weights(path).meta.network
        assert (purpose_of(network.of_any_classes(), "f32").architecture, "f32") in listed, path
    names = {graph.name for graph in compile_graphs.wanted()}
    for family in ("yolov8", "yolo11", "yolo26"):
        assert {name for name in OFFICIAL if name.removeprefix(family) in tuple("nsmlx")} <= names
    assert len(names) == 16


def test_the_container_installs_what_prediction_videos_and_the_service_need() -> None:
    extras = PROJECT["optional-dependencies"]
    dependencies = [*PROJECT["dependencies"], *extras["serve"], *extras["video"]]
    needed = {re.split(r"[<>=]", each)[0] for each in dependencies} - ONLY_TO_COMPARE
    (install,) = (line for line in DOCKERFILE.splitlines() if line.startswith("RUN"))
    words = [re.split("=", word)[0] for word in shlex.split(install.split("constraints.txt", 1)[1])]
    installed = {word.removesuffix("-headless") for word in words[: words.index("&&")]}
    assert installed == needed
    pinned = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    (opencv,) = re.findall(r"opencv-python-headless(==\S+)", install)
    assert f"opencv-python{opencv}\n" in pinned


def test_the_container_runs_as_nobody_and_its_check_of_health_runs(demo_weights: Path) -> None:
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    python, *arguments = json.loads(check)
    assert python == "python"
    assert demo_weights.stem in arguments[-1]
    subprocess.run([sys.executable, *arguments], check=True)
    for line in re.findall(r"^COPY (.*) /tmp/$", DOCKERFILE, re.MULTILINE):
        ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split()
        assert {f"!{name}" for name in line.split()} <= set(ignored)
