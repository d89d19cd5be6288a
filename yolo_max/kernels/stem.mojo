"""A convolution of images: 3x3, stride 2, three input channels, of bytes or of numbers.

Three channels would leave thirteen lanes of a block empty. Here a row of the image is kept as it is, so that
the three pixels under one kernel row are nine consecutive numbers, and the next output's are six further on:

    row    | 0 0 0 | r g b | r g b | r g b | r g b | ...
    out 0  |-----------------------|
    out 1                  |-----------------------|

Bytes are divided by a number, such as 255, as rows are loaded.
"""

from std.math import ceildiv

from .lanes import BF16, BLOCK, F32, MR, Ptr, words
from .microkernel import Filters, Output, Taps, microkernel_panels
from .parallel import Workers, parallel_for
from .row_buffer import RowBuffer
from .window import Window

comptime COLORS = 3
comptime WINDOW = Window(3, 2)
comptime STRIDE = WINDOW.stride * COLORS


def convolve_image[
    Pixel: DType, T: DType
](
    image: Ptr[Pixel], batch: Int, height: Int, width: Int, divisor: Int, filters: Filters, output: Output[T],
    workers: Workers,
):
    """Convolves images [batch, height, width, 3] of uint8, each divided by `divisor`, or of T.

    Filters are packed a kernel row at a time: nine weights, and for bfloat16 a tenth that is zero.
    """

    def some_rows(first: Int, last: Int) {imm}:
        rowwise(image, height, width, Float32(divisor), first, last, filters, output)

    parallel_for(some_rows, batch * WINDOW.outputs(height), 2 * WINDOW.kernel, workers)


@no_inline
def rowwise[
    Pixel: DType, T: DType
](
    image: Ptr[Pixel], height: Int, width: Int, divisor: Float32, first: Int, last: Int, filters: Filters,
    output: Output[T],
):
    """The output rows first .. last of the batch."""
    comptime RUN = words[T](WINDOW.kernel * COLORS + 1) if T == BF16 else WINDOW.kernel * COLORS
    var out_height = WINDOW.outputs(height)
    var out_width = WINDOW.outputs(width)
    # The last tile reads past the last output; a multiple of the block keeps rows aligned.
    var row_size = ceildiv((out_width + MR) * STRIDE + 2 * BLOCK, BLOCK) * BLOCK
    var buffer = RowBuffer[T](WINDOW.kernel, row_size)
    var taps = Taps(WINDOW.kernel, RUN)
    var tiles = ceildiv(out_width, MR)
    for row in range(first, last):
        var index = row // out_height
        var top = row % out_height * WINDOW.stride - WINDOW.padding()
        for y in range(buffer.advance(index, top), top + WINDOW.kernel):
            if y < 0 or y >= height:
                buffer.clear(y)
            else:
                var source = image.unsafe_offset((index * height + y) * width * COLORS)
                var target = buffer.row(y).unsafe_offset(WINDOW.padding() * COLORS)
                load_row(source, width * COLORS, divisor, target)
        for ky in range(WINDOW.kernel):
            taps.begin(ky, words[T](buffer.slot(top + ky)))
        for i in range(tiles):
            var x = out_width * i // tiles
            var m = out_width * (i + 1) // tiles - x
            var pixels = buffer.rows.data.unsafe_offset(x * STRIDE).unsafe_bitcast[Float32]()
            microkernel_panels[T, words[T](STRIDE)](m, pixels, taps, filters, output, row * out_width + x)


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
