"""Depthwise convolution: every channel by itself, any window.

Channels are the lanes, and nothing is gathered: a tile of a few neighbouring outputs of one row, by one block of
channels, is summed up in registers from the tensor itself. A slice of the view is convolved by itself, since no output
needs two of them.

Where taps and outputs are neighbours (`adjacent`), every pixel is loaded once for all of its taps in a row, and pixels
left and right of the map are passed over. Any other window goes tap by tap (`tile`):

    columns of outputs   | 0 |  1 2 3 4 5 6 7 8  |  9 10 11 12  | 13 |      (width 14, left and right 1)
                        edge        tile              tile       edge

Where all taps of a tile are on the map, its pixels and taps lie at fixed distances. At the left and right edges
an output is a tile of its own, with those taps that are on the map. Above and below the map, rows of taps are left out.
"""

from std.math import align_down, align_up, ceildiv
from std.sys.info import size_of

from .epilogue import Output, epilogue, read
from .lanes import AVX512, BLOCK, F32, Ptr, Scratch, V, Words, load, load_some, prefetch
from .microkernel import Filters
from .parallel import Workers, parallel_for
from .view import Slice, View
from .window import Window

comptime LARGEST = 8 if AVX512 else 4
comptime SIZES = [LARGEST, LARGEST // 2, LARGEST // 4, 1]
"""Outputs of a tile."""
comptime ADJACENT = [3, 5, 7]
"""Numbers of neighbouring taps in a row that have a tile of their own."""
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
    var is_adjacent = window.stride_x * window.dilation_x == 1 and not slice.doubled
    var padded = align_up(slice.channels, BLOCK)
    var chunk = max(LARGEST, align_down(AWAITING // padded, LARGEST))
    # The last tile of a row may have outputs behind it.
    var sums = Scratch[F32]((chunk + LARGEST) * padded)
    var step = window.stride_x * slice.stride
    for row in range(first, last):
        var image, y = divmod(row, height)
        var top = y * window.stride_y - window.top
        for start in range(0, width, chunk):
            var stop = min(width, start + chunk)
            var x = start
            while x < stop:
                var left = x * window.stride_x - window.left
                var result = sums.data.unsafe_offset((x - start) * padded)
                if is_adjacent:
                    var size = neighbours(slice, window, image, top, left, filters, channel, result, stop - x)
                    if size > 0:
                        x += size
                        continue
                reach.find(slice, window, image, top, left, filters.padded())
                if x < begin or x >= end:
                    tile[1](slice, 0, 0, reach, filters, channel, result)
                    x += 1
                    continue
                var base = 0
                comptime for i in range(len(SIZES)):
                    comptime size = SIZES[i]
                    while x + size <= min(end, stop):
                        result = sums.data.unsafe_offset((x - start) * padded)
                        tile[size](slice, base, step, reach, filters, channel, result)
                        base += size * step
                        x += size
            epilogue(sums.data, padded, stop - start, output, row * width + start, channel, slice.channels)


@always_inline
def neighbours[
    T: DType
](
    slice: Slice[T], window: Window, image: Int, top: Int, left: Int, filters: Filters, channel: Int, result: Words,
    count: Int,
) -> Int:
    """The sums of a tile where `count` outputs are left; returns its size, which may be more, or 0 for other windows."""
    comptime for i in range(len(ADJACENT)):
        comptime K = ADJACENT[i]
        if window.width == K:
            if count > LARGEST // 2:
                adjacent[LARGEST, K](slice, window, image, top, left, filters, channel, result)
                return LARGEST
            adjacent[LARGEST // 2, K](slice, window, image, top, left, filters, channel, result)
            return LARGEST // 2
    return 0


@always_inline
def adjacent[
    T: DType, //, M: Int, K: Int
](
    slice: Slice[T], window: Window, image: Int, top: Int, left: Int, filters: Filters, channel: Int, result: Words
):
    """The sums of M neighbouring outputs, all channels of a slice, where a row has K neighbouring taps.

    Args:
        slice: The input.
        window: The window.
        image: Number of the image.
        top: Row of the window's first tap.
        left: Column of the first output's first tap.
        filters: The weights.
        channel: The slice's first channel among all.
        result: Rows of channels, in whole blocks.
    """
    comptime PIXELS = M + K - 1
    var width = align_up(slice.channels, BLOCK)
    var begin = max(0, -left)
    var end = min(PIXELS, slice.width - left)
    var first = max(0, ceildiv(-top, window.dilation_y))
    var last = min(window.height, ceildiv(slice.height - top, window.dilation_y))
    for c in range(0, slice.channels, BLOCK):
        var channels = slice.channels - c
        var weights = filters.panels.unsafe_offset(channel + c)
        var bias = read[BLOCK](filters.addends.unsafe_offset(channel + c), channels)
        var sums = Array[V, M](fill=V(0))
        for ky in range(first, last):
            var y = image * slice.height + top + ky * window.dilation_y
            var x = slice.data.unsafe_offset((y * slice.width + left) * slice.stride + c)
            var row = Array[V, K](fill=V(0))
            comptime for k in range(K):
                row[k] = read[BLOCK](weights.unsafe_offset((ky * K + k) * filters.padded()), channels)
            comptime for j in range(PIXELS):
                if j >= begin and j < end:
                    var pixel = read[BLOCK](x.unsafe_offset(j * slice.stride), channels)
                    comptime for i in range(max(0, j - K + 1), min(M, j + 1)):
                        sums[i] = pixel.fma(row[j - i], sums[i])
                # The same pixels' next channels, those that the tile before has not brought.
                comptime if j >= K - 1:
                    prefetch(x.unsafe_offset(j * slice.stride + BLOCK))
        comptime for i in range(M):
            result.unsafe_store(i * width + c, sums[i] + bias)


@always_inline
def tile[
    T: DType, //, M: Int
](slice: Slice[T], base: Int, step: Int, reach: Reach, filters: Filters, channel: Int, result: Words):
    """The sums of M neighbouring outputs, all channels of a slice.

    Parameters:
        T: Type of the activations.
        M: Outputs.

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
        var left = slice.channels - c
        var bias = read[BLOCK](filters.addends.unsafe_offset(channel + c), left)
        var sums = Array[V, M](fill=V(0))
        if left >= BLOCK:
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
            for t in range(reach.count):
                var w = load_some[F32, BLOCK](weights, Int(reach.weights.data[unsafe_offset=t]), left)
                var x = data.unsafe_offset(Int(reach.pixels.data[unsafe_offset=t]))
                comptime for i in range(M):
                    sums[i] = load_some[T, BLOCK](x, i * step, left).fma(w, sums[i])
        comptime for i in range(M):
            result.unsafe_store(i * width + c, sums[i] + bias)
