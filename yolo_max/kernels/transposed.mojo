"""Transposed convolution that enlarges a map `stride` times, by its phases.

An output's row is `stride * j + a`. All outputs with the same a, its *phase*, come from the same taps of the kernel,
every `stride`-th one, so that they are an ordinary convolution of stride 1 of the map; likewise for columns:

    2x2, stride 2      four phases, each of one tap
    4x4, stride 2      four phases, each of 2 x 2 taps:     phase 0 | x x |      the rows above and at j
                                                            phase 1   | x x |    the rows at and below j

A thread gathers the input rows that all phases of a row need in one row buffer, and stores every phase's outputs
`stride` pixels apart.
"""

from std.math import ceildiv

from .epilogue import Output
from .lanes import BLOCK, MR, words
from .microkernel import Filters, Taps, microkernel_panels, next_tile
from .parallel import Workers, parallel_for
from .row_buffer import RowBuffer
from .view import View, gather_row
from .window import Window


@fieldwise_init
struct Phase(Copyable, ImplicitlyCopyable, Movable):
    """The inputs, in one direction, of the outputs of one phase."""

    var first: Int
    """From the output's own input to the first one."""
    var taps: Int

    def __init__(out self, phase: Int, kernel: Int, stride: Int, padding: Int):
        """Output stride * j + phase is tap (phase + padding) % stride of input j + (phase + padding) // stride, the
        tap `stride` further on of the input before, and so on."""
        var shift, tap = divmod(phase + padding, stride)
        self.taps = ceildiv(kernel - tap, stride)
        self.first = shift - self.taps + 1


def reach(kernel: Int, stride: Int, padding: Int) -> Tuple[Int, Int]:
    """The first and the last input of all phases, from the output's own one."""
    var first = 0
    var last = 0
    for phase in range(stride):
        var inputs = Phase(phase, kernel, stride, padding)
        first = min(first, inputs.first)
        last = max(last, inputs.first + inputs.taps - 1)
    return first, last


def convolve[
    T: DType
](view: View[T], window: Window, filters: Filters, output: Output[T], workers: Workers):
    """Convolves a view.

    Filters are packed phase after phase, row-major, each as for the direct convolution.
    """

    def some_rows(first: Int, last: Int) {imm}:
        rowwise(view, window, first, last, filters, output)

    parallel_for(some_rows, view.batch * view.height, 2, workers)


@no_inline
def rowwise[
    T: DType
](view: View[T], window: Window, first: Int, last: Int, filters: Filters, output: Output[T]):
    """What the input rows first .. last of the batch become."""
    comptime STEP = words[T](BLOCK)
    var above, below = reach(window.height, window.stride_y, window.top)
    var before, behind = reach(window.width, window.stride_x, window.left)
    var blocks = view.blocks()
    var width = view.width
    # An odd number of pixels keeps planes from falling on the same cache sets.
    var plane_stride = ((width + MR + behind - before) | 1) * BLOCK
    var buffer = RowBuffer[T](below - above + 1, blocks * plane_stride)
    for row in range(first, last):
        var image, j = divmod(row, view.height)
        for y in range(buffer.advance(image, j + above), j + below + 1):
            if y < 0 or y >= view.height:
                buffer.clear(y)
            else:
                gather_row(view, image, y, 0, 1, buffer.row(y).unsafe_offset(-before * BLOCK), plane_stride)
        var own = filters
        for a in range(window.stride_y):
            var rows = Phase(a, window.height, window.stride_y, window.top)
            for b in range(window.stride_x):
                var columns = Phase(b, window.width, window.stride_x, window.left)
                var taps = Taps(rows.taps * blocks * columns.taps, STEP)
                var t = 0
                for y in range(rows.first, rows.first + rows.taps):
                    for block in range(blocks):
                        for x in range(columns.first, columns.first + columns.taps):
                            var plane = buffer.slot(j + y) + block * plane_stride
                            taps.begin(t, words[T](plane + (x - before) * BLOCK))
                            t += 1
                var pixel = (row * window.stride_y + a) * width * window.stride_x + b
                var outputs = output.every(window.stride_x, pixel)
                var x = 0
                while x < width:
                    var m = next_tile(width - x)
                    var pixels = buffer.rows.data.unsafe_offset(x * BLOCK).unsafe_bitcast[Float32]()
                    microkernel_panels[T, STEP](m, pixels, taps, own, outputs, x)
                    x += m
                own.panels = own.panels.unsafe_offset(taps.count * STEP * own.padded())
