"""Batched products of two matrices that are known at run time only.

    [b0 or 1, b1 or 1, m, k] x [b0 or 1, b1 or 1, k, n] -> [b0, b1, m, n]

The second matrix is packed into panels first (gemm.mojo). Where the first one has few rows that would take longer than
the product itself, so there the second one is read in place (`multiply_few`). Where the second one is a single panel,
it is the first one that is read in place (`multiply_narrow`).
"""

from std.math import ceildiv
from std.memory import bitcast

from .arguments import Call, Params, SLICE_PARAMS, Tensor, slice_of
from .epilogue import Output, epilogue, read, store_first
from .gemm import DEPTH, Matrix, TILES, WORTH, WORTH_READING, multiply, pack_panel, pack_panels, pack_rows, padded
from .lanes import AVX512, BLOCK, F32, Scratch, V, Words, load, load_some, store
from .microkernel import PANEL
from .parallel import Workers, parallel_for

comptime FEW = 8
"""Rows of the first matrix that do not pay for packing the second one."""
comptime ROWS_AT_ONCE = 16 if AVX512 else 4
"""Rows of the second matrix that are in registers at a time, for one row of the first."""

comptime NARROW_ROWS = 12 if AVX512 else 6
"""Rows of the first matrix that meet a single panel at a time: each takes a register for its address."""


struct Operand(Copyable, ImplicitlyCopyable, Movable):
    """A batch of matrices [b0, b1, rows, columns], perhaps columns of larger ones."""

    var first: Matrix
    """As it is to be multiplied: `rows` and `columns` are those after transposing."""
    var outer: Int
    var inner: Int
    var size: Int
    """Words from one matrix to the next."""

    def __init__(out self, map: Tensor, slice: Params, index: Int, transposed: Bool) raises:
        """The columns of a tensor that the three params of a slice name."""
        var taken = slice_of[F32](slice, map, index)
        var rows = taken.channels if transposed else map.width
        var columns = map.width if transposed else taken.channels
        self.first = Matrix(taken.data, rows, columns, map.channels, transposed)
        self.outer = map.batch
        self.inner = map.height
        self.size = map.width * map.channels

    def __getitem__(self, outer: Int, inner: Int) -> Matrix:
        """One of the matrices; a batch of one is repeated."""
        var index = (outer if self.outer > 1 else 0) * self.inner + (inner if self.inner > 1 else 0)
        var matrix = self.first
        matrix.data = matrix.data.unsafe_offset(index * self.size)
        return matrix


def matmul(call: Call) raises:
    """alpha * a * b + bias, for every matrix of a batch.

    Its params are whether a and b are transposed, the bits of alpha, whether there is a bias (one per column); then
    those of two slices.

    Raises:
        Error: The tensors do not fit each other.
    """
    var params = call.params
    var a = Operand(call.input(0), params.unsafe_offset(4), 0, params[unsafe_offset=0] != 0)
    var b = Operand(call.input(1), params.unsafe_offset(4 + SLICE_PARAMS), 1, params[unsafe_offset=1] != 0)
    var alpha = bitcast[F32, 1](params[unsafe_offset=2])
    var result = call.result()
    var n = b.first.columns
    if a.first.columns != b.first.rows:
        raise Error("rows of ", a.first.columns, " numbers cannot be multiplied by columns of ", b.first.rows)
    require_batch(a, result)
    require_batch(b, result)
    if result.width != a.first.rows or result.channels != n:
        raise Error(
            "the product is ", result.width, " x ", result.channels, " where ", a.first.rows, " x ", n, " is needed"
        )
    var items = result.batch * result.height
    if items * result.width * n == 0:
        return
    if b.outer * b.inner == 1 and a.outer * a.inner == items and not a.first.transposed:
        # One matrix for all: then the batch is nothing but more rows.
        a.first.rows *= items
        a.outer = 1
        a.inner = 1
        result.width *= items
        result.batch = 1
        result.height = 1
        items = 1
    var addends = Scratch[F32](padded(n))
    addends.clear()
    if params[unsafe_offset=3] != 0:
        for i in range(n):
            addends.data[unsafe_offset=i] = Words(unsafe_from_address=call.bias)[unsafe_offset=i]

    var is_few = result.width <= FEW and not b.first.transposed
    var numbers = items * a.first.columns * n
    var workers = call.workers.for_work(numbers, WORTH_READING) if is_few else call.workers.for_work(
        numbers * result.width, WORTH
    )

    def one_item(item: Int, workers: Workers) {imm}:
        var outer, inner = divmod(item, result.height)
        var data = result.data[F32]().unsafe_offset(item * result.width * n)
        var output = Output[F32](data, n)
        var second = b[outer, inner]
        if is_few:
            multiply_few(a[outer, inner], alpha, second, addends.data, output, workers)
            return
        if n <= PANEL and not a.first.transposed:
            multiply_narrow(a[outer, inner], alpha, second, addends.data, output, workers)
            return
        var panels = Scratch[F32](second.rows * padded(n))
        pack_panels(second, panels.data, workers)
        multiply(a[outer, inner], alpha, panels.data, second.rows, n, addends.data, output, workers)
        _ = panels^

    if items % workers.threads == 0 or items >= 4 * workers.threads:

        def some_items(first: Int, last: Int) {imm}:
            for item in range(first, last):
                one_item(item, Workers(1, call.workers.context))

        parallel_for(some_items, items, 1, workers)
    else:
        for item in range(items):
            one_item(item, workers)
    _ = addends^


def require_batch(operand: Operand, result: Tensor) raises:
    """Raises unless the batch of an operand is that of the result, or one that is repeated."""
    var fits = operand.outer in [1, result.batch] and operand.inner in [1, result.height]
    if not fits:
        raise Error(
            "a batch of ", operand.outer, " x ", operand.inner, " matrices cannot be repeated to ", result.batch, " x ",
            result.height,
        )


def multiply_few(a: Matrix, factor: Float32, b: Matrix, addends: Words, output: Output[F32], workers: Workers):
    """The product of factor * `a`, which has FEW rows at most, and a matrix as it lies in memory, plus a row.

    It is read once and in order, a few of its rows at a time, as memory is fastest; the sums stay in the first cache.
    """
    var step = padded(a.columns)
    var rows = Scratch[F32](FEW * step)
    for i in range(a.rows * step, (1 if a.rows == 1 else FEW) * step):
        rows.data[unsafe_offset=i] = 0
    pack_rows(a, 0, a.rows, 0, a.columns, factor, rows.data, step)

    def some_blocks(first: Int, last: Int) {imm}:
        var column = first * BLOCK
        var columns = min(last * BLOCK, b.columns) - column
        var width = padded(columns)
        var sums = Scratch[F32](FEW * width)
        sums.clear()

        @always_inline
        def run[M: Int]() {imm}:
            comptime ROWS = max(1, ROWS_AT_ONCE // M)
            for k in range(0, b.rows - b.rows % ROWS, ROWS):
                add_rows[M, ROWS](rows.data.unsafe_offset(k), step, b.at(k, column), b.stride, columns, sums.data, width)
            for k in range(b.rows - b.rows % ROWS, b.rows):
                add_rows[M, 1](rows.data.unsafe_offset(k), step, b.at(k, column), b.stride, columns, sums.data, width)

        if a.rows == 1:
            run[1]()
        elif a.rows == 2:
            run[2]()
        elif a.rows <= 4:
            run[4]()
        else:
            run[FEW]()
        for i in range(a.rows):
            for c in range(0, width, BLOCK):
                var sum = load[F32, BLOCK](sums.data, i * width + c)
                store(sums.data, i * width + c, sum + load[F32, BLOCK](addends, column + c))
        epilogue(sums.data, width, a.rows, output, 0, column, columns)
        _ = sums^

    parallel_for(some_blocks, ceildiv(b.columns, BLOCK), ceildiv(b.columns, BLOCK * workers.threads), workers)
    _ = rows^


@no_inline
def add_rows[
    M: Int, ROWS: Int
](words: Words, step: Int, b: Words, stride: Int, columns: Int, sums: Words, width: Int):
    """Adds ROWS rows of a matrix, each times a word of each of M rows, to the sums of these."""
    comptime CHAINS = max(1, ROWS // 4)
    for c in range(0, columns, BLOCK):
        var left = columns - c
        var row = Array[V, ROWS](uninitialized=True)
        comptime for r in range(ROWS):
            var p = b.unsafe_offset(r * stride + c)
            row[r] = load[F32, BLOCK](p, 0) if left >= BLOCK else load_some[F32, BLOCK](p, 0, left)
        comptime for i in range(M):
            var parts = Array[V, CHAINS](fill=V(0))
            parts[0] = load[F32, BLOCK](sums, i * width + c)
            comptime for r in range(ROWS):
                parts[r % CHAINS] = V(words[unsafe_offset=i * step + r]).fma(row[r], parts[r % CHAINS])
            comptime for j in range(1, CHAINS):
                parts[0] += parts[j]
            store(sums, i * width + c, parts[0])


def multiply_narrow(a: Matrix, factor: Float32, b: Matrix, addends: Words, output: Output[F32], workers: Workers):
    """The product of factor * `a` and a matrix of at most a panel's columns, plus a row.

    Every row of `a` is used once, so it would not pay to pack it. Rows of whole blocks, one behind the other, are a panel.
    """
    var is_panel = not b.transposed and b.stride == b.columns and b.columns % BLOCK == 0
    var packed = Scratch[F32](0 if is_panel else b.rows * padded(b.columns))
    if not is_panel:
        pack_panel(b, 0, packed.data)
    var panel = b.data if is_panel else packed.data

    def some_tiles(first: Int, last: Int) {imm}:
        for tile in range(first, last):
            var row = tile * NARROW_ROWS
            if b.columns > BLOCK:
                narrow_tile[2](a, row, factor, panel, b.columns, addends, output)
            else:
                narrow_tile[1](a, row, factor, panel, b.columns, addends, output)

    parallel_for(some_tiles, ceildiv(a.rows, NARROW_ROWS), TILES, workers)
    _ = packed^


@no_inline
def narrow_tile[
    N: Int
](a: Matrix, first: Int, factor: Float32, panel: Words, columns: Int, addends: Words, output: Output[F32]):
    """The product of up to NARROW_ROWS rows and a panel of N blocks, DEPTH columns of `a` at a time as `multiply` does."""
    comptime BLOCKS = N if AVX512 else 1
    var m = a.rows - first
    var rows = Array[Words, NARROW_ROWS](fill=a.at(first, 0))
    comptime for i in range(1, NARROW_ROWS):
        rows[i] = rows[i - 1].unsafe_offset(a.stride if i < m else 0)  # behind the last one, it again
    for block in range(0, N, BLOCKS):
        var w = panel.unsafe_offset(block * BLOCK)
        for part in range(0, max(1, a.columns), DEPTH):
            var sums = Array[V, NARROW_ROWS * BLOCKS](fill=V(0))
            for k in range(part, min(part + DEPTH, a.columns)):
                var row = Array[V, BLOCKS](fill=V(0))
                comptime for b in range(BLOCKS):
                    row[b] = load[F32, BLOCK](w, b * BLOCK)
                comptime for i in range(NARROW_ROWS):
                    var word = V(rows[i][unsafe_offset=k])
                    comptime for b in range(BLOCKS):
                        sums[i * BLOCKS + b] = word.fma(row[b], sums[i * BLOCKS + b])
                w = w.unsafe_offset(N * BLOCK)
            var is_last = part + DEPTH >= a.columns
            var target = output.at(first, block * BLOCK)
            comptime for i in range(NARROW_ROWS):
                if i < m:
                    comptime for b in range(BLOCKS):
                        var column = (block + b) * BLOCK
                        var sum = sums[i * BLOCKS + b]
                        if part > 0:
                            sum += read[BLOCK](target.unsafe_offset(b * BLOCK), columns - column)
                        if is_last:
                            sum = sum.fma(V(factor), load[F32, BLOCK](addends, column))
                        store_first(target.unsafe_offset(b * BLOCK), sum, columns - column)
                    target = target.unsafe_offset(output.stride)
