"""What is read of Ultralytics' pose heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.engine.results import Results
from ultralytics.nn.modules.head import Pose, Pose26

from yolo_max.support.errors import EngineError
from yolo_max.tasks.pose.reference import REFERENCE


@pytest.mark.parametrize("kind", [Pose, Pose26])
@pytest.mark.parametrize("end2end", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_outputs_are_those_of_the_branches(kind: Any, end2end: bool, fused: bool) -> None:
    torch.manual_seed(0)
    head = kind(3, (5, 3), 16, end2end, (16, 32)).eval()
    head.end2end = end2end
    head.stride = torch.tensor([8, 16])
    if fused:
        head.fuse()
    maps = [torch.randn(2, 16, 8, 8), torch.randn(2, 32, 4, 4)]
    with torch.inference_mode():
        branches = list((head.one2one if end2end else head.one2many).values())[2:]
        features = [branch(y) for branch, y in zip(branches[0], maps, strict=True)]
        if kind is Pose26:  # the last convolution stands apart
            features = [last(y) for last, y in zip(branches[1], features, strict=True)]
        of_module = REFERENCE.of_module(head(list(maps)))
        of_head = REFERENCE.of_head(head, maps)
    for name, layout in REFERENCE.outputs.items():
        torch.testing.assert_close(of_module[name], of_head[name], rtol=0, atol=0)
        assert of_module[name].permute(layout.axes).shape[:2] == (2, 80)
    raw = torch.cat([y.flatten(2) for y in features], 2)
    torch.testing.assert_close(of_module["keypoints"], raw, rtol=0, atol=0)


def test_a_head_without_keypoints() -> None:
    raw = {"boxes": torch.zeros(1, 64, 3), "scores": torch.zeros(1, 2, 3)}
    with pytest.raises(EngineError, match="another form"):
        REFERENCE.of_module((torch.zeros(1), raw))


def test_results_are_sorted() -> None:
    rows = torch.tensor([[1.0, 2, 3, 4, 0.3, 1], [5, 6, 7, 8, 0.9, 0]])
    points = torch.arange(12.0).reshape(2, 3, 2)
    names = {0: "a", 1: "b"}
    result = Results(np.zeros((10, 20, 3), np.uint8), "a.jpg", names, boxes=rows, keypoints=points)
    found = REFERENCE.prediction(result, names)
    np.testing.assert_allclose(found.confidence, [0.9, 0.3])
    assert found.to_dict()["boxes"][0]["keypoints"] == [[6, 7], [8, 9], [10, 11]]
