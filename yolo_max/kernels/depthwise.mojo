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
from std.sys.info import size_of

from .epilogue import Output, epilogue
from .lanes import AVX512, BLOCK, F32, Ptr, Scratch, V, Words, load, load_some, prefetch
from .microkernel import Filters
from .parallel import Workers, parallel_for
from .view import Slice, View
from .window import Window

comptime LARGEST = 8 if AVX512 else 4
comptime SIZES = [LARGEST, LARGEST // 2, LARGEST // 4, 1]
"""Outputs of a tile."""
comptime AWAITING = 2048
"""Sums, about, that await the epilogue together: in the first cache, and enough to be worth a call."""


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
                    (Int(pixel) - Int(slice.data)) // size_of[T]()
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
    var is_adjacent = window.stride_x == 1 and window.dilation_x == 1
    var padded = align_up(slice.channels, BLOCK)
    var chunk = max(LARGEST, AWAITING // padded)
    var sums = Scratch[F32](chunk * padded)
    var step = window.stride_x * slice.stride
    for row in range(first, last):
        var image, y = divmod(row, height)
        var top = y * window.stride_y - window.top
        for start in range(0, width, chunk):
            var stop = min(width, start + chunk)
            var x = start
            while x < stop:
                reach.find(slice, window, image, top, x * window.stride_x - window.left, filters.padded())
                if x < begin or x >= end:
                    tile[1](slice, 0, 0, reach, filters, channel, sums.data.unsafe_offset((x - start) * padded))
                    x += 1
                    continue
                var base = 0
                comptime for i in range(len(SIZES)):
                    comptime size = SIZES[i]
                    while x + size <= min(end, stop):
                        var result = sums.data.unsafe_offset((x - start) * padded)
                        if size == LARGEST and is_adjacent and window.width == 3:
                            tile[size, 3](slice, base, step, reach, filters, channel, result)
                        elif size == LARGEST and is_adjacent and window.width == 5:
                            tile[size, 5](slice, base, step, reach, filters, channel, result)
                        elif size == LARGEST and is_adjacent and window.width == 7:
                            tile[size, 7](slice, base, step, reach, filters, channel, result)
                        else:
                            tile[size](slice, base, step, reach, filters, channel, result)
                        base += size * step
                        x += size
            epilogue(sums.data, padded, stop - start, output, row * width + start, channel, slice.channels)


@always_inline
def tile[
    T: DType, //, M: Int, K: Int = 0
](slice: Slice[T], base: Int, step: Int, reach: Reach, filters: Filters, channel: Int, result: Words):
    """The sums of M neighbouring outputs, all channels of a slice.

    Parameters:
        T: Type of the activations.
        M: Outputs.
        K: Taps of a row where they and the outputs are neighbours, so that each pixel is loaded once; 0 for any.

    Args:
        slice: The input.
        base: Elements from the pixels that `reach` has found to those of the first output.
        step: Elements from one output's pixels to the next one's.
        reach: The taps.
        filters: The weights.
        channel: The slice's first channel among all.
        result: Rows of channels, in whole blocks.
    """
    comptime CHAINS = max(1, 4 // M)
    var width = align_up(slice.channels, BLOCK)
    for c in range(0, slice.channels, BLOCK):
        var data = slice.data.unsafe_offset(base + c)
        var weights = filters.panels.unsafe_offset(channel + c)
        var bias = filters.begin.unsafe_offset(channel + c)
        var left = slice.channels - c
        var sums: Array[V, M]
        if left >= BLOCK:
            sums = Array[V, M](fill=load[F32, BLOCK](bias, 0))
            comptime if K > 0:
                for t in range(0, reach.count, K):
                    var w = weights.unsafe_offset(Int(reach.weights.data[unsafe_offset=t]))
                    var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=t]))
                    var row = Array[V, K](fill=V(0))
                    comptime for k in range(K):
                        row[k] = load[F32, BLOCK](w, k * filters.padded())
                    comptime for j in range(M + K - 1):
                        var pixel = load[T, BLOCK](x, j * step)
                        comptime for i in range(max(0, j - K + 1), min(M, j + 1)):
                            sums[i] = pixel.fma(row[j - i], sums[i])
                # The last row of taps is new to the cache: that of the next tile.
                var next = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=max(reach.count - 1, 0)]) + M * step)
                comptime for i in range(M):
                    prefetch(next.unsafe_offset(i * step))
            else:
                # A few sums would wait for themselves; so every output has several, which are added at last.
                var parts = Array[V, M * CHAINS](fill=V(0))
                for first in range(0, reach.count, CHAINS):
                    comptime for j in range(CHAINS):
                        if first + j < reach.count:
                            var w = load[F32, BLOCK](weights, Int(reach.weights.data[unsafe_offset=first + j]))
                            var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=first + j]))
                            comptime for i in range(M):
                                parts[i * CHAINS + j] = load[T, BLOCK](x, i * step).fma(w, parts[i * CHAINS + j])
                comptime for i in range(M):
                    comptime for j in range(CHAINS):
                        sums[i] += parts[i * CHAINS + j]
        else:
            sums = Array[V, M](fill=load_some[F32, BLOCK](bias, 0, left))
            for t in range(reach.count):
                var w = load_some[F32, BLOCK](weights, Int(reach.weights.data[unsafe_offset=t]), left)
                var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=t]))
                comptime for i in range(M):
                    sums[i] = load_some[T, BLOCK](x, i * step, left).fma(w, sums[i])
        comptime for i in range(M):
            result.unsafe_store(i * width + c, sums[i])
