"""The microkernel: a tile of a few pixels by a panel of output channels in registers, and its epilogue.

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

The sums begin with the bias, or with what was summed up elsewhere (direct.mojo), and stay in registers until all
words are done. Then they are left on the stack, which the first cache holds, and `epilogue`, which is compiled once for
all sizes of tile, applies the activation, adds the residual and stores.

A panel is 32 channels wide for every processor, so that packed weights do not depend on it; where the tile is
one block wide, a panel is done as two halves.
"""

from std.math import ceildiv

from .activation import Activation
from .lanes import (
    AVX512,
    BF16_PRODUCTS,
    BLOCK,
    F32,
    Ptr,
    Scratch,
    MR,
    V,
    Words,
    prefetch,
    load,
    load_some,
    multiply_add,
    store,
    store_some,
)

comptime PANEL = 2 * BLOCK
comptime AHEAD = 32
"""Rows of weights between the one in use and the one prefetched: those of a large layer come from main memory."""
comptime MR_SIZES = [4, 7, 10, 13, 14] if AVX512 else [2, 3, 4, 5, 6]
"""Pixels that the microkernel is compiled for; a number between two is done by the larger one."""


def mr_size(pixels: Int) -> Int:
    """The size that does this many pixels."""
    comptime for i in range(len(MR_SIZES)):
        comptime size = MR_SIZES[i]
        if pixels <= size:
            return size
    return MR


struct Taps(Movable):
    """The runs of words that make up the input of one output pixel, and where its sums begin."""

    var offsets: Scratch[DType.int32]
    """Where each run begins, in words from the pixel's own address."""
    var count: Int
    var run: Int
    """Words in a run."""
    var sums: Scratch[DType.int64]
    """For each pixel of a tile, where its sums begin, in words from `Filters.begin`: all at the biases."""

    def __init__(out self, count: Int, run: Int):
        self.offsets = Scratch[DType.int32](count)
        self.count = count
        self.run = run
        self.sums = Scratch[DType.int64](MR)
        self.sums.clear()

    def begin(mut self, tap: Int, offset: Int):
        """Sets where a run begins."""
        self.offsets.data[unsafe_offset=tap] = Int32(offset)


struct Filters(Copyable, ImplicitlyCopyable, Movable):
    """Packed weights, panel after panel, and what sums begin with."""

    var panels: Words
    var begin: Words
    """The biases, padded with zeros to whole blocks; or sums that have been begun (direct.mojo)."""
    var channels: Int
    """Output channels, without padding."""
    var before: Int
    """Rows of each panel that belong to words before those at hand."""
    var behind: Int
    """Likewise, behind them."""

    def __init__(out self, panels: Words, bias: Words, channels: Int):
        """Filters for all of their words."""
        self.panels = panels
        self.begin = bias
        self.channels = channels
        self.before = 0
        self.behind = 0

    def padded(self) -> Int:
        """Output channels in whole blocks: so many biases there are, and sums begun for a pixel."""
        return ceildiv(self.channels, BLOCK) * BLOCK


@fieldwise_init
struct Output[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """Where sums go, and what is done to them on the way."""

    var data: Ptr[Self.T]
    """The first channel of the first pixel."""
    var stride: Int
    """Elements from one pixel to the next."""
    var residual: Ptr[Self.T]
    """Added after the activation, if `has_residual`."""
    var residual_stride: Int
    var has_residual: Bool
    var activation: Activation
    var wide: Bool
    """Whether `data` holds float32 although T does not: final results, sums that others go on with."""

    @always_inline
    def at(self, pixel: Int, channel: Int) -> Self:
        """The same, to be counted from this pixel and channel on."""
        var moved = self
        moved.data = self.data.unsafe_offset(
            (pixel * self.stride + channel) * (2 if self.wide and Self.T != F32 else 1)
        )
        moved.residual = self.residual.unsafe_offset(pixel * self.residual_stride + channel)
        return moved

    @always_inline
    def put[N: SIMDLength, //](self, pixel: Int, v: SIMD[F32, N]):
        """Adds the residual to the first N channels of a pixel, and stores them."""
        var sum = v
        if self.has_residual:
            sum += load[Self.T, N](self.residual, pixel * self.residual_stride)
        comptime if Self.T != F32:
            if self.wide:
                store(self.data.unsafe_bitcast[Float32](), pixel * self.stride, sum)
                return
        store(self.data, pixel * self.stride, sum)

    @always_inline
    def put_some[N: SIMDLength, //](self, pixel: Int, v: SIMD[F32, N], count: Int):
        """The same for the first `count` of the channels, touching nothing behind them."""
        var sum = v
        if self.has_residual:
            sum += load_some[Self.T, N](self.residual, pixel * self.residual_stride, count)
        comptime if Self.T != F32:
            if self.wide:
                store_some(self.data.unsafe_bitcast[Float32](), pixel * self.stride, sum, count)
                return
        store_some(self.data, pixel * self.stride, sum, count)


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


@no_inline
def microkernel[
    T: DType, N: Int, STEP: Int
](
    m: Int, pixels: Words, taps: Taps, panel: Words, begin: Words, output: Output[T], pixel: Int, channel: Int,
    channels: Int,
):
    """M pixels, at most MR, by one panel of N blocks.

    Parameters:
        T: Type of the activations.
        N: Blocks of output channels.
        STEP: Words from one pixel to the next.

    Args:
        m: Pixels; some more may be read, and are not stored.
        pixels: The first pixel.
        taps: Its words.
        panel: The panel.
        begin: What the sums of its channels begin with.
        output: Where the sums go.
        pixel: The first pixel's index there.
        channel: The panel's first channel there.
        channels: Output channels from there on; fewer than N blocks are stored in part.
    """
    # What is kept in registers is indexed at compile time only, for it is kept in memory otherwise; and what follows
    # the sums is compiled once, not for every size of tile.
    var stored = Array[V, MR * N](uninitialized=True)
    var first = Words(unsafe_from_address=Int(Pointer(to=stored)))

    @always_inline
    def run[M: Int]() {imm}:
        comptime BLOCKS = N if AVX512 else 1
        for j in range(0, N, BLOCKS):
            var sums = Array[V, M * BLOCKS](fill=V(0))
            comptime for i in range(M):
                var start = begin.unsafe_offset(Int(taps.sums.data[unsafe_offset=i]) + j * BLOCK)
                comptime for b in range(BLOCKS):
                    sums[i * BLOCKS + b] = start.unsafe_load[width=BLOCK](b * BLOCK)
            var w = panel.unsafe_offset(j * BLOCK)
            for t in range(taps.count):
                var x = pixels.unsafe_offset(Int(taps.offsets.data[unsafe_offset=t]))
                accumulate[T, M, BLOCKS, N * BLOCK, STEP](sums, x, w, taps.run)
                w = w.unsafe_offset(taps.run * N * BLOCK)
            comptime for i in range(M):
                comptime for b in range(BLOCKS):
                    first.unsafe_store((i * N + j + b) * BLOCK, sums[i * BLOCKS + b])

    comptime for i in range(len(MR_SIZES)):
        comptime size = MR_SIZES[i]
        if m <= size:
            run[size]()
            break
    for j in range(0, min(N * BLOCK, channels), BLOCK):
        epilogue(first.unsafe_offset(j), N * BLOCK, m, output.at(pixel, channel + j), min(BLOCK, channels - j))
    _ = stored^


@no_inline
def epilogue[T: DType](sums: Words, sum_stride: Int, m: Int, output: Output[T], channels: Int):
    """Activates and stores up to a block of channels of m pixels, whose sums are `sum_stride` words apart."""
    for i in range(m):
        var sum = output.activation.apply[T](sums.unsafe_load[width=BLOCK](i * sum_stride))
        if channels == BLOCK:
            output.put(i, sum)
        else:
            output.put_some(i, sum, channels)


def microkernel_panels[
    T: DType, STEP: Int
](m: Int, pixels: Words, taps: Taps, filters: Filters, output: Output[T], pixel: Int):
    """All output channels of m pixels, panel after panel."""
    var depth = filters.before + taps.count * taps.run + filters.behind
    for channel in range(0, filters.channels, PANEL):
        var panel = filters.panels.unsafe_offset(channel * depth)
        var begin = filters.begin.unsafe_offset(channel)
        var left = filters.channels - channel
        if left > BLOCK:
            var rows = panel.unsafe_offset(filters.before * PANEL)
            microkernel[T, 2, STEP](m, pixels, taps, rows, begin, output, pixel, channel, left)
        else:
            var rows = panel.unsafe_offset(filters.before * BLOCK)
            microkernel[T, 1, STEP](m, pixels, taps, rows, begin, output, pixel, channel, left)
