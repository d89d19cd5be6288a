"""docs/outputs.md: its commands run beside the files that they name, and what it lists is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from yolo_max.cli import run

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "outputs.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.usefixtures("fake_network")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(photos: Path, command: str) -> None:
    (settings,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    Path("street.yaml").write_text(settings)
    words = shlex.split(command.partition("|")[0])
    assert words.pop(0) == "yolo-max"
    assert run(words) == 0


@pytest.mark.usefixtures("fake_network")
def test_what_it_lists_is_written(photos: Path) -> None:
    pytest.importorskip("polars")
    rows = re.findall(r"^\| (`--[^|]*) \| `([\w./-]+)", PAGE, re.MULTILINE)
    assert len(rows) > 5
    for options, named in rows:
        option = re.findall(r"`(--[\w-]+)`", options)[0]
        assert run(["predict", "photos", option, "--no-save", "-o", option[2:]]) == 0
        top = named.split("/")[0]
        assert (Path(option[2:]) / top).exists(), (option, named)
