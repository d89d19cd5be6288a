"""A `.pt` checkpoint of Ultralytics, turned into fused tensors.

Each convolution is folded with the BatchNorm behind it, in float64, with the eps of that very module
(Ultralytics sets 1e-3, PyTorch's default is 1e-5). Before that, every block is held against the
architecture table that the checkpoint carries, so that no checkpoint is converted whose modules do
something else than its table says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.architecture import Architecture, expected_tensors
from yolo_max.support.errors import WeightsError
from yolo_max.support.options import MAX_IMGSZ
from yolo_max.support.text import shorten, some
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.layers import check_layer
from yolo_max.weights.checkpoint.legacy_width import as_built
from yolo_max.weights.checkpoint.safe_pickle import StandIn
from yolo_max.weights.meta import MIN_IMGSZ, ModelMeta

MAX_MODULES = 100_000
MAX_DEPTH = 32
MAX_TABLE_VALUES = 50_000
DEFAULT_IMGSZ = 640


def read_checkpoint(data: bytes, source: str) -> tuple[ModelMeta, dict[str, NDArray[np.float32]]]:
    """Converts a checkpoint.

    Args:
        data: The whole `.pt` file.
        source: Its file name, for the header.

    Returns:
        The header, and the fused network's float32 tensors under the checkpoint's own names: filters RSCF
        ``(kh, kw, c_in, c_out)``, biases ``(c_out,)``.

    Raises:
        WeightsError: The file is damaged, unsafe, or holds another network than a YOLOv8 detector. The
            message is a sentence without its subject: the caller puts the file's name before it.
    """
    checkpoint = safe_pickle.load(data)
    model = _model(checkpoint)
    table = _plain(getattr(model, "yaml", None))
    if not isinstance(table, dict):
        raise WeightsError(
            "holds a model without an architecture table, so it is no Ultralytics detection model"
        )
    if "yaml_file" in table:  # a path on the machine that trained it
        table["yaml_file"] = PurePath(str(table["yaml_file"])).name
    modules = dict(_walk(model))
    meta = ModelMeta.checked(
        names=getattr(model, "names", None),
        nc=table.get("nc"),
        imgsz=_imgsz(checkpoint, model),
        architecture=as_built(table, modules),
        source=source,
        source_sha256=hashlib.sha256(data).hexdigest(),
    )
    network = meta.network
    for layer in network.layers:
        check_layer(layer, modules)
    tensors = dict(_fused(network, modules, len(data)))
    _check_head(network, modules, len(data))
    _refuse_extra(modules, tensors)
    return meta, tensors


def fold(
    filters: NDArray[np.float64],
    gamma: NDArray[np.float64],
    beta: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A convolution ``(c_out, ...)`` without bias and the BatchNorm behind it, as one: filters and bias.

    BatchNorm at inference is ``gamma * (y - mean) / sqrt(variance + eps) + beta`` (Ioffe and Szegedy, 2015).
    """
    scale = gamma / np.sqrt(variance + eps)
    return filters * scale.reshape(-1, *[1] * (filters.ndim - 1)), beta - mean * scale


def _model(checkpoint: Any) -> StandIn:
    """The model in a checkpoint: its moving average where there is one, as Ultralytics takes it."""
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"holds {shorten(checkpoint)}, not the dict of an Ultralytics checkpoint")
    for model in (checkpoint.get("ema"), checkpoint.get("model")):
        if isinstance(model, StandIn):
            return model
    raise WeightsError(
        f"holds no model, only {shorten(list(checkpoint))}; an Ultralytics checkpoint such as best.pt is "
        "needed, not a bare state dict"
    )


def _walk(model: StandIn) -> Iterator[tuple[str, StandIn]]:
    """Every module under its dotted name ("model.0.conv"); an untrusted module may hold itself."""
    count = 0
    pending = [("", model, 0)]
    while pending:
        prefix, module, depth = pending.pop()
        children = vars(module).get("_modules")
        for name, child in children.items() if isinstance(children, dict) else ():
            if not isinstance(child, StandIn) or (not prefix and name != "model"):
                continue  # a child that is None; a loss that training left beside the network
            count += 1
            if depth == MAX_DEPTH or count > MAX_MODULES or not isinstance(name, str):
                raise WeightsError("holds modules nested without end, or without names")
            path = f"{prefix}.{name}" if prefix else name
            yield path, child
            pending.append((path, child, depth + 1))


def _fused(
    network: Architecture, modules: Mapping[str, StandIn], file_size: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor of the fused network, in the table's order."""
    shapes = expected_tensors(network)
    for name in [key.removesuffix(".weight") for key in shapes if key.endswith(".weight")]:
        height, width, c_in, c_out = shapes[f"{name}.weight"]

        def read(path: str, *shape: int) -> NDArray[np.float64]:
            return _array(modules, path, shape, file_size)

        filters = read(f"{name}.weight", c_out, c_in, height, width)
        norm = f"{name.removesuffix('conv')}bn"
        if name.endswith(".conv") and norm in modules:
            eps = getattr(modules[norm], "eps", None)
            if not isinstance(eps, float) or not 0 <= eps < 1:
                raise WeightsError(f"has eps {shorten(eps)} in {norm}")
            gamma, beta = read(f"{norm}.weight", c_out), read(f"{norm}.bias", c_out)
            mean, variance = read(f"{norm}.running_mean", c_out), read(f"{norm}.running_var", c_out)
            if (variance + eps <= 0).any():
                raise WeightsError(f"has a variance below zero in {norm}.running_var")
            filters, bias = fold(filters, gamma, beta, mean, variance, eps)
        else:
            bias = read(f"{name}.bias", c_out)
        yield f"{name}.weight", _single(filters.transpose(2, 3, 1, 0), name)
        yield f"{name}.bias", _single(bias, name)


def _check_head(network: Architecture, modules: Mapping[str, StandIn], file_size: int) -> None:
    """Refuses a head whose strides or constants are not those that the port takes as given."""
    prefix = f"model.{network.head.index}"
    strides = _numbers(getattr(modules[prefix], "stride", None))
    if strides != network.strides:
        raise WeightsError(f"has strides {strides} in {prefix}, where its table comes to {network.strides}")
    for name, values in network.head.spec.constants(network.head).items():
        if not np.array_equal(_array(modules, f"{prefix}.{name}", values.shape, file_size), values):
            raise WeightsError(f"has other numbers in {prefix}.{name} than its architecture table comes to")


def _array(
    modules: Mapping[str, StandIn], path: str, shape: tuple[int, ...], file_size: int
) -> NDArray[np.float64]:
    """One parameter or buffer in float64, once it is known to be what it claims."""
    import torch

    value = _state(modules, path)
    if not isinstance(value, torch.Tensor):
        raise WeightsError(f"lacks the tensor {path}")
    if value.layout != torch.strided or value.is_quantized or not value.is_floating_point() or value.is_meta:
        raise WeightsError(
            f"stores {path} as {value.dtype}, {value.layout}, not as plain floating-point numbers"
        )
    if tuple(value.shape) != shape:
        raise WeightsError(
            f"has {path} of shape {shorten(tuple(value.shape))}; its architecture table says {shape}"
        )
    if value.untyped_storage().nbytes() > file_size:
        raise WeightsError(f"claims more bytes for {path} than the file has")
    result: NDArray[np.float64] = value.detach().to(torch.float64).numpy()
    return result


def _state(modules: Mapping[str, StandIn], path: str) -> Any:
    """A parameter or buffer by its dotted name, or None."""
    prefix, _, name = path.rpartition(".")
    attributes = vars(modules[prefix]) if prefix in modules else {}
    for kind in ("_parameters", "_buffers"):
        if isinstance(group := attributes.get(kind), dict) and group.get(name) is not None:
            return group[name]
    return None


def _refuse_extra(modules: Mapping[str, StandIn], tensors: Mapping[str, Any]) -> None:
    """Refuses a checkpoint that holds parameters the port would ignore."""
    norms = {f"{name.removesuffix('conv.bias')}bn" for name in tensors if name.endswith("conv.bias")}
    extra = []
    for prefix, module in modules.items():
        for kind in ("_parameters", "_buffers"):
            group = vars(module).get(kind)
            for name, value in group.items() if isinstance(group, dict) and prefix not in norms else ():
                path = f"{prefix}.{name if isinstance(name, str) else shorten(name)}"
                if value is not None and path not in tensors and not path.endswith(".dfl.conv.weight"):
                    extra.append(path)
    if extra:
        raise WeightsError(f"has tensors that no layer of its architecture table uses: {some(extra)}")


def _single(values: NDArray[np.float64], name: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(result).all():
        raise WeightsError(f"gives NaN or infinite numbers in {name}")
    return result


def _imgsz(checkpoint: Mapping[Any, Any], model: StandIn) -> int:
    """The input size it was trained for: the larger side of two, Ultralytics' default if none is given."""
    arguments = [getattr(model, "args", None), checkpoint.get("train_args")]
    for group in (vars(a) if isinstance(a, StandIn) else a for a in arguments):
        sizes = _numbers(group.get("imgsz")) if isinstance(group, dict) else ()
        if sizes and MIN_IMGSZ <= max(sizes) <= MAX_IMGSZ:
            return int(max(sizes))
    return DEFAULT_IMGSZ


def _numbers(value: Any) -> tuple[float, ...]:
    """A tensor, a list or one number as a tuple of numbers; anything else as an empty one."""
    import torch

    if isinstance(value, torch.Tensor):
        value = value.tolist() if value.numel() <= 64 else None
    items = value if isinstance(value, list | tuple) else (value,)
    return tuple(items) if all(isinstance(v, int | float) for v in items) else ()


def _plain(value: Any) -> Any:
    """A copy that JSON can hold: dicts with string keys, lists, strings, numbers."""
    budget = MAX_TABLE_VALUES

    def copy(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1  # values may hold each other many times over
        if isinstance(value, bool | int | float | str | None):
            return value
        if depth < 8 and budget > 0:
            if isinstance(value, list | tuple):
                return [copy(v, depth + 1) for v in value]
            if isinstance(value, dict) and all(isinstance(k, int | str) for k in value):
                return {str(k): copy(v, depth + 1) for k, v in value.items()}
        raise WeightsError(f"has {shorten(value)} in its architecture table")

    return copy(value, 0)
