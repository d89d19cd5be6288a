"""The last 1x1 convolutions of the detect head, each writing its columns of the one result.

    output [batch, cells, columns]       box logits | class logits
        cells of stride 8, row-major    |   64      |   nc        |  <- two convolutions a level
        cells of stride 16              |           |             |
        cells of stride 32              |           |             |
"""

from max.algorithm import sync_parallelize

from .arguments import Geometry, SLICE_FACTS, Tensor, require_size, view_of
from .direct import pointwise
from .lanes import BLOCK, F32, Ptr, words
from .tile import Filters, Output
from .view import View


def predict_all[
    T: DType
](
    geometry: Geometry, maps: List[Tensor], weights: Int, biases: Int, logits: Ptr[F32], cells: Int, columns: Int,
    workers: Int,
) raises:
    """All convolutions of the head, without activation: two a level, boxes then classes.

    Args:
        geometry: Output channels of every convolution, then three facts for every map (see arguments.mojo).
        maps: The features, one for each convolution.
        weights: Address of all packed weights, one convolution's after the other's.
        biases: Address of all biases, likewise.
        logits: The output, [batch, cells, columns].
        cells: Of all levels.
        columns: Of a row of the output.
        workers: Threads, at most.

    Raises:
        Error: The tensors do not fit each other.
    """
    var weight = Ptr[F32](unsafe_from_address=weights)
    var bias = Ptr[F32](unsafe_from_address=biases)
    var cell = 0
    for first in range(0, len(maps), 2):
        var map = maps[first]
        require_size("a level's second map", maps[first + 1], map.batch, map.height, map.width)
        var column = 0
        for i in range(first, first + 2):
            var view = view_of[T](geometry.unsafe_offset(len(maps) + i * SLICE_FACTS), maps, i, 1)
            var filters = Filters(weight, bias, Int(geometry[unsafe_offset=i]))
            var data = logits.unsafe_offset(column).unsafe_bitcast[Scalar[T]]()
            predict(view, filters, Output[T](data, columns, data, 0, False, False, True), cells, cell, workers)
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
](view: View[T], filters: Filters, output: Output[T], cells: Int, cell: Int, workers: Int):
    """One convolution of the head, for the level that begins at `cell` of an image's `cells`."""
    var size = view.height * view.width
    var pixels = view.pixels()
    var tasks = min(workers, pixels)

    def task(task: Int) {imm}:
        var first = pixels * task // tasks
        var last = pixels * (task + 1) // tasks
        while first < last:
            # Up to the end of the image: the next image's rows do not follow on this level's.
            var image = first // size
            var count = min(last, (image + 1) * size) - first
            pointwise(view, first, count, filters, output, image * cells + cell + first % size)
            first += count

    sync_parallelize(task, tasks)
