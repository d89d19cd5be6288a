"""Views copied into one tensor, in a table of their own; `copies.py` calls it.

Nearly everything reads views as they are. What does not is given a copy: of one view, or of several one after the
other, the levels of a pyramid.
"""

import extensibility
from extensibility import OutputTensor
from std.math import ceildiv

from .arguments import SLICE_PARAMS, Call, view_of
from .lanes import BF16, F32, Ptr
from .parallel import parallel_for
from .resize import copy_pixel
from .table import Kernel, address_of
from .view import View

comptime COPY = 0
comptime COUNT = 1
comptime WORTH = 1 << 16
"""Elements that are worth starting a thread for."""
comptime PIECE = 1 << 12
"""Elements of a pixel that are copied at once: the parts of a tensor concatenated along another axis are long pixels."""


def copy[T: DType](call: Call) raises:
    """Copies views of equally many channels; in each image, one after the other.

    Its params are the number of views, the number of slices of each, then the slices'.

    Raises:
        Error: The tensors do not fit each other.
    """
    var result = call.result()
    var views = Int(call.params[unsafe_offset=0])
    var slices = call.params.unsafe_offset(1 + views)
    var pixels = result.height * result.width
    var next = 0
    var place = 0
    for i in range(views):
        var count = Int(call.params[unsafe_offset=1 + i])
        var view = view_of[T](slices.unsafe_offset(next * SLICE_PARAMS), call, next, count)
        if view.batch != result.batch or view.channels != result.channels:
            raise Error(
                view.batch, " images of ", view.channels, " channels cannot be copied to ", result.batch, " of ",
                result.channels,
            )
        next += count
        var here = view.height * view.width
        if place + here > pixels:
            raise Error("views of more than ", pixels, " pixels cannot be copied to as many")
        copy_view(view, result.data[T]().unsafe_offset(place * result.channels), pixels, call)
        place += here
    if place != pixels or next != call.inputs:
        raise Error("views of ", place, " pixels cannot be copied to ", pixels)


def copy_view[T: DType](view: View[T], target: Ptr[T], pixels: Int, call: Call):
    """Copies a view to images that have so many pixels, from their `target` on."""
    var here = view.height * view.width
    var pieces = ceildiv(view.channels, PIECE)

    def some_pieces(first: Int, last: Int) {imm}:
        for i in range(first, last):
            var pixel, piece = divmod(i, pieces)
            var image, at = divmod(pixel, here)
            var begin = piece * PIECE
            var end = min(begin + PIECE, view.channels)
            var to = target.unsafe_offset((image * pixels + at) * view.channels)
            var position = 0
            for j in range(len(view.slices)):
                ref slice = view.slices[j]
                var channel = max(begin, position)
                var count = min(end, position + slice.channels) - channel
                if count > 0:
                    var source = slice.data.unsafe_offset(pixel * slice.stride)
                    if slice.doubled:
                        var y, x = divmod(at, view.width)
                        source = slice.pixel(image, y, x)
                    copy_pixel(source.unsafe_offset(channel - position), count, to.unsafe_offset(channel))
                position += slice.channels

    var workers = call.workers.for_work(view.batch * here * view.channels, WORTH)
    parallel_for(some_pieces, view.batch * here * pieces, max(1, PIECE // view.channels), workers)


@extensibility.register("copies_table")
struct Copies[bf16: Int]:
    """Its address, for maps of float32 or of bfloat16."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        comptime T = BF16 if Self.bf16 == 1 else F32
        addresses.unsafe_ptr()[unsafe_offset=COPY] = Int64(address_of(copy[T]))
