"""The products of matrices, in a table of their own (table.mojo); `products.py` calls them."""

import extensibility
from extensibility import OutputTensor

from .attention import attention
from .linear import linear
from .matmul import matmul
from .softmax import softmax
from .table import Kernel, address_of

comptime MATMUL = 0
comptime LINEAR = 1
comptime SOFTMAX = 2
comptime ATTENTION = 3
comptime COUNT = 4


def kernel[id: Int]() -> Kernel:
    """The kernel with this id. All are for float32."""
    comptime if id == MATMUL:
        return matmul
    elif id == LINEAR:
        return linear
    elif id == SOFTMAX:
        return softmax
    else:
        return attention


@extensibility.register("products_table")
struct Products[bf16: Int]:
    """Their addresses."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime for id in range(COUNT):
            addresses.unsafe_ptr()[unsafe_offset=id] = Int64(address_of(kernel[id]()))
