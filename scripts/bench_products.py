"""Pools, resizing and products with operands, for bench_kernel.py; see bench_operations.py."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
from bench_operations import (
    Call,
    Convolution,
    MapOperation,
    Operation,
    TransposedConvolution,
    numbers,
    pair,
    unit,
)
from kernel_library import Kernels, Map

from yolo_max.kernels import packing, pools, products, resize
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, POOLS
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window


class MaxPool(MapOperation):
    """A max-pool."""

    name = "max-pool"
    help = "a max-pool"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help="channels, kernel, stride: 64,3,2")
        cls.add_map(parser)
        parser.add_argument("--padding", type=int, default=0)

    def __init__(self, options: Namespace) -> None:
        channels, self.k, self.s = numbers(options.shape)
        self.padding = options.padding
        self.read_map(options, channels)
        self.make_map(*Window.of(self.k, self.s, self.padding).outputs(*self.size), channels)
        self.operands = [self.map]
        self.flops = float(self.result.size * self.k**2)
        self.params = [0, *[self.k, self.s, self.padding, 1] * 2]

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        table, kernel = CONVOLUTIONS_AND_POOLS, pools.MAX_POOL
        return library.prepare(table, kernel, self.params, [Map(self.map)], None, None, self.result)

    def on_maps(self, x: Any, memory_format: Any) -> Any:  # noqa: ARG002
        """See :class:`MapOperation`."""
        import torch

        return lambda: torch.nn.functional.max_pool2d(x, self.k, self.s, self.padding)

    def stock_inputs(self) -> list[Any]:
        """See :class:`Operation`."""
        return [self.x]

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        from max.graph import ops as stock

        return stock.max_pool2d(inputs[0], (self.k, self.k), self.s, 1, self.padding)


class AveragePool(MaxPool):
    """An average pool; padding counts."""

    name = "average-pool"
    help = "an average pool, padding included"

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        params = [pools.INCLUDE_PADDING, *self.params[1:]]
        kernel = pools.AVERAGE_POOL
        return library.prepare(POOLS, kernel, params, [Map(self.map)], None, None, self.result)

    def on_maps(self, x: Any, memory_format: Any) -> Any:  # noqa: ARG002
        """See :class:`MapOperation`."""
        import torch

        return lambda: torch.nn.functional.avg_pool2d(x, self.k, self.s, self.padding)

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        from max.graph import ops as stock

        return stock.avg_pool2d(inputs[0], (self.k, self.k), self.s, 1, self.padding)


class Resize(MapOperation):
    """Resizing a map."""

    name = "resize"
    help = "resizing, nearest or bilinear"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help="channels: 64")
        cls.add_map(parser)
        parser.add_argument("--to", type=pair, required=True, help="size of the result: 160x120")
        parser.add_argument(
            "--mode", default="bilinear", choices=[mode.name.lower() for mode in resize.Resize]
        )

    def __init__(self, options: Namespace) -> None:
        self.read_map(options, int(options.shape))
        self.to: Pair = options.to
        self.mode = resize.Resize[options.mode.upper()]
        self.make_map(self.to[0], self.to[1], int(options.shape))
        self.operands = [self.map]
        self.flops = self.result.size * (6.0 if "BILINEAR" in self.mode.name else 0)

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        params = [self.mode, 0, 0]
        return library.prepare(POOLS, resize.RESIZE, params, [Map(self.map)], None, None, self.result)

    def on_maps(self, x: Any, memory_format: Any) -> Any:  # noqa: ARG002
        """See :class:`MapOperation`."""
        import torch

        aligned = {"align_corners": self.mode is resize.Resize.BILINEAR_ALIGNED}
        named = self.mode.name.removesuffix("_ALIGNED").lower().replace("_", "-")
        options = aligned if named == "bilinear" else {}
        return lambda: torch.nn.functional.interpolate(x, self.to, mode=named, **options)


class Product(Operation):
    """An operation on float32 matrices, which lie alike here and in PyTorch."""

    kernel_id: int
    params: list[int]
    weights: tuple[Any, Any] = (None, None)

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        maps = [Map(x.reshape(*[1] * (4 - x.ndim), *x.shape)) for x in self.operands]
        return library.prepare(
            products.PRODUCTS, self.kernel_id, self.params, maps, *self.weights, self.result
        )

    def make_result(self, *shape: int) -> None:
        """Makes room for the output, full of NaN."""
        self.result = packing.align(np.full([*[1] * (4 - len(shape)), *shape], np.nan, np.float32))


class Matmul(Product):
    """A batched product of two matrices that are known at run time."""

    name = "matmul"
    help = "a batched product of matrices (torch.bmm)"
    kernel_id = products.MATMUL

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("a", type=numbers, help="batch, rows, columns, as it lies in memory: 32,512,256")
        parser.add_argument("b", type=numbers, help="batch, rows, columns: 32,256,512")
        parser.add_argument("--transpose-a", action="store_true")
        parser.add_argument("--transpose-b", action="store_true")

    def __init__(self, options: Namespace) -> None:
        self.turned = (options.transpose_a, options.transpose_b)
        self.operands = [unit(0, *options.a), unit(1, *options.b)]
        a, b = self._turn(*self.operands)
        self.make_result(max(len(a), len(b)), a.shape[1], b.shape[2])
        self.params = [*self.turned, products.float_bits(1), False]
        self.flops = 2.0 * self.result.size * a.shape[2]

    def _turn(self, *both: Any) -> list[Any]:
        return [x.swapaxes(1, 2) if turned else x for x, turned in zip(both, self.turned, strict=True)]

    def theirs(self, dtype: Any) -> Iterator[Call]:
        """See :class:`Operation`."""
        import torch

        a, b = self._turn(*(torch.from_numpy(x).to(dtype) for x in self.operands))
        yield lambda: (torch.bmm if len(a) == len(b) else torch.matmul)(a, b)

    def stock_inputs(self) -> list[Any]:
        """See :class:`Operation`."""
        return self.operands

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        from max.graph import ops as stock

        a, b = (
            stock.transpose(x, 1, 2) if turned else x for x, turned in zip(inputs, self.turned, strict=True)
        )
        return stock.matmul(a, b)


class Linear(Product):
    """A product by constant weights, and a bias."""

    name = "linear"
    help = "a linear layer: constant weights and a bias"
    kernel_id = products.LINEAR
    params = [0, 0]  # noqa: RUF012

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help="rows, input channels, output channels: 197,768,3072")

    def __init__(self, options: Namespace) -> None:
        rows, c1, c2 = numbers(options.shape)
        self.operands = [unit(0, rows, c1)]
        self.weight, self.bias = unit(1, c1, c2) / np.float32(np.sqrt(c1)), unit(2, c2)
        packed = packing.pack_direct(self.weight[None, None], Precision.F32)
        self.weights = (packing.align(packed), packing.pack_bias(self.bias))
        self.make_result(rows, c2)
        self.flops = 2.0 * rows * c1 * c2

    def bytes(self) -> int:
        """See :class:`Operation`."""
        return super().bytes() + self.weight.nbytes

    def theirs(self, dtype: Any) -> Iterator[Call]:
        """See :class:`Operation`."""
        import torch

        x, weight, bias = (torch.from_numpy(a).to(dtype) for a in (*self.operands, self.weight.T, self.bias))
        weight = weight.contiguous()
        yield lambda: torch.nn.functional.linear(x, weight, bias)

    def stock_inputs(self) -> list[Any]:
        """See :class:`Operation`."""
        return [*self.operands, self.weight, self.bias]

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        x, weight, bias = inputs
        return x @ weight + bias


class Softmax(Product):
    """Softmax over rows."""

    name = "softmax"
    help = "softmax over the last dimension"
    kernel_id = products.SOFTMAX
    params = []  # noqa: RUF012

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help="rows, columns: 2364,197")

    def __init__(self, options: Namespace) -> None:
        self.operands = [unit(0, *numbers(options.shape))]
        self.make_result(*self.operands[0].shape)
        # Subtracting the maximum, eight for an exp, adding up, dividing.
        self.flops = 11.0 * self.result.size

    def theirs(self, dtype: Any) -> Iterator[Call]:
        """See :class:`Operation`."""
        import torch

        x = torch.from_numpy(self.operands[0]).to(dtype)
        yield lambda: torch.softmax(x, -1)

    def stock_inputs(self) -> list[Any]:
        """See :class:`Operation`."""
        return self.operands

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        from max.graph import ops as stock

        return stock.softmax(inputs[0])


class Attention(Product):
    """Attention of a batch of heads, each in memory of its own, as PyTorch holds them."""

    name = "attention"
    help = "attention (scaled_dot_product_attention)"
    kernel_id = products.ATTENTION

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument(
            "shape", help="heads of the batch, pixels, channels of keys and of values: 12,197,64,64"
        )

    def __init__(self, options: Namespace) -> None:
        heads, pixels, d, e = numbers(options.shape)
        self.operands = [unit(i, heads, 1, pixels, size) for i, size in enumerate((d, d, e))]
        self.params = [1, d, e, d, d, e, products.float_bits(d**-0.5)]
        self.make_result(heads, 1, pixels, e)
        self.flops = 2.0 * heads * pixels**2 * (d + e)

    def theirs(self, dtype: Any) -> Iterator[Call]:
        """See :class:`Operation`."""
        import torch

        q, k, v = (torch.from_numpy(x).to(dtype) for x in self.operands)
        yield lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)


OPERATIONS: dict[str, type[Operation]] = {
    each.name: each
    for each in (
        Convolution,
        TransposedConvolution,
        MaxPool,
        AveragePool,
        Resize,
        Matmul,
        Linear,
        Softmax,
        Attention,
    )
}
"""By the names of the commands."""
