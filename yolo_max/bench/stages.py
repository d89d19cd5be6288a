"""One image from file to annotated file, stage after stage; and a stream of many.

This runs in an engine's process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.plan import STAGES
from yolo_max.engine.contract import by_image
from yolo_max.images.read import read_image
from yolo_max.images.transforms import fit_of
from yolo_max.output.draw import draw
from yolo_max.output.encode import write_image
from yolo_max.predict.predictor import Predictor
from yolo_max.support.options import PredictOptions
from yolo_max.support.result_names import annotated_name
from yolo_max.tasks.registry import task_of
from yolo_max.weights.load import load_weights


def run(
    network: Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]],
    weights: str,
    images: Sequence[str],
    out: Path,
    imgsz: tuple[int, int],
) -> list[dict[str, float]]:
    """Times each stage of each image; nothing overlaps. The first image runs twice and counts once.

    Args:
        network: uint8 ``[1, H, W, 3]`` RGB to raw outputs ``[1, ...]`` by name.
        weights: File of the weights.
        images: Image files.
        out: Folder for the annotated images.
        imgsz: Height and width of the canvas, in pixels.

    Returns:
        Milliseconds by stage, per image.
    """
    meta = load_weights(weights).meta
    task = task_of(meta)
    fit, decoder = fit_of(task.fit, imgsz), task.decoder(meta, PredictOptions())
    out.mkdir(parents=True, exist_ok=True)

    def one(path: Path) -> dict[str, float]:
        target = out / annotated_name(path.name)
        target.unlink(missing_ok=True)  # some file systems wait for the disk to replace a file
        clock = [perf_counter()]

        def lap() -> None:
            clock.append(perf_counter())

        image = read_image(path)
        lap()
        placement = fit((image.shape[0], image.shape[1]))
        canvas = placement.render(image)
        lap()
        outputs = network(canvas[None])
        lap()
        prediction = decoder(by_image(outputs)[0], placement)
        lap()
        annotated = draw(image, prediction.marks())
        lap()
        write_image(target, annotated)
        lap()
        return {stage: (b - a) * 1000 for stage, a, b in zip(STAGES, clock, clock[1:], strict=False)}

    one(Path(images[0]))
    return [one(Path(path)) for path in images]


def stream(weights: str, images: Sequence[str], count: int, imgsz: tuple[int, int]) -> float:
    """Images per second of `Predictor.stream` over ``count`` images, cycling through the given ones."""
    predictor = Predictor(weights, imgsz=imgsz)
    start = perf_counter()
    for _ in predictor.stream(islice(cycle(images), count)):
        pass
    return count / (perf_counter() - start)
