"""Depthwise and transposed convolutions, in a table of their own: networks without them need not compile them."""

import extensibility
from extensibility import OutputTensor

from . import depthwise, transposed
from .arguments import Call, Convolution
from .lanes import BF16, F32
from .table import Kernel, address_of

comptime DEPTHWISE = 0
comptime TRANSPOSED = 1
comptime COUNT = 2


def kernel[T: DType, id: Int]() -> Kernel:
    """The kernel with this id, for activations of type T."""
    comptime if id == DEPTHWISE:
        return run_depthwise[T]
    else:
        return run_transposed[T]


def run_depthwise[T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    depthwise.convolve(conv.view, conv.window, conv.filters, conv.output, conv.workers)


def run_transposed[T: DType](call: Call) raises:
    var conv = Convolution[T](call, transposed=True)
    transposed.convolve(conv.view, conv.window, conv.filters, conv.output, conv.workers)


@extensibility.register("other_convolutions_table")
struct OtherConvolutions[bf16: Int]:
    """Their addresses, for activations of float32 or of bfloat16."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        comptime for id in range(COUNT):
            addresses.unsafe_ptr()[unsafe_offset=id] = Int64(address_of(kernel[T, id]()))
