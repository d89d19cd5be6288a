"""Check and time the convolution kernels on one shape, or on all of a network.

    python scripts/bench_kernel.py --shape 64,64,3,1 --size 80
    python scripts/bench_kernel.py --shape 64,64,3,1 --size 80 --kernel winograd direct --threads 1
    python scripts/bench_kernel.py --network yolov8n --size 640 --precision bf16
    python scripts/bench_kernel.py --shape 32,64,1,1 --size 160 --target haswell

Everything compared runs in turn, one call each, with a loop of multiplications in registers in between. The
share of the peak is the best call relative to the best such loop, since a processor's peak changes with its
clock and its load.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kernel_library import Kernels, Map, build, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import KERNELS, POLYPHASE, STEM, WINOGRAD, ConvKernel
from yolo_max.kernels.precision import Precision

PRODUCTS = {WINOGRAD: 36 / 144, POLYPHASE: 81 / 144}
"""Multiplications left of a direct convolution's."""
PEAK_ROUNDS = 200_000


@dataclass(frozen=True)
class Shape:
    """A convolution and the size of its input."""

    c1: int
    c2: int
    k: int
    s: int
    activation: Activation
    height: int
    width: int

    def outputs(self) -> tuple[int, int]:
        """Height and width of the output."""
        return (
            (self.height + 2 * (self.k // 2) - self.k) // self.s + 1,
            (self.width + 2 * (self.k // 2) - self.k) // self.s + 1,
        )

    def operations(self, batch: int) -> float:
        """Floating-point operations of a direct convolution."""
        height, width = self.outputs()
        return 2.0 * batch * height * width * self.c2 * self.c1 * self.k**2

    def __str__(self) -> str:
        return f"{self.c1:4} -> {self.c2:4}  {self.k}x{self.k}/{self.s}  {self.height:3} x {self.width:3}"


class Run:
    """One convolution, ready to be called again and again."""

    def __init__(
        self, library: Kernels, shape: Shape, kernel: ConvKernel, precision: Precision, batch: int
    ) -> None:
        rng = np.random.default_rng(0)
        self.library, self.shape, self.kernel, self.batch = library, shape, kernel, batch
        size = (batch, shape.height, shape.width, shape.c1)
        self.precision = precision
        filters = rng.standard_normal((shape.k, shape.k, shape.c1, shape.c2))
        self.filters = (filters / np.sqrt(shape.c1 * shape.k**2)).astype(np.float32)
        self.bias = rng.standard_normal(shape.c2).astype(np.float32)
        if kernel is STEM:
            pixels = rng.integers(0, 256, size, np.uint8)
            self.x: NDArray[np.float32] = (pixels / 255).astype(np.float32)
            self.map = Map(packing.align(pixels))
        else:
            self.x = loaded(stored(rng.standard_normal(size).astype(np.float32), precision))
            self.map = Map(packing.align(stored(self.x, precision)))
        self.weight = kernel.pack(self.filters, precision)
        self.packed_bias = packing.pack_bias(self.bias)
        result = np.full((batch, *shape.outputs(), shape.c2), np.nan, np.float32)
        self.result = packing.align(stored(result, precision))
        self.times: list[float] = []

    def __call__(self) -> None:
        """Computes it once more."""
        self.library.convolve(
            self.kernel,
            [self.map],
            self.weight,
            self.packed_bias,
            self.result,
            k=self.shape.k,
            s=self.shape.s,
            activation=self.shape.activation,
        )

    def check(self) -> str:
        """Distance of the result from float64, and PyTorch's in float32."""
        import torch

        def reference(dtype: Any) -> Any:
            x = torch.from_numpy(self.x).to(dtype).permute(0, 3, 1, 2)
            filters = torch.from_numpy(self.filters).to(dtype).permute(3, 2, 0, 1)
            bias = torch.from_numpy(self.bias).to(dtype)
            y = torch.nn.functional.conv2d(x, filters, bias, self.shape.s, self.shape.k // 2)
            y = torch.nn.functional.silu(y) if self.shape.activation is Activation.SILU else y
            return y.permute(0, 2, 3, 1).double().numpy()

        self()
        exact = reference(torch.float64)
        ours, theirs = (np.abs(y - exact) for y in (loaded(self.result), reference(torch.float32)))
        return (
            f"max error {ours.max():.1e} (PyTorch f32 {theirs.max():.1e}), "
            f"rms {np.sqrt((ours**2).mean()):.1e} ({np.sqrt((theirs**2).mean()):.1e})"
        )


def timed(call: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleave(library: Kernels, runs: Iterable[Run], rounds: int) -> float:
    """Times every run `rounds` times, in turn.

    Returns:
        The peak of the processor meanwhile, in multiplications and additions per second.
    """
    runs = list(runs)
    for run in runs:
        run()
    peaks: list[float] = []
    for _ in range(rounds):
        for run in runs:
            run.times.append(timed(run))
        start = time.perf_counter()
        operations = library.peak(PEAK_ROUNDS)
        peaks.append(operations / (time.perf_counter() - start))
    return max(peaks)


def line(run: Run, peak: float) -> str:
    """One line of the table."""
    seconds = float(np.median(run.times))
    rate = run.shape.operations(run.batch) / min(run.times)
    done = rate * PRODUCTS.get(run.kernel, 1)
    return (
        f"{run.shape}  {run.kernel.name:9} {seconds * 1e3:7.3f} ms"
        f"  (best {min(run.times) * 1e3:7.3f})  {rate / 1e9:6.0f} GFLOP/s  {done / peak:4.0%} of peak"
    )


def network_shapes(name: str, size: int) -> Counter[Shape]:
    """Every convolution of a YOLOv8 at a size, and how often it comes."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    found: Counter[Shape] = Counter()

    def record(module: Any, inputs: Any, _: Any) -> None:
        c1, c2 = module.in_channels, module.out_channels
        if c2 == 1 and c1 == 16:
            return  # the fixed convolution of DFL, which is not the network's
        height, width = inputs[0].shape[2:]
        activation = Activation.SILU if module.bias is None else Activation.NONE
        found[Shape(c1, c2, module.kernel_size[0], module.stride[0], activation, height, width)] += 1

    model = DetectionModel(f"{name}.yaml", verbose=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(record)
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    return found


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--shape", help="input channels, output channels, kernel, stride: 64,64,3,1")
    what.add_argument("--network", help="every convolution of this one: yolov8n")
    parser.add_argument("--size", default="80", help="of the input, or of the network's: 80 or 80x60")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--kernel", nargs="+", help=f"{', '.join(map(str, KERNELS))}; by default the fastest")
    parser.add_argument("--precision", default="f32", choices=list(Precision))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--target", help="build for this processor, as LLVM names it; by default for this one"
    )
    parser.add_argument("--library", type=Path, nargs="+", help="compare libraries that are already built")
    arguments = parser.parse_args()

    precision = Precision(arguments.precision)
    folder = Path(tempfile.gettempdir()) / "yolo_max_kernels"
    folder.mkdir(exist_ok=True)
    paths = arguments.library or [build(folder, arguments.target)]
    libraries = [Kernels(path, arguments.threads) for path in paths]
    if arguments.network:
        shapes = network_shapes(arguments.network, int(arguments.size))
    else:
        c1, c2, k, s = map(int, arguments.shape.split(","))
        height, _, width = arguments.size.partition("x")
        shapes = Counter([Shape(c1, c2, k, s, Activation.SILU, int(height), int(width or height))])

    totals = np.zeros(len(libraries))
    for shape, count in shapes.items():
        named = [ConvKernel.named(name) for name in arguments.kernel or ()]
        runs = [
            Run(library, shape, kernel, precision, arguments.batch)
            for kernel in named or [ConvKernel.choose(shape.c1, shape.k, shape.s, precision)]
            for library in libraries
        ]
        peak = interleave(libraries[0], runs, arguments.rounds)
        for run in runs:
            print(f"{count} x " if arguments.network else "", line(run, peak), sep="", flush=True)
            if not arguments.network:
                print("    ", run.check())
        totals += [count * float(np.median(run.times)) for run in runs[: len(libraries)]]
    if arguments.network:
        print("all of it:", ", ".join(f"{total * 1e3:.2f} ms" for total in totals))


if __name__ == "__main__":
    main()
