"""What is applied to a convolution's sums after the bias.

What is common is done as sums are stored (epilogue.mojo); any other in a loop of its own, behind one switch per tile.
"""

from std.memory import bitcast
from std.sys import llvm_intrinsic
from std.sys.info import CompilationTarget

from .lanes import AVX512, BLOCK, F32, Words

comptime DIVIDES_FAST = CompilationTarget._has_feature["sse4a"]()
"""AMD's, which take half as long for a division as Intel's with AVX-512 do."""
comptime LANES = BLOCK if AVX512 else 8
"""Channels at a time: what is done to one value takes a dozen registers."""

# Numbered as in `activation.py`.
comptime NONE = 0
comptime SILU = 1
comptime RELU = 2
comptime RELU6 = 3
comptime LEAKY_RELU = 4
comptime PRELU = 5
comptime HARD_SIGMOID = 6
comptime HARD_SWISH = 7
comptime SIGMOID = 8
comptime TANH = 9
comptime GELU = 10
comptime GELU_TANH = 11


@fieldwise_init
struct Activation(Copyable, ImplicitlyCopyable, Movable):
    """One of those there are."""

    var kind: Int
    var slope: Float32
    """Of LeakyReLU."""
    var slopes: Words
    """Of PReLU, one per channel, and zeros behind them; anywhere for others."""

    @no_inline
    def apply[T: DType](self, sums: Words, count: Int, channel: Int, width: Int):
        """Applies it in place, as exactly as T can show.

        Args:
            sums: Rows of channels, one for each pixel.
            count: All of them, a multiple of LANES.
            channel: The first channel of each row.
            width: Of a row.
        """
        comptime for kind in range(SILU, GELU_TANH + 1):
            if self.kind == kind:
                for i in range(0, count, LANES):
                    var slope = SIMD[F32, LANES](self.slope)
                    comptime if kind == PRELU:
                        slope = self.slopes.unsafe_load[width=LANES](channel + i % width)
                    var p = sums.unsafe_offset(i)
                    p.unsafe_store(0, activated[T, kind](p.unsafe_load[width=LANES](0), slope))
                return


@always_inline
def activated[N: SIMDLength, //, T: DType, kind: Int](x: SIMD[F32, N], slope: SIMD[F32, N]) -> SIMD[F32, N]:
    """The activation of x. What is no number stays none."""
    comptime L = SIMD[F32, N]
    comptime if kind == SILU:
        return silu[T](x)
    elif kind == RELU:
        return x.lt(L(0)).select(L(0), x)
    elif kind == RELU6:
        return clipped(x)
    elif kind == LEAKY_RELU or kind == PRELU:
        return x.lt(L(0)).select(x * slope, x)
    elif kind == HARD_SIGMOID:
        return sixth(clipped(x + 3))
    elif kind == HARD_SWISH:
        return sixth(x * clipped(x + 3))
    elif kind == SIGMOID:
        return sigmoid(x)
    elif kind == TANH:
        return hyperbolic_tangent(x)
    elif kind == GELU:
        return gelu(x)
    else:
        # (1 + tanh u) / 2 is the sigmoid of 2u. Below -10 the result is 0 to float32, and the cube would overflow.
        # 2u = x (c + d x^2), with c and d in two parts: rounded, they would make results too large.
        var low = zero_below(x, -10, x)
        var z = low * low
        var d = z.fma(L(7.13548139e-2), z.fma(L(2.39783e-9), L(-4.534068e-8)))
        return low * sigmoid(low.fma(L(1.59576917), low * d))


@always_inline
def zero_below[N: SIMDLength, //](x: SIMD[F32, N], least: Float32, y: SIMD[F32, N]) -> SIMD[F32, N]:
    """0 if x is less, else y. A result that is all but 0 would make sums denormal, which are slow."""
    comptime L = SIMD[F32, N]
    return x.lt(L(least)).select(L(0), y)


@always_inline
def clipped[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """ReLU6 of x."""
    comptime L = SIMD[F32, N]
    return x.gt(L(6)).select(L(6), x.lt(L(0)).select(L(0), x))


@always_inline
def sixth[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """x / 6, by a factor in two parts: rounded, 1 / 6 would make results too large. Both are positive, for infinity."""
    comptime L = SIMD[F32, N]
    return x.fma(L(0.16666665673), x * L(9.934107e-9))


@always_inline
def sigmoid[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """1 / (1 + exp(-x)), by the exponential of what is negative of both: it cannot overflow."""
    comptime L = SIMD[F32, N]
    var e = exponential(-abs(x))
    return x.lt(L(0)).select(e, L(1)) / (L(1) + e)


@always_inline
def hyperbolic_tangent[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """tanh(x), by (1 - exp(-2t)) / (1 + exp(-2t)) with t = |x|.

    Below 5/8, where digits of the difference are lost, it is t + t^3 times a minimax polynomial of t^2, off by 4e-9.
    """
    comptime L = SIMD[F32, N]
    var t = abs(x)
    var e = exponential(L(-2) * t)
    var z = t * t
    var p = z.fma(L(-5.704982e-3), L(2.0639083e-2)).fma(z, L(-5.37397138e-2))
    var small = (p.fma(z, L(1.33314422e-1)).fma(z, L(-3.33332819e-1)) * z).fma(t, t)
    var y = t.lt(L(0.625)).select(small, (L(1) - e) / (L(1) + e))
    return x.lt(L(0)).select(-y, y)


@always_inline
def gelu[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """GELU: x q below zero, x (1 - q) above it, where q = erfc(t / sqrt(2)) / 2 with t = |x|.

    exp(t^2 / 2) q falls from 1/2 as slowly as 1 / t does, and is a minimax polynomial of 1 / (1 + 0.4 t), off by 3e-8
    of itself; so no digits are lost far below zero, as they are where erf is added to 1. Up to 3/4 it is x (1/2 + x p)
    with a polynomial p of x^2, off by 1e-9. Below -12.9 it is 0, which it is to 1e-36.
    """
    comptime L = SIMD[F32, N]
    var t = abs(x)
    var z = x * x
    var p = z.fma(L(1.01813648e-4), L(-1.17985312e-3)).fma(z, L(9.97174165e-3))
    var near = p.fma(z, L(-6.64901994e-2)).fma(z, L(3.98942275e-1)).fma(x, L(0.5))
    var u = L(1) / t.fma(L(0.4), L(1))
    var r = u.fma(L(-3.32627334e-2), L(1.78783998e-1)).fma(u, L(-3.42232913e-1)).fma(u, L(2.26282403e-1))
    r = r.fma(u, L(-8.89919e-4)).fma(u, L(1.55180022e-1)).fma(u, L(1.56322628e-1))
    r = r.fma(u, L(1.59856603e-1)).fma(u, L(-1.0259555e-5))
    var q = zero_below(x, -12.9, r * exponential(L(-0.5) * z))
    return x * t.lt(L(0.75)).select(near, x.lt(L(0)).select(q, L(1) - q))


@always_inline
def silu[N: SIMDLength, //, T: DType](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """SiLU, x / (1 + exp(-x)).

    exp(-x) = 2^n * 2^f with n + f = -x * log2(e), n an integer and |f| <= 1/2. 2^f is a minimax polynomial: of
    degree 6, off by 2e-9 at most, or of degree 3, off by 7e-5, if the result will be rounded to bfloat16. (Of degree 5
    it is off by 7e-8, less than is rounded; but most values would be too small, by half a unit in the last place in
    the mean, and a network may add that up. Below -2 they are too far from 0 by as much, as log2(e) is rounded; but
    there they are small.) x is clamped where 2^n would leave the range of float32: beyond, SiLU is x, or 0, which it is
    to within 1e-35.
    """
    comptime L = SIMD[F32, N]
    comptime MINUS_LOG2_E = L(-1.4426950408889634)
    comptime if AVX512 and N == BLOCK:
        # One instruction finds f, one multiplies by 2^n and goes down to 0 where that is too small.
        var y = x * MINUS_LOG2_E
        var f = llvm_intrinsic["llvm.x86.avx512.mask.reduce.ps.512", L](y, Int32(0), L(0), Int16(-1), Int32(4))
        var divisor = L(1) + llvm_intrinsic["llvm.x86.avx512.mask.scalef.ps.512", L](
            power_of_two[T](f), y - f, L(0), Int16(-1), Int32(4)
        )
        comptime if DIVIDES_FAST:
            return zero_below(x, -86, x / divisor)
        # 14 good bits, doubled by one Newton step.
        var r = llvm_intrinsic["llvm.x86.avx512.rcp14.ps.512", L](divisor, L(0), Int16(-1))
        comptime if T == F32:
            r = r * (-divisor).fma(r, L(2.0))
        return zero_below(x, -86, x * r)
    else:
        var low = zero_below(x, -86, x)
        # Adding 1.5 * 2^23 leaves n in the low bits of the float, from where it is shifted into the exponent.
        comptime ROUND = L(12582912.0)
        var y = min(low, L(86.0))
        var n = y.fma(MINUS_LOG2_E, ROUND)
        var power = power_of_two[T](y.fma(MINUS_LOG2_E, ROUND - n))
        var bits = bitcast[DType.int32, N](power) + (bitcast[DType.int32, N](n) << 23)
        return low / (bitcast[F32, N](bits) + 1)


@always_inline
def power_of_two[N: SIMDLength, //, T: DType](f: SIMD[F32, N]) -> SIMD[F32, N]:
    """2^f for |f| <= 1/2, as exactly as T can show."""
    comptime L = SIMD[F32, N]
    comptime if T == F32:
        var low = L(1.53458124e-4).fma(f, L(1.33999309e-3)).fma(f, L(9.61848907e-3)).fma(f, L(5.55032864e-2))
        return low.fma(f, L(2.40226462e-1)).fma(f, L(6.93147182e-1)).fma(f, L(1.0))
    else:
        var low = L(5.51716685e-2).fma(f, L(2.42611125e-1))
        return low.fma(f, L(6.93260968e-1)).fma(f, L(9.99928057e-1))


@always_inline
def exponential[N: SIMDLength, //](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """exp(x) for x <= 0, NaN for NaN; 0 where it is no normal number.

    It is 2^n * 2^f with n + f = x * log2(e), n an integer and |f| <= 1/2. The logarithm has two parts, so that f is
    exact to float32 however large x is.
    """
    comptime L = SIMD[F32, N]
    comptime LOG2_E = L(1.44269502)
    comptime LOW = L(1.925963e-8)
    comptime ROUND = L(12582912.0)
    """1.5 * 2^23: adding it leaves an integer in the low bits of the float."""
    var shifted = x.fma(LOG2_E, ROUND)
    var n = shifted - ROUND
    var power = power_of_two[F32](x.fma(LOW, x.fma(LOG2_E, -n)))
    var bits = bitcast[DType.int32, N](power) + (bitcast[DType.int32, N](shifted) << 23)
    var e = zero_below(x, -87, bitcast[F32, N](bits))
    return x.eq(x).select(e, x)
