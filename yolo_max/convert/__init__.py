"""Any PyTorch module to a MAX graph on the kernels. Knows no YOLO.

converter.py                          the converter
runtime.py, max_model.py              its results on MAX
accelerated.py                        a module that is converted when it is called
exporter.py, exported.py              to a file, and from there without PyTorch
analyzer.py, report.py, flops.py      how much of a module is converted
capture.py, silence.py                from a module to a graph of PyTorch's operations
program.py, ones.py
einsum.py, plain_forms.py             that graph simplified; PyTorch still runs it
simplify.py, shared_heads.py
planes.py, line_forms.py              lines and volumes as maps
volume_forms.py, writer.py
fusion.py, folding.py, attention.py   and fused
transposed.py, transposes.py
activations.py, fused.py              what is fused, and what it means
rule.py, rules/                       how each operation is lowered: one registry
layout.py, bf16.py, dtypes.py         what is NHWC, what in PyTorch's order; what is bfloat16
lowering.py, dims.py                  from that graph to MAX's
constants.py                          what a graph reads, packed by NumPy
signature.py, guards.py, structure.py what goes in and what comes out
parity.py                             how near to float64
factory.py, errors.py                 what the command line names; what is raised
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yolo_max.convert.accelerated import accelerate, refresh
    from yolo_max.convert.analyzer import analyze
    from yolo_max.convert.converter import PyTorchToMAXConverter, convert_pytorch_model
    from yolo_max.convert.errors import ConversionError, UnsupportedOperations
    from yolo_max.convert.exported import load
    from yolo_max.convert.exporter import export, state_dict
    from yolo_max.convert.max_model import MaxModel
    from yolo_max.convert.rule import Call, Layout, Rule

__all__ = [
    "Call",
    "ConversionError",
    "Layout",
    "MaxModel",
    "PyTorchToMAXConverter",
    "Rule",
    "UnsupportedOperations",
    "accelerate",
    "analyze",
    "convert_pytorch_model",
    "export",
    "load",
    "refresh",
    "state_dict",
]

_HOMES = {
    "Call": "rule",
    "ConversionError": "errors",
    "Layout": "rule",
    "MaxModel": "max_model",
    "PyTorchToMAXConverter": "converter",
    "Rule": "rule",
    "UnsupportedOperations": "errors",
    "accelerate": "accelerated",
    "analyze": "analyzer",
    "convert_pytorch_model": "converter",
    "export": "exporter",
    "load": "exported",
    "refresh": "accelerated",
    "state_dict": "exporter",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: PyTorch's export and MAX take seconds."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
