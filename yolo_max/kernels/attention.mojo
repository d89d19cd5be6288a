"""Attention, softmax(q k^T scale) v, in one pass over blocks of keys.

A tile of MR queries meets KEYS keys at a time. Their scores stay in the first cache; they become weights exp(s - m) with
m the largest score so far, and these are multiplied with the values at once. Where a later block has a larger score,
what has been summed up is scaled by exp(m - new m) (Milakov and Gimelshein, "Online normalizer calculation for softmax",
2018):

    scores   = tile * k^T          MR x KEYS, never larger
    m'       = max(m, scores)
    weights  = exp((scores - m') scale)
    total    = total * exp((m - m') scale) + sum(weights)
    result   = result * exp((m - m') scale) + weights * v        in the end divided by total

The scale comes last: large scores round when they are scaled, their differences hardly do.

Queries, keys and values are channels of three maps, or of one; each head begins a fixed number of channels behind the one
before, so that no layout has to be copied.
"""

from std.math import ceildiv
from std.memory import bitcast

from .activation import exponential
from .arguments import Call, SLICE_PARAMS, Tensor, require_size, slice_of
from .epilogue import Output
from .gemm import DEPTH, Matrix, STEP, WORTH, multiply_panel, pack_panels, pack_rows, padded
from .lanes import BLOCK, F32, MR, Scratch, V, Words, load, store, store_some
from .microkernel import PANEL, Taps
from .parallel import Workers, parallel_for
from .softmax import LOWEST, exponentials, largest
from .view import Slice

comptime KEYS = DEPTH
comptime ATTENTION_PARAMS = 7


struct Heads(Copyable, ImplicitlyCopyable, Movable):
    """The rows of every head: `size` channels of each pixel."""

    var slice: Slice[F32]
    var step: Int
    """Channels from one head to the next."""
    var size: Int

    def __init__(out self, call: Call, index: Int, step: Int, size: Int, heads: Int) raises:
        """The channels that the params name."""
        var params = call.params.unsafe_offset(ATTENTION_PARAMS + index * SLICE_PARAMS)
        self.slice = slice_of[F32](params, call.input(index), index)
        self.step = step
        self.size = size
        if step < 0 or self.slice.channels < (heads - 1) * step + size:
            raise Error(heads, " heads of ", size, " channels, ", step, " apart, do not fit ", self.slice.channels)

    def matrix(self, image: Int, head: Int, transposed: Bool) -> Matrix:
        """Pixels x channels, or the other way round."""
        var pixels = self.slice.height * self.slice.width
        var data = self.slice.pixel(image, 0, 0).unsafe_offset(head * self.step)
        if transposed:
            return Matrix(data, self.size, pixels, self.slice.stride, True)
        return Matrix(data, pixels, self.size, self.slice.stride, False)


def attention(call: Call) raises:
    """Attention of one map to another, for every image and head.

    Its params are the heads, the channels of a key and of a value, the channels from one head to the next of the
    queries, the keys and the values, the bits of the scale; then the slices of queries, keys and values. The result has
    the size of the queries, and its channels are the heads' values, one after the other.

    Raises:
        Error: The tensors do not fit each other, or a key has more than DEPTH channels.
    """
    var params = call.params
    var heads = Int(params[unsafe_offset=0])
    var key_size = Int(params[unsafe_offset=1])
    var value_size = Int(params[unsafe_offset=2])
    var scale = bitcast[F32, 1](params[unsafe_offset=6])
    var q = Heads(call, 0, Int(params[unsafe_offset=3]), key_size, heads)
    var k = Heads(call, 1, Int(params[unsafe_offset=4]), key_size, heads)
    var v = Heads(call, 2, Int(params[unsafe_offset=5]), value_size, heads)
    var images = call.input(0).batch
    var keys = k.slice.height * k.slice.width
    require_size("the values", call.input(2), images, k.slice.height, k.slice.width)
    require_size("the keys", call.input(1), images, k.slice.height, k.slice.width)
    require_size("the result", call.result(), images, q.slice.height, q.slice.width)
    if key_size > DEPTH:
        raise Error("a key has at most ", DEPTH, " channels, not ", key_size)
    if call.result().channels != heads * value_size:
        raise Error("the result has ", call.result().channels, " channels where ", heads * value_size, " are needed")
    var queries = q.slice.height * q.slice.width
    var tiles = ceildiv(queries, MR)
    var items = images * heads
    if items * tiles == 0:
        return
    # Work is shared out by queries of a head; whoever begins with a head packs its keys and values.
    var workers = call.workers.for_work(items * queries * keys * (key_size + value_size), WORTH)
    var parts = min(tiles, ceildiv(2 * workers.threads, items))
    var target = call.result().data[F32]()

    def some_parts(first: Int, last: Int) {imm}:
        var work = Tile(keys, key_size, value_size)
        var packed = -1
        for part in range(first, last):
            var item = part // parts
            var image, head = divmod(item, heads)
            if item != packed:
                pack_panels(k.matrix(image, head, True), work.keys.data, Workers(1, call.workers.context))
                pack_panels(v.matrix(image, head, False), work.values.data, Workers(1, call.workers.context))
                packed = item
            var matrix = q.matrix(image, head, False)
            for t in range(tiles * (part % parts) // parts, tiles * (part % parts + 1) // parts):
                var row = queries * t // tiles
                var pixel = (image * queries + row) * heads + head
                work.attend(
                    matrix, row, queries * (t + 1) // tiles - row, scale, keys, target.unsafe_offset(pixel * value_size),
                    heads * value_size,
                )

    parallel_for(some_parts, items * parts, 1, workers)


struct Tile(Movable):
    """What one thread needs: the packed keys and values of a head, and a tile of queries."""

    var keys: Scratch[F32]
    var values: Scratch[F32]
    var queries: Scratch[F32]
    var scores: Scratch[F32]
    var sums: Scratch[F32]
    var zeros: Scratch[F32]
    var totals: Scratch[F32]
    var most: Scratch[F32]
    var taps: Taps
    var key_size: Int
    var value_size: Int

    def __init__(out self, keys: Int, key_size: Int, value_size: Int):
        self.keys = Scratch[F32](key_size * padded(keys))
        self.values = Scratch[F32](keys * padded(value_size))
        self.queries = Scratch[F32](MR * STEP)
        self.scores = Scratch[F32](MR * STEP)
        self.sums = Scratch[F32](MR * padded(value_size))
        self.zeros = Scratch[F32](PANEL)
        self.zeros.clear()
        self.totals = Scratch[F32](MR)
        self.most = Scratch[F32](MR)
        self.taps = Taps(1, 0)
        self.taps.begin(0, 0)
        self.key_size = key_size
        self.value_size = value_size

    def attend(mut self, queries: Matrix, row: Int, m: Int, scale: Float32, keys: Int, target: Words, stride: Int):
        """The results of m queries, `stride` words apart."""
        var width = padded(self.value_size)
        var step = abs(scale) if scale != 0 else Float32(1)
        self.sums.clear()
        self.totals.clear()
        for i in range(m):
            self.most.data[unsafe_offset=i] = LOWEST[0]
        pack_rows(queries, row, m, 0, self.key_size, scale / step, self.queries.data, STEP)
        for first in range(0, keys, KEYS):
            var count = min(KEYS, keys - first)
            self.score(m, first, count, keys)
            for i in range(m):
                self.weigh(i, count, step, width)
            self.add_values(m, first, count, width, keys)
        for i in range(m):
            var factor = V(1) / self.totals.data[unsafe_offset=i]
            var sums = self.sums.data.unsafe_offset(i * width)
            for c in range(0, self.value_size, BLOCK):
                var left = self.value_size - c
                if left >= BLOCK:
                    store(target, i * stride + c, load[F32, BLOCK](sums, c) * factor)
                else:
                    store_some(target, i * stride + c, load[F32, BLOCK](sums, c) * factor, left)

    def score(mut self, m: Int, first: Int, count: Int, keys: Int):
        """The scores of `count` keys from `first` on."""
        var output = Output[F32](self.scores.data, STEP)
        for i in range(m):
            self.taps.addends.data[unsafe_offset=i] = 0
        self.taps.run = self.key_size
        for column in range(0, count, PANEL):
            var panel = self.keys.data.unsafe_offset((first + column) * self.key_size)
            multiply_panel(m, self.queries.data, self.taps, panel, self.zeros.data, output, 0, column, padded(count - column))

    def add_values(mut self, m: Int, first: Int, count: Int, width: Int, keys: Int):
        """Adds the weighted values of these keys."""
        var output = Output[F32](self.sums.data, width)
        for i in range(m):
            self.taps.addends.data[unsafe_offset=i] = Int64(i * width)
        self.taps.run = count
        for column in range(0, self.value_size, PANEL):
            var left = self.value_size - column
            var panel = self.values.data.unsafe_offset(column * keys + first * min(PANEL, padded(left)))
            multiply_panel(
                m, self.scores.data, self.taps, panel, self.sums.data.unsafe_offset(column), output, 0, column, padded(left)
            )

    def weigh(mut self, i: Int, count: Int, scale: Float32, width: Int):
        """Makes the scores of a query its weights, and scales what it has summed up to the new largest score."""
        var scores = self.scores.data.unsafe_offset(i * STEP)
        var before = self.most.data[unsafe_offset=i]
        var most = largest(scores, count)
        most = most if most != most else max(before, most)
        var sum = exponentials(scores, count, most, scale, scores)
        var factor = exponential(V((before - most) * scale))
        self.most.data[unsafe_offset=i] = most
        self.totals.data[unsafe_offset=i] = self.totals.data[unsafe_offset=i] * factor[0] + sum
        if most != before:
            var sums = self.sums.data.unsafe_offset(i * width)
            for c in range(0, width, BLOCK):
                store(sums, c, load[F32, BLOCK](sums, c) * factor)
