"""The engine that a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yolo_max.support.errors import UsageError

if TYPE_CHECKING:
    from yolo_max.engine.contract import Engine
    from yolo_max.weights.load import Weights

ENGINES = ("max", "torch")


def make_engine(name: str, weights: Weights, **options: Any) -> Engine:
    """Makes an engine; the other one's library is not imported.

    Args:
        name: One of `ENGINES`.
        weights: Loaded weights.
        options: As `MaxEngine` takes them; `TorchEngine` has no other precision than f32.

    Raises:
        UsageError: There is no such engine, or an option has a value that it does not take.
        EngineError: What is asked for is not to be had on this machine.
        WeightsError: The weights are of a network that is not ported.
    """
    if name == "max":
        from yolo_max.engine.max_engine import MaxEngine

        return MaxEngine(weights, **options)
    if name == "torch":
        if options["precision"] != "f32":
            raise UsageError(
                f"PyTorch detects in f32, not {options['precision']}; take f32, or the MAX engine."
            )
        from yolo_max.engine.torch_engine import TorchEngine

        return TorchEngine(weights, **options)
    raise UsageError(f"there is no engine {name!r}; take one of {', '.join(ENGINES)}.")
