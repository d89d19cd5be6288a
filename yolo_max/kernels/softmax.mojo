"""Softmax, over the channels of every pixel."""

from std.math import iota
from std.utils.numerics import neg_inf

from .activation import exponential
from .arguments import Call, require_size, slice_of
from .lanes import BLOCK, F32, V, Words, load, load_some, store, store_some
from .parallel import parallel_for

comptime LOWEST = V(neg_inf[F32]())


@always_inline
def largest(row: Words, count: Int) -> Float32:
    """The largest of some numbers; NaN if one of them is."""
    var most = LOWEST
    var nan = V(0)
    for i in range(0, count, BLOCK):
        var block = load_lowest(row, i, count - i)
        most = max(most, block)
        nan = block.eq(block).select(nan, block)
    return most.reduce_max() + nan.reduce_add()


@always_inline
def load_lowest(row: Words, i: Int, count: Int) -> V:
    """A block of numbers, minus infinity behind the first `count`."""
    if count >= BLOCK:
        return load[F32, BLOCK](row, i)
    return iota[DType.int32, BLOCK]().lt(Int32(count)).select(load_some[F32, BLOCK](row, i, count), LOWEST)


@always_inline
def exponentials(row: Words, count: Int, most: Float32, factor: Float32, target: Words) -> Float32:
    """Stores exp((x - most) * factor) for some numbers, and returns their sum."""
    var sum = V(0)
    for i in range(0, count, BLOCK):
        var e = exponential((load_lowest(row, i, count - i) - V(most)) * V(factor))
        sum += e
        if count - i >= BLOCK:
            store(target, i, e)
        else:
            store_some(target, i, e, count - i)
    return sum.reduce_add()


def softmax(call: Call) raises:
    """exp(x) / sum(exp(x)) over the channels of each pixel of a slice.

    Raises:
        Error: The tensors do not fit each other.
    """
    var map = call.input(0)
    var source = slice_of[F32](call.params, map, 0)
    require_size("the result", call.result(), map.batch, map.height, map.width)
    var count = source.channels
    var target = call.result().data[F32]()

    def some_rows(first: Int, last: Int) {imm}:
        for i in range(first, last):
            var row = source.data.unsafe_offset(i * source.stride)
            var result = target.unsafe_offset(i * count)
            var factor = V(1) / exponentials(row, count, largest(row, count), 1, result)
            for c in range(0, count, BLOCK):
                if count - c >= BLOCK:
                    store(result, c, load[F32, BLOCK](result, c) * factor)
                else:
                    store_some(result, c, load_some[F32, BLOCK](result, c, count - c) * factor, count - c)

    var rows = map.batch * map.height * map.width
    parallel_for(some_rows, rows, 1, call.workers.for_work(rows * count, 1 << 14))
