"""Check and time an operation of any shape: the kernels, PyTorch, and the physical limit.

    python scripts/bench_kernel.py conv2d 64,64,3,1 --size 80 --activation silu
    python scripts/bench_kernel.py conv2d 64,64,3,1 --size 80 --kernel winograd direct --threads 1
    python scripts/bench_kernel.py matmul 32,512,512 32,512,512 --stock
    python scripts/bench_kernel.py network yolov8n --size 640 --precision bf16
    python scripts/bench_kernel.py conv2d 32,64,1,1 --size 160 --target haswell

Each side runs in a process of its own, and they take turns. Ratios are time / PyTorch's time (oneDNN, MKL),
call for call, of the best calls and of the medians; weights are packed before, as in a graph. Some 3 us of a
call are the harness's, and some 1.5 of one of PyTorch's. The limit is the larger of two times: of the
multiplications that the kernel does, at the measured peak of float32, and of reading as many bytes as it
reads and writes, from a memory of that size. Errors are the largest ones, relative to the largest output in
float64; those of bfloat16 results are mostly their rounding.
"""

from __future__ import annotations

import argparse
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_process import Ours, Side, SideError, Stock, Torch
from bench_products import OPERATIONS
from kernel_library import build

STOCK_LIMIT = 300
"""Seconds that MAX may take to compile its operation."""


@dataclass
class Measured:
    """What was measured of an operation on one library.

    Attributes:
        kernel: The kernel that ran, if there are several for the operation.
        ours: Seconds of the best call of each round.
        theirs: Likewise, PyTorch's.
        limits: Seconds that arithmetic and memory take at least.
        errors: Ours and PyTorch's, relative to the largest output.
    """

    kernel: str
    ours: list[float]
    theirs: list[float]
    limits: tuple[float, float]
    errors: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Ours to PyTorch's, best calls."""
        return min(self.ours) / min(self.theirs)

    @property
    def median_ratio(self) -> float:
        """Ours to PyTorch's, medians of rounds."""
        return float(np.median(self.ours) / np.median(self.theirs))

    @property
    def is_disturbed(self) -> bool:
        """Whether half of the rounds of a side took a quarter longer than its best: others were running."""
        return any(np.median(times) > 1.25 * min(times) for times in (self.ours, self.theirs))

    @property
    def share(self) -> float:
        """Of the physical limit."""
        return max(self.limits) / min(self.ours)

    def __str__(self) -> str:
        limit = "arithmetic" if self.limits[0] > self.limits[1] else "memory"
        return (
            f"{self.kernel:9} {min(self.ours) * 1e3:8.3f} ms  PyTorch {min(self.theirs) * 1e3:8.3f} ms"
            f"  ratio {self.ratio:5.2f} (medians {self.median_ratio:5.2f})  {self.share:4.0%} of the limit"
            f" ({limit})  error {self.errors[0]:.1e} (PyTorch f32 {self.errors[1]:.1e})"
        )


class Bench:
    """The sides, and how they take turns."""

    def __init__(self, libraries: Sequence[Path], threads: int, rounds: int) -> None:
        self.ours = [Side(Ours, threads, library) for library in libraries]
        self.theirs = Side(Torch, threads)
        self.rounds = rounds

    def measure(self, options: Namespace) -> list[Measured]:
        """Times one operation on every library."""
        kernels = [side.ask("begin", options) for side in self.ours]
        self.theirs.ask("begin", options)
        sides = [*self.ours, self.theirs]
        times: list[list[float]] = [[] for _ in sides]
        limits: list[list[tuple[float, float]]] = [[] for _ in self.ours]
        for _ in range(self.rounds):
            for side, found in zip(sides, times, strict=True):
                found.append(min(side.ask("time")))
            for side, least in zip(self.ours, limits, strict=True):
                least.append(side.ask("limits"))
        exact = self.theirs.ask("exact")
        results = [side.ask("result") for side in sides]
        scale = np.abs(exact).max()
        *errors, other = (float(np.abs(y - exact).max() / scale) for y in results)
        return [
            Measured(kernel, mine, times[-1], (min(flops), min(read)), (error, other))
            for kernel, mine, error, (flops, read) in zip(
                kernels, times, errors, (zip(*least, strict=True) for least in limits), strict=False
            )
        ]

    def stock(self, options: Namespace) -> str:
        """MAX's own operation, compiled and timed in a process that is ended if it takes too long."""
        side = Side(Stock)
        try:
            compiled = side.ask("begin", options, limit=STOCK_LIMIT)
            best = min(min(side.ask("time", limit=60)) for _ in range(self.rounds))
            error = np.abs(side.ask("result").ravel() - self.theirs.ask("exact").ravel()).max()
            scale = np.abs(self.theirs.ask("exact")).max()
            return f"{best * 1e3:8.3f} ms, {compiled}, error {error / scale:.1e}"
        except SideError as failure:
            return str(failure)
        finally:
            side.close()

    def close(self) -> None:
        """Ends the processes."""
        for side in (*self.ours, self.theirs):
            side.close()


def variants(options: Namespace) -> Iterator[Namespace]:
    """The operation on each kernel that is asked for."""
    for kernel in getattr(options, "kernel", None) or [None]:
        yield Namespace(**{**vars(options), "kernel": kernel})


def network_convolutions(options: Namespace) -> Counter[str]:
    """Every convolution of a YOLO, as a command line, and how often it comes."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    found: Counter[str] = Counter()

    def record(module: Any, inputs: Any, _: Any) -> None:
        c1, c2 = module.in_channels, module.out_channels
        if c2 == 1 and c1 == 16:
            return  # the fixed convolution of DFL, which is not the network's
        (height, width), (k, _), (s, _) = inputs[0].shape[2:], module.kernel_size, module.stride
        activation = "silu" if module.bias is None else "none"
        found[
            f"conv2d {c1},{c2},{k},{s} --size {height}x{width} --groups {module.groups}"
            f" --activation {activation} --batch {options.batch} --precision {options.precision}"
        ] += 1

    model = DetectionModel(f"{options.network}.yaml", verbose=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(record)
    with torch.inference_mode():
        model(torch.zeros(1, 3, *options.size))
    return found


def command_line() -> ArgumentParser:
    """One command for each operation."""
    common = ArgumentParser(add_help=False)
    common.add_argument("--threads", type=int, default=2)
    common.add_argument("--rounds", type=int, default=10, help="turns of each side")
    common.add_argument("--target", help="build for this processor, as LLVM names it; default: this one")
    common.add_argument("--library", type=Path, nargs="+", help="compare libraries that are already built")
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for name, operation in OPERATIONS.items():
        command = commands.add_parser(name, help=operation.help, parents=[common])
        command.add_argument("--stock", action="store_true", help="MAX's own operation as well")
        operation.add_arguments(command)
    network = commands.add_parser("network", help="every convolution of a YOLO", parents=[common])
    network.add_argument("network", help="as Ultralytics names it: yolov8n")
    OPERATIONS["max-pool"].add_map(network)  # type: ignore[attr-defined]
    return parser


def main() -> None:
    """Runs the command."""
    parser = command_line()
    options = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "yolo_max_kernels"
    folder.mkdir(exist_ok=True)
    bench = Bench(options.library or [build(folder, options.target)], options.threads, options.rounds)
    if options.operation != "network":
        for variant in variants(options):
            print(*bench.measure(variant), sep="\n", flush=True)
        if options.stock:
            print("MAX's own", bench.stock(options))
        bench.close()
        return
    totals, theirs = np.zeros(len(bench.ours)), 0.0
    for line, count in network_convolutions(options).items():
        measured = bench.measure(parser.parse_args(line.split()))
        for each in measured:
            print(f"{count} x {line.split()[1]:14} {line.split()[3]:8} {each}", flush=True)
        totals += [count * float(np.median(each.ours)) for each in measured]
        theirs += count * float(np.median(measured[0].theirs))
    print("all of it:", ", ".join(f"{t * 1e3:.2f} ms" for t in totals), f"PyTorch {theirs * 1e3:.2f} ms")
    bench.close()


if __name__ == "__main__":
    main()
