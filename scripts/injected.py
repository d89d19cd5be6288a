"""The kernels in a PyTorch network, in place of ``nn.Conv2d``, ``nn.Linear`` and ``torch.matmul``.

The kernels are called through ctypes on the memory of PyTorch's tensors: convolutions take NCHW tensors that
lie in memory as NHWC (``channels_last``), products take matrices as they are, transposed or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from kernel_library import Kernels, Map
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from yolo_max.kernels import packing, products
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Window

OPERATIONS = ("conv2d", "linear", "bmm", "attention")
MATMULS = (torch.bmm, torch.matmul, torch.Tensor.bmm, torch.Tensor.matmul, torch.Tensor.__matmul__)
MAX_KEY_CHANNELS = 256
"""Of the attention kernel."""


@dataclass
class Tally:
    """What an operation's calls took.

    Attributes:
        layers: Layers that were replaced.
        left: Why others were not, and how many.
        calls: Calls of the kernels.
        seconds: In these calls, all that PyTorch's tensors need around them included.
        inside: In the kernels alone.
    """

    layers: int = 0
    left: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    inside: float = 0.0

    def leave(self, reason: str) -> None:
        """Counts a layer or a call that stays PyTorch's."""
        self.left[reason] = self.left.get(reason, 0) + 1

    def clear(self) -> None:
        """Forgets the calls."""
        self.calls, self.seconds, self.inside = 0, 0.0, 0.0


class TimedKernels(Kernels):
    """Kernels that count the seconds they take."""

    seconds = 0.0

    def _prepare(self, *arguments: Any) -> Callable[[], str]:
        call = super()._prepare(*arguments)

        def timed() -> str:
            start = time.perf_counter()
            complaint = call()
            self.seconds += time.perf_counter() - start
            return complaint

        return timed


class Injected:
    """Kernels for a network's operations, and a clock for each."""

    def __init__(self, kernels: TimedKernels, operations: Sequence[str] = OPERATIONS) -> None:
        self.kernels = kernels
        self.tallies = {name: Tally() for name in operations}

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Counts one call of an operation."""
        tally = self.tallies[name]
        start, inside = time.perf_counter(), self.kernels.seconds
        yield
        tally.calls += 1
        tally.seconds += time.perf_counter() - start
        tally.inside += self.kernels.seconds - inside

    def replace(self, module: torch.nn.Module) -> torch.nn.Module:
        """Replaces every convolution and linear layer below a module that the kernels can compute.

        A SiLU that Ultralytics' ``Conv`` applies becomes part of the convolution.
        """
        for name, child in module.named_children():
            made = self._conv(child, module) if isinstance(child, torch.nn.Conv2d) else None
            # torch.nn.MultiheadAttention reads its projection's weights, and never calls it.
            if (
                isinstance(child, torch.nn.Linear)
                and type(child) is torch.nn.Linear
                and "linear" in self.tallies
            ):
                self.tallies["linear"].layers += 1
                made = Linear(child, self)
            if made is None:
                self.replace(child)
            else:
                module.add_module(name, made)
        return module

    def _conv(self, conv: torch.nn.Conv2d, parent: torch.nn.Module) -> torch.nn.Module | None:
        if "conv2d" not in self.tallies:
            return None
        tally = self.tallies["conv2d"]
        if conv.padding_mode != "zeros":
            tally.leave(f"padding of {conv.padding_mode}")
            return None
        if not conv.weight.requires_grad and conv.weight.shape[:2] == (1, 16) and conv.bias is None:
            tally.leave("the fixed one of DFL")
            return None
        tally.layers += 1
        silu = conv is getattr(parent, "conv", None) and isinstance(
            getattr(parent, "act", None), torch.nn.SiLU
        )
        if silu and not hasattr(parent, "bn"):
            parent.act = torch.nn.Identity()
            return Conv2d(conv, Activation.SILU, self)
        return Conv2d(conv, Activation.NONE, self)

    def products(self) -> TorchFunctionMode:
        """A mode in which products of matrices and attention are the kernels', if they are to be."""
        return Products(self)


class Conv2d(torch.nn.Module):  # type: ignore[misc]
    """A convolution on the kernels."""

    def __init__(self, conv: torch.nn.Conv2d, activation: Activation, injected: Injected) -> None:
        super().__init__()
        self.injected, self.activation = injected, activation
        k, s = conv.kernel_size, conv.stride
        self.geometry: dict[str, Any] = {
            "k": k,
            "s": s,
            "padding": _padding(conv),
            "dilation": conv.dilation,
            "groups": conv.groups,
        }
        self.window = Window.of(*self.geometry.values())
        c1, self.channels = conv.in_channels, conv.out_channels
        self.kernel = ConvKernel.choose(c1, precision=Precision.F32, c2=self.channels, **self.geometry)
        filters = conv.weight.detach().permute(2, 3, 1, 0).contiguous().numpy()
        self.weight = self.kernel.pack(filters, Precision.F32, conv.groups)
        self.bias = packing.pack_bias(_bias(conv.bias, self.channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """NCHW in ``channels_last``, as PyTorch keeps it, and back."""
        with self.injected.clock("conv2d"):
            nhwc = x.permute(0, 2, 3, 1).contiguous()
            y = torch.empty((len(x), *self.window.outputs(*x.shape[2:]), self.channels))
            self.injected.kernels.convolve(
                self.kernel,
                [Map(nhwc.numpy())],
                self.weight,
                self.bias,
                y.numpy(),
                activation=self.activation,
                **self.geometry,
            )
            return y.permute(0, 3, 1, 2)


class Linear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer on the kernels."""

    def __init__(self, linear: torch.nn.Linear, injected: Injected) -> None:
        super().__init__()
        self.injected, self.channels = injected, linear.out_features
        filters = linear.weight.detach().T.contiguous().numpy()[None, None]
        self.packed = packing.pack_direct(filters, Precision.F32)
        self.packed_bias = packing.pack_bias(_bias(linear.bias, self.channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., c1]`` to ``[..., c2]``."""
        with self.injected.clock("linear"):
            rows = x.contiguous().view(1, 1, -1, x.shape[-1]).numpy()
            y = torch.empty((*x.shape[:-1], self.channels))
            result = y.view(1, 1, -1, self.channels).numpy()
            self.injected.kernels.run(
                products.PRODUCTS,
                products.LINEAR,
                [Activation.NONE, 0],
                [Map(rows)],
                self.packed,
                self.packed_bias,
                result,
            )
            return y


class Products(TorchFunctionMode):  # type: ignore[misc]
    """While active, ``torch.bmm``, ``torch.matmul``, ``@`` and PyTorch's attention are the kernels'."""

    def __init__(self, injected: Injected) -> None:
        super().__init__()
        self.injected = injected

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs a function of PyTorch's."""
        kwargs = kwargs or {}
        name = "bmm" if func in MATMULS else "attention" if func is scaled_dot_product_attention else ""
        if name in self.injected.tallies:
            refusal = _refusal(name, args, kwargs)
            if not refusal:
                with self.injected.clock(name):
                    if name == "bmm":
                        return matmul(self.injected.kernels, *args)
                    return attention(self.injected.kernels, args[0], args[1], args[2], kwargs.get("scale"))
            self.injected.tallies[name].leave(refusal)
        return func(*args, **kwargs)


def _refusal(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Why the kernels cannot compute a product; empty if they can."""
    allowed = {"scale"} if name == "attention" else set()
    given = {key for key, value in kwargs.items() if isinstance(value, torch.Tensor) or value}
    if others := given - allowed:
        return f"with {', '.join(sorted(others))}"
    if len(args) != (3 if name == "attention" else 2):
        return f"with {len(args)} positional arguments"
    if any(x.dtype != torch.float32 for x in args):
        return "not of float32"
    if any(x.requires_grad for x in args):
        return "with gradients"
    if min(x.ndim for x in args) < 2:
        return "of vectors"
    if not all(x.numel() for x in args):
        return "of empty tensors"
    if name == "attention":
        if args[0].shape[-1] > MAX_KEY_CHANNELS:
            return f"of more than {MAX_KEY_CHANNELS} channels"
        if len({x.shape[:-2] for x in args}) > 1:
            return "of repeated keys or values"
    return ""


def matmul(kernels: Kernels, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``torch.matmul`` of float32 ``[..., m, k]`` and ``[..., k, n]``."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if len(batch) > 2:  # the kernel has two batch dimensions
        a, b = (x.expand(*batch, *x.shape[-2:]).flatten(0, -3) for x in (a, b))
    (a_rows, a_turned), (b_rows, b_turned) = _rows(a), _rows(b)
    y = torch.empty((*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
    result, _ = _rows(y)
    params = [a_turned, b_turned, products.float_bits(1), False]
    maps = [Map(a_rows), Map(b_rows)]
    kernels.run(products.PRODUCTS, products.MATMUL, params, maps, None, None, result)
    return y.view(*batch, *y.shape[-2:])


def attention(
    kernels: Kernels,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float | None = None,
) -> torch.Tensor:
    """``scaled_dot_product_attention`` of float32 ``[..., n, d]``, ``[..., m, d]`` and ``[..., m, e]``."""
    d, e = q.shape[-1], v.shape[-1]
    maps = [Map(x.contiguous().view(-1, 1, *x.shape[-2:]).numpy()) for x in (q, k, v)]
    y = torch.empty((*q.shape[:-1], e))
    params = [1, d, e, d, d, e, products.float_bits(d**-0.5 if scale is None else scale)]
    result = y.view(-1, 1, *y.shape[-2:]).numpy()
    kernels.run(products.PRODUCTS, products.ATTENTION, params, maps, None, None, result)
    return y


def _rows(x: torch.Tensor) -> tuple[NDArray[np.float32], bool]:
    """The matrices as they lie in memory, ``[b0, b1, rows, columns]``, and whether they are transposed."""
    turned = x.stride(-1) != 1 and x.stride(-2) == 1
    x = (x.transpose(-1, -2) if turned else x).contiguous()
    return x.view(*[1] * (4 - x.ndim), *x.shape).numpy(), turned


def _padding(conv: torch.nn.Conv2d) -> tuple[int, ...]:
    """Zeros above, left of, below and right of the map."""
    if conv.padding == "valid":
        return (0, 0, 0, 0)
    if isinstance(conv.padding, str):  # "same": what is odd goes below and right
        whole = [d * (k - 1) for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
        before = [size // 2 for size in whole]
        return (*before, *(size - half for size, half in zip(whole, before, strict=True)))
    return tuple(conv.padding) * 2


def _bias(bias: torch.Tensor | None, channels: int) -> NDArray[np.float32]:
    return np.zeros(channels, np.float32) if bias is None else bias.detach().numpy()
