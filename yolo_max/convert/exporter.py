"""Export of a PyTorch module to a file that runs without PyTorch, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils import _pytree as pytree

from yolo_max.convert.converter import Network
from yolo_max.convert.dtypes import Numbers
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.exported import GRAPH, Exported
from yolo_max.convert.rules import builtin_rules
from yolo_max.convert.signature import Shape
from yolo_max.convert.structure import PlainContainers, Structure
from yolo_max.support.errors import UsageError
from yolo_max.weights import container

_DTYPES = tuple(np.dtype(each).name for each in container.NUMBERS.values())


def export(
    model: torch.nn.Module,
    path: str | Path,
    input_shapes: Sequence[Shape],
    model_name: str | None = None,
    *,
    input_dtypes: Sequence[torch.dtype] | None = None,
    dtype: str = "float32",
) -> None:
    """Converts a module and writes it to a safetensors file; nothing is compiled.

    Args:
        model: In evaluation mode, on the CPU, with float32 weights. It is not changed.
        path: The file; it is replaced if there is one.
        input_shapes: Of each positional argument, as `convert_pytorch_model` takes them.
        model_name: For messages; by default the name of the class.
        input_dtypes: Of the arguments; float32 by default.
        dtype: "float32", or "bfloat16" for maps between convolutions, on whatever CPU it is written.

    Raises:
        UsageError: The dtype is another one.
        UnsupportedOperations: Some operations are not converted.
        ConversionError: The module cannot be captured, has nothing to compute in bfloat16, has parameters or
            buffers of a dtype that is not written or a state of its own, or returns something else than
            tuples, lists and dictionaries of tensors and numbers.
        OutputError: The file cannot be written.
    """
    numbers = Numbers.named(dtype)
    if numbers.dtype is not torch.float32:
        raise UsageError(f"modules are exported in float32 or bfloat16, and not in {dtype}.")
    network = Network.of(
        model, input_shapes, model_name, input_dtypes, builtin_rules(), precision=numbers.precision
    )
    tensors, tied = _state(model)
    arrays = network.program.arrays()
    names = {name: _stored(name, value, tensors, tied) for name, value in arrays.items()}
    made = {names[name]: value for name, value in arrays.items() if names[name].startswith(GRAPH)}
    Exported(
        network.name,
        str(network.graph()),
        network.digest(),
        tuple(network.constants_from(names)),
        network.signature(),
        PlainContainers(_structure(network.program.in_spec)[1], _structure(network.program.out_spec)),
        tied,
        numbers.precision,
        {name: np.asarray(value, order="C") for name, value in {**tensors, **made}.items()},
    ).write(Path(path))


def state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """The parameters and buffers of an exported module, bit for bit: for ``module.load_state_dict``.

    Raises:
        SourceError: There is no such file.
        WeightsError: The file is damaged, or is no exported network.
    """
    found = Exported.read(Path(path), to_run=False)
    state = {
        name: torch.from_numpy(value.copy())
        for name, value in found.tensors.items()
        if not name.startswith(GRAPH)
    }
    return state | {name: state[other] for name, other in found.tied.items()}


def _state(model: torch.nn.Module) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Parameters and buffers by path, and the paths of those that are another one as well."""
    tensors: dict[str, NDArray[Any]] = {}
    tied: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"{name} is no tensor (get_extra_state), and only tensors are exported.")
        if (dtype := str(value.dtype).removeprefix("torch.")) not in _DTYPES:
            raise ConversionError(f"{name} is {dtype}, which is not exported; use {', '.join(_DTYPES)}.")
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and (first := seen.setdefault(place, name)) != name:
            tied[name] = first
        else:
            tensors[name] = value.numpy()
    return tensors, tied


def _stored(name: str, value: NDArray[Any], tensors: dict[str, NDArray[Any]], tied: dict[str, str]) -> str:
    """The name of a constant in the file."""
    same = tensors.get(tied.get(name, name))
    if same is not None and same.dtype == value.dtype and np.array_equal(same, value):
        return tied.get(name, name)
    return f"{GRAPH}{name}"


def _structure(spec: Any) -> Structure:
    """What PyTorch calls a ``TreeSpec``, as plain values."""
    return _structure_of(pytree.tree_unflatten(range(spec.num_leaves), spec))


def _structure_of(value: Any) -> Structure:
    if isinstance(value, int):
        return "leaf"
    if type(value) in (tuple, list):
        return [type(value).__name__, *map(_structure_of, value)]
    if isinstance(value, dict):
        return ["dict", *([key, _structure_of(each)] for key, each in value.items())]
    raise ConversionError(
        f"the module has a {type(value).__name__} among its inputs or outputs, and only tuples, lists and "
        "dictionaries are exported."
    )
