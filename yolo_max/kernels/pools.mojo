"""Pools and resizing, in a table of their own (table.mojo); `pools.py` calls them."""

import extensibility
from extensibility import OutputTensor

from .lanes import BF16, F32
from .pool import average_pool
from .resize import resize
from .table import Kernel, address_of

comptime AVERAGE_POOL = 0
comptime RESIZE = 1
comptime COUNT = 2


def kernel[T: DType, id: Int]() -> Kernel:
    """The kernel with this id, for activations of type T."""
    comptime if id == AVERAGE_POOL:
        return average_pool[T]
    else:
        return resize[T]


@extensibility.register("pools_table")
struct Pools[bf16: Int]:
    """Their addresses, for activations of float32 or of bfloat16."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        comptime for id in range(COUNT):
            addresses.unsafe_ptr()[unsafe_offset=id] = Int64(address_of(kernel[T, id]()))
