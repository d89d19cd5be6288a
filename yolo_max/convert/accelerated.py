"""``accelerate``: a module that is converted when it is first called."""

from __future__ import annotations

import functools
import warnings
import weakref
from threading import Lock
from typing import Any, TypeVar

import torch
from torch.utils.weak import WeakIdKeyDictionary

from yolo_max.convert.converter import convert_pytorch_model
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.max_model import MaxModel

M = TypeVar("M")


class _Conversions:
    """The conversions of one module: for each shape and dtype of its inputs, as long as it stays as it is."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()
        self.models: dict[tuple[Any, ...], MaxModel | ConversionError] = {}
        self.lock = Lock()

    def find(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> MaxModel | ConversionError:
        """The conversion for these inputs, made if there is none; or why there cannot be one."""
        if (state := _state(module)) != self.state:
            self.state, self.models = state, {}
        key = tuple((tuple(each.shape), each.dtype) for each in inputs)
        if key not in self.models:
            try:
                self.models[key] = convert_pytorch_model(
                    module,
                    [tuple(each.shape) for each in inputs],
                    input_dtypes=[each.dtype for each in inputs],
                )
            except ConversionError as error:
                self.models[key] = error
        return self.models[key]


def _state(module: torch.nn.Module) -> tuple[Any, ...]:
    """What a conversion depends on: the modules inside, and where their tensors are and of which version.

    Reading the tensors themselves takes longer than half of a network does.
    """
    modules = tuple(
        (name, type(each), each.training, weakref.ref(each)) for name, each in module.named_modules()
    )
    tensors = (*module.parameters(), *module.buffers())
    return modules, tuple((each.data_ptr(), each._version) for each in tensors)


_conversions: WeakIdKeyDictionary = WeakIdKeyDictionary()


def accelerate(module: M, *, fallback: bool = False) -> M:
    """Has a module in evaluation mode run on MAX; it stays the PyTorch module that it is.

    It is converted at its first call, once for each shape and dtype of its inputs, and again when its weights
    have changed or a module inside has been replaced. What PyTorch does not count is not noticed: what is
    written into weights through ``.data`` or NumPy, and plain attributes; call :func:`refresh` then. Outside
    of ``torch.no_grad()`` a call warns if weights want gradients, as its result has none. In training mode,
    while it is exported or compiled, it is PyTorch's as before.

    Args:
        module: A ``torch.nn.Module``, which is changed, or a class of them, as a decorator.
        fallback: Whether a module that cannot be converted runs in PyTorch, with a warning that says why.

    Returns:
        The module or the class.

    Raises:
        ConversionError: At a call: the module cannot be converted, an argument is no tensor or wants
            gradients, a module inside has forward hooks, and there is no fallback.
    """
    kind: Any = module if isinstance(module, type) else type(module)
    if not issubclass(kind, torch.nn.Module):
        raise TypeError(f"accelerate takes a torch.nn.Module or a class of them, not {kind.__name__}.")
    plain = kind.__call__

    @functools.wraps(plain)
    def call(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self.training or torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return plain(self, *args, **kwargs)
        converted = _converted(self, args, kwargs)
        if not isinstance(converted, ConversionError):
            if torch.is_grad_enabled() and any(each.requires_grad for each in self.parameters()):
                warnings.warn(
                    f"the weights of {type(self).__name__} want gradients, and its result on MAX has none; "
                    "use torch.no_grad().",
                    stacklevel=2,
                )
            return converted(*args)
        if not fallback:
            raise converted
        warnings.warn(f"{type(self).__name__} runs in PyTorch: {converted}", stacklevel=2)
        return plain(self, *args, **kwargs)

    accelerated: Any = kind if isinstance(module, type) else type(kind.__name__, (kind,), {})
    accelerated.__call__ = call
    if isinstance(module, type):
        return module
    module.__class__ = accelerated
    return module


def refresh(module: torch.nn.Module) -> None:
    """Has an accelerated module converted anew at its next call; its compiled graph is found in the cache.

    Args:
        module: One that was written to in a way that PyTorch does not count.
    """
    _conversions.pop(module, None)


def _converted(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> MaxModel | ConversionError:
    if kwargs or not all(isinstance(each, torch.Tensor) for each in args):
        return ConversionError("a converted module takes tensors by position only.")
    if torch.is_grad_enabled() and any(each.requires_grad for each in args):
        return ConversionError("an input wants gradients, which MAX does not compute; use torch.no_grad().")
    for name, each in module.named_modules():
        if each._forward_hooks or each._forward_pre_hooks:
            place = f"its module {name}" if name else "it"
            return ConversionError(
                f"{place} has forward hooks, which a converted module does not call; remove them."
            )
    if module not in _conversions:
        _conversions[module] = _Conversions()
    conversions: _Conversions = _conversions[module]
    with conversions.lock:
        return conversions.find(module, args)
