"""Output maps cut into tiles of 4 x 4 outputs, and which of these are computed.

    map of 10 x 6 outputs    | 0 0 0 0 | 1 1 1 1 | 2 2 . . |
                             |   ...   |   ...   |   ...   |
                             | 3 3 3 3 | 4 4 4 4 | 5 5 . . |
                             |   ...   |   ...   |   ...   |

Where only some outputs will be read, a *mask* says which: a map of one channel, 0 for those that will not.
"""

from std.math import ceildiv

from .lanes import Ptr

comptime SIDE = 4
"""Outputs of a tile, in each direction."""


@fieldwise_init
struct Tile(Copyable, ImplicitlyCopyable, Movable):
    """The place of 4 x 4 outputs: image, first row, first column."""

    var image: Int
    var y: Int
    var x: Int


@fieldwise_init
struct Grid(Copyable, ImplicitlyCopyable, Movable):
    """The tiles of a batch of output maps, numbered row by row; the last of a row may stick out."""

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
    def tile(self, number: Int) -> Tile:
        """Where a tile is. This takes several divisions, so a strip asks only once per tile."""
        var per_image = self.across() * self.down()
        var rest = number % per_image
        return Tile(number // per_image, rest // self.across() * SIDE, rest % self.across() * SIDE)

    @always_inline
    def pixel(self, tile: Tile) -> Int:
        """The number of a tile's first output, among all of the batch."""
        return (tile.image * self.height + tile.y) * self.width + tile.x


@fieldwise_init
struct Mask[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """The outputs of a map that will be read."""

    var data: Ptr[Self.T]
    """[batch, height, width, 1]; 0 for those that will not."""
    var given: Bool
    """Whether there is a mask; without one, all are read."""
    var halo: Int
    """Rings of tiles around an active one that are computed as well."""


struct ActiveTiles(Movable):
    """The tiles that are computed: all, or those in which the mask has an output, and the halo around them."""

    var count: Int
    var numbers: List[Int]
    """Of the tiles, in order; empty where it is all of them."""

    def __init__[T: DType](out self, grid: Grid, batch: Int, mask: Mask[T]):
        """Finds them in a batch of maps."""
        self.numbers = List[Int]()
        self.count = batch * grid.across() * grid.down()
        if not mask.given:
            return
        var seeds = List[Bool](capacity=self.count)
        for number in range(self.count):
            seeds.append(holds_output(grid, grid.tile(number), mask))
        for number in range(self.count):
            if is_near(grid, number, seeds, mask.halo):
                self.numbers.append(number)
        self.count = len(self.numbers)

    @always_inline
    def number(self, index: Int) -> Int:
        """Of the tile in this place."""
        return self.numbers[index] if len(self.numbers) > 0 else index


def holds_output[T: DType](grid: Grid, tile: Tile, mask: Mask[T]) -> Bool:
    """Whether an output of the mask lies in the tile."""
    for y in range(tile.y, min(grid.height, tile.y + SIDE)):
        var row = mask.data.unsafe_offset((tile.image * grid.height + y) * grid.width)
        for x in range(tile.x, min(grid.width, tile.x + SIDE)):
            if row[unsafe_offset=x] != 0:
                return True
    return False


def is_near(grid: Grid, number: Int, seeds: List[Bool], halo: Int) -> Bool:
    """Whether one of the tile itself and the halo around it, in the same image, is a seed."""
    var image, position = divmod(number, grid.across() * grid.down())
    var row, column = divmod(position, grid.across())
    for y in range(max(0, row - halo), min(grid.down(), row + halo + 1)):
        for x in range(max(0, column - halo), min(grid.across(), column + halo + 1)):
            if seeds[(image * grid.down() + y) * grid.across() + x]:
                return True
    return False
