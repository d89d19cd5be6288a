"""Winograd F(4x4, 3x3): a 3x3 convolution of stride 1 with 36 products for 16 outputs instead of 144.

In one direction, four outputs of a filter of three taps come from six inputs, by Toom-Cook interpolation at
the points 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2015, section 4.3):

         |  4  0 -5  0  1  0 |            |  1/4     0     0  |
         |  0 -4 -4  1  1  0 |            | -1/6  -1/6  -1/6  |          | 1  1  1  1  1  0 |
    B' = |  0  4 -4 -1  1  0 |       G =  | -1/6   1/6  -1/6  |     A' = | 0  1 -1  2 -2  0 |
         |  0 -2 -1  2  1  0 |            |  1/24  1/12  1/6  |          | 0  1  1  4  4  0 |
         |  0  2 -1 -2  1  0 |            |  1/24 -1/12  1/6  |          | 0  1 -1  8 -8  1 |
         |  0  4  0 -5  0  1 |            |   0     0     1   |

In two directions it is nested with itself: Y = A' [(G g G') * (B' d B)] A.
"""

from .direct import Window
from .grid import SIDE
from .lanes import Ptr, Words, load
from .squares import L, LANES, Transform


@always_inline
def to_points(d: Array[L, 6]) -> Array[L, 6]:
    """B' d."""
    var even = d[2].fma(L(-4), d[4])
    var odd = d[1].fma(L(-4), d[3])
    var even2 = d[4] - d[2]
    var odd2 = d[3] - d[1]
    var t = Array[L, 6](fill=L(0))
    t[0] = d[0].fma(L(4), d[2].fma(L(-5), d[4]))
    t[1] = even + odd
    t[2] = even - odd
    t[3] = odd2.fma(L(2), even2)
    t[4] = odd2.fma(L(-2), even2)
    t[5] = d[1].fma(L(4), d[3].fma(L(-5), d[5]))
    return t^


@always_inline
def from_points(m: Array[L, 6]) -> Array[L, SIDE]:
    """A' m."""
    var sum1 = m[1] + m[2]
    var difference1 = m[1] - m[2]
    var sum2 = m[3] + m[4]
    var difference2 = m[3] - m[4]
    var y = Array[L, SIDE](fill=L(0))
    y[0] = m[0] + sum1 + sum2
    y[1] = difference2.fma(L(2), difference1)
    y[2] = sum2.fma(L(4), sum1)
    y[3] = difference2.fma(L(8), difference1) + m[5]
    return y^


@always_inline
def store_row(t: Array[L, 6], points: Words, first: Int, apart: Int):
    """Stores six points, from point `first` on."""
    comptime for i in range(6):
        points.unsafe_store((first + i) * apart, t[i])


struct F4x4(Transform):
    """F(4x4, 3x3), stride 1."""

    comptime WINDOW = Window(3, 1)
    comptime PATCH = 6
    comptime POINTS = 36
    comptime FILTERS = 36

    @staticmethod
    @always_inline
    def filter(point: Int) -> Int:
        return point

    @staticmethod
    @always_inline
    def forward[T: DType](patch: Ptr[T], column: Int, row: Int, points: Words, apart: Int):
        # Two rows of points at a time, those that share their sums: all 36 vectors would not fit the registers.
        comptime for pair in range(3):
            comptime first = 0 if pair == 0 else 2 * pair - 1
            comptime second = 5 if pair == 0 else 2 * pair
            var upper = Array[L, 6](fill=L(0))
            var lower = Array[L, 6](fill=L(0))
            comptime for c in range(6):
                var d = Array[L, 6](fill=L(0))
                comptime for r in range(6):
                    d[r] = load[T, LANES](patch, r * row + c * column)
                var t = to_points(d)
                upper[c] = t[first]
                lower[c] = t[second]
            store_row(to_points(upper), points, first * 6, apart)
            store_row(to_points(lower), points, second * 6, apart)

    @staticmethod
    @always_inline
    def inverse(products: Words, apart: Int, bias: L, outputs: Words):
        var columns = Array[L, 6 * SIDE](fill=L(0))
        comptime for c in range(6):
            var m = Array[L, 6](fill=L(0))
            comptime for r in range(6):
                m[r] = products.unsafe_load[width=LANES]((r * 6 + c) * apart)
            # The point that every output takes once, in both directions.
            comptime if c == 1:
                m[1] += bias
            var y = from_points(m)
            comptime for r in range(SIDE):
                columns[r * 6 + c] = y[r]
        comptime for r in range(SIDE):
            var m = Array[L, 6](fill=L(0))
            comptime for c in range(6):
                m[c] = columns[r * 6 + c]
            var y = from_points(m)
            comptime for c in range(SIDE):
                outputs.unsafe_store((r * SIDE + c) * LANES, y[c])
