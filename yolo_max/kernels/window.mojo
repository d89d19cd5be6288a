"""The geometry of a convolution, whatever computes it."""

from .lanes import Ptr

comptime WINDOW_PARAMS = 11
"""Numbers that say what a window is: see `window.py`."""


@fieldwise_init
struct Window(Copyable, ImplicitlyCopyable, Movable):
    """A kernel and how it moves over the map; rows first, then columns."""

    var height: Int
    """Taps of the kernel."""
    var width: Int
    var stride_y: Int
    var stride_x: Int
    var dilation_y: Int
    """Rows from one tap to the next."""
    var dilation_x: Int
    var top: Int
    """Rows of zeros above the map."""
    var left: Int
    var bottom: Int
    var right: Int
    var groups: Int
    """Parts of the channels that are convolved by themselves."""

    def __init__(out self, params: Ptr[DType.int32]):
        """The window of a call's params."""
        self.height = Int(params[unsafe_offset=0])
        self.width = Int(params[unsafe_offset=1])
        self.stride_y = Int(params[unsafe_offset=2])
        self.stride_x = Int(params[unsafe_offset=3])
        self.dilation_y = Int(params[unsafe_offset=4])
        self.dilation_x = Int(params[unsafe_offset=5])
        self.top = Int(params[unsafe_offset=6])
        self.left = Int(params[unsafe_offset=7])
        self.bottom = Int(params[unsafe_offset=8])
        self.right = Int(params[unsafe_offset=9])
        self.groups = Int(params[unsafe_offset=10])

    @always_inline
    def span_y(self) -> Int:
        """Rows from the first tap to the last."""
        return (self.height - 1) * self.dilation_y + 1

    @always_inline
    def span_x(self) -> Int:
        """Columns from the first tap to the last."""
        return (self.width - 1) * self.dilation_x + 1

    @always_inline
    def rows(self, height: Int) -> Int:
        """Rows of outputs of a map of this height."""
        return (height + self.top + self.bottom - self.span_y()) // self.stride_y + 1

    @always_inline
    def columns(self, width: Int) -> Int:
        """Columns of outputs of a map of this width."""
        return (width + self.left + self.right - self.span_x()) // self.stride_x + 1

    @always_inline
    def is_pointwise(self) -> Bool:
        """Whether every output comes from the pixel in its own place."""
        return (
            self.height * self.width * self.stride_y * self.stride_x == 1
            and self.top + self.left + self.bottom + self.right == 0
        )
