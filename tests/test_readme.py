"""What README.md tells people to paste does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yolo_max.images.read import read_image
from yolo_max.predict.detector import Detector

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("demo_engine")  # so that its graph is compiled
def test_the_python_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").symlink_to(REPOSITORY / "images")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["detector"], Detector)
    assert read_image(tmp_path / "runs" / "annotated.png").shape == (480, 640, 3)
    assert names["head"].shape == (2100, 4 * 16 + 6)  # type: ignore[attr-defined]
    printed = capfd.readouterr().out
    assert printed.count("shapes-") == len(list((REPOSITORY / "images").glob("shapes-*")))


@pytest.mark.parametrize("line", re.findall(r"^\. \S+|^pip install .*", README, re.MULTILINE))
def test_commands_name_what_is_there(line: str) -> None:
    """The constraints file, the environment of the Makefile, and nothing that only an index could have."""
    if line.startswith(". "):
        assert line.split()[1] == ".venv/bin/activate"
        assert "VENV := .venv" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    else:
        assert "-c constraints.txt" in line
        assert not re.search(r"install.*\byolo-max\b", line)


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 4
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
