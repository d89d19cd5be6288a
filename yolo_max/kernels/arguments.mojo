"""What a convolution is given, checked and taken apart.

An operation gets tensors and one list of numbers, the *geometry*, that says how they are meant:

    kernel, stride, activate, residual, then for each tensor of the view: first channel, channels, doubled

If `residual` is not 0 the last tensor is not part of the view but added behind the activation.
"""

from .direct import Window
from .lanes import F32, Ptr
from .tile import Filters, Output
from .view import Slice, View

comptime Geometry = Ptr[DType.int32]
comptime FACTS = 4
comptime SLICE_FACTS = 3


@fieldwise_init
struct Tensor(Copyable, ImplicitlyCopyable, Movable):
    """An NHWC tensor without its type."""

    var address: Int
    var batch: Int
    var height: Int
    var width: Int
    var channels: Int


struct Convolution[T: DType](Movable):
    """One call of a convolution."""

    var view: View[Self.T]
    var window: Window
    var filters: Filters
    var output: Output[Self.T]

    def __init__(
        out self, geometry: Geometry, maps: List[Tensor], weight: Int, bias: Int, result: Tensor
    ) raises:
        """Reads the geometry.

        Args:
            geometry: As above.
            maps: The tensors of the view, then the residual if there is one.
            weight: Address of the packed weights.
            bias: Address of the biases.
            result: The tensor to write.

        Raises:
            Error: The tensors do not fit each other.
        """
        self.window = Window(Int(geometry[unsafe_offset=0]), Int(geometry[unsafe_offset=1]))
        var activate = geometry[unsafe_offset=2] != 0
        var has_residual = geometry[unsafe_offset=3] != 0
        var count = len(maps) - 1 if has_residual else len(maps)
        self.view = view_of[Self.T](geometry.unsafe_offset(FACTS), maps, 0, count)
        var height = self.window.outputs(self.view.height)
        var width = self.window.outputs(self.view.width)
        require_size("the result", result, self.view.batch, height, width)
        var data = Ptr[Self.T](unsafe_from_address=result.address)
        self.output = Output[Self.T](data, result.channels, data, 0, False, activate, False)
        if has_residual:
            var added = slice_of[Self.T](geometry.unsafe_offset(FACTS + count * SLICE_FACTS), maps[count], count)
            require_size("the residual", maps[count], self.view.batch, height, width)
            if added.doubled or added.channels != result.channels:
                raise Error(
                    "a residual of ", added.channels, " channels cannot be added to ", result.channels,
                )
            self.output.residual = added.data
            self.output.residual_stride = added.stride
            self.output.has_residual = True
        self.filters = Filters(
            Ptr[F32](unsafe_from_address=weight), Ptr[F32](unsafe_from_address=bias), result.channels
        )


def view_of[
    T: DType
](geometry: Geometry, maps: List[Tensor], first: Int, count: Int) raises -> View[T]:
    """The view made of `count` tensors from `first` on; `geometry` is at the first one's facts."""
    if count < 1:
        raise Error("a view needs at least one tensor")
    var start = slice_of[T](geometry, maps[first], first)
    var scale = 2 if start.doubled else 1
    var view = View[T](maps[first].batch, start.height * scale, start.width * scale)
    for i in range(count):
        var map = maps[first + i]
        var slice = slice_of[T](geometry.unsafe_offset(i * SLICE_FACTS), map, first + i)
        if slice.doubled:
            require_size("a doubled slice", map, view.batch, view.height // 2, view.width // 2)
        else:
            require_size("a slice", map, view.batch, view.height, view.width)
        view.append(slice)
    return view^


def slice_of[T: DType](geometry: Geometry, map: Tensor, index: Int) raises -> Slice[T]:
    """The channels of a tensor that the three facts at `geometry` name."""
    var start = Int(geometry[unsafe_offset=0])
    var channels = Int(geometry[unsafe_offset=1])
    if start < 0 or channels < 1 or start + channels > map.channels:
        raise Error(
            "slice ", index, " takes channels ", start, " to ", start + channels, " of a tensor that has ",
            map.channels,
        )
    var data = Ptr[T](unsafe_from_address=map.address).unsafe_offset(start)
    return Slice[T](
        data, map.channels, channels, geometry[unsafe_offset=2] != 0, map.height, map.width
    )


def require_size(name: StaticString, map: Tensor, batch: Int, height: Int, width: Int) raises:
    """Raises unless a tensor has this batch, height and width."""
    if map.batch != batch or map.height != height or map.width != width:
        raise Error(
            name, " is ", map.batch, " x ", map.height, " x ", map.width, " (batch, height, width) where ", batch,
            " x ", height, " x ", width, " is needed",
        )
