"""The kernels behind function addresses.

MAX compiles an operation anew for every combination of static shapes it meets in a graph, and with it all that
can be reached from it; half of a first compile would go into the same kernels again and again. So one operation
makes a table of their addresses, and all others call through it: they are thin, and the kernels are compiled
once. A table is compiled as a whole, so what few networks need has one of its own (other_convolutions.mojo,
pools.mojo, products.mojo); other packages can make theirs.

A kernel's id is its place here, and in its entry in Python (`conv_kernel.py`, `ops.py`).
"""

from . import direct, tiles
from .arguments import Call, Convolution
from .lanes import BLOCK, F32
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
comptime MAX_POOL = 4
comptime HALVING = 5
comptime COUNT = 6


def kernel[T: DType, id: Int]() -> Kernel:
    """The kernel with this id, for activations of type T."""
    comptime if id == DIRECT:
        return run_direct[T]
    elif id == WINOGRAD:
        return run_by_size[F4x4, T]
    elif id == POLYPHASE:
        return run_tiles[Phases, T]
    elif id == STEM:
        return run_stem[T]
    elif id == HALVING:
        return run_by_size[Phases, T]
    else:
        return max_pool[T]


def run_direct[T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    direct.convolve(conv.view, conv.window, conv.filters, conv.output, conv.workers)


def run_tiles[Algorithm: Transform, T: DType](call: Call) raises:
    var conv = Convolution[T](call)
    tiles.convolve[Algorithm](conv.view, conv.window, conv.filters, conv.output, conv.mask, conv.workers)


def run_by_size[Algorithm: Transform, T: DType](call: Call) raises:
    """By tiles, or direct where the map is too small for them; the filters for that lie behind the others.

    The batch does not matter, so that an image has the same result in any.
    """
    comptime if T == F32:
        var conv = Convolution[T](call)
        if not Algorithm.suits(conv.window.rows(conv.view.height), conv.window.columns(conv.view.width)):
            var channels = conv.view.blocks() * BLOCK * conv.filters.padded()
            conv.filters.panels = conv.filters.panels.unsafe_offset(Algorithm.FILTERS * channels)
            direct.convolve(conv.view, conv.window, conv.filters, conv.output, conv.workers)
            return
    run_tiles[Algorithm, T](call)


def run_stem[T: DType](call: Call) raises:
    """Of bytes, or of T."""
    var conv = Convolution[T](call)
    var image = call.input(0)

    @always_inline
    def run[Pixel: DType]() {imm}:
        convolve_image(
            image.data[Pixel](), image.batch, image.height, image.width, image.channels, conv.divisor, conv.window,
            conv.filters, conv.output, conv.workers,
        )

    if conv.divisor > 0:
        run[DType.uint8]()
    else:
        run[T]()


def address_of(kernel: Kernel) -> Int:
    """Where a kernel's code is."""
    var function = kernel
    return Pointer(to=function).unsafe_bitcast[Int]()[]


def kernel_at(address: Int) -> Kernel:
    """The kernel whose code is there."""
    var code = address
    return Pointer(to=code).unsafe_bitcast[Kernel]()[]
