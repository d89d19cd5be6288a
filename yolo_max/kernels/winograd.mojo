"""Winograd F(4x4, 3x3): a 3x3 convolution of stride 1 with 36 products for 16 outputs instead of 144.

In one direction, four outputs of a filter of three taps come from six inputs by Toom-Cook interpolation (Lavin &
Gray 2015, section 4): the product of two polynomials is known from its values at six points. With M(x) the product of
x - p over the five finite points p, the row of each matrix that belongs to p is

    B'   the coefficients of M(x) / (x - p); of M(x) itself for the point at infinity
    G    1, p, p^2, divided by the product of p - q over the other points q; 0, 0, 1 for infinity
    A    1, p, p^2, p^3; 0, 0, 0, 1 for infinity

The points are 0, ±a, ±b and infinity, a = 1/sqrt(2), b = sqrt(2). Their powers stay near 1, and what is rounded with
them: the result is half as far from the exact one as with the usual 0, ±1, ±2 (docs/performance.md). Since ab = 1,
M(x) = x (x^2 - 1/2) (x^2 - 2) = x^5 - 5/2 x^3 + x:

         | 1   0  -5/2   0   1  0 |          |   1      0     0  |          | 1   2    2   1    1  0 |
         | 0 -2a   -2    a   1  0 |          | -1/3   -a/3  -1/6 |     A' = | 0  2a  -2a   b   -b  0 |
    B' = | 0  2a   -2   -a   1  0 |      G = | -1/3    a/3  -1/6 |          | 0   1    1   2    2  0 |
         | 0 -b/2 -1/2   b   1  0 |          |  1/6    b/6   1/3 |          | 0   a   -a  2b  -2b  1 |
         | 0  b/2 -1/2  -b   1  0 |          |  1/6   -b/6   1/3 |
         | 0   1    0  -5/2  0  1 |          |   0      0     1  |

(±a of G is divided by two, and multiplied by two in A', where it saves a product.) In two directions it is nested
with itself: Y = A' [(G g G') * (B' d B)] A.
"""

from .grid import SIDE
from .transform import L, Transform

comptime A = L(0.7071067811865476)
comptime B = L(1.4142135623730951)


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
        var even = d[2].fma(L(-2), d[4])
        var odd = d[1].fma(L(-2), d[3])
        var even2 = d[2].fma(L(-0.5), d[4])
        var odd2 = d[1].fma(L(-0.5), d[3])
        var t = Array[L, 6](fill=L(0))
        t[0] = d[2].fma(L(-2.5), d[0] + d[4])
        t[1] = odd.fma(A, even)
        t[2] = odd.fma(-A, even)
        t[3] = odd2.fma(B, even2)
        t[4] = odd2.fma(-B, even2)
        t[5] = d[3].fma(L(-2.5), d[1] + d[5])
        return t^

    @staticmethod
    @always_inline
    def from_points(m: Array[L, 6]) -> Array[L, SIDE]:
        var sum = m[1] + m[2]
        var difference = m[1] - m[2]
        var sum2 = m[3] + m[4]
        var difference2 = m[3] - m[4]
        var y = Array[L, SIDE](fill=L(0))
        y[0] = sum.fma(L(2), m[0] + sum2)
        y[1] = (difference + difference2) * B
        y[2] = sum2.fma(L(2), sum)
        y[3] = difference2.fma(2 * B, difference.fma(A, m[5]))
        return y^
