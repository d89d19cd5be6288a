"""YOLOv8n converted automatically: the converter and the port check each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from yolo_max.convert import analyze, convert_pytorch_model
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.tasks.rubric import TensorDifference, judge_layers

SHAPE = (1, 96, 128, 3)


class RawHead(nn.Module):  # type: ignore[misc]
    """What an engine computes, of pixels as float32."""

    def __init__(self, engine: TorchEngine) -> None:
        super().__init__()
        self.module, self.reference = engine.module, engine.reference

    def forward(self, pixels: Any) -> Any:
        output = self.module(pixels.permute(0, 3, 1, 2) / 255)
        return self.reference.of_module(output)["head"].permute(self.reference.outputs["head"].axes)


def test_it_is_convertible_and_nothing_is_transposed(demo_weights: Path) -> None:
    """Nor is it changed by that: YOLO's head keeps the anchors of the last size."""
    module = RawHead(TorchEngine(demo_weights)).eval()
    for shape in (SHAPE, (2, 64, 64, 3)):
        report = analyze(module, [shape])
        assert report.convertible, report.summary()
        assert report.transposes == 0
    assert module.module.model[-1].shape is None


@pytest.mark.zoo
def test_it_computes_what_the_port_computes(demo_weights: Path, demo_engine: MaxEngine) -> None:
    plain, exact = TorchEngine(demo_weights), TorchEngine(demo_weights, precision="f64")
    converted = convert_pytorch_model(RawHead(plain).eval(), [SHAPE], "yolov8n")
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    head = converted(pixels.astype(np.float32))
    theirs, best = plain(pixels)["head"], exact(pixels)["head"].astype(np.float64)
    ported = demo_engine(pixels)["head"]
    judge_layers([TensorDifference.between("head", head, theirs, best)]).require()
    assert np.abs(head - ported).max() <= 2 * np.abs(theirs - best).max()
