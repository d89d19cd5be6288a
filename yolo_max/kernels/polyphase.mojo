"""3x3 convolutions of stride 2 by their phases: 81 products for 16 outputs instead of 144.

In one direction, output i of a filter of three taps and stride 2 is

    y[i] = g[0] d[2i] + g[1] d[2i+1] + g[2] d[2i+2]

The samples with even index, taken alone, are convolved with the two taps g[0], g[2] at stride 1: that is
Winograd's F(4, 2), five products for four outputs, by Toom-Cook interpolation (winograd.mojo) at ±1/2, ±5/4 and
infinity, which rounds less than at 0, 1, -1, 2. M(x) = (x^2 - 1/4) (x^2 - 25/16) = x^4 - 29/16 x^2 + 25/64. Those with
odd index are multiplied with g[1] one by one: four products. Nine together instead of twelve:

         | -25/32 -25/16  1/2     1   0 |         |  -16/21   -8/21 |
         |  25/32 -25/16 -1/2     1   0 |         |   16/21   -8/21 |
    B' = |  -5/16  -1/4   5/4     1   0 |     G = |  32/105    8/21 |
         |   5/16  -1/4  -5/4     1   0 |         | -32/105    8/21 |
         |  25/64    0  -29/16    0   1 |         |     0       1   |

         | 1    1      1       1    0 |
    A' = | 1/2 -1/2   5/4    -5/4   0 |
         | 1/4  1/4  25/16   25/16  0 |
         | 1/8 -1/8 125/64 -125/64  1 |

In two directions it is nested with itself, as winograd.mojo has it. All four odd points of a direction use the
same filter g[1], so that 81 points share 36 transformed filters.
"""

from .grid import Grid, SIDE
from .transform import L, Transform


struct Phases(Transform):
    """4x4 outputs of a 3x3 convolution of stride 2; the last four points of a direction are the odd samples."""

    comptime STRIDE = 2
    comptime PATCH = 9
    comptime STARTS: List[Int] = [0, 2, 4, 5, 6, 7, 8]
    comptime FILTERS = 36

    @staticmethod
    @always_inline
    def filter(point: Int) -> Int:
        return min(point // 9, 5) * 6 + min(point % 9, 5)

    @staticmethod
    def suits(height: Int, width: Int) -> Bool:
        """Unless so much of the tiles lies behind the edges that direct sums take less time: where tiles have fewer
        than 13 outputs of 16 in the mean (measured: docs/kernels.md)."""
        var grid = Grid(height, width)
        return height * width >= 13 * grid.down() * grid.across()

    @staticmethod
    @always_inline
    def to_points(d: Array[L, 9]) -> Array[L, 9]:
        var even = d[0].fma(L(-25 / 16), d[4])
        var odd = d[2].fma(L(-25 / 16), d[6])
        var even2 = d[0].fma(L(-1 / 4), d[4])
        var odd2 = d[2].fma(L(-1 / 4), d[6])
        var t = Array[L, 9](fill=L(0))
        t[0] = even.fma(L(1 / 2), odd)
        t[1] = even.fma(L(-1 / 2), odd)
        t[2] = even2.fma(L(5 / 4), odd2)
        t[3] = even2.fma(L(-5 / 4), odd2)
        t[4] = d[4].fma(L(-29 / 16), d[0].fma(L(25 / 64), d[8]))
        comptime for i in range(4):
            t[5 + i] = d[2 * i + 1]
        return t^

    @staticmethod
    @always_inline
    def from_points(m: Array[L, 9]) -> Array[L, SIDE]:
        var sum = m[0] + m[1]
        var difference = m[0] - m[1]
        var sum2 = m[2] + m[3]
        var difference2 = m[2] - m[3]
        var y = Array[L, SIDE](fill=L(0))
        y[0] = sum + sum2 + m[5]
        y[1] = difference.fma(L(1 / 2), difference2.fma(L(5 / 4), m[6]))
        y[2] = sum.fma(L(1 / 4), sum2.fma(L(25 / 16), m[7]))
        y[3] = difference.fma(L(1 / 8), difference2.fma(L(125 / 64), m[4] + m[8]))
        return y^
