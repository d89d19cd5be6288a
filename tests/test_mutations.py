"""The known mistakes of such ports: each of them must break the parity gate, where all else agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import checkpoints
import mistakes
import numpy as np
import pytest
from blocks import BLOCKS
from numpy.typing import NDArray

from yolo_max.engine.max_engine import MaxEngine
from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.images.letterbox import Letterbox
from yolo_max.images.read import read_image
from yolo_max.tasks.detect.comparison import DetectionDifference, HeadDifference
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.detect.tolerant_nms import TolerantNms
from yolo_max.tasks.rubric import (
    TensorDifference,
    Verdict,
    judge,
)
from yolo_max.weights.load import Weights, load_weights

CANVAS = (320, 320)


@pytest.fixture(scope="module")
def demo(demo_weights: Path) -> Weights:
    return load_weights(demo_weights)


@pytest.fixture
def reference(demo: Weights) -> TorchEngine:
    return TorchEngine(demo)


@pytest.fixture(scope="module")
def pictures(scenes: list[Path]) -> list[NDArray[np.uint8]]:
    """Images that are not square, so that each has bars on one pair of sides."""
    images = [read_image(scene) for scene in scenes]
    return [image for image in images if image.shape[0] != image.shape[1]][:3]


def _before_nms(
    engine: MaxEngine,
    reference: TorchEngine,
    pictures: list[NDArray[np.uint8]],
    mistake: Callable[[NDArray[np.uint8], Letterbox], NDArray[np.uint8]] = lambda canvas, _: canvas,
) -> Verdict:
    """The gate before NMS; a mistake is in the pixels that MAX sees."""
    verdicts = []
    for picture in pictures:
        geometry = Letterbox.fit((picture.shape[0], picture.shape[1]), CANVAS)
        canvas = geometry.render(picture)
        ours, theirs = engine(mistake(canvas, geometry)[None])["head"][0], reference(canvas[None])["head"][0]
        verdicts.append(HeadDifference.between(ours, theirs, CANVAS).verdict)
    return judge(verdicts)


def _after_nms(
    engine: MaxEngine,
    reference: TorchEngine,
    pictures: list[NDArray[np.uint8]],
    names: dict[int, str],
    in_head: Callable[[NDArray[np.float32], float], NDArray[np.float32]] = lambda head, _: head,
    in_geometry: Callable[[Letterbox], Letterbox] = lambda geometry: geometry,
) -> Verdict:
    """The gate after NMS; a mistake is on MAX's side."""
    postprocess = Postprocess(names)
    verdicts = []
    for picture in pictures:
        geometry = Letterbox.fit((picture.shape[0], picture.shape[1]), CANVAS)
        canvas = geometry.render(picture)[None]
        ours, theirs = engine(canvas)["head"][0], reference(canvas)["head"][0]
        found = postprocess({"head": in_head(ours, postprocess.conf)}, in_geometry(geometry))
        expected, nms = postprocess({"head": theirs}, geometry), TolerantNms.of(theirs, geometry, postprocess)
        assert len(expected)
        verdicts.append(DetectionDifference.between(found, expected, nms).verdict)
    return judge(verdicts)


def test_without_a_mistake_the_gate_is_open(
    demo_engine: MaxEngine, reference: TorchEngine, pictures: list[NDArray[np.uint8]], demo: Weights
) -> None:
    assert len(pictures) == 3
    _before_nms(demo_engine, reference, pictures).require()
    _after_nms(demo_engine, reference, pictures, dict(demo.meta.names)).require()


def test_batchnorm_folded_with_another_eps(tmp_path: Path) -> None:
    """PyTorch's default of 1e-5, where Ultralytics sets 1e-3: on small variances it is everything."""
    model = checkpoints.detection_model(BLOCKS)
    (tmp_path / "right.pt").write_bytes(checkpoints.checkpoint(model))
    mistakes.fold_with_eps(model)
    (tmp_path / "wrong.pt").write_bytes(checkpoints.checkpoint(model))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    expected = TorchEngine(tmp_path / "right.pt").layers(pixels)
    for name, holds in (("right.pt", True), ("wrong.pt", False)):
        engine = MaxEngine(
            load_weights(tmp_path / name), imgsz=(64, 96), batch=2, kernels="fused", every_layer=True
        )
        layers = engine.layers(pixels)
        # In the very first layer, and at the end of it all.
        for index in (0, -1):
            assert TensorDifference.between("layer", layers[index], expected[index]).verdict.holds is holds


@pytest.mark.parametrize("mistake", mistakes.IN_THE_NETWORK)
def test_mistakes_in_the_network(
    demo_engine: MaxEngine, reference: TorchEngine, pictures: list[NDArray[np.uint8]], mistake: str
) -> None:
    mistakes.IN_THE_NETWORK[mistake](reference.module)
    verdict = _before_nms(demo_engine, reference, pictures)
    assert any(failure.startswith("head differs") for failure in verdict.failures)


@pytest.mark.parametrize("mistake", mistakes.IN_THE_PIXELS)
def test_mistakes_in_the_pixels(
    demo_engine: MaxEngine, reference: TorchEngine, pictures: list[NDArray[np.uint8]], mistake: str
) -> None:
    verdict = _before_nms(demo_engine, reference, pictures, mistakes.IN_THE_PIXELS[mistake])
    assert any(failure.startswith("head differs") for failure in verdict.failures)


@pytest.mark.parametrize("mistake", mistakes.IN_THE_HEAD)
def test_mistakes_behind_the_head(
    demo_engine: MaxEngine,
    reference: TorchEngine,
    pictures: list[NDArray[np.uint8]],
    demo: Weights,
    mistake: str,
) -> None:
    names = dict(demo.meta.names)
    in_head = mistakes.IN_THE_HEAD[mistake]
    assert not _after_nms(demo_engine, reference, pictures, names, in_head=in_head).holds


@pytest.mark.parametrize("mistake", mistakes.IN_THE_GEOMETRY)
def test_mistakes_on_the_way_back(
    demo_engine: MaxEngine,
    reference: TorchEngine,
    pictures: list[NDArray[np.uint8]],
    demo: Weights,
    mistake: str,
) -> None:
    names = dict(demo.meta.names)
    in_geometry = mistakes.IN_THE_GEOMETRY[mistake]
    assert not _after_nms(demo_engine, reference, pictures, names, in_geometry=in_geometry).holds
