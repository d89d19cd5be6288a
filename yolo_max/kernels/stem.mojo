"""Convolutions of few channels, such as those of images, of bytes or of numbers.

Three channels would leave thirteen lanes of a block empty. But the numbers under one row of the kernel, all taps and
channels, are consecutive in a row of the image: a *run*.

    row of the image    | 0 0 0 | r g b | r g b | r g b | r g b | ...
    run of output 0     |-----------------------|
    run of output 1                     |-----------------------|         (3x3, stride 2: six numbers further on)

To the microkernel a row is a plane of pixels that overlap. Their distance is compiled in for the most common stems,
of three channels and stride 2; for any other, each run is copied to a place of its own. A run that is longer than a
place is cut into parts of equal length. Bytes are divided by a number, such as 255, as rows are loaded.
"""

from std.math import align_up, ceildiv

from .epilogue import Output
from .lanes import BF16, BLOCK, F32, MR, Ptr, Scratch, words
from .microkernel import Filters, Taps, microkernel_panels, next_tile
from .parallel import Workers, parallel_for
from .row_buffer import RowBuffer
from .window import Window

comptime PLACE = BLOCK
"""Words of a run that has been copied, with what fills it up."""
comptime STEP = 6
"""Numbers from run to run that is compiled in: three channels, stride 2."""


def convolve_image[
    Pixel: DType, T: DType
](
    image: Ptr[Pixel], batch: Int, height: Int, width: Int, channels: Int, divisor: Int, window: Window,
    filters: Filters, output: Output[T], workers: Workers,
):
    """Convolves images [batch, height, width, channels] of uint8, each divided by `divisor`, or of T.

    The window's columns are not dilated, and it has one group. Filters are packed a kernel row at a time, in parts of
    equal length, with zeros behind the last one.
    """

    def some_rows(first: Int, last: Int) {imm}:
        if window.stride_x * channels == STEP:
            rowwise[words[T](STEP)](image, height, width, channels, divisor, window, first, last, filters, output)
        else:
            rowwise[PLACE](image, height, width, channels, divisor, window, first, last, filters, output)

    parallel_for(some_rows, batch * window.rows(height), 2 * window.height, workers)


@no_inline
def rowwise[
    Pixel: DType, T: DType, //, step: Int
](
    image: Ptr[Pixel], height: Int, width: Int, channels: Int, divisor: Int, window: Window, first: Int, last: Int,
    filters: Filters, output: Output[T],
):
    """The output rows first .. last of the batch; runs are `step` words apart, and copied if that is a place."""
    comptime PER_WORD = 2 if T == BF16 else 1
    comptime COPIED = step == PLACE
    var out_height = window.rows(height)
    var out_width = window.columns(width)
    var run = ceildiv(window.width * channels, PER_WORD)
    var parts = ceildiv(run, PLACE)
    run = ceildiv(run, parts)
    # The last tile's pixels that are read and not stored need room; and so does what is copied behind the last run.
    var plane = align_up((out_width + MR) * step * PER_WORD + parts * run * PER_WORD, BLOCK)
    var room = align_up((window.left + width) * channels + plane, BLOCK)
    var buffer = RowBuffer[T](window.span_y(), parts * plane if COPIED else room)
    var padded = Scratch[T](room + PLACE * PER_WORD if COPIED else 0)
    padded.clear()
    var taps = Taps(window.height * parts, run)
    for row in range(first, last):
        var index = row // out_height
        var top = row % out_height * window.stride_y - window.top
        for y in range(buffer.advance(index, top), top + window.span_y()):
            if y < 0 or y >= height:
                buffer.clear(y)
                continue
            var source = image.unsafe_offset((index * height + y) * width * channels)
            var loaded = padded.data if COPIED else buffer.row(y)
            load_row(source, width * channels, Float32(divisor), loaded.unsafe_offset(window.left * channels))
            comptime if COPIED:
                for part in range(parts):
                    var runs = padded.data.unsafe_offset(part * run * PER_WORD)
                    copy_runs(runs, out_width, window.stride_x * channels, buffer.row(y).unsafe_offset(part * plane))
        for ky in range(window.height):
            for part in range(parts):
                var offset = part * plane if COPIED else part * run * PER_WORD
                taps.begin(ky * parts + part, words[T](buffer.slot(top + ky * window.dilation_y) + offset))
        var x = 0
        while x < out_width:
            var m = next_tile(out_width - x)
            var pixels = buffer.rows.data.unsafe_bitcast[Float32]().unsafe_offset(x * step)
            microkernel_panels[T, step](m, pixels, taps, filters, output, row * out_width + x)
            x += m


@always_inline
def copy_runs[T: DType](row: Ptr[T], count: Int, step: Int, plane: Ptr[T]):
    """Copies what begins at every `step` elements of a row to a place each."""
    comptime SIZE = PLACE * (2 if T == BF16 else 1)
    for i in range(count):
        plane.unsafe_store(i * SIZE, row.unsafe_load[width=SIZE](i * step))


@always_inline
def load_row[Pixel: DType, T: DType](source: Ptr[Pixel], count: Int, divisor: Float32, row: Ptr[T]):
    """Loads `count` numbers of a row."""
    var i = 0
    while i + BLOCK <= count:
        row.unsafe_store(i, scaled[Pixel, BLOCK](source.unsafe_load[width=BLOCK](i), divisor).cast[T]())
        i += BLOCK
    while i < count:
        row[unsafe_offset=i] = scaled[Pixel, 1](source[unsafe_offset=i], divisor).cast[T]()
        i += 1


@always_inline
def scaled[Pixel: DType, N: SIMDLength](pixels: SIMD[Pixel, N], divisor: Float32) -> SIMD[F32, N]:
    """Bytes by `divisor`, exactly as a division would give them; other types as they are.

    The product with the inverse is off by one unit in the last place for some bytes; the remainder corrects it.
    """
    var x = pixels.cast[F32]()
    comptime if Pixel == DType.uint8:
        var inverse = SIMD[F32, N](1 / divisor)
        var quotient = x * inverse
        return quotient.fma(SIMD[F32, N](-divisor), x).fma(inverse, quotient)
    else:
        return x
