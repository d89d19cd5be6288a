"""Layer norm, in a table of its own; `norms.py` calls it.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

over the channels of every pixel. The mean is rounded as a large number where channels lie far from 0. So what it
leaves is summed up with its squares: the first sum says by how much it was off, and the second has lost nothing. A row
stays in the cache for all three passes.
"""

import extensibility
from extensibility import OutputTensor
from std.math import iota, sqrt
from std.memory import bitcast

from .arguments import Call, require_size, slice_of
from .lanes import BLOCK, F32, V, Words, load, load_some, store, store_some
from .parallel import parallel_for
from .table import Kernel, address_of

comptime LAYER_NORM = 0
comptime COUNT = 1
comptime WORTH = 1 << 15
"""Numbers that are worth starting a thread for."""


def layer_norm(call: Call) raises:
    """Normalises the channels of each pixel of a slice.

    Its params are the bits of eps, whether there are weights, whether there are biases, then the slice's. Weights and
    biases are float32, one for each channel.

    Raises:
        Error: The tensors do not fit each other.
    """
    var map = call.input(0)
    var source = slice_of[F32](call.params.unsafe_offset(3), map, 0)
    require_size("the result", call.result(), map.batch, map.height, map.width)
    var count = source.channels
    if call.result().channels != count:
        raise Error("a norm of ", count, " channels does not have ", call.result().channels)
    var eps = bitcast[F32, 1](call.params[unsafe_offset=0])
    var has_weight = call.params[unsafe_offset=1] != 0
    var has_bias = call.params[unsafe_offset=2] != 0
    var weight = Words(unsafe_from_address=call.weight)
    var bias = Words(unsafe_from_address=call.bias)
    var target = call.result().data[F32]()

    def some_rows(first: Int, last: Int) {imm}:
        for i in range(first, last):
            var row = source.data.unsafe_offset(i * source.stride)
            var result = target.unsafe_offset(i * count)
            var mean = V(sum_of(row, count) / Float32(count))
            var moments = sums_around(row, count, mean) / Float32(count)
            var factor = V(1 / sqrt(max(moments[1] - moments[0] * moments[0], 0) + eps))
            var shift = -moments[0] * factor
            for c in range(0, count, BLOCK):
                var left = count - c
                var y = (block_of(row, c, left) - mean).fma(factor, shift)
                if has_weight:
                    y *= block_of(weight, c, left)
                if has_bias:
                    y += block_of(bias, c, left)
                if left >= BLOCK:
                    store(result, c, y)
                else:
                    store_some(result, c, y, left)

    var rows = map.batch * map.height * map.width
    parallel_for(some_rows, rows, 4, call.workers.for_work(rows * count, WORTH))


@always_inline
def block_of(p: Words, i: Int, count: Int) -> V:
    """A block of numbers, zeros behind the first `count`."""
    return load[F32, BLOCK](p, i) if count >= BLOCK else load_some[F32, BLOCK](p, i, count)


@always_inline
def sum_of(row: Words, count: Int) -> Float32:
    """The sum of some numbers."""
    var sum = V(0)
    for i in range(0, count, BLOCK):
        sum += block_of(row, i, count - i)
    return sum.reduce_add()


@always_inline
def sums_around(row: Words, count: Int, mean: V) -> SIMD[F32, 2]:
    """The sum of the distances of some numbers from the mean, and that of their squares."""
    var sum = V(0)
    var squares = V(0)
    for i in range(0, count, BLOCK):
        var inside = iota[DType.int32, BLOCK]().lt(Int32(count - i))
        var x = inside.select(block_of(row, i, count - i) - mean, V(0))
        sum += x
        squares += x * x
    return {sum.reduce_add(), squares.reduce_add()}


@extensibility.register("norms_table")
struct Norms[bf16: Int]:
    """Its address."""

    @staticmethod
    def execute[target: StaticString](addresses: OutputTensor[dtype=DType.int64, rank=1, ...]) raises:
        addresses.unsafe_ptr()[unsafe_offset=LAYER_NORM] = Int64(address_of(layer_norm))
