"""Layer norm on the Mojo kernels, for any MAX graph on a CPU.

What a graph needs is said in ``kernels/call.py``.
"""

from __future__ import annotations

from functools import reduce
from operator import mul

import numpy as np
from max.dtype import DType
from max.graph import Dim, TensorType, TensorValue, TensorValueLike, ops

from yolo_max.kernels.call import CPU, run_kernel
from yolo_max.kernels.feature_map import ChannelSlice
from yolo_max.kernels.kernel_table import NORMS
from yolo_max.kernels.precision import Precision

LAYER_NORM = 0
"""Its index in ``kernels/norms.mojo``."""


def layer_norm(
    x: TensorValue, weight: TensorValueLike | None, bias: TensorValueLike | None, eps: float
) -> TensorValue:
    """Normalises the last dimension, as ``torch.nn.functional.layer_norm`` does.

    Args:
        x: float32 ``[..., n]``; n is static, the others may be symbolic.
        weight: ``[n]``, or None.
        bias: Likewise.
        eps: Added to the variance.

    Raises:
        ValueError: x is of another dtype.
    """
    if x.dtype != DType.float32:
        raise ValueError(f"Layer norm reads float32, not {x.dtype.name}.")
    *outer, channels = x.shape
    rows = ops.reshape(x, [1, 1, reduce(mul, outer, Dim(1)), channels])
    part = ChannelSlice(rows, 0, int(channels))
    params = [int(np.float32(eps).view(np.int32)), int(weight is not None), int(bias is not None)]
    result = TensorType(x.dtype, rows.shape, CPU)
    return ops.reshape(
        run_kernel(LAYER_NORM, params, [part], weight, bias, result, Precision.F32, NORMS), x.shape
    )
