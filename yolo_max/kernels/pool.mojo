"""Max-pooling with stride 1: each output is the largest of the pixels around it that are on the map."""

from std.utils.numerics import min_or_neg_inf

from .lanes import BLOCK, F32, Ptr, V, load, load_some, store, store_some
from .tasks import Crew, deal_out
from .view import Slice


def max_pool[
    T: DType
](source: Slice[T], batch: Int, side: Int, target: Ptr[T], crew: Crew):
    """Pools side x side pixels (an odd number) around each pixel of a slice, into a tensor of its own."""

    def some_rows(first: Int, last: Int) {imm}:
        for row in range(first, last):
            pool_row(source, row // source.height, row % source.height, side, target)

    deal_out(some_rows, batch * source.height, 8, crew)


@no_inline
def pool_row[T: DType](source: Slice[T], image: Int, y: Int, side: Int, target: Ptr[T]):
    """One row of outputs."""
    var reach = side // 2
    var top = max(y - reach, 0)
    var bottom = min(y + reach + 1, source.height)
    for x in range(source.width):
        var left = max(x - reach, 0)
        var right = min(x + reach + 1, source.width)
        var q = target.unsafe_offset(((image * source.height + y) * source.width + x) * source.channels)
        for channel in range(0, source.channels, BLOCK):
            var count = min(BLOCK, source.channels - channel)
            var largest = V(min_or_neg_inf[F32]())
            for row in range(top, bottom):
                var p = source.pixel(image, row, left).unsafe_offset(channel)
                for _ in range(left, right):
                    var pixel = load[T, BLOCK](p, 0) if count == BLOCK else load_some[T, BLOCK](p, 0, count)
                    largest = max(largest, pixel)
                    p = p.unsafe_offset(source.stride)
            if count == BLOCK:
                store(q, channel, largest)
            else:
                store_some(q, channel, largest, count)
