"""docs/tutorial.md, followed to the letter: its files are written, and its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
COMPILED = "yolo11n-seg-shapes"
"""Its graph is compiled in tests that need it anyway, and not for a page."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo_engine: object) -> Path:
    """The reader's folder: each block of Python is the file that its first line names."""
    assert demo_engine  # so that its graph is compiled
    made = tmp_path_factory.mktemp("reader")
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = code.partition("\n")[0].removeprefix("# ")
        (made / name).write_text(code, encoding="utf-8")
    return made


def run(command: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_reader_who_follows_it_finds_the_shapes(folder: Path) -> None:
    said = {command: run(command, folder) for command in COMMANDS if COMPILED not in command}
    assert len(said) > 6
    found = [line.split()[0] for line in said["python look.py"].splitlines()]
    assert sorted(found) == ["circle", "ring", "square", "triangle"]
    assert (folder / "first" / "scene.png").is_file()
    assert (folder / "annotated.png").is_file()
    kept = (folder / "second" / "labels" / "scene.txt").read_text(encoding="utf-8").splitlines()
    assert {line.split()[0] for line in kept} == {"0", "3"}  # circle, square


def test_what_is_not_run_here_names_commands_and_options_that_exist() -> None:
    shown = re.findall(r"^\$ yolo-max (.*)$", PAGE, re.MULTILINE)
    assert len(shown) > 5
    for line in shown:
        words = line.split()
        command = words[:2] if words[0] in ("weights", "cache") else words[:1]
        text = run(f"yolo-max {' '.join(command)} --help", REPOSITORY)
        for option in re.findall(r" (--?[a-z-]+)", line):
            assert f"{option} " in text, line
