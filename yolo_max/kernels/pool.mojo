"""Max-pooling with stride 1: each output is the largest of the pixels around it that are on the map."""

from std.utils.numerics import min_or_neg_inf

from .lanes import BLOCK, F32, Ptr, Scratch, V, Words, load, load_some, store, store_some
from .parallel import Workers, parallel_for
from .view import Slice

comptime MIN = V(min_or_neg_inf[F32]())


def max_pool[
    T: DType
](source: Slice[T], batch: Int, side: Int, target: Ptr[T], workers: Workers):
    """Pools side x side pixels (an odd number) around each pixel of a slice, into a tensor of its own."""

    def some_rows(first: Int, last: Int) {imm}:
        var columns = Scratch[F32](source.width * BLOCK)
        for row in range(first, last):
            pool_row(source, row // source.height, row % source.height, side, columns.data, target)

    parallel_for(some_rows, batch * source.height, 8, workers)


@no_inline
def pool_row[
    T: DType
](source: Slice[T], image: Int, y: Int, side: Int, columns: Words, target: Ptr[T]):
    """One row of outputs: the largest of each column under the window, then the largest of these columns."""
    var reach = side // 2
    var top = max(y - reach, 0)
    var bottom = min(y + reach + 1, source.height)
    var first = (image * source.height + y) * source.width
    for channel in range(0, source.channels, BLOCK):
        var count = min(BLOCK, source.channels - channel)
        for x in range(source.width):
            var p = source.pixel(image, top, x).unsafe_offset(channel)
            var largest = MIN
            for _ in range(top, bottom):
                var pixel = load[T, BLOCK](p, 0) if count == BLOCK else load_some[T, BLOCK](p, 0, count)
                largest = max(largest, pixel)
                p = p.unsafe_offset(source.width * source.stride)
            columns.unsafe_store(x * BLOCK, largest)
        for x in range(source.width):
            var largest = MIN
            for column in range(max(x - reach, 0), min(x + reach + 1, source.width)):
                largest = max(largest, columns.unsafe_load[width=BLOCK](column * BLOCK))
            var index = (first + x) * source.channels + channel
            if count == BLOCK:
                store(target, index, largest)
            else:
                store_some(target, index, largest, count)
