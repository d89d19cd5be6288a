"""Operations with operands, for bench_kernel.py: on the kernels, on PyTorch in any precision, on MAX.

An operation reads its shape from words of the command line. Operands are random, of unit size, and the same
wherever they are made. PyTorch gets the numbers that the kernels get: rounded, if activations are bfloat16.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
from kernel_library import Kernels, Map, loaded, stored
from numpy.typing import NDArray

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import (
    HALVING,
    KERNELS,
    POLYPHASE,
    TRANSPOSED,
    WINOGRAD,
    ConvKernel,
    conv_params,
)
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window, transposed_window

Call = Callable[[], Any]

PRODUCTS = {WINOGRAD: 36 / 144, POLYPHASE: 81 / 144, HALVING: 81 / 144}
"""Multiplications left of a direct convolution's, on a map that is not small."""


def numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [int(part) for part in text.split(",")]


def pair(text: str) -> Pair:
    """Rows and columns, 7x5, or both in one number."""
    rows, _, columns = text.partition("x")
    return int(rows), int(columns or rows)


def unit(seed: int, *shape: int) -> NDArray[np.float32]:
    """Random numbers of unit size, aligned as the kernels' own are."""
    return packing.align(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Operation(ABC):
    """One operation with its operands.

    Attributes:
        flops: Floating-point operations of the plain algorithm.
        part: What is left of them in the algorithm that runs.
        operands: What it reads; weights are packed already.
        result: What the kernels write, [batch, height, width, channels].
    """

    name: ClassVar[str]
    help: ClassVar[str]
    flops: float
    part: float = 1
    kernel: str = ""
    operands: list[NDArray[Any]]
    result: NDArray[Any]

    @staticmethod
    @abstractmethod
    def add_arguments(parser: ArgumentParser) -> None:
        """Says what a shape is."""

    @abstractmethod
    def __init__(self, options: Namespace) -> None:
        """Makes the operands."""

    @abstractmethod
    def ours(self, library: Kernels) -> Call:
        """The kernel's call, with everything prepared."""

    @abstractmethod
    def theirs(self, dtype: Any) -> Iterator[Call]:
        """PyTorch's call, in each layout that it has for it; gives a tensor of the result's layout."""

    def stock(self, *inputs: Any) -> Any:
        """The operation in a graph of MAX, from symbols of ``inputs``."""
        raise NotImplementedError(f"MAX has no {self.name} that is compared here.")

    def stock_inputs(self) -> list[NDArray[Any]]:
        """What a graph of MAX reads; all but the first are its weights if they are constant."""
        raise NotImplementedError(f"MAX has no {self.name} that is compared here.")

    def bytes(self) -> int:
        """Of memory that is read and written at least once."""
        return sum(each.nbytes for each in [*self.operands, self.result])


class MapOperation(Operation):
    """An operation on maps, NHWC here; PyTorch is called on NCHW, and on what it calls ``channels_last``."""

    @staticmethod
    def add_map(parser: ArgumentParser) -> None:
        """The size of a map, and how it is stored."""
        parser.add_argument("--size", type=pair, default=(80, 80), help="of the input: 80 or 80x60")
        parser.add_argument("--batch", type=int, default=1)
        parser.add_argument("--precision", default="f32", choices=list(Precision), help="of activations")

    def read_map(self, options: Namespace, channels: int) -> None:
        """Makes the input."""
        self.precision = Precision(options.precision)
        self.batch, self.size = options.batch, options.size
        x = unit(0, self.batch, *self.size, channels)
        self.x = loaded(stored(x, self.precision))
        self.map = packing.align(stored(self.x, self.precision))

    def make_map(self, height: int, width: int, channels: int) -> None:
        """Makes room for the output, full of NaN."""
        empty = np.full((self.batch, height, width, channels), np.nan, np.float32)
        self.result = packing.align(stored(empty, self.precision))

    @abstractmethod
    def on_maps(self, x: Any, memory_format: Any) -> Any:
        """PyTorch's operation as a function of nothing, on a map in this layout."""

    def theirs(self, dtype: Any) -> Iterator[Call]:
        """See :class:`Operation`."""
        import torch

        for memory_format in (torch.contiguous_format, torch.channels_last):
            x = torch.from_numpy(self.x).to(dtype).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
            yield partial(self._nhwc, self.on_maps(x, memory_format))

    @staticmethod
    def _nhwc(call: Call) -> Any:
        return call().permute(0, 2, 3, 1)


class Convolution(MapOperation):
    """A convolution and its activation."""

    name = "conv2d"
    help = "a convolution: any window, groups, activation"
    shape = "input channels, output channels, kernel, stride: 64,64,3,1 or 32,32,1x7,1"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help=cls.shape)
        cls.add_map(parser)
        parser.add_argument("--padding", type=pair, help="by default half of the kernel")
        parser.add_argument("--dilation", type=pair, default=(1, 1))
        parser.add_argument("--groups", type=int, default=1)
        parser.add_argument("--activation", default="none", choices=ACTIVATIONS)
        parser.add_argument(
            "--kernel", nargs="+", choices=[k.name for k in KERNELS], help="by default the one that is chosen"
        )

    def __init__(self, options: Namespace) -> None:
        c1, c2, k, s = options.shape.split(",")
        self.c1, self.c2, self.groups = int(c1), int(c2), options.groups
        self.activation = ACTIVATIONS[options.activation]
        self.window = Window.of(pair(k), pair(s), options.padding, options.dilation, self.groups)
        self.read_map(options, self.c1)
        of_one = self.c1 // self.groups
        self.filters = unit(1, *self.window.kernel, of_one, self.c2)
        self.filters /= np.float32(np.sqrt(of_one * np.prod(self.window.kernel)))
        self.bias = unit(2, self.c2)
        named = ConvKernel.named(options.kernel) if options.kernel else None
        fitting = (k for k in KERNELS if k.fits(self.c1, self.c2, self.window, self.precision))
        chosen = self.chosen = named or next(fitting)
        self.make_map(*self.window.outputs(*self.size), self.c2)
        self.weight = packing.align(chosen.pack(self.filters, self.precision, self.groups))
        self.operands = [self.map, self.weight]
        self.kernel, self.part = chosen.name, PRODUCTS.get(chosen, 1)
        self.flops = 2.0 * self.result.size * of_one * np.prod(self.window.kernel)

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        params = conv_params(self.window, self.c1, self.c2, activation=self.activation)
        bias = packing.pack_bias(self.bias)
        return library.prepare(
            self.chosen.table, self.chosen.id, params, [Map(self.map)], self.weight, bias, self.result
        )

    def on_maps(self, x: Any, memory_format: Any) -> Any:
        """See :class:`MapOperation`."""
        import torch

        functional, w = torch.nn.functional, self.window
        filters = torch.from_numpy(self.filters).to(x.dtype).permute(3, 2, 0, 1)
        filters = filters.contiguous(memory_format=memory_format)
        bias = torch.from_numpy(self.bias).to(x.dtype)
        activate = activation_of_torch(self.activation)
        return lambda: activate(
            functional.conv2d(x, filters, bias, w.stride, w.padding[:2], w.dilation, w.groups)
        )

    def stock_inputs(self) -> list[NDArray[Any]]:
        """See :class:`Operation`."""
        if self.groups > 1 or self.activation not in (Activation.NONE, Activation.SILU):
            return super().stock_inputs()
        return [self.x, self.filters, self.bias]

    def stock(self, *inputs: Any) -> Any:
        """See :class:`Operation`."""
        from max.graph import ops as stock

        x, filters, bias = inputs
        top, left, bottom, right = self.window.padding
        padding = (top, bottom, left, right)
        y = stock.conv2d(x, filters, self.window.stride, self.window.dilation, padding, bias=bias)
        return stock.silu(y) if self.activation is Activation.SILU else y


class TransposedConvolution(MapOperation):
    """A transposed convolution that enlarges a map exactly by its stride."""

    name = "conv-transpose"
    help = "a transposed convolution"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """See :class:`Operation`."""
        parser.add_argument("shape", help="input channels, output channels, kernel, stride: 64,32,4,2")
        cls.add_map(parser)
        parser.add_argument("--padding", type=pair, default=(0, 0), help="as in PyTorch")

    def __init__(self, options: Namespace) -> None:
        self.c1, self.c2, k, s = numbers(options.shape)
        self.k, self.s, self.padding = (k, k), (s, s), options.padding
        self.window = transposed_window(self.k, self.s, self.padding)
        self.read_map(options, self.c1)
        self.filters, self.bias = unit(1, k, k, self.c1, self.c2), unit(2, self.c2)
        self.filters /= np.float32(np.sqrt(self.c1 * (k / s) ** 2))
        self.weight = packing.align(
            packing.pack_transposed(self.filters, self.s, self.padding, self.precision)
        )
        self.make_map(self.size[0] * s, self.size[1] * s, self.c2)
        self.operands = [self.map, self.weight]
        self.flops = 2.0 * self.x.size * self.c2 * k * k

    def ours(self, library: Kernels) -> Call:
        """See :class:`Operation`."""
        params = conv_params(self.window, self.c1, self.c2)
        bias = packing.pack_bias(self.bias)
        id, table = TRANSPOSED.id, TRANSPOSED.table
        return library.prepare(table, id, params, [Map(self.map)], self.weight, bias, self.result)

    def on_maps(self, x: Any, memory_format: Any) -> Any:
        """See :class:`MapOperation`."""
        import torch

        filters = torch.from_numpy(self.filters).to(x.dtype).permute(2, 3, 0, 1)
        filters = filters.contiguous(memory_format=memory_format)
        bias = torch.from_numpy(self.bias).to(x.dtype)
        # What PyTorch adds below and right so that the map is enlarged exactly.
        more = [s + 2 * p - k for s, p, k in zip(self.s, self.padding, self.k, strict=True)]
        transposed = torch.nn.functional.conv_transpose2d
        return lambda: transposed(x, filters, bias, self.s, self.padding, more)


ACTIVATIONS = {each.name.lower(): each for each in Activation if each is not Activation.PRELU}


def activation_of_torch(activation: Activation) -> Callable[[Any], Any]:
    """PyTorch's function, in place where it has one."""
    from torch.nn import functional

    return {
        Activation.NONE: lambda y: y,
        Activation.SILU: lambda y: functional.silu(y, inplace=True),
        Activation.RELU: lambda y: functional.relu(y, inplace=True),
        Activation.RELU6: lambda y: functional.relu6(y, inplace=True),
        Activation.LEAKY_RELU: lambda y: functional.leaky_relu(y, 0, inplace=True),
        Activation.HARD_SIGMOID: lambda y: functional.hardsigmoid(y, inplace=True),
        Activation.HARD_SWISH: lambda y: functional.hardswish(y, inplace=True),
        Activation.SIGMOID: lambda y: y.sigmoid_(),
        Activation.TANH: lambda y: y.tanh_(),
        Activation.GELU: functional.gelu,
        Activation.GELU_TANH: lambda y: functional.gelu(y, approximate="tanh"),
    }[activation]
