"""Convolutions that transform tiles of the map, multiply point by point, and transform back.

Winograd's algorithms (Lavin & Gray 2015, arXiv:1509.09308) compute a tile of 4 x 4 outputs as

    Y = A' [ (G g G') * (B' d B) ] A

from a patch d of the input. The product is one for each place, each *point*, of the transformed patch; summed
over the input channels it is, for each point, a matrix product of tiles x input channels with input channels
x output channels, and that is where nearly all the time goes. G g G' is done when weights are packed.

    strip of tiles --forward--> V [point][plane][tile][16]
                                    | for each point a 1x1 convolution: `multiply`
    output <--inverse, epilogue-- M [point][tile][panel]

A thread takes its chunk of the batch's tiles one strip at a time, so that V and M stay in the cache. What is
particular to one algorithm is a `Transform`: see transform.mojo, winograd.mojo and polyphase.mojo.
"""

from std.math import ceildiv

from .epilogue import Output, finish
from .grid import ActiveTiles, Grid, Mask, SIDE, Tile
from .lanes import AVX512, BLOCK, F32, MR, Ptr, Scratch, V, Words, line, prefetch, prefetch_to_write
from .microkernel import Filters, MR_SIZES, PANEL, accumulate, mr_size
from .parallel import Workers, parallel_for
from .transform import L, LANES, Transform, forward, inverse
from .view import View, gather_patch
from .window import Window

comptime STRIP = MR
"""Tiles of a strip: those of one call of the microkernel, or of two where that is all there is."""
comptime SUMMED_PLANES = 2
"""Planes whose products are summed up before they are added to others: transforms magnify what a long sum rounds."""
comptime WRITTEN_AHEAD = 2
"""Tiles between the one whose outputs are stored and the one whose outputs are prefetched."""


def convolve[
    Algorithm: Transform, T: DType
](view: View[T], window: Window, filters: Filters, output: Output[T], mask: Mask[T], workers: Workers):
    """Convolves a view where the mask says so; other outputs are left as they are.

    Filters are packed panel after panel, point after point, as rows of input channels, which are padded to
    whole blocks. The arithmetic is float32 whatever the activations are. Of the window only the padding is free.

    Threads share the tiles as long as each has enough of them to use a filter well; beyond that they share the
    panels, since to transform a tile twice costs less than to read the filters twice.
    """
    var grid = Grid(window.rows(view.height), window.columns(view.width))
    var active = ActiveTiles(grid, view.batch, mask)
    var tiles = active.count
    if tiles == 0:
        return
    var panels = ceildiv(filters.channels, PANEL)
    var columns = min(ceildiv(workers.threads, max(1, tiles // (2 * STRIP))), panels)
    if columns == 1:

        def some_tiles(first: Int, last: Int) {imm}:
            strips[Algorithm](view, window, grid, active, first, last, 0, filters.channels, filters, output)

        parallel_for(some_tiles, tiles, 2 * STRIP, workers)
        return
    var parts = min(ceildiv(workers.threads, columns), tiles)

    def some_columns(first: Int, last: Int) {imm}:
        for chunk in range(first, last):
            var part, column = divmod(chunk, columns)
            strips[Algorithm](
                view, window, grid, active, tiles * part // parts, tiles * (part + 1) // parts,
                panels * column // columns * PANEL,
                min(filters.channels, panels * (column + 1) // columns * PANEL), filters, output,
            )

    parallel_for(some_columns, parts * columns, 1, workers)


@no_inline
def strips[
    Algorithm: Transform, T: DType
](
    view: View[T], window: Window, grid: Grid, active: ActiveTiles, first: Int, last: Int, first_channel: Int,
    last_channel: Int, filters: Filters, output: Output[T],
):
    """The tiles first .. last of the active ones, strip by strip; of the panels that begin in these channels."""
    comptime PATCH = Algorithm.PATCH
    comptime POINTS = PATCH * PATCH
    var blocks = view.blocks()
    var channels = blocks * BLOCK
    var count = 1 if last - first <= 2 * STRIP else ceildiv(last - first, STRIP)
    var longest = ceildiv(last - first, count)
    var calls = ceildiv(longest, MR)
    var room = calls * mr_size(ceildiv(longest, calls))
    # An odd number of blocks from point to point spreads them over the sets of the cache.
    var point_stride = (blocks * room | 1) * BLOCK
    var product_stride = (2 * room | 1) * BLOCK
    var transformed = Scratch[F32](POINTS * point_stride)
    var products = Scratch[F32](POINTS * product_stride)
    var gathered = Scratch[T](PATCH * PATCH * channels)
    gathered.clear()
    var outputs = Scratch[F32](SIDE * SIDE * LANES)
    # Tiles that only fill up a call of the microkernel; not everything, which would take as long as a transform.
    for point in range(POINTS):
        for block in range(blocks):
            for i in range(longest - 1, room):
                transformed.data.unsafe_store(point * point_stride + (block * room + i) * BLOCK, V(0))
    var tiles = List[Tile](capacity=longest)
    for strip in range(count):
        var begin = first + (last - first) * strip // count
        var size = first + (last - first) * (strip + 1) // count - begin
        tiles.clear()
        for i in range(size):
            tiles.append(grid.tile(active.number(begin + i)))
            forward_tile[Algorithm](
                view, tiles[i].y * window.stride_y - window.top, tiles[i].x * window.stride_x - window.left,
                tiles[i].image, gathered.data, transformed.data.unsafe_offset(i * BLOCK), room * BLOCK, point_stride,
            )
        for channel in range(first_channel, last_channel, PANEL):
            var left = filters.channels - channel
            var width = PANEL if left > BLOCK else BLOCK
            var panel = filters.panels.unsafe_offset(channel * Algorithm.FILTERS * channels)
            if width == PANEL:
                multiply[Algorithm, 2](
                    size, transformed.data, point_stride, blocks, room * BLOCK, panel, products.data, product_stride
                )
            else:
                multiply[Algorithm, 1](
                    size, transformed.data, point_stride, blocks, room * BLOCK, panel, products.data, product_stride
                )
            for i in range(size):
                if i + WRITTEN_AHEAD < size:
                    prefetch_outputs(grid, tiles[i + WRITTEN_AHEAD], output, channel, width)
                for lane in range(0, min(width, left), LANES):
                    inverse_tile[Algorithm](
                        grid, tiles[i], products.data.unsafe_offset(i * width + lane), product_stride,
                        filters.addends.unsafe_offset(channel + lane), outputs.data, output, channel + lane,
                        min(LANES, left - lane),
                    )


@no_inline
def multiply[
    Algorithm: Transform, N: Int
](
    size: Int, points: Words, point_stride: Int, planes: Int, plane_size: Int, panel: Words, products: Words,
    product_stride: Int,
):
    """For each point, its tiles by its filters: [size, channels] x [channels, N blocks].

    Args:
        size: Tiles; some more may be read, and their products stored.
        points: The transformed tiles: for each point, in planes.
        point_stride: Words from one point to the next.
        planes: Blocks of channels.
        plane_size: Words from one plane to the next.
        panel: The panel of filters.
        products: The result: for each point, tile by tile.
        product_stride: Words from one point to the next.
    """
    var calls = ceildiv(size, MR)
    var m = ceildiv(size, calls)

    @always_inline
    def run[M: Int]() {imm}:
        comptime BLOCKS = N if AVX512 else 1
        var filter_size = planes * BLOCK * N * BLOCK
        # Points outside, so that a point's filters are still in the first cache for the second call.
        for point in range(Algorithm.PATCH * Algorithm.PATCH):
            var filter = panel.unsafe_offset(Algorithm.filter(point) * filter_size)
            for call in range(calls):
                comptime for j in range(0, N, BLOCKS):
                    var x = points.unsafe_offset(point * point_stride + call * M * BLOCK)
                    var w = filter.unsafe_offset(j * BLOCK)
                    var y = products.unsafe_offset(point * product_stride + (call * M * N + j) * BLOCK)
                    for first in range(0, planes, SUMMED_PLANES):
                        var sums = Array[V, M * BLOCKS](fill=V(0))
                        for _ in range(min(SUMMED_PLANES, planes - first)):
                            accumulate[F32, M, BLOCKS, N * BLOCK, BLOCK](sums, x, w, BLOCK)
                            x = x.unsafe_offset(plane_size)
                            w = w.unsafe_offset(BLOCK * N * BLOCK)
                        comptime for i in range(M):
                            comptime for b in range(BLOCKS):
                                var at = (i * N + b) * BLOCK
                                var sum = sums[i * BLOCKS + b]
                                # Volatile, or else LLVM would keep these sums on the stack as well.
                                if first > 0:
                                    sum += y.unsafe_load[width=BLOCK, volatile=True](at)
                                y.unsafe_store[volatile=True](at, sum)

    comptime for i in range(len(MR_SIZES)):
        comptime size = MR_SIZES[i]
        if m <= size:
            run[size]()
            return


@no_inline
def forward_tile[
    Algorithm: Transform, T: DType
](
    view: View[T], top: Int, left: Int, image: Int, gathered: Ptr[T], points: Words, plane_stride: Int,
    point_stride: Int,
):
    """Transforms all channels of the patch that begins at (top, left), read in place where that can be."""
    comptime PATCH = Algorithm.PATCH
    var patch: Ptr[T]
    var column: Int
    var row: Int
    var inside = top >= 0 and left >= 0 and top + PATCH <= view.height and left + PATCH <= view.width
    if inside and view.is_plain():
        patch = view.slices[0].pixel(image, top, left)
        column = view.slices[0].stride
        row = view.width * column
        prefetch_next[Algorithm](patch, column, row, view.channels)
    else:
        gather_patch(view, image, top, left, PATCH, gathered)
        patch = gathered
        column = view.blocks() * BLOCK
        row = PATCH * column
    for block in range(view.blocks()):
        comptime for lane in range(0, BLOCK, LANES):
            forward[Algorithm](
                patch.unsafe_offset(block * BLOCK + lane), column, row,
                points.unsafe_offset(block * plane_stride + lane), point_stride,
            )


@always_inline
def prefetch_next[
    Algorithm: Transform, T: DType
](patch: Ptr[T], column: Int, row: Int, channels: Int):
    """Prefetches what the patch of the next tile to the right does not share with this one."""
    comptime PATCH = Algorithm.PATCH
    for y in range(PATCH):
        for x in range(PATCH, PATCH + SIDE * Algorithm.STRIDE):
            for i in range(0, channels, line[T]()):
                prefetch(patch.unsafe_offset(y * row + x * column + i))


@always_inline
def prefetch_outputs[T: DType](grid: Grid, tile: Tile, output: Output[T], channel: Int, channels: Int):
    """Prefetches where a tile's outputs go: four short rows, far from each other and from the last tile's."""
    var pixel = grid.pixel(tile)
    for y in range(min(SIDE, grid.height - tile.y)):
        for x in range(SIDE):
            for i in range(0, channels, line[T]()):
                prefetch_to_write(output.at(pixel + y * grid.width + x, channel + i))


@no_inline
def inverse_tile[
    Algorithm: Transform, T: DType
](
    grid: Grid, tile: Tile, products: Words, point_stride: Int, bias: Words, outputs: Words, output: Output[T],
    channel: Int, channels: Int,
):
    """Transforms up to LANES channels of a tile back, by way of `outputs`, and stores those that are on the map."""
    # In memory, so that what follows is a loop and not sixteen times the same code.
    inverse[Algorithm](products, point_stride, bias.unsafe_load[width=LANES](0), outputs)
    var pixel = grid.pixel(tile)
    var height = min(SIDE, grid.height - tile.y)
    var width = min(SIDE, grid.width - tile.x)
    for y in range(height):
        var row = outputs.unsafe_offset(y * SIDE * LANES)
        finish[LANES](row, LANES, width, output, pixel + y * grid.width, channel, channels)
