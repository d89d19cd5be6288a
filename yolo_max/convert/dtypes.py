"""What modules are converted in."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from yolo_max.convert.capture import require_ready
from yolo_max.convert.errors import ConversionError
from yolo_max.kernels.precision import Precision
from yolo_max.support.errors import UsageError
from yolo_max.support.text import first_line


@dataclass(frozen=True)
class Numbers:
    """The types of a converted network's numbers.

    Attributes:
        dtype: Of its weights, inputs and outputs.
        precision: Of the maps between its kernels.
    """

    dtype: torch.dtype
    precision: Precision = Precision.F32

    @staticmethod
    def named(dtype: str, device: str = "cpu") -> Numbers:
        """The types for a ``dtype`` that a user names.

        Raises:
            UsageError: Modules are not converted in it, or not for this device.
        """
        if dtype not in DTYPES:
            raise UsageError(f"dtype is {dtype!r}, but modules are converted in {' or '.join(DTYPES)}.")
        if dtype == "bfloat16" and device != "cpu":
            raise UsageError("only the kernels compute in bfloat16, on a CPU; use device='cpu'.")
        return DTYPES[dtype]


DTYPES = {
    "float32": Numbers(torch.float32),
    "bfloat16": Numbers(torch.float32, Precision.BF16),
    "float64": Numbers(torch.float64),
}


def in_dtype(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """The module, or a copy of it if it has floating-point parameters of another dtype.

    Raises:
        ConversionError: It cannot be copied, or is not as it would be for inference; see
            `yolo_max.convert.capture.require_ready`.
    """
    require_ready(model)
    if all(each.dtype == dtype for each in model.parameters() if each.is_floating_point()):
        return model
    try:
        return copy.deepcopy(model).to(dtype)
    except Exception as error:  # whatever the module's own way of being copied raises
        name, wanted = type(model).__name__, str(dtype).removeprefix("torch.")
        raise ConversionError(
            f"{name} has parameters of another dtype than {wanted}, and cannot be copied to be converted in "
            f"it ({first_line(error)}); call .to(torch.{wanted}) on it."
        ) from error
