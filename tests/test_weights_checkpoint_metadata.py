"""A checkpoint's class names, input size and origin."""

from __future__ import annotations

import copy
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.model.architecture import parse_architecture
from yolo_max.weights.meta import ModelMeta

# Metadata


def test_metadata(tiny: Any) -> None:
    meta, _ = checkpoints.read(checkpoints.checkpoint(tiny))
    assert meta.names == {0: "thing 0", 1: "thing 1", 2: "thing 2"}
    assert (meta.nc, meta.network.strides, meta.imgsz) == (3, (4, 8), 320)
    assert meta.network.head.args["reg_max"] == 16
    assert meta.source == "net.pt"
    assert len(meta.source_sha256) == 64
    assert parse_architecture(meta.architecture) == meta.network


@pytest.mark.parametrize(
    ("model_args", "train_args", "imgsz"),
    [
        ({"imgsz": 256}, {"imgsz": 512}, 256),  # the model's own come first
        ({}, {"imgsz": 512}, 512),
        ({"imgsz": [480, 640]}, {}, 640),  # two sides: the larger one
        ({"imgsz": "large"}, {"imgsz": 512}, 512),
        ({"imgsz": 10**9}, {}, 640),  # nonsense: Ultralytics' default
        ({"imgsz": None}, None, 640),
        (None, {}, 640),
    ],
)
def test_input_size(tiny: Any, model_args: Any, train_args: Any, imgsz: int) -> None:
    changed = copy.deepcopy(tiny)
    changed.args = model_args
    assert checkpoints.read(checkpoints.saved({"model": changed, "train_args": train_args}))[0].imgsz == imgsz


def test_input_size_in_a_namespace(tiny: Any) -> None:
    """While training, the arguments are a namespace of Ultralytics, and not yet a dict."""
    from ultralytics.utils import IterableSimpleNamespace

    changed = copy.deepcopy(tiny)
    changed.args = IterableSimpleNamespace(imgsz=416)
    assert checkpoints.read(checkpoints.saved({"model": changed}))[0].imgsz == 416


def test_names_may_be_a_list_and_lose_what_steers_a_terminal(tiny: Any) -> None:
    changed = copy.deepcopy(tiny)
    changed.names = ["cat", "dog\x1b[31m\n", "犬"]
    assert checkpoints.read(checkpoints.saved({"model": changed}))[0].names == {
        0: "cat",
        1: "dog�[31m�",
        2: "犬",
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: 0, 1: 1, 2: 2}, ["0", "1", "2"]),  # a dataset that numbers its classes
        ([1.5, True, "c"], ["1.5", "True", "c"]),  # what YAML makes of 1.5 and of yes
        (list(np.array(["cat", "dog", "犬"])), ["cat", "dog", "犬"]),  # NumPy's own strings
        (dict(zip(np.arange(3), np.array([7, 8, 9]), strict=True)), ["7", "8", "9"]),
        ({"0": "a", "1": "b", "2": "c"}, ["a", "b", "c"]),  # ids that went through JSON
        (["a", "b", "c", "d", "e"], ["a", "b", "c"]),  # more than classes: the first ones
        ({0: "a", 1: "b", 2: "c", 7: "z"}, ["a", "b", "c"]),
        (["a" * 256, "b", "c"], ["a" * 256, "b", "c"]),
        (["a" * 257, "b", "c" * 10_000], ["a" * 255 + "…", "b", "c" * 255 + "…"]),  # cut where it is seen
        ([10**5000, "b", "c"], ["a huge int", "b", "c"]),  # Python writes out no such number
    ],
)
def test_class_names_that_are_not_short_strings(tiny: Any, names: Any, expected: list[str]) -> None:
    changed = copy.deepcopy(tiny)
    changed.names = names
    meta, _ = checkpoints.read(checkpoints.saved({"model": changed}))
    assert list(meta.names.values()) == expected
    assert ModelMeta.from_header(meta.to_header()) == meta


def test_paths_of_the_training_machine_are_not_kept(tiny: Any) -> None:
    changed = copy.deepcopy(tiny)
    changed.yaml["yaml_file"] = "/home/someone/project/net.yaml"
    meta, _ = checkpoints.read(
        checkpoints.saved({"model": changed, "train_args": {"project": "/home/someone"}})
    )
    assert meta.architecture["yaml_file"] == "net.yaml"
    assert "someone" not in str(meta.to_header())
