"""The microkernel: a tile of a few pixels by a panel of output channels in registers.

    weights, one *panel* of 32 channels (the last may be 16), one row per word of input
                              | w[0][0..31]  |
                              | w[1][0..31]  |   32 channels = 2 blocks
    pixels in planes          |   ...        |
    p0: x[0] x[1] ... x[15]     sum[p0][0..31]
    p1: x[0] x[1] ... x[15]     sum[p1][0..31]     sum[p] += broadcast(x[p][k]) * w[k]
    ...                          ...
    p13                         sum[p13][0..31]

The words that a pixel is multiplied with need not lie together: `Taps` lists where each run of them begins,
relative to the pixel. For a 1x1 convolution the runs are the planes, for a 3x3 convolution the nine neighbours
in each plane. The transforming convolutions (tiles.mojo) use `accumulate`, the inner loop, alone.

The sums stay in registers for `SUMMED` runs. Then they are left in memory, which the first cache holds; the sums of
further runs are added there. At last come the *addends*, the biases or what was summed up elsewhere (direct.mojo):
sums that began with them would round every term to their size. `epilogue` is compiled once for all sizes of tile
(epilogue.mojo).

A panel is 32 channels wide for every processor, so that packed weights do not depend on it; where the tile is
one block wide, a panel is done as two halves.
"""

from std.math import ceildiv

from .epilogue import Output, epilogue
from .lanes import AVX512, BF16_PRODUCTS, BLOCK, F32, MR, Scratch, V, Words, multiply_add, prefetch

comptime PANEL = 2 * BLOCK
comptime AHEAD = 32
"""Rows of weights between the one in use and the one prefetched: those of a large layer come from main memory."""
comptime SUMMED = 8
"""Runs of words, mostly of 16 channels, that are summed up before they are added to others: a long sum rounds every
term to its own size. With fewer, the additions take time."""
comptime MR_SIZES = [4, 7, 10, 13, 14] if AVX512 else [2, 3, 4, 5, 6]
"""Pixels that the microkernel is compiled for; a number between two is done by the larger one."""


def mr_size(pixels: Int) -> Int:
    """The size that does this many pixels."""
    comptime for i in range(len(MR_SIZES)):
        comptime size = MR_SIZES[i]
        if pixels <= size:
            return size
    return MR


def next_tile(left: Int) -> Int:
    """Pixels of the next tile, where so many are left: all tiles about alike, and of sizes that are compiled."""
    return min(left, mr_size(ceildiv(left, ceildiv(left, MR))))


struct Taps(Movable):
    """The runs of words that make up the input of one output pixel, and what is added to its sums."""

    var offsets: Scratch[DType.int32]
    """Where each run begins, in words from the pixel's own address."""
    var count: Int
    var run: Int
    """Words in a run."""
    var addends: Scratch[DType.int64]
    """For each pixel of a tile, where its addends are, in words from `Filters.addends`: all at the biases."""
    var finished: Scratch[F32]
    """Room for the sums of a tile. It is no stack, since Mojo makes a tail call of one with a pointer into that."""

    def __init__(out self, count: Int, run: Int):
        self.offsets = Scratch[DType.int32](count)
        self.count = count
        self.run = run
        self.addends = Scratch[DType.int64](MR)
        self.addends.clear()
        self.finished = Scratch[F32](MR * PANEL)

    def begin(mut self, tap: Int, offset: Int):
        """Sets where a run begins."""
        self.offsets.data[unsafe_offset=tap] = Int32(offset)


struct Filters(Copyable, ImplicitlyCopyable, Movable):
    """Packed weights, panel after panel, and what is added to the sums."""

    var panels: Words
    var addends: Words
    """The biases, padded with zeros to whole blocks; or sums of other products (direct.mojo)."""
    var channels: Int
    """Output channels, without padding."""
    var before: Int
    """Rows of each panel that belong to words before those at hand."""
    var behind: Int
    """Likewise, behind them."""

    def __init__(out self, panels: Words, bias: Words, channels: Int):
        """Filters for all of their words."""
        self.panels = panels
        self.addends = bias
        self.channels = channels
        self.before = 0
        self.behind = 0

    def padded(self) -> Int:
        """Output channels in whole blocks: so many addends a pixel has."""
        return ceildiv(self.channels, BLOCK) * BLOCK


@always_inline
def accumulate[
    T: DType, M: Int, N: Int, ROW: Int, STEP: Int
](mut sums: Array[V, M * N], pixels: Words, weights: Words, count: Int):
    """Adds to M pixels x N blocks of sums what `count` words of every pixel give.

    Parameters:
        T: Type of the activations.
        M: Pixels.
        N: Blocks of output channels.
        ROW: Words from one row of weights to the next.
        STEP: Words from one pixel to the next.

    Args:
        sums: Pixel by pixel.
        pixels: The first of these words of the first pixel.
        weights: The row of the first of these words.
        count: Words; a multiple of eight for pairs of bfloat16, if STEP is.
    """
    # Unrolled only for pairs: the loop over single words makes LLVM spill sums if it is unrolled.
    comptime UNROLL = 1 if T == F32 or not BF16_PRODUCTS else (8 if STEP == 8 else 1)
    var x = pixels
    var w = weights
    for _ in range(count // UNROLL):
        comptime for u in range(UNROLL):
            var row = Array[V, N](fill=V(0))
            comptime for j in range(N):
                row[j] = w.unsafe_load[width=BLOCK](u * ROW + j * BLOCK)
                prefetch(w.unsafe_offset((u + AHEAD) * ROW + j * BLOCK))
            comptime for i in range(M):
                var word = x[unsafe_offset=i * STEP + u]
                comptime for j in range(N):
                    sums[i * N + j] = multiply_add[T](word, row[j], sums[i * N + j])
        x = x.unsafe_offset(UNROLL)
        w = w.unsafe_offset(UNROLL * ROW)


@always_inline
def accumulate_runs[
    T: DType, M: Int, N: Int, ROW: Int, STEP: Int
](mut sums: Array[V, M * N], pixels: Words, taps: Taps, first: Int, weights: Words):
    """Adds what up to SUMMED runs give, from the run `first` on; `weights` is the row of run 0."""
    var w = weights.unsafe_offset(first * taps.run * ROW)
    for t in range(first, min(first + SUMMED, taps.count)):
        var x = pixels.unsafe_offset(Int(taps.offsets.data[unsafe_offset=t]))
        accumulate[T, M, N, ROW, STEP](sums, x, w, taps.run)
        w = w.unsafe_offset(taps.run * ROW)


@no_inline
def microkernel[
    T: DType, N: Int, STEP: Int
](m: Int, pixels: Words, taps: Taps, panel: Words, addends: Words):
    """The sums of M pixels, at most MR, for one panel of N blocks.

    They are left in memory, so that what follows them is compiled once and not for every size of tile.

    Parameters:
        T: Type of the activations.
        N: Blocks of output channels.
        STEP: Words from one pixel to the next.

    Args:
        m: Pixels; some more may be read, and summed up.
        pixels: The first pixel.
        taps: Its words, and the room for the sums.
        panel: The panel.
        addends: What is added to the sums of its channels.
    """
    # What is kept in registers is indexed at compile time only, for it is kept in memory otherwise.
    var first = taps.finished.data

    @always_inline
    def run[M: Int]() {imm}:
        comptime BLOCKS = N if AVX512 else 1
        for j in range(0, N, BLOCKS):
            var w = panel.unsafe_offset(j * BLOCK)
            for t in range(0, max(1, taps.count), SUMMED):  # without taps, the sums are 0
                var sums = Array[V, M * BLOCKS](fill=V(0))
                accumulate_runs[T, M, BLOCKS, N * BLOCK, STEP](sums, pixels, taps, t, w)
                var is_last = t + SUMMED >= taps.count
                comptime for i in range(M):
                    var addend = addends.unsafe_offset(Int(taps.addends.data[unsafe_offset=i]) + j * BLOCK)
                    comptime for b in range(BLOCKS):
                        var at = (i * N + j + b) * BLOCK
                        var sum = sums[i * BLOCKS + b]
                        if t > 0:
                            sum += first.unsafe_load[width=BLOCK](at)
                        if is_last:
                            sum += addend.unsafe_load[width=BLOCK](b * BLOCK)
                        first.unsafe_store(at, sum)

    comptime for i in range(len(MR_SIZES)):
        comptime size = MR_SIZES[i]
        if m <= size:
            run[size]()
            return


def microkernel_panels[
    T: DType, STEP: Int
](m: Int, pixels: Words, taps: Taps, filters: Filters, output: Output[T], pixel: Int):
    """All output channels of m pixels, panel after panel."""
    var depth = filters.before + taps.count * taps.run + filters.behind
    for channel in range(0, filters.channels, PANEL):
        var panel = filters.panels.unsafe_offset(channel * depth)
        var addends = filters.addends.unsafe_offset(channel)
        var left = filters.channels - channel
        if left > BLOCK:
            microkernel[T, 2, STEP](m, pixels, taps, panel.unsafe_offset(filters.before * PANEL), addends)
            epilogue(taps.finished.data, PANEL, m, output, pixel, channel, min(PANEL, left))
        else:
            microkernel[T, 1, STEP](m, pixels, taps, panel.unsafe_offset(filters.before * BLOCK), addends)
            epilogue(taps.finished.data, BLOCK, m, output, pixel, channel, left)
