"""What becomes of a tile's sums: from memory, where the products have left them, to the output.

    y = activation(sum + r) * f + r'      r or r': the residual, scaled, where there is one before or behind
                                          f: a factor

The last step, while sums are stored, knows what is most common: no activation, SiLU, ReLU, ReLU6 or HardSwish, and r'.
For anything else the earlier steps go over the sums first, in place, each compiled once.
"""

from .activation import Activation, HARD_SWISH, NONE, RELU, RELU6, SILU, activated
from .lanes import BLOCK, F32, Ptr, Words, load, load_some, store, store_some


@fieldwise_init
struct Operand[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """A map that is read beside the sums."""

    var data: Ptr[Self.T]
    """The first channel of the first pixel; nothing, if `pixels` is 0."""
    var stride: Int
    """Elements from one pixel to the next."""
    var pixels: Int
    """Outputs that read the same of its pixels: 1, or all of an image; 0 if there is no such map."""

    @always_inline
    def given(self) -> Bool:
        return self.pixels != 0

    @always_inline
    def at(self, pixel: Int, channel: Int) -> Ptr[Self.T]:
        """What the output's pixel reads."""
        var own = pixel // self.pixels if self.pixels > 1 else pixel
        return self.data.unsafe_offset(own * self.stride + channel)

    def every(self, step: Int, pixel: Int) -> Self:
        """What every step-th output from a pixel on reads; all of one image, where it has a pixel per image."""
        return Self(self.at(pixel, 0), self.stride * step if self.pixels == 1 else 0, 1) if self.given() else self


struct Output[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """Where sums go, and what is done to them on the way."""

    var data: Ptr[Self.T]
    """The first channel of the first pixel."""
    var stride: Int
    """Elements from one pixel to the next."""
    var wide: Bool
    """Whether `data` holds float32 although T does not: final results, sums that others go on with."""
    var activation: Activation
    var before: Operand[Self.T]
    """Added, scaled, before the activation."""
    var behind: Operand[Self.T]
    """Added, scaled, at last."""
    var scale: Float32
    """Of what is added."""
    var factor: Operand[Self.T]
    """Multiplied with, behind the activation."""

    def __init__(out self, data: Ptr[Self.T], stride: Int, *, wide: Bool = False):
        """For sums as they are."""
        self.data = data
        self.stride = stride
        self.wide = wide
        self.activation = Activation(NONE, 0, data.unsafe_bitcast[Float32]())
        var nothing = Operand[Self.T](data, 0, 0)
        self.before = nothing
        self.behind = nothing
        self.factor = nothing
        self.scale = 1

    @always_inline
    def at(self, pixel: Int, channel: Int) -> Ptr[Self.T]:
        """Where a pixel's channel goes."""
        return self.data.unsafe_offset(
            (pixel * self.stride + channel) * (2 if self.wide and Self.T != F32 else 1)
        )

    def every(self, step: Int, pixel: Int) -> Self:
        """Every step-th output from a pixel on; they are of one image."""
        var moved = self
        moved.data = self.at(pixel, 0)
        moved.stride = self.stride * step
        moved.before = self.before.every(step, pixel)
        moved.behind = self.behind.every(step, pixel)
        moved.factor = self.factor.every(step, pixel)
        return moved

    def behind_channels(self, channels: Int) -> Self:
        """What goes to the channels behind the first ones."""
        var moved = self
        moved.data = self.at(0, channels)
        moved.activation.slopes = self.activation.slopes.unsafe_offset(channels)
        moved.before.data = self.before.data.unsafe_offset(channels)
        moved.behind.data = self.behind.data.unsafe_offset(channels)
        moved.factor.data = self.factor.data.unsafe_offset(channels)
        return moved


@no_inline
def epilogue[
    T: DType
](sums: Words, width: Int, m: Int, output: Output[T], pixel: Int, channel: Int, channels: Int):
    """Finishes and stores `channels` channels of m pixels, whose sums are rows of `width` words, whole blocks."""
    finish[BLOCK](sums, width, m, output, pixel, channel, channels)


@always_inline
def finish[
    T: DType, //, N: SIMDLength
](sums: Words, width: Int, m: Int, output: Output[T], pixel: Int, channel: Int, channels: Int):
    """The same with N channels at a time."""
    var kind = output.activation.kind
    if kind > RELU6 and kind != HARD_SWISH or output.before.given() or output.factor.given():
        first_steps[N](sums, width, m, output, pixel, channel, channels)
        kind = NONE
    var scale = SIMD[F32, N](output.scale)
    for c in range(0, channels, Int(N)):
        var left = channels - c
        var target = output.at(pixel, channel + c)
        var added = output.behind.at(pixel, channel + c)
        for i in range(m):
            var v = sums.unsafe_load[width=N](i * width + c)
            if kind == SILU:
                v = activated[T, SILU](v, v)
            elif kind == RELU:
                v = activated[T, RELU](v, v)
            elif kind == RELU6:
                v = activated[T, RELU6](v, v)
            elif kind == HARD_SWISH:
                v = activated[T, HARD_SWISH](v, v)
            if output.behind.given():
                v = read[N](added.unsafe_offset(i * output.behind.stride), left).fma(scale, v)
            comptime if T != F32:
                if output.wide:
                    store_first(target.unsafe_bitcast[Float32]().unsafe_offset(i * output.stride), v, left)
                    continue
            store_first(target.unsafe_offset(i * output.stride), v, left)


@no_inline
def first_steps[
    T: DType, //, N: SIMDLength
](sums: Words, width: Int, m: Int, output: Output[T], pixel: Int, channel: Int, channels: Int):
    """All but what is added at last."""
    if output.before.given():
        add[N](sums, width, m, output.before, output.scale, pixel, channel, channels)
    output.activation.apply[T](sums, m * width, channel, width)
    if output.factor.given():
        multiply[N](sums, width, m, output.factor, pixel, channel, channels)


@always_inline
def store_first[T: DType, N: SIMDLength, //](p: Ptr[T], v: SIMD[F32, N], count: Int):
    """Stores the first `count` of N channels, touching nothing behind them."""
    if count >= Int(N):
        store(p, 0, v)
    else:
        store_some(p, 0, v, count)


@always_inline
def add[
    T: DType, //, N: SIMDLength
](sums: Words, width: Int, m: Int, map: Operand[T], scale: Float32, pixel: Int, channel: Int, channels: Int):
    """Adds a map, scaled, to sums."""
    for i in range(m):
        for c in range(0, channels, Int(N)):
            var p = sums.unsafe_offset(i * width + c)
            var added = read[N](map.at(pixel + i, channel + c), channels - c)
            p.unsafe_store(0, added.fma(SIMD[F32, N](scale), p.unsafe_load[width=N](0)))


@always_inline
def multiply[
    T: DType, //, N: SIMDLength
](sums: Words, width: Int, m: Int, map: Operand[T], pixel: Int, channel: Int, channels: Int):
    """Multiplies sums with a map."""
    for i in range(m):
        for c in range(0, channels, Int(N)):
            var p = sums.unsafe_offset(i * width + c)
            p.unsafe_store(0, p.unsafe_load[width=N](0) * read[N](map.at(pixel + i, channel + c), channels - c))


@always_inline
def read[T: DType, //, N: SIMDLength](p: Ptr[T], count: Int) -> SIMD[F32, N]:
    """N channels; zeros behind `count` of them."""
    return load[T, N](p, 0) if count >= Int(N) else load_some[T, N](p, 0, count)
