"""Output maps cut into squares of 4 x 4 outputs.

    map of 10 x 6 outputs    | 0 0 0 0 | 1 1 1 1 | 2 2 . . |
                             |   ...   |   ...   |   ...   |
                             | 3 3 3 3 | 4 4 4 4 | 5 5 . . |
                             |   ...   |   ...   |   ...   |
"""

from std.math import ceildiv

comptime SIDE = 4
"""Outputs of a square, in each direction."""


@fieldwise_init
struct Square(Copyable, ImplicitlyCopyable, Movable):
    """The place of 4 x 4 outputs: image, first row, first column."""

    var image: Int
    var y: Int
    var x: Int


@fieldwise_init
struct Grid(Copyable, ImplicitlyCopyable, Movable):
    """The squares of a batch of output maps, numbered row by row; the last of a row may stick out."""

    var height: Int
    """Of the output map, as the width."""
    var width: Int

    @always_inline
    def across(self) -> Int:
        return ceildiv(self.width, SIDE)

    @always_inline
    def down(self) -> Int:
        return ceildiv(self.height, SIDE)

    @always_inline
    def square(self, number: Int) -> Square:
        """Where a square is; several divisions, so a strip asks once for each of its own."""
        var per_image = self.across() * self.down()
        var rest = number % per_image
        return Square(number // per_image, rest // self.across() * SIDE, rest % self.across() * SIDE)
