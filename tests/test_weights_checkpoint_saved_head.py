"""Heads that a table does not describe: those of 8.3.0, and end-to-end ones that were fused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import checkpoints
import eager
import numpy as np
import pytest
import raw_outputs
import torch

from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.model.architecture import parse_architecture
from yolo_max.support.errors import WeightsError
from yolo_max.support.options import PredictOptions
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.weights.analysis.report import analyze
from yolo_max.weights.load import Weights, load_weights, save_weights

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)


def network(head: list[Any], block: str = "C2f", **changes: Any) -> dict[str, Any]:
    """A network with a head on two levels."""
    rows = [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, block, [16]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, block, [24]],
        [-1, 1, "Conv", [24, 3, 2]],
    ]
    return {"nc": 3, "kpt_shape": [5, 3], "backbone": rows, "head": [[[3, 4], 1, *head]], **changes}


def with_class_branches(model: Any, depthwise: bool) -> Any:
    """The model with the class branches of another release, as they stand in its sources."""
    from torch.nn import Conv2d, ModuleList, Sequential
    from ultralytics.nn.modules import Conv, DWConv

    head = model.model[-1]
    c3 = 24
    if depthwise:
        branches = [
            Sequential(
                Sequential(DWConv(x, x, 3), Conv(x, c3, 1)),
                Sequential(DWConv(c3, c3, 3), Conv(c3, c3, 1)),
                Conv2d(c3, head.nc, 1),
            )
            for x in (24, 24)
        ]
    else:
        branches = [Sequential(Conv(x, c3, 3), Conv(c3, c3, 3), Conv2d(c3, head.nc, 1)) for x in (24, 24)]
    head.cv3 = ModuleList(branches)
    for norm in head.cv3.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eps, norm.momentum = 1e-3, 0.03
            torch.nn.init.uniform_(norm.running_var, 0.1, 2)
    return model.eval()


def saved(model: Any, folder: Path, *, dtype: Any = torch.float32) -> Weights:
    """The model through a file."""
    path = folder / "net.pt"
    path.write_bytes(checkpoints.saved({"model": copy.deepcopy(model).to(dtype)}))
    return load_weights(path)


def assert_same(weights: Weights, model: Any, folder: Path) -> None:
    """Holds both engines' networks against the module itself; from the checkpoint and converted."""
    _, expected = raw_outputs.of_module(copy.deepcopy(model).float().fuse(verbose=False), PIXELS)
    save_weights(weights, folder / "net.safetensors")
    for each in (weights, load_weights(folder / "net.safetensors")):
        outputs = TorchEngine(each)(PIXELS)
        _, raw = eager.run(each.meta.network, each.tensors, PIXELS)
        assert outputs.keys() == expected.keys() == raw.keys()
        for name, output in expected.items():
            atol = 2e-5 * np.abs(output).max()
            np.testing.assert_allclose(outputs[name], output, atol=atol)
            np.testing.assert_allclose(raw[name], output, atol=atol)


@pytest.mark.parametrize("head", [["Detect", ["nc"]], ["Segment", ["nc", 32, 16]]], ids=str)
@pytest.mark.parametrize(
    ("block", "depthwise"),
    [
        ("C2f", True),  # YOLOv8 trained from its table by 8.3.0
        ("C3k2", False),  # the reverse
    ],
)
def test_class_branches_of_another_release(
    block: str, depthwise: bool, head: list[Any], tmp_path: Path
) -> None:
    table = network(head, block)
    usual = parse_architecture(table)
    assert bool(usual.head.args["depthwise"]) is not depthwise
    model = with_class_branches(checkpoints.model(table), depthwise)
    weights = saved(model, tmp_path)
    assert bool(weights.meta.network.head.args["depthwise"]) is depthwise
    assert_same(weights, model, tmp_path)
    report = analyze(str(tmp_path / "net.pt"))
    assert report.ported
    assert report.cost.parameters == sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("head", [["Detect", ["nc"]], ["v10Detect", ["nc"]]], ids=str)
def test_usual_heads_leave_their_table_alone(head: list[Any], tmp_path: Path) -> None:
    table = network(head, end2end=True)
    weights = saved(checkpoints.model(table), tmp_path)
    assert not weights.meta.architecture.keys() & {"legacy", "fused_to"}


END_TO_END: dict[str, list[Any]] = {
    "detect": ["Detect", ["nc"]],
    "YOLOv10": ["v10Detect", ["nc"]],
    "segment": ["Segment26", ["nc", 32, 16]],
    "pose": ["Pose26", ["nc", "kpt_shape"]],
    "obb": ["OBB26", ["nc", 1]],
}


@pytest.mark.parametrize("end2end", [True, False])
@pytest.mark.parametrize("head", END_TO_END)
def test_an_end_to_end_network_that_was_fused_before_it_was_saved(
    head: str, end2end: bool, tmp_path: Path
) -> None:
    """Fusing leaves one pair of branches, though the table speaks of two."""
    model = checkpoints.model(network(END_TO_END[head], "C3k2", reg_max=1, end2end=True))
    model.end2end = end2end
    model.fuse(verbose=False)
    weights = saved(model, tmp_path)
    assert weights.meta.network.nms is not end2end
    assert weights.without_nms().meta.network.nms is not end2end
    assert_same(weights, model, tmp_path)
    report = analyze(str(tmp_path / "net.pt"))
    assert report.ported
    assert report.fused.parameters == sum(each.numel() for each in model.parameters())


def test_an_old_release_left_modules_that_do_nothing(tmp_path: Path) -> None:
    """Until 2026 fusing replaced YOLOv10's first pair."""
    model = checkpoints.model(network(END_TO_END["YOLOv10"]))
    model.end2end = True
    model.fuse(verbose=False)
    head = model.model[-1]
    head.cv2 = head.cv3 = torch.nn.ModuleList([torch.nn.Identity()] * 2)
    assert not saved(model, tmp_path).meta.network.nms


@pytest.mark.parametrize("nms", [True, False])
def test_a_head_without_its_first_pair_needs_no_nms(nms: bool, tmp_path: Path) -> None:
    import_ultralytics()
    model = checkpoints.model(network(END_TO_END["detect"], end2end=True))
    model.end2end = True
    meta = saved(model.fuse(verbose=False), tmp_path).meta
    assert not Postprocess.for_model(meta, PredictOptions(nms=nms)).nms


def test_a_table_cannot_have_a_head_of_no_branches(tmp_path: Path) -> None:
    model = checkpoints.model(network(END_TO_END["detect"], end2end=True))
    head = model.model[-1]
    for name in ("cv2", "cv3", "one2one_cv2", "one2one_cv3"):
        setattr(head, name, None)
    with pytest.raises(WeightsError, match=r"holds nothing as model\.5\.cv2"):
        saved(model, tmp_path)
