"""Put the kernels into a PyTorch network, and compare it with itself.

    python scripts/inject_torch.py path/to/yolov8n.pt
    python scripts/inject_torch.py resnet18 --ops conv2d linear
    python scripts/inject_torch.py timm/vit_tiny_patch16_224 --batch 8 --threads 2

Convolutions, linear layers and products of matrices run on the kernels; everything else stays PyTorch's.
Networks come from a file of Ultralytics', or by name from torchvision or timm, with random weights unless
--weights has them. Prints how far the outputs are from the network's own, and the time per image before and
after. What calling a kernel from PyTorch costs besides the kernel is a column of its own. Exits with 1 if the
outputs do not agree.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from injected import OPERATIONS, Injected, TimedKernels
from kernel_library import build
from networks import network
from rich.console import Console

from yolo_max.support.cache import cache_folder
from yolo_max.support.terminal_table import grid
from yolo_max.tasks.rubric import TensorDifference

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
    theirs, size = network(arguments.network, arguments.weights)
    size = arguments.size or size
    kernels = TimedKernels(build(cache_folder("kernels"), None), arguments.threads)
    injected = Injected(kernels, [name for names in arguments.ops for name in names])
    ours = injected.replace(copy.deepcopy(theirs))
    x = torch.randn(arguments.batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    x = x.to(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {"PyTorch": [], "injected": []}
    with torch.inference_mode():
        exact, reference = outputs(copy.deepcopy(theirs).double()(x.double())), outputs(theirs(x))
        with injected.products():
            got = outputs(ours(x))
        for tally in injected.tallies.values():
            tally.clear()
        for _ in range(arguments.rounds):
            for name, model in (("PyTorch", theirs), ("injected", ours)):
                with injected.products() if model is ours else nullcontext():
                    start = time.perf_counter()
                    model(x)
                    times[name].append(time.perf_counter() - start)

    images = arguments.rounds * arguments.batch
    rows = [
        [
            name,
            str(tally.layers or ""),
            f"{tally.calls // arguments.rounds}",
            f"{tally.inside / images * 1e3:.2f}",
            f"{(tally.seconds - tally.inside) / images * 1e3:.2f}",
            ", ".join(f"{count} left: {reason}" for reason, count in tally.left.items()),
        ]
        for name, tally in injected.tallies.items()
    ]
    print(f"{arguments.network}, {size} x {size}, batch {arguments.batch}, {arguments.threads} threads\n")
    headers = ["operation", "layers", "calls", "kernels, ms per image", "calling them, ms", ""]
    Console().print(grid(headers, rows, range(len(headers))))
    before, after = (np.median(each) / arguments.batch * 1e3 for each in times.values())
    print(f"\nPyTorch {before:.2f} ms per image, injected {after:.2f} ms: {after / before:.2f} of its time")
    off = TensorDifference.between("outputs", got.numpy(), reference.numpy(), exact.numpy())
    print(f"off from PyTorch by {off.difference:.1e} at most (allowed: {off.bound:.1e})")
    print(f"off from float64, root mean square: {off.max_error:.1e}; PyTorch itself: {off.torch_error:.1e}")
    agrees = off.verdict.holds and (off.ratio is None or off.ratio <= MAX_RATIO)
    print("outputs agree" if agrees else "outputs do not agree")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
