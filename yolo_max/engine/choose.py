"""Engines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yolo_max.support.errors import UsageError

if TYPE_CHECKING:
    from yolo_max.engine.contract import Engine
    from yolo_max.weights.load import Weights

ENGINES = ("max", "torch")


def make_engine(name: str, weights: Weights, **options: Any) -> Engine:
    """Creates an engine, importing only its own library.

    Args:
        name: One of `ENGINES`.
        weights: Loaded weights.
        options: Those of `MaxEngine`; for `TorchEngine` the precision must be f32.

    Raises:
        UsageError: There is no such engine, or it does not support the value of an option.
        EngineError: Something that was requested is not available on this machine.
        WeightsError: The network is not supported.
    """
    if name == "max":
        from yolo_max.engine.max_engine import MaxEngine

        return MaxEngine(weights, **options)
    if name == "torch":
        if options["precision"] != "f32":
            raise UsageError(f"PyTorch runs in f32, not {options['precision']}; use f32, or the MAX engine.")
        if options.pop("compiled", None) is not None:
            raise UsageError("PyTorch does not run compiled graphs; leave it out, or use the MAX engine.")
        from yolo_max.engine.torch_engine import TorchEngine

        return TorchEngine(weights, **options)
    raise UsageError(f"there is no engine {name!r}; use one of {', '.join(ENGINES)}.")
