"""Times of convolution kernels on maps of many sizes, for docs/kernels.md: by tiles and direct.

Filters are read anew for every call, as they are in a network, where those of other layers have come between:
so many copies take turns that the second cache keeps none. Both kernels run in one process, by turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
from kernel_library import Kernels, Map

from yolo_max.kernels import packing
from yolo_max.kernels.conv_kernel import DIRECT, POLYPHASE, WINOGRAD, ConvKernel, conv_params
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window

KERNELS = {WINOGRAD: 1, POLYPHASE: 2}
"""Their strides."""
SIZES = (7, 10, 14, 20, 28, 40, 56, 80)
"""Of the output, in both directions."""
CHANNELS = (64, 128, 256, 512)
BATCHES = (1, 8)
LARGEST = 6e9
"""Operations of the largest direct convolution that is measured: beyond, ratios change no more."""
FILTERS = 16 << 20
"""Bytes of all copies of the filters."""
ROUNDS, CALLS = 5, 3


def calls(
    kernel: ConvKernel, library: Kernels, stride: int, channels: int, size: int, batch: int
) -> Iterator[Callable[[], None]]:
    """Calls of a 3x3 convolution to maps of this size, each with filters of its own."""
    window = Window.of(3, stride)
    count = kernel.packed_size(channels, channels, window, Precision.F32)
    rng = np.random.default_rng(0)
    x = packing.align(rng.standard_normal((batch, *[size * stride] * 2, channels)).astype(np.float32))
    y = packing.align(np.zeros((batch, size, size, channels), np.float32))
    filters = rng.standard_normal(count).astype(np.float32)
    bias = packing.pack_bias(np.zeros(channels, np.float32))
    params = conv_params(window, channels, channels)
    copies = [
        library.prepare(kernel.table, kernel.id, params, [Map(x)], packing.align(filters.copy()), bias, y)
        for _ in range(max(2, -(-FILTERS // filters.nbytes)))
    ]
    return cycle(copies)


def best(these: Iterator[Callable[[], None]]) -> float:
    """Seconds of the best call of a few."""
    times = []
    next(these)()  # wakes the threads
    for _ in range(CALLS):
        call, start = next(these), time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def ratio(kernel: ConvKernel, library: Kernels, channels: int, size: int, batch: int) -> float:
    """Time of a kernel as a part of the direct one's: the median of rounds."""
    own, direct = (calls(each, library, KERNELS[kernel], channels, size, batch) for each in (kernel, DIRECT))
    return float(np.median([best(own) / best(direct) for _ in range(ROUNDS)]))


def table(library: Kernels) -> str:
    """A row for each kernel, number of channels and batch; a column for each size."""
    lines = [
        "| kernel | channels | batch |" + "".join(f" {n} |" for n in SIZES),
        "|---|---:|---:|" + "---:|" * 8,
    ]
    for kernel in KERNELS:
        for channels in CHANNELS:
            for batch in BATCHES:
                small = [n for n in SIZES if 18 * batch * (n * channels) ** 2 <= LARGEST]
                cells = [f"{ratio(kernel, library, channels, n, batch):.2f}" for n in small]
                cells += [""] * (len(SIZES) - len(small))
                lines.append(f"| {kernel} | {channels} | {batch} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    return "\n".join(lines)
