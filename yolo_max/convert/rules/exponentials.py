"""Exponentials and powers: MAX's, which in float64 are refined.

MAX's ``exp`` of a float64 is off by up to 2e-12 of its value, its ``log`` by the last bit.
"""

from __future__ import annotations

import math
from typing import Any

from max.dtype import DType
from max.graph import TensorValue, ops


def exp(x: TensorValue) -> TensorValue:
    """``e ** x``."""
    y = ops.exp(x)
    return _refined(y, x) if x.dtype == DType.float64 else y


def power(x: TensorValue, y: TensorValue | float) -> TensorValue:
    """``x ** y``; tensors are of one dtype."""
    z = ops.pow(x, y)
    return _refined(z, y * ops.log(ops.abs(x))) if x.dtype == DType.float64 else z


def softmax(x: TensorValue) -> TensorValue:
    """The softmax of the last dimension."""
    if x.dtype != DType.float64:
        return ops.softmax(x)
    y = exp(x - ops.max(x, axis=-1))
    return y / ops.sum(y, axis=-1)


def _refined(y: TensorValue, logarithm: TensorValue) -> TensorValue:
    """One step of Newton's towards what has this logarithm, but for what has none: 0, infinities and NaN."""
    size: Any = ops.abs(y)
    step = logarithm - ops.log(size)
    has_one = ops.logical_and(ops.greater(math.inf, size), ops.greater(1.0, ops.abs(step)))
    return ops.where(has_one, y + y * step, y)
