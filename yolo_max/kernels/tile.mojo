"""The register tile: a few pixels times a panel of output channels, and what happens to its sums.

    weights, one *panel* of 32 channels (the last may be 16), one row a word of input
                              | w[0][0..31]  |
                              | w[1][0..31]  |   32 channels = 2 blocks
    pixels in planes          |   ...        |
    p0: x[0] x[1] ... x[15]     sum[p0][0..31]
    p1: x[0] x[1] ... x[15]     sum[p1][0..31]     sum[p] += broadcast(x[p][k]) * w[k]
    ...                          ...
    p13                         sum[p13][0..31]

The words that a pixel is multiplied with need not lie together: `Taps` lists where each run of them begins,
relative to the pixel. For a 1x1 convolution the runs are the planes, for a 3x3 convolution the nine neighbours
in each plane; a Winograd product is a 1x1 convolution. The sums stay in registers through bias, SiLU and
residual; they are stored once.

A panel is 32 channels wide for every processor, so that packed weights do not depend on it; where the tile is
one block wide, a panel is done as two halves.
"""

from std.sys.intrinsics import PrefetchOptions, prefetch

from .lanes import (
    AVX512,
    BF16_PRODUCTS,
    BLOCK,
    F32,
    Ptr,
    Scratch,
    TILE_PIXELS,
    V,
    Words,
    load,
    load_some,
    multiply_add,
    silu,
    store,
    store_some,
    words,
)

comptime PANEL = 2 * BLOCK
comptime AHEAD = 16
"""Rows of weights that are fetched before they are needed: those of a large layer come from main memory."""
comptime TILE_SIZES = [4, 7, 10, 13, 14] if AVX512 else [2, 3, 4, 5, 6]
"""Pixels of the tiles that are compiled; one between two sizes is done by the larger one."""


def tile_size(pixels: Int) -> Int:
    """The size of the tile that does so many pixels."""
    comptime for i in range(len(TILE_SIZES)):
        comptime size = TILE_SIZES[i]
        if pixels <= size:
            return size
    return TILE_PIXELS


struct Taps(Movable):
    """The runs of words that make up the input of one output pixel."""

    var offsets: Scratch[DType.int32]
    """Where each run begins, in words from the pixel's own address."""
    var count: Int
    var run: Int
    """Words in a run."""

    def __init__(out self, count: Int, run: Int):
        self.offsets = Scratch[DType.int32](count)
        self.count = count
        self.run = run

    def begin(mut self, tap: Int, offset: Int):
        """Sets where a run begins."""
        self.offsets.data[unsafe_offset=tap] = Int32(offset)


@fieldwise_init
struct Filters(Copyable, ImplicitlyCopyable, Movable):
    """Packed weights: panel after panel, `depth` words of input deep, then the biases."""

    var panels: Words
    var bias: Words
    """One for each output channel, filled up with zeros to whole blocks."""
    var channels: Int
    """Output channels, before filling up."""


@fieldwise_init
struct Output[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """Where sums go, and what is done to them on the way."""

    var data: Ptr[Self.T]
    """The first channel of the first pixel."""
    var stride: Int
    """Elements from one pixel to the next."""
    var residual: Ptr[Self.T]
    """Added behind the activation, if `has_residual`."""
    var residual_stride: Int
    var has_residual: Bool
    var activate: Bool
    """Whether SiLU is applied."""
    var wide: Bool
    """Whether `data` holds float32 although T does not: the head's logits."""

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
                prefetch[PrefetchOptions().for_read().high_locality().to_data_cache()](
                    w.unsafe_offset((u + AHEAD) * ROW + j * BLOCK)
                )
            comptime for i in range(M):
                var word = x[unsafe_offset=i * STEP + u]
                comptime for j in range(N):
                    sums[i * N + j] = multiply_add[T](word, row[j], sums[i * N + j])
        x = x.unsafe_offset(UNROLL)
        w = w.unsafe_offset(UNROLL * ROW)


@always_inline
def microkernel[
    T: DType, M: Int, N: Int, ROW: Int, STEP: Int
](
    valid: Int, pixels: Words, taps: Taps, panel: Words, bias: Words, output: Output[T], pixel: Int, channel: Int,
    channels: Int,
):
    """M pixels by N blocks of channels.

    Parameters:
        T: Type of the activations.
        M: Pixels.
        N: Blocks of output channels.
        ROW: Words from one row of the panel to the next.
        STEP: Words from one pixel to the next.

    Args:
        valid: How many of the M pixels are stored; what lies behind is read, never stored.
        pixels: The first pixel.
        taps: Its words.
        panel: The panel, at the first of these channels.
        bias: Likewise.
        output: Where the sums go.
        pixel: The first pixel's index there.
        channel: The first channel's index there.
        channels: Output channels from there on; fewer than N blocks are stored in part.
    """
    var sums = Array[V, M * N](fill=V(0))
    comptime for j in range(N):
        var b = bias.unsafe_load[width=BLOCK](j * BLOCK)
        comptime for i in range(M):
            sums[i * N + j] = b
    var w = panel
    for t in range(taps.count):
        var x = pixels.unsafe_offset(Int(taps.offsets.data[unsafe_offset=t]))
        accumulate[T, M, N, ROW, STEP](sums, x, w, taps.run)
        w = w.unsafe_offset(taps.run * ROW)
    if output.activate:
        comptime for i in range(M * N):
            sums[i] = silu[T](sums[i])
    if channels >= N * BLOCK:
        comptime for j in range(N):
            var column = output.at(pixel, channel + j * BLOCK)
            comptime for i in range(M):
                if i < valid:
                    column.put(i, sums[i * N + j])
    else:
        # A copy, since sums that are anywhere indexed at run time are kept in memory everywhere.
        var stored = Array[V, M * N](fill=V(0))
        comptime for i in range(M * N):
            stored[i] = sums[i]
        for j in range(N):
            var column = output.at(pixel, channel + j * BLOCK)
            for i in range(valid):
                column.put_some(i, stored[i * N + j], channels - j * BLOCK)


@no_inline
def tile[
    T: DType, N: Int, STEP: Int
](
    m: Int, pixels: Words, taps: Taps, panel: Words, bias: Words, output: Output[T], pixel: Int, channel: Int,
    channels: Int,
):
    """M pixels, at most TILE_PIXELS, by one panel of N blocks; on to the next size that is compiled."""

    @always_inline
    def run[M: Int]() {imm}:
        comptime if AVX512:
            microkernel[T, M, N, N * BLOCK, STEP](
                m, pixels, taps, panel, bias, output, pixel, channel, channels
            )
        else:
            for j in range(0, min(N * BLOCK, channels), BLOCK):
                microkernel[T, M, 1, N * BLOCK, STEP](
                    m, pixels, taps, panel.unsafe_offset(j), bias.unsafe_offset(j), output, pixel, channel + j,
                    channels - j,
                )

    comptime for i in range(len(TILE_SIZES)):
        comptime size = TILE_SIZES[i]
        if m <= size:
            run[size]()
            return


def tile_panels[
    T: DType, STEP: Int
](m: Int, pixels: Words, taps: Taps, filters: Filters, output: Output[T], pixel: Int):
    """All output channels of a tile of m pixels, panel after panel."""
    var depth = taps.count * taps.run
    for channel in range(0, filters.channels, PANEL):
        var panel = filters.panels.unsafe_offset(channel * depth)
        var bias = filters.bias.unsafe_offset(channel)
        var left = filters.channels - channel
        if left > BLOCK:
            tile[T, 2, STEP](m, pixels, taps, panel, bias, output, pixel, channel, left)
        else:
            tile[T, 1, STEP](m, pixels, taps, panel, bias, output, pixel, channel, left)
