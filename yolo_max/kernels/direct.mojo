"""Direct convolution with any window.

The batch's output rows are shared out in chunks. A thread keeps the input rows that its current output row spans
in a *row buffer*, gathered into planes, with zeros left and right; rows of taps above and below the map are left out:

    buffer, kernel = 3   slot 0: input row 3     planes of phase 0: | 0 | x1 | x3 | x5 | ...
                         slot 1: input row 4     planes of phase 1: | x0 | x2 | x4 | ...
                         slot 2: input row 2     (stride 2: columns -1, 1, 3, ... and 0, 2, 4, ...)

Columns are sorted by phase, their remainder by the stride, so that neighbouring outputs always read
neighbouring pixels of a plane and one tile serves every stride: a tap in column `x` of the window is in phase
`x % stride`, and `x // stride` pixels further on. The next output row shifts the buffer by `stride` rows; nothing is
copied twice. Groups of channels are convolved one after the other.

A 1x1 convolution needs neither buffer nor rows: the pixels of the batch are one long row, gathered a tile at a
time. What it sums up over doubled channels is the same for four pixels, so that is done once, before doubling, and
is added to the sums of the four pixels: three quarters of these products are saved. Sums are parted elsewhere then, so
their last bits differ.
"""

from std.math import ceildiv

from .epilogue import Output
from .lanes import BLOCK, F32, MR, Scratch, words
from .microkernel import Filters, Taps, microkernel_panels, next_tile
from .parallel import Workers, parallel_for
from .row_buffer import RowBuffer
from .view import View, gather_pixels, gather_row
from .window import Window

comptime POINTWISE_PIXELS = 16 * MR
"""Pixels of a 1x1 convolution that are worth their own chunk."""


def convolve[
    T: DType
](view: View[T], window: Window, filters: Filters, output: Output[T], workers: Workers):
    """Convolves a view, group by group.

    Filters are packed with the rows of a panel in the order kernel row, plane, kernel column, channel; those of a
    group behind those of the last.
    """
    if window.groups == 1:
        convolve_group(view, window, filters, output, workers)
        return
    var inputs = view.channels // window.groups
    var outputs = filters.channels // window.groups
    for group in range(window.groups):
        var part = view.part(group * inputs, inputs)
        var own = Filters(filters.panels, filters.addends, outputs)
        own.panels = filters.panels.unsafe_offset(
            group * window.height * window.width * words[T](part.blocks() * BLOCK) * own.padded()
        )
        # A group's biases begin anywhere, and the last one's would be read beyond their end.
        var biases = Scratch[F32](own.padded())
        biases.clear()
        for i in range(outputs):
            biases.data[unsafe_offset=i] = filters.addends[unsafe_offset=group * outputs + i]
        own.addends = biases.data
        convolve_group(part, window, own, output.behind_channels(group * outputs), workers)
        _ = biases^


def convolve_group[
    T: DType
](view: View[T], window: Window, filters: Filters, output: Output[T], workers: Workers):
    """Convolves a view of which every output reads all channels."""
    if window.is_pointwise():

        var doubled = view.doubled_channels()
        if doubled > 0:
            pointwise_of_doubled(view, doubled, filters, output, workers)
            return

        def some_pixels(first: Int, last: Int) {imm}:
            pointwise(view, first, last - first, filters, output, first)

        parallel_for(some_pixels, view.pixels(), POINTWISE_PIXELS, workers)
    else:

        def some_rows(first: Int, last: Int) {imm}:
            rowwise(view, window, first, last, filters, output)

        parallel_for(some_rows, view.batch * window.rows(view.height), 2 * window.height, workers)


def pointwise_of_doubled[
    T: DType
](view: View[T], doubled: Int, filters: Filters, output: Output[T], workers: Workers):
    """A 1x1 convolution of a view whose first `doubled` channels, whole blocks, are doubled."""
    var coarse = view.before_doubling(doubled)
    var fine = view.part(doubled, view.channels - doubled)
    var stride = filters.padded()
    var sums = Scratch[F32](coarse.pixels() * stride)
    var to_sums = Output[T](sums.data.unsafe_bitcast[Scalar[T]](), stride, wide=True)
    var first_rows = filters
    first_rows.behind = words[T](fine.blocks() * BLOCK)

    def some_of_coarse(first: Int, last: Int) {imm}:
        pointwise(coarse, first, last - first, first_rows, to_sums, first)

    parallel_for(some_of_coarse, coarse.pixels(), POINTWISE_PIXELS, workers)
    var other_rows = filters
    other_rows.before = words[T](doubled)
    other_rows.addends = sums.data

    def some_pixels(first: Int, last: Int) {imm}:
        pointwise[has_sums=True](fine, first, last - first, other_rows, output, first)

    parallel_for(some_pixels, fine.pixels(), POINTWISE_PIXELS, workers)
    _ = sums^


@no_inline
def pointwise[
    T: DType, //, has_sums: Bool = False
](view: View[T], first: Int, count: Int, filters: Filters, output: Output[T], target: Int):
    """A 1x1 convolution of `count` pixels of the batch, to the pixels from `target` on of the output.

    Parameters:
        T: Type of the activations.
        has_sums: Whether the filters come with sums for every pixel of a map of half the view's height and width.
    """
    comptime STEP = words[T](BLOCK)
    var blocks = view.blocks()
    var plane_stride = MR * BLOCK
    var planes = Scratch[T](blocks * plane_stride)
    if view.channels % BLOCK != 0 or count < MR:
        planes.clear()  # Otherwise all that is read is gathered.
    var taps = Taps(blocks, STEP)
    for i in range(blocks):
        taps.begin(i, i * words[T](plane_stride))
    var p = 0
    while p < count:
        var m = next_tile(count - p)
        gather_pixels(view, first + p, m, planes.data, plane_stride)
        comptime if has_sums:
            var stride = filters.padded()
            for i in range(m):
                var row, x = divmod(first + p + i, view.width)
                var image, y = divmod(row, view.height)
                var pixel = (image * (view.height // 2) + y // 2) * (view.width // 2) + x // 2
                taps.addends.data[unsafe_offset=i] = Int64(pixel * stride)
        microkernel_panels[T, STEP](m, planes.data.unsafe_bitcast[Float32](), taps, filters, output, target + p)
        p += m


@no_inline
def rowwise[
    T: DType
](view: View[T], window: Window, first: Int, last: Int, filters: Filters, output: Output[T]):
    """The output rows first .. last of the batch."""
    comptime STEP = words[T](BLOCK)
    var stride = window.stride_x
    var span = window.span_y()
    var height = window.rows(view.height)
    var width = window.columns(view.width)
    var blocks = view.blocks()
    # Room for the last tile's pixels that are read and not stored. An odd number of pixels keeps planes from
    # falling on the same cache sets.
    var plane_stride = ((width + MR + window.span_x() // stride) | 1) * BLOCK
    # No tap is in a phase that the window does not span.
    var phases = min(stride, window.span_x())
    var buffer = RowBuffer[T](span, phases * blocks * plane_stride)
    var taps = Taps(window.height * blocks * window.width, STEP)
    var per_row = blocks * window.width
    var own = filters
    for row in range(first, last):
        var image = row // height
        var top = row % height * window.stride_y - window.top
        for y in range(max(0, buffer.advance(image, top)), min(view.height, top + span)):
            for phase in range(phases):
                # The first column of this phase that is on the map, and its place among the phase's pixels.
                var index = max(0, ceildiv(window.left - phase, stride))
                var x = index * stride + phase - window.left
                var planes = buffer.row(y).unsafe_offset(phase * blocks * plane_stride + index * BLOCK)
                gather_row(view, image, y, x, stride, planes, plane_stride)
        # The rows of taps that are on the map.
        var begin = min(window.height, max(0, ceildiv(-top, window.dilation_y)))
        var end = max(begin, min(window.height, ceildiv(view.height - top, window.dilation_y)))
        taps.count = (end - begin) * per_row
        own.before = begin * per_row * STEP
        own.behind = (window.height - end) * per_row * STEP
        var t = 0
        for ky in range(begin, end):
            for block in range(blocks):
                for kx in range(window.width):
                    var pixel, phase = divmod(kx * window.dilation_x, stride)
                    var plane = buffer.slot(top + ky * window.dilation_y) + (phase * blocks + block) * plane_stride
                    taps.begin(t, words[T](plane + pixel * BLOCK))
                    t += 1
        var x = 0
        while x < width:
            var m = next_tile(width - x)
            var pixels = buffer.rows.data.unsafe_offset(x * BLOCK).unsafe_bitcast[Float32]()
            microkernel_panels[T, STEP](m, pixels, taps, own, output, row * width + x)
            x += m
