"""Pools: of the inputs under each window, the largest or the average.

Windows are rectangles, so a row of outputs is done in two steps: the columns of its rows, then each output's columns.
`Windows` says which rows and columns these are, for windows of one size and for adaptive ones.
"""

from std.math import ceildiv
from std.utils.numerics import neg_inf

from .arguments import Call, Params, require_size, slice_of
from .lanes import BLOCK, F32, Ptr, Scratch, V, Words, load, load_some, store, store_some
from .parallel import parallel_for
from .view import Slice

comptime AXIS_PARAMS = 4
comptime GROUP = 128
"""Channels at a time: memory is read in runs as long as these, and a map of one row is work for several threads."""
comptime WORTH = 1 << 17
"""Inputs that are worth starting a thread for."""
comptime LOWEST = V(neg_inf[F32]())
comptime INCLUDE_PADDING = 0
comptime EXCLUDE_PADDING = -1


struct Windows(Movable):
    """The inputs under every window along one axis: `count` of them from `first` on, `dilation` apart."""

    var first: Scratch[DType.int32]
    var count: Scratch[DType.int32]
    var size: Scratch[DType.int32]
    """Inputs and padding under the window."""
    var outputs: Int
    var dilation: Int

    def __init__(out self, params: Params, inputs: Int, outputs: Int):
        """Windows of a kernel, a stride, a padding and a dilation; or adaptive ones, if the kernel is 0."""
        self.first = Scratch[DType.int32](outputs)
        self.count = Scratch[DType.int32](outputs)
        self.size = Scratch[DType.int32](outputs)
        self.outputs = outputs
        var kernel = Int(params[unsafe_offset=0])
        var stride = Int(params[unsafe_offset=1])
        var padding = Int(params[unsafe_offset=2])
        self.dilation = Int(params[unsafe_offset=3])
        for i in range(outputs):
            var first = i * inputs // outputs
            var count = ceildiv((i + 1) * inputs, outputs) - first
            var size = count
            if kernel > 0:
                var start = i * stride - padding
                var skipped = ceildiv(max(0, -start), self.dilation)
                first = start + skipped * self.dilation
                count = max(0, min(kernel, ceildiv(inputs - start, self.dilation)) - skipped)
                size = min(kernel, inputs + padding - start)
            self.first.data[unsafe_offset=i] = Int32(first)
            self.count.data[unsafe_offset=i] = Int32(count)
            self.size.data[unsafe_offset=i] = Int32(size)


def max_pool[T: DType](call: Call) raises:
    """The largest input under each window; NaN if there is one, and minus infinity where there is none at all."""
    pool[T, True](call)


def average_pool[T: DType](call: Call) raises:
    """The average of the inputs under each window."""
    pool[T, False](call)


def pool[T: DType, LARGEST: Bool](call: Call) raises:
    """Pools a slice.

    Its params are the divisor of an average (INCLUDE_PADDING: all places under the window, EXCLUDE_PADDING: those on the
    map), four for each of the axes, then the one slice's.

    Raises:
        Error: The tensors do not fit each other.
    """
    var map = call.input(0)
    var result = call.result()
    var source = slice_of[T](call.params.unsafe_offset(1 + 2 * AXIS_PARAMS), map, 0)
    require_size("the result", result, map.batch, result.height, result.width)
    if result.channels != source.channels:
        raise Error("a pool of ", source.channels, " channels does not have ", result.channels)
    var divisor = Int(call.params[unsafe_offset=0])
    var rows = Windows(call.params.unsafe_offset(1), map.height, result.height)
    var columns = Windows(call.params.unsafe_offset(1 + AXIS_PARAMS), map.width, result.width)
    var groups = ceildiv(source.channels, GROUP)
    var target = result.data[T]()

    def some_groups(first: Int, last: Int) {imm}:
        var buffer = Scratch[F32](source.width * GROUP)
        for i in range(first, last):
            var row, group = divmod(i, groups)
            var image, y = divmod(row, rows.outputs)
            pool_row[T, LARGEST](
                source, image, rows, y, columns, group * GROUP, divisor, buffer.data,
                target.unsafe_offset(row * columns.outputs * source.channels + group * GROUP),
            )

    var workers = call.workers.for_work(map.batch * map.height * map.width * source.channels, WORTH)
    parallel_for(some_groups, map.batch * rows.outputs * groups, 4, workers)
    _ = rows^
    _ = columns^


@always_inline
def join[LARGEST: Bool](a: V, b: V) -> V:
    """The larger one, or NaN if either is; or the sum."""
    comptime if LARGEST:
        return (b.gt(a) | ~b.eq(b)).select(b, a)  # `ne` is false for NaN
    else:
        return a + b


@no_inline
def pool_row[
    T: DType, LARGEST: Bool
](
    source: Slice[T], image: Int, rows: Windows, y: Int, columns: Windows, channel: Int, divisor: Int, buffer: Words,
    target: Ptr[T],
):
    """A group of channels of one row of outputs."""
    comptime START = LOWEST if LARGEST else V(0)
    var channels = min(GROUP, source.channels - channel)
    var first = Int(rows.first.data[unsafe_offset=y])
    var height = Int(rows.count.data[unsafe_offset=y])
    var step = rows.dilation * source.width * source.stride
    var p = source.pixel(image, first, 0).unsafe_offset(channel)
    for x in range(source.width):
        for c in range(0, channels, BLOCK):
            var left = channels - c
            var joined = START
            var q = p.unsafe_offset(c)
            for _ in range(height):
                var pixel = load[T, BLOCK](q, 0) if left >= BLOCK else load_some[T, BLOCK](q, 0, left)
                joined = join[LARGEST](joined, pixel)
                q = q.unsafe_offset(step)
            buffer.unsafe_store(x * GROUP + c, joined)
        p = p.unsafe_offset(source.stride)
    for x in range(columns.outputs):
        var width = Int(columns.count.data[unsafe_offset=x])
        var column = buffer.unsafe_offset(Int(columns.first.data[unsafe_offset=x]) * GROUP)
        var factor = V(1)
        comptime if not LARGEST:
            var places = divisor
            if divisor == INCLUDE_PADDING:
                places = Int(rows.size.data[unsafe_offset=y]) * Int(columns.size.data[unsafe_offset=x])
            elif divisor == EXCLUDE_PADDING:
                places = max(1, width * height)
            factor = V(1 / Float32(places))
        for c in range(0, channels, BLOCK):
            var joined = START
            for i in range(width):
                joined = join[LARGEST](joined, column.unsafe_load[width=BLOCK](i * columns.dilation * GROUP + c))
            comptime if not LARGEST:
                joined *= factor
            if channels - c >= BLOCK:
                store(target, x * source.channels + c, joined)
            else:
                store_some(target, x * source.channels + c, joined, channels - c)
