"""Resizing by nearest neighbour and by bilinear interpolation, to the pixels that PyTorch takes.

Output i of an axis is at s = scale * i of the input: nearest takes floor(s), its exact form floor(scale * (i + 1/2)).
Bilinear interpolation is at s if corners are aligned, else at scale * (i + 1/2) - 1/2, not below 0. All of that is
in float32, as PyTorch has it, for these pixels depend on how it is rounded.
"""

from std.memory import bitcast

from .arguments import Call, Params, require_size, slice_of
from .lanes import BLOCK, F32, Ptr, Scratch, V, load, load_some, store, store_some
from .parallel import parallel_for
from .view import Slice

comptime WORTH = 1 << 17
"""Outputs that are worth starting a thread for."""
comptime NEAREST = 0
comptime NEAREST_EXACT = 1
comptime BILINEAR = 2
comptime BILINEAR_ALIGNED = 3


struct Samples(Movable):
    """For every output along one axis, the two inputs it lies between, and the weight of the second one."""

    var first: Scratch[DType.int32]
    var second: Scratch[DType.int32]
    var weight: Scratch[F32]

    def __init__(out self, mode: Int, given: Float32, inputs: Int, outputs: Int):
        """By a mode of those above, and a scale, or 0 for that of the sizes."""
        self.first = Scratch[DType.int32](outputs)
        self.second = Scratch[DType.int32](outputs)
        self.weight = Scratch[F32](outputs)
        var scale = given if given > 0 else Float32(inputs) / Float32(outputs)
        if mode == BILINEAR_ALIGNED:
            scale = Float32(inputs - 1) / Float32(outputs - 1) if outputs > 1 else 0
        for i in range(outputs):
            var at = Float32(i) * scale
            if mode == NEAREST_EXACT:
                at = (Float32(i) + 0.5) * scale
            elif mode == BILINEAR:
                at = max(Float32(0), scale * (Float32(i) + 0.5) - 0.5)
            var first = min(Int(at), inputs - 1)
            self.first.data[unsafe_offset=i] = Int32(first)
            self.second.data[unsafe_offset=i] = Int32(min(first + 1, inputs - 1))
            self.weight.data[unsafe_offset=i] = min(max(at - Float32(first), 0), 1)


def resize[T: DType](call: Call) raises:
    """Resizes a slice.

    Its params are the mode, the bits of the scale of the height and of the width (0 for that of the sizes), then the
    one slice's.

    Raises:
        Error: The tensors do not fit each other.
    """
    var map = call.input(0)
    var result = call.result()
    var source = slice_of[T](call.params.unsafe_offset(3), map, 0)
    require_size("the result", result, map.batch, result.height, result.width)
    if result.channels != source.channels:
        raise Error("a map of ", source.channels, " channels cannot be resized to one of ", result.channels)
    if map.height * map.width == 0:
        raise Error("an empty map cannot be resized")
    var mode = Int(call.params[unsafe_offset=0])
    var rows = Samples(mode, bitcast[F32, 1](call.params[unsafe_offset=1]), map.height, result.height)
    var columns = Samples(mode, bitcast[F32, 1](call.params[unsafe_offset=2]), map.width, result.width)

    def some_rows(first: Int, last: Int) {imm}:
        for row in range(first, last):
            var image, y = divmod(row, result.height)
            var target = result.data[T]().unsafe_offset(row * result.width * source.channels)
            for x in range(result.width):
                var pixel = target.unsafe_offset(x * source.channels)
                if mode == NEAREST or mode == NEAREST_EXACT:
                    var from_row = Int(rows.first.data[unsafe_offset=y])
                    var from_column = Int(columns.first.data[unsafe_offset=x])
                    copy_pixel(source.pixel(image, from_row, from_column), source.channels, pixel)
                else:
                    interpolate(source, image, rows, y, columns, x, pixel)

    var workers = call.workers.for_work(result.batch * result.height * result.width * result.channels, WORTH)
    parallel_for(some_rows, map.batch * result.height, 4, workers)
    _ = rows^
    _ = columns^


@always_inline
def copy_pixel[T: DType](source: Ptr[T], channels: Int, target: Ptr[T]):
    """Copies the channels of a pixel."""
    var c = 0
    while c + BLOCK <= channels:
        target.unsafe_store(c, source.unsafe_load[width=BLOCK](c))
        c += BLOCK
    for i in range(c, channels):
        target[unsafe_offset=i] = source[unsafe_offset=i]


@no_inline
def interpolate[
    T: DType
](source: Slice[T], image: Int, rows: Samples, y: Int, columns: Samples, x: Int, target: Ptr[T]):
    """One pixel, between four."""
    var top = Int(rows.first.data[unsafe_offset=y])
    var bottom = Int(rows.second.data[unsafe_offset=y])
    var left = Int(columns.first.data[unsafe_offset=x])
    var right = Int(columns.second.data[unsafe_offset=x])
    var down = V(rows.weight.data[unsafe_offset=y])
    var across = V(columns.weight.data[unsafe_offset=x])
    var top_left = source.pixel(image, top, left)
    var top_right = source.pixel(image, top, right)
    var bottom_left = source.pixel(image, bottom, left)
    var bottom_right = source.pixel(image, bottom, right)

    @always_inline
    def at(p: Ptr[T], c: Int, count: Int) {imm} -> V:
        return load[T, BLOCK](p, c) if count >= BLOCK else load_some[T, BLOCK](p, c, count)

    for c in range(0, source.channels, BLOCK):
        var count = source.channels - c
        var upper = at(top_left, c, count) * (V(1) - across) + at(top_right, c, count) * across
        var lower = at(bottom_left, c, count) * (V(1) - across) + at(bottom_right, c, count) * across
        var value = upper * (V(1) - down) + lower * down
        if count >= BLOCK:
            store(target, c, value)
        else:
            store_some(target, c, value, count)
