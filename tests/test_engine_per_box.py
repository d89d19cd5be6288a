"""Heads that say more of each box, on MAX against PyTorch: every raw output, and only candidates' rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import raw_outputs
import torch
from numpy.typing import NDArray

from yolo_max.engine.max_engine import MaxEngine
from yolo_max.tasks.rubric import TensorDifference, judge
from yolo_max.weights.load import Weights, load_weights, save_weights

BACKBONE = [
    [-1, 1, "Conv", [16, 3, 2]],  # 0
    [-1, 1, "Conv", [16, 3, 2]],  # 1
    [-1, 1, "Conv", [24, 3, 2]],  # 2
    [-1, 1, "Conv", [32, 3, 2]],  # 3
    [-1, 1, "Conv", [40, 3, 2]],  # 4
]
HEADS: dict[str, Any] = {
    # of all levels, one-to-one: the prototypes of Segment, on a sum of maps
    "segment": {"head": [[[2, 3, 4], 1, "Segment26", ["nc", 12, 16]]], "end2end": True, "reg_max": 1},
    # the last convolution of its branch stands apart
    "pose": {"head": [[[2, 3, 4], 1, "Pose26", ["nc", "kpt_shape"]]], "kpt_shape": [5, 3]},
    # a single number for each box; a single level
    "obb": {"head": [[[3], 1, "OBB", ["nc", 1]]]},
}


class Network:
    """A network on MAX."""

    def __init__(self, head: str, path: Path) -> None:
        table = {"nc": 4, "backbone": BACKBONE, **HEADS[head]}
        self.weights: Weights = families.weights(path, table).without_nms()
        self.engine = MaxEngine(self.weights, imgsz=(64, 96), kernels="fused")


@pytest.fixture(scope="module", params=HEADS)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return Network(request.param, tmp_path_factory.mktemp(request.param) / "random.pt")


def images(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [
        (2, 64, 96),
        (1, 32, 32),  # a single pixel at stride 32
        (3, 96, 32),
    ],
)
def test_every_raw_output_is_what_pytorch_computes(
    network: Network, batch: int, height: int, width: int
) -> None:
    pixels = images(batch, height, width)
    ours, (_, theirs) = network.engine(pixels), raw_outputs.run(network.weights, pixels, torch.float32)
    assert tuple(ours) == tuple(theirs) == network.weights.meta.network.outputs
    judge(TensorDifference.between(name, ours[name], theirs[name]).verdict for name in ours).require()


def test_the_module_from_a_weights_file_is_that_from_the_checkpoint(network: Network, tmp_path: Path) -> None:
    save_weights(network.weights, tmp_path / "random.safetensors")
    stored = load_weights(tmp_path / "random.safetensors").without_nms()
    for (_, ours), (_, theirs) in [
        (raw_outputs.run(w, images(1, 32, 64)) for w in (stored, network.weights))
    ]:
        for name, expected in theirs.items():
            np.testing.assert_allclose(ours[name], expected, atol=2e-5 * np.abs(expected).max())


def test_candidates_have_the_same_rows_and_other_cells_none(network: Network) -> None:
    pixels = images(2, 64, 96)
    whole = network.engine(pixels)
    best = whole["head"][..., -4:].max(axis=2)
    min_logit = float(np.median(best))
    for i, found in enumerate(network.engine.run(pixels, min_logit)):
        np.testing.assert_array_equal(found["cells"], np.flatnonzero(best[i] > min_logit))
        for name, values in whole.items():
            per_cell = name in network.weights.meta.network.per_cell
            np.testing.assert_array_equal(found[name], values[i][found["cells"]] if per_cell else values[i])
