"""The last 1x1 convolutions of the detect head, each writing its columns of the one result.

    output [batch, cells, columns]       box logits | class logits
        cells of stride 8, row-major    |   64      |   nc        |  <- two convolutions a level
        cells of stride 16              |           |             |
        cells of stride 32              |           |             |
"""

from .arguments import Call, SLICE_FACTS, require_size, view_of
from .direct import POINTWISE_PIXELS, pointwise
from .lanes import BLOCK, F32, Ptr, words
from .tasks import Crew, deal_out
from .tile import Filters, Output
from .view import View


def predict_all[T: DType](call: Call) raises:
    """All convolutions of the head, without activation: two a level, boxes then classes.

    The geometry is the output channels of every convolution, then three facts for every map. Weights and biases
    are all convolutions', one after the other; the result is [batch, 1, cells, columns], of float32.

    Raises:
        Error: The tensors do not fit each other.
    """
    var count = call.inputs
    var cells = call.result().width
    var columns = call.result().channels
    var weight = Ptr[F32](unsafe_from_address=call.weight)
    var bias = Ptr[F32](unsafe_from_address=call.bias)
    var cell = 0
    for first in range(0, count, 2):
        var map = call.input(first)
        require_size("a level's second map", call.input(first + 1), map.batch, map.height, map.width)
        var column = 0
        for i in range(first, first + 2):
            var view = view_of[T](call.geometry.unsafe_offset(count + i * SLICE_FACTS), call, i, 1)
            var filters = Filters(weight, bias, Int(call.geometry[unsafe_offset=i]))
            var data = call.result().data[F32]().unsafe_offset(column).unsafe_bitcast[Scalar[T]]()
            var output = Output[T](data, columns, data, 0, False, False, True)
            predict(view, filters, output, cells, cell, call.crew)
            var filled = (filters.channels + BLOCK - 1) // BLOCK * BLOCK
            weight = weight.unsafe_offset(words[T](view.blocks() * BLOCK) * filled)
            bias = bias.unsafe_offset(filled)
            column += filters.channels
        if column != columns:
            raise Error("the convolutions of a level give ", column, " logits where the head has ", columns)
        cell += map.height * map.width
    if cell != cells:
        raise Error("the maps have ", cell, " cells where the head has ", cells)


def predict[
    T: DType
](view: View[T], filters: Filters, output: Output[T], cells: Int, cell: Int, crew: Crew):
    """One convolution of the head, for the level that begins at `cell` of an image's `cells`."""
    var size = view.height * view.width

    def some_pixels(first: Int, last: Int) {imm}:
        var next = first
        while next < last:
            # Up to the end of the image: the next image's rows do not follow on this level's.
            var image = next // size
            var count = min(last, (image + 1) * size) - next
            pointwise(view, next, count, filters, output, image * cells + cell + next % size)
            next += count

    deal_out(some_pixels, view.pixels(), POINTWISE_PIXELS, crew)
