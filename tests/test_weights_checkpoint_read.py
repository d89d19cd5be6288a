"""Checkpoints to fused tensors: folding against PyTorch in float64, modules against their rows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.model.architecture import expected_tensors
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.read import fold
from yolo_max.weights.checkpoint.tensors import Tensor


@pytest.fixture(scope="module")
def model() -> Any:
    """A narrow YOLOv8 with random weights and wide BatchNorm statistics."""
    return checkpoints.detection_model(checkpoints.table())


# Folding


def random_block(seed: int, eps: float) -> tuple[Any, Any]:
    """A convolution and a BatchNorm in float64 with random weights and wide statistics."""
    import torch

    torch.manual_seed(seed)
    c_in, c_out, k = [(3, 16, 3), (32, 8, 1), (5, 7, 5)][seed % 3]
    convolution = torch.nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False, dtype=torch.float64)
    norm = torch.nn.BatchNorm2d(c_out, eps=eps, dtype=torch.float64).eval()
    norm.running_var.copy_(torch.logspace(np.log10(0.007), np.log10(2.7), c_out, dtype=torch.float64))
    norm.running_mean.normal_()
    torch.nn.init.uniform_(norm.weight, -2, 2)
    torch.nn.init.normal_(norm.bias)
    return convolution, norm


def folded(convolution: Any, norm: Any, eps: float) -> tuple[Any, Any]:
    statistics = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    gamma, beta, mean, variance = (value.detach().numpy() for value in statistics)
    filters = convolution.weight.detach().numpy().transpose(2, 3, 1, 0)
    weight, bias = fold(filters, gamma, beta, mean, variance, eps)
    return weight.transpose(3, 2, 0, 1).copy(), bias


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 0.1])
@pytest.mark.parametrize("seed", range(6))
def test_a_folded_convolution_is_the_convolution_and_its_norm(seed: int, eps: float) -> None:
    import torch

    convolution, norm = random_block(seed, eps)
    x = torch.randn(2, convolution.in_channels, 9, 9, dtype=torch.float64)
    filters, bias = folded(convolution, norm, eps)
    fused = torch.nn.functional.conv2d(
        x, torch.from_numpy(filters), torch.from_numpy(bias), padding=convolution.padding
    )
    torch.testing.assert_close(fused, norm(convolution(x)), rtol=1e-12, atol=1e-12)


def test_the_wrong_eps_shows() -> None:
    """The first port of this network folded with PyTorch's default eps, where Ultralytics sets 1e-3."""
    convolution, norm = random_block(0, 1e-3)
    right, wrong = folded(convolution, norm, 1e-3)[0], folded(convolution, norm, 1e-5)[0]
    assert np.abs(wrong / right - 1).max() > 0.05


# Conversion


def reference_tensors(model: Any) -> dict[str, Any]:
    """The fused tensors by PyTorch's own folding, in float64, OIHW transposed to RSCF."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model = copy.deepcopy(model).double()
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and not name.endswith("dfl.conv"):
            if name.endswith(".conv"):
                module = fuse_conv_bn_eval(module, model.get_submodule(f"{name.removesuffix('conv')}bn"))
            tensors[f"{name}.weight"] = module.weight.detach().permute(2, 3, 1, 0).numpy()
            tensors[f"{name}.bias"] = module.bias.detach().numpy()
    return tensors


def assert_close(tensors: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        np.testing.assert_allclose(tensor, expected[name], rtol=1.3e-7, atol=1e-30, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_conversion_folds_in_float64_whatever_the_checkpoint_stores(model: Any, dtype: str) -> None:
    import torch

    stored = copy.deepcopy(model).to(getattr(torch, dtype))
    meta, tensors = checkpoints.read(checkpoints.saved({"model": stored}))
    assert_close(tensors, reference_tensors(stored))
    assert list(tensors) == list(expected_tensors(meta.network))
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected_tensors(meta.network)


def test_every_module_keeps_its_own_eps(model: Any) -> None:
    import torch

    changed = copy.deepcopy(model)
    for i, module in enumerate(m for m in changed.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        module.eps = 1e-3 * (1 + i)
    _, tensors = checkpoints.read(checkpoints.saved({"model": changed}))
    assert_close(tensors, reference_tensors(changed))


def test_the_moving_average_is_preferred(model: Any) -> None:
    import torch

    average = copy.deepcopy(model)
    torch.nn.init.constant_(average.model[0].conv.weight, 0.125)
    _, tensors = checkpoints.read(checkpoints.saved({"model": model, "ema": average, "updates": 7}))
    assert_close(tensors, reference_tensors(average))
    _, tensors = checkpoints.read(
        checkpoints.saved({"model": None, "ema": average})
    )  # as the trainer's last.pt is
    assert_close(tensors, reference_tensors(average))


def test_a_network_that_is_fused_already(model: Any) -> None:
    import torch

    fused = copy.deepcopy(model).double().fuse(verbose=False)
    _, tensors = checkpoints.read(checkpoints.saved({"model": fused}))
    expected = reference_tensors(model)
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            torch.from_numpy(tensor).double(), torch.from_numpy(expected[name]), rtol=1e-6, atol=1e-6
        )


def test_the_coco_checkpoint(coco_weights: Path) -> None:
    import torch
    from ultralytics.nn.tasks import DetectionModel

    data = coco_weights.read_bytes()
    meta, tensors = checkpoints.read(data)
    assert (meta.nc, meta.network.strides, meta.imgsz) == (80, (8, 16, 32), 640)
    assert meta.network.head.args["reg_max"] == 16
    assert (meta.names[0], meta.names[79]) == ("person", "toothbrush")
    with torch.serialization.safe_globals([]):
        model = DetectionModel(copy.deepcopy(dict(meta.architecture)), verbose=False).double().eval()
    saved_modules = safe_pickle.load(data)["model"]
    state_dict = {
        name: torch.from_numpy(value.array().copy()).double() for name, value in state(saved_modules)
    }
    model.load_state_dict(state_dict, strict=True)
    assert_close(tensors, reference_tensors(model))


def state(module: StandIn, prefix: str = "") -> list[tuple[str, Tensor]]:
    """The state dict of a stand-in's tree of modules."""
    found = [
        (prefix + k, v)
        for group in ("_parameters", "_buffers")
        for k, v in module.get(group).items()
        if v is not None
    ]
    for name, child in module.get("_modules").items():
        found += state(child, f"{prefix}{name}.")
    return found


@pytest.mark.parametrize("nc", [1, 6, 81])
def test_any_class_count(nc: int) -> None:
    model = checkpoints.detection_model(checkpoints.tiny_table(nc))
    meta, tensors = checkpoints.read(checkpoints.checkpoint(model))
    assert meta.nc == nc
    assert tensors["model.8.cv3.0.2.weight"].shape[-1] == nc
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))


def test_bottlenecks_as_layers_and_four_levels() -> None:
    table: dict[str, Any] = {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 0.25,
        "backbone": [
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, 2, "Bottleneck", [32]],
            [-1, 1, "Conv", [64, 3, 2]],
            [-1, 1, "Bottleneck", [64, False]],
            [-1, 1, "Conv", [64, 3, 2]],
        ],
        "head": [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[0, 1, 5, 4], 1, "Detect", ["nc"]]],
    }
    model = checkpoints.detection_model(table)
    meta, tensors = checkpoints.read(checkpoints.checkpoint(model))
    assert meta.network.strides == (2, 2, 4, 8)
    assert "model.1.1.cv2.conv.weight" in tensors
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))


def built_by_the_old_rule(table: dict[str, Any]) -> Any:
    """A model of before mid-2026, whose rows were left unscaled where channels equal the class count."""
    built = copy.deepcopy(table)
    width = built.pop("scales")[built.pop("scale")][1]
    for row in built["backbone"] + built["head"]:
        if row[2] in ("Conv", "C2f", "SPPF"):
            row[1] = 2 if row[1] == 6 else 1
            row[3][0] = row[3][0] if row[3][0] == table["nc"] else int(row[3][0] * width)
        elif row[2] == "Segment":
            row[3][2] = int(row[3][2] * width)
    model = checkpoints.model(built)
    model.yaml = table
    return model


def test_a_class_count_that_was_taken_for_channels() -> None:
    model = built_by_the_old_rule(checkpoints.table(64, width=0.125))
    meta, tensors = checkpoints.read(checkpoints.checkpoint(model))
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))
    # The header's table says the same to today's Ultralytics.
    assert checkpoints.reference(meta.architecture)[0] == {name: t.shape for name, t in tensors.items()}


def test_the_width_of_prototypes_was_scaled_all_the_same() -> None:
    table = checkpoints.table(64, width=0.125)
    table["head"][-1][2:] = ["Segment", ["nc", 8, 256]]
    meta, tensors = checkpoints.read(checkpoints.checkpoint(built_by_the_old_rule(table)))
    assert checkpoints.reference(meta.architecture)[0] == {name: t.shape for name, t in tensors.items()}
