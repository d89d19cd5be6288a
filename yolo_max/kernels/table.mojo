"""The kernels behind function addresses.

MAX compiles an operation anew for every combination of static shapes it meets in a graph, and with it all that
can be reached from it; half of a first compile would go into the same kernels again and again. So one operation
makes a table of their addresses, and all others call through it: they are thin, and the kernels are compiled
once.
"""

from . import direct, tiles
from .arguments import Call, Convolution, slice_of
from ..model.detect.head import mask_candidates, predict_all
from .pool import max_pool
from .polyphase import Phases
from .stem import convolve_image
from .transform import Transform
from .winograd import F4x4

comptime Kernel = def(Call) thin raises -> None

comptime DIRECT = 0
comptime WINOGRAD = 1
comptime POLYPHASE = 2
comptime STEM = 3
comptime STEM_OF_FLOATS = 4
comptime MAX_POOL = 5
comptime CANDIDATES = 6
comptime HEAD = 7
comptime COUNT = 8
"""Places in the table, as in `fused.py`."""


def run_direct[T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    direct.convolve(conv.view, conv.window, conv.filters, conv.output, call.workers)


def run_tiles[Algorithm: Transform, T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    tiles.convolve[Algorithm](conv.view, conv.filters, conv.output, conv.mask, call.workers)


def run_stem[Pixel: DType, T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    var image = call.input(0)
    convolve_image(
        image.data[Pixel](), image.batch, image.height, image.width, conv.filters, conv.output, call.workers
    )


def run_max_pool[T: DType](call: Call) raises:
    """The params is the window's side, then the params of the one slice."""
    var map = call.input(0)
    var slice = slice_of[T](call.params.unsafe_offset(1), map, 0)
    max_pool(slice, map.batch, Int(call.params[unsafe_offset=0]), call.result().data[T](), call.workers)


def run_candidates[T: DType](call: Call) raises:
    mask_candidates[T](call)


def run_head[T: DType](call: Call) raises:
    predict_all[T](call)


def kernel[T: DType, place: Int]() -> Kernel:
    """The kernel at a place of the table, for activations of type T."""
    comptime if place == DIRECT:
        return run_direct[T]
    elif place == WINOGRAD:
        return run_tiles[F4x4, T]
    elif place == POLYPHASE:
        return run_tiles[Phases, T]
    elif place == STEM:
        return run_stem[DType.uint8, T]
    elif place == STEM_OF_FLOATS:
        return run_stem[T, T]
    elif place == MAX_POOL:
        return run_max_pool[T]
    elif place == CANDIDATES:
        return run_candidates[T]
    else:
        return run_head[T]


def address_of(kernel: Kernel) -> Int:
    """Where a kernel's code is."""
    var function = kernel
    return Pointer(to=function).unsafe_bitcast[Int]()[]


def kernel_at(address: Int) -> Kernel:
    """The kernel whose code is there."""
    var place = address
    return Pointer(to=place).unsafe_bitcast[Kernel]()[]
