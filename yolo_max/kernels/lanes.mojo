"""Vectors of channels, and what the processor offers for them.

Channels are handled sixteen at a time: a *block*. A block of float32 is one register with AVX-512, two with
AVX2, four with NEON; the compiler splits `V` accordingly, so that no code here depends on the width of a
register. What does depend on it is how many blocks fit into the register file at once, the *register tile*:

    AVX-512   32 registers   14 pixels x 2 blocks   28 sums + 2 weights (+ 1 broadcast pixel)
    AVX2      16 registers    6 pixels x 1 block    12 sums + 2 weights + 1 broadcast pixel
    NEON      32 registers    6 pixels x 1 block    24 sums + 4 weights + 1 broadcast pixel

Activations are float32, or bfloat16 with sums in float32. To the inner loop both are *words* of 32 bits: one
float32 channel, or a pair of neighbouring bfloat16 channels, even channel in the low half.
"""

from std.math import iota
from std.memory import bitcast
from std.memory.alloc import unsafe_alloc
from std.sys import llvm_intrinsic
from std.sys.info import CompilationTarget, size_of
from std.sys.intrinsics import PrefetchOptions, masked_load, masked_store, prefetch as intrinsics_prefetch

comptime BLOCK = 16
comptime AVX512 = CompilationTarget.has_avx512f()
comptime BF16_PRODUCTS = CompilationTarget._has_feature["avx512bf16"]()
comptime DIVIDES_FAST = CompilationTarget._has_feature["sse4a"]()
"""AMD's, which take half as long for a division as Intel's with AVX-512 do."""
comptime MR = 14 if AVX512 else 6
"""Pixels of the register tile; BLIS has the same name for its rows."""

comptime F32 = DType.float32
comptime BF16 = DType.bfloat16
comptime V = SIMD[F32, BLOCK]
comptime Ptr[T: DType] = Pointer[Scalar[T], MutUntrackedOrigin]
comptime Words = Ptr[F32]


def words[T: DType](channels: Int) -> Int:
    """How many words hold this many channels (an even number, for bfloat16)."""
    return channels // 2 if T == BF16 else channels


@always_inline
def load[T: DType, N: SIMDLength](p: Ptr[T], i: Int) -> SIMD[F32, N]:
    """N channels from element i on."""
    return p.unsafe_load[width=N](i).cast[F32]()


@always_inline
def store[T: DType, N: SIMDLength, //](p: Ptr[T], i: Int, v: SIMD[F32, N]):
    """N channels to element i and on, rounded to nearest even if T is narrower."""
    p.unsafe_store(i, v.cast[T]())


@always_inline
def load_some[T: DType, N: SIMDLength](p: Ptr[T], i: Int, count: Int) -> SIMD[F32, N]:
    """The first `count` of N channels, zeros behind them; touches no memory beyond."""
    var mask = iota[DType.int32, N]().lt(Int32(count))
    return masked_load[N](p.unsafe_offset(i), mask, SIMD[T, N](0)).cast[F32]()


@always_inline
def store_some[T: DType, N: SIMDLength, //](p: Ptr[T], i: Int, v: SIMD[F32, N], count: Int):
    """Stores the first `count` of N channels; touches no memory beyond."""
    var mask = iota[DType.int32, N]().lt(Int32(count))
    masked_store[N](v.cast[T](), p.unsafe_offset(i), mask)


def line[T: DType]() -> Int:
    """Elements in a line of the cache."""
    return 64 // size_of[T]()


@always_inline
def prefetch[T: DType](p: Ptr[T]):
    """Brings the cache line at `p` near, to be read soon; `p` may point anywhere."""
    intrinsics_prefetch[PrefetchOptions().for_read().high_locality().to_data_cache()](p)


@always_inline
def prefetch_to_write[T: DType](p: Ptr[T]):
    """The same for a line to be written soon, which the CPU reads first as well."""
    intrinsics_prefetch[PrefetchOptions().for_write().high_locality().to_data_cache()](p)


@always_inline
def multiply_add[T: DType](a: Float32, b: V, c: V) -> V:
    """Gives c + a * b, where `a` is one word of a pixel and `b` that word's weights for sixteen outputs.

    For bfloat16, c + a.low * b.low + a.high * b.high, in float32.
    """
    comptime if T == F32:
        return V(a).fma(b, c)
    elif BF16_PRODUCTS:
        return llvm_intrinsic["llvm.x86.avx512bf16.dpbf16ps.512", V](
            c, bitcast[BF16, 32](V(a)), bitcast[BF16, 32](b)
        )
    else:
        # A bfloat16 is the upper half of the float32 of the same value.
        var a_bits = bitcast[DType.uint32, 1](a)
        var b_bits = bitcast[DType.uint32, BLOCK](b)
        var a_low = V(bitcast[F32, 1](a_bits << 16))
        var a_high = V(bitcast[F32, 1](a_bits & 0xFFFF0000))
        var b_low = bitcast[F32, BLOCK](b_bits << 16)
        var b_high = bitcast[F32, BLOCK](b_bits & 0xFFFF0000)
        return a_high.fma(b_high, a_low.fma(b_low, c))


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


struct Scratch[T: DType](Movable):
    """Memory for the time of a call, aligned to cache lines; nothing is in it to begin with."""

    var data: Ptr[Self.T]
    var size: Int

    def __init__(out self, size: Int):
        self.data = unsafe_alloc[Scalar[Self.T]](size, alignment=64)
        self.size = size

    def clear(mut self):
        """Makes it all zeros."""
        for i in range(self.size):
            self.data[unsafe_offset=i] = 0

    def __deinit__(deinit self):
        self.data.unsafe_free()
