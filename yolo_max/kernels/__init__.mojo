"""Fused convolutions, pools and products on CPUs, as operations of MAX graphs.

Everything is NHWC. A convolution reads a view (channel slices of tensors, some doubled by nearest), adds the
bias, applies an activation, adds a residual and writes one tensor; split, concat, upsample and add cost nothing.

    lanes.mojo        vectors of channels; what the processor offers
    activation.mojo   what is applied to sums
    view.mojo         views, and gathering from them
    microkernel.mojo  the register tile, which does nearly all of the arithmetic
    epilogue.mojo     from sums to outputs
    window.mojo       the geometry of a convolution
    row_buffer.mojo   the input rows that one output row needs
    direct.mojo       convolutions with any window
    stem.mojo         those of few channels, such as images
    depthwise.mojo    those of every channel by itself
    transposed.mojo   transposed ones, which enlarge a map
    grid.mojo         output maps in tiles, and which of these are computed
    tiles.mojo        convolutions by transformed tiles, with the passes of transform.mojo:
    winograd.mojo         3x3, stride 1
    polyphase.mojo        3x3, stride 2
    pool.mojo         the largest or the average under a window
    resize.mojo       nearest and bilinear
    gemm.mojo         products of matrices in blocks, around the microkernel
    matmul.mojo       batches of products of two matrices
    linear.mojo       products with constant weights
    softmax.mojo      over the last dimension
    attention.mojo    in one pass, without the matrix of scores
    arguments.mojo    what a kernel is given, checked and taken apart
    parallel.mojo     the parallel loop
    table.mojo        most convolutions and the max-pool, to be called by their addresses
    other_convolutions.mojo   depthwise and transposed ones likewise
    pools.mojo        the other pools and resizing likewise
    products.mojo     the products likewise
    copies.mojo       views copied into one tensor
    norms.mojo        layer norm

This file registers the operations; `ops.py` issues them, and `packing.py` packs the weights.

Sizes and channels are known at run time only: one compiled graph serves every batch, height and width.
"""

import extensibility
from extensibility import InputTensor, InputVariadicTensors, OutputTensor
from max.gpu.host import DeviceContext

from . import table
from .arguments import Call, Params, Tensor
from .lanes import BF16, F32, Ptr
from .parallel import Workers


@extensibility.register("kernels_table")
struct Kernels[bf16: Int]:
    """The addresses of the kernels, for activations of float32 or of bfloat16."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        comptime for id in range(table.COUNT):
            addresses.unsafe_ptr()[unsafe_offset=id] = Int64(table.address_of(table.kernel[T, id]()))


@extensibility.register("kernels_run")
struct Run:
    """Runs the kernel of a table whose id is the first of the params.

    The first number of the run is how many threads may take part.
    """

    @staticmethod
    def execute[
        T: DType, rank: Int, size: Int, target: StaticString
    ](
        result: OutputTensor[rank=rank, ...],
        addresses: InputTensor[dtype=DType.int64, rank=1, ...],
        params: InputTensor[dtype=DType.int32, rank=1, ...],
        run: InputTensor[dtype=F32, rank=1, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
        context: DeviceContext,
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
        var numbers = Ptr[F32](unsafe_from_address=Int(run.unsafe_ptr()))
        var id = Int(params.unsafe_ptr()[unsafe_offset=0])
        table.kernel_at(Int(addresses.unsafe_ptr()[unsafe_offset=id]))(
            Call(
                Params(unsafe_from_address=Int(params.unsafe_ptr())).unsafe_offset(1),
                Pointer[Tensor, MutUntrackedOrigin](unsafe_from_address=Int(Pointer(to=tensors))),
                size,
                Int(weight.unsafe_ptr()),
                Int(bias.unsafe_ptr()),
                numbers,
                Workers(max(1, Int(numbers[unsafe_offset=0])), Int(Pointer(to=context))),
            )
        )
        _ = tensors^


@extensibility.register("kernels_join")
struct Join:
    """Concatenates tensors: an operation takes only one list of any length."""

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
