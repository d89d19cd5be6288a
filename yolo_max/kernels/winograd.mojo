"""Winograd F(4x4, 3x3): a 3x3 convolution of stride 1 with 36 products for 16 outputs instead of 144.

In one direction, four outputs of a filter of three taps come from six inputs by Toom-Cook interpolation (Lavin &
Gray 2015, section 4): the product of two polynomials is known from its values at six points. With M(x) the product of
x - p over the five finite points p, the row of each matrix that belongs to p is

    B'   the coefficients of M(x) / (x - p); of M(x) itself for the point at infinity
    G    1, p, p^2, divided by the product of p - q over the other points q; 0, 0, 1 for infinity
    A    1, p, p^2, p^3; 0, 0, 0, 1 for infinity

The points are 0, ±a, ±2a and infinity, a = 45/64: the usual 0, ±1, ±2, scaled so that their powers stay near 1, and
what is rounded with them. The result is half as far from the exact one (docs/performance.md). All numbers of A' and B'
are exact in float32: with a = 1/sqrt(2) they are not, an error that is the same for all tiles and adds up in a network.
M(x) = x (x^2 - a^2) (x^2 - 4 a^2) = x^5 - 5 a^2 x^3 + 4 a^4 x:

         | 4a^4    0   -5a^2   0   1  0 |               |  1/4    0      0   |
         |  0    -4a^3 -4a^2   a   1  0 |               | -1/6  -a/6  -a^2/6 |          | 1   1    1    1     1   0 |
    B' = |  0     4a^3 -4a^2  -a   1  0 |     a^4 G =   | -1/6   a/6  -a^2/6 |     A' = | 0   a   -a   2a   -2a   0 |
         |  0    -2a^3  -a^2  2a   1  0 |               | 1/24  a/12   a^2/6 |          | 0  a^2  a^2 4a^2  4a^2  0 |
         |  0     2a^3  -a^2 -2a   1  0 |               | 1/24 -a/12   a^2/6 |          | 0  a^3 -a^3 8a^3 -8a^3  1 |
         |  0    4a^4    0   -5a^2 0  1 |               |   0    0     a^4   |

In two directions it is nested with itself: Y = A' [(G g G') * (B' d B)] A.
"""

from .grid import SIDE
from .transform import L, Transform

comptime A = Float32(45 / 64)
comptime A2 = A * A
comptime A3 = A * A2
comptime A4 = A2 * A2


struct F4x4(Transform):
    """F(4x4, 3x3), stride 1."""

    comptime STRIDE = 1
    comptime PATCH = 6
    comptime STARTS: List[Int] = [0, 1, 3, 5]
    comptime FILTERS = 36

    @staticmethod
    @always_inline
    def filter(point: Int) -> Int:
        return point

    @staticmethod
    def suits(height: Int, width: Int) -> Bool:
        """One or two rows take less time directly, whose rows of taps beyond the map are left out; and what a tile
        rounds is of the size of all its products, of which few reach them (measured: docs/kernels.md)."""
        return height > 2

    @staticmethod
    @always_inline
    def to_points(d: Array[L, 6]) -> Array[L, 6]:
        var even = d[2].fma(L(-4 * A2), d[4])
        var odd = d[1].fma(L(-4 * A2), d[3])
        var even2 = d[2].fma(L(-A2), d[4])
        var odd2 = d[1].fma(L(-A2), d[3])
        var t = Array[L, 6](fill=L(0))
        t[0] = d[2].fma(L(-5 * A2), d[0].fma(L(4 * A4), d[4]))
        t[1] = odd.fma(L(A), even)
        t[2] = odd.fma(L(-A), even)
        t[3] = odd2.fma(L(2 * A), even2)
        t[4] = odd2.fma(L(-2 * A), even2)
        t[5] = d[3].fma(L(-5 * A2), d[1].fma(L(4 * A4), d[5]))
        return t^

    @staticmethod
    @always_inline
    def from_points(m: Array[L, 6]) -> Array[L, SIDE]:
        var sum = m[1] + m[2]
        var difference = m[1] - m[2]
        var sum2 = m[3] + m[4]
        var difference2 = m[3] - m[4]
        var y = Array[L, SIDE](fill=L(0))
        y[0] = m[0] + sum + sum2
        y[1] = difference2.fma(L(2), difference) * L(A)
        y[2] = sum2.fma(L(4), sum) * L(A2)
        y[3] = difference2.fma(L(8), difference).fma(L(A3), m[5])
        return y^
