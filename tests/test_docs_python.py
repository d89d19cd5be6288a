"""docs/python.md: its examples run, one after another, in a folder with the files that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import FakeEngine, fake_weights, write_image

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the reader has."""
    from ultralytics.engine.results import Results

    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", lambda *_, **__: FakeEngine())
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_weights())
    monkeypatch.chdir(tmp_path)
    write_image(Path("street.jpg"), 1, (480, 640))
    boxes = torch.tensor([[1.0, 2, 3, 4, 0.5, 0]])
    return {"results": [Results(np.zeros((9, 9, 3), np.uint8), "a.jpg", {0: "circle"}, boxes=boxes)]}


def test_the_examples_run(reader: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        if "to_df" in code:
            pytest.importorskip("polars")
            try:
                import supervision as _  # noqa: F401
            except ImportError:
                code = code.replace("found.to_supervision()", "")
        exec(code, reader)
    assert Path("annotated.jpg").is_file()
    assert "No such file" in capsys.readouterr().out
    assert len(reader["found"]) == 4
    assert str(reader["theirs"]) == "1 circle (9x9)"
