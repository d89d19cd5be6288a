"""What is read of Ultralytics' OBB heads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.engine.results import Results
from ultralytics.nn.modules.head import OBB, OBB26

from yolo_max.support.errors import EngineError
from yolo_max.tasks.obb.reference import REFERENCE


@pytest.mark.parametrize("kind", [OBB, OBB26])
@pytest.mark.parametrize("end2end", [False, True])
def test_outputs_are_those_of_the_branches(kind: Any, end2end: bool) -> None:
    torch.manual_seed(0)
    head = kind(3, 1, 1 if end2end else 16, end2end, (16, 32)).eval()
    head.end2end = end2end
    head.stride = torch.tensor([8, 16])
    maps = [torch.randn(2, 16, 8, 8), torch.randn(2, 32, 4, 4)]
    with torch.inference_mode():
        angles = head.one2one_cv4 if end2end else head.cv4
        raw = torch.cat([branch(y).flatten(2) for branch, y in zip(angles, maps, strict=True)], 2)
        REFERENCE.prepare(SimpleNamespace(model=[head]))
        of_module = REFERENCE.of_module(head(list(maps)))
        of_head = REFERENCE.of_head(head, maps)
    for name, layout in REFERENCE.outputs.items():
        torch.testing.assert_close(of_module[name], of_head[name], rtol=0, atol=0)
        assert of_module[name].permute(layout.axes).shape[:2] == (2, 80)
    torch.testing.assert_close(of_module["angle"], raw, rtol=0, atol=0)


def test_a_head_without_angles() -> None:
    raw = {"boxes": torch.zeros(1, 64, 3), "scores": torch.zeros(1, 2, 3)}
    with pytest.raises(EngineError, match="another form"):
        REFERENCE.of_module((torch.zeros(1), raw))


def test_results_are_sorted() -> None:
    rows = torch.tensor([[1.0, 2, 3, 4, 0.5, 0.3, 1], [5, 6, 7, 8, 1.5, 0.9, 0]])
    names = {0: "a", 1: "b"}
    found = REFERENCE.prediction(Results(np.zeros((10, 20, 3), np.uint8), "a.jpg", names, obb=rows), names)
    np.testing.assert_allclose(found.confidence, [0.9, 0.3])
    assert found.to_dict()["boxes"][0]["xywhr"] == [5, 6, 7, 8, 1.5]
