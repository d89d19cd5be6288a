"""Depthwise convolution: every channel by itself, any window.

Channels are the lanes, and nothing is gathered: a tile of a few neighbouring outputs of one row, by one block of
channels, is summed up in registers from the tensor itself, tap by tap. A slice of the view is convolved by itself,
since no output needs two of them.

    columns of outputs   | 0 |  1 2 3 4 5 6 7 8  |  9 10 11 12  | 13 |      (width 14, left and right 1)
                        edge        tile              tile       edge

Where all taps of a tile are on the map, its pixels and taps lie at fixed distances. At the left and right edges
an output is a tile of its own, with those taps that are on the map; above and below it, rows of taps are left out.
"""

from std.math import align_up

from .epilogue import Output, epilogue
from .lanes import AVX512, BLOCK, F32, Ptr, Scratch, V, Words, load, load_some
from .microkernel import Filters
from .parallel import Workers, parallel_for
from .view import Slice, View
from .window import Window

comptime LARGEST = 8 if AVX512 else 4
comptime SIZES = [LARGEST, LARGEST // 2, LARGEST // 4, 1]
"""Outputs of a tile."""
comptime SPAN = 8 * BLOCK
"""Channels whose sums await the epilogue together."""


struct Reach(Movable):
    """The taps of a tile that are on the map: where each lies, and where its weights do."""

    var pixels: Scratch[DType.int64]
    """In elements from the slice's data."""
    var weights: Scratch[DType.int64]
    """In words from the first tap's."""
    var count: Int

    def __init__(out self, taps: Int):
        """Room for `taps`."""
        self.pixels = Scratch[DType.int64](taps)
        self.weights = Scratch[DType.int64](taps)
        self.count = 0

    def find[T: DType](mut self, slice: Slice[T], window: Window, image: Int, top: Int, left: Int, row: Int):
        """Finds the taps of an output whose window begins at (top, left); weights of a tap are `row` words."""
        var scale = 2 if slice.doubled else 1
        self.count = 0
        for ky in range(window.height):
            var y = top + ky * window.dilation_y
            if y < 0 or y >= slice.height * scale:
                continue
            for kx in range(window.width):
                var x = left + kx * window.dilation_x
                if x < 0 or x >= slice.width * scale:
                    continue
                var pixel = slice.pixel(image, y, x)
                self.pixels.data[unsafe_offset=self.count] = Int64(
                    (Int(pixel) - Int(slice.data)) // (4 if T == F32 else 2)
                )
                self.weights.data[unsafe_offset=self.count] = Int64((ky * window.width + kx) * row)
                self.count += 1


def convolve[
    T: DType
](view: View[T], window: Window, filters: Filters, output: Output[T], workers: Workers):
    """Convolves each channel of a view by itself.

    Filters are float32, a row of channels in whole blocks for each tap.
    """

    def some_rows(first: Int, last: Int) {imm}:
        var channel = 0
        for i in range(len(view.slices)):
            rowwise(view.slices[i], window, first, last, filters, output, channel)
            channel += view.slices[i].channels

    parallel_for(some_rows, view.batch * window.rows(view.height), 2, workers)


@no_inline
def rowwise[
    T: DType
](slice: Slice[T], window: Window, first: Int, last: Int, filters: Filters, output: Output[T], channel: Int):
    """The output rows first .. last of the batch; of a slice, whose first channel is `channel` of the view."""
    var scale = 2 if slice.doubled else 1
    var in_width = slice.width * scale
    var height = window.rows(slice.height * scale)
    var width = window.columns(in_width)
    # The outputs that have all of their taps between left and right; of doubled pixels none lie at fixed distances.
    var begin = min(width, -(-window.left // window.stride_x))
    var end = (in_width + window.left - window.span_x()) // window.stride_x + 1
    end = begin if slice.doubled else max(begin, min(width, end))
    var reach = Reach(window.height * window.width)
    var finished = Scratch[F32](LARGEST * SPAN)
    var depth = filters.padded()
    var step = window.stride_x * slice.stride
    for row in range(first, last):
        var image, y = divmod(row, height)
        var top = y * window.stride_y - window.top
        var x = 0
        while x < width:
            reach.find(slice, window, image, top, x * window.stride_x - window.left, depth)
            if x < begin or x >= end:
                tile[T, 1](slice, 0, 0, reach, filters, output, row * width + x, channel, finished.data)
                x += 1
                continue
            var base = 0
            comptime for i in range(len(SIZES)):
                comptime size = SIZES[i]
                while x + size <= end:
                    tile[T, size](slice, base, step, reach, filters, output, row * width + x, channel, finished.data)
                    base += size * step
                    x += size


@no_inline
def tile[
    T: DType, M: Int
](
    slice: Slice[T], base: Int, step: Int, reach: Reach, filters: Filters, output: Output[T], pixel: Int,
    channel: Int, finished: Words,
):
    """M neighbouring outputs, all channels of a slice.

    Args:
        slice: The input.
        base: Elements from the pixels that `reach` has found to those of the first output.
        step: Elements from one output's pixels to the next one's.
        reach: The taps.
        filters: The weights.
        output: Where the sums go.
        pixel: The first output's index there.
        channel: The slice's first channel there.
        finished: Room for the sums.
    """
    for first in range(0, slice.channels, SPAN):
        var count = min(SPAN, slice.channels - first)
        var width = align_up(count, BLOCK)
        for c in range(0, count, BLOCK):
            var data = slice.data.unsafe_offset(base + first + c)
            var weights = filters.panels.unsafe_offset(channel + first + c)
            var bias = filters.begin.unsafe_offset(channel + first + c)
            var left = count - c
            var sums: Array[V, M]
            if left >= BLOCK:
                sums = Array[V, M](fill=load[F32, BLOCK](bias, 0))
                for t in range(reach.count):
                    var w = load[F32, BLOCK](weights, Int(reach.weights.data[unsafe_offset=t]))
                    var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=t]))
                    comptime for i in range(M):
                        sums[i] = load[T, BLOCK](x, i * step).fma(w, sums[i])
            else:
                sums = Array[V, M](fill=load_some[F32, BLOCK](bias, 0, left))
                for t in range(reach.count):
                    var w = load_some[F32, BLOCK](weights, Int(reach.weights.data[unsafe_offset=t]), left)
                    var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=t]))
                    comptime for i in range(M):
                        sums[i] = load_some[T, BLOCK](x, i * step, left).fma(w, sums[i])
            comptime for i in range(M):
                finished.unsafe_store(i * width + c, sums[i])
        epilogue(finished, width, M, output, pixel, channel + first, count)
