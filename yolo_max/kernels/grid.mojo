"""Output maps cut into squares of 4 x 4 outputs, and which of these are computed.

    map of 10 x 6 outputs    | 0 0 0 0 | 1 1 1 1 | 2 2 . . |
                             |   ...   |   ...   |   ...   |
                             | 3 3 3 3 | 4 4 4 4 | 5 5 . . |
                             |   ...   |   ...   |   ...   |

Where only some outputs will be read, *marks* say which: a map of one channel, 0 for those that will not.
"""

from std.math import ceildiv

from .lanes import Ptr

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

    @always_inline
    def pixel(self, square: Square) -> Int:
        """The number of a square's first output, among all of the batch."""
        return (square.image * self.height + square.y) * self.width + square.x


@fieldwise_init
struct Marks[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """The outputs of a map that will be read."""

    var data: Ptr[Self.T]
    """[batch, height, width, 1]; 0 for those that will not."""
    var given: Bool
    """Whether there are marks; without them, all are read."""
    var rings: Int
    """Squares around a marked one that are read as well."""


struct Chosen(Movable):
    """The squares that are computed: all, or those that hold a mark and the rings around them."""

    var count: Int
    var numbers: List[Int]
    """Of the squares, in order; empty where it is all of them."""

    def __init__[T: DType](out self, grid: Grid, batch: Int, marks: Marks[T]):
        """Chooses from a batch of maps."""
        self.numbers = List[Int]()
        self.count = batch * grid.across() * grid.down()
        if not marks.given:
            return
        var marked = List[Bool](capacity=self.count)
        for number in range(self.count):
            marked.append(holds_mark(grid, grid.square(number), marks))
        for number in range(self.count):
            if is_near(grid, number, marked, marks.rings):
                self.numbers.append(number)
        self.count = len(self.numbers)

    @always_inline
    def number(self, index: Int) -> Int:
        """Of the square in this place."""
        return self.numbers[index] if len(self.numbers) > 0 else index


def holds_mark[T: DType](grid: Grid, square: Square, marks: Marks[T]) -> Bool:
    """Whether a mark lies in the square."""
    for y in range(square.y, min(grid.height, square.y + SIDE)):
        var row = marks.data.unsafe_offset((square.image * grid.height + y) * grid.width)
        for x in range(square.x, min(grid.width, square.x + SIDE)):
            if row[unsafe_offset=x] != 0:
                return True
    return False


def is_near(grid: Grid, number: Int, marked: List[Bool], rings: Int) -> Bool:
    """Whether one of the square itself and the rings around it, in the same image, is marked."""
    var image, place = divmod(number, grid.across() * grid.down())
    var row, column = divmod(place, grid.across())
    for y in range(max(0, row - rings), min(grid.down(), row + rings + 1)):
        for x in range(max(0, column - rings), min(grid.across(), column + rings + 1)):
            if marked[(image * grid.down() + y) * grid.across() + x]:
                return True
    return False
