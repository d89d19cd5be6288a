"""Convolutions that transform squares of the map, multiply point by point, and transform back.

Winograd's algorithms (Lavin & Gray 2015, arXiv:1509.09308) compute a square of 4 x 4 outputs as

    Y = A' [ (G g G') * (B' d B) ] A

from a patch d of the input. The product is one for each place, each *point*, of the transformed patch; summed
over the input channels it is, for each point, a matrix product of squares x input channels with input channels
x output channels, and that is where nearly all the time goes. G g G' is done when weights are packed.

    strip of squares --forward--> V [point][plane][square][16]
                                    | for each point a 1x1 convolution: `multiply`
    output <--inverse, SiLU, ... -- M [point][square][panel]

A thread takes its share of the batch's squares a strip at a time, so that V and M stay in the cache. What is
particular to one algorithm is a `Transform`: see transform.mojo, winograd.mojo and polyphase.mojo.
"""

from std.math import ceildiv

from .grid import Chosen, Grid, Marks, SIDE, Square
from .lanes import AVX512, BLOCK, F32, Ptr, Scratch, TILE_PIXELS, V, Words, fetch, fetch_to_write, line, silu
from .parallel import Crew, deal_out
from .microkernel import Filters, Output, PANEL, TILE_SIZES, accumulate, tile_size
from .transform import L, LANES, Transform, forward, inverse
from .view import View, gather_square

comptime STRIP = TILE_PIXELS
"""Squares of a strip: one tile, or two where those are all."""
comptime WRITTEN_AHEAD = 2
"""Squares between the one whose outputs are stored and the one whose places are fetched."""


def convolve[
    Algorithm: Transform, T: DType
](view: View[T], filters: Filters, output: Output[T], marks: Marks[T], crew: Crew):
    """Convolves a view, where its outputs are marked; others are left as they are.

    Filters are packed panel after panel, point after point, as rows of input channels, which are filled up to
    whole blocks. The arithmetic is float32 whatever the activations are.

    Threads share the squares as long as each has enough of them to use a filter well; beyond that they share the
    panels, since to transform a square twice costs less than to read the filters twice.
    """
    var grid = Grid(Algorithm.WINDOW.outputs(view.height), Algorithm.WINDOW.outputs(view.width))
    var chosen = Chosen(grid, view.batch, marks)
    var squares = chosen.count
    if squares == 0:
        return
    var panels = ceildiv(filters.channels, PANEL)
    var columns = min(ceildiv(crew.threads, max(1, squares // (2 * STRIP))), panels)
    if columns == 1:

        def some_squares(first: Int, last: Int) {imm}:
            strips[Algorithm](view, grid, chosen, first, last, 0, filters.channels, filters, output)

        deal_out(some_squares, squares, 2 * STRIP, crew)
        return
    var parts = min(ceildiv(crew.threads, columns), squares)

    def some_columns(first: Int, last: Int) {imm}:
        for share in range(first, last):
            var part, column = divmod(share, columns)
            strips[Algorithm](
                view, grid, chosen, squares * part // parts, squares * (part + 1) // parts,
                panels * column // columns * PANEL,
                min(filters.channels, panels * (column + 1) // columns * PANEL), filters, output,
            )

    deal_out(some_columns, parts * columns, 1, crew)


@no_inline
def strips[
    Algorithm: Transform, T: DType
](
    view: View[T], grid: Grid, chosen: Chosen, first: Int, last: Int, first_channel: Int, last_channel: Int,
    filters: Filters, output: Output[T],
):
    """The squares first .. last of those chosen, strip by strip; of the panels that begin in these channels."""
    comptime PATCH = Algorithm.PATCH
    comptime POINTS = PATCH * PATCH
    var blocks = view.blocks()
    var channels = blocks * BLOCK
    var count = 1 if last - first <= 2 * STRIP else ceildiv(last - first, STRIP)
    var longest = ceildiv(last - first, count)
    var tiles = ceildiv(longest, TILE_PIXELS)
    var room = tiles * tile_size(ceildiv(longest, tiles))
    # An odd number of blocks from point to point spreads them over the sets of the cache.
    var apart = (blocks * room | 1) * BLOCK
    var products_apart = (2 * room | 1) * BLOCK
    var transformed = Scratch[F32](POINTS * apart)
    var products = Scratch[F32](POINTS * products_apart)
    var gathered = Scratch[T](PATCH * PATCH * channels)
    gathered.clear()
    # Squares that only fill up the tiles; not everything, which would take as long as a transform.
    for point in range(POINTS):
        for block in range(blocks):
            for i in range(longest - 1, room):
                transformed.data.unsafe_store(point * apart + (block * room + i) * BLOCK, V(0))
    var squares = List[Square](capacity=longest)
    for strip in range(count):
        var begin = first + (last - first) * strip // count
        var size = first + (last - first) * (strip + 1) // count - begin
        squares.clear()
        for i in range(size):
            squares.append(grid.square(chosen.number(begin + i)))
            forward_square[Algorithm](
                view, squares[i], gathered.data, transformed.data.unsafe_offset(i * BLOCK), room * BLOCK, apart
            )
        for channel in range(first_channel, last_channel, PANEL):
            var left = filters.channels - channel
            var width = PANEL if left > BLOCK else BLOCK
            var panel = filters.panels.unsafe_offset(channel * Algorithm.FILTERS * channels)
            if width == PANEL:
                multiply[Algorithm, 2](
                    size, transformed.data, apart, blocks, room * BLOCK, panel, products.data, products_apart
                )
            else:
                multiply[Algorithm, 1](
                    size, transformed.data, apart, blocks, room * BLOCK, panel, products.data, products_apart
                )
            for i in range(size):
                if i + WRITTEN_AHEAD < size:
                    fetch_outputs(grid, squares[i + WRITTEN_AHEAD], output, channel, width)
                for lane in range(0, min(width, left), LANES):
                    inverse_square[Algorithm](
                        grid, squares[i], products.data.unsafe_offset(i * width + lane), products_apart,
                        filters.begin.unsafe_offset(channel + lane), output, channel + lane,
                        min(LANES, left - lane),
                    )


@no_inline
def multiply[
    Algorithm: Transform, N: Int
](
    size: Int, points: Words, apart: Int, planes: Int, plane_size: Int, panel: Words, products: Words,
    products_apart: Int,
):
    """For each point, its squares by its filters: [size, channels] x [channels, N blocks].

    Args:
        size: Squares; some more may be read, and their products stored.
        points: The transformed squares: for each point, in planes.
        apart: Words from one point to the next.
        planes: Blocks of channels.
        plane_size: Words from one plane to the next.
        panel: The panel of filters.
        products: The result: for each point, square by square.
        products_apart: Words from one point to the next.
    """
    var tiles = ceildiv(size, TILE_PIXELS)
    var m = ceildiv(size, tiles)

    @always_inline
    def run[M: Int]() {imm}:
        comptime BLOCKS = N if AVX512 else 1
        var filter_size = planes * BLOCK * N * BLOCK
        # Points outside, so that a point's filters are still in the first cache for the second tile.
        for point in range(Algorithm.PATCH * Algorithm.PATCH):
            var filter = panel.unsafe_offset(Algorithm.filter(point) * filter_size)
            for tile in range(tiles):
                comptime for j in range(0, N, BLOCKS):
                    var sums = Array[V, M * BLOCKS](fill=V(0))
                    var x = points.unsafe_offset(point * apart + tile * M * BLOCK)
                    var w = filter.unsafe_offset(j * BLOCK)
                    for _ in range(planes):
                        accumulate[F32, M, BLOCKS, N * BLOCK, BLOCK](sums, x, w, BLOCK)
                        x = x.unsafe_offset(plane_size)
                        w = w.unsafe_offset(BLOCK * N * BLOCK)
                    var y = products.unsafe_offset(point * products_apart + (tile * M * N + j) * BLOCK)
                    comptime for i in range(M):
                        comptime for b in range(BLOCKS):
                            y.unsafe_store((i * N + b) * BLOCK, sums[i * BLOCKS + b])

    comptime for i in range(len(TILE_SIZES)):
        comptime size = TILE_SIZES[i]
        if m <= size:
            run[size]()
            return


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
        fetch_next[Algorithm](patch, column, row, view.channels)
    else:
        gather_square(view, square.image, top, left, PATCH, gathered)
        patch = gathered
        column = view.blocks() * BLOCK
        row = PATCH * column
    for block in range(view.blocks()):
        comptime for lane in range(0, BLOCK, LANES):
            forward[Algorithm](
                patch.unsafe_offset(block * BLOCK + lane), column, row,
                points.unsafe_offset(block * planes_apart + lane), apart,
            )


@always_inline
def fetch_next[
    Algorithm: Transform, T: DType
](patch: Ptr[T], column: Int, row: Int, channels: Int):
    """Fetches what the patch of the next square to the right does not share with this one."""
    comptime PATCH = Algorithm.PATCH
    for y in range(PATCH):
        for x in range(PATCH, PATCH + SIDE * Algorithm.WINDOW.stride):
            for i in range(0, channels, line[T]()):
                fetch(patch.unsafe_offset(y * row + x * column + i))


@always_inline
def fetch_outputs[T: DType](grid: Grid, square: Square, output: Output[T], channel: Int, channels: Int):
    """Fetches the places of a square's outputs: four short rows, far from each other and from the last square's."""
    var pixel = grid.pixel(square)
    for y in range(min(SIDE, grid.height - square.y)):
        for x in range(SIDE):
            for i in range(0, channels, line[T]()):
                fetch_to_write(output.at(pixel + y * grid.width + x, channel + i).data)


@no_inline
def inverse_square[
    Algorithm: Transform, T: DType
](
    grid: Grid, square: Square, products: Words, apart: Int, bias: Words, output: Output[T], channel: Int,
    channels: Int,
):
    """Transforms up to LANES channels of a square back, and stores the outputs that are on the map."""
    # In memory, so that what follows is a loop and not sixteen times the same code.
    var square_outputs = Array[L, SIDE * SIDE](uninitialized=True)
    var outputs = Words(unsafe_from_address=Int(Pointer(to=square_outputs)))
    inverse[Algorithm](products, apart, bias.unsafe_load[width=LANES](0), outputs)
    var pixel = grid.pixel(square)
    for y in range(min(SIDE, grid.height - square.y)):
        var row = output.at(pixel + y * grid.width, channel)
        for x in range(min(SIDE, grid.width - square.x)):
            var v = outputs.unsafe_load[width=LANES]((y * SIDE + x) * LANES)
            if output.activate:
                v = silu[T](v)
            if channels == LANES:
                row.put(x, v)
            else:
                row.put_some(x, v, channels)
    _ = square_outputs^
