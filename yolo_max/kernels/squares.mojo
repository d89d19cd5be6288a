"""Convolutions that transform squares of the map, multiply point by point, and transform back.

Winograd's algorithms (Lavin & Gray 2015, arXiv:1509.09308) compute a square of 4 x 4 outputs as

    Y = A' [ (G g G') * (B' d B) ] A

from a patch d of the input, `patch` pixels a side. The product is one for each of `points` places of the
transformed patch; summed over the input channels it is, for each place, a matrix product of squares x input
channels with input channels x output channels, and that is where nearly all the time goes. G g G' is done
when weights are packed.

    strip of squares --forward--> V [point][plane][square][16]
                                    | for each point a 1x1 convolution: `tile`, as in direct.mojo
    output <--inverse, SiLU, ... -- M [point][square][panel]

A task takes its share of the batch's squares a strip at a time, so that V and M stay in the cache. What is
particular to one algorithm is a `Transform`: see winograd.mojo and polyphase.mojo.
"""

from std.math import ceildiv
from max.algorithm import sync_parallelize

from .direct import Window
from .lanes import AVX512, BLOCK, F32, Ptr, Scratch, TILE_PIXELS, V, Words, silu
from .tile import Filters, Output, PANEL, Taps, tile
from .view import View, gather_square

comptime SIDE = 4
"""Outputs of a square, in each direction."""
comptime LANES = BLOCK if AVX512 else 8
"""Channels transformed at a time: a transform holds up to 28 vectors, which twice as many registers fit."""
comptime L = SIMD[F32, LANES]
comptime STRIP = 14
"""Squares of a strip: two tiles of fourteen."""


trait Transform:
    """One algorithm: the sizes of its patches, and its transforms."""

    comptime WINDOW: Window
    comptime PATCH: Int
    """Input pixels of a patch, in each direction; patches of neighbouring squares overlap."""
    comptime POINTS: Int
    """Products of a square for each pair of channels."""
    comptime FILTERS: Int
    """Transformed filters for each pair of channels; several points may share one."""

    @staticmethod
    def filter(point: Int) -> Int:
        """Which transformed filter the point is multiplied with."""
        ...

    @staticmethod
    def forward[T: DType](patch: Ptr[T], column: Int, row: Int, points: Words, apart: Int):
        """Transforms LANES channels of a patch.

        Args:
            patch: Its first pixel.
            column: Elements from one pixel to the next.
            row: Elements from one row to the next.
            points: The first point of the result.
            apart: Words from one point to the next.
        """
        ...

    @staticmethod
    def inverse(products: Words, apart: Int, bias: L) -> Array[L, SIDE * SIDE]:
        """Transforms LANES channels of products back to a square of outputs, and adds the bias.

        Args:
            products: The first point.
            apart: Words from one point to the next.
            bias: Of these channels.
        """
        ...


@fieldwise_init
struct Square(Copyable, ImplicitlyCopyable, Movable):
    """The place of 4 x 4 outputs: image, first row, first column."""

    var image: Int
    var y: Int
    var x: Int


@fieldwise_init
struct Grid(Copyable, ImplicitlyCopyable, Movable):
    """The squares of a batch of output maps, numbered row by row; the last of a row may stick out."""

    var height: Int
    """Of the output map, as the width."""
    var width: Int

    @always_inline
    def across(self) -> Int:
        return ceildiv(self.width, SIDE)

    @always_inline
    def down(self) -> Int:
        return ceildiv(self.height, SIDE)

    @always_inline
    def square(self, number: Int) -> Square:
        """Where a square is; several divisions, so a strip asks once for each of its own."""
        var per_image = self.across() * self.down()
        var rest = number % per_image
        return Square(number // per_image, rest // self.across() * SIDE, rest % self.across() * SIDE)


def convolve[
    Algorithm: Transform, T: DType
](view: View[T], filters: Filters, output: Output[T], workers: Int):
    """Convolves a view, on at most `workers` threads.

    Filters are packed panel after panel, point after point, as rows of input channels, which are filled up to
    whole blocks. The arithmetic is float32 whatever the activations are.
    """
    var grid = Grid(Algorithm.WINDOW.outputs(view.height), Algorithm.WINDOW.outputs(view.width))
    var squares = view.batch * grid.across() * grid.down()
    var tasks = min(workers, squares)

    def task(task: Int) {imm}:
        strips[Algorithm](
            view, grid, squares * task // tasks, squares * (task + 1) // tasks, filters, output
        )

    sync_parallelize(task, tasks)


@no_inline
def strips[
    Algorithm: Transform, T: DType
](view: View[T], grid: Grid, first: Int, last: Int, filters: Filters, output: Output[T]):
    """The squares first .. last of the batch, strip by strip."""
    comptime POINTS = Algorithm.POINTS
    comptime PATCH = Algorithm.PATCH
    var blocks = view.blocks()
    var channels = blocks * BLOCK
    var count = ceildiv(last - first, STRIP)
    var longest = ceildiv(last - first, count)
    # An odd number of blocks from point to point spreads them over the sets of the cache.
    var apart = (blocks * longest | 1) * BLOCK
    var products_apart = (2 * longest | 1) * BLOCK
    var transformed = Scratch[F32](POINTS * apart + TILE_PIXELS * BLOCK)
    var products = Scratch[F32](POINTS * products_apart)
    var gathered = Scratch[T](PATCH * PATCH * channels)
    var no_bias = Scratch[F32](PANEL)
    var taps = Taps(blocks, BLOCK)
    for i in range(blocks):
        taps.begin(i, i * longest * BLOCK)
    var squares = List[Square](capacity=longest)
    for strip in range(count):
        var begin = first + (last - first) * strip // count
        var size = first + (last - first) * (strip + 1) // count - begin
        squares.clear()
        for i in range(size):
            squares.append(grid.square(begin + i))
            forward_square[Algorithm](
                view, squares[i], gathered.data, transformed.data.unsafe_offset(i * BLOCK),
                longest * BLOCK, apart,
            )
        for channel in range(0, filters.channels, PANEL):
            var left = filters.channels - channel
            var width = PANEL if left > BLOCK else BLOCK
            var raw = Output[F32](products.data, width, products.data, 0, False, False, False)
            var panel = filters.panels.unsafe_offset(channel * Algorithm.FILTERS * channels)
            var tiles = ceildiv(size, TILE_PIXELS)
            # Points outside, so that a point's panel is still in the first cache for the second tile.
            for point in range(POINTS):
                var x = transformed.data.unsafe_offset(point * apart)
                var w = panel.unsafe_offset(Algorithm.filter(point) * channels * width)
                raw.data = products.data.unsafe_offset(point * products_apart)
                for i in range(tiles):
                    var s = size * i // tiles
                    var m = size * (i + 1) // tiles - s
                    if width == PANEL:
                        tile[F32, 2, BLOCK](
                            m, x.unsafe_offset(s * BLOCK), taps, w, no_bias.data, raw, s, 0, PANEL
                        )
                    else:
                        tile[F32, 1, BLOCK](
                            m, x.unsafe_offset(s * BLOCK), taps, w, no_bias.data, raw, s, 0, BLOCK
                        )
            for i in range(size):
                for lane in range(0, min(width, left), LANES):
                    inverse_square[Algorithm](
                        grid, squares[i], products.data.unsafe_offset(i * width + lane), products_apart,
                        filters.bias.unsafe_offset(channel + lane), output, channel + lane,
                        min(LANES, left - lane),
                    )


@no_inline
def forward_square[
    Algorithm: Transform, T: DType
](
    view: View[T], square: Square, gathered: Ptr[T], points: Words, planes_apart: Int, apart: Int
):
    """Transforms all channels of a square's patch, read in place where that can be."""
    comptime PATCH = Algorithm.PATCH
    var top = square.y * Algorithm.WINDOW.stride - 1
    var left = square.x * Algorithm.WINDOW.stride - 1
    var patch: Ptr[T]
    var column: Int
    var row: Int
    var inside = top >= 0 and left >= 0 and top + PATCH <= view.height and left + PATCH <= view.width
    if inside and view.is_plain():
        patch = view.slices[0].pixel(square.image, top, left)
        column = view.slices[0].stride
        row = view.width * column
    else:
        gather_square(view, square.image, top, left, PATCH, gathered)
        patch = gathered
        column = view.blocks() * BLOCK
        row = PATCH * column
    for block in range(view.blocks()):
        comptime for lane in range(0, BLOCK, LANES):
            Algorithm.forward(
                patch.unsafe_offset(block * BLOCK + lane), column, row,
                points.unsafe_offset(block * planes_apart + lane), apart,
            )


@no_inline
def inverse_square[
    Algorithm: Transform, T: DType
](
    grid: Grid, square: Square, products: Words, apart: Int, bias: Words, output: Output[T], channel: Int,
    channels: Int,
):
    """Transforms up to LANES channels of a square back, and stores the outputs that are on the map."""
    var outputs = Algorithm.inverse(products, apart, bias.unsafe_load[width=LANES](0))
    if output.activate:
        comptime for i in range(SIDE * SIDE):
            outputs[i] = silu[T](outputs[i])
    var pixel = (square.image * grid.height + square.y) * grid.width + square.x
    var down = grid.height - square.y
    var across = grid.width - square.x
    if down >= SIDE and across >= SIDE and channels == LANES:
        comptime for i in range(SIDE * SIDE):
            output.put(pixel + i // SIDE * grid.width + i % SIDE, channel, outputs[i])
    else:
        # Not a loop at run time, which would have the outputs in memory from the start.
        comptime for i in range(SIDE * SIDE):
            if i // SIDE < down and i % SIDE < across:
                output.put_some(pixel + i // SIDE * grid.width + i % SIDE, channel, outputs[i], channels)
