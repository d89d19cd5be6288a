from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch

from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.engine.torch_module import build_module, table_of
from yolo_max.model.architecture import Architecture
from yolo_max.model.specs import Layer
from yolo_max.support.errors import EngineError, UsageError, WeightsError
from yolo_max.tasks.detect.reference import REFERENCE
from yolo_max.weights.load import Weights, load_weights, save_weights

NC = 3
DETECT = Layer(1, (0,), "Detect", 1, (8,), 65, {"nc": 1, "reg_max": 16, "end2end": 0})
SIZE = (64, 96)
ANCHORS = 16 * 24 + 8 * 12


@pytest.fixture(scope="module")
def model() -> Any:
    """A small network with every kind of block, and BatchNorm statistics in which eps matters."""
    return checkpoints.detection_model(checkpoints.tiny_table(NC))


@pytest.fixture(scope="module")
def checkpoint(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "tiny.pt"
    path.write_bytes(checkpoints.checkpoint(model))
    return path


@pytest.fixture(scope="module")
def weights(checkpoint: Path) -> Weights:
    return load_weights(checkpoint)


@pytest.fixture(scope="module")
def safetensors(weights: Weights) -> Weights:
    path = weights.path.with_suffix(".safetensors")
    save_weights(weights, path)
    return load_weights(path)


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)


def _unfused(model: Any, batch: np.ndarray) -> Any:
    """The head of the module as it was trained: BatchNorm apart, weights rounded to half, all in float64."""
    exact = model.half().double()
    pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).double() / 255
    with torch.no_grad():
        raw = exact(pixels)[1]
    return torch.cat([raw["boxes"], raw["scores"]], 1).transpose(1, 2).numpy()


def test_is_the_network_of_the_checkpoint(model: Any, weights: Weights, batch: np.ndarray) -> None:
    expected = _unfused(model, batch)
    engine = TorchEngine(weights)
    assert engine.source == "checkpoint"
    head = engine(batch)["head"]
    assert head.dtype == np.float32
    assert head.shape == (2, ANCHORS, 64 + NC)
    np.testing.assert_allclose(head, expected, atol=1e-5 * np.abs(expected).max())


def test_float64_is_exact(model: Any, weights: Weights, batch: np.ndarray) -> None:
    expected = _unfused(model, batch)
    head = TorchEngine(weights, precision="f64")(batch)["head"]
    assert head.dtype == np.float64
    np.testing.assert_allclose(head, expected, atol=1e-12 * np.abs(expected).max())


def test_does_not_take_over_a_mistake_in_conversion(weights: Weights, batch: np.ndarray) -> None:
    """The engine reads the checkpoint, not the converted tensors that it is to judge."""
    wrong = replace(weights, tensors={name: 2 * tensor for name, tensor in weights.tensors.items()})
    np.testing.assert_array_equal(TorchEngine(wrong)(batch)["head"], TorchEngine(weights)(batch)["head"])


def test_rebuilds_the_module_from_a_header(weights: Weights, safetensors: Weights, batch: np.ndarray) -> None:
    engine = TorchEngine(safetensors)
    assert engine.source == "safetensors"
    expected = TorchEngine(weights)(batch)["head"]
    np.testing.assert_allclose(engine(batch)["head"], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_format_changes_nothing_but_rounding(
    weights: Weights, batch: np.ndarray, channels_last: bool
) -> None:
    expected = TorchEngine(weights, precision="f64")(batch)["head"]
    head = TorchEngine(weights, channels_last=channels_last)(batch)["head"]
    np.testing.assert_allclose(head, expected, atol=1e-5 * np.abs(expected).max())


def test_a_batch_is_its_images(weights: Weights, batch: np.ndarray) -> None:
    engine = TorchEngine(weights)
    head = engine(batch)["head"]
    np.testing.assert_allclose(head[1:], engine(batch[1:])["head"], atol=1e-5 * np.abs(head).max())


def test_a_view_of_pixels(weights: Weights, batch: np.ndarray) -> None:
    engine = TorchEngine(weights)
    mirrored = batch[:, :, ::-1]
    np.testing.assert_array_equal(engine(mirrored)["head"], engine(np.ascontiguousarray(mirrored))["head"])


def test_layers(weights: Weights, batch: np.ndarray) -> None:
    engine = TorchEngine(weights)
    layers = engine.layers(batch)
    assert len(layers) == len(engine.layer_names) == 9
    assert engine.layer_names[:3] == ("model.0 Conv", "model.1 Conv", "model.2 C2f")
    assert layers[0].shape == (2, 32, 48, 8)
    assert all(layer.flags.c_contiguous for layer in layers)
    np.testing.assert_array_equal(layers[-1], engine(batch)["head"])
    # NHWC: the concatenation of layer 5 and layer 2 along the last axis
    np.testing.assert_array_equal(layers[6], np.concatenate([layers[5], layers[2]], axis=3))


@pytest.mark.parametrize(
    ("option", "value"),
    [("device", "gpu"), ("precision", "bf16"), ("kernels", "fused")],
)
def test_options_it_does_not_have(weights: Weights, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"no {option} '{value}'"):
        TorchEngine(weights, **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((64, 96, 3), np.uint8),  # no batch
        ((1, 64, 96, 4), np.uint8),  # alpha
        ((1, 3, 64, 96), np.uint8),  # NCHW
        ((0, 64, 96, 3), np.uint8),  # nothing
        ((1, 64, 96, 3), np.float32),
        ((1, 64, 100, 3), np.uint8),  # no multiple of the stride
    ],
)
def test_batches_it_does_not_take(weights: Weights, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(UsageError, match=r"engine takes uint8|do not fit the network"):
        TorchEngine(weights)(np.zeros(shape, dtype))["head"]


def test_threads(weights: Weights) -> None:
    before = torch.get_num_threads()
    try:
        assert TorchEngine(weights, threads=1).threads == 1
        assert TorchEngine(weights).threads == 1
    finally:
        torch.set_num_threads(before)


def test_a_checkpoint_that_changed_meanwhile(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    path.write_bytes(weights.path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="has changed since"):
        TorchEngine(replace(weights, path=path))
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        TorchEngine(replace(weights, path=path))


def test_checkpoints_from_before_torch_1_11(model: Any, tmp_path: Path, batch: np.ndarray) -> None:
    old = copy.deepcopy(model)
    (upsample,) = (part for part in old.modules() if isinstance(part, torch.nn.Upsample))
    del upsample.recompute_scale_factor
    path = tmp_path / "old.pt"
    path.write_bytes(checkpoints.checkpoint(old))
    expected = _unfused(model, batch)
    np.testing.assert_allclose(TorchEngine(path)(batch)["head"], expected, atol=1e-5 * np.abs(expected).max())


def test_tensors_that_ultralytics_has_no_place_for(safetensors: Weights) -> None:
    tensors = dict(safetensors.tensors)
    first = next(iter(tensors))
    with pytest.raises(WeightsError, match="of other shapes"):
        build_module(replace(safetensors, tensors=tensors | {first: tensors[first][:, :, :, :4]}))
    with pytest.raises(WeightsError, match=r"with other tensors: extra\.weight"):
        build_module(replace(safetensors, tensors=tensors | {"extra.weight": tensors[first]}))
    del tensors[first]
    with pytest.raises(WeightsError, match=f"with other tensors: {first}"):
        build_module(replace(safetensors, tensors=tensors))


@pytest.mark.parametrize(
    ("hidden", "c_out"), [(hidden, c_out) for c_out in (8, 24, 56, 1000) for hidden in range(1, c_out, 7)]
)
def test_the_written_table_says_what_a_layer_comes_to(hidden: int, c_out: int) -> None:
    """Hidden channels are written as a ratio, of which Ultralytics rounds the product down."""
    layer = Layer(0, (-1,), "Bottleneck", 1, (c_out,), c_out, {"hidden": hidden, "shortcut": True})
    (row,) = table_of(Architecture((layer, DETECT), 1, (1,), 1))["backbone"]
    assert int(c_out * row[3][-1]) == hidden


def test_a_table_with_everything_the_port_covers(tmp_path: Path, batch: np.ndarray) -> None:
    """Copies of a block, several levels, ratios, no shortcut, another number of bins, odd kernels."""
    table = {
        "nc": 5,
        "reg_max": 8,
        "scales": {"n": [0.67, 0.5, 64]},
        "backbone": [
            [-1, 1, "Conv", [32, 7, 2]],
            [-1, 3, "Bottleneck", [32, True, 1, [3, 3], 0.3]],
            [-1, 1, "Conv", [200, 3, 2]],
            [-1, 4, "C2f", [64, False, 1, 0.4]],
            [-1, 1, "SPPF", [64, 9]],
        ],
        "head": [
            [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
            [[-1, 0, 1], 1, "Concat", [1]],
            [-1, 3, "C2f", [32]],
            [[7, 4, 2], 1, "Detect", ["nc"]],
        ],
    }
    model = checkpoints.detection_model(table)
    path = tmp_path / "odd.pt"
    path.write_bytes(checkpoints.checkpoint(model))
    expected = _unfused(model, batch)
    head = TorchEngine(path, precision="f64")(batch)["head"]
    np.testing.assert_allclose(head, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(
    "output", [torch.zeros(1, 67, 10), (torch.zeros(1), [torch.zeros(1)]), (torch.zeros(1), {"feats": []})]
)
def test_a_head_in_another_form(output: Any) -> None:
    with pytest.raises(EngineError, match="another form"):
        REFERENCE.of_module(output)


WATCHED = """
import json, sys

seen = []

WATCHED = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.posix_spawn")

def watch(event, arguments):
    if event in WATCHED:
        seen.append(f"{event} {arguments}")

sys.addaudithook(watch)

class NoTorchvision:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            raise ImportError("torchvision does not import beside this PyTorch")

sys.meta_path.insert(0, NoTorchvision())

import numpy as np
from yolo_max.engine.torch_engine import TorchEngine

shapes = [TorchEngine(path)(np.zeros((1, 64, 64, 3), np.uint8))["head"].shape for path in sys.argv[1:]]
print(json.dumps({"seen": seen, "shapes": shapes}))
"""


def test_neither_phones_home_nor_installs_nor_needs_torchvision(
    weights: Weights, safetensors: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("YOLO_CONFIG_DIR", raising=False)
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(weights.path), str(safetensors.path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    result = json.loads(done.stdout)
    assert result["seen"] == []
    assert result["shapes"] == [[1, 320, 64 + NC]] * 2
    assert done.stderr == ""
    assert not (tmp_path / "home" / ".config").exists()


def test_real_weights(coco_weights: Path) -> None:
    """On the COCO checkpoint, the module fused and rounded is PyTorch's to the last bits."""
    weights = load_weights(coco_weights)
    batch = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    difference = TorchEngine(weights)(batch)["head"] - TorchEngine(weights, precision="f64")(batch)["head"]
    assert np.abs(difference).max() < 1e-4
