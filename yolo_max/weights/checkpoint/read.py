"""Turns an Ultralytics `.pt` checkpoint into fused tensors.

Each convolution is folded with the BatchNorm after it, in float64, with that module's own eps (Ultralytics
sets 1e-3, PyTorch's default is 1e-5). Before that, every block is checked against the checkpoint's own
architecture table, since the table decides what the port computes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.architecture import Architecture
from yolo_max.model.specs import Convolution
from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, some
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.layers import check_layer
from yolo_max.weights.checkpoint.legacy_width import as_built
from yolo_max.weights.checkpoint.metadata import input_size, normalization, numbers, saved_names
from yolo_max.weights.checkpoint.modules import model_of, table_of, walk
from yolo_max.weights.checkpoint.saved_head import with_head_as_saved
from yolo_max.weights.checkpoint.tensors import Tensor
from yolo_max.weights.meta import ModelMeta

FLOATING = ("float16", "bfloat16", "float32", "float64")
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Unfused:
    """The network of a checkpoint as it was trained, checked against its architecture table.

    Attributes:
        meta: The header of its weights file.
        tensors: Parameters and buffers by the checkpoint's own names: filters ``(c_out, c_in, kh, kw)``, and
            vectors ``(c_out,)`` of a BatchNorm or a bias. Floating point, as stored.
        eps: The eps of each BatchNorm, by its name ("model.0.bn"). A convolution without one is already
            fused, and has a bias.
    """

    meta: ModelMeta
    tensors: Mapping[str, NDArray[Any]]
    eps: Mapping[str, float]


def read_unfused(data: bytes, source: str) -> Unfused:
    """Reads a checkpoint.

    Args:
        data: The whole `.pt` file.
        source: Its file name, for the header.

    Raises:
        WeightsError: The file is damaged, unsafe, or holds a network that is not ported. The message is a
            sentence without its subject: the caller prepends the file's name.
    """
    content = safe_pickle.load(data)
    model = model_of(content)
    table = table_of(model)
    modules = dict(walk(model))
    architecture = with_head_as_saved(as_built(table, modules), modules)
    imgsz = input_size(content, model)
    meta = ModelMeta.checked(
        names=saved_names(model.get("names"), table.get("nc")),
        nc=table.get("nc"),
        imgsz=imgsz,
        normalization=normalization(model, imgsz),
        architecture=architecture,
        source=source,
        source_sha256=hashlib.sha256(data).hexdigest(),
    )
    network = meta.network
    for layer in network.layers:
        check_layer(layer, modules)
    tensors, eps = _Reader(modules, len(data)).read(network)
    _refuse_extra(modules, {*tensors, *network.constants()}, eps, network.only_in_training)
    return Unfused(meta, tensors, eps)


def read_checkpoint(data: bytes, source: str) -> tuple[ModelMeta, dict[str, NDArray[np.float32]]]:
    """Converts a checkpoint.

    Args:
        data: The whole `.pt` file.
        source: Its file name, for the header.

    Returns:
        The header, and the fused network's float32 tensors under the checkpoint's own names: filters RSCF
        ``(kh, kw, c_in, c_out)``, biases ``(c_out,)``.

    Raises:
        WeightsError: As `read_unfused`, or a fused weight is not a finite float32.
    """
    unfused = read_unfused(data, source)
    return unfused.meta, dict(_fused(unfused))


def fold(
    filters: NDArray[np.float64],
    gamma: NDArray[np.float64],
    beta: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    eps: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Folds a BatchNorm into the bias-free convolution ``(..., c_out)`` before it: filters and bias.

    BatchNorm at inference is ``gamma * (y - mean) / sqrt(variance + eps) + beta`` (Ioffe and Szegedy, 2015).
    """
    scale = gamma / np.sqrt(variance + eps)
    return filters * scale, beta - mean * scale


class _Reader:
    """Reads a network's tensors from the modules, and checks each of them."""

    def __init__(self, modules: Mapping[str, StandIn], file_size: int) -> None:
        self._modules = modules
        self._bytes_left = file_size

    def read(self, network: Architecture) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Every tensor of the network in the table's order, and the eps of every BatchNorm."""
        tensors: dict[str, NDArray[Any]] = {}
        eps: dict[str, float] = {}
        network.require()
        for each in chain.from_iterable(each.summands() for each in network.convolutions()):
            name, c_out = each.name, each.c_out
            filters, *bias = each.saved_names
            wanted: dict[str, tuple[int, ...]] = {filters: each.saved_shape}
            norm = _norm(name)
            if name.endswith(".conv") and norm in self._modules and not each.bias:
                eps[norm] = self._eps(norm)
                wanted |= {f"{norm}.{part}": (c_out,) for part in NORM_PARTS}
            else:
                wanted |= dict.fromkeys(bias, (c_out,))
            tensors |= {path: self._array(path, shape) for path, shape in wanted.items()}
            if norm in eps and (tensors[f"{norm}.running_var"].astype(np.float64) + eps[norm] <= 0).any():
                raise WeightsError(f"has a variance below zero in {norm}.running_var")
        self._check_head(network)
        return tensors, eps

    def _eps(self, norm: str) -> float:
        eps = self._modules[norm].get("eps")
        if not isinstance(eps, float) or not 0 <= eps < 1:
            raise WeightsError(f"has eps {shorten(eps)} in {norm}")
        return eps

    def _check_head(self, network: Architecture) -> None:
        """Refuses a head whose strides or constants differ from those that the port assumes."""
        prefix = f"model.{network.head.index}"
        strides = numbers(self._modules[prefix].get("stride"))
        if network.strides and strides != network.strides:
            raise WeightsError(f"has strides {strides} in {prefix}, where its table gives {network.strides}")
        for name, values in network.constants().items():
            if not np.array_equal(self._array(name, values.shape), values):
                raise WeightsError(f"has other numbers in {name} than its architecture table gives")

    def _array(self, path: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """One parameter or buffer."""
        value = _state(self._modules, path)
        if not isinstance(value, Tensor):
            raise WeightsError(f"lacks the tensor {path}")
        if value.dtype not in FLOATING:
            raise WeightsError(f"stores {path} as torch.{value.dtype}, not as plain floating-point numbers")
        if value.shape != shape:
            raise WeightsError(
                f"has {path} of shape {shorten(value.shape)}; its architecture table says {shape}"
            )
        self._bytes_left -= value.nbytes
        if self._bytes_left < 0:
            raise WeightsError(f"claims more bytes for {path} than the file has")
        return value.array()


def _state(modules: Mapping[str, StandIn], path: str) -> Any:
    """A parameter or buffer by its dotted name, or None."""
    prefix, _, name = path.rpartition(".")
    for kind in ("_parameters", "_buffers"):
        group = modules[prefix].get(kind) if prefix in modules else None
        if isinstance(group, dict) and group.get(name) is not None:
            return group[name]
    return None


def _refuse_extra(
    modules: Mapping[str, StandIn],
    tensors: Collection[str],
    norms: Collection[str],
    only_in_training: tuple[str, ...],
) -> None:
    """Refuses a checkpoint with parameters that the port would ignore, except those with such a prefix."""
    extra = []
    for prefix, module in modules.items():
        for kind in ("_parameters", "_buffers"):
            group = module.get(kind)
            for name, value in group.items() if isinstance(group, dict) and prefix not in norms else ():
                path = f"{prefix}.{name if isinstance(name, str) else shorten(name)}"
                if value is not None and path not in tensors and not path.startswith(only_in_training):
                    extra.append(path)
    if extra:
        raise WeightsError(f"has tensors that no layer of its architecture table uses: {some(extra)}")


def _fused(unfused: Unfused) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor of the fused network, in the table's order."""

    def read(path: str) -> NDArray[np.float64]:
        return unfused.tensors[path].astype(np.float64)

    def folded(each: Convolution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight, *bias = each.saved_names
        filters = each.from_saved(read(weight))
        if (norm := _norm(each.name)) not in unfused.eps:
            return filters, read(bias[0]) if bias else np.zeros(each.c_out)
        gamma, beta, mean, variance = (read(f"{norm}.{part}") for part in NORM_PARTS)
        with np.errstate(over="ignore", invalid="ignore"):  # `_single` refuses the result
            return fold(filters, gamma, beta, mean, variance, unfused.eps[norm])

    for each in unfused.meta.network.convolutions():
        parts = [folded(summand) for summand in each.summands()]
        filters = np.sum([_centred(part, each.kernel) for part, _ in parts], axis=0)
        yield f"{each.name}.weight", _single(filters, each.name)
        yield f"{each.name}.bias", _single(np.sum([bias for _, bias in parts], axis=0), each.name)


def _norm(name: str) -> str:
    """The BatchNorm that follows a convolution."""
    return f"{name.removesuffix('conv')}bn"


def _centred(filters: NDArray[np.float64], kernel: int) -> NDArray[np.float64]:
    """Filters ``(k, k, c_in, c_out)`` with zeros around them, of size ``kernel``."""
    border = (kernel - filters.shape[0]) // 2
    return np.pad(filters, [(border, border), (border, border), (0, 0), (0, 0)])


def _single(values: NDArray[np.float64], name: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(result).all():
        raise WeightsError(f"gives NaN or infinite numbers in {name}")
    return result
