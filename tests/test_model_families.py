"""Every family of networks: its tables, against Ultralytics; its wiring, against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import checkpoints
import eager
import numpy as np
import pytest
import raw_outputs
from blocks import LATER
from families import NAMES, SMALLEST, table, weights
from test_model_specs import Recorded, Recorder

from yolo_max.model.architecture import Normalization, expected_tensors, parse_architecture
from yolo_max.model.model import MaxYolo
from yolo_max.tasks.rubric import judge_layers
from yolo_max.verify.layers import layer_differences
from yolo_max.weights.load import Weights, load_weights, save_weights


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_what_ultralytics_builds(name: str) -> None:
    architecture = parse_architecture(table(name))
    tensors, strides = checkpoints.reference(table(name))
    assert expected_tensors(architecture) == tensors
    assert architecture.strides == strides


@pytest.mark.parametrize("name", NAMES)
def test_the_classes_make_the_convolutions_of_the_specs(name: str) -> None:
    architecture = parse_architecture(table(name))
    network = MaxYolo(architecture, Recorder())  # type: ignore[arg-type]
    made = {path.rstrip(".") for path, each in network.named_modules() if isinstance(each, Recorded)}
    assert made == {each.name for each in architecture.convolutions()}


def forms(names: Sequence[str]) -> list[tuple[str, bool]]:
    """Networks, each with NMS, and without if it has both heads."""
    both = [name for name in names if parse_architecture(table(name)).facts.get("end2end")]
    return [(name, nms) for name in names for nms in ((True, False) if name in both else (True,))]


@pytest.mark.parametrize(("name", "nms"), forms(SMALLEST))
def test_every_layer_is_wired_as_in_pytorch(name: str, nms: bool, tmp_path: Path) -> None:
    given = weights(tmp_path / "random.pt", table(name, nc=7))
    if not nms:
        given = given.without_nms()
    assert given.meta.network.nms == nms
    assert_wired(given)


def test_every_later_block_is_wired_as_in_pytorch(tmp_path: Path) -> None:
    given = weights(tmp_path / "later.pt", LATER)
    assert_wired(given)
    save_weights(given, tmp_path / "later.safetensors")  # from which PyTorch's module is made otherwise
    assert_wired(load_weights(tmp_path / "later.safetensors"))


def test_normalised_pixels_are_padded_with_zeros(tmp_path: Path) -> None:
    given = weights(tmp_path / "random.pt", table("yolov8n-cls", nc=7))
    imagenet = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = replace(given.meta.network, normalization=imagenet)
    assert_wired(replace(given, meta=replace(given.meta, network=network)))


def assert_wired(given: Weights) -> None:
    """Compares every map and raw output with those of Ultralytics' module, in float64."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 128, 3), np.uint8)
    maps, outputs = eager.run(given.meta.network, given.tensors, pixels)
    expected, raw = raw_outputs.run(given, pixels)
    assert tuple(raw) == given.meta.network.outputs
    pairs = [*zip(maps, expected, strict=True), *((outputs[name], raw[name]) for name in raw)]
    for ours, theirs in pairs:
        assert 1e-3 < np.abs(theirs).max() < 1e3
        # Ours are folded in float64, but stored in float32.
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.zoo
@pytest.mark.parametrize(("name", "nms"), forms(NAMES))
def test_every_layer_on_the_fused_kernels(name: str, nms: bool, tmp_path: Path) -> None:
    given = weights(tmp_path / "random.pt", table(name))
    given = given if nms else given.without_nms()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), np.uint8)
    judge_layers(layer_differences(given, pixels, kernels="fused")).require()
