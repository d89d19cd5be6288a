"""The input rows that a convolution by rows needs at a time."""

from .lanes import Ptr, Scratch


struct RowBuffer[T: DType](Movable):
    """The input rows around the current output row: row y is in slot y modulo the kernel's height."""

    var rows: Scratch[Self.T]
    var slot_size: Int
    var kernel: Int
    var image: Int
    var next: Int

    def __init__(out self, kernel: Int, slot_size: Int):
        """Makes room for `kernel` rows of `slot_size` elements each, all zero."""
        self.rows = Scratch[Self.T](kernel * slot_size)
        self.rows.clear()
        self.slot_size = slot_size
        self.kernel = kernel
        self.image = -1
        self.next = 0

    def slot(self, y: Int) -> Int:
        """Where input row y (not less than -kernel) begins, in elements."""
        return (y + self.kernel) % self.kernel * self.slot_size

    def row(self, y: Int) -> Ptr[Self.T]:
        """The place of input row y."""
        return self.rows.data.unsafe_offset(self.slot(y))

    def advance(mut self, image: Int, top: Int) -> Int:
        """Moves on to the rows from `top` on; those from the result on are to be loaded."""
        if image != self.image:
            self.image = image
            self.next = top
        var first = max(top, self.next)
        self.next = top + self.kernel
        return first

    def clear(mut self, y: Int):
        """Makes row y a row of zeros."""
        var row = self.row(y)
        for i in range(self.slot_size):
            row[unsafe_offset=i] = 0
