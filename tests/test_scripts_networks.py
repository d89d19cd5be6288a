"""The networks that scripts measure with."""

from __future__ import annotations

from pathlib import Path

import networks
import pytest
import random_weights
import torch

from yolo_max.weights.load import load_weights


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 224),  # torchvision before timm
        ("timm/mobilenetv3_small_050", 224),
        ("torchvision/inception_v3", 299),  # images of another size
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization of inception_v3:FutureWarning")
def test_random_weights_keep_activations_as_large_as_in_a_trained_network(name: str, size: int) -> None:
    module, expected_size = networks.network(name)
    outputs: list[torch.Tensor] = []
    for each in module.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.register_forward_hook(lambda _, __, y: outputs.append(y.std()))
    with torch.inference_mode():
        module(torch.randn(4, 3, size, size))
    assert expected_size == size
    assert not module.training
    assert outputs
    assert all(0.5 < float(std) < 2 for std in outputs)


def test_no_weight_is_zero() -> None:
    module, _ = networks.network("vit_b_16")  # torchvision's initial head is
    assert all(parameter.any() for parameter in module.parameters() if parameter.ndim > 1)


def test_weights_of_a_file_are_taken(tmp_path: Path) -> None:
    saved, _ = networks.network("resnet18", seed=1)
    torch.save(saved.state_dict(), tmp_path / "resnet18.pth")
    module, _ = networks.network("resnet18", tmp_path / "resnet18.pth")
    assert torch.equal(module.fc.weight, saved.fc.weight)


@pytest.mark.parametrize("name", ["resnet", "timm/nothing", "keras/resnet18"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"no network '{name}'"):
        networks.network(name)


def test_random_weights_of_a_table_are_a_checkpoint_with_activations_as_in_a_trained_network(
    tmp_path: Path,
) -> None:
    model = random_weights.random_network("yolov8n-cls")
    outputs: list[torch.Tensor] = []
    for each in model.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.register_forward_hook(lambda _, __, y: outputs.append(y.std()))
    with torch.inference_mode():
        model(random_weights.drawn_images(224))
    assert all(0.5 < float(std) < 2 for std in outputs)
    for each in model.modules():
        each._forward_hooks.clear()
    torch.save({"model": model}, tmp_path / "random.pt")
    meta = load_weights(tmp_path / "random.pt").meta
    assert (meta.task, meta.imgsz, meta.nc) == ("classify", 224, 1000)
