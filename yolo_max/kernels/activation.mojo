"""What is applied to a convolution's sums after the bias."""

from std.memory import bitcast
from std.sys import llvm_intrinsic
from std.sys.info import CompilationTarget

from .lanes import AVX512, BLOCK, F32

comptime DIVIDES_FAST = CompilationTarget._has_feature["sse4a"]()
"""AMD's, which take half as long for a division as Intel's with AVX-512 do."""


@fieldwise_init
struct Activation(Copyable, ImplicitlyCopyable, Movable):
    """One of those there are; numbered as in `activation.py`."""

    comptime NONE = Self(0)
    comptime SILU = Self(1)

    var value: Int

    @always_inline
    def apply[N: SIMDLength, //, T: DType](self, x: SIMD[F32, N]) -> SIMD[F32, N]:
        """The activation of x, as exactly as T can show."""
        if self.value == Self.SILU.value:
            return silu[T](x)
        return x


@always_inline
def silu[N: SIMDLength, //, T: DType](x: SIMD[F32, N]) -> SIMD[F32, N]:
    """SiLU, x / (1 + exp(-x)).

    exp(-x) = 2^n * 2^f with n + f = -x * log2(e), n an integer and |f| <= 1/2. 2^f is a minimax polynomial: of
    degree 5, off by 7e-8 at most, or of degree 3, off by 7e-5, if the result will be rounded to bfloat16. x is
    clamped where 2^n would leave the range of float32: beyond, SiLU is x, or 0 to far below what matters.
    """
    comptime L = SIMD[F32, N]
    comptime MINUS_LOG2_E = L(-1.4426950408889634)
    comptime if AVX512 and N == BLOCK:
        # One instruction finds f, one multiplies by 2^n and goes down to 0 where that is too small.
        var y = max(x, L(-86.0)) * MINUS_LOG2_E
        var f = llvm_intrinsic["llvm.x86.avx512.mask.reduce.ps.512", L](y, Int32(0), L(0), Int16(-1), Int32(4))
        var divisor = L(1) + llvm_intrinsic["llvm.x86.avx512.mask.scalef.ps.512", L](
            power_of_two[T](f), y - f, L(0), Int16(-1), Int32(4)
        )
        comptime if DIVIDES_FAST:
            return x / divisor
        # 14 good bits, doubled by one Newton step.
        var r = llvm_intrinsic["llvm.x86.avx512.rcp14.ps.512", L](divisor, L(0), Int16(-1))
        comptime if T == F32:
            r = r * (-divisor).fma(r, L(2.0))
        return x * r
    else:
        # Adding 1.5 * 2^23 leaves n in the low bits of the float, from where it is shifted into the exponent.
        comptime ROUND = L(12582912.0)
        var y = x.clamp(-86.0, 86.0)
        var n = y.fma(MINUS_LOG2_E, ROUND)
        var power = power_of_two[T](y.fma(MINUS_LOG2_E, ROUND - n))
        var bits = bitcast[DType.int32, N](power) + (bitcast[DType.int32, N](n) << 23)
        return x / (bitcast[F32, N](bits) + 1)


@always_inline
def power_of_two[N: SIMDLength, //, T: DType](f: SIMD[F32, N]) -> SIMD[F32, N]:
    """2^f for |f| <= 1/2, as exactly as T can show."""
    comptime L = SIMD[F32, N]
    comptime if T == F32:
        var low = L(1.32764725e-3).fma(f, L(9.67554096e-3)).fma(f, L(5.55071309e-2))
        return low.fma(f, L(2.40221202e-1)).fma(f, L(6.93146944e-1)).fma(f, L(1.0000001))
    else:
        var low = L(5.51716685e-2).fma(f, L(2.42611125e-1))
        return low.fma(f, L(6.93260968e-1)).fma(f, L(9.99928057e-1))
