"""How a checkpoint's tensors may be stored."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import checkpoints
import pytest

from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint.tensors import Tensor, storage_of


def test_layouts_of_storage_other_than_plain_are_refused(tiny: Any) -> None:
    import torch

    changed = copy.deepcopy(tiny)
    changed.model[0].conv.weight = torch.nn.Parameter(changed.model[0].conv.weight.int(), requires_grad=False)
    with pytest.raises(WeightsError, match=r"stores model.0.conv.weight as torch.int32"):
        checkpoints.read(checkpoints.saved({"model": changed}))


def expanded(model: Any) -> None:
    """Every filter is one number under all of its indices."""
    import torch

    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d):
            shape = part.weight.shape
            part.weight = torch.nn.Parameter(torch.zeros(1).expand(shape), requires_grad=False)


def shared(model: Any) -> None:
    """Every filter is a part of the largest one."""
    import torch

    filters = [part for part in model.modules() if isinstance(part, torch.nn.Conv2d)]
    largest = max((part.weight.data for part in filters), key=torch.numel).flatten()
    for part in filters:
        view = largest[: part.weight.numel()].view(part.weight.shape)
        part.weight = torch.nn.Parameter(view, requires_grad=False)


@pytest.mark.parametrize("change", [expanded, shared])
def test_tensors_that_share_their_numbers_are_refused(change: Callable[[Any], None]) -> None:
    """A small file would otherwise be a large network."""
    changed = checkpoints.detection_model(checkpoints.table(width=0.25))
    change(changed)
    with pytest.raises(WeightsError, match=r"claims more bytes for model\.\d+\."):
        checkpoints.read(checkpoints.saved({"model": changed}))


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        ("UntypedStorage", 37, "has a tensor of float32 in a storage of 37 bytes"),  # 9 numbers and a byte
        ("FloatStorage", 2**41, "has a storage '0' of 2199023255552 numbers"),
        ("FloatStorage", 10**5000, "has a storage '0' of a huge int numbers"),  # which Python does not print
    ],
    ids=["odd", "large", "huge"],
)
def test_storages_of_impossible_sizes_are_refused(kind: str, count: int, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        Tensor.view(storage_of(kind, "0", count, str.encode, "<"), 0, (3, 3), (3, 1), "float32")
