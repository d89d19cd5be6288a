"""The input rows that a convolution by rows needs at a time."""

from .lanes import Ptr, Scratch


struct RowBuffer[T: DType](Movable):
    """The input rows that the window spans now: row y is in slot y modulo their number."""

    var rows: Scratch[Self.T]
    var slot_size: Int
    var span: Int
    var image: Int
    var next: Int

    def __init__(out self, span: Int, slot_size: Int):
        """Makes room for `span` rows of `slot_size` elements each, all zero."""
        self.rows = Scratch[Self.T](span * slot_size)
        self.rows.clear()
        self.slot_size = slot_size
        self.span = span
        self.image = -1
        self.next = 0

    def slot(self, y: Int) -> Int:
        """Where input row y begins, in elements; above the map, y is negative."""
        return y % self.span * self.slot_size

    def row(self, y: Int) -> Ptr[Self.T]:
        """The place of input row y."""
        return self.rows.data.unsafe_offset(self.slot(y))

    def advance(mut self, image: Int, top: Int) -> Int:
        """Moves on to the rows from `top` on; those from the result on are to be loaded."""
        if image != self.image:
            self.image = image
            self.next = top
        var first = max(top, self.next)
        self.next = top + self.span
        return first

    def clear(mut self, y: Int):
        """Makes row y a row of zeros."""
        var row = self.row(y)
        for i in range(self.slot_size):
            row[unsafe_offset=i] = 0
