"""What MAX runs on here: the device, the kernels, and the threads of each caller."""

from __future__ import annotations

from collections.abc import Callable

from max import driver

from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.parse import parse_device

KERNELS = ("auto", "fused", "stock")
MAX_CALLERS = 8
"""Each run needs its own memory for activations; with more threads than this, a run gets several."""


def shares(threads: int) -> tuple[int, int]:
    """How many callers share these threads, and how many threads each one gets."""
    each = -(-threads // MAX_CALLERS)
    return -(-threads // each), each


def choose_device(device: str) -> str:
    """The device of an option: "cpu" or "gpu".

    Raises:
        UsageError: There is no such device.
        EngineError: There is no GPU.
    """
    device = parse_device(device)
    if device == "cpu":
        return "cpu"
    found = driver.accelerator_count() > 0
    if device == "gpu" and not found:
        raise EngineError("no GPU that MAX can use was found on this machine; use --device cpu or auto.")
    return "gpu" if found else "cpu"


def choose_kernels(kernels: str, device: str, precision: Precision, report: Callable[[str], None]) -> str:
    """The kernels of an option: "fused" or "stock".

    Args:
        kernels: One of `KERNELS`.
        device: "cpu" or "gpu".
        precision: What they compute in.
        report: Called with a sentence if "auto" gives the stock operations.

    Raises:
        UsageError: There are no such kernels.
        EngineError: They do not run here, or not in this precision.
    """
    if kernels not in KERNELS:
        raise UsageError(f"there are no kernels {kernels!r}; use one of {', '.join(KERNELS)}.")
    problem = None
    if device == "gpu":
        problem = "the fused kernels are written for CPUs"
    elif not cpu.runs_kernels():
        problem = (
            f"the fused kernels need AVX2 and FMA, or 64-bit Arm, which {cpu.model_name()} does not have"
        )
    if kernels == "fused" and problem:
        raise EngineError(f"{problem}; use --kernels stock.")
    chosen = "stock" if kernels == "stock" or problem else "fused"
    if precision is Precision.BF16:
        if chosen == "stock":
            raise EngineError("MAX's stock convolutions compute in f32 only; use --precision f32.")
        if not cpu.has_bf16():
            raise EngineError(
                f"bf16 needs AVX512-BF16 instructions, which {cpu.model_name()} does not have; "
                "use --precision f32."
            )
    if kernels == "auto" and device == "cpu" and problem:
        report(f"Running on MAX's stock operations: {problem}.")
    return chosen
