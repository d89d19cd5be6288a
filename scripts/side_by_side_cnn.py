"""A small CNN side by side: trained in PyTorch, converted, and timed on 10,000 images on both.

python scripts/side_by_side_cnn.py                     # writes docs/side-by-side.json and its plot
python scripts/side_by_side_cnn.py --data FOLDER       # MNIST's or CIFAR-10's files, or a folder per class

Three blocks of a 5x5 convolution (20, 50 and --width channels), ReLU and a max pool, then three linear layers
with dropout, and log-softmax. Every engine has its own process and gets the same weights and images. The time
is that of all images, in batches of 512 and one by one, until the outputs are NumPy arrays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from image_sets import CLASSES, SHAPES, Images, draw, read
from numpy.typing import NDArray
from side_by_side_page import BATCH, DOCS, ENGINES, WAYS, draw_plot, table
from torch import nn

from yolo_max.bench.worker import WorkerProcess, answer_requests
from yolo_max.convert import convert_pytorch_model
from yolo_max.runtime import cpu, host

LIMIT = 1800.0
"""Seconds for any answer: MAX and torch.compile may have to compile."""
Array = NDArray[np.float32]


class CNN(nn.Sequential):  # type: ignore[misc]
    """``[B, channels, height, width] -> [B, 10]``, log-probabilities."""

    def __init__(self, kind: str, width: int) -> None:
        channels, side, _ = SHAPES[kind]
        parts: list[nn.Module] = []
        for c1, c2 in ((channels, 20), (20, 50), (50, width)):
            parts += [nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        parts += [nn.Flatten(), nn.Linear(width * (side // 8) ** 2, 128), nn.ReLU(), nn.Dropout(0.3)]
        parts += [nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, CLASSES), nn.LogSoftmax(1)]
        super().__init__(*parts)
        for each in self:
            if isinstance(each, nn.Conv2d | nn.Linear):
                # PyTorch's own start lets what comes in fade over six layers: in color nothing is learned.
                nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
                nn.init.zeros_(each.bias)


def train(model: nn.Module, images: Array, labels: NDArray[np.int64], epochs: int) -> None:
    """Adam, batches of 64; leaves the model in evaluation mode."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.nll_loss(model(x[rows]), y[rows]).backward()
            optimiser.step()
    model.eval()


class Side:
    """An engine in its process."""

    def setup(
        self, engine: str, kind: str, width: int, weights: str, images: str, threads: int
    ) -> int | None:
        """Makes it ready; gives how many transposes its graph has, on MAX."""
        torch.set_num_threads(threads)
        model = CNN(kind, width).eval()
        model.load_state_dict(torch.load(weights, weights_only=True))
        self.images: Array = np.load(images)
        transposes = None
        if engine == "max":
            converted = convert_pytorch_model(model, [("batch", *SHAPES[kind])], f"cnn-{kind}")
            transposes = converted.report.transposes if converted.report else None
            self.run: Any = converted
        else:
            order = torch.contiguous_format if engine == "torch-nchw" else torch.channels_last
            run: Any = model.to(memory_format=order)
            if engine == "torch-compile":
                run = torch.compile(run, dynamic=False, options={"freezing": True})
            self.run = _on_arrays(run, order)
        self.outputs()
        self.run(self.images[:1])
        return transposes

    def outputs(self) -> Array:
        """Of all images, run in batches."""
        batches = range(0, len(self.images), BATCH)
        return np.concatenate([self.run(self.images[i : i + BATCH]) for i in batches])

    def time(self, batch: int, first: int, last: int) -> float:
        """Seconds for some of the images, until the last output is an array."""
        self.run(self.images[:batch])  # wakes its threads
        start = perf_counter()
        outputs = [self.run(self.images[i : min(i + batch, last)]) for i in range(first, last, batch)]
        seconds = perf_counter() - start
        assert sum(map(len, outputs)) == last - first
        return seconds


def _on_arrays(run: Any, order: torch.memory_format) -> Any:
    def through(batch: Array) -> Any:
        with torch.no_grad():
            return run(torch.from_numpy(batch).contiguous(memory_format=order)).numpy()

    return through


def serve(connection: Connection, _spawned_ns: str) -> None:
    """Runs in the child."""
    answer_requests(connection, Side())


class SideProcess(WorkerProcess):
    """The parent's handle on a `Side`."""

    target = "side_by_side_cnn:serve"


def measure(kind: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Trains a network and runs it on each engine.

    Raises:
        ValueError: The folder of data has none.
    """
    torch.manual_seed(0)
    data, held = read(asked.data, kind) if asked.data else _drawn(kind, asked)
    mean, std = data[0].mean((0, 2, 3), keepdims=True), data[0].std((0, 2, 3), keepdims=True)
    x, images = (((each - mean) / (std + 1e-6)).astype(np.float32) for each in (data[0], held[0]))
    model = CNN(kind, asked.width)
    print(f"{kind}: training on {len(x)} images", flush=True)
    train(model, x, data[1], asked.epochs)
    with tempfile.TemporaryDirectory(prefix="yolo_max_cnn_") as folder:
        files = {"weights": str(Path(folder) / "weights.pt"), "images": str(Path(folder) / "images.npy")}
        torch.save(model.state_dict(), files["weights"])
        np.save(files["images"], images)
        with _sides(kind, asked, files) as (sides, transposes):
            found = _compared(sides, held[1])
            print(f"{kind}: timing", flush=True)
            _time(sides, found, len(images), asked.parts)
    return {
        "images": len(images),
        "trained_on": len(x),
        "threads": cpu.available_threads(),
        "transposes": transposes,
        "engines": found,
    }


def _drawn(kind: str, asked: argparse.Namespace) -> tuple[Images, Images]:
    return draw(kind, asked.train, 0), draw(kind, asked.images, 1)


@contextmanager
def _sides(
    kind: str, asked: argparse.Namespace, files: dict[str, str]
) -> Iterator[tuple[dict[str, SideProcess], int | None]]:
    """The engines, ready and suspended, and the transposes of MAX's graph."""
    threads = cpu.available_threads()
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    sides: dict[str, SideProcess] = {}
    transposes = None
    with ExitStack() as stack:
        for engine in asked.engines:
            print(f"{kind}: {ENGINES[engine]}: getting ready", flush=True)
            sides[engine] = stack.enter_context(SideProcess(host.pin(threads), threads, path))
            arguments = {"engine": engine, "kind": kind, "width": asked.width, "threads": threads, **files}
            found = sides[engine].call("setup", limit=LIMIT, **arguments)
            transposes = found if engine == "max" else transposes
        yield sides, transposes


def _compared(sides: dict[str, SideProcess], labels: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """By engine: its accuracy, and how its outputs differ from PyTorch's."""
    outputs = {engine: side.call("outputs", limit=LIMIT) for engine, side in sides.items()}
    reference = outputs["torch"]
    return {
        engine: {
            "accuracy": float((each.argmax(1) == labels).mean()),
            "difference": float(np.abs(each - reference).max()),
            "other_classes": int((each.argmax(1) != reference.argmax(1)).sum()),
        }
        for engine, each in outputs.items()
    }


def _time(sides: dict[str, SideProcess], found: dict[str, dict[str, Any]], count: int, parts: int) -> None:
    """Adds the seconds of each part of the images, which all engines run in turn, in a new order."""
    rng = random.Random(0)
    size = -(-count // (parts * BATCH)) * BATCH  # whole batches, but for the last one
    for first in range(0, count, size):
        for engine in rng.sample(list(sides), len(sides)):
            for way, batch in WAYS.items():
                place = {"first": first, "last": min(first + size, count)}
                seconds = sides[engine].call("time", limit=LIMIT, batch=batch, **place)
                found[engine].setdefault(way, []).append(seconds)


def main() -> None:
    """Measures, and writes numbers and plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of images instead of drawn digits")
    parser.add_argument("--kinds", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="torch and others"
    )
    parser.add_argument("--width", type=int, default=100, help="channels of the third block")
    parser.add_argument("--train", type=int, default=6000, help="digits that are drawn to train on")
    parser.add_argument("--images", type=int, default=10_000, help="digits that are drawn to time")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--parts", type=int, default=5, help="of the images, in which engines are timed in turn"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of side-by-side.json and its plot")
    asked = parser.parse_args()
    if "torch" not in asked.engines:
        parser.error("torch has to be one of the engines: the others are compared with it.")
    if min(asked.parts, asked.images, asked.train) < 1:
        parser.error("--parts, --images and --train are at least 1.")
    try:
        found = {kind: measure(kind, asked) for kind in asked.kinds}
    except ValueError as error:
        parser.error(str(error))
    (asked.out / "side-by-side.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (asked.out / "images").mkdir(exist_ok=True)
    draw_plot(found, asked.out / "images" / "side-by-side.png")
    print(table(found))


if __name__ == "__main__":
    main()
