"""A converted module: called as the module is, with NumPy arrays or PyTorch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from max import driver
from max.engine import Model
from numpy.typing import NDArray
from torch.utils import _pytree as pytree

from yolo_max.convert.dims import unmet
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.lowering import dtype_of
from yolo_max.convert.program import Program, Shape, tensor_of
from yolo_max.convert.report import Report
from yolo_max.runtime.max_errors import max_errors


class MaxModel:
    """A PyTorch module on MAX. It may be called from several threads at once.

    Attributes:
        name: Of the module.
        report: The analyzer's.
        threads: How many threads it runs on.
        from_cache: Whether the compiled graph was found in the cache.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        program: Program,
        registry: Mapping[str, NDArray[Any]],
        report: Report,
        threads: int,
        from_cache: bool,
    ) -> None:
        self.name, self.report, self.threads, self.from_cache = name, report, threads, from_cache
        self._model, self._registry = model, registry
        nodes = list(program.graph.nodes)
        self._inputs = [
            (shape, dtype_of(node.meta["val"].dtype))
            for shape, node in zip(program.inputs, (n for n in nodes if n.op == "placeholder"), strict=True)
        ]
        self._outputs = [None if tensor_of(each) is not None else (each,) for each in nodes[-1].args[0]]
        self._in_spec, self._out_spec = program.in_spec, program.out_spec
        self._guards, self._symbols = program.guards, program.symbols
        self._fitting: set[tuple[tuple[int, ...], ...]] = set()
        self._run = driver.Buffer.from_numpy(np.array([threads], np.float32))

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
        leaves, spec = pytree.tree_flatten((args, {}))
        if spec != self._in_spec:
            raise ConversionError(
                f"{self.name} takes {len(self._inputs)} inputs in the structure in which it was converted, "
                f"and got {len(leaves)}; pass them in order."
            )
        as_torch = isinstance(leaves[0], torch.Tensor) if leaves else True
        arrays = [
            each.detach().cpu().numpy() if isinstance(each, torch.Tensor) else np.asarray(each)
            for each in leaves
        ]
        buffers = [driver.Buffer.from_numpy(np.ascontiguousarray(each)) for each in arrays]
        computed = iter(self.execute(*buffers))
        outputs = [fixed[0] if fixed else next(computed).to_numpy() for fixed in self._outputs]
        if as_torch:
            outputs = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in outputs]
        return pytree.tree_unflatten(outputs, self._out_spec)

    def execute(self, *buffers: driver.Buffer) -> list[driver.Buffer]:
        """Runs the module on MAX's buffers: its inputs in, its tensors out, both flat.

        Raises:
            ConversionError: A shape or a dtype does not fit.
            EngineError: Memory ran out.
        """
        self._require_fit(buffers)
        with max_errors(f"run {self.name}"):
            return list(self._model.execute(*buffers, self._run))

    def _require_fit(self, buffers: Sequence[driver.Buffer]) -> None:
        if len(buffers) != len(self._inputs):
            raise ConversionError(f"{self.name} takes {len(self._inputs)} inputs, and got {len(buffers)}.")
        shapes = tuple(tuple(each.shape) for each in buffers)
        sizes: dict[str, int] = {}
        for number, (each, shape, (wanted, dtype)) in enumerate(
            zip(buffers, shapes, self._inputs, strict=True)
        ):
            if each.dtype != dtype:
                raise ConversionError(
                    f"input {number} of {self.name} is {each.dtype.name}; it takes {dtype.name}."
                )
            if not _fits(shape, wanted, sizes):
                raise ConversionError(
                    f"input {number} of {self.name} has the shape {shape}; it takes {_written(wanted)}."
                )
        if shapes not in self._fitting:
            if (guard := unmet(self._guards, self._symbols, sizes)) is not None:
                given = ", ".join(f"{name} = {size}" for name, size in sizes.items())
                raise ConversionError(f"{self.name} cannot run with {given}; it needs {guard}.")
            self._fitting.add(shapes)


def _fits(shape: tuple[int, ...], wanted: Shape, sizes: dict[str, int]) -> bool:
    """Whether a shape is the one wanted; ``sizes`` collects what names stand for."""
    if len(shape) != len(wanted):
        return False
    return all(
        size > 0 and size == (sizes.setdefault(name, size) if isinstance(name, str) else name)
        for size, name in zip(shape, wanted, strict=True)
    )


def _written(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
