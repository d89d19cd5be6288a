"""What a kernel is given, checked and taken apart.

A kernel gets tensors and one list of numbers, its *params*, that says how they are meant. For a convolution:

    side, stride, activation, residual, mask, divisor, then for each tensor it reads: first channel, channels, doubled

If `mask` is not 0 the last tensor is not part of the view but says which outputs will be read (grid.mojo); `mask` is
one more than the halo. Kernels that do not work in tiles compute everything all the same. If `residual` is not 0 the
last tensor, or the one before the mask, is added after the activation. `divisor` is what bytes are divided by, or 0
where the input is none. (What comes first of all, the kernel's id, only the operation sees.)
"""

from .activation import Activation
from .grid import Mask
from .lanes import F32, Ptr
from .microkernel import Filters, Output
from .parallel import Workers
from .view import Slice, View
from .window import Window

comptime Params = Ptr[DType.int32]
comptime CONV_PARAMS = 6
comptime SLICE_PARAMS = 3


@fieldwise_init
struct Tensor(Copyable, ImplicitlyCopyable, Movable):
    """An NHWC tensor without its type."""

    var address: Int
    var batch: Int
    var height: Int
    var width: Int
    var channels: Int

    @always_inline
    def data[T: DType](self) -> Ptr[T]:
        """Its first element."""
        return Ptr[T](unsafe_from_address=self.address)


@fieldwise_init
struct Call(Copyable, ImplicitlyCopyable, Movable):
    """Everything that a kernel is given, in a form that does not depend on anything known at compile time."""

    var params: Params
    var tensors: Pointer[Tensor, MutUntrackedOrigin]
    """The tensors it reads, then the one it writes."""
    var inputs: Int
    """How many it reads."""
    var weight: Int
    """Address of the packed weights."""
    var bias: Int
    """Address of the biases."""
    var run: Ptr[F32]
    """Numbers of this run: its threads, then what kernels of other packages ask for."""
    var workers: Workers

    @always_inline
    def input(self, index: Int) -> Tensor:
        return self.tensors[unsafe_offset=index]

    @always_inline
    def result(self) -> Tensor:
        return self.tensors[unsafe_offset=self.inputs]


struct Convolution[T: DType](Movable):
    """One call of a convolution."""

    var view: View[Self.T]
    var window: Window
    var filters: Filters
    var output: Output[Self.T]
    var mask: Mask[Self.T]
    var divisor: Int
    """What bytes are divided by; 0 if the input is of T."""

    def __init__(out self, call: Call) raises:
        """Takes a call apart.

        Raises:
            Error: The tensors do not fit each other.
        """
        var params = call.params
        var result = call.result()
        self.window = Window(Int(params[unsafe_offset=0]), Int(params[unsafe_offset=1]))
        var activation = Activation(Int(params[unsafe_offset=2]))
        var has_residual = params[unsafe_offset=3] != 0
        var has_mask = params[unsafe_offset=4] != 0
        self.divisor = Int(params[unsafe_offset=5])
        var count = call.inputs - Int(has_residual) - Int(has_mask)
        self.view = view_of[Self.T](params.unsafe_offset(CONV_PARAMS), call, 0, count)
        var height = self.window.outputs(self.view.height)
        var width = self.window.outputs(self.view.width)
        require_size("the result", result, self.view.batch, height, width)
        var data = result.data[Self.T]()
        self.output = Output[Self.T](data, result.channels, data, 0, False, activation, False)
        if has_residual:
            var tensor = call.input(count)
            var added = slice_of[Self.T](params.unsafe_offset(CONV_PARAMS + count * SLICE_PARAMS), tensor, count)
            require_size("the residual", tensor, self.view.batch, height, width)
            if added.doubled or added.channels != result.channels:
                raise Error(
                    "a residual of ", added.channels, " channels cannot be added to ", result.channels,
                )
            self.output.residual = added.data
            self.output.residual_stride = added.stride
            self.output.has_residual = True
        self.mask = Mask[Self.T](data, has_mask, Int(params[unsafe_offset=4]) - 1)
        if has_mask:
            var tensor = call.input(call.inputs - 1)
            require_mask(tensor, self.view.batch, height, width)
            self.mask.data = tensor.data[Self.T]()
        self.filters = Filters(
            Ptr[F32](unsafe_from_address=call.weight), Ptr[F32](unsafe_from_address=call.bias), result.channels
        )


def view_of[
    T: DType
](params: Params, call: Call, first: Int, count: Int) raises -> View[T]:
    """The view made of `count` inputs from `first` on; `params` begins with the first one's."""
    if count < 1:
        raise Error("a view needs at least one tensor")
    var start = slice_of[T](params, call.input(first), first)
    var scale = 2 if start.doubled else 1
    var view = View[T](call.input(first).batch, start.height * scale, start.width * scale)
    for i in range(count):
        var map = call.input(first + i)
        var slice = slice_of[T](params.unsafe_offset(i * SLICE_PARAMS), map, first + i)
        if slice.doubled:
            require_size("a doubled slice", map, view.batch, view.height // 2, view.width // 2)
        else:
            require_size("a slice", map, view.batch, view.height, view.width)
        view.append(slice)
    return view^


def slice_of[T: DType](params: Params, map: Tensor, index: Int) raises -> Slice[T]:
    """The channels of a tensor that the first three `params` name."""
    var start = Int(params[unsafe_offset=0])
    var channels = Int(params[unsafe_offset=1])
    if start < 0 or channels < 1 or start + channels > map.channels:
        raise Error(
            "slice ", index, " takes channels ", start, " to ", start + channels, " of a tensor that has ",
            map.channels,
        )
    var data = Ptr[T](unsafe_from_address=map.address).unsafe_offset(start)
    return Slice[T](
        data, map.channels, channels, params[unsafe_offset=2] != 0, map.height, map.width
    )


def require_mask(map: Tensor, batch: Int, height: Int, width: Int) raises:
    """Raises unless a tensor can be the mask of maps of this size."""
    require_size("the mask", map, batch, height, width)
    if map.channels != 1:
        raise Error("a mask has one channel, not ", map.channels)


def require_size(name: StaticString, map: Tensor, batch: Int, height: Int, width: Int) raises:
    """Raises unless a tensor has this batch, height and width."""
    if map.batch != batch or map.height != height or map.width != width:
        raise Error(
            name, " is ", map.batch, " x ", map.height, " x ", map.width, " (batch, height, width) where ", batch,
            " x ", height, " x ", width, " is needed",
        )
