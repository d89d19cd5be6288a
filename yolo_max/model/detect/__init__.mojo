"""The kernels of a detection head, in a table of their own (kernels/table.mojo); `fused.py` calls them."""

import extensibility
from extensibility import OutputTensor

from ...kernels.lanes import BF16, F32
from ...kernels.table import Kernel, address_of
from .head import mask_candidates, predict_all

comptime CANDIDATES = 0
comptime HEAD = 1
comptime COUNT = 2


def kernel[T: DType, id: Int]() -> Kernel:
    """The kernel with this id, for activations of type T."""
    comptime if id == CANDIDATES:
        return mask_candidates[T]
    else:
        return predict_all[T]


@extensibility.register("detect_table")
struct Kernels[bf16: Int]:
    """Their addresses, for activations of float32 or of bfloat16."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        comptime for id in range(COUNT):
            addresses.unsafe_ptr()[unsafe_offset=id] = Int64(address_of(kernel[T, id]()))
