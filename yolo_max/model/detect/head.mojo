"""The end of a head with boxes: which cells can be detections, and its last 1x1 convolutions.

A cell is a *candidate* if one of its class logits exceeds what the caller asks for. Only candidates need a box,
so they are found before the box branch is computed, and its convolutions keep to them (grid.mojo). So do those
for mask coefficients, keypoints and angles.

The last convolutions each write their columns of one result:

    output [batch, cells, columns]       box logits | class logits
        cells of stride 8, row-major    |   64      |   nc        |  <- two convolutions per level
        cells of stride 16              |           |             |
        cells of stride 32              |           |             |

The rows of other cells are left uninitialised.
"""

from std.utils.numerics import neg_inf

from ...kernels.arguments import Call, SLICE_PARAMS, require_mask, require_size, view_of
from ...kernels.direct import POINTWISE_PIXELS, pointwise
from ...kernels.epilogue import Output
from ...kernels.lanes import BLOCK, F32, Ptr, Scratch, V, words
from ...kernels.microkernel import Filters
from ...kernels.parallel import Workers, parallel_for
from ...kernels.view import View


def mask_candidates[T: DType](call: Call) raises:
    """Masks the cells of a level: 1 for candidates, 0 for others.

    Its params are the number of classes, then those of the one slice, which the class convolution reads. A
    candidate exceeds the second number of the run; with minus infinity every cell is one. So is a cell with a
    NaN, so that the caller sees it.

    Raises:
        Error: The tensors do not fit each other.
    """
    var view = view_of[T](call.params.unsafe_offset(1), call, 0, 1)
    require_mask(call.result(), view.batch, view.height, view.width)
    var mask = call.result().data[T]()
    var threshold = call.run[unsafe_offset=1]
    if threshold == neg_inf[F32]():
        for cell in range(view.pixels()):
            mask[unsafe_offset=cell] = 1
        return
    var nc = Int(call.params[unsafe_offset=0])
    var filters = Filters(Ptr[F32](unsafe_from_address=call.weight), Ptr[F32](unsafe_from_address=call.bias), nc)

    def some_cells(first: Int, last: Int) {imm}:
        # Whole blocks per cell; the padding after the last class stays below every threshold.
        var stride = filters.padded()
        var logits = Scratch[F32](POINTWISE_PIXELS * stride)
        for i in range(0, logits.size, BLOCK):
            logits.data.unsafe_store(i, V(neg_inf[F32]()))
        var output = Output[T](logits.data.unsafe_bitcast[Scalar[T]](), stride, wide=True)
        for cell in range(first, last, POINTWISE_PIXELS):
            var count = min(POINTWISE_PIXELS, last - cell)
            pointwise(view, cell, count, filters, output, 0)
            for i in range(count):
                var all_below = True
                for c in range(0, stride, BLOCK):
                    var below = logits.data.unsafe_load[width=BLOCK](i * stride + c).le(V(threshold))
                    all_below = all_below and below.reduce_and()
                mask[unsafe_offset=cell + i] = 0 if all_below else 1

    parallel_for(some_cells, view.pixels(), POINTWISE_PIXELS, call.workers)


def predict_all[T: DType](call: Call) raises:
    """The last convolutions of some branches of the head, without activation.

    It reads several maps per level: the input of each convolution, and the mask of its candidates. Its params are
    the number of levels, the output channels of the convolutions for every level, then three for every map. Weights
    and biases are those of all convolutions in a row; the result is [batch, 1, cells, columns], of float32.

    Raises:
        Error: The tensors do not fit each other.
    """
    var levels = Int(call.params[unsafe_offset=0])
    var maps, left = divmod(call.inputs, levels)
    if left != 0:
        raise Error("the head reads as many maps at each of its ", levels, " levels, not ", call.inputs, " in all")
    var branches = maps - 1
    var c_out = call.params.unsafe_offset(1)
    var params = c_out.unsafe_offset(branches * levels)
    var cells = call.result().width
    var columns = call.result().channels
    var weight = Ptr[F32](unsafe_from_address=call.weight)
    var bias = Ptr[F32](unsafe_from_address=call.bias)
    var cell = 0
    for level in range(levels):
        var first = maps * level
        var map = call.input(first)
        require_mask(call.input(first + branches), map.batch, map.height, map.width)
        var mask = call.input(first + branches).data[T]()
        var column = 0
        for i in range(branches):
            require_size("a level's map", call.input(first + i), map.batch, map.height, map.width)
            var view = view_of[T](params.unsafe_offset((first + i) * SLICE_PARAMS), call, first + i, 1)
            var filters = Filters(weight, bias, Int(c_out[unsafe_offset=branches * level + i]))
            var data = call.result().data[F32]().unsafe_offset(column).unsafe_bitcast[Scalar[T]]()
            var output = Output[T](data, columns, wide=True)
            predict(view, filters, output, mask, cells, cell, call.workers)
            weight = weight.unsafe_offset(words[T](view.blocks() * BLOCK) * filters.padded())
            bias = bias.unsafe_offset(filters.padded())
            column += filters.channels
        if column != columns:
            raise Error("the convolutions of a level give ", column, " logits where the head has ", columns)
        cell += map.height * map.width
    if cell != cells:
        raise Error("the maps have ", cell, " cells where the head has ", cells)


def predict[
    T: DType
](
    view: View[T], filters: Filters, output: Output[T], mask: Ptr[T], cells: Int, cell: Int, workers: Workers
):
    """One convolution of the head, for the candidates of the level that begins at `cell` of an image's `cells`."""
    var size = view.height * view.width

    def some_pixels(first: Int, last: Int) {imm}:
        var next = first
        while next < last:
            # Up to the end of the image: the next image's rows do not follow on this level's.
            var image = next // size
            var end = min(last, (image + 1) * size)
            var target = image * cells + cell + next % size
            var count = 1
            while next + count < end and mask[unsafe_offset=next + count] == mask[unsafe_offset=next]:
                count += 1
            if mask[unsafe_offset=next] != 0:
                pointwise(view, next, count, filters, output, target)
            next += count

    parallel_for(some_pixels, view.pixels(), POINTWISE_PIXELS, workers)
