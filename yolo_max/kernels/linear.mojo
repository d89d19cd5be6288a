"""Products of rows with constant weights."""

from .arguments import Call, operand_of, require_size, slice_of
from .epilogue import Output
from .gemm import Matrix, WORTH, WORTH_READING, multiply, padded
from .lanes import F32, Words
from .matmul import FEW


def linear(call: Call) raises:
    """activation(rows * weights + bias), plus a residual.

    The rows are the pixels of a slice. Its params are the activation and whether there is a residual; then those of the
    slice, and of the residual. The weights are packed as a 1x1 convolution's, in rows of whole blocks.

    Raises:
        Error: The tensors do not fit each other.
    """
    var params = call.params
    var map = call.input(0)
    var source = slice_of[F32](params.unsafe_offset(2), map, 0)
    var result = call.result()
    require_size("the result", result, map.batch, map.height, map.width)
    var output = Output[F32](result.data[F32](), result.channels)
    output.activation.kind = Int(params[unsafe_offset=0])
    if params[unsafe_offset=1] != 0:
        require_size("the residual", call.input(1), map.batch, map.height, map.width)
        output.behind = operand_of[F32]("the residual", params.unsafe_offset(2), call, 1, 1)
    # Few rows are read as fast as the weights are.
    var work = source.channels * result.channels
    var workers = call.workers.for_work(work * map.batch * map.height * map.width, WORTH)
    if map.batch * map.height * map.width <= FEW:
        workers = call.workers.for_work(work, WORTH_READING)
    var rows = Matrix(source.data, map.batch * map.height * map.width, source.channels, source.stride, False)
    multiply(
        rows, 1, Words(unsafe_from_address=call.weight), padded(source.channels), result.channels,
        Words(unsafe_from_address=call.bias), output, workers,
    )
