"""Products of float32 matrices in blocks, around the microkernel.

    B in panels of 32 columns, all of their rows     A in tiles of MR rows, DEPTH columns at a time
    |   strip    |   strip    |                      | a[0][k..k + 256] |
    |panel|panel |panel|panel |                      |       ...        |
    |  :  |  :   |  :  |  :   |                      | a[13][k..k + 256]|

A tile stays in the first cache while it meets all panels of a *strip*, and the strip, of as many panels as the second
cache holds, stays there while it meets all tiles. If A has more than DEPTH columns, the sums of a tile and a strip are
kept between one part of the columns and the next.

Panels are those of a 1x1 convolution's weights (`packing.py`); `pack_panels` makes them of a matrix that is known at
run time only. Either matrix may lie transposed in memory.
"""

from std.math import ceildiv

from .epilogue import Output, epilogue
from .lanes import BLOCK, F32, MR, Scratch, V, Words, load, load_some, store
from .microkernel import PANEL, Taps, microkernel
from .parallel import Workers, parallel_for

comptime DEPTH = 256
"""Columns of A in a tile: with MR rows, 14 KB of the first cache."""
comptime STEP = DEPTH + BLOCK
"""Words from one row of a tile to the next: not a power of two, for the rows would share few sets of the cache."""
comptime STRIP = 1 << 18
"""Words of a strip, at most: 1 MB of the second cache."""
comptime TILES = 4
"""Tiles of A that are worth their own chunk of work."""
comptime WORTH = 1 << 20
"""Products that are worth starting a thread for, which takes as long as some hundred thousand."""
comptime WORTH_READING = 1 << 18
"""The same for numbers that are read once and used for a few products."""


@fieldwise_init
struct Matrix(Copyable, ImplicitlyCopyable, Movable):
    """Rows x columns of float32, or in memory the transposition of that."""

    var data: Words
    var rows: Int
    var columns: Int
    var stride: Int
    """Words from one row in memory to the next."""
    var transposed: Bool

    @always_inline
    def at(self, row: Int, column: Int) -> Words:
        """Where an element is."""
        if self.transposed:
            return self.data.unsafe_offset(column * self.stride + row)
        return self.data.unsafe_offset(row * self.stride + column)


def padded(columns: Int) -> Int:
    """Columns in whole blocks."""
    return ceildiv(columns, BLOCK) * BLOCK


@no_inline
def transpose_block(source: Words, stride: Int, rows: Int, columns: Int, factor: Float32, target: Words, step: Int):
    """Stores factor times the transposition of at most a block of rows of at most a block of columns.

    A row of the target is a whole block, with zeros behind `rows`.
    """
    var block = Array[V, BLOCK](fill=V(0))
    comptime for i in range(BLOCK):
        if i < rows:
            var row = source.unsafe_offset(i * stride)
            block[i] = factor * (load[F32, BLOCK](row, 0) if columns == BLOCK else load_some[F32, BLOCK](row, 0, columns))
    # Interleaving rows i and i + 8 rotates the bits of an element's index (row, column) by one; four times swap
    # row and column.
    comptime for _ in range(4):
        var before = block.copy()
        comptime for i in range(BLOCK // 2):
            var both = before[i].interleave(before[i + BLOCK // 2])
            block[2 * i] = both.slice[BLOCK]()
            block[2 * i + 1] = both.slice[BLOCK, offset=BLOCK]()
    comptime for j in range(BLOCK):
        if j < columns:
            store(target, j * step, block[j])


@no_inline
def pack_rows(a: Matrix, row: Int, m: Int, column: Int, depth: Int, factor: Float32, target: Words, step: Int):
    """Stores factor times `depth` columns of m rows, at most a block, with `step` words from one row to the next.

    Rows are stored in whole blocks, with zeros behind `depth`.
    """
    for k in range(0, depth, BLOCK):
        var count = min(BLOCK, depth - k)
        var source = a.at(row, column + k)
        if a.transposed:
            transpose_block(source, a.stride, count, m, factor, target.unsafe_offset(k), step)
            continue
        for i in range(m):
            var some = source.unsafe_offset(i * a.stride)
            var block = load[F32, BLOCK](some, 0) if count == BLOCK else load_some[F32, BLOCK](some, 0, count)
            store(target, i * step + k, factor * block)


@no_inline
def pack_panel(b: Matrix, column: Int, target: Words):
    """Packs up to a panel of columns, with zeros behind the last one."""
    var count = min(PANEL, b.columns - column)
    var width = padded(count)
    if b.transposed:
        for c in range(0, count, BLOCK):
            for k in range(0, b.rows, BLOCK):
                transpose_block(
                    b.at(k, column + c), b.stride, min(BLOCK, count - c), min(BLOCK, b.rows - k), 1,
                    target.unsafe_offset(k * width + c), width,
                )
        return
    for k in range(b.rows):
        var row = b.at(k, column)
        for c in range(0, count, BLOCK):
            var left = count - c
            var block = load[F32, BLOCK](row, c) if left >= BLOCK else load_some[F32, BLOCK](row, c, left)
            store(target, k * width + c, block)


def pack_panels(b: Matrix, target: Words, workers: Workers):
    """Packs all columns: `b.rows * padded(b.columns)` words."""

    def some_panels(first: Int, last: Int) {imm}:
        for panel in range(first, last):
            pack_panel(b, panel * PANEL, target.unsafe_offset(panel * PANEL * b.rows))

    parallel_for(some_panels, ceildiv(b.columns, PANEL), ceildiv(1 << 14, max(1, b.rows * PANEL)), workers)


def multiply(
    a: Matrix, factor: Float32, panels: Words, rows: Int, columns: Int, addends: Words, output: Output[F32], workers: Workers
):
    """The product of factor * `a` and packed panels, plus a row.

    Args:
        a: The first matrix.
        factor: Of its elements.
        panels: The second matrix, packed.
        rows: Of a panel, of which the first `a.columns` are used.
        columns: Of the second matrix.
        addends: The row that is added, in whole blocks.
        output: Where the product goes.
        workers: The threads.
    """
    var tiles = ceildiv(a.rows, MR)
    var groups = ceildiv(tiles, TILES)
    var strip = max(1, STRIP // max(1, rows * PANEL)) * PANEL
    if groups < 2 * workers.threads:
        strip = min(strip, ceildiv(columns, 2 * workers.threads * PANEL) * PANEL)
    strip = min(strip, padded(columns))
    var strips = ceildiv(columns, strip)

    def some_blocks(first: Int, last: Int) {imm}:
        var tile = Scratch[F32](MR * STEP)
        var partial = Scratch[F32](MR * strip)
        var taps = Taps(1, 0)
        taps.begin(0, 0)
        for block in range(first, last):
            var group = block % groups
            var column = block // groups * strip
            for t in range(tiles * group // groups, tiles * (group + 1) // groups):
                var row = a.rows * t // tiles
                multiply_tile(
                    a, row, a.rows * (t + 1) // tiles - row, factor, panels, rows, column,
                    min(column + strip, columns), addends, output, tile.data, partial.data, strip, taps,
                )

    parallel_for(some_blocks, groups * strips, 1, workers)


def multiply_tile(
    a: Matrix, row: Int, m: Int, factor: Float32, panels: Words, rows: Int, first: Int, last: Int, addends: Words,
    output: Output[F32], tile: Words, partial: Words, strip: Int, mut taps: Taps,
):
    """The product of m rows, at most MR, and the columns first .. last, at most a strip.

    `tile` and `partial` have room for the rows, and for the sums between one part of `a`'s columns and the next.
    """
    var between = Output[F32](partial, strip)
    # Even without columns there is a row to be stored.
    for k in range(0, max(1, a.columns), DEPTH):
        taps.run = min(DEPTH, a.columns - k)
        pack_rows(a, row, m, k, taps.run, factor, tile, STEP)
        if a.columns > DEPTH:
            for i in range(m):
                taps.addends.data[unsafe_offset=i] = Int64(i * strip if k > 0 else 0)
        var is_last = k + DEPTH >= a.columns
        for column in range(first, last, PANEL):
            var left = last - column
            var width = min(PANEL, padded(left))
            var panel = panels.unsafe_offset(column * rows + k * width)
            var sums = partial.unsafe_offset(column - first) if k > 0 else addends.unsafe_offset(column)
            var target = output if is_last else between
            var pixel = row if is_last else 0
            var channel = column if is_last else column - first
            var channels = left if is_last else width
            multiply_panel(m, tile, taps, panel, sums, target, pixel, channel, channels)


@always_inline
def multiply_panel(
    m: Int, rows: Words, taps: Taps, panel: Words, addends: Words, output: Output[F32], pixel: Int, channel: Int,
    channels: Int,
):
    """m rows of a tile by a panel of two blocks, or of one where no more channels are left."""
    if channels > BLOCK:
        microkernel[F32, 2, STEP](m, rows, taps, panel, addends)
        epilogue(taps.finished.data, PANEL, m, output, pixel, channel, min(PANEL, channels))
    else:
        microkernel[F32, 1, STEP](m, rows, taps, panel, addends)
        epilogue(taps.finished.data, BLOCK, m, output, pixel, channel, channels)
