"""Transforms of tiles, in two directions one after the other: B' d B and A' m A (tiles.mojo).

What an algorithm gives are B' and A' for one direction, as `to_points` and `from_points`. One pass applies them
to all columns, a second one to all rows of what the first gave:

    patch  |d|d|d|d|d|d|  --B' on columns-->  a few rows  --B' on rows-->  points, each to a place of its own

Forward, a few rows are made at a time, as many as the registers hold, from columns that are loaded anew for them.
"""

from .activation import LANES
from .grid import SIDE
from .lanes import F32, Ptr, Words, load

comptime L = SIMD[F32, LANES]


trait Transform:
    """One algorithm: its sizes, and its matrices, which serve both directions one after the other."""

    comptime STRIDE: Int
    comptime PATCH: Int
    """Input pixels of a patch in one direction, and its points; patches of neighbouring tiles overlap."""
    comptime STARTS: List[Int]
    """The first of each few points of a direction that are made together, for they share most of their sums."""
    comptime FILTERS: Int
    """Transformed filters for each pair of channels; several points may share one."""

    @staticmethod
    def filter(point: Int) -> Int:
        """Which transformed filter a point, of both directions together, is multiplied with."""
        ...

    @staticmethod
    def suits(height: Int, width: Int) -> Bool:
        """Whether it is used for output maps of this size; others are summed up directly."""
        ...

    @staticmethod
    def to_points(d: Array[L, Self.PATCH]) -> Array[L, Self.PATCH]:
        """B' d."""
        ...

    @staticmethod
    def from_points(m: Array[L, Self.PATCH]) -> Array[L, SIDE]:
        """A' m."""
        ...


@always_inline
def forward[
    Algorithm: Transform, T: DType
](patch: Ptr[T], column: Int, row: Int, points: Words, point_stride: Int):
    """Transforms LANES channels of a patch, B' d B.

    Args:
        patch: Its first pixel.
        column: Elements from one pixel to the next.
        row: Elements from one row to the next.
        points: The first point of the result.
        point_stride: Words from one point to the next.
    """
    comptime N = Algorithm.PATCH
    comptime STARTS = Algorithm.STARTS
    comptime for g in range(len(STARTS)):
        comptime FIRST = STARTS[g]
        comptime END = STARTS[g + 1] if g + 1 < len(STARTS) else N
        var rows = Array[L, (END - FIRST) * N](fill=L(0))
        comptime for c in range(N):
            var d = Array[L, N](fill=L(0))
            comptime for r in range(N):
                d[r] = load[T, LANES](patch, r * row + c * column)
            var t = Algorithm.to_points(d)
            comptime for i in range(FIRST, END):
                rows[(i - FIRST) * N + c] = t[i]
        comptime for i in range(FIRST, END):
            var d = Array[L, N](fill=L(0))
            comptime for c in range(N):
                d[c] = rows[(i - FIRST) * N + c]
            var t = Algorithm.to_points(d)
            comptime for j in range(N):
                points.unsafe_store((i * N + j) * point_stride, t[j])


@always_inline
def inverse[Algorithm: Transform](products: Words, point_stride: Int, bias: L, outputs: Words):
    """Transforms LANES channels of products back to a tile of outputs, A' m A, and adds the bias.

    Args:
        products: The first point.
        point_stride: Words from one point to the next.
        bias: Of these channels.
        outputs: The result, [SIDE, SIDE, LANES].
    """
    comptime N = Algorithm.PATCH
    var columns = Array[L, N * SIDE](fill=L(0))
    comptime for c in range(N):
        var m = Array[L, N](fill=L(0))
        comptime for r in range(N):
            m[r] = products.unsafe_load[width=LANES]((r * N + c) * point_stride)
        var y = Algorithm.from_points(m)
        comptime for r in range(SIDE):
            columns[r * N + c] = y[r]
    comptime for r in range(SIDE):
        var m = Array[L, N](fill=L(0))
        comptime for c in range(N):
            m[c] = columns[r * N + c]
        var y = Algorithm.from_points(m)
        comptime for c in range(SIDE):
            outputs.unsafe_store((r * SIDE + c) * LANES, y[c] + bias)
