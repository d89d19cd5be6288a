"""A converted module: called as the module is, with NumPy arrays or PyTorch tensors. Needs no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from max import driver
from max.engine import Model
from numpy.typing import NDArray

from yolo_max.convert.errors import ConversionError
from yolo_max.convert.report import Report
from yolo_max.convert.signature import Signature
from yolo_max.convert.structure import Containers
from yolo_max.runtime.max_errors import max_errors
from yolo_max.runtime.threads import quiet_poller


class MaxModel:
    """A PyTorch module on MAX. It may be called from several threads at once.

    Attributes:
        name: Of the module.
        signature: Its flat inputs and outputs.
        threads: How many threads it runs on.
        from_cache: Whether the compiled graph was found in the cache.
        report: The analyzer's; None for a network that was loaded from a file.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        registry: Mapping[str, Any],
        signature: Signature,
        containers: Containers,
        threads: int,
        from_cache: bool,
        report: Report | None = None,
        device: driver.Device | None = None,
    ) -> None:
        self.name, self.signature, self.report = name, signature, report
        self.threads, self.from_cache = threads, from_cache
        self._model, self._registry, self._containers = model, registry, containers
        self._device = driver.CPU() if device is None else device
        self._run = driver.Buffer.from_numpy(np.array([threads], np.float32))
        self._has_run = False

    def __call__(self, *args: Any) -> Any:
        """Runs the module.

        Args:
            args: As the module takes them, NumPy arrays or PyTorch tensors, of the shapes that were given.

        Returns:
            The structure that the module returns, of NumPy arrays if the first input is one, else of PyTorch
            tensors.

        Raises:
            ConversionError: The number of inputs, a shape or a dtype does not fit.
            EngineError: Memory ran out.
        """
        leaves = self._containers.flatten(args)
        if leaves is None:
            raise ConversionError(
                f"{self.name} takes {len(self.signature.shapes)} inputs in the structure in which it was "
                f"converted, and got {len(args)}; pass them in order."
            )
        torch = sys.modules.get("torch")  # whoever has a tensor has imported it
        as_torch = torch is not None and bool(leaves) and isinstance(leaves[0], torch.Tensor)
        arrays = [_array(each) for each in leaves]
        buffers = [driver.Buffer.from_numpy(np.asarray(each, order="C")) for each in arrays]
        computed = (each.to(driver.CPU()) for each in self.execute(*buffers))
        outputs = [fixed[0] if fixed else next(computed).to_numpy() for fixed in self.signature.outputs]
        if torch is not None and as_torch:
            outputs = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in outputs]
        return self._containers.unflatten(outputs)

    def execute(self, *buffers: driver.Buffer) -> list[driver.Buffer]:
        """Runs the module on MAX's buffers: its inputs in, its tensors out, both flat.

        Raises:
            ConversionError: Their number, a shape or a dtype does not fit.
            EngineError: Memory ran out.
        """
        self._require_fit(buffers)
        with max_errors(f"run {self.name}"), nullcontext() if self._has_run else quiet_poller():
            outputs = list(self._model.execute(*(each.to(self._device) for each in buffers), self._run))
        self._has_run = True
        return outputs

    def _require_fit(self, buffers: Sequence[driver.Buffer]) -> None:
        shapes = [tuple(each.shape) for each in buffers]
        self.signature.require_fit(self.name, shapes, [each.dtype.name for each in buffers])


def _array(value: Any) -> NDArray[Any]:
    """A tensor of PyTorch's, or anything that NumPy takes, as an array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
