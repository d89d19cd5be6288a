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
