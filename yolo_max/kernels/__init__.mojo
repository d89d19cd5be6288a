"""Fused convolutions for YOLOv8 on CPUs, as operations of MAX graphs.

Everything is NHWC. A convolution reads a view (channel slices of tensors, some doubled by nearest), adds the
bias, applies SiLU, adds a residual and writes one tensor; split, concat, upsample and add cost nothing.

    lanes.mojo      vectors of channels; what the processor offers
    view.mojo       views, and gathering from them
    microkernel.mojo  the register tile, which does nearly all of the arithmetic
    direct.mojo     convolutions of any kernel size and stride
    stem.mojo       the first convolution, from the image
    grid.mojo       output maps in tiles, and which of these are computed
    tiles.mojo      convolutions by transformed tiles, with the passes of transform.mojo:
    winograd.mojo       3x3, stride 1
    polyphase.mojo      3x3, stride 2
    pool.mojo       max-pooling
    arguments.mojo  what a kernel is given, checked and taken apart
    parallel.mojo   how work is dealt out to threads
    table.mojo      the kernels, to be called by their addresses

This file registers the operations; `fused.py` issues them, and `packing.py` packs the weights.

Sizes and channels are known at run time only: one compiled graph serves every batch, height and width.
"""

from std.memory import bitcast

import extensibility
from extensibility import InputTensor, InputVariadicTensors, OutputTensor
from max.gpu.host import DeviceContext

from . import table
from .arguments import Call, Params, Tensor
from .lanes import BF16, F32
from .parallel import Workers


@extensibility.register("yolo_kernels")
struct Kernels[bf16: Int]:
    """The table of kernels, for activations of float32 or of bfloat16; behind it, what this run is given.

    That is the threads, and the bits of the least class logit.
    """

    @staticmethod
    def execute[
        target: StaticString
    ](
        addresses: OutputTensor[dtype=DType.int64, rank=1, ...],
        threads: InputTensor[dtype=DType.int64, rank=1, ...],
        least: InputTensor[dtype=F32, rank=1, ...],
    ) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        comptime for place in range(table.COUNT):
            addresses.unsafe_ptr()[unsafe_offset=place] = Int64(table.address_of(table.kernel[T, place]()))
        addresses.unsafe_ptr()[unsafe_offset=table.COUNT] = max(Int64(1), threads.unsafe_ptr()[unsafe_offset=0])
        var bits = bitcast[DType.int32, 1](least.unsafe_ptr()[unsafe_offset=0])
        addresses.unsafe_ptr()[unsafe_offset=table.COUNT + 1] = Int64(bits)


@extensibility.register("yolo_run")
struct Run:
    """Runs the kernel whose place in the table is the first number of the params."""

    @staticmethod
    def execute[
        T: DType, rank: Int, size: Int, target: StaticString
    ](
        result: OutputTensor[rank=rank, ...],
        kernels: InputTensor[dtype=DType.int64, rank=1, ...],
        numbers: InputTensor[dtype=DType.int32, rank=1, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
        processor: DeviceContext,
    ) raises:
        var tensors = Array[Tensor, size + 1](fill=Tensor(Int(result.unsafe_ptr()), 0, 0, 0, 0))
        comptime for i in range(size):
            tensors[i] = Tensor(
                Int(maps[i].unsafe_ptr()), maps[i].dim_size(0), maps[i].dim_size(1), maps[i].dim_size(2),
                maps[i].dim_size(3),
            )
        tensors[size].batch = result.dim_size(0)
        tensors[size].height = result.dim_size(1) if rank == 4 else 1
        tensors[size].width = result.dim_size(rank - 2)
        tensors[size].channels = result.dim_size(rank - 1)
        var params = Params(unsafe_from_address=Int(numbers.unsafe_ptr()))
        var place = Int(params[unsafe_offset=0])
        var threads = Int(kernels.unsafe_ptr()[unsafe_offset=table.COUNT])
        var least = bitcast[F32, 1](Int32(kernels.unsafe_ptr()[unsafe_offset=table.COUNT + 1]))
        table.kernel_at(Int(kernels.unsafe_ptr()[unsafe_offset=place]))(
            Call(
                params.unsafe_offset(1),
                Pointer[Tensor, MutUntrackedOrigin](unsafe_from_address=Int(Pointer(to=tensors))),
                size,
                Int(weight.unsafe_ptr()),
                Int(bias.unsafe_ptr()),
                least,
                Workers(threads, Int(Pointer(to=processor))),
            )
        )
        _ = tensors^


@extensibility.register("yolo_join")
struct Join:
    """Copies tensors into one, one behind the other: an operation takes only one list of any length."""

    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=1, ...],
        parts: InputVariadicTensors[dtype=T, rank=1, size=size, ...],
    ) raises:
        var begin = 0
        comptime for i in range(size):
            for j in range(parts[i].dim_size(0)):
                result.unsafe_ptr()[unsafe_offset=begin + j] = parts[i].unsafe_ptr()[unsafe_offset=j]
            begin += parts[i].dim_size(0)
