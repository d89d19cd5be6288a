"""docs/porting.md, followed to the letter: its files are written, and its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "porting.md").read_text(encoding="utf-8")
STEPS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder: each block of Python is the file that its first line names."""
    made = tmp_path_factory.mktemp("port")
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = code.partition("\n")[0].removeprefix("# ")
        assert re.fullmatch(r"\w+\.py", name)
        (made / name).write_text(code, encoding="utf-8")
    return made


def test_each_of_the_seven_steps_ends_with_a_command() -> None:
    assert [step[:2] for step in STEPS] == [f"{i}." for i in range(1, 8)]
    assert all("```sh\n" in step[step.rindex("```python") :] for step in STEPS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_passes(folder: Path, command: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
