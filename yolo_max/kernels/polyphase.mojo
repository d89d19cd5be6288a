"""3x3 convolutions of stride 2 by their phases: 81 products for 16 outputs instead of 144.

In one direction, output i of a filter of three taps and stride 2 is

    y[i] = g[0] d[2i] + g[1] d[2i+1] + g[2] d[2i+2]

The samples with even index, taken alone, are convolved with the two taps g[0], g[2] at stride 1: that is
Winograd's F(4, 2), five products for four outputs, by Toom-Cook interpolation at 0, 1, -1, 2 and infinity.
Those with odd index are multiplied with g[1] one by one: four products. Nine together instead of twelve:

         | 2 -1 -2  1  0 |            |  1/2   0   |
         | 0 -2 -1  1  0 |            | -1/2 -1/2  |          | 1  1  1  1  0 |
    B' = | 0  2 -3  1  0 |       G =  | -1/6  1/6  |     A' = | 0  1 -1  2  0 |
         | 0 -1  0  1  0 |            |  1/6  1/3  |          | 0  1  1  4  0 |
         | 0  2 -1 -2  1 |            |   0    1   |          | 0  1 -1  8  1 |

In two directions it is nested with itself, as winograd.mojo has it. All four odd points of a direction use the
same filter g[1], so that 81 points share 36 transformed filters.
"""

from .grid import SIDE
from .transform import L, Transform
from .window import Window


struct Phases(Transform):
    """4x4 outputs of a 3x3 convolution of stride 2; the last four points of a direction are the odd samples."""

    comptime WINDOW = Window(3, 2)
    comptime PATCH = 9
    comptime FILTERS = 36

    @staticmethod
    @always_inline
    def filter(point: Int) -> Int:
        return min(point // 9, 5) * 6 + min(point % 9, 5)

    @staticmethod
    @always_inline
    def to_points(d: Array[L, 9]) -> Array[L, 9]:
        var difference = d[6] - d[2]
        var step = d[6] - d[4]
        var t = Array[L, 9](fill=L(0))
        t[0] = (d[0] - d[4]).fma(L(2), difference)
        t[1] = d[2].fma(L(-2), step)
        t[2] = (d[4] - d[2]).fma(L(-2), step)
        t[3] = difference
        t[4] = difference.fma(L(-2), d[8] - d[4])
        comptime for i in range(4):
            t[5 + i] = d[2 * i + 1]
        return t^

    @staticmethod
    @always_inline
    def from_points(m: Array[L, 9]) -> Array[L, SIDE]:
        var sum = m[1] + m[2]
        var difference = m[1] - m[2]
        var y = Array[L, SIDE](fill=L(0))
        y[0] = m[0] + sum + (m[3] + m[5])
        y[1] = m[3].fma(L(2), difference) + m[6]
        y[2] = m[3].fma(L(4), sum) + m[7]
        y[3] = m[3].fma(L(8), difference) + (m[4] + m[8])
        return y^
