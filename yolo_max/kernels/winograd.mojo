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

from .grid import SIDE
from .transform import L, Transform
from .window import Window


struct F4x4(Transform):
    """F(4x4, 3x3), stride 1."""

    comptime WINDOW = Window(3, 1)
    comptime PATCH = 6
    comptime FILTERS = 36

    @staticmethod
    @always_inline
    def filter(point: Int) -> Int:
        return point

    @staticmethod
    @always_inline
    def to_points(d: Array[L, 6]) -> Array[L, 6]:
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

    @staticmethod
    @always_inline
    def from_points(m: Array[L, 6]) -> Array[L, SIDE]:
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
