"""Put the kernels into a PyTorch network, and compare it with itself.

    python scripts/inject_torch.py path/to/yolov8n.pt
    python scripts/inject_torch.py resnet18 --ops conv2d linear
    python scripts/inject_torch.py timm/vit_tiny_patch16_224 --batch 8 --threads 2

Convolutions, linear layers and products of matrices run on the kernels; everything else stays PyTorch's.
Networks come from a file of Ultralytics', or by name from torchvision or timm, with random weights unless
--weights has them. Prints how far the outputs are from the network's own, and the time per image before and
after. Each has a process of its own, as PyTorch's threads spin a while after they have worked: those of the
injected network sleep (OMP_WAIT_POLICY), for the kernels' threads run in turn with them. What calling kernels
from PyTorch costs besides them is a column of its own. Exits with 1 if the outputs do not agree.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bench_process import seconds
from injected import OPERATIONS, Injected, Tally, TimedKernels
from kernel_library import build
from networks import network
from numpy.typing import NDArray
from rich.console import Console

from yolo_max.support.cache import cache_folder
from yolo_max.support.terminal_table import grid
from yolo_max.tasks.rubric import TensorDifference

PAUSE = 0.05
"""Seconds before a run: as long as PyTorch's threads may spin after another."""
MAX_RATIO = 4
"""How many times as far from float64 as PyTorch the outputs may be: oneDNN parts sums in every layer."""


def outputs(result: Any) -> torch.Tensor:
    """What a network returns as one tensor; of a YOLO its raw head."""
    if isinstance(result, tuple) and isinstance(result[1], dict):
        result = [result[1]["boxes"], result[1]["scores"]]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return torch.cat([outputs(each).flatten(1) for each in result], 1)
    assert isinstance(result, torch.Tensor)
    return result


def operations(text: str) -> list[str]:
    """Operations with commas between them."""
    names = text.split(",")
    for name in names:
        if name not in OPERATIONS:
            raise argparse.ArgumentTypeError(f"no operation is named {name!r}; use {', '.join(OPERATIONS)}")
    return names


def images(batch: int, size: int) -> torch.Tensor:
    """Random images."""
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    return x.to(memory_format=torch.channels_last)


class Side:
    """The injected network, in a process of its own."""

    def __init__(self, library: Path, arguments: argparse.Namespace) -> None:
        torch.set_num_threads(arguments.threads)
        theirs, size = network(arguments.network, arguments.weights)
        kernels = TimedKernels(library, arguments.threads)
        self.injected = Injected(kernels, [name for names in arguments.ops for name in names])
        self.network = self.injected.replace(theirs)
        self.x = images(arguments.batch, arguments.size or size)

    def run(self) -> Any:
        """What it returns."""
        with torch.inference_mode(), self.injected.products():
            return self.network(self.x)


side: Side
"""That of this process."""


def begin(*arguments: Any) -> None:
    """Makes this process the injected network's."""
    global side
    side = Side(*arguments)


def compute() -> NDArray[np.float32]:
    """Its outputs; what it counts begins anew."""
    result: NDArray[np.float32] = outputs(side.run()).numpy()
    for tally in side.injected.tallies.values():
        tally.clear()
    return result


def timed() -> float:
    """Seconds of a run."""
    return seconds(side.run)


def tallied() -> dict[str, Tally]:
    """What the runs took, by operation."""
    return side.injected.tallies


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", help="a .pt file, or a network of torchvision or timm")
    parser.add_argument(
        "--ops", nargs="+", type=operations, default=[OPERATIONS], help=f"some of {', '.join(OPERATIONS)}"
    )
    parser.add_argument("--weights", type=Path, help="a state dict for a network by name")
    parser.add_argument("--size", type=int, help="height and width of the images; by default the network's")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    try:
        theirs, size = network(arguments.network, arguments.weights)
    except ValueError as error:
        parser.error(str(error))
    size = arguments.size or size
    library = build(cache_folder("kernels"), None)
    x = images(arguments.batch, size)
    times: dict[str, list[float]] = {"PyTorch": [], "injected": []}
    spawn = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, OMP_WAIT_POLICY="PASSIVE"),
        ProcessPoolExecutor(1, spawn, begin, (library, arguments)) as other,
        torch.inference_mode(),
    ):
        got = other.submit(compute).result()
        exact, reference = outputs(copy.deepcopy(theirs).double()(x.double())), outputs(theirs(x))
        for _ in range(arguments.rounds):
            time.sleep(PAUSE)
            times["PyTorch"].append(seconds(lambda: theirs(x)))
            time.sleep(PAUSE)
            times["injected"].append(other.submit(timed).result())
        tallies = other.submit(tallied).result()

    count = arguments.rounds * arguments.batch
    rows = [
        [
            name,
            str(tally.layers or ""),
            f"{tally.calls // arguments.rounds}",
            f"{tally.inside / count * 1e3:.2f}",
            f"{(tally.seconds - tally.inside) / count * 1e3:.2f}",
        ]
        for name, tally in tallies.items()
    ]
    print(f"{arguments.network}, {size} x {size}, batch {arguments.batch}, {arguments.threads} threads\n")
    headers = ["operation", "layers", "calls", "kernels, ms per image", "calling them, ms"]
    Console().print(grid(headers, rows, range(len(headers))))
    for name, tally in tallies.items():
        for reason, left in tally.left.items():
            print(f"{name}: {left} left to PyTorch, {reason}")
    before, after = (np.median(each) / arguments.batch * 1e3 for each in times.values())
    print(f"\nPyTorch {before:.2f} ms per image, injected {after:.2f} ms: {after / before:.2f} of its time")
    off = TensorDifference.between("outputs", got, reference.numpy(), exact.numpy())
    print(f"off from PyTorch by {off.difference:.1e} at most (allowed: {off.bound:.1e})")
    print(f"off from float64, root mean square: {off.max_error:.1e}; PyTorch itself: {off.torch_error:.1e}")
    agrees = off.verdict.holds and (off.ratio is None or off.ratio <= MAX_RATIO)
    print("outputs agree" if agrees else "outputs do not agree")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
