"""What a kernel is given, checked and taken apart.

A kernel gets tensors and one list of numbers, its *params*, that says how they are meant. For a convolution:

    the window's (window.mojo), activation, slope, residual, scale, factor, mask, divisor,
    then for each tensor it reads: first channel, channels, doubled

The tensors of the view come first. Behind them, where its number is not 0:

    residual   added at last if it is 1, before the activation if it is 2
    factor     multiplied with behind the activation: a map of the result's size, or of one pixel per image
    mask       says which outputs will be read (grid.mojo); its number is one more than the halo. Kernels that do not
               work in tiles compute everything all the same

`slope` (of LeakyReLU) and `scale` (of the residual) are the bits of a float32. The slopes of PReLU lie behind the
biases, with a block of zeros behind them. `divisor` is what bytes are divided by, or 0 if the input is not of bytes.
(The kernel's id comes before all of these, and only the operation sees it.)
"""

from std.memory import bitcast

from .activation import PRELU
from .epilogue import Operand, Output
from .grid import Mask
from .lanes import F32, Ptr
from .microkernel import Filters
from .parallel import Workers
from .view import Slice, View
from .window import WINDOW_PARAMS, Window

comptime WORTH = 1 << 19
"""Products that are worth starting a thread for, which takes some 5 us."""
comptime Params = Ptr[DType.int32]
comptime CONV_PARAMS = WINDOW_PARAMS + 7
comptime BEHIND = 1
comptime BEFORE = 2
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
    var workers: Workers

    def __init__(out self, call: Call, *, transposed: Bool = False) raises:
        """Takes a call apart, of an ordinary convolution or of a transposed one.

        Raises:
            Error: The tensors do not fit each other.
        """
        var result = call.result()
        self.window = Window(call.params)
        var params = call.params.unsafe_offset(WINDOW_PARAMS)
        var slices = call.params.unsafe_offset(CONV_PARAMS)
        var residual = Int(params[unsafe_offset=2])
        var has_factor = params[unsafe_offset=4] != 0
        var has_mask = params[unsafe_offset=5] != 0
        self.divisor = Int(params[unsafe_offset=6])
        var next = call.inputs - Int(residual != 0) - Int(has_factor) - Int(has_mask)
        self.view = view_of[Self.T](slices, call, 0, next)
        var height = self.view.height * self.window.stride_y
        var width = self.view.width * self.window.stride_x
        if not transposed:
            height = self.window.rows(self.view.height)
            width = self.window.columns(self.view.width)
        require_size("the result", result, self.view.batch, height, width)
        require_groups(self.window.groups, self.view.channels, result.channels)
        self.filters = Filters(
            Ptr[F32](unsafe_from_address=call.weight), Ptr[F32](unsafe_from_address=call.bias), result.channels
        )
        var output = Output[Self.T](result.data[Self.T](), result.channels)
        output.activation.kind = Int(params[unsafe_offset=0])
        output.activation.slope = bitcast[F32, 1](params[unsafe_offset=1])
        if output.activation.kind == PRELU:
            output.activation.slopes = self.filters.addends.unsafe_offset(self.filters.padded())
        if residual != 0:
            require_size("the residual", call.input(next), self.view.batch, height, width)
            var added = operand_of[Self.T]("the residual", slices, call, next, 1)
            if residual == BEFORE:
                output.before = added
            else:
                output.behind = added
            output.scale = bitcast[F32, 1](params[unsafe_offset=3])
            next += 1
        if has_factor:
            var map = call.input(next)
            var per_image = map.height * map.width == 1
            if not per_image:
                require_size("the factor", map, self.view.batch, height, width)
            elif map.batch != self.view.batch:
                raise Error("a factor of ", map.batch, " images is given for ", self.view.batch)
            output.factor = operand_of[Self.T]("the factor", slices, call, next, height * width if per_image else 1)
            next += 1
        self.mask = Mask[Self.T](output.data, has_mask, Int(params[unsafe_offset=5]) - 1)
        if has_mask:
            require_mask(call.input(next), self.view.batch, height, width)
            self.mask.data = call.input(next).data[Self.T]()
        self.output = output
        # Where there are few of them, products wait for the memory.
        var products = max(8, self.view.channels // self.window.groups) * self.window.height * self.window.width
        self.workers = call.workers.for_work(products * self.view.batch * height * width * result.channels, WORTH)


def operand_of[
    T: DType
](name: StaticString, slices: Params, call: Call, index: Int, pixels: Int) raises -> Operand[T]:
    """A tensor that is read beside the sums, each of its pixels for so many outputs."""
    var slice = slice_of[T](slices.unsafe_offset(index * SLICE_PARAMS), call.input(index), index)
    if slice.doubled or slice.channels != call.result().channels:
        raise Error(name, " has ", slice.channels, " channels where ", call.result().channels, " are needed")
    return Operand[T](slice.data, slice.stride, pixels)


def require_groups(groups: Int, inputs: Int, outputs: Int) raises:
    """Raises unless both numbers of channels can be divided into groups."""
    if groups < 1 or inputs % groups != 0 or outputs % groups != 0:
        raise Error(inputs, " and ", outputs, " channels cannot be divided into ", groups, " groups")


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
