"""Fused convolutions for YOLOv8 on CPUs, as operations of MAX graphs.

Everything is NHWC. A convolution reads a view (channel slices of tensors, some doubled by nearest), adds the
bias, applies SiLU, adds a residual and writes one tensor; split, concat, upsample and add cost nothing.

    lanes.mojo      vectors of channels; what the processor offers
    view.mojo       views, and gathering from them
    tile.mojo       the register tile, which does nearly all of the arithmetic
    direct.mojo     convolutions of any kernel size and stride
    stem.mojo       the first convolution, from the image
    squares.mojo    convolutions by transformed squares:
    winograd.mojo       3x3, stride 1
    polyphase.mojo      3x3, stride 2
    pool.mojo       max-pooling
    head.mojo       the head's last convolutions, into one tensor
    arguments.mojo  what an operation is given, checked and taken apart

This file registers the operations; `fused.py` issues them, and `packing.py` packs the weights.

The sizes of the tensors are known at run time only: one compiled graph serves every batch, height and width,
and every convolution of one kind shares one compiled operation.
"""

import extensibility
from extensibility import InputTensor, InputVariadicTensors, OutputTensor
from std.runtime import parallelism_level

from . import direct, squares
from .arguments import Convolution, Geometry, Tensor, slice_of
from .head import predict_all
from .lanes import F32, Ptr
from .pool import max_pool
from .polyphase import Phases
from .stem import convolve_image
from .winograd import F4x4


def tensors[size: Int](maps: InputVariadicTensors[rank=4, size=size, ...]) -> List[Tensor]:
    """The tensors of an operation's variadic argument."""
    var result = List[Tensor]()
    comptime for i in range(size):
        result.append(
            Tensor(
                Int(maps[i].unsafe_ptr()), maps[i].dim_size(0), maps[i].dim_size(1), maps[i].dim_size(2),
                maps[i].dim_size(3),
            )
        )
    return result^


def result_tensor(result: OutputTensor[rank=4, ...]) -> Tensor:
    """The tensor an operation writes."""
    return Tensor(
        Int(result.unsafe_ptr()), result.dim_size(0), result.dim_size(1), result.dim_size(2), result.dim_size(3)
    )


@extensibility.register("yolo_direct")
struct Direct:
    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=4, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
    ) raises:
        var call = Convolution[T](
            Geometry(unsafe_from_address=Int(geometry.unsafe_ptr())), tensors(maps), Int(weight.unsafe_ptr()),
            Int(bias.unsafe_ptr()), result_tensor(result),
        )
        direct.convolve(call.view, call.window, call.filters, call.output, parallelism_level())


@extensibility.register("yolo_winograd")
struct Winograd:
    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=4, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
    ) raises:
        var call = Convolution[T](
            Geometry(unsafe_from_address=Int(geometry.unsafe_ptr())), tensors(maps), Int(weight.unsafe_ptr()),
            Int(bias.unsafe_ptr()), result_tensor(result),
        )
        squares.convolve[F4x4](call.view, call.filters, call.output, parallelism_level())


@extensibility.register("yolo_polyphase")
struct Polyphase:
    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=4, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
    ) raises:
        var call = Convolution[T](
            Geometry(unsafe_from_address=Int(geometry.unsafe_ptr())), tensors(maps), Int(weight.unsafe_ptr()),
            Int(bias.unsafe_ptr()), result_tensor(result),
        )
        squares.convolve[Phases](call.view, call.filters, call.output, parallelism_level())


@extensibility.register("yolo_stem")
struct Stem:
    @staticmethod
    def execute[
        Pixel: DType, T: DType, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=4, ...],
        weight: InputTensor[rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        image: InputTensor[dtype=Pixel, rank=4, ...],
    ) raises:
        var maps = List[Tensor]()
        maps.append(
            Tensor(
                Int(image.unsafe_ptr()), image.dim_size(0), image.dim_size(1), image.dim_size(2),
                image.dim_size(3),
            )
        )
        var call = Convolution[T](
            Geometry(unsafe_from_address=Int(geometry.unsafe_ptr())), maps, Int(weight.unsafe_ptr()),
            Int(bias.unsafe_ptr()), result_tensor(result),
        )
        convolve_image(
            Ptr[Pixel](unsafe_from_address=Int(image.unsafe_ptr())), call.view.batch, call.view.height,
            call.view.width, call.filters, call.output, parallelism_level(),
        )


@extensibility.register("yolo_max_pool")
struct MaxPool:
    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=T, rank=4, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
    ) raises:
        var facts = Geometry(unsafe_from_address=Int(geometry.unsafe_ptr()))
        var map = tensors(maps)[0]
        max_pool(
            slice_of[T](facts.unsafe_offset(1), map, 0), map.batch, Int(facts[unsafe_offset=0]),
            Ptr[T](unsafe_from_address=Int(result.unsafe_ptr())), parallelism_level(),
        )


@extensibility.register("yolo_head")
struct Head:
    @staticmethod
    def execute[
        T: DType, size: Int, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=3, ...],
        weights: InputTensor[rank=1, ...],
        biases: InputTensor[dtype=F32, rank=1, ...],
        geometry: InputTensor[dtype=DType.int32, rank=1, ...],
        maps: InputVariadicTensors[dtype=T, rank=4, size=size, ...],
    ) raises:
        predict_all[T](
            Geometry(unsafe_from_address=Int(geometry.unsafe_ptr())), tensors(maps), Int(weights.unsafe_ptr()),
            Int(biases.unsafe_ptr()), Ptr[F32](unsafe_from_address=Int(result.unsafe_ptr())),
            result.dim_size(1), result.dim_size(2), parallelism_level(),
        )
