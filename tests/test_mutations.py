"""Mistakes that a port of YOLOv8 has been seen to make: each of them must break the parity gate.

Where the mistake is made does not matter to the gate, which holds two sides against each other; it is made on
whichever side it costs no compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from yolo_max.engine import MaxEngine
from yolo_max.fates import Fates
from yolo_max.images import read_image
from yolo_max.layers import MaxLayers
from yolo_max.letterbox import Letterbox
from yolo_max.parity import DetectionDifference, HeadDifference, TensorDifference, Verdict, judge
from yolo_max.postprocess import Postprocess, sigmoid
from yolo_max.reference import TorchEngine
from yolo_max.weights import Weights, load_weights

CANVAS = (320, 320)


@pytest.fixture(scope="module")
def demo(demo_weights: Path) -> Weights:
    return load_weights(demo_weights)


@pytest.fixture
def reference(demo: Weights) -> TorchEngine:
    return TorchEngine(demo)


@pytest.fixture(scope="module")
def photos(scenes: list[Path]) -> list[NDArray[np.uint8]]:
    """Images that are not square, so that each has bars on one pair of sides."""
    images = [read_image(scene) for scene in scenes]
    return [image for image in images if image.shape[0] != image.shape[1]][:3]


def _letterboxed(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Letterbox]:
    geometry = Letterbox.fit((image.shape[0], image.shape[1]), CANVAS)
    return geometry.render(image), geometry


def _heads(
    engine: MaxEngine,
    reference: TorchEngine,
    images: list[NDArray[np.uint8]],
    mutate: Callable[[NDArray[np.uint8], Letterbox], NDArray[np.uint8]] = lambda canvas, _: canvas,
) -> Verdict:
    """The gate before NMS; ``mutate`` changes what MAX sees."""
    verdicts = []
    for image in images:
        canvas, geometry = _letterboxed(image)
        ours, theirs = engine(mutate(canvas, geometry)[None])[0], reference(canvas[None])[0]
        verdicts.append(HeadDifference.between(ours, theirs, CANVAS).verdict)
    return judge(verdicts)


def _detections(
    engine: MaxEngine,
    reference: TorchEngine,
    images: list[NDArray[np.uint8]],
    names: Any,
    mutate_head: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda head: head,
    mutate_geometry: Callable[[Letterbox], Letterbox] = lambda geometry: geometry,
) -> Verdict:
    """The gate after NMS; the mutations are on MAX's side."""
    postprocess = Postprocess(names)
    verdicts = []
    for image in images:
        canvas, geometry = _letterboxed(image)
        ours, theirs = engine(canvas[None])[0], reference(canvas[None])[0]
        found = postprocess(mutate_head(ours.copy()), mutate_geometry(geometry))
        expected, fates = postprocess(theirs, geometry), Fates.of(theirs, geometry, postprocess)
        assert len(expected)
        verdicts.append(DetectionDifference.between(found, expected, fates).verdict)
    return judge(verdicts)


def test_without_a_mistake_the_gate_is_open(
    demo_engine: MaxEngine, reference: TorchEngine, photos: list[NDArray[np.uint8]], demo: Weights
) -> None:
    assert len(photos) == 3
    _heads(demo_engine, reference, photos).require()
    _detections(demo_engine, reference, photos, demo.meta.names).require()


def test_batchnorm_folded_with_another_eps(tmp_path: Path) -> None:
    """PyTorch's default of 1e-5, where Ultralytics sets 1e-3: on small variances it is everything."""
    model = checkpoints.detection_model(checkpoints.tiny_table())
    (tmp_path / "right.pt").write_bytes(checkpoints.checkpoint(model))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.eps == 1e-3
            module.eps = 1e-5
    (tmp_path / "wrong.pt").write_bytes(checkpoints.checkpoint(model))
    right, wrong = load_weights(tmp_path / "right.pt"), load_weights(tmp_path / "wrong.pt")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    expected = TorchEngine(right).layers(pixels)
    for weights, holds in ((right, True), (wrong, False)):
        layers = MaxLayers(weights, imgsz=(64, 96), batch=2, kernels="fused").layers(pixels)
        # In the very first layer and at the end of it all.
        for ours, theirs in ((layers[0], expected[0]), (layers[-1], expected[-1])):
            assert TensorDifference.between("layer", ours, theirs).verdict.holds is holds


class _ZeroPadded(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return functional.max_pool2d(functional.pad(x, (2, 2, 2, 2)), 5, 1)


class _WrongAxes(torch.nn.Module):  # type: ignore[misc]
    """An NCHW tensor given to a pool that takes NHWC: it pools over channels and rows."""

    def forward(self, x: Any) -> Any:
        return functional.max_pool2d(x.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1)


def _pool(reference: TorchEngine, pool: torch.nn.Module) -> None:
    (block,) = (each for each in reference.module.model if type(each).__name__ == "SPPF")
    block.m = pool


def _upsample(reference: TorchEngine, mode: str) -> None:
    for index in (10, 13):
        reference.module.model[index].mode = mode
        reference.module.model[index].align_corners = False


MISTAKES_IN_THE_NETWORK: dict[str, Callable[[TorchEngine], None]] = {
    "max-pool padded with zeros": lambda reference: _pool(reference, _ZeroPadded()),
    "max-pool given NCHW": lambda reference: _pool(reference, _WrongAxes()),
    "bicubic upsampling": lambda reference: _upsample(reference, "bicubic"),
    "bilinear upsampling": lambda reference: _upsample(reference, "bilinear"),
}


@pytest.mark.parametrize("mistake", MISTAKES_IN_THE_NETWORK)
def test_mistake_in_the_network(
    demo_engine: MaxEngine, reference: TorchEngine, photos: list[NDArray[np.uint8]], mistake: str
) -> None:
    MISTAKES_IN_THE_NETWORK[mistake](reference)
    verdict = _heads(demo_engine, reference, photos)
    assert any(failure.startswith("head differs") for failure in verdict.failures)


def _swapped_pads(canvas: NDArray[np.uint8], geometry: Letterbox) -> NDArray[np.uint8]:
    """The same picture with its bars at the wrong sides: shifted, as far as it goes."""
    down, right = geometry.pad_left - geometry.pad_top, geometry.pad_top - geometry.pad_left
    return np.roll(canvas, (down, right), axis=(0, 1))


MISTAKES_IN_THE_PIXELS: dict[str, Callable[[NDArray[np.uint8], Letterbox], NDArray[np.uint8]]] = {
    "BGR for RGB": lambda canvas, _: canvas[..., ::-1],
    "pads swapped": _swapped_pads,
    "one row further down": lambda canvas, _: np.roll(canvas, 1, axis=0),
    "rows for columns": lambda canvas, _: canvas.swapaxes(0, 1),
}


@pytest.mark.parametrize("mistake", MISTAKES_IN_THE_PIXELS)
def test_mistake_in_the_pixels(
    demo_engine: MaxEngine, reference: TorchEngine, photos: list[NDArray[np.uint8]], mistake: str
) -> None:
    verdict = _heads(demo_engine, reference, photos, MISTAKES_IN_THE_PIXELS[mistake])
    assert any(failure.startswith("head differs") for failure in verdict.failures)


def _prefiltered_on_column_4(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes, then classes: column 4 is class 0, not an objectness as YOLOv5 had it."""
    head[sigmoid(head[:, 64]) <= 0.25, 64:] = -20
    return head


def _sides_swapped(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sides of a box as top, left, bottom, right."""
    return np.concatenate(
        [head[:, 16:32], head[:, :16], head[:, 48:64], head[:, 32:48], head[:, 64:]], axis=1
    )


MISTAKES_IN_POSTPROCESSING: dict[str, dict[str, Callable[[Any], Any]]] = {
    "prefilter on column 4": {"mutate_head": _prefiltered_on_column_4},
    "sides of a box swapped": {"mutate_head": _sides_swapped},
    "pads swapped": {
        "mutate_geometry": lambda g: replace(g, pad_left=g.pad_top, pad_top=g.pad_left),
    },
    "pads forgotten": {"mutate_geometry": lambda g: replace(g, pad_left=0, pad_top=0)},
}


@pytest.mark.parametrize("mistake", MISTAKES_IN_POSTPROCESSING)
def test_mistake_in_postprocessing(
    demo_engine: MaxEngine,
    reference: TorchEngine,
    photos: list[NDArray[np.uint8]],
    demo: Weights,
    mistake: str,
) -> None:
    mutations: Any = MISTAKES_IN_POSTPROCESSING[mistake]
    assert not _detections(demo_engine, reference, photos, demo.meta.names, **mutations).holds
